import { expect, it } from "vitest";
import {
  isLoopback,
  refuseRemoteConfig,
  refuseRemoteTargets,
} from "../../../rehearsal/engine/loopback.ts";
import { Secret, unknown } from "../../../rehearsal/engine/values.ts";

it.each(["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])("%s is this machine", (host) => {
  expect(isLoopback(host)).toBe(true);
});

it.each([
  ...["192.168.11.14", "10.0.2.2", "raspberrypi.local", "0.0.0.0", "127.0.0.1.example.com"],
  ...["1270.0.0.1", "127.0.0.256", "localhost.example.com", ""],
])("%s is another machine", (host) => {
  expect(isLoopback(host)).toBe(false);
});

it("refuses the real Cloudflare, which is what no baseUrl means", () => {
  const refuse = (baseUrl?: string) => () =>
    refuseRemoteConfig("cloudflare", "urn", baseUrl === undefined ? {} : { baseUrl });
  expect(refuse()).toThrow('without "baseUrl" it would reach the real Cloudflare');
  expect(refuse("https://api.cloudflare.com/client/v4")).toThrow(
    '"baseUrl" is "api.cloudflare.com"',
  );
  expect(refuse("http://127.0.0.1:1234/client/v4")).not.toThrow();
});

it("refuses an SSH target elsewhere, secret or behind a proxy, and waits for one not known yet", () => {
  const refuse = (connection: Record<string, unknown>) => () =>
    refuseRemoteTargets("command", "urn", { connection: new Secret(connection as never) });
  expect(refuse({ host: "pi.local" })).toThrow('"connection.host" is "pi.local"');
  expect(refuse({ host: "localhost", proxy: { host: "pi.local" } })).toThrow(
    '"connection.proxy.host" is "pi.local"',
  );
  expect(refuse({ host: unknown })).not.toThrow();
  expect(refuse({ host: "127.0.0.1" })).not.toThrow();
});
