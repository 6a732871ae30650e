/** A real sshd on loopback with a configuration and keys of its own; a login runs `cat <facts>`. */
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { eventually, freePort, stop } from "./services.ts";

export interface Sshd {
  port: number;
  user: string;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  privateKey: string;
  privateKeyFile: string;
  /** What every command that is sent answers. */
  answer(text: string): void;
  /** Connections that were let in since the start. */
  logins(): number;
  stop(): Promise<void>;
}

export function makeKey(file: string): { publicKey: string; privateKey: string } {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file]);
  const [type, base64] = readFileSync(`${file}.pub`, "utf8").split(/\s+/);
  return { publicKey: `${type} ${base64}`, privateKey: readFileSync(file, "utf8") };
}

export async function startSshd(): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-sshd-"));
  const at = (name: string) => join(folder, name);
  const host = makeKey(at("host_key"));
  const client = makeKey(at("client_key"));
  copyFileSync(at("client_key.pub"), at("authorized_keys"));
  writeFileSync(at("facts"), "");
  chmodSync(folder, 0o755);
  // Debian's sshd wants the folder of its unprivileged part, which only its unit makes.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const port = await freePort();
  writeFileSync(
    at("sshd_config"),
    `ListenAddress 127.0.0.1:${port}
HostKey ${at("host_key")}
AuthorizedKeysFile ${at("authorized_keys")}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding local
ForceCommand cat ${at("facts")}
LogLevel VERBOSE
`,
  );
  let logs = "";
  const child = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", at("sshd_config")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  child.stderr.on("data", (text) => {
    logs += text;
  });
  await eventually(
    "sshd's start",
    () =>
      new Promise<void>((resolve, reject) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("error", reject);
        socket.once("data", () => {
          socket.destroy();
          resolve();
        });
      }),
    { logs: () => logs },
  );
  return {
    port,
    user: userInfo().username,
    hostKey: host.publicKey,
    privateKey: client.privateKey,
    privateKeyFile: at("client_key"),
    answer: (text) => writeFileSync(at("facts"), text),
    logins: () => logs.match(/^Accepted publickey/gm)?.length ?? 0,
    stop: async () => {
      await stop(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
