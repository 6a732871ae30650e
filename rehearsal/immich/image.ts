/**
 * The pretend server as a container image's content: one bundled file for Debian's nodejs, and the
 * commands that the real image has. Everything else (base system, nodejs) is the image builder's.
 */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface ImageFile {
  path: string;
  mode: number;
  content: string;
}

/** Debian packages that the image needs. */
export const immichImagePackages = ["nodejs"];

/** As OCI's image configuration names them. */
export const immichImageConfig = {
  Entrypoint: ["/usr/bin/node", "/usr/src/app/server.cjs"],
  WorkingDir: "/usr/src/app",
  Env: [
    "PATH=/usr/src/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PRETEND_IMMICH_VERSION=v3.2.4",
  ],
  ExposedPorts: { "2283/tcp": {} },
  Healthcheck: { Test: ["CMD-SHELL", "immich-healthcheck"] },
};

/** Docker asks every half minute: a start of Node for each would take a tenth of an emulated processor. */
const healthcheck = `#!/bin/bash
exec 3<>"/dev/tcp/127.0.0.1/\${IMMICH_PORT:-2283}" || exit 1
printf 'GET /api/server/ping HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3
IFS= read -r -d "" -t 2 answer <&3
case "$answer" in
  *'"res":"pong"'*) exit 0 ;;
  *) echo "unexpected answer: $answer" >&2; exit 1 ;;
esac
`;

export async function bundleImmichServer(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("container.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    // An optional accelerator of pg, which is not installed.
    external: ["pg-native"],
    legalComments: "none",
    write: false,
  });
  return outputFiles[0]!.text;
}

export async function immichImageFiles(): Promise<ImageFile[]> {
  const command = (name: string) => ({
    path: `/usr/src/app/bin/${name}`,
    mode: 0o755,
    content: `#!/bin/sh\nexec /usr/bin/node /usr/src/app/server.cjs ${name} "$@"\n`,
  });
  return [
    { path: "/usr/src/app/server.cjs", mode: 0o644, content: await bundleImmichServer() },
    command("immich-admin"),
    { path: "/usr/src/app/bin/immich-healthcheck", mode: 0o755, content: healthcheck },
  ];
}
