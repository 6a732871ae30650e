/**
 * What facts.sh prints on a fit Pi with two blank disks, usb-ONE and usb-TWO, with `changes` by fact. The disks
 * themselves are judged in the unit tests; the virtual Pi shows that a real one prints this.
 */
export const fitPi = (changes: Record<string, string> = {}): string =>
  Object.entries({
    look: "",
    architecture: "arm64",
    os: 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"',
    python3: "/usr/bin/python3",
    sudo: "yes",
    controllers: "cpuset cpu io memory pids",
    kernelLine: "/boot/firmware/cmdline.txt",
    memory: "8000000000",
    throttled: "throttled=0x0",
    resets: "0",
    bridges: "152d:0578",
    clock: String(Math.floor(Date.now() / 1000)),
    rootFree: "40000000000",
    route: '[{"dst":"default","gateway":"192.168.11.1","dev":"eth0"}]',
    addresses:
      '[{"ifname":"eth0","address":"dc:a6:32:00:00:01","addr_info":[{"local":"192.168.11.14","scope":"global"},{"local":"fe80::1","scope":"link"}]}]',
    rootDevice: "/dev/mmcblk0p2",
    blockDevices: JSON.stringify({
      blockdevices: ["/dev/sda", "/dev/sdb"].map((path) => ({
        path,
        type: "disk",
        size: 1e12,
        model: null,
        serial: null,
        wwn: null,
        fstype: null,
        label: null,
        uuid: null,
        pttype: null,
        mountpoints: [null],
      })),
    }),
    links: "/dev/sda /dev/disk/by-id/usb-ONE\n/dev/sdb /dev/disk/by-id/usb-TWO",
    targets: "/dev/sda /dev/disk/by-id/usb-ONE\n/dev/sdb /dev/disk/by-id/usb-TWO",
    drift: '{"format": 1, "busy": null, "found": []}',
    contents: "/dev/sda 0 \n/dev/sdb 0 ",
    ...changes,
    looked: "",
  })
    .map(([name, text]) => `@${name}\n${text}\n`)
    .join("");
