/** What a Raspberry Pi's firmware does to the kernel's command line. */

export interface KernelCommandLine {
  /** The text of `cmdline.txt` on the boot partition. */
  cmdlineTxt: string;
  /** The root partition, as the kernel finds it: "PARTUUID=…". */
  root: string;
}

/**
 * The line the kernel is started with. As on a Pi the memory cgroup is off unless `cmdline.txt`
 * says `cgroup_enable=memory`. Unlike on a Pi: the console is the serial port that the rehearsal
 * logs, root is the virtual card whatever the file says, and the slowest parts of an emulated
 * kernel are off.
 */
export function kernelCommandLine({ cmdlineTxt, root }: KernelCommandLine): string {
  // The firmware reads the first line only.
  const words = (cmdlineTxt.split("\n")[0] ?? "").split(/\s+/).filter((word) => word !== "");
  const own = words.filter((word) => !/^(console|root)=/.test(word));
  const memoryControlled = words.some(
    (word) => word.startsWith("cgroup_enable=") && word.slice(14).split(",").includes("memory"),
  );
  return [
    "console=ttyS0",
    `root=${root}`,
    ...own,
    ...(memoryControlled ? [] : ["cgroup_disable=memory"]),
    ...["net.ifnames=0", "mitigations=off", "tsc=reliable", "nowatchdog", "quiet"],
  ].join(" ");
}
