/**
 * The images of the containers, built from Debian's packages and the rehearsal's own bundles, and
 * a real registry on loopback that serves them by digest.
 */

import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { build as bundle } from "esbuild";
import { execa } from "execa";
import { type ImageFile, immichImageConfig, immichImageFiles } from "../immich/image.ts";
import { cachedArtifact, recipeHash } from "./artifact-cache.ts";
import { addImage, type ContainerConfig, type Layer, writeLayer } from "./oci-layout.ts";
import { OwnedProcess } from "./owned-process.ts";
import { debianSources, startPackageCache, trixieSourceLines } from "./package-cache.ts";
import { answers, freePort } from "./ports.ts";
import { servicePorts } from "./qemu-arguments.ts";

/** Where the Pi finds the registry: its own loopback, which Docker trusts without TLS. */
const registryHost = "127.0.0.1:5000";

/** What all the containers hold; one layer, pulled once. */
const basePackages = [
  ...["postgresql-17", "postgresql-17-pgvector", "valkey-server", "valkey-tools", "nodejs"],
  ...["curl", "ca-certificates", "tzdata"],
];

/** Installed with the packages and needed by nothing that runs here. */
const trimmed = [
  ...["usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*"],
  ...["usr/share/perl*", "usr/lib/x86_64-linux-gnu/perl", "usr/lib/x86_64-linux-gnu/libperl.so*"],
  // PostgreSQL compiles nothing just in time when the compiler is not there.
  ...["usr/lib/x86_64-linux-gnu/libLLVM*", "usr/lib/llvm-*", "usr/lib/postgresql/17/lib/llvmjit*"],
  ...["usr/lib/postgresql/17/lib/bitcode", "usr/lib/x86_64-linux-gnu/libz3*"],
  ...["usr/share/i18n", "usr/lib/x86_64-linux-gnu/gconv", "usr/share/nodejs/corepack"],
  ...["usr/share/nodejs/@types", "usr/share/nodejs/undici-types"],
  ...["var/cache/*", "var/log/*", "var/lib/apt/lists/*", "var/lib/dpkg/info"],
];

export interface LockedImage {
  image: string;
  digest: string;
}

export interface ContainerImages {
  /** A lock file in the shape of `compose/images.lock.json`. */
  lockFile: string;
  lock: Record<string, LockedImage>;
  /** The registry's store. */
  store: string;
}

/** Builds what is not in the cache yet. */
export async function buildImages(
  options: {
    /** The port of a package cache; without one, one is started while it is needed. */
    packages?: number;
  } = {},
): Promise<ContainerImages> {
  const base = await baseLayer(options.packages);
  const images = await imageRecipes();
  const hash = await recipeHash({
    texts: [JSON.stringify(images), JSON.stringify(base.layer)],
    paths: [join(import.meta.dirname, "oci-layout.ts"), join(import.meta.dirname, "containers")],
  });
  const { folder } = await cachedArtifact("images", hash, async (unfinished) => {
    const layout = join(unfinished, "layout");
    const store = join(unfinished, "store");
    const lock: Record<string, LockedImage> = {};
    for (const image of images) {
      const own = await filesLayer(image.files, join(unfinished, `${image.name}.tar.zst`));
      const digest = await addImage(layout, image.name, [base.layer, own], image.config);
      lock[image.name] = { image: `${registryHost}/${image.repository}`, digest };
    }
    const registry = await startRegistry({ store });
    try {
      for (const image of images) {
        await execa(
          "skopeo",
          [
            ...["--insecure-policy", "copy", "--quiet", "--preserve-digests"],
            ...["--dest-tls-verify=false", `oci:${layout}:${image.name}`],
            `docker://127.0.0.1:${registry.port}/${image.repository}`,
          ],
          { timeout: 180_000, stdin: "ignore" },
        );
      }
    } finally {
      await registry.stop();
    }
    await rm(layout, { recursive: true });
    for (const image of images) await rm(join(unfinished, `${image.name}.tar.zst`));
    await writeFile(join(unfinished, "images.lock.json"), `${JSON.stringify(lock, null, 2)}\n`);
  });
  const lockFile = join(folder, "images.lock.json");
  return {
    lockFile,
    lock: JSON.parse(await readFile(lockFile, "utf8")),
    store: join(folder, "store"),
  };
}

interface ImageRecipe {
  /** Its name in the lock file. */
  name: string;
  repository: string;
  files: ImageFile[];
  config: ContainerConfig;
}

/** Users, entry points and ports are those of the real images. */
async function imageRecipes(): Promise<ImageRecipe[]> {
  const programs = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const entrypoint = async (name: string): Promise<ImageFile> => ({
    path: "/usr/local/bin/docker-entrypoint.sh",
    mode: 0o755,
    content: await readFile(
      join(import.meta.dirname, "containers", name, "docker-entrypoint.sh"),
      "utf8",
    ),
  });
  return [
    {
      name: "immich-server",
      repository: "immich-app/immich-server:v3.2.4",
      files: await immichImageFiles(),
      config: { ...immichImageConfig, Volumes: { "/data": {} } },
    },
    {
      name: "postgres",
      repository: "immich-app/postgres:17-pgvector",
      files: [await entrypoint("postgres")],
      config: {
        Entrypoint: ["docker-entrypoint.sh"],
        Cmd: ["postgres"],
        Env: [
          `PATH=/usr/lib/postgresql/17/bin:${programs}`,
          "LANG=C.UTF-8",
          "PGDATA=/var/lib/postgresql/data",
        ],
        ExposedPorts: { "5432/tcp": {} },
        Volumes: { "/var/lib/postgresql/data": {} },
        StopSignal: "SIGINT",
      },
    },
    {
      name: "valkey",
      repository: "valkey/valkey:9",
      files: [await entrypoint("valkey")],
      config: {
        Entrypoint: ["docker-entrypoint.sh"],
        Cmd: ["valkey-server", "--protected-mode", "no"],
        Env: [`PATH=${programs}`],
        WorkingDir: "/data",
        ExposedPorts: { "6379/tcp": {} },
        Volumes: { "/data": {} },
      },
    },
    {
      name: "cloudflared",
      repository: "cloudflare/cloudflared:2026.10.0",
      files: [
        {
          path: "/usr/local/bin/cloudflared",
          mode: 0o755,
          content: `#!/usr/bin/node\n${await bundled("../cloudflared/main.ts")}`,
        },
      ],
      config: {
        User: "65532:65532",
        Entrypoint: ["cloudflared", "--no-autoupdate"],
        Cmd: ["version"],
        // The real one asks DNS where the edge is.
        Env: [
          `PATH=${programs}`,
          `PRETEND_EDGE=10.0.2.100:${servicePorts.tunnel}`,
          `PRETEND_EDGE_CERTS=http://10.0.2.100:${servicePorts.certificates}`,
        ],
      },
    },
  ];
}

