import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { chromium, type Page } from "playwright-core";
import { parseDocument } from "yaml";
import { Clock } from "./clock.ts";
import { ControlClient } from "./cloudflare/control-client.ts";
import { startNtp } from "./cloudflare/ntp.ts";
import { type PretendCloudflare, startCloudflare } from "./cloudflare/server.ts";
import { type EngineName, EngineRun, type Ran } from "./engine-run.ts";
import { type Alarm, type AlarmReceiver, startAlarmReceiver } from "./pi/alarm-receiver.ts";
import { buildImages, type ContainerImages, startRegistry } from "./pi/container-images.ts";
import { startPackageCache } from "./pi/package-cache.ts";
import { RegistryDoor } from "./pi/registry-door.ts";
import { rehearsalKey, VirtualPi } from "./pi/virtual-pi.ts";
import { EdgeClient } from "./story/edge-client.ts";
import { Phone } from "./story/phone.ts";
import type { Photo } from "./story/photo.ts";
import { promise, until } from "./story/step.ts";

const repository = dirname(dirname(fileURLToPath(import.meta.url)));

/** On the Pi. */
const seenArguments = "/run/rehearsal-argv";

export interface PersonSecrets {
  email: string;
  firstPassword: string | null;
  phones: Record<string, Record<string, string>>;
}

interface Outputs {
  url: string;
  people: Record<string, PersonSecrets>;
}

export type ServiceTokenMode = "strict" | "older";

export interface WorldOptions {
  /** Where the world keeps its files while it lives; emptied first. */
  folder: string;
  engine: EngineName;
  /** How the Cloudflare account judges service tokens; "older", as before October 2026, gives phones a cookie. @default strict */
  serviceTokens?: ServiceTokenMode | undefined;
  /** Told what is being built. */
  say: (line: string) => void;
  /** Ends a world that is still being built, which then rejects. */
  signal?: AbortSignal;
}

/**
 * A whole world around the unmodified program: a pretend Cloudflare, a virtual Pi, a registry, a package
 * cache and one clock, all on loopback. What it tells of the Pi it sees from outside, by the rig's own hand.
 */
export class World {
  readonly clock: Clock;
  readonly engine: EngineRun;
  readonly pi: VirtualPi;
  readonly images: ContainerImages;
  /** What stands between the Pi and the registry. */
  readonly registryDoor: RegistryDoor;
  readonly registryPort: number;
  /** Where the world keeps its files while it lives. */
  readonly folder: string;
  readonly cloudflare: ControlClient;
  readonly edge: EdgeClient;
  readonly host = "photos.yamada.test";
  readonly teamHost = "yamada.cloudflareaccess.com";
  /** By file name: what was uploaded, and where it lies on the Pi. */
  readonly photos = new Map<string, Photo & { id: string; path: string }>();
  /** By person: the password that they had when they first signed in. */
  readonly passwords = new Map<string, string>();
  /** The owner's phone and the dead man's switch; the Pi's settings are `alarmAddress` and `pingAddress`. */
  readonly receiver: AlarmReceiver;

  /** The pretend edge's certificate authority. */
  readonly authorityFile: string;
  readonly #edgePort: number;
  readonly #canaries: Record<string, string>;
  readonly #clockFollowed: () => Promise<void>;
  readonly #closers: (() => Promise<unknown>)[];

