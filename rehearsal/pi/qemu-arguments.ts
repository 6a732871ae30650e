/** The virtual machine as a command line. */

export type DiskName = "sd" | "hdd1" | "hdd2";

/** What the guest finds on the host, at 10.0.2.100 and these ports, whatever the host's ports are. */
export const servicePorts = {
  registry: 5000,
  packages: 3142,
  tunnel: 7844,
  certificates: 8443,
  ntp: 1123,
  control: 8888,
  alarms: 8765,
} as const;

export type ServiceName = keyof typeof servicePorts;

export const diskSerials: Record<DiskName, string> = {
  sd: "OUCHI-SD",
  hdd1: "OUCHI-HDD1",
  hdd2: "OUCHI-HDD2",
};

export interface Machine {
  memoryMiB: number;
  cpus: number;
  kernel: string;
  initrd: string;
  /** The kernel's command line. */
  append: string;
  /** qcow2 files; a disk that is not given is not plugged in. */
  disks: { sd: string; hdd1?: string; hdd2?: string };
  /** Host ports of the services that there are. */
  services: Partial<Record<ServiceName, number>>;
  /** Loopback ports of the host that lead to the guest's. */
  forwards: { ssh: number; lan: number };
  monitorSocket: string;
  agentSocket: string;
  consoleLog: string;
  pidFile: string;
  /** What the hardware clock says at power on, as `YYYY-MM-DDTHH:MM:SS` in UTC. */
  clock: string;
  /** The memory of a snapshot, to go on from instead of booting. */
  incoming?: string;
}

/** The block device arguments of one disk under a node name; QEMU's quotes are doubled commas. */
export function blockNode(node: string, file: string): Record<string, unknown> {
  return {
    driver: "qcow2",
    "node-name": node,
    discard: "unmap",
    // The host does not wait for its own disk; what the guest has flushed is in the host's page
    // cache, which outlives a killed QEMU. See `powerCut`.
    cache: { "no-flush": true },
    file: { driver: "file", filename: file, cache: { "no-flush": true } },
  };
}

/** The same disk with sectors (of 512 bytes) that cannot be read any more: the kernel is told of an error, as by a worn disk. */
export function wornNode(
  node: string,
  file: string,
  unreadable: number[],
): Record<string, unknown> {
  return {
    driver: "blkdebug",
    "node-name": node,
    image: blockNode(`${node}-image`, file),
    "inject-error": unreadable.map((sector) => ({
      event: "none",
      iotype: "read",
      errno: 5,
      sector,
      once: false,
    })),
  };
}

/** Surprise removal needs a hot-pluggable bus: virtio-scsi stands for the Pi's USB. */
export function scsiDisk(disk: "hdd1" | "hdd2", node: string): Record<string, unknown> {
  return {
    driver: "scsi-hd",
    id: disk,
    bus: "scsi.0",
    // Its place on the bus tells the disks apart, and stays across an unplugging.
    "scsi-id": disk === "hdd1" ? 1 : 2,
    drive: node,
    serial: diskSerials[disk],
  };
}

export function qemuArguments(machine: Machine): string[] {
  const { disks, forwards } = machine;
  const network = [
    // The guest reaches what is listed here and nothing else.
    "user,id=net,restrict=on",
    `hostfwd=tcp:127.0.0.1:${forwards.ssh}-10.0.2.15:22`,
    `hostfwd=tcp:127.0.0.1:${forwards.lan}-10.0.2.15:2283`,
    ...Object.entries(machine.services).map(
      ([name, port]) =>
        `guestfwd=tcp:10.0.2.100:${servicePorts[name as ServiceName]}-cmd:socat -t 30 - TCP4:127.0.0.1:${port}`,
    ),
  ].join(",");
  return [
    "qemu-system-x86_64",
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", "q35,hpet=off,vmport=off", "-accel", "tcg,thread=multi,tb-size=512"],
    // Without cmpxchg16b: a fault in the midst of it leaves Debian 12's QEMU with wrong flags, and rarely the kernel panics.
    ...["-cpu", "max,cx16=off", "-smp", String(machine.cpus), "-m", String(machine.memoryMiB)],
    ...["-kernel", machine.kernel, "-initrd", machine.initrd, "-append", machine.append],
    ...["-rtc", `base=${machine.clock},clock=host`],
    // A guest's reboot ends QEMU, so that the next start reads cmdline.txt again as a Pi does.
    ...["-action", "reboot=shutdown"],
    ...["-pidfile", machine.pidFile],
    ...["-chardev", `file,id=console,path=${machine.consoleLog},append=on`],
    ...["-serial", "chardev:console"],
    ...["-qmp", `unix:${machine.monitorSocket},server=on,wait=off`],
    ...["-device", "virtio-serial-pci"],
    ...["-chardev", `socket,id=agent,path=${machine.agentSocket},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"],
    ...["-device", "virtio-rng-pci"],
    ...["-netdev", network, "-device", "virtio-net-pci,netdev=net,mac=52:54:00:0c:1d:a7,romfile="],
    ...["-blockdev", JSON.stringify(blockNode("sd-0", disks.sd))],
    ...["-device", `virtio-blk-pci,drive=sd-0,serial=${diskSerials.sd}`],
    ...["-device", "virtio-scsi-pci,id=scsi"],
    // Empty until something is plugged in; slots of its own, because the bus of the board takes none while it runs.
    ...["-device", "qemu-xhci,id=usb,p2=2,p3=2"],
    ...(["hdd1", "hdd2"] as const).flatMap((disk) => {
      const file = disks[disk];
      if (!file) return [];
      return [
        ...["-blockdev", JSON.stringify(blockNode(`${disk}-0`, file))],
        ...["-device", JSON.stringify(scsiDisk(disk, `${disk}-0`))],
      ];
    }),
    ...(machine.incoming ? ["-incoming", `exec:cat '${machine.incoming}'`] : []),
  ];
}
