/** Real JPEGs, made on the spot: one grey pixel with an EXIF date, or without. */

const pixel = Buffer.from(
  "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8AR//Z",
  "base64",
);

export interface PhotoDate {
  /** `2022:02:03 23:30:00`, the camera's clock. */
  taken?: string;
  /** `+09:00` */
  offset?: string;
  /** Makes two photos of the same moment differ. */
  comment?: string;
}

export function jpeg({ taken, offset, comment }: PhotoDate = {}): Buffer {
  const segments: Buffer[] = [];
  if (taken)
    segments.push(segment(0xe1, Buffer.concat([Buffer.from("Exif\0\0"), tiff(taken, offset)])));
  if (comment) segments.push(segment(0xfe, Buffer.from(comment)));
  return Buffer.concat([pixel.subarray(0, 2), ...segments, pixel.subarray(2)]);
}

function segment(marker: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(content.length + 2, 2);
  return Buffer.concat([head, content]);
}

function tiff(taken: string, offset: string | undefined): Buffer {
  const texts: [tag: number, text: string][] = [[0x9003, `${taken}\0`]];
  if (offset) texts.push([0x9011, `${offset}\0`]);
  const main = Buffer.alloc(8 + 2 + 12 + 4);
  main.write("II*\0", 0, "latin1");
  main.writeUInt32LE(8, 4);
  main.writeUInt16LE(1, 8);
  entry(main, 10, 0x8769, 4, 1, main.length);
  const exif = Buffer.alloc(2 + texts.length * 12 + 4);
  exif.writeUInt16LE(texts.length, 0);
  let at = main.length + exif.length;
  for (const [i, [tag, text]] of texts.entries()) {
    entry(exif, 2 + i * 12, tag, 2, text.length, at);
    at += text.length;
  }
  return Buffer.concat([main, exif, Buffer.from(texts.map(([, text]) => text).join(""))]);
}

function entry(into: Buffer, at: number, tag: number, type: number, count: number, value: number) {
  into.writeUInt16LE(tag, at);
  into.writeUInt16LE(type, at + 2);
  into.writeUInt32LE(count, at + 4);
  into.writeUInt32LE(value, at + 8);
}
