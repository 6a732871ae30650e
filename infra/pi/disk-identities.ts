import type { DiskIdentity } from "../../pi/bundle.ts";
import type { Settings } from "../settings/schema.ts";

/** Both disks as the Pi's scripts take them: the leave to format goes to the disk that it names. */
export function diskIdentities({ main, backup, allowFormat }: Settings["disks"]): {
  main: DiskIdentity;
  backup: DiskIdentity;
} {
  const identity = (disk: typeof main): DiskIdentity =>
    "id" in disk ? { id: disk.id, allowFormat: allowFormat.includes(disk.id) } : disk;
  return { main: identity(main), backup: identity(backup) };
}
