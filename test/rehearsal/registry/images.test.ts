import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Registry } from "../../../cli/images/registry.ts";
import { listen } from "../../../rehearsal/cloudflare/listen.ts";
import { startRegistry } from "../../../rehearsal/pi/container-images.ts";
import { addImage, writeLayer } from "../../../rehearsal/pi/oci-layout.ts";
import { freePort } from "../../../rehearsal/pi/ports.ts";
import { PretendRegistry } from "../../../rehearsal/registry/pretend-registry.ts";

const repository = join(import.meta.dirname, "../../..");
const ouchi = join(repository, "cli/ouchi");
const kitLock = join(repository, "compose/images.lock.json");

let folder: string;
let registry: PretendRegistry;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "ouchi-images-"));
  registry = await PretendRegistry.start();
});
afterEach(async () => {
  await registry.stop();
  rmSync(folder, { recursive: true });
});

describe("a registry", () => {
  test("that is Docker's own tells digest and tags", async () => {
    const layer = await writeLayer(join(folder), `${folder}.layer`);
    onTestFinished(() => rmSync(`${folder}.layer`));
    const layout = join(folder, "layout");
    const digest = await addImage(layout, "small", [layer], {});
    const real = await startRegistry({ store: join(folder, "store") });
    onTestFinished(() => real.stop());
    for (const tag of ["v1.0.0", "v1.1.0"]) {
      await execa("skopeo", [
        ...["--insecure-policy", "copy", "--quiet", "--preserve-digests"],
        ...["--dest-tls-verify=false", `oci:${layout}:small`],
        `docker://127.0.0.1:${real.port}/some/image:${tag}`,
      ]);
    }
    const asked = new Registry(`127.0.0.1:${real.port}`);
    expect(await asked.digest("some/image", "v1.0.0")).toBe(digest);
    expect(await asked.digest("some/image", "v2.0.0")).toBeUndefined();
    expect((await asked.tags("some/image")).sort()).toEqual(["v1.0.0", "v1.1.0"]);
    await expect(asked.tags("no/image")).rejects.toThrow('knows no "no/image"');
  });

  test("that gives tokens to anybody tells the index's digest, for one token a repository", async () => {
    const digest = registry.publish("some/image", "v1.0.0");
    const asked = new Registry(registry.host);
    expect(await asked.digest("some/image", "v1.0.0")).toBe(digest);
    expect(await asked.digest("some/image", "v2.0.0")).toBeUndefined();
    expect(await asked.tags("some/image")).toEqual(["v1.0.0"]);
    expect(registry.requests).toEqual([
      "HEAD /v2/some/image/manifests/v1.0.0",
      "GET /token",
      "HEAD /v2/some/image/manifests/v1.0.0 with a token",
      "HEAD /v2/some/image/manifests/v2.0.0 with a token",
      "GET /v2/some/image/tags/list with a token",
    ]);
  });

  test("whose token has ended gives another one", async () => {
    registry.publish("some/image", "v1.0.0");
    registry.tokenLife = 1;
    const asked = new Registry(registry.host);
    expect(await asked.tags("some/image")).toEqual(["v1.0.0"]);
    expect(await asked.tags("some/image")).toEqual(["v1.0.0"]);
  });

  test("gives all its tags, however many pages they are", async () => {
    const tags = Array.from({ length: 2345 }, (_, index) => `commit-${index}`);
    for (const tag of tags) registry.publish("some/image", tag);
    expect((await new Registry(registry.host).tags("some/image")).sort()).toEqual(tags.sort());
    expect(registry.requests.filter((line) => line.includes("tags/list with"))).toHaveLength(3);
  });

  test.each([
    [
      { status: 429, headers: { "Retry-After": "90" } },
      /was asked too often from this address \(429\): try again in 90 seconds\.$/,
    ],
    [{ status: 429 }, /\(429\): try again in some hours\.$/],
    [{ status: 503 }, /answered with status 503\.$/],
    [
      { status: 200, body: "<html>Welcome to the hotel" },
      /no JSON: a sign-in page may be in between\.$/,
    ],
    [{ status: 200, body: '{"tags": 7}' }, /answered with no list of tags\.$/],
    [{ status: 401 }, /lets nobody read without an account\.$/],
    [
      { status: 401, headers: { "WWW-Authenticate": 'Basic realm="members"' } },
      /lets nobody read without an account\.$/,
    ],
  ])("that answers %j is named, with what to do", async (fault, words) => {
    registry.publish("some/image", "v1.0.0");
    registry.faults.push(fault);
    const why = await new Registry(registry.host)
      .tags("some/image")
      .catch((error) => error.message);
    expect(why).toMatch(words);
    expect(why).toContain(`The registry ${registry.host} `);
  });

  test("without such an image says that it may be misspelt", async () => {
    await expect(new Registry(registry.host).digest("some/imagge", "v1.0.0")).rejects.toThrow(
      'lets nobody read "some/imagge" without an account (403). Is it spelt right?',
    );
  });

  const strange = async (listener: RequestListener) => {
    const server = createServer(listener);
    const port = await listen(server);
    onTestFinished(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return new Registry(`127.0.0.1:${port}`, 300);
  };

  test("is not followed to another host, nor without end", async () => {
    const elsewhere = await strange((_request, response) =>
      response.setHeader("Link", '<http://127.0.0.2:1/x>; rel="next"').end('{"tags": ["a"]}'),
    );
    await expect(elsewhere.tags("some/image")).rejects.toThrow('sent on to "http://127.0.0.2:1"');
    const endless = await strange((request, response) =>
      response.setHeader("Link", `<${request.url}>; rel="next"`).end('{"tags": ["a"]}'),
    );
    await expect(endless.tags("some/image")).rejects.toThrow("200 pages of tags, and more");
  });

  test("that is not there, or is silent, is out of reach", async () => {
    await expect(new Registry(`127.0.0.1:${await freePort()}`).tags("some/image")).rejects.toThrow(
      "could not be reached (ECONNREFUSED). Is this laptop online?",
    );
    const silent = await strange(() => undefined);
    await expect(silent.tags("some/image")).rejects.toThrow("did not answer within 0.3 seconds");
  });

  test("that tells no digest is asked for the index, whose digest it is", async () => {
    const untold = await strange((_request, response) => response.end("{}"));
    expect(await untold.digest("some/image", "v1")).toBe(
      "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    );
  });
});

describe("ouchi images", { timeout: 60_000 }, () => {
  let lock: Record<string, { image: string; digest: string }>;
  let settings: string;
  const file = () => join(folder, "own.lock.json");

  /** The kit's own images, at the registry here. */
  beforeEach(() => {
    const kit = JSON.parse(readFileSync(kitLock, "utf8")) as typeof lock;
    lock = Object.fromEntries(
      Object.entries(kit).map(([name, { image }]) => {
        const [, repository, tag] = /^[^/]+\/(.+):(.+)$/.exec(image)!;
        const digest = registry.publish(repository!, tag!);
        return [name, { image: `${registry.host}/${repository}:${tag}`, digest }];
      }),
    );
    writeFileSync(file(), JSON.stringify(lock));
    settings = join(folder, "Pulumi.home.yaml");
    // Nothing but what the command needs: it asks neither the Pi nor Cloudflare.
    writeFileSync(settings, `config:\n  ouchi-photos:imagesLock: ${file()}\n`);
  });

  const type = (...words: string[]) =>
    execa(ouchi, ["--stack", "home", "--config-file", settings, "images", ...words], {
      reject: false,
      cwd: folder,
    });
  const line = (text: string, name: string) =>
    text.split("\n").find((each) => each.startsWith(`${name} `));
  const written = () => JSON.parse(readFileSync(file(), "utf8")) as typeof lock;
  const publishNewer = () => {
    for (const name of ["immich-app/immich-server", "immich-app/immich-machine-learning"])
      for (const tag of ["v3.2.5", "v3.10.0", "v4.0.1", "v4.1.0-rc.1", "main", "v3.10.0-cuda"])
        registry.publish(name, tag);
    return {
      cloudflared: registry.publish("cloudflare/cloudflared", "2026.11.1"),
      valkey: registry.publish("valkey/valkey", "9", "built anew"),
    };
  };

  test("says that all is as pinned, and writes nothing then", async () => {
    const { stdout, exitCode } = await type();
    expect(line(stdout, "immich-server")).toMatch(/v3\.2\.4: as pinned, and the newest$/);
    expect(line(stdout, "postgres")).toMatch(/: as pinned; its version goes with Immich's$/);
    expect(exitCode).toBe(0);
    const { stdout: again } = await type("--write");
    expect(again).toContain("nothing was written");
    expect(readdirSync(folder).sort()).toEqual(["Pulumi.home.yaml", "own.lock.json"]);
  });

  test("names what is newer, what was built anew and what is gone", async () => {
    publishNewer();
    registry.withdraw("immich-app/postgres", "14-vectorchord0.4.3-pgvectors0.2.0");
    const { stdout, exitCode } = await type();
    expect(line(stdout, "immich-server")).toMatch(/: as pinned; newer: v3\.10\.0, then v4\.0\.1$/);
    expect(line(stdout, "cloudflared")).toMatch(/: as pinned; newer: 2026\.11\.1$/);
    expect(line(stdout, "valkey")).toMatch(/9: built anew since it was pinned; its version goes/);
    expect(line(stdout, "postgres")).toMatch(/: the registry has this tag no more/);
    expect(exitCode).toBe(0);
    const { stdout: json } = await type("--json");
    expect(JSON.parse(json)).toMatchObject({
      lock: file(),
      written: null,
      images: [
        {
          name: "immich-server",
          image: lock["immich-server"]!.image,
          pinned: lock["immich-server"]!.digest,
          now: lock["immich-server"]!.digest,
          newer: ["v3.2.5", "v3.10.0", "v4.0.1"],
        },
        { name: "immich-machine-learning" },
        { name: "postgres", now: null },
        { name: "valkey" },
        { name: "cloudflared", newer: ["2026.11.1"] },
      ],
    });
  });

  test("writes the newest cloudflared and today's builds, and leaves Immich's version as it is", async () => {
    const digests = publishNewer();
    const { stdout, exitCode } = await type("--write");
    expect(stdout).toContain(`Wrote ${file()}.`);
    expect(exitCode).toBe(0);
    expect(written()).toEqual({
      ...lock,
      valkey: { ...lock.valkey, digest: digests.valkey },
      cloudflared: {
        image: `${registry.host}/cloudflare/cloudflared:2026.11.1`,
        digest: digests.cloudflared,
      },
    });
  });

  test("writes one version of Immich for both of its images", async () => {
    publishNewer();
    await type("--write", "v3.10.0");
    const { "immich-server": server, "immich-machine-learning": learning } = written();
    expect(server!.image).toBe(`${registry.host}/immich-app/immich-server:v3.10.0`);
    expect(learning!.image).toBe(`${registry.host}/immich-app/immich-machine-learning:v3.10.0`);
    expect(server!.digest).toBe(registry.publish("immich-app/immich-server", "v3.10.0"));
  });

  test.each([
    [
      "v3.2.3",
      "immich-server cannot go to version 3.2.3: it is pinned at 3.2.4, and Immich cannot",
    ],
    ["v5.0.0", "go to a version 4.x first. Nothing was changed."],
    ["v3.9.9", 'has no tag "v3.9.9" of immich-app/immich-server.'],
    ["latest", '"latest" is no version of Immich'],
    ["v3.3.0-rc.1", '"v3.3.0-rc.1" is no version of Immich'],
  ])("does not write Immich %s, and says why", async (version, words) => {
    publishNewer();
    registry.publish("immich-app/immich-server", "v5.0.0");
    const { stderr, exitCode } = await type("--write", version);
    expect(stderr).toContain(words);
    expect(stderr).toContain("Nothing was changed.");
    expect(exitCode).not.toBe(0);
    expect(written()).toEqual(lock);
  });

  test("shows the others when one cannot be looked up, and then writes none", async () => {
    publishNewer();
    lock.valkey!.image = "127.0.0.1:1/valkey/valkey:9";
    writeFileSync(file(), JSON.stringify(lock));
    const { stdout, exitCode } = await type();
    expect(line(stdout, "valkey")).toMatch(/: could not be looked up$/);
    expect(stdout).toContain("\nThe registry 127.0.0.1:1 could not be reached");
    expect(line(stdout, "cloudflared")).toContain("newer: 2026.11.1");
    expect(exitCode).not.toBe(0);
    const { stderr } = await type("--write");
    expect(stderr).toContain(`so "${file()}" was not written; nothing was changed:\n  - valkey: `);
    expect(written()).toEqual(lock);
  });

  test.each([
    ["that is no JSON", "{"],
    ["that is empty", "{}"],
    ["with an image without a tag", '{"valkey": {"image": "docker.io/valkey/valkey"}}'],
    ["with no digest", '{"valkey": {"image": "docker.io/valkey/valkey:9", "digest": "sha256:0"}}'],
    ["with a null", '{"valkey": null}'],
  ])("refuses a lock file %s", async (_what, text) => {
    writeFileSync(file(), text);
    const { stderr, exitCode } = await type();
    expect(stderr).toMatch(
      /^The lock file of the images, ".*own\.lock\.json", could not be read: /,
    );
    expect(exitCode).not.toBe(0);
  });

  describe("without a lock file of one's own", () => {
    let clone: string;

    beforeEach(() => {
      clone = join(folder, "a clone");
      for (const each of ["cli", "infra", "pi", "compose", "package.json"])
        cpSync(join(repository, each), join(clone, each), { recursive: true });
      symlinkSync(join(repository, "node_modules"), join(clone, "node_modules"));
      writeFileSync(join(clone, "compose/images.lock.json"), JSON.stringify(lock));
      writeFileSync(join(clone, "Pulumi.home.yaml"), "config: {}\n");
    });

    const typeThere = (...words: string[]) =>
      execa(join(clone, "cli/ouchi"), ["--stack", "home", "images", ...words], { reject: false });

    test("writes one beside the stack file, never the kit's, and says how to name it", async () => {
      publishNewer();
      const before = readFileSync(join(clone, "compose/images.lock.json"), "utf8");
      const { stdout } = await typeThere("--write", "3.2.5");
      expect(stdout).toContain(
        'Name it in Pulumi.home.yaml: "pulumi config set ouchi-photos:imagesLock images.home.lock.json".',
      );
      expect(readFileSync(join(clone, "compose/images.lock.json"), "utf8")).toBe(before);
      const own = JSON.parse(readFileSync(join(clone, "images.home.lock.json"), "utf8"));
      expect(own["immich-server"].image).toMatch(/:v3\.2\.5$/);

      const { stderr, exitCode } = await typeThere("--write");
      expect(stderr).toContain('There is "images.home.lock.json" already');
      expect(exitCode).not.toBe(0);

      writeFileSync(
        join(clone, "Pulumi.home.yaml"),
        "config: {'ouchi-photos:imagesLock': images.home.lock.json}\n",
      );
      const { stdout: named } = await typeThere();
      expect(named).toContain("The images in images.home.lock.json");
      expect(named).toContain(
        "tried with other tags (compose/images.lock.json): immich-server v3.2.4, immich-machine-learning v3.2.4, cloudflared 2026.10.0.",
      );
    });

    test("looks the kit's up where there is no stack file yet", async () => {
      rmSync(join(clone, "Pulumi.home.yaml"));
      const { stdout, exitCode } = await typeThere();
      expect(stdout).toContain("The images in compose/images.lock.json");
      expect(exitCode).toBe(0);
      expect(existsSync(join(clone, "images.home.lock.json"))).toBe(false);
    });
  });
});
