import { setTimeout as sleep } from "node:timers/promises";
import ssh2 from "ssh2";

export interface Connection {
  host: string;
  port: number;
  user: string;
  password: string | undefined;
  privateKey: string | undefined;
  privateKeyPassword: string | undefined;
  agentSocketPath: string | undefined;
  /** As in authorized_keys: type and base64. Without it any key is taken. */
  hostKey: string | undefined;
  /** -1: no limit. */
  dialErrorLimit: number;
  perDialTimeoutSeconds: number;
}

export interface Ran {
  stdout: string;
  stderr: string;
  /** Both, in the order they came. */
  both: string;
  failure?: string;
}

export class Canceled extends Error {
  override name = "Canceled";
}

const firstDelayMilliseconds = 250;
const backoff = 1.5;
const longestDelayMilliseconds = 5000;

export async function runOverSsh(options: {
  connection: Connection;
  line: string;
  stdin: string;
  env: Record<string, string>;
  signal: AbortSignal;
  onRetry(words: string): void;
  onLine(stream: "stdout" | "stderr", text: string): void;
}): Promise<Ran> {
  const client = await dialWithRetry(options.connection, options.onRetry, options.signal);
  const onAbort = () => client.destroy();
  options.signal.addEventListener("abort", onAbort);
  try {
    // While it was dialling nobody listened.
    if (options.signal.aborted) throw new Canceled("context canceled");
    return await run(client, options);
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    client.end();
  }
}

async function dialWithRetry(
  connection: Connection,
  onRetry: (words: string) => void,
  signal: AbortSignal,
): Promise<ssh2.Client> {
  const limit = connection.dialErrorLimit;
  let delay = firstDelayMilliseconds;
  for (let dials = 1; ; dials += 1) {
    if (signal.aborted) throw new Canceled("context canceled");
    try {
      return await dial(connection);
    } catch (error) {
      if (limit > -1 && dials > limit) {
        throw new Error(`after ${dials - 1} failed attempts: ${(error as Error).message}`);
      }
      onRetry(`Dial ${dials}/${limit === -1 ? "inf" : limit} failed: retrying`);
    }
    await sleep(delay, undefined, { signal }).catch(() => {
      throw new Canceled("context canceled");
    });
    delay = Math.min(delay * backoff, longestDelayMilliseconds);
  }
}

function dial(connection: Connection): Promise<ssh2.Client> {
  const expected = connection.hostKey === undefined ? undefined : parseHostKey(connection.hostKey);
  const client = new ssh2.Client();
  return new Promise((resolve, reject) => {
    let mismatch = false;
    client.once("ready", () => {
      client.removeAllListeners("error");
      // A connection that breaks later tells its channel; here it must only not end the process.
      client.on("error", () => undefined);
      resolve(client);
    });
    client.once("error", (error) => {
      client.end();
      reject(mismatch ? new Error("ssh: handshake failed: ssh: host key mismatch") : error);
    });
    client.once("close", () =>
      reject(new Error("ssh: the connection closed during the handshake")),
    );
    try {
      client.connect({
        host: connection.host,
        port: connection.port,
        username: connection.user,
        readyTimeout: connection.perDialTimeoutSeconds * 1000,
        ...(connection.password !== undefined && { password: connection.password }),
        ...(connection.privateKey !== undefined && { privateKey: connection.privateKey }),
        ...(connection.privateKeyPassword !== undefined && {
          passphrase: connection.privateKeyPassword,
        }),
        ...(connection.agentSocketPath && { agent: connection.agentSocketPath }),
        ...(expected && {
          algorithms: { serverHostKey: [expected.type as ssh2.ServerHostKeyAlgorithm] },
          hostVerifier: (key: Buffer) => {
            mismatch = !key.equals(expected.blob);
            return !mismatch;
          },
        }),
      });
    } catch (error) {
      reject(error);
    }
  });
}

export function parseHostKey(line: string): { type: string; blob: Buffer } {
  const [type = "", base64 = ""] = line.trim().split(/\s+/);
  const blob = Buffer.from(base64, "base64");
  const named = blob.length > 4 ? blob.subarray(4, 4 + blob.readUInt32BE(0)).toString() : "";
  if (type === "" || named !== type) {
    throw new Error("failed to parse host key: ssh: no key found");
  }
  return { type, blob };
}

function run(
  client: ssh2.Client,
  options: {
    line: string;
    stdin: string;
    env: Record<string, string>;
    onLine(stream: "stdout" | "stderr", text: string): void;
  },
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    client.exec(options.line, { env: options.env }, (error, channel) => {
      if (error) return reject(error);
      const ran: Ran = { stdout: "", stderr: "", both: "" };
      const collect = (stream: "stdout" | "stderr") => {
        const decoder = new TextDecoder();
        let partial = "";
        return {
          take(chunk: Buffer) {
            const text = decoder.decode(chunk, { stream: true });
            ran[stream] += text;
            ran.both += text;
            const lines = (partial + text).split("\n");
            partial = lines.pop() ?? "";
            for (const line of lines) options.onLine(stream, line);
          },
          end() {
            if (partial !== "") options.onLine(stream, partial);
          },
        };
      };
      const stdout = collect("stdout");
      const stderr = collect("stderr");
      channel.on("data", (chunk: Buffer) => stdout.take(chunk));
      channel.stderr.on("data", (chunk: Buffer) => stderr.take(chunk));
      let status: number | null | undefined;
      let signal: string | undefined;
      channel.on("exit", (code: number | null, name?: string) => {
        status = code;
        signal = name;
      });
      channel.on("close", () => {
        stdout.end();
        stderr.end();
        if (typeof status === "number" && status !== 0) {
          ran.failure = `Process exited with status ${status}`;
        } else if (signal !== undefined) {
          ran.failure = `Process exited with status 1 from signal ${signal.replace(/^SIG/, "")}`;
        } else if (status === undefined) {
          ran.failure = "wait: remote command exited without exit status or exit signal";
        }
        resolve(ran);
      });
      // The command may end without reading its stdin.
      channel.on("error", () => undefined);
      channel.end(options.stdin);
    });
  });
}