async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await bundle({
    entryPoints: [join(import.meta.dirname, entry)],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    legalComments: "none",
    write: false,
  });
  return outputFiles[0]!.text.replace(/^#!.*\n/, "");
}

async function baseLayer(packages: number | undefined): Promise<{ layer: Layer }> {
  const hash = await recipeHash({
    texts: [JSON.stringify([basePackages, trimmed])],
    paths: [join(import.meta.dirname, "oci-layout.ts")],
  });
  const { folder } = await cachedArtifact("containers-base", hash, async (unfinished) => {
    const cache = packages === undefined ? await startPackageCache() : undefined;
    try {
      await buildBase(unfinished, packages ?? cache?.port ?? 0);
    } finally {
      await cache?.stop();
    }
  });
  const layer = JSON.parse(await readFile(join(folder, "layer.json"), "utf8")) as Layer;
  return { layer: { ...layer, file: join(folder, "base.tar.zst") } };
}

async function buildBase(folder: string, port: number): Promise<void> {
  const root = join(folder, "root");
  const sources = trixieSourceLines(await debianSources());
  // The official image's ids, and no cluster of Debian's own.
  const before = [
    'echo "postgres:x:999:" >>"$1/etc/group"',
    'echo "postgres:x:999:999::/var/lib/postgresql:/bin/bash" >>"$1/etc/passwd"',
    'mkdir -p "$1/etc/postgresql-common"',
    'echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"',
  ].join(" && ");
  await execa(
    "mmdebstrap",
    [
      ...["--mode=root", "--variant=essential", "--architectures=amd64", "--format=directory"],
      `--aptopt=Acquire::http::Proxy "http://127.0.0.1:${port}"`,
      ...['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'],
      ...["--dpkgopt=force-confold", "--dpkgopt=force-unsafe-io"],
      ...["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"],
      `--essential-hook=${before}`,
      `--include=${basePackages.join(",")}`,
      `--customize-hook=cd "$1" && rm -rf ${trimmed.join(" ")}`,
      ...["trixie", root, ...sources],
    ],
    { timeout: 900_000, stdin: "ignore", stdout: "ignore" },
  );
  for (const [name, program] of [
    ["redis-cli", "valkey-cli"],
    ["redis-server", "valkey-server"],
  ] as const) {
    await rm(join(root, "usr/bin", name), { force: true });
    await symlink(program, join(root, "usr/bin", name));
  }
  await mkdir(join(root, "data"), { recursive: true });
  await execa("chroot", [root, "chown", "valkey:valkey", "/data"], { timeout: 30_000 });
  const layer = await writeLayer(root, join(folder, "base.tar.zst"), { keepOwners: true });
  await writeFile(join(folder, "layer.json"), JSON.stringify({ ...layer, file: "base.tar.zst" }));
  await rm(root, { recursive: true });
}

async function filesLayer(files: ImageFile[], file: string): Promise<Layer> {
  const folder = await mkdtemp(join(tmpdir(), "ouchi-layer-"));
  try {
    await chmod(folder, 0o755);
    for (const { path, mode, content } of files) {
      const target = join(folder, path);
      await mkdir(dirname(target), { recursive: true, mode: 0o755 });
      await writeFile(target, content);
      await chmod(target, mode);
    }
    return await writeLayer(folder, file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export interface Registry {
  port: number;
  stop(): Promise<void>;
}

/** Debian's docker-registry on a free loopback port, serving a store. */
export async function startRegistry(images: { store: string }): Promise<Registry> {
  await mkdir(images.store, { recursive: true });
  const folder = await mkdtemp(join(tmpdir(), "ouchi-registry-"));
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    // JSON is YAML.
    await writeFile(
      join(folder, "config.yml"),
      JSON.stringify({
        version: 0.1,
        log: { level: "warn", accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: images.store }, delete: { enabled: false } },
        http: { addr: `127.0.0.1:${port}`, secret: "rehearsal" },
      }),
    );
    const server = OwnedProcess.start(
      "The image registry (docker-registry)",
      ["docker-registry", "serve", join(folder, "config.yml")],
      join(folder, "log"),
    );
    try {
      await server.until(() => answers(port), 15_000);
      return {
        port,
        stop: async () => {
          await server.stop();
          if (existsSync(folder)) await rm(folder, { recursive: true });
        },
      };
    } catch (error) {
      await server.stop();
      // Another program may have taken the port since it was found free.
      if (attempt === 3) throw error;
    }
  }
}
