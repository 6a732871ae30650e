import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface EdgeCertificate {
  /** PEM of the authority that whoever talks to the edge must trust. */
  caFile: string;
  key: string;
  certificate: string;
}

/**
 * An authority and the edge's certificate, made on the spot and kept in the folder. As Cloudflare's
 * universal certificate it covers a zone and one level below, no more.
 */
export async function edgeCertificate(
  folder: string,
  zones: readonly string[],
  teamDomain: string,
): Promise<EdgeCertificate> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const file = (name: string) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  if (!existsSync(file("ca.pem"))) {
    await run("openssl", [
      ...["req", "-x509", ...key, "-keyout", file("ca.key"), "-out", file("ca.pem")],
      ...["-days", "3650", "-subj", "/CN=The rehearsal's certificate authority"],
      ...["-addext", "basicConstraints=critical,CA:TRUE"],
      ...["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    ]);
  }
  const names = [...zones.flatMap((zone) => [zone, `*.${zone}`]), teamDomain];
  await run("openssl", [
    ...["req", "-x509", ...key, "-keyout", file("edge.key"), "-out", file("edge.pem")],
    ...["-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-days", "3650"],
    ...["-subj", `/CN=${zones[0] ?? teamDomain}`],
    ...["-addext", `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`],
    ...["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-addext", "extendedKeyUsage=serverAuth"],
  ]);
  return {
    caFile: file("ca.pem"),
    key: await readFile(file("edge.key"), "utf8"),
    certificate: await readFile(file("edge.pem"), "utf8"),
  };
}
