import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DiskIdentity } from "../../../pi/bundle.ts";
import { disksBundle } from "../../../pi/bundles.ts";
import { HostWorld, libexec } from "./host-world.ts";

const blank = {
  main: { id: "usb-ONE", allowFormat: true },
  backup: { id: "usb-TWO", allowFormat: true },
};

/** Writes a table with one partition, 1 MiB from the start. */
const onePartition = (device: string) =>
  String.raw`printf '\000\000\002\000\203\000\000\000\000\010\000\000\000\000\001\000' | dd of=${device} bs=1 seek=446 conv=notrunc; printf '\125\252' | dd of=${device} bs=1 seek=510 conv=notrunc`;

/** Has the kernel take the table up, and makes the first partition's device where no udev does. */
const partition = (device: string) =>
  `partx --update ${device}; test -b "${device}"p1 || mknod "${device}"p1 b $(tr : ' ' < /sys/class/block/$(basename "${device}")p1/dev)`;

describe("the disks", () => {
  let world: HostWorld;
  let one: string;
  let two: string;

  const prepare = (settings: { main: DiskIdentity; backup: DiskIdentity } = blank) =>
    world.apply(disksBundle(settings));
  const fileSystem = async (device: string) =>
    world.must(["blkid", "-p", "-o", "value", "-s", "LABEL", device]);

  beforeEach(async () => {
    world = await HostWorld.start();
    await world.layPrograms();
    one = await world.addDisk("usb-ONE");
    two = await world.addDisk("usb-TWO");
  });
  afterEach(async () => {
    await world.stop();
  });

  it("formats two blank disks, mounts HDD1 only, and writes them into fstab by UUID", async () => {
    const done = await prepare();
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout.split("\n").at(-1)).toBe("disks: changed");
    expect(await fileSystem(one)).toBe("ouchi-hdd1");
    expect(await fileSystem(two)).toBe("ouchi-hdd2");
    const uuid = async (device: string) =>
      world.must(["blkid", "-p", "-o", "value", "-s", "UUID", device]);
    expect(world.read("/etc/fstab")).toBe(
      [
        "UUID=0-0 /boot/firmware vfat defaults,noauto 0 2",
        "# ouchi-photos: begin (written by the kit)",
        `UUID=${await uuid(one)} /mnt/hdd1 ext4 defaults,noatime,nofail,errors=remount-ro,x-systemd.device-timeout=3min,x-systemd.device-bound 0 2`,
        `UUID=${await uuid(two)} /mnt/hdd2 ext4 noauto,noatime,nofail,nodev,nosuid,noexec,errors=remount-ro,x-systemd.device-timeout=3min,x-systemd.device-bound 0 2`,
        "# ouchi-photos: end",
        "",
      ].join("\n"),
    );
    expect(await world.must(["findmnt", "-n", "-o", "SOURCE", "/mnt/hdd1"])).toBe(one);
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd2"])).code).not.toBe(0);
    expect(world.json("/mnt/hdd1/.ouchi-disk")).toMatchObject({
      ...{ role: "main", uuid: await uuid(one) },
      everOurs: [{ role: "main" }, { role: "backup", uuid: await uuid(two) }],
    });
  });

  it("changes nothing the second time", async () => {
    await prepare();
    const fstab = world.read("/etc/fstab");
    const before = world.read("/var/lib/ouchi-photos/applied.json");
    const again = await prepare();
    expect(again).toMatchObject({ code: 0, stderr: "" });
    expect(again.stdout).not.toMatch(/formatted|wrote/);
    expect(again.stdout.split("\n").at(-1)).toBe("disks: nothing to change");
    expect(world.read("/etc/fstab")).toBe(fstab);
    expect(world.read("/var/lib/ouchi-photos/applied.json")).toBe(before);
  });

  it("says that something changed when it mounts what was unmounted, or mends fstab alone", async () => {
    await prepare();
    const lastLine = async () => (await prepare()).stdout.split("\n").at(-1);
    await world.shell("umount /mnt/hdd1");
    expect(await lastLine()).toBe("disks: changed");
    await world.shell("sed -i 's/ouchi-photos: begin/somebody: begin/' /etc/fstab");
    expect(await lastLine()).toBe("disks: changed");
    expect(await lastLine()).toBe("disks: nothing to change");
  });

  it("leaves a mount point that not even root can write into while its disk is away", async () => {
    await prepare();
    await world.must(["umount", "/mnt/hdd1"]);
    expect((await world.run(["touch", "/mnt/hdd1/photo"])).code).not.toBe(0);
    expect((await world.run(["mkdir", "/mnt/hdd2/borg"])).code).not.toBe(0);
    expect(await world.must(["stat", "-c", "%a", "/mnt/hdd1"])).toBe("0");
    await world.must(["mount", "/mnt/hdd1"]);
  });

  it("takes over disks that an earlier house made, without formatting them", async () => {
    await prepare();
    await world.shell(
      "echo photo > /mnt/hdd1/photo; umount /mnt/hdd1; rm -rf /var/lib/ouchi-photos",
    );
    const again = await prepare({ main: { id: "usb-ONE" }, backup: { id: "usb-TWO" } });
    expect(again).toMatchObject({ code: 0, stderr: "" });
    expect(world.read("/mnt/hdd1/photo")).toBe("photo\n");
  });

  const foreign: [string, string, RegExp][] = [
    [
      "an ext4 file system",
      "mkfs.ext4 -q -L family $1",
      /not empty: ext4 file system labelled "family"/,
    ],
    [
      "an NTFS file system",
      "mkfs.ntfs -q -F -Q -L family $1",
      /not empty: ntfs file system labelled "family"/,
    ],
    [
      "an encrypted disk",
      "echo secret | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 $1 -",
      /not empty: crypto_LUKS file system with UUID/,
    ],
    [
      "an LVM volume",
      `pvcreate -q --config 'devices{scan="/dev"}' $1`,
      /not empty: LVM2_member file system with UUID/,
    ],
    [
      "an exFAT partition, as it came from the shop",
      `(${onePartition("$1")}); ${partition("$1")}; mkfs.exfat -L Elements $1p1`,
      /not empty: partition \S+p1 \(exfat, /,
    ],
    ["a swap area", "mkswap -q $1", /not empty: swap/],
    ["partitions only", onePartition("$1"), /not empty/],
    [
      "raw bytes at the end",
      "printf x | dd of=$1 bs=1 seek=$((100*1024*1024-9)) conv=notrunc",
      /not blank/,
    ],
  ];
  for (const [what, make, complaint] of foreign) {
    it(`never formats a disk that holds ${what}, whatever allowFormat says (row 13)`, async () => {
      await world.must(["sh", "-ec", `${make} 2>/dev/null`, "sh", two]);
      const before = await world.must(["sha256sum", two]);
      const result = await prepare();
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(complaint);
      expect(result.stderr).toContain("disks.backup");
      expect(result.stderr).toMatch(/Nothing was changed\.$/);
      expect(await world.must(["sha256sum", two])).toBe(before);
      // Both are judged before either is touched.
      expect((await world.run(["blkid", "-p", one])).code).toBe(2);
    });
  }

  it("leaves alone a disk of which a partition is in use", async () => {
    await world.shell(
      `(${onePartition(two)}) 2>/dev/null; ${partition(two)}
       mkfs.ext4 -q ${two}p1; mkdir -p /media/family; mount ${two}p1 /media/family`,
    );
    expect((await prepare()).stderr).toBe(
      'disks.backup: "usb-TWO" is in use at "/media/family". Unmount it there first. Nothing was changed.',
    );
    await world.shell("umount /media/family");
  });

  it("asks for allowFormat before it formats a blank disk", async () => {
    const result = await prepare({ main: { id: "usb-ONE" }, backup: blank.backup });
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /disks\.main: "usb-ONE" is blank and may be formatted only if disks\.allowFormat/,
    );
    expect((await world.run(["blkid", "-p", one])).code).toBe(2);
  });

  it("takes over a hand-made disk by its UUID with adopt, and only with it", async () => {
    await world.shell(
      `mkfs.ext4 -q -U 11111111-2222-4333-8444-555555555555 ${one}; mkdir /tmp/by-hand; mount ${one} /tmp/by-hand; echo photo > /tmp/by-hand/photo; umount /tmp/by-hand`,
    );
    await world.shell(
      `echo 'UUID=11111111-2222-4333-8444-555555555555 /mnt/hdd1 ext4 defaults 0 0' >> /etc/fstab`,
    );
    const uuid = "11111111-2222-4333-8444-555555555555";
    const refused = await prepare({ main: { uuid }, backup: blank.backup });
    expect(refused.stderr).toMatch(
      /write \{uuid: 11111111-2222-4333-8444-555555555555, adopt: true\}/,
    );
    const taken = await prepare({ main: { uuid, adopt: true }, backup: blank.backup });
    expect(taken).toMatchObject({ code: 0, stderr: "" });
    expect(world.read("/mnt/hdd1/photo")).toBe("photo\n");
    expect(world.read("/etc/fstab")).toContain("# replaced by ouchi-photos: UUID=11111111");
  });

  it("refuses exchanged disks before anything is mounted for writing (row 12)", async () => {
    await prepare();
    await world.must(["umount", "/mnt/hdd1"]);
    const result = await prepare({ main: { id: "usb-TWO" }, backup: { id: "usb-ONE" } });
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(/"usb-TWO" is the backup disk of this house.*exchanged/);
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd1"])).code).not.toBe(0);
  });

  it("refuses another disk of the same size in the main disk's place, and names both (row 11)", async () => {
    await world.label(one, "NA7YQ1XS", "Elements 25A2");
    await prepare();
    await world.must(["umount", "/mnt/hdd1"]);
    const ours = await world.must(["blkid", "-s", "UUID", "-o", "value", one]);
    // Of another house, down to its label and its sentinel.
    const other = "99999999-2222-4333-8444-555555555555";
    const three = await world.addDisk("usb-THREE");
    await world.shell(
      `mkfs.ext4 -q -L ouchi-hdd1 -U ${other} ${three}; mkdir /tmp/other; mount ${three} /tmp/other
       printf '{"role": "main", "uuid": "${other}"}' > /tmp/other/.ouchi-disk; umount /tmp/other
       ln -sf ${three} /dev/disk/by-id/usb-ONE`,
    );
    await world.label(three, "NA8TE0R4", "Elements 25A2");
    const before = await world.must(["sha256sum", three]);
    const result = await prepare();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(
      `holds the file system "${other}" (serial "NA8TE0R4"), but the main disk of this house has "${ours}" (serial "NA7YQ1XS")`,
    );
    // A bridge that tells no serial number: the file systems' names are left.
    await world.must(["rm", "/usr/local/sbin/lsblk"]);
    expect((await prepare()).stderr).toContain(
      `holds the file system "${other}", but the main disk of this house has "${ours}" (serial "NA7YQ1XS")`,
    );
    expect(await world.must(["sha256sum", three])).toBe(before);
    expect((await world.run(["mountpoint", "-q", "/mnt/hdd1"])).code).not.toBe(0);
  });

  it("never formats a disk again that was ever ours, although it looks blank", async () => {
    await prepare();
    await world.must(["umount", "/mnt/hdd1"]);
    await world.shell(`head -c 4194304 /dev/zero | dd of=${one} conv=notrunc 2>/dev/null`);
    const result = await prepare();
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(
      /unreadable, and the kit never formats a disk that was ever its own/,
    );
    expect((await world.run(["blkid", "-p", one])).code).toBe(2);
  });

  it("knows of a new SD card, too, which disks were ever ours, by what the other disk tells", async () => {
    await prepare();
    await world.shell(
      `umount /mnt/hdd1; rm -rf /var/lib/ouchi-photos
       head -c 4194304 /dev/zero | dd of=${one} conv=notrunc status=none`,
    );
    const before = await world.must(["sha256sum", one]);
    expect((await prepare()).stderr).toMatch(
      /"usb-ONE" held the main disk's file system .* the kit never formats a disk that was ever its own/,
    );
    expect(await world.must(["sha256sum", one])).toBe(before);
    await world.must([`${libexec}/disks`, "forget", "usb-ONE"]);
    expect(await prepare()).toMatchObject({ code: 0, stderr: "" });
  });

  /** From now on what the real mkfs writes reaches the disk in part only, as when the power goes. */
  const cutFormat = (part: string) =>
    world.write(
      "/usr/local/sbin/mkfs.ext4",
      `#!/bin/sh -e
for device; do :; done
truncate --size "$(blockdev --getsize64 "$device")" /run/whole
words=$(printf '%s\\n' "$@" | sed '$d')
/usr/sbin/mkfs.ext4 $words -F /run/whole
${part}
sync
exit 1
`,
      0o755,
    );
  const formatGoesOn = () => world.must(["rm", "-f", "/usr/local/sbin/mkfs.ext4", "/run/whole"]);
  const copy = "dd if=/run/whole of=$device bs=4096 conv=notrunc,sparse status=none";

  it.each([
    ["nothing", ":"],
    ["all but the superblock", `${copy} skip=1 seek=1`],
    ["the last tables only", `${copy} skip=20000 seek=20000`],
    ["the superblock only", `${copy} count=1`],
    ["everything", copy],
  ])(
    "resumes its own format that was cut when %s had reached the disk (row 14)",
    async (_, part) => {
      await cutFormat(part);
      expect((await prepare()).code).toBe(1);
      const cut = JSON.parse(await world.must([`${libexec}/drift`])) as { formatting: string[] };
      expect(cut.formatting).toEqual(["usb-ONE"]);
      await formatGoesOn();
      expect(await prepare()).toMatchObject({ code: 0, stderr: "" });
      expect(await fileSystem(one)).toBe("ouchi-hdd1");
      await world.must(["e2fsck", "-fn", two]);
      const { disks } = world.json<{ disks: object }>("/var/lib/ouchi-photos/applied.json");
      expect(disks).toMatchObject({ formatting: {} });
    },
  );

  it("takes no other disk in the same place for its own cut format, and asks for allowFormat still (row 14)", async () => {
    const raw = `printf x | dd of=$device bs=1 seek=5000 conv=notrunc status=none`;
    await cutFormat(raw);
    expect((await prepare()).code).toBe(1);
    await formatGoesOn();
    const unlisted = await prepare({ ...blank, main: { id: "usb-ONE" } });
    expect(unlisted.stderr).toMatch(/may be formatted only if disks\.allowFormat/);

    const other = await world.addDisk("usb-OTHER", 110);
    await world.shell(`device=${other}; ${raw}; ln -sf ${other} /dev/disk/by-id/usb-ONE`);
    const before = await world.must(["sha256sum", other]);
    const refused = await prepare();
    expect(refused.stderr).toMatch(/"usb-ONE" shows no file system, but it is not blank/);
    expect(await world.must(["sha256sum", other])).toBe(before);
  });

  it("knows a disk that was ever ours at another port, too, by what it tells of itself", async () => {
    await world.label(one, "NA7YQ1XS", "Expansion");
    await prepare();
    await world.must(["umount", "/mnt/hdd1"]);
    await world.shell(
      `head -c 4194304 /dev/zero | dd of=${one} conv=notrunc status=none
       mv /dev/disk/by-id/usb-ONE /dev/disk/by-path/pci-0000:01:00.0-usb-0:2:1.0-scsi-0:0:0:0`,
    );
    const port = { id: "pci-0000:01:00.0-usb-0:2:1.0-scsi-0:0:0:0", allowFormat: true };
    const refused = await prepare({ ...blank, main: port });
    expect(refused.stderr).toMatch(/never formats a disk that was ever its own/);
    expect(refused.stderr).toContain("disks forget usb-ONE");
    await world.must([`${libexec}/disks`, "forget", "usb-ONE"]);
    expect(await prepare({ ...blank, main: port })).toMatchObject({ code: 0, stderr: "" });
  });

  it("takes another disk at the same port for what it is, by the serial on it", async () => {
    const port = { id: "pci-0000:01:00.0-usb-0:1:1.0-scsi-0:0:0:0", allowFormat: true };
    const plugIn = (device: string) => world.shell(`ln -sf ${device} /dev/disk/by-path/${port.id}`);
    await plugIn(one);
    await world.label(one, "NA7YQ1XS", "Expansion");
    expect(await prepare({ ...blank, main: port })).toMatchObject({ code: 0, stderr: "" });
    await world.must(["umount", "/mnt/hdd1"]);
    const three = await world.addDisk("usb-THREE");
    await world.label(three, "NA8TE0R4", "Expansion");
    await plugIn(three);
    expect(await prepare({ ...blank, main: { ...port, allowFormat: false } })).toMatchObject({
      stderr: expect.stringMatching(/may be formatted only if disks\.allowFormat/),
    });
    expect(await prepare({ ...blank, main: port })).toMatchObject({ code: 0, stderr: "" });
  });

  it("refuses kernel names, one disk for both roles, and a disk that is not there", async () => {
    const kernel = await prepare({ main: { id: "sda" }, backup: blank.backup });
    expect(kernel.stderr).toMatch(/disks\.main: "sda" is a name that changes from boot to boot/);
    const same = await prepare({ main: blank.main, backup: { id: "usb-ONE" } });
    expect(same.stderr).toMatch(/one and the same disk/);
    const gone = await prepare({ main: { id: "usb-NONE" }, backup: blank.backup });
    expect(gone.stderr).toMatch(
      /no disk "usb-NONE" is plugged in\. Plugged in are: usb-ONE, usb-TWO/,
    );
  });

  it.each(["main", "backup"] as const)(
    "refuses the card that the Pi itself runs from as the %s disk, by whatever name (row 15)",
    async (role) => {
      const card = await world.addDisk("mmc-CARD");
      const part = `${card}p1`;
      await world.shell(
        `(${onePartition(card)}) 2>/dev/null
         ${partition(card)}
         ln -s ${part} /dev/disk/by-id/mmc-CARD-part1
         mkfs.ext4 -q -L ouchi-hdd1 ${part}
         mkdir -p /boot/firmware; mount ${part} /boot/firmware; sync`,
      );
      const uuid = await world.must(["blkid", "-p", "-o", "value", "-s", "UUID", part]);
      const digest = () => world.must(["sha256sum", card, one, two]);
      const before = await digest();
      for (const identity of [
        { id: "mmc-CARD", allowFormat: true },
        { id: "mmc-CARD-part1", allowFormat: true },
        { uuid, adopt: true },
      ]) {
        const refused = await prepare({ ...blank, [role]: identity });
        expect(refused.code).toBe(1);
        expect(refused.stderr).toContain(
          `disks.${role}: "${"id" in identity ? identity.id : `UUID ${uuid}`}" is the disk that the Pi itself runs from. Nothing was changed.`,
        );
      }
      expect(await digest()).toBe(before);
      expect(world.read("/etc/fstab")).not.toContain("ouchi-photos");
    },
  );

  it("refuses files that were written on the SD card under a mount point", async () => {
    await world.shell("mkdir -p /mnt/hdd1; echo lost > /mnt/hdd1/photo");
    const result = await prepare();
    expect(result.stderr).toMatch(/"\/mnt\/hdd1" on the SD card holds files of its own \(photo\)/);
    expect((await world.run(["blkid", "-p", one])).code).toBe(2);
  });
});
