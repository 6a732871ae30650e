import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Debian's sshd on a free port of loopback, with keys and a configuration of its own. */
export class SshServer {
  readonly port: number;
  readonly #folder: string;
  readonly #process: ChildProcess;
  #log = "";

  static async start(): Promise<SshServer> {
    const server = new SshServer(await freePort());
    const deadline = Date.now() + 20_000;
    while (!server.#log.includes("Server listening")) {
      if (Date.now() > deadline) throw new Error(`sshd did not start:\n${server.#log}`);
      await sleep(20);
    }
    return server;
  }

  private constructor(port: number) {
    this.port = port;
    this.#folder = mkdtempSync(join(tmpdir(), "ouchi-sshd-"));
    const inside = (name: string) => join(this.#folder, name);
    for (const key of ["host", "other", "user"]) {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", inside(key)]);
    }
    writeFileSync(inside("authorized_keys"), readFileSync(inside("user.pub")), { mode: 0o600 });
    writeFileSync(
      inside("sshd_config"),
      [
        `Port ${port}`,
        "ListenAddress 127.0.0.1",
        `HostKey ${inside("host")}`,
        `AuthorizedKeysFile ${inside("authorized_keys")}`,
        `PidFile ${inside("pid")}`,
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "AcceptEnv PULUMI_COMMAND_*",
        "",
      ].join("\n"),
    );
    // sshd wants this folder for its unprivileged half; Debian's unit would make it.
    mkdirSync("/run/sshd", { recursive: true });
    this.#process = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", inside("sshd_config")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process.stderr!.on("data", (chunk: Buffer) => {
      this.#log += chunk.toString();
    });
  }

  get connection() {
    return {
      host: "127.0.0.1",
      port: this.port,
      user: userInfo().username,
      privateKey: readFileSync(join(this.#folder, "user"), "utf8"),
      hostKey: this.publicKey("host"),
      dialErrorLimit: 2,
    };
  }

  publicKey(name: "host" | "other"): string {
    return readFileSync(join(this.#folder, `${name}.pub`), "utf8").trim();
  }

  /** Sign-ins so far. */
  get connections(): number {
    return this.#log.split("Accepted publickey").length - 1;
  }

  stop(): void {
    this.#process.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
