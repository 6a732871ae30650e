/** Why nobody gets in: real sshd and real SSH agents, and machines that are no Pi. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ssh2 from "ssh2";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Connection, OutOfReach, SharedConnection } from "../../../immich/connection.ts";
import { UserError } from "../../../immich/user-error.ts";
import { freePort } from "./services.ts";
import { makeKey, type Sshd, type SshdOptions, startSshd } from "./sshd.ts";

/** Shorter than the real ones, which people wait for. */
const patience = { connect: 1500, signIn: 1500, agent: 3000 };

async function sshd(options: SshdOptions = {}): Promise<Sshd> {
  const started = await startSshd({ shell: "/bin/sh", ...options });
  onTestFinished(() => started.stop());
  return started;
}

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "ouchi-sign-in-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function listen(server: Server): Promise<number> {
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => open.add(socket.on("error", () => undefined)));
  onTestFinished(() => {
    for (const each of open) each.end();
    server.close();
  });
  return port;
}

/** How an attempt to get in ends. */
async function enter(there: Partial<Sshd> & { port: number }, more: Partial<Connection>) {
  const hostKey = there.hostKey ?? makeKey(join(temporary(), "key")).publicKey;
  const shared = new SharedConnection(
    { host: "127.0.0.1", port: there.port, user: there.user ?? "pi", hostKey, ...more },
    patience,
  );
  onTestFinished(() => shared.close());
  try {
    const { stdout } = await shared.run("echo in", "", 20);
    return { in: stdout.trim() === "in" };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, setting } = error;
    return { away: error instanceof OutOfReach, setting, message };
  }
}

/** OpenSSH's agent with these keys, one after the other. */
function sshAgent(...files: string[]): string {
  const socket = join(temporary(), "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  onTestFinished(() => {
    agent.kill();
  });
  execFileSync("sh", ["-c", `while ! [ -S ${socket} ]; do sleep 0.05; done`], { timeout: 10_000 });
  const env = { ...process.env, SSH_AUTH_SOCK: socket };
  for (const file of files) execFileSync("ssh-add", ["-q", file], { env, stdio: "pipe" });
  return socket;
}

const text = (value: string | Buffer) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return Buffer.concat([length, Buffer.from(value)]);
};
const count = (number: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
};

/** An agent that lists `blobs`, and then does with a request to sign what `onSign` says. */
async function pretendAgent(
  blobs: Buffer[],
  onSign: (client: Socket) => void = (client) => client.write(text(Buffer.from([5]))),
): Promise<string> {
  const socket = join(temporary(), "agent");
  const agent = createServer((client) => {
    client.on("error", () => undefined);
    client.on("data", (request) => {
      if (request[4] !== 11) return onSign(client);
      const keys = blobs.map((blob) => Buffer.concat([text(blob), text("a key")]));
      client.write(text(Buffer.concat([Buffer.from([12]), count(blobs.length), ...keys])));
    });
  });
  await new Promise<void>((resolve) => agent.listen(socket, resolve));
  onTestFinished(() => {
    agent.close();
  });
  return socket;
}

const blobOf = (there: Sshd) =>
  Buffer.from(readFileSync(`${there.privateKeyFile}.pub`, "utf8").split(" ")[1]!, "base64");
const strangers = (number: number) => {
  const folder = temporary();
  return Array.from({ length: number }, (_, i) => {
    makeKey(join(folder, `key${i}`));
    return join(folder, `key${i}`);
  });
};

/** A fault of the settings, by the one to mend, and the cure. */
const fault = (setting: string, message: RegExp) => ({
  away: false,
  setting,
  message: expect.stringMatching(message),
});
const away = (message: RegExp) => ({
  away: true,
  setting: "pi.host",
  message: expect.stringMatching(message),
});

