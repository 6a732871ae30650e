/** The one SSH connection to the Pi that everything in a run shares. */
import { createHash, timingSafeEqual } from "node:crypto";
import { Client, type ClientChannel, type ConnectConfig } from "ssh2";
import { UserError } from "./user-error.ts";

export interface Connection {
  host: string;
  /** @default 22 */
  port?: number;
  user: string;
  /** `ssh-ed25519 AAAA…`, pinned. */
  hostKey: string;
  /** PEM text; without it the SSH agent is asked. */
  privateKey?: string;
  /** @default SSH_AUTH_SOCK of the environment */
  agentSocketPath?: string;
  /** Immich's port on the Pi's own loopback. @default 2283 */
  apiPort?: number;
}

/** The Pi did not answer at all: no fault of the settings, necessarily. */
export class OutOfReach extends UserError {}

const connectTimeout = 10_000;
/** Long enough for what lies between the preflight and the first account: Docker and Immich come up. */
const idleTime = 15 * 60_000;

export const fingerprint = (key: Buffer) =>
  `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;

export function hostKeyBlob(hostKey: string): { type: string; blob: Buffer } {
  const [type, base64] = hostKey.trim().split(/\s+/);
  const blob = Buffer.from(base64 ?? "", "base64");
  if (!type || blob.length < 4 || !blob.includes(type)) {
    throw new UserError(
      `The Pi's host key is not an OpenSSH public key: give the line that "ssh-keyscan" prints, without the host, as pi.hostKey ("ssh-ed25519 AAAA…").`,
      "pi.hostKey",
    );
  }
  return { type, blob };
}

/** What ssh2 is told, and a hook that remembers a key that is not the pinned one. */
function connectConfig(connection: Connection, presented: (key: Buffer) => void): ConnectConfig {
  const { type, blob } = hostKeyBlob(connection.hostKey);
  const agent = connection.agentSocketPath ?? process.env.SSH_AUTH_SOCK;
  return {
    host: connection.host,
    port: connection.port ?? 22,
    username: connection.user,
    ...(connection.privateKey
      ? { privateKey: connection.privateKey }
      : agent
        ? { agent }
        : undefined),
    readyTimeout: connectTimeout,
    keepaliveInterval: 15_000,
    // A Pi that unpacks images may leave its sshd without a turn for longer than ssh2's three.
    keepaliveCountMax: 8,
    algorithms: {
      // Asks for the pinned key's kind: a server has several keys, and offers another one first.
      serverHostKey: (type === "ssh-rsa"
        ? ["rsa-sha2-512", "rsa-sha2-256"]
        : [type]) as NonNullable<NonNullable<ConnectConfig["algorithms"]>["serverHostKey"]>,
    },
    hostVerifier: (key: Buffer) => {
      presented(key);
      return key.length === blob.length && timingSafeEqual(key, blob);
    },
  };
}

export class SharedConnection {
  readonly #connection: Connection;
  #client: Promise<Client> | undefined;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Runs `work` on the open connection, opening it when need be. */
  async use<T>(work: (client: Client) => Promise<T>): Promise<T> {
    clearTimeout(this.#idle);
    this.#users++;
    try {
      this.#client ??= this.#open();
      const client = await this.#client;
      return await work(client);
    } finally {
      this.#users--;
      if (this.#users === 0) {
        this.#idle = setTimeout(() => void this.close(), idleTime);
        this.#idle.unref();
      }
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const open = this.#client;
    this.#client = undefined;
    await open?.then(
      (client) => client.end(),
      () => undefined,
    );
  }

  async #open(): Promise<Client> {
    const { host, port, user } = this.#connection;
    const where = `${user}@${host}${port && port !== 22 ? `:${port}` : ""}`;
    let offered: Buffer | undefined;
    const client = new Client();
    try {
      const config = connectConfig(this.#connection, (key) => {
        offered = key;
      });
      await new Promise<void>((resolve, reject) => {
        client.once("ready", resolve);
        client.once("error", reject);
        client.once("close", () => reject(new Error("the connection was closed")));
        client.connect(config);
      });
    } catch (error) {
      this.#client = undefined;
      client.destroy();
      throw explainConnect(error, this.#connection, where, offered);
    }
    const forget = () => {
      this.#client = undefined;
    };
    client.on("error", forget);
    client.on("close", forget);
    return client;
  }
}

function explainConnect(
  error: unknown,
  connection: Connection,
  where: string,
  offered: Buffer | undefined,
): Error {
  if (error instanceof UserError) return error;
  const { message, level, code } = error as Error & { level?: string; code?: string };
  const { type, blob } = hostKeyBlob(connection.hostKey);
  if (offered && !(offered.length === blob.length && timingSafeEqual(offered, blob))) {
    return new UserError(
      `The machine at ${connection.host} shows another host key than the pinned one: it shows ${fingerprint(offered)}, pinned is ${fingerprint(blob)}. If the Pi was set up anew, look at its key on its own screen ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub") and set pi.hostKey; if not, someone may be in between. Nothing was sent to it.`,
      "pi.hostKey",
    );
  }
  if (/host key format/i.test(message)) {
    return new UserError(
      `The machine at ${connection.host} has no host key of the kind "${type}" that pi.hostKey pins (${fingerprint(blob)}): set pi.hostKey to a key that "ssh-keyscan ${connection.host}" shows, after comparing it with the Pi's own screen. Nothing was sent to it.`,
      "pi.hostKey",
    );
  }
  if (level === "client-authentication") {
    const means = connection.privateKey
      ? "the key in pi.privateKeyFile"
      : "the keys that the SSH agent holds";
    return new UserError(
      `The Pi refused to let "${connection.user}" in with ${means}: check pi.user, and that the public key stands in ~${connection.user}/.ssh/authorized_keys on the Pi.`,
      connection.privateKey ? "pi.privateKeyFile" : "pi.user",
    );
  }
  if (/parse privateKey|Encrypted private|Unsupported key format/i.test(message)) {
    return new UserError(
      `The private key in pi.privateKeyFile could not be read as an SSH key: use a key without passphrase, or "ssh-add" it and remove the setting so that the agent is asked.`,
      "pi.privateKeyFile",
    );
  }
  const reason =
    code === "ENOTFOUND" || code === "EAI_AGAIN"
      ? "its name is not known"
      : code === "ECONNREFUSED"
        ? "nothing listens on its SSH port"
        : level === "client-timeout" || code === "ETIMEDOUT"
          ? "it does not answer"
          : message;
  return new OutOfReach(`The Pi at ${where} is out of reach: ${reason}.`, "pi.host");
}

/** Runs one command with `input` on its stdin. */
export async function runCommand(
  client: Client,
  command: string,
  input: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const channel = await new Promise<ClientChannel>((resolve, reject) =>
    client.exec(command, (error, stream) => (error ? reject(error) : resolve(stream))),
  );
  let stdout = "";
  let stderr = "";
  channel.setEncoding("utf8");
  channel.stderr.setEncoding("utf8");
  channel.on("data", (text: string) => {
    stdout += text;
  });
  channel.stderr.on("data", (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    let code = -1;
    channel.on("exit", (status: number | null) => {
      code = status ?? -1;
    });
    channel.on("close", () => resolve({ code, stdout, stderr }));
    channel.on("error", reject);
    channel.end(input);
  });
}
