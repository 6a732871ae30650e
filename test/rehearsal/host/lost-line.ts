/** SSH that is lost in the middle of a program: a real sshd in the world, whose session dies after the program's N-th step. */
import { readFileSync } from "node:fs";
import type { HostWorld, Result } from "./host-world.ts";

export async function openLine(world: HostWorld): Promise<void> {
  const cut = readFileSync(new URL("./stand-ins/cut-line.py", import.meta.url), "utf8");
  world.write("/usr/local/sbin/cut-line.py", cut, 0o755);
  await world.shell(
    `mkdir -p -m 755 /run/sshd; mkdir -m 700 /run/ssh; cd /run/ssh
     ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; cp key.pub keys
     printf '%s\\n' 'ListenAddress 127.0.0.1:2222' 'HostKey /run/ssh/host' 'AuthorizedKeysFile /run/ssh/keys' \\
       'StrictModes no' 'UsePAM no' 'PermitRootLogin prohibit-password' 'PidFile none' >config
     /usr/sbin/sshd -f config`,
  );
}

/** Ends with 255 when the line was lost; the program itself goes on without it. */
export function overLine(
  world: HostWorld,
  step: number,
  program: string[],
  stdin: string,
): Promise<Result> {
  return world.run(
    [
      ...["ssh", "-p", "2222", "-i", "/run/ssh/key", "-o", "LogLevel=ERROR"],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
      "root@127.0.0.1",
      `PATH=/usr/local/sbin:$PATH cut-line.py ${step} ${program.join(" ")}`,
    ],
    { stdin },
  );
}
