/**
 * The whole program against a whole house without a virtual Pi: the pretend Cloudflare, a Pi of namespaces behind a real
 * sshd, the pretend Immich. It does not prove what systemd, apt and Docker do: on that Pi they are stand-ins.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDocument } from "yaml";
import { Clock } from "../../../rehearsal/clock.ts";
import { startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import {
  configSet,
  preview,
  type StackOptions,
  type UpdateResult,
  up,
} from "../../../rehearsal/engine/engine.ts";
import { createServer as createImmich } from "../../../rehearsal/immich/server.ts";
import { imagesLock } from "../host/deployed-world.ts";
import { HostWorld } from "../host/host-world.ts";
import { startPostgres, startRedis, stop } from "../immich/services.ts";

const here = dirname(fileURLToPath(import.meta.url));
const repository = join(here, "../../..");

export class WholeHouse {
  readonly pi: HostWorld;
  readonly #options: StackOptions & { configFile: string };
  readonly #closers: (() => unknown)[];

  private constructor(
    pi: HostWorld,
    options: StackOptions & { configFile: string },
    closers: (() => unknown)[],
  ) {
    this.pi = pi;
    this.#options = options;
    this.#closers = closers;
  }

  static async build(): Promise<WholeHouse> {
    const closers: (() => unknown)[] = [];
    try {
      return await WholeHouse.#assemble(closers);
    } catch (error) {
      await closeAll(closers);
      throw error;
    }
  }

  static async #assemble(closers: (() => unknown)[]): Promise<WholeHouse> {
    const folder = mkdtempSync(join(tmpdir(), "ouchi-house-"));
    closers.push(() => rmSync(folder, { recursive: true, force: true }));
    const clock = new Clock();
    const apiToken = "canary-of-the-api-token-0123456789abcdef01";
    const cloudflare = await startCloudflare({
      clock,
      accountId: "0c0ffee00c0ffee00c0ffee00c0ffee0",
      zoneName: "yamada.test",
      teamName: "yamada",
      apiTokens: [{ value: apiToken }],
    });
    closers.push(() => cloudflare.close());
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    closers.push(
      () => postgres.stop(),
      () => redis.stop(),
    );
    const immich = await createImmich({
      dataDir: join(folder, "immich"),
      database: await postgres.createDatabase("immich"),
      redis,
      now: () => clock.now().getTime(),
      timeZone: "Asia/Tokyo",
    });
    closers.push(() => immich.close());

    const pi = await HostWorld.start();
    closers.push(() => pi.stop());
    for (const name of ["usb-ONE", "usb-TWO"]) await pi.addDisk(name, 6000);
    pi.write(
      "/usr/local/sbin/lsblk",
      readFileSync(join(here, "stand-ins/lsblk.py"), "utf8"),
      0o755,
    );
    await pi.must(["sh", "-e"], { stdin: readFileSync(join(here, "stand-ins/fit-pi.sh"), "utf8") });
    for (const child of serveImmich(pi, join(folder, "immich.socket"), immich.port)) {
      closers.push(() => stop(child));
    }
    const door = await openDoor(pi);
    closers.push(() => door.close());
    for (const file of ["key", "host.pub"]) {
      writeFileSync(join(folder, file), pi.read(`/run/ssh/${file}`), { mode: 0o600 });
    }
    writeFileSync(join(folder, "images.lock.json"), JSON.stringify(imagesLock()));

    const options = {
      cwd: repository,
      stack: "whole",
      configFile: join(folder, "Pulumi.whole.yaml"),
      stateFile: join(folder, "state.json"),
      env: { PULUMI_CONFIG_PASSPHRASE: "a passphrase" },
    };
    writeFileSync(options.configFile, readFileSync(join(repository, "Pulumi.rehearsal.yaml")));
    const house = new WholeHouse(pi, options, closers);
    house.set("cloudflare:baseUrl", cloudflare.apiUrl);
    house.set("ouchi-photos:pi", {
      host: "127.0.0.1",
      port: (door.address() as { port: number }).port,
      user: "pi",
      hostKey: pi.read("/run/ssh/host.pub").split(" ").slice(0, 2).join(" ").trim(),
      privateKeyFile: join(folder, "key"),
      lan: false,
    });
    house.set("ouchi-photos:disks", {
      main: "usb-ONE",
      backup: "usb-TWO",
      allowFormat: ["usb-ONE", "usb-TWO"],
    });
    house.set("ouchi-photos:imagesLock", join(folder, "images.lock.json"));
    await configSet({ ...options, key: "cloudflare:apiToken", value: apiToken, secret: true });
    return house;
  }

  set(key: string, value: unknown): void {
    const document = parseDocument(readFileSync(this.#options.configFile, "utf8"));
    document.setIn(["config", key], document.createNode(value));
    writeFileSync(
      this.#options.configFile,
      document.toString({ defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" }),
    );
  }

  up(): Promise<UpdateResult> {
    return up({ ...this.#options, skipPreview: true });
  }

  preview(): Promise<UpdateResult> {
    return preview(this.#options);
  }

  close(): Promise<void> {
    return closeAll(this.#closers);
  }
}

async function closeAll(closers: (() => unknown)[]): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

/** Immich's port in the Pi's own network leads to the pretend one out here, by a socket that both see. */
function serveImmich(pi: HostWorld, socket: string, port: number): ChildProcess[] {
  const quiet = { stdio: "ignore" } as const;
  return [
    spawn("socat", [`UNIX-LISTEN:${socket},fork`, `TCP:127.0.0.1:${port}`], quiet),
    spawn(
      "nsenter",
      [
        ...["--net", "--target", pi.inside, "socat"],
        ...["TCP-LISTEN:2283,fork,reuseaddr,bind=127.0.0.1", `UNIX-CONNECT:${socket}`],
      ],
      quiet,
    ),
  ];
}

/** A port out here behind which an sshd of the Pi's answers, one for each connection. */
async function openDoor(pi: HostWorld): Promise<Server> {
  const door = createTcpServer((socket) => {
    const sshd = spawn(
      "nsenter",
      [
        ...["--mount", "--net", "--uts", "--pid", "--target", pi.inside],
        ...["chroot", pi.root, "/usr/sbin/sshd", "-i", "-f", "/run/ssh/config"],
      ],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    sshd.stdin.on("error", () => undefined);
    socket.on("error", () => undefined);
    socket.on("close", () => sshd.kill());
    sshd.on("exit", () => socket.destroy());
    socket.pipe(sshd.stdin);
    sshd.stdout.pipe(socket);
  });
  await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
  return door;
}
