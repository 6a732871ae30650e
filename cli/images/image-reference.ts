/** An image with its tag, as a lock file has it: `ghcr.io/immich-app/immich-server:v3.2.4`. */
export interface ImageReference {
  /** The registry's host, with its port where it has one. */
  registry: string;
  repository: string;
  tag: string;
}

/** Read as Docker reads it: a first part without a dot or a port is no host, but a name at Docker Hub. */
export function parseImage(image: string): ImageReference | undefined {
  const match = /^(.+):([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$/.exec(image);
  if (!match) return undefined;
  const [first, ...rest] = match[1]!.split("/") as [string, ...string[]];
  const named = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const registry = named ? first : "docker.io";
  const path = named ? rest : [first, ...rest];
  const repository =
    registry === "docker.io" && path.length === 1 ? `library/${path[0]}` : path.join("/");
  if (!/^[a-z0-9._-]+(\/[a-z0-9._-]+)*$/.test(repository)) return undefined;
  return { registry, repository, tag: match[2]! };
}

/** Where a registry's API is. One on this machine is spoken to without TLS, as Docker does. */
export function registryAddress(registry: string): string {
  if (registry === "docker.io") return "https://registry-1.docker.io";
  return /^(localhost|127\.\d+\.\d+\.\d+)(:\d+)?$/.test(registry)
    ? `http://${registry}`
    : `https://${registry}`;
}
