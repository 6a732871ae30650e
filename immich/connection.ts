/** The one SSH connection to the Pi that everything in a run shares. */
import { createHash, timingSafeEqual } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import ssh2, {
  Client,
  type ConnectConfig,
  type OpenSSHAgent,
  type SignCallback,
  type SigningRequestOptions,
} from "ssh2";
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

/** Milliseconds: until keys are exchanged, until the sign-in is done, and until an agent that asks its user has an answer. */
const times = { connect: 10_000, signIn: 20_000, agent: 60_000 };
type Times = typeof times;
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

/** How far a connection came, for the sentence that says why there is none. */
interface Attempt {
  /** The host key that was shown. */
  offered?: Buffer;
  /** What was read before SSH began, shortened: a server that is not SSH, or an sshd that sends people away. */
  heard: string;
  /** Keys are exchanged; what fails from here on is the sign-in. */
  signingIn: boolean;
  /** What the Pi lets people in by, once it has refused something. */
  methods?: string[];
  /** One of them was enough, and it wants another, too. */
  partial?: boolean;
  /** What the agent could not do, such as sign with a key that it holds. */
  agentError?: string;
  /** It was asked and has not answered, as one that asks its user first. */
  agentAsked: boolean;
}

/** ssh2's agent, and whether it has answered. */
class WatchedAgent extends ssh2.OpenSSHAgent {
  readonly #attempt: Attempt;

  constructor(socket: string, attempt: Attempt) {
    super(socket);
    this.#attempt = attempt;
  }

  override getIdentities(done: Parameters<OpenSSHAgent["getIdentities"]>[0]): void {
    this.#attempt.agentAsked = true;
    super.getIdentities((error, keys) => {
      this.#attempt.agentAsked = false;
      done(error, keys);
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: with options before the callback, and without them.
  override sign(...words: any[]): boolean {
    this.#attempt.agentAsked = true;
    const done = words.pop() as SignCallback;
    const [key, data, options] = words as [Buffer, Buffer, SigningRequestOptions?];
    return super.sign(key, data, options, (...answer) => {
      this.#attempt.agentAsked = false;
      done(...answer);
    });
  }
}

function agentSocket(connection: Connection): string | undefined {
  return connection.agentSocketPath ?? process.env.SSH_AUTH_SOCK;
}

function connectConfig(connection: Connection, attempt: Attempt): ConnectConfig {
  const { type, blob } = hostKeyBlob(connection.hostKey);
  const agent = agentSocket(connection);
  const means: ("none" | "publickey" | "agent")[] = ["none"];
  if (connection.privateKey) means.push("publickey");
  else if (agent) means.push("agent");
  return {
    username: connection.user,
    ...(connection.privateKey
      ? { privateKey: connection.privateKey }
      : agent
        ? { agent: new WatchedAgent(agent, attempt) }
        : undefined),
    authHandler: (methods: string[] | null, partial: boolean | null) => {
      if (methods) attempt.methods = methods;
      if (partial) attempt.partial = true;
      return means.shift() ?? false;
    },
    // The deadlines are below: one for the way, one for the sign-in.
    readyTimeout: 0,
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
      attempt.offered = key;
      return key.length === blob.length && timingSafeEqual(key, blob);
    },
  };
}

class Late extends Error {}

/** @throws what ssh2 said; `attempt` tells how far it came. */
async function dial(connection: Connection, attempt: Attempt, times: Times): Promise<Client> {
  const client = new Client();
  const socket = connect({ host: connection.host, port: connection.port ?? 22 });
  const timers: NodeJS.Timeout[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      const within = (milliseconds: number, otherwise: () => void) =>
        timers.push(setTimeout(otherwise, milliseconds));
      socket.once("error", reject);
      // ssh2 reads what follows; this listens to the beginning alone.
      const hear = (chunk: Buffer) => {
        attempt.heard += chunk.toString("latin1");
        if (attempt.heard.length > 500 || /^SSH-/m.test(attempt.heard)) socket.off("data", hear);
      };
      socket.on("data", hear);
      within(times.connect, () => {
        if (!attempt.signingIn) reject(new Late());
      });
      client.once("handshake", () => {
        attempt.signingIn = true;
        within(times.signIn, () => {
          if (!attempt.agentAsked) reject(new Late());
        });
        within(times.agent, () => reject(new Late()));
      });
      client.once("ready", resolve);
      client.on("error", (error: Error & { level?: string }) => {
        // The next key may do: ssh2 goes on, and says at the end that none did.
        if (error.level === "agent") attempt.agentError = error.message;
        else reject(error);
      });
      client.once("close", () => reject(new Error("it closed the connection")));
      client.connect({ ...connectConfig(connection, attempt), sock: socket });
    });
    return client;
  } catch (error) {
    client.destroy();
    socket.destroy();
    throw error;
  } finally {
    for (const timer of timers) clearTimeout(timer);
  }
}

