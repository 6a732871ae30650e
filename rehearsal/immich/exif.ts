/** The few EXIF tags that decide a photo's date, read from a JPEG's APP1 segment. */
import { open } from "node:fs/promises";
import type { LocalTime } from "./storage-template.ts";

export interface Exif {
  /** The camera's clock; EXIF's DateTimeOriginal has no zone of its own. */
  taken?: LocalTime;
  /** `UTC+9`, from OffsetTimeOriginal. */
  timeZone?: string;
  make?: string;
  model?: string;
}

const headBytes = 256 * 1024;

export async function readExif(path: string): Promise<Exif> {
  const file = await open(path);
  try {
    const head = Buffer.alloc(headBytes);
    const { bytesRead } = await file.read(head, 0, headBytes, 0);
    return parseExif(head.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

export function parseExif(bytes: Buffer): Exif {
  try {
    const tiff = findTiff(bytes);
    return tiff ? readTags(tiff) : {};
  } catch (error) {
    if (error instanceof RangeError) return {}; // cut short: as good as no EXIF
    throw error;
  }
}

function findTiff(bytes: Buffer): Buffer | undefined {
  if (bytes.length < 4 || bytes.readUInt16BE(0) !== 0xffd8) return undefined;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    const length = bytes.readUInt16BE(at + 2);
    if (marker === 0xda) return undefined;
    if (marker === 0xe1 && bytes.toString("latin1", at + 4, at + 10) === "Exif\0\0") {
      return bytes.subarray(at + 10, at + 2 + length);
    }
    at += 2 + length;
  }
  return undefined;
}

function readTags(tiff: Buffer): Exif {
  const little = tiff.toString("latin1", 0, 2) === "II";
  const u16 = (at: number) => (little ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const u32 = (at: number) => (little ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at));

  const directory = (start: number) => {
    const entries = new Map<number, { text: () => string; value: number }>();
    const count = u16(start);
    for (let i = 0; i < count; i++) {
      const at = start + 2 + i * 12;
      const size = u32(at + 4);
      const where = size <= 4 ? at + 8 : u32(at + 8);
      const text = () => tiff.toString("latin1", where, where + size).split("\0", 1)[0]!;
      entries.set(u16(at), { text, value: u32(at + 8) });
    }
    return entries;
  };

  const main = directory(u32(4));
  const pointer = main.get(0x8769);
  const exif = pointer ? directory(pointer.value) : new Map<number, never>();
  const date =
    /^(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(exif.get(0x9003)?.text() ?? "") ??
    undefined;
  const offset = /^([+-])(\d\d):(\d\d)$/.exec(exif.get(0x9011)?.text() ?? "");
  const make = main.get(0x010f)?.text();
  const model = main.get(0x0110)?.text();
  return {
    ...(date && {
      taken: {
        year: Number(date[1]),
        month: Number(date[2]),
        day: Number(date[3]),
        hour: Number(date[4]),
        minute: Number(date[5]),
        second: Number(date[6]),
      },
    }),
    ...(offset && {
      timeZone: `UTC${offset[1]}${Number(offset[2])}${offset[3] === "00" ? "" : `:${offset[3]}`}`,
    }),
    ...(make && { make }),
    ...(model && { model }),
  };
}
