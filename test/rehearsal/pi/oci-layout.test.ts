import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { addImage, writeLayer } from "../../../rehearsal/pi/oci-layout.ts";

describe("the OCI layout", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "oci-"));
    for (const name of ["one", "two"]) {
      await mkdir(join(folder, name, "etc"), { recursive: true });
      await writeFile(join(folder, name, "etc", "motd"), "hello\n");
    }
    await utimes(join(folder, "two", "etc", "motd"), 1, 1);
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("gives the same files the same digest, whenever they were written", async () => {
    const one = await writeLayer(join(folder, "one"), join(folder, "one.tar.zst"));
    const two = await writeLayer(join(folder, "two"), join(folder, "two.tar.zst"));
    expect(two.digest).toBe(one.digest);
    expect(two.diffId).toBe(one.diffId);
    expect(one.diffId).not.toBe(one.digest);
  });

  it("names every blob by what it holds", async () => {
    const layer = await writeLayer(join(folder, "one"), join(folder, "one.tar.zst"));
    const layout = join(folder, "layout");
    const digest = await addImage(layout, "motd", [layer], { Cmd: ["cat", "/etc/motd"] });
    const blob = (name: string) => join(layout, "blobs", "sha256", name.slice(7));
    const manifest = JSON.parse(await readFile(blob(digest), "utf8"));
    for (const part of [manifest.config, ...manifest.layers]) {
      const bytes = await readFile(blob(part.digest));
      expect(bytes.length).toBe(part.size);
      expect(`sha256:${createHash("sha256").update(bytes).digest("hex")}`).toBe(part.digest);
    }
    const config = JSON.parse(await readFile(blob(manifest.config.digest), "utf8"));
    expect(config.config).toEqual({ Cmd: ["cat", "/etc/motd"] });
    expect(config.rootfs.diff_ids).toEqual([layer.diffId]);
  });

  it("is read by skopeo, which sees the digest that was given out", async () => {
    const layer = await writeLayer(join(folder, "one"), join(folder, "one.tar.zst"));
    const layout = join(folder, "layout");
    await addImage(layout, "other", [layer], { User: "1:1" });
    const digest = await addImage(layout, "motd", [layer], { User: "65532:65532" });
    const { stdout } = await execa("skopeo", ["inspect", `oci:${layout}:motd`]);
    expect(JSON.parse(stdout)).toMatchObject({ Digest: digest, Architecture: "amd64" });
  });
});