export interface Ran {
  /** -1 when it ended without one. */
  code: number;
  stdout: string;
  stderr: string;
}

export class SharedConnection {
  readonly #connection: Connection;
  readonly #times: Times;
  #client: Promise<Client> | undefined;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(connection: Connection, patience: Times = times) {
    this.#connection = connection;
    this.#times = patience;
  }

  /** `pi@192.168.11.14`, as in a command line of ssh's. */
  get where(): string {
    const { host, port, user } = this.#connection;
    return `${port && port !== 22 ? `-p ${port} ` : ""}${user}@${host}`;
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

  /**
   * Runs one command with `input` on its stdin.
   *
   * @throws {OutOfReach} when the connection breaks.
   * @throws {UserError} when the command has not ended after `seconds`, as with a disk that hangs.
   */
  async run(command: string, input: string, seconds: number): Promise<Ran> {
    return this.use(async (client) => {
      const late = Symbol("late");
      try {
        const ran = await Promise.race([
          runCommand(client, command, input),
          sleep(seconds * 1000, late, { ref: false }),
        ]);
        if (typeof ran !== "symbol") return ran;
      } catch (error) {
        throw new OutOfReach(
          `The Pi at ${this.where} is out of reach: it broke off in the middle (${(error as Error).message}).`,
          "pi.host",
        );
      }
      // The process that hangs would keep its channel for ever.
      this.#client = undefined;
      client.destroy();
      throw new UserError(
        `The Pi took the connection and has not answered within ${seconds} seconds: a disk of it hangs, or its login asks something. Look at its screen, or restart it. Nothing was changed.`,
        "pi.host",
      );
    });
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
    try {
      const client = await this.#dialPatiently();
      const opened = this.#client;
      const forget = () => {
        if (this.#client === opened) this.#client = undefined;
      };
      client.on("error", forget);
      client.on("close", forget);
      return client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  /** An sshd that has many at its door sends some away before a word of SSH, and takes them a moment later. */
  async #dialPatiently(): Promise<Client> {
    for (let tries = 1; ; tries++) {
      const attempt: Attempt = { heard: "", signingIn: false, agentAsked: false };
      try {
        return await dial(this.#connection, attempt, this.#times);
      } catch (error) {
        if (!isSentAway(error, attempt) || tries === 3) {
          throw await explainConnect(error, this.#connection, attempt, this.#times);
        }
      }
      await sleep(tries * 1000);
    }
  }
}

const isSsh = ({ heard }: Attempt) => /^SSH-/m.test(heard);

/** Connected, and closed before SSH began: by sshd's MaxStartups or PerSourcePenalties, or while it starts. */
function isSentAway(error: unknown, attempt: Attempt): boolean {
  const { message, code } = error as NodeJS.ErrnoException;
  const closed =
    code === "ECONNRESET" || /before handshake|closed the connection/.test(message ?? "");
  return closed && !isSsh(attempt) && (attempt.heard === "" || isSshd(attempt.heard));
}

/** OpenSSH's own words to whom it does not want now. */
const isSshd = (heard: string) => /^(Exceeded MaxStartups|Not allowed at this time)/m.test(heard);

async function explainConnect(
  error: unknown,
  connection: Connection,
  attempt: Attempt,
  times: Times,
): Promise<Error> {
  if (error instanceof UserError) return error;
  const { host, port, user } = connection;
  const where = `${user}@${host}${port && port !== 22 ? `:${port}` : ""}`;
  const { offered, heard, signingIn } = attempt;
  const { message, level, code } = error as Error & { level?: string; code?: string | number };
  const { type, blob } = hostKeyBlob(connection.hostKey);
  if (offered && !(offered.length === blob.length && timingSafeEqual(offered, blob))) {
    return new UserError(
      `The machine at ${host} shows another host key than the pinned one: it shows ${fingerprint(offered)}, pinned is ${fingerprint(blob)}. If the Pi was set up anew, look at its key on its own screen ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub") and set pi.hostKey; if not, someone may be in between. Nothing was sent to it.`,
      "pi.hostKey",
    );
  }
  if (/host key format/i.test(message)) {
    return new UserError(
      `The machine at ${host} has no host key of the kind "${type}" that pi.hostKey pins (${fingerprint(blob)}): set pi.hostKey to a key that "ssh-keyscan ${host}" shows, after comparing it with the Pi's own screen. Nothing was sent to it.`,
      "pi.hostKey",
    );
  }
  if (/parse privateKey|Encrypted private|Unsupported key format|private key$/i.test(message)) {
    return new UserError(
      `The private key in pi.privateKeyFile could not be read as an SSH key: use a key without passphrase, or "ssh-add" it and remove the setting so that the agent is asked.`,
      "pi.privateKeyFile",
    );
  }
  if (signingIn) return refusedSignIn(error, connection, attempt, times);
  if (heard !== "" && !isSsh(attempt) && !isSshd(heard)) {
    return new UserError(
      `What answers at ${host} port ${port ?? 22} is no SSH server (it says ${shown(heard)}): check pi.host and pi.port, and that SSH is switched on on the Pi.`,
      "pi.host",
    );
  }
  if (level === "handshake" || (isSsh(attempt) && level === "protocol")) {
    return new UserError(
      `The SSH server at ${host} (${shown(heard)}) and the kit have no common way to talk (${message}): use the SSH server of a current Raspberry Pi OS, with its own list of ciphers.`,
      "pi.host",
    );
  }
  const reason = isSentAway(error, attempt)
    ? `it closes connections before SSH begins${heard ? ` (it says ${shown(heard)})` : ""}, as a Pi does that is just starting or has too many at its door: wait some minutes`
    : error instanceof Late
      ? heard === ""
        ? `it does not answer within ${times.connect / 1000} seconds`
        : "it begins to answer and does not go on, as a Pi whose disk hangs"
      : code === "ENOTFOUND" || code === "EAI_AGAIN"
        ? "its name is not known"
        : code === "ECONNREFUSED"
          ? "nothing listens on its SSH port"
          : code === "ETIMEDOUT"
            ? "it does not answer"
            : code === "EHOSTUNREACH" || code === "ENETUNREACH"
              ? "this computer has no way to it, as from another network"
              : message;
  return new OutOfReach(`The Pi at ${where} is out of reach: ${reason}.`, "pi.host");
}

/** The machine is there and is the right one: what is wrong is the account, the key or the agent, and no absence. */
async function refusedSignIn(
  error: unknown,
  connection: Connection,
  attempt: Attempt,
  times: Times,
): Promise<UserError> {
  const { user, privateKey } = connection;
  const setting = privateKey ? "pi.privateKeyFile" : "pi.user";
  const socket = privateKey ? undefined : agentSocket(connection);
  const kinds = socket ? await agentKinds(socket) : undefined;
  const said = (error as Error).message;
  const useFile = "name the Pi's key alone in pi.privateKeyFile (without a passphrase)";
  if (error instanceof Late && attempt.agentAsked) {
    return new UserError(
      `The SSH agent did not answer within ${times.agent / 1000} seconds: if it asks before it uses a key, confirm there and run the same command again; else ${useFile}.`,
      "pi.privateKeyFile",
    );
  }
  if (error instanceof Late) {
    return new UserError(
      `The Pi did not finish the sign-in of "${user}" within ${times.signIn / 1000} seconds: it is very busy, or a disk of it hangs. Look at its screen, or restart it.`,
      "pi.host",
    );
  }
  if (attempt.partial) {
    return new UserError(
      `The Pi took the key of "${user}" and asks for something more (${attempt.methods?.join(", ")}), which the kit cannot give: let the key alone do, by AuthenticationMethods in its sshd_config.`,
      "pi.user",
    );
  }
  if (attempt.methods && !attempt.methods.includes("publickey")) {
    return new UserError(
      `The Pi lets "${user}" in by ${attempt.methods.join(", ") || "nothing"} alone, and the kit comes with a key: switch PubkeyAuthentication on in its sshd_config.`,
      "pi.user",
    );
  }
  if (/Too many authentication failures/i.test(said)) {
    return new UserError(
      `The Pi refused to let "${user}" in after too many keys of the SSH agent${kinds ? ` (it holds ${kinds.length})` : ""} had been tried, before the right one came: ${useFile}, or take the others out of the agent ("ssh-add -d").`,
      "pi.privateKeyFile",
    );
  }
  if ((error as { level?: string }).level !== "client-authentication") {
    return new UserError(
      `The Pi ended the sign-in of "${user}" (${said}): the account may be locked or expired ("sudo chage -l ${user}" there), or the Pi is going down. "sudo journalctl -u ssh" on it says which.`,
      "pi.user",
    );
  }
  if (socket && kinds === undefined) {
    return new UserError(
      `The SSH agent does not answer any more (${attempt.agentError ?? "no keys came"}): start it again and "ssh-add" the Pi's key, or ${useFile}.`,
      "pi.privateKeyFile",
    );
  }
  if (socket && kinds?.length === 0) {
    return new UserError(
      `The SSH agent holds no key, or is locked: "ssh-add" the Pi's key ("ssh-add -X" unlocks it), or ${useFile}.`,
      "pi.privateKeyFile",
    );
  }
  if (kinds?.every((kind) => kind.startsWith("sk-"))) {
    return new UserError(
      `The SSH agent holds keys of a security key only (${[...new Set(kinds)].join(", ")}), which the kit's SSH cannot use: make one of another kind by "ssh-keygen -t ed25519", let it in on the Pi and "ssh-add" it.`,
      "pi.privateKeyFile",
    );
  }
  if (!privateKey && !socket) {
    return new UserError(
      `The Pi asks for a key, and there is neither an SSH agent nor pi.privateKeyFile: start the agent and "ssh-add" the Pi's key, or ${useFile}.`,
      "pi.privateKeyFile",
    );
  }
  if (attempt.agentError) {
    return new UserError(
      `The SSH agent would not use a key of its own for the Pi (${attempt.agentError}): confirm where it asks, or ${useFile}.`,
      "pi.privateKeyFile",
    );
  }
  const means = privateKey ? "the key in pi.privateKeyFile" : "the keys that the SSH agent holds";
  return new UserError(
    `The Pi refused to let "${user}" in with ${means}: check pi.user, and that the public key stands in ~${user}/.ssh/authorized_keys on the Pi.`,
    setting,
  );
}

/** The kinds of the keys that an agent lists, those too that ssh2 does not know; undefined when it does not answer. */
export async function agentKinds(socket: string): Promise<string[] | undefined> {
  const answer = await new Promise<Buffer>((resolve) => {
    let read = Buffer.alloc(0);
    // SSH_AGENTC_REQUEST_IDENTITIES, with its length before it.
    const asked = connect(socket, () => asked.write(Buffer.from([0, 0, 0, 1, 11])));
    asked.setTimeout(2000, () => asked.destroy());
    asked.on("error", () => resolve(read));
    asked.on("close", () => resolve(read));
    asked.on("data", (chunk) => {
      read = Buffer.concat([read, chunk]);
      if (read.length >= 4 && read.length >= 4 + read.readUInt32BE(0)) asked.destroy();
    });
  });
  try {
    let at = 5;
    const text = () => {
      const length = answer.readUInt32BE(at);
      at += 4 + length;
      return answer.subarray(at - length, at);
    };
    // SSH_AGENT_IDENTITIES_ANSWER; a failure is an agent that lists none.
    if (answer.readUInt8(4) !== 12) return [];
    const count = answer.readUInt32BE(at);
    at += 4;
    return Array.from({ length: count }, () => {
      const blob = text();
      text(); // its comment
      return blob.subarray(4, 4 + blob.readUInt32BE(0)).toString("latin1");
    });
  } catch {
    return undefined;
  }
}

/** What a machine said, as it can stand in a sentence. */
export function shown(text: string): string {
  const clean = stripVTControlCharacters(text)
    .replace(/[\p{Cc}\s]+/gu, " ")
    .trim();
  return `"${clean.length > 120 ? `${clean.slice(0, 120)}…` : clean}"`;
}

function runCommand(client: Client, command: string, input: string): Promise<Ran> {
  let isLost = false;
  client.once("close", () => {
    isLost = true;
  });
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error) return reject(error);
      let stdout = "";
      let stderr = "";
      let code: number | undefined;
      // At once: a short command's end may come in the same packet as its beginning.
      channel.on("exit", (status: number | null) => {
        code = status ?? -1;
      });
      channel.on("close", () =>
        code === undefined && isLost
          ? reject(new Error("the connection broke"))
          : resolve({ code: code ?? -1, stdout, stderr }),
      );
      // A command may end without having read all that it is sent.
      channel.on("error", () => undefined);
      channel.setEncoding("utf8");
      channel.stderr.setEncoding("utf8");
      channel.on("data", (text: string) => {
        stdout += text;
      });
      channel.stderr.on("data", (text: string) => {
        stderr += text;
      });
      channel.end(input);
    });
  });
}
