/** A real sshd on loopback with a configuration and keys of its own; a login runs `cat <facts>`, or a shell of the test's. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
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

export interface SshdOptions {
  /** The user's login shell, which then runs what is sent. @default what is sent is answered by `answer` */
  shell?: string;
  /** Files in the user's home, such as `.bashrc`. */
  home?: Record<string, string>;
  /** More lines of sshd_config, before the rest. */
  config?: string[];
  /** Before the key in authorized_keys. */
  keyOptions?: string;
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-sshd-"));
  const at = (name: string) => join(folder, name);
  const host = makeKey(at("host_key"));
  const client = makeKey(at("client_key"));
  writeFileSync(
    at("authorized_keys"),
    `${options.keyOptions ? `${options.keyOptions} ` : ""}${client.publicKey}\n`,
  );
  writeFileSync(at("facts"), "");
  chmodSync(folder, 0o755);
  // Debian's sshd wants the folder of its unprivileged part, which only its unit makes.
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
  const port = await freePort();
  writeFileSync(
    at("sshd_config"),
    `${(options.config ?? []).join("\n")}
ListenAddress 127.0.0.1:${port}
HostKey ${at("host_key")}
AuthorizedKeysFile ${at("authorized_keys")}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding local
${options.shell ? "" : `ForceCommand cat ${at("facts")}`}
LogLevel VERBOSE
`,
  );
  let logs = "";
  const [program, ...words] = [
    ...(options.shell ? withLoginShell(folder, options.shell, options.home ?? {}) : []),
    ...["/usr/sbin/sshd", "-D", "-e", "-f", at("sshd_config")],
  ];
  const child = spawn(program!, words, { stdio: ["ignore", "ignore", "pipe"] });
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

/**
 * Words before a command that then finds this user with another login shell and home: /etc/passwd is another one there, in
 * a mount namespace of its own, and this machine's stays as it is.
 */
function withLoginShell(folder: string, shell: string, files: Record<string, string>): string[] {
  const home = join(folder, "home");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, name)), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  mkdirSync(home, { recursive: true });
  const { username } = userInfo();
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  const passwd = lines.map((line) =>
    line.startsWith(`${username}:`)
      ? [...line.split(":").slice(0, 5), home, shell].join(":")
      : line,
  );
  writeFileSync(join(folder, "passwd"), passwd.join("\n"));
  const entering = process.getuid?.() === 0 ? [] : ["--user", "--map-current-user"];
  return [
    ...["unshare", "--mount", ...entering, "sh", "-c"],
    'mount --bind "$1" /etc/passwd && shift && exec "$@"',
    ...["sh", join(folder, "passwd")],
  ];
}
