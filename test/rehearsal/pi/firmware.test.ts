import { describe, expect, it } from "vitest";
import { kernelCommandLine } from "../../../rehearsal/pi/firmware.ts";

const root = "PARTUUID=0c1da7e5-02";
const rig = "net.ifnames=0 mitigations=off tsc=reliable nowatchdog quiet";

describe("the virtual Pi's firmware", () => {
  it("switches the memory cgroup off when cmdline.txt says nothing of it", () => {
    const cmdlineTxt = "console=serial0,115200 console=tty1 root=PARTUUID=x-02 rootwait\n";
    expect(kernelCommandLine({ cmdlineTxt, root })).toBe(
      `console=ttyS0 root=PARTUUID=0c1da7e5-02 rootwait cgroup_disable=memory ${rig}`,
    );
  });

  it("leaves the memory cgroup on when cmdline.txt enables it", () => {
    const cmdlineTxt = "rootwait cgroup_enable=memory cgroup_memory=1";
    expect(kernelCommandLine({ cmdlineTxt, root })).toBe(
      `console=ttyS0 root=PARTUUID=0c1da7e5-02 rootwait cgroup_enable=memory cgroup_memory=1 ${rig}`,
    );
  });

  it("does not take cpuset for memory", () => {
    const line = kernelCommandLine({ cmdlineTxt: "cgroup_enable=cpuset", root });
    expect(line).toContain("cgroup_disable=memory");
  });

  it("reads the first line only, as the Pi's firmware does", () => {
    const line = kernelCommandLine({ cmdlineTxt: "rootwait\ncgroup_enable=memory\n", root });
    expect(line).toContain("cgroup_disable=memory");
  });
});