describe("With an SSH agent", () => {
  it("that holds eight keys, the Pi's last, the cure is the key's file", async () => {
    const there = await sshd();
    const agentSocketPath = sshAgent(...strangers(7), there.privateKeyFile);
    expect(await enter(there, { agentSocketPath })).toEqual(
      fault(
        "pi.privateKeyFile",
        /too many keys of the SSH agent \(it holds 8\).*alone in pi\.privateKeyFile/,
      ),
    );
    // And it is one: the key beside the same agent lets in.
    const { privateKey } = there;
    expect(await enter(there, { agentSocketPath, privateKey })).toEqual({ in: true });
  });

  it("the Pi's key lets in, also after some strange ones", async () => {
    const there = await sshd();
    const agentSocketPath = sshAgent(...strangers(4), there.privateKeyFile);
    expect(await enter(there, { agentSocketPath })).toEqual({ in: true });
  });

  it("that holds other keys, the account and its authorized_keys are named", async () => {
    const agentSocketPath = sshAgent(...strangers(2));
    expect(await enter(await sshd(), { agentSocketPath })).toEqual(
      fault(
        "pi.user",
        /refused to let ".*" in with the keys that the SSH agent holds.*authorized_keys/,
      ),
    );
  });

  it("that is empty, ssh-add is the cure, and of a locked one, too", async () => {
    const there = await sshd();
    const empty = fault("pi.privateKeyFile", /holds no key, or is locked: "ssh-add"/);
    expect(await enter(there, { agentSocketPath: sshAgent() })).toEqual(empty);
    const agentSocketPath = sshAgent(there.privateKeyFile);
    await new Promise<void>((resolve) => {
      // SSH_AGENTC_LOCK, which ssh-add sends from a terminal only.
      const socket = connect(agentSocketPath, () =>
        socket.write(text(Buffer.concat([Buffer.from([22]), text("words")]))),
      );
      socket.once("data", () => resolve(void socket.destroy()));
    });
    expect(await enter(there, { agentSocketPath })).toEqual(empty);
  });

  it("that holds a security key's alone, it is said that those do not work", async () => {
    const sk = [text("sk-ssh-ed25519@openssh.com"), text(Buffer.alloc(32, 4)), text("ssh:")];
    const agentSocketPath = await pretendAgent([Buffer.concat(sk)]);
    expect(await enter(await sshd(), { agentSocketPath })).toEqual(
      fault("pi.privateKeyFile", /security key only \(sk-ssh-ed25519@openssh\.com\).*cannot use/),
    );
  });

  it("that will not sign, ends in the middle or asks for ever, it is the agent that is named", async () => {
    const there = await sshd();
    const refusing = await pretendAgent([blobOf(there)]);
    expect(await enter(there, { agentSocketPath: refusing })).toEqual(
      fault("pi.privateKeyFile", /agent would not use a key of its own/),
    );
    const dying = await pretendAgent([blobOf(there)], (client) => client.destroy());
    expect(await enter(there, { agentSocketPath: dying })).toEqual(
      fault("pi.privateKeyFile", /agent would not use a key of its own/),
    );
    const asking = await pretendAgent([blobOf(there)], () => undefined);
    expect(await enter(there, { agentSocketPath: asking })).toEqual(
      fault("pi.privateKeyFile", /agent did not answer within 3 seconds: if it asks/),
    );
    const gone = join(temporary(), "gone");
    expect(await enter(there, { agentSocketPath: gone })).toEqual(
      fault("pi.privateKeyFile", /agent does not answer any more/),
    );
  });

  it("that refuses to sign with one key, the next one is tried", async () => {
    const there = await sshd();
    let asked = 0;
    const agentSocketPath = await pretendAgent([blobOf(there), blobOf(there)], (client) => {
      asked++;
      client.write(text(Buffer.from([5])));
    });
    await enter(there, { agentSocketPath });
    expect(asked).toBe(2);
  });
});

