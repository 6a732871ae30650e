import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemBundle } from "../../../pi/bundles.ts";
import { bundles } from "./deployed-world.ts";

/** Each file that lands on the Pi is read by the tool that will read it there, or by Debian 12's. */
describe("the files as they land", () => {
  let root: string;
  const all = { system: systemBundle({ timeZone: "Asia/Tokyo", kernelWords: [] }), ...bundles() };
  const files = Object.values(all).flatMap((bundle) => bundle.files);

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "ouchi-readers-"));
    for (const file of files) {
      mkdirSync(dirname(join(root, file.path)), { recursive: true });
      writeFileSync(join(root, file.path), file.content, {
        mode: Number.parseInt(file.mode, 8),
      });
    }
  });
  afterAll(() => {
    rmSync(root, { recursive: true, force: true });
  });

  it("are units that systemd takes without a word", async () => {
    // Docker and the rest of a Debian system are not in this root: only what is said of our own counts.
    const folder = join(root, "etc/systemd/system");
    const units = readdirSync(folder).filter((name) => /\.(service|timer)$/.test(name));
    expect(units.length).toBeGreaterThan(5);
    const { stderr } = await execa(
      "systemd-analyze",
      ["verify", "--man=no", "--recursive-errors=no", ...units.map((name) => join(folder, name))],
      { reject: false },
    );
    const complaints = stderr
      .split("\n")
      .filter(
        (line) =>
          line.includes("ouchi-") && !/not executable|Unit docker\.service not found/.test(line),
      );
    expect(complaints).toEqual([]);
  });

  it("are programs that Python compiles", async () => {
    const folder = join(root, "usr/local/libexec/ouchi-photos");
    for (const name of readdirSync(folder)) {
      await execa("python3", [
        "-c",
        "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')",
        join(folder, name),
      ]);
    }
  });

  it("are shell scripts that shellcheck has nothing to say about, and so is every other one", () => {
    const repository = fileURLToPath(new URL("../../..", import.meta.url));
    const ours = readdirSync(repository).filter(
      (name) => name !== "node_modules" && name !== ".rehearsal" && name !== ".git",
    );
    const scripts = ours
      .filter((name) => statSync(join(repository, name)).isDirectory())
      .flatMap((name) =>
        readdirSync(join(repository, name), { recursive: true, withFileTypes: true }),
      )
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => /^#!.*\b(ba)?sh\n/.test(readFileSync(path, "latin1").slice(0, 80)));
    expect(scripts.map((path) => path.slice(repository.length))).toEqual(
      expect.arrayContaining([
        "cli/ouchi",
        "immich/preflight/facts.sh",
        "immich/pulumi-resource-immich",
      ]),
    );
    // What is read in by a script lies on the machine that it is for.
    execFileSync("shellcheck", ["--exclude=SC1091", ...scripts], { stdio: "pipe" });
  });

  it("let apt install Debian's security updates by itself, and nothing else", async () => {
    // As Debian's package unattended-upgrades lays it down.
    const parts = join(root, "etc/apt/apt.conf.d");
    writeFileSync(
      join(parts, "50unattended-upgrades"),
      `Unattended-Upgrade::Origins-Pattern {
        "origin=Debian,codename=\${distro_codename},label=Debian";
        "origin=Debian,codename=\${distro_codename},label=Debian-Security";
      };`,
    );
    const settings = join(root, "apt.conf");
    writeFileSync(settings, `Dir::Etc::parts "${parts}"; Dir::Etc::main "/dev/null";`);
    const { stdout } = await execa("apt-config", ["dump"], { env: { APT_CONFIG: settings } });
    const read = stdout
      .split("\n")
      .filter((line) => /^(Unattended-Upgrade|APT::Periodic)::./.test(line));
    expect(read.sort()).toEqual([
      'APT::Periodic::Unattended-Upgrade "1";',
      'APT::Periodic::Update-Package-Lists "1";',
      'Unattended-Upgrade::Automatic-Reboot "false";',
      'Unattended-Upgrade::Origins-Pattern "";',
      'Unattended-Upgrade::Origins-Pattern:: "origin=Debian,codename=${distro_codename},label=Debian-Security";',
      'Unattended-Upgrade::Origins-Pattern:: "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";',
      'Unattended-Upgrade::Package-Blacklist "";',
      'Unattended-Upgrade::Package-Blacklist:: "containerd";',
      'Unattended-Upgrade::Package-Blacklist:: "docker";',
      'Unattended-Upgrade::Package-Blacklist:: "runc";',
    ]);
  });

  it("say when the cron line last came due, as cron(5) counts", async () => {
    const asked: [string, string, string][] = [
      // A Saturday at one: on that Saturday, just before it, and on the Friday after.
      ["0 1 * * 6", "2026-11-21T01:00", "2026-11-21 01:00:00"],
      ["0 1 * * 6", "2026-11-21T00:59", "2026-11-14 01:00:00"],
      ["0 1 * * 6", "2026-11-27T12:00", "2026-11-21 01:00:00"],
      ["30 4 1 * *", "2026-11-27T12:00", "2026-11-01 04:30:00"],
      ["*/20 2-4 * * 0,7", "2026-11-27T12:00", "2026-11-22 04:40:00"],
      // Both days restricted: either is enough.
      ["0 0 13 * 5", "2026-11-15T12:00", "2026-11-13 00:00:00"],
      ["0 0 25 * 5", "2026-11-26T12:00", "2026-11-25 00:00:00"],
    ];
    for (const [schedule, moment, due] of asked) {
      const { stdout } = await execa(
        "python3",
        [
          "-B",
          "-c",
          "import sys, datetime, cron_schedule; print(cron_schedule.previous(sys.argv[1], datetime.datetime.fromisoformat(sys.argv[2])))",
          schedule,
          moment,
        ],
        { cwd: join(root, "usr/local/libexec/ouchi-photos") },
      );
      expect(stdout, schedule).toBe(due);
    }
  });

  it("give pg_dump the key of its dumps only where it knows the option", async () => {
    // The first that know it: PostgreSQL's release notes of 2025-08-14. "18beta3" is no release.
    const versions = [
      "12.22",
      "13.21",
      "13.22",
      "14.17",
      "14.19",
      "16.9",
      "17.6",
      "18.0",
      "18beta3",
    ];
    const { stdout } = await execa(
      "python3",
      [
        ...["-B", "-c"],
        `import sys, dumps; dumps.RESTRICT_KEY = sys.argv[1] + "/dump-key"
print(*[version for version in sys.argv[2:] if dumps.stable(version)])
assert dumps.stable("17.6") == dumps.stable("18.0") and dumps.stable("17.6")[0].startswith("--restrict-key=")`,
        root,
        ...versions,
      ],
      { cwd: join(root, "usr/local/libexec/ouchi-photos") },
    );
    expect(stdout).toBe("13.22 14.19 17.6 18.0");
  });

  it("publish Immich on loopback only, and on the LAN by its address, never on all", () => {
    const composed = files
      .filter((file) => file.path.endsWith(".yaml"))
      .map((file) => file.content);
    const published = composed.flatMap((text) => text.match(/^\s+- \S+:2283:2283$/gm) ?? []);
    expect(published.map((line) => line.trim())).toEqual(["- 127.0.0.1:2283:2283"]);
    const references = files
      .filter((file) => file.path.endsWith("images.env"))
      .flatMap((file) => file.content.trim().split("\n"));
    for (const line of references)
      expect(line).toMatch(/^[A-Z_]+_IMAGE=\S+:\S+@sha256:[0-9a-f]{64}$/);
  });
});
