import { bare, quoted } from "./text.ts";

export const diskForm =
  "give the disk's name under /dev/disk/by-id (lsblk -o NAME,SIZE,SERIAL,ID-LINK on the Pi shows it), never /dev/sda, which changes from boot to boot";

const form = "[A-Za-z0-9][A-Za-z0-9._:+-]{2,254}";
/** The kernel's own names, which are given anew at each boot. */
const kernelName =
  "(?:[shv]d[a-z]+\\d*|mmcblk\\d+(?:p\\d+|boot\\d+)?|nvme\\d+(?:n\\d+(?:p\\d+)?)?|(?:dm-|md|loop|sr|zram|ram)\\d+(?:p\\d+)?)";
const uuid = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
const notWhole = `(?:mmc|dm|md|lvm)-|.*-part\\d+$|${uuid}$`;

/** What udev begins the name of a whole disk with: its bus (by-id), or the way to it (by-path). */
const bus = "(?:usb|ata|scsi|nvme|wwn|virtio|ieee1394|platform|pci|acpi|amba|vmbus|xen|ccw)-";
const anyName = new RegExp(`^${form}$`);
const ofTheKernel = new RegExp(`^${kernelName}$`);
/** Of a whole disk by a lasting name. */
export const diskPattern = new RegExp(`^(?!${kernelName}$|${notWhole})(?=${bus})${form}$`);

/** With what it is typed with: as a path, or as in /etc/fstab. */
export function isFileSystemId(value: string): boolean {
  return new RegExp(`^(?:/dev/disk/by-uuid/|UUID=)?${uuid}$`, "i").test(bare(value));
}

/** What is wrong with a disk's identity, and the cure; undefined when it can be the name of a whole disk. */
export function diskProblem(value: string): string | undefined {
  if (diskPattern.test(value)) return undefined;
  const shown = quoted(value);
  const name = bare(value)
    .replace(/^(?:\/?(?:dev\/)?disk\/)?by-(?:id|path)\/|^\.?\/+(?=[^/]+\/*$)/, "")
    .replace(/\/+$/, "");
  if (name !== value && diskPattern.test(name)) {
    return `is ${shown}: give the name alone, "${name}"`;
  }
  if (isFileSystemId(value)) {
    const given = bare(value).split(/[/=]/).at(-1)!.toLowerCase();
    return `is ${shown}, a file system's UUID: give {uuid: ${given}, adopt: true} to take over what is on the disk, or ${diskForm.slice("give ".length)}`;
  }
  if (!anyName.test(value) || ofTheKernel.test(value)) return `is ${shown}: ${diskForm}`;
  if (/^mmc-/.test(value)) {
    return `is ${shown}, the SD card, which wears out and holds the Pi's own system: ${diskForm}`;
  }
  if (/^(?:dm|md|lvm)-/.test(value)) {
    return `is ${shown}, which is made of other disks (RAID, LVM or encryption), and the kit does not look into those: ${diskForm}`;
  }
  const whole = value.replace(/-part\d+$/, "");
  if (whole !== value && diskPattern.test(whole)) {
    return `is ${shown}, a partition: give the whole disk, "${whole}"; what is on a partition is taken over by {uuid: …, adopt: true}`;
  }
  return `is ${shown}: ${diskForm}; such a name begins with usb-, ata-, scsi-, nvme- or wwn-`;
}