  private constructor(parts: {
    clock: Clock;
    engine: EngineRun;
    pi: VirtualPi;
    images: ContainerImages;
    registryDoor: RegistryDoor;
    registryPort: number;
    folder: string;
    pretend: PretendCloudflare;
    receiver: AlarmReceiver;
    authority: string;
    canaries: Record<string, string>;
    clockFollowed: () => Promise<void>;
    closers: (() => Promise<unknown>)[];
  }) {
    this.clock = parts.clock;
    this.engine = parts.engine;
    this.pi = parts.pi;
    this.receiver = parts.receiver;
    this.images = parts.images;
    this.registryDoor = parts.registryDoor;
    this.registryPort = parts.registryPort;
    this.folder = parts.folder;
    this.cloudflare = new ControlClient(parts.pretend.controlUrl);
    this.#edgePort = parts.pretend.edgePort;
    this.authorityFile = parts.pretend.caFile;
    this.edge = new EdgeClient(this.host, this.#edgePort, parts.authority);
    this.#canaries = parts.canaries;
    this.#clockFollowed = parts.clockFollowed;
    this.#closers = parts.closers;
  }

  static async build(options: WorldOptions): Promise<World> {
    const closers: (() => Promise<unknown>)[] = [];
    const { signal } = options;
    try {
      const aborted = new Promise<never>((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason as Error));
      });
      return await Promise.race([World.#assemble(options, closers), aborted]);
    } catch (error) {
      await closeAll(closers);
      throw error;
    }
  }

  static async #assemble(
    { folder, engine: engineName, serviceTokens = "strict", say }: WorldOptions,
    closers: (() => Promise<unknown>)[],
  ): Promise<World> {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const clock = new Clock();
    // Every secret of this world is this run's own, so that a search for it finds a leak and nothing else.
    const apiToken = randomBytes(20).toString("hex");
    const passphrase = randomUUID();

    const packages = await startPackageCache();
    closers.push(() => packages.stop());
    say("the containers' images");
    const images = await buildImages({ packages: packages.port });
    const registry = await startRegistry(images);
    closers.push(() => registry.stop());
    const registryDoor = await RegistryDoor.open(registry.port);
    closers.push(() => registryDoor.close());
    const ntp = await startNtp(clock);
    closers.push(() => ntp.close());
    const pretend = await startCloudflare({
      clock,
      accountId: "0c0ffee00c0ffee00c0ffee00c0ffee0",
      zoneName: "yamada.test",
      teamName: "yamada",
      strictServiceTokens: serviceTokens === "strict",
      apiTokens: [{ value: apiToken }],
    });
    closers.push(() => pretend.close());

    const receiver = await startAlarmReceiver(() => clock.now());
    closers.push(() => receiver.close());

    say("the virtual Pi");
    const key = await rehearsalKey();
    const firstBoot = await writeFirstBoot(join(folder, "first-boot"), key.publicKey);
    const pi = await VirtualPi.start({
      firstBoot,
      privateKeyFile: key.privateKeyFile,
      services: {
        registry: registryDoor.port,
        packages: packages.port,
        tunnel: pretend.tunnelPort,
        certificates: pretend.certsPort,
        ntp: ntp.tcpPort,
        alarms: receiver.port,
      },
      clock: () => clock.now(),
    });
    closers.push(() => pi.stop());
    let following = Promise.resolve();
    clock.on("moved", () => {
      following = following
        .catch(() => undefined)
        .then(async () => {
          if (pi.powered) await pi.setClock(clock.now());
        });
      // Told to whoever waits for it; without anybody it is no reason to end the world.
      following.catch(() => undefined);
    });

    const engine = new EngineRun(repository, join(folder, "stack"), engineName, passphrase);
    await engine.prepare(join(repository, "Pulumi.rehearsal.yaml"));
    await engine.editSettings((text) => {
      const document = parseDocument(text);
      const pathOfPi = ["config", "ouchi-photos:pi"];
      document.setIn([...pathOfPi, "port"], pi.sshPort);
      document.setIn([...pathOfPi, "hostKey"], pi.hostKey);
      document.setIn([...pathOfPi, "privateKeyFile"], pi.privateKeyFile);
      document.setIn(["config", "ouchi-photos:imagesLock"], images.lockFile);
      document.setIn(["config", "cloudflare:baseUrl"], pretend.apiUrl);
      return document.toString({ lineWidth: 0 });
    });
    await engine.setSecret("cloudflare:apiToken", apiToken);
    const privateKey = await readFile(pi.privateKeyFile, "utf8");
    return new World({
      clock,
      engine,
      pi,
      images,
      registryDoor,
      registryPort: registry.port,
      folder,
      pretend,
      receiver,
      authority: await readFile(pretend.caFile, "utf8"),
      canaries: {
        "The API token": apiToken,
        "The state's passphrase": passphrase,
        "The private key": privateKey.split("\n")[2]!,
      },
      clockFollowed: () => following,
      closers,
    });
  }