describe("With a key of its own", () => {
  it.each([
    ["another user", { user: "nobody-of-this-name" }, "pi.privateKeyFile"],
    ["an account that sshd denies", { config: ["DenyUsers *"] }, "pi.privateKeyFile"],
  ])(
    "%s is refused, and not called away",
    async (_, { user, config = [] }: { user?: string; config?: string[] }, setting) => {
      const there = await sshd({ config });
      const { privateKey } = there;
      const entered = await enter(there, { privateKey, ...(user && { user }) });
      expect(entered).toEqual(
        fault(setting, /refused to let ".*" in with the key in pi\.privateKeyFile/),
      );
    },
  );

  it("a Pi that takes no keys, or wants more than one, says so", async () => {
    const none = await sshd({ config: ["PubkeyAuthentication no", "PasswordAuthentication yes"] });
    expect(await enter(none, { privateKey: none.privateKey })).toEqual(
      fault(
        "pi.user",
        /in by password.* alone, and the kit comes with a key: switch PubkeyAuthentication on/,
      ),
    );
    const two = await sshd({
      config: ["AuthenticationMethods publickey,password", "PasswordAuthentication yes"],
    });
    expect(await enter(two, { privateKey: two.privateKey })).toEqual(
      fault("pi.user", /took the key of ".*" and asks for something more \(password\)/),
    );
  });

  it("neither key nor agent is not the Pi's fault", async () => {
    const before = process.env.SSH_AUTH_SOCK;
    delete process.env.SSH_AUTH_SOCK;
    onTestFinished(() => {
      if (before !== undefined) process.env.SSH_AUTH_SOCK = before;
    });
    expect(await enter(await sshd(), {})).toEqual(
      fault("pi.privateKeyFile", /there is neither an SSH agent nor pi\.privateKeyFile/),
    );
  });

  it("an sshd that ends the sign-in, or never ends it, is there, too", async () => {
    const folder = temporary();
    const { publicKey: hostKey, privateKey } = makeKey(join(folder, "host"));
    const serverWith = async (onAuthentication: (client: ssh2.Connection) => void) => {
      const server = new ssh2.Server({ hostKeys: [privateKey] }, (client) => {
        client.on("error", () => undefined);
        client.on("authentication", () => onAuthentication(client));
      });
      return { port: await listen(server as unknown as Server), hostKey };
    };
    const ending = await serverWith((client) => client.end());
    expect(await enter(ending, { privateKey })).toEqual(
      fault("pi.user", /ended the sign-in of "pi".*locked or expired/),
    );
    const silent = await serverWith(() => undefined);
    expect(await enter(silent, { privateKey })).toEqual(
      fault(
        "pi.host",
        /did not finish the sign-in of "pi" within 1\.5 seconds: it is very busy, or a disk/,
      ),
    );
  });

  it("an sshd without a cipher in common is a server to mend", async () => {
    const there = await sshd({ config: ["Ciphers 3des-cbc"] });
    expect(await enter(there, { privateKey: there.privateKey })).toEqual(
      fault("pi.host", /no common way to talk \(.*no matching.*cipher.*\)/i),
    );
  });
});

describe("What is no Pi, or none now", () => {
  const privateKey = ssh2.utils.generateKeyPairSync("ed25519").private;

  it("a web server is no Pi that is away, and neither is anything else that speaks first", async () => {
    const web = createHttpServer((_, answer) => answer.end());
    expect(await enter({ port: await listen(web) }, { privateKey })).toEqual(
      fault(
        "pi.host",
        /is no SSH server \(it says "HTTP\/1\.1 400 Bad Request.*check pi\.host and pi\.port/,
      ),
    );
    const mail = createServer((client) => client.write("220 mail.yamada.jp ESMTP\r\n"));
    expect(await enter({ port: await listen(mail) }, { privateKey })).toEqual(
      fault("pi.host", /is no SSH server \(it says "220 mail\.yamada\.jp ESMTP"\)/),
    );
  });

  it("what says nothing, does not go on or is not there is out of reach", async () => {
    const silent = createServer(() => undefined);
    expect(await enter({ port: await listen(silent) }, { privateKey })).toEqual(
      away(/out of reach: it does not answer within 1\.5 seconds/),
    );
    const hung = createServer((client) => client.write("SSH-2.0-OpenSSH_10.0\r\n"));
    expect(await enter({ port: await listen(hung) }, { privateKey })).toEqual(
      away(/it begins to answer and does not go on, as a Pi whose disk hangs/),
    );
    expect(await enter({ port: await freePort() }, { privateKey })).toEqual(
      away(/nothing listens on its SSH port/),
    );
  });

  it("an sshd that sends everybody away is asked again, and is out of reach for now", async () => {
    let calls = 0;
    const busy = createServer((client) => {
      calls++;
      client.end("Not allowed at this time\r\n");
    });
    expect(await enter({ port: await listen(busy) }, { privateKey })).toEqual(
      away(
        /closes connections before SSH begins \(it says "Not allowed at this time"\).*wait some minutes/,
      ),
    );
    expect(calls).toBe(3);
  });

  it("an sshd with too many at its door lets in as soon as there is room", async () => {
    const there = await sshd({ config: ["MaxStartups 1:100:1"] });
    const waiting = connect(there.port, "127.0.0.1");
    await new Promise((resolve) => waiting.once("data", resolve));
    setTimeout(() => waiting.destroy(), 500);
    expect(await enter(there, { privateKey: there.privateKey })).toEqual({ in: true });
  });
});
