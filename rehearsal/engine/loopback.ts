// A rehearsal must never touch what is real: every address that it is given lies on this machine.
import { EngineError } from "./engine-error.ts";
import { isObject, type Properties, reveal, unknown } from "./values.ts";

export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, "$1").toLowerCase();
  if (name === "localhost" || name === "::1") return true;
  const parts = name.split(".");
  return (
    parts.length === 4 &&
    parts[0] === "127" &&
    parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)
  );
}

/** Providers that reach out over HTTP by their own configuration. */
export function refuseRemoteConfig(packageName: string, urn: string, config: Properties): void {
  if (packageName !== "cloudflare") return;
  const baseUrl = config.baseUrl === undefined ? undefined : reveal(config.baseUrl);
  if (baseUrl === unknown) return;
  if (typeof baseUrl !== "string" || baseUrl === "") {
    throw new EngineError(
      `The rehearsal engine refuses the provider ${urn}: without "baseUrl" it would reach the real Cloudflare. ` +
        "Set cloudflare:baseUrl to the pretend Cloudflare, or use Pulumi's own engine.",
    );
  }
  let host: string;
  try {
    host = new URL(baseUrl).hostname;
  } catch {
    throw new EngineError(`The rehearsal engine refuses the provider ${urn}: "baseUrl" is no URL.`);
  }
  if (!isLoopback(host)) throw refusal(urn, "baseUrl", host);
}

/** Resources that reach out over SSH: `connection.host`, and the one of its proxy. */
export function refuseRemoteTargets(packageName: string, urn: string, inputs: Properties): void {
  if (packageName === "random") return;
  const connection = inputs.connection === undefined ? undefined : reveal(inputs.connection);
  if (!isObject(connection)) return;
  refuseHost(urn, "connection.host", connection);
  if (isObject(connection.proxy)) refuseHost(urn, "connection.proxy.host", connection.proxy);
}

function refuseHost(urn: string, name: string, connection: Properties): void {
  const { host } = connection;
  if (typeof host === "string" && !isLoopback(host)) throw refusal(urn, name, host);
}

function refusal(urn: string, property: string, host: string): EngineError {
  return new EngineError(
    `The rehearsal engine refuses ${urn}: its "${property}" is "${host}", which is not this machine. ` +
      "It reaches only 127.0.0.0/8 and localhost; for a real target use Pulumi's own engine.",
  );
}