  /** Ends everything that this world started. */
  close(): Promise<void> {
    return closeAll(this.#closers);
  }

  /** How to enter the world, a line for each door. */
  addresses(): string[] {
    return [
      `the Pi         ssh -i ${this.pi.privateKeyFile} -p ${this.pi.sshPort} pi@127.0.0.1`,
      `the photos     curl --cacert ${this.authorityFile} --connect-to ::127.0.0.1:${this.#edgePort} https://${this.host}/`,
      `at home        http://127.0.0.1:${this.pi.lanPort}/`,
      `Cloudflare     ${this.cloudflare.url}/state, /decisions, /mailbox, /requests`,
      `the stack      ${this.engine.stackFile}`,
    ];
  }

  /** Steps the one clock by milliseconds, and waits until the Pi goes by it too. */
  async advance(milliseconds: number): Promise<void> {
    this.clock.advance(milliseconds);
    await this.#clockFollowed();
  }

  /** What the owner's phone was told by the Pi, the oldest first. */
  get alarms(): Alarm[] {
    return this.receiver.alarms;
  }

  async outputs(): Promise<Outputs> {
    return this.engine.outputs<Outputs>();
  }

  async person(name: string): Promise<PersonSecrets> {
    const found = (await this.outputs()).people[name];
    promise(found !== undefined, `The outputs know no "${name}".`);
    return found;
  }

  /** A client with the headers of one phone, as the outputs say now. */
  async phoneHeaders(name: string, phone: string): Promise<EdgeClient> {
    return this.edge.keepingCookies().with((await this.person(name)).phones[phone]!);
  }

  /** One person's phone, signed in to Immich. */
  async phone(name: string, phone: string, password?: string): Promise<Phone> {
    const person = await this.person(name);
    const known = password ?? this.passwords.get(name) ?? person.firstPassword;
    promise(known !== null, `Nobody knows ${name}'s password.`);
    const app = new Phone(this.edge, person.phones[phone]!);
    await app.signIn(person.email, known);
    this.passwords.set(name, known);
    return app;
  }

  /** Every secret that there is, by a name for it. */
  async secrets(): Promise<Record<string, string>> {
    const { people } = await this.outputs();
    const secrets = { ...this.#canaries };
    for (const [name, { firstPassword, phones }] of Object.entries(people)) {
      if (firstPassword) secrets[`${name}'s first password`] = firstPassword;
      for (const [phone, headers] of Object.entries(phones)) {
        secrets[`The secret of ${name}'s ${phone}`] = headers["CF-Access-Client-Secret"]!;
      }
    }
    const token = await this.asRoot(["cat", "/etc/ouchi-photos/secrets/tunnel-token"]);
    promise(token.stdout.length > 20, "The Pi holds no tunnel token.");
    secrets["The tunnel's token"] = token.stdout.trim();
    return { ...secrets, ...(await this.protectedSecrets()) };
  }

  /** The three that must outlive everything, in clear. */
  async protectedSecrets(): Promise<Record<string, string>> {
    const { text } = await this.engine.exportState(true);
    const { deployment } = JSON.parse(text) as {
      deployment: {
        resources: { urn: string; protect?: boolean; outputs?: { result?: unknown } }[];
      };
    };
    return Object.fromEntries(
      deployment.resources
        .filter(({ protect }) => protect)
        .map(({ urn, outputs }) => [urn.split("::").at(-1)!, plainText(outputs?.result)])
        // Resources that are made side by side stand in the state in any order.
        .sort(([a], [b]) => a!.localeCompare(b!)),
    );
  }

  /** As root on the Pi, by the rig's hand: for looking. */
  async asRoot(words: string[], timeoutMs?: number) {
    return this.pi.asRoot(words, timeoutMs);
  }

  async sql(statement: string): Promise<string> {
    const { stdout, stderr, code } = await this.asRoot([
      ...["docker", "exec", "immich_postgres", "psql", "--username=postgres", "--dbname=immich"],
      ...["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement],
    ]);
    promise(code === 0, `psql could not "${statement}": ${stderr}`);
    return stdout.trim();
  }

  async containers(): Promise<string[]> {
    const { stdout } = await this.asRoot(["docker", "ps", "--format", "{{.Names}}"]);
    return stdout.split("\n").filter(Boolean).sort();
  }

  /** What the containers on the Pi said last, for whoever asks why a step was not kept. */
  async lastWords(): Promise<string> {
    const script = `for name in $(docker ps --all --format '{{.Names}}'); do
      echo "--- $name"; docker logs --timestamps --tail 20 "$name"; done 2>&1`;
    try {
      return (await this.asRoot(["sh", "-c", script], 60_000)).stdout;
    } catch (error) {
      return `The Pi cannot be asked: ${(error as Error).message}`;
    }
  }

  /** What the kit could have left behind at Cloudflare, by kind and name. */
  async leftovers(): Promise<string[]> {
    const state = await this.cloudflare.state();
    return [
      ...state.dnsRecords.map(({ name }) => `record ${name}`),
      // A deleted tunnel stays in the list with its date, as at Cloudflare.
      ...state.tunnels.filter(({ deletedAt }) => !deletedAt).map(({ name }) => `tunnel ${name}`),
      ...state.applications.map(({ name }) => `application ${name}`),
      ...state.policies.map(({ name }) => `policy ${name}`),
      ...state.serviceTokens.map(({ name }) => `service token ${name}`),
      // The one-time PIN is the account's, and stays.
      ...state.identityProviders
        .filter(({ type }) => type !== "onetimepin")
        .map(({ name }) => `identity provider ${name}`),
      ...state.notificationPolicies.map(({ name }) => `notification policy ${name}`),
    ];
  }

  /** "name time" of every running container. */
  async containerStarts(): Promise<string[]> {
    const names = await this.containers();
    const { stdout } = await this.asRoot([
      ...["docker", "inspect", "--format", "{{.Name}} {{.State.StartedAt}}"],
      ...names,
    ]);
    return stdout.split("\n").filter(Boolean).sort();
  }

  /** SSH logins at the Pi since its last start, each as sshd noted it: its time, and the port it came from. */
  async logins(): Promise<string[]> {
    const { stdout } = await this.asRoot([
      ...["journalctl", "--boot", "--no-pager", "--output=short-precise"],
      ...["--grep=^Accepted publickey for pi"],
    ]);
    return stdout.split("\n").filter((line) => line.includes("Accepted publickey"));
  }

  /** "sha1 path" of every original on the disk. */
  async photoFiles(): Promise<string[]> {
    const images = "/mnt/hdd1/immich/images";
    const { stdout, code } = await this.asRoot([
      "sh",
      "-c",
      `find ${images}/library ${images}/upload -type f ! -name .immich -exec sha1sum -- {} +`,
    ]);
    promise(code === 0, "The photos' folder could not be listed.");
    return stdout.split("\n").filter(Boolean).sort();
  }

  /** The archives on HDD2, as the kit's restore lists them. */
  async archives(): Promise<string[]> {
    const { code, text } = await this.ouchiOnPi("restore", ["--list"]);
    promise(code === 0, `The archives could not be listed:\n${text}`);
    return text.split("\n").filter((line) => /\b(immich|frozen)-\d{8}T\d{6}/.test(line));
  }

  async ouchiOnPi(command: "restore", words: string[]): Promise<{ code: number; text: string }> {
    const ran: Ran = await this.engine.ouchiPlain(command, words);
    return { code: ran.exitCode, text: ran.text };
  }

  /** Reads something of HDD2, which is mounted for this only. */
  async onBackupDisk(words: string[]): Promise<string> {
    await this.asRoot(["mount", "-o", "ro", "/mnt/hdd2"]);
    try {
      return (await this.asRoot(words)).stdout;
    } finally {
      await this.asRoot(["umount", "/mnt/hdd2"]);
    }
  }

  /** From now on the arguments of every process on the Pi are written down. */
  async watchPiArguments(): Promise<void> {
    const [watch] = await Promise.all([
      readFile(join(repository, "rehearsal/pi/watch-arguments.py"), "utf8"),
      this.asRoot(["rm", "-f", seenArguments, `${seenArguments}.stop`]),
    ]);
    await this.asRoot([
      ...["sh", "-c", 'nohup python3 -c "$1" "$2" >/dev/null 2>&1 &'],
      ...["sh", watch, seenArguments],
    ]);
  }

  async piArguments(): Promise<string> {
    const { stdout } = await this.asRoot(["cat", seenArguments]);
    await this.asRoot(["touch", `${seenArguments}.stop`]);
    return stdout;
  }

  /** Waits until a phone is answered by Immich through edge and tunnel. */
  async untilServing(seconds: number): Promise<void> {
    const phone = await this.phoneHeaders("mio", "iphone");
    await until("Immich, through edge and tunnel,", seconds, async () => {
      const answer = await phone.send({ path: "/api/server/ping" });
      if (answer.status !== 200) throw new Error(`it answers ${answer.status}`);
      return true;
    });
  }

  /** A browser of a stranger's: new, and with the pretend internet's addresses. */
  async browse<T>(
    visit: (
      open: (url: string) => Promise<{ url: string; text: string }>,
      page: Page,
    ) => Promise<T>,
  ): Promise<T> {
    const browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        `--host-resolver-rules=MAP * 127.0.0.1:${this.#edgePort}`,
      ],
    });
    try {
      // The edge's authority is this run's own; the clients of the other steps do verify it.
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      page.setDefaultTimeout(60_000);
      return await visit(async (url) => {
        await page.goto(url);
        return { url: page.url(), text: await page.innerText("body") };
      }, page);
    } finally {
      await browser.close();
    }
  }
}

async function closeAll(closers: (() => Promise<unknown>)[]): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close().catch(() => undefined);
}

/** A freshly flashed card's boot partition, after "ouchi sdcard", typed as an owner does. */
async function writeFirstBoot(folder: string, publicKey: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "cmdline.txt"), "console=serial0,115200 rootwait\n");
  // By these "ouchi sdcard" knows a card; the virtual Pi has a kernel of its own.
  for (const name of ["config.txt", "kernel8.img", "user-data"]) {
    await writeFile(join(folder, name), "");
  }
  const keyFile = join(folder, "..", "key.pub");
  await writeFile(keyFile, `${publicKey}\n`);
  await execa(join(repository, "rehearsal/pi/on-a-card.sh"), [
    ...[folder, join(repository, "cli/ouchi"), "sdcard", folder, "--public-key", keyFile],
  ]);
  return folder;
}

/** A secret in an export is wrapped, and JSON inside. */
function plainText(value: unknown): string {
  const wrapped = value as { plaintext?: string };
  return typeof value === "string" ? value : (JSON.parse(wrapped.plaintext ?? '""') as string);
}
