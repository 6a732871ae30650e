import { describe, expect, test } from "vitest";
import { parseImage, registryAddress } from "../../../cli/images/image-reference.ts";
import {
  newerTags,
  newestOfEachMajor,
  whyNotTo,
  withVersion,
} from "../../../cli/images/versions.ts";

describe("an image's reference", () => {
  test.each([
    ["ghcr.io/immich-app/immich-server:v3.2.4", "ghcr.io", "immich-app/immich-server", "v3.2.4"],
    ["docker.io/valkey/valkey:9", "docker.io", "valkey/valkey", "9"],
    ["docker.io/valkey:9", "docker.io", "library/valkey", "9"],
    ["valkey:9", "docker.io", "library/valkey", "9"],
    ["cloudflare/cloudflared:2026.10.0", "docker.io", "cloudflare/cloudflared", "2026.10.0"],
    ["127.0.0.1:5000/valkey/valkey:9", "127.0.0.1:5000", "valkey/valkey", "9"],
    ["localhost/a:b", "localhost", "a", "b"],
  ])("%s is read as Docker reads it", (image, registry, repository, tag) => {
    expect(parseImage(image)).toEqual({ registry, repository, tag });
  });

  test.each([
    ["without a tag", "ghcr.io/immich-app/immich-server"],
    ["with a port and no tag", "ghcr.io:5000/immich"],
    ["with a path that leads elsewhere", "ghcr.io/a?b/c:d"],
    ["that is empty", ""],
  ])("%s is none", (_what, image) => {
    expect(parseImage(image)).toBeUndefined();
  });

  test("leads to an address with TLS, but on this machine", () => {
    expect(registryAddress("ghcr.io")).toBe("https://ghcr.io");
    expect(registryAddress("docker.io")).toBe("https://registry-1.docker.io");
    expect(registryAddress("127.0.0.1:5000")).toBe("http://127.0.0.1:5000");
    expect(registryAddress("127.0.0.1.example.com")).toBe("https://127.0.0.1.example.com");
  });
});

describe("newer tags", () => {
  test("are those of the same kind with a higher version, in the order of versions", () => {
    const tags = [
      ...["v3.10.0", "v3.2.5", "v3.2.4", "v3.2.3", "v3.9.0", "v4.0.0", "v3", "v3.3", "release"],
      ...[
        "v3.3.0-rc.1",
        "v3.3.0-armnn",
        "3.3.0",
        "pr-12345",
        "commit-3a5f7e1",
        "v3.3.0.1",
        "v03.4.0",
      ],
    ];
    expect(newerTags("v3.2.4", tags)).toEqual(["v3.2.5", "v3.9.0", "v3.10.0", "v4.0.0"]);
    expect(newerTags("v3.2.4-armnn", tags)).toEqual(["v3.3.0-armnn"]);
    expect(newerTags("2026.10.0", ["2026.9.1", "2026.11.1", "2026.11.1-amd64", "latest"])).toEqual([
      "2026.11.1",
    ]);
  });

  test("are none for a tag that names no version", () => {
    for (const tag of ["9", "release", "14-vectorchord0.4.3-pgvectors0.2.0", "v3"])
      expect(newerTags(tag, ["10", "v3.2.5", "3.2.5"])).toBeUndefined();
  });

  test("are shown as the highest of each major version", () => {
    expect(newestOfEachMajor(["v3.2.5", "v3.10.0", "v4.0.0", "v4.1.0"])).toEqual([
      "v3.10.0",
      "v4.1.0",
    ]);
  });
});

describe("another version of Immich", () => {
  test("keeps what kind of image it is", () => {
    expect(withVersion("v3.2.4", "3.3.0")).toBe("v3.3.0");
    expect(withVersion("v3.2.4-armnn", "3.3.0")).toBe("v3.3.0-armnn");
    expect(withVersion("release", "3.3.0")).toBeUndefined();
  });

  test.each([
    ["v3.2.4", "3.2.4", undefined],
    ["v3.2.4", "3.10.0", undefined],
    ["v3.2.4", "4.7.1", undefined],
    ["v3.2.4", "3.2.3", "it is pinned at 3.2.4, and Immich cannot go back"],
    [
      "v3.2.4",
      "5.0.0",
      "it is pinned at 3.2.4, and a major version may not be skipped: go to a version 4.x first",
    ],
    ["release", "3.3.0", 'the pinned tag "release" names no version such as "v3.2.4"'],
  ])("from %s to %s is judged as the Pi judges it", (tag, version, why) => {
    expect(whyNotTo(tag, version)).toBe(why);
  });
});
