import semver from "semver";

/** A tag that names a whole version: `v3.2.4`, `2026.10.0`, `v3.2.4-armnn`. */
interface VersionTag {
  prefix: string;
  version: string;
  /** What kind of image it is, beside its version. */
  suffix: string;
}

function parsed(tag: string): VersionTag | undefined {
  const match = /^(v?)(\d+\.\d+\.\d+)(-[A-Za-z0-9_.-]+)?$/.exec(tag);
  if (!match || !semver.valid(match[2])) return undefined;
  return { prefix: match[1]!, version: match[2]!, suffix: match[3] ?? "" };
}

/** The tags of the same kind with a higher version, lowest first; `undefined` where the tag names no version. */
export function newerTags(tag: string, tags: string[]): string[] | undefined {
  const own = parsed(tag);
  if (!own) return undefined;
  return tags
    .flatMap((each) => {
      const other = parsed(each);
      return other?.prefix === own.prefix &&
        other.suffix === own.suffix &&
        semver.gt(other.version, own.version)
        ? [{ tag: each, version: other.version }]
        : [];
    })
    .sort((one, other) => semver.compare(one.version, other.version))
    .map((each) => each.tag);
}

/** The highest tag of each major version; for tags as `newerTags` gives them. */
export function newestOfEachMajor(tags: string[]): string[] {
  const newest = new Map(tags.map((tag) => [semver.major(parsed(tag)!.version), tag]));
  return [...newest.values()];
}

/** The tag with another version in the place of its own: for `v3.2.4-armnn` and `3.3.0`, `v3.3.0-armnn`. */
export function withVersion(tag: string, version: string): string | undefined {
  const own = parsed(tag);
  return own && `${own.prefix}${version}${own.suffix}`;
}

/** Why Immich cannot go from the one tag to the version, in a sentence's end; `undefined` where it can. */
export function whyNotTo(tag: string, version: string): string | undefined {
  const own = parsed(tag);
  if (!own) return `the pinned tag "${tag}" names no version such as "v3.2.4"`;
  if (semver.lt(version, own.version))
    return `it is pinned at ${own.version}, and Immich cannot go back`;
  const next = semver.major(own.version) + 1;
  return semver.major(version) > next
    ? `it is pinned at ${own.version}, and a major version may not be skipped: go to a version ${next}.x first`
    : undefined;
}
