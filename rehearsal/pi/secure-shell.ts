/** One SSH connection to the virtual Pi, opened when it is needed and kept: a handshake is slow. */
import { readFile } from "node:fs/promises";
import { Client } from "ssh2";

export interface CommandResult {
  stdout: string;
  stderr: string;
  /** The exit status; 255 when a signal ended the command. */
  code: number;
}

export interface SecureShellTarget {
  port: number;
  user: string;
  privateKeyFile: string;
  /** "ssh-ed25519 AAAA…": no other key is accepted. */
  hostKey: string;
}

export class SecureShell {
  readonly #target: SecureShellTarget;
  #client: Promise<Client> | undefined;
  #current: Client | undefined;

  constructor(target: SecureShellTarget) {
    this.#target = target;
  }

  async run(
    command: string | string[],
    options: { stdin?: string | Buffer; timeoutMs?: number } = {},
  ): Promise<CommandResult> {
    const line = typeof command === "string" ? command : command.map(shellWord).join(" ");
    const timeoutMs = options.timeoutMs ?? 120_000;
    const client = await this.connection();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.close();
        reject(new Error(`"${line}" did not end on the virtual Pi within ${timeoutMs / 1000} s.`));
      }, timeoutMs);
      const lost = () => {
        clearTimeout(timer);
        reject(new Error(`The SSH connection ended while "${line}" ran on the virtual Pi.`));
      };
      client.once("close", lost);
      client.exec(line, (error, stream) => {
        if (error) {
          client.off("close", lost);
          clearTimeout(timer);
          reject(error);
          return;
        }
        const stdout: Buffer[] = [];
        const stderr: Buffer[] = [];
        let code = 255;
        stream.on("data", (bytes: Buffer) => stdout.push(bytes));
        stream.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
        stream.on("exit", (status: number | null) => {
          code = status ?? 255;
        });
        stream.on("close", () => {
          client.off("close", lost);
          clearTimeout(timer);
          resolve({
            stdout: Buffer.concat(stdout).toString("utf8"),
            stderr: Buffer.concat(stderr).toString("utf8"),
            code,
          });
        });
        stream.end(options.stdin ?? "");
      });
    });
  }

  /** The open connection, made when there is none. */
  connection(timeoutMs = 30_000): Promise<Client> {
    this.#client ??= this.#connect(timeoutMs);
    return this.#client;
  }

  close(): void {
    const client = this.#current;
    this.#client = undefined;
    this.#current = undefined;
    client?.destroy();
  }

  async #connect(timeoutMs: number): Promise<Client> {
    const privateKey = await readFile(this.#target.privateKeyFile);
    const expected = Buffer.from(this.#target.hostKey.split(" ")[1] ?? "", "base64");
    const client = new Client();
    this.#current = client;
    const attempt = new Promise<Client>((resolve, reject) => {
      client.once("ready", () => resolve(client));
      client.once("error", reject);
      client.once("close", () => reject(new Error("The SSH connection was closed.")));
    });
    const forget = () => {
      // A later connection is none of this one's business.
      if (this.#current === client) {
        this.#client = undefined;
        this.#current = undefined;
      }
    };
    client.on("error", forget);
    client.on("close", forget);
    client.connect({
      host: "127.0.0.1",
      port: this.#target.port,
      username: this.#target.user,
      privateKey,
      readyTimeout: timeoutMs,
      keepaliveInterval: 15_000,
      hostVerifier: (key: Buffer) => key.equals(expected),
      algorithms: { serverHostKey: ["ssh-ed25519"] },
    });
    return attempt;
  }
}

/** One word for a POSIX shell. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_/.:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
