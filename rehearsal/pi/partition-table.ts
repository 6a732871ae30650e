/** The few bytes of a partition table that the virtual disks need. */

export const sectorBytes = 512;

export interface Partition {
  /** Bytes from the disk's beginning. */
  offset: number;
  bytes: number;
  /** The MBR's type: 0x0c FAT32, 0x83 Linux. */
  type: number;
}

/** A master boot record with up to four primary partitions. */
export function masterBootRecord(diskId: string, partitions: Partition[]): Buffer {
  const record = Buffer.alloc(sectorBytes);
  record.writeUInt32LE(Number.parseInt(diskId, 16), 440);
  for (const [index, partition] of partitions.entries()) {
    const at = 446 + 16 * index;
    // Cylinders are long gone: the largest value says that only the sector numbers count.
    record.set([0x00, 0xfe, 0xff, 0xff, partition.type, 0xfe, 0xff, 0xff], at);
    record.writeUInt32LE(partition.offset / sectorBytes, at + 8);
    record.writeUInt32LE(partition.bytes / sectorBytes, at + 12);
  }
  record.writeUInt16LE(0xaa55, 510);
  return record;
}

/** Where the last partition begins by the disk's first 64 KiB (MBR or GPT); 0 when it has none. */
export function lastPartitionOffset(start: Buffer): number {
  const isExt = start.length > 1082 && start.readUInt16LE(1080) === 0xef53;
  if (isExt || start.length < sectorBytes || start.readUInt16LE(510) !== 0xaa55) return 0;
  const offsets: number[] = [];
  for (let at = 446; at < 510; at += 16) {
    const type = start.readUInt8(at + 4);
    if (type === 0xee) return lastGptOffset(start);
    if (type !== 0) offsets.push(start.readUInt32LE(at + 8) * sectorBytes);
  }
  return offsets.at(-1) ?? 0;
}

function lastGptOffset(start: Buffer): number {
  let last = 0;
  for (let at = 2 * sectorBytes; at + 128 <= start.length; at += 128) {
    const used = start.subarray(at, at + 16).some((byte) => byte !== 0);
    if (used) last = Math.max(last, Number(start.readBigUInt64LE(at + 32)) * sectorBytes);
    else break;
  }
  return last;
}
