import { describe, expect, test } from "vitest";
import {
  applicationFor,
  matchIdentity,
  matchWithoutIdentity,
  policiesInOrder,
} from "../../../rehearsal/cloudflare/access-rules.ts";
import { durationMs } from "../../../rehearsal/cloudflare/duration.ts";
import { readTokenHeaders } from "../../../rehearsal/cloudflare/service-token-headers.ts";
import type {
  AccessApplication,
  AccessPolicy,
  AccessRule,
  Decision,
} from "../../../rehearsal/cloudflare/state.ts";

function policy(
  id: string,
  decision: Decision,
  include: AccessRule[],
  more: Partial<AccessPolicy> = {},
): AccessPolicy {
  return {
    id,
    name: id,
    decision,
    include,
    exclude: [],
    require: [],
    session_duration: "24h",
    created_at: "",
    updated_at: "",
    ...more,
  };
}

function application(domain: string, policies: string[] = []): AccessApplication {
  return {
    name: domain,
    domain,
    self_hosted_domains: [domain],
    policies: policies.map((id, index) => ({ id, precedence: index + 1 })),
  } as AccessApplication;
}

const everyone: AccessRule = { everyone: {} };
const email = (address: string): AccessRule => ({ email: { email: address } });
const subject = (more: object) => ({ ip: "192.0.2.1", ...more });

describe("the order of policies", () => {
  const policies = [
    policy("allow A", "allow", [email("a@x.org")]),
    policy("block B", "deny", [email("a@x.org"), email("b@x.org")]),
    policy("auth C", "non_identity", [{ service_token: { token_id: "c" } }]),
    policy("bypass D", "bypass", [{ ip: { ip: "198.51.100.0/24" } }]),
    policy("allow E", "allow", [everyone]),
  ];
  const ordered = policiesInOrder(
    application("x.org", ["allow A", "block B", "auth C", "bypass D", "allow E"]),
    policies,
  );

  test("Service Auth and Bypass come first, wherever they stand", () => {
    const find = (more: object) => matchWithoutIdentity(ordered, subject(more))?.id;
    expect(find({ serviceToken: { id: "c" } })).toBe("auth C");
    expect(find({ ip: "198.51.100.7" })).toBe("bypass D");
    expect(find({ serviceToken: { id: "other" } })).toBeUndefined();
    expect(find({ email: "a@x.org" })).toBeUndefined();
  });

  test("then the first Allow or Block that matches, and nobody else", () => {
    const find = (address: string) => matchIdentity(ordered, subject({ email: address }))?.id;
    expect(find("A@X.org")).toBe("allow A");
    expect(find("b@x.org")).toBe("block B");
    expect(find("z@x.org")).toBe("allow E");
    expect(matchIdentity(ordered.slice(0, 4), subject({ email: "z@x.org" }))).toBeUndefined();
  });

  test("precedence orders, not the list", () => {
    const reversed = application("x.org");
    reversed.policies = [
      { id: "block B", precedence: 2 },
      { id: "allow E", precedence: 1 },
    ];
    expect(policiesInOrder(reversed, policies).map(({ id }) => id)).toEqual(["allow E", "block B"]);
  });

  test("Require is an AND, Exclude a NOT", () => {
    const strict = policy("p", "allow", [{ email_domain: { domain: "x.org" } }], {
      require: [{ ip: { ip: "192.0.2.1" } }],
      exclude: [email("out@x.org")],
    });
    const find = (more: object) => matchIdentity([strict], subject(more))?.id;
    expect(find({ email: "in@x.org" })).toBe("p");
    expect(find({ email: "in@x.org", ip: "192.0.2.2" })).toBeUndefined();
    expect(find({ email: "out@x.org" })).toBeUndefined();
    expect(find({ email: "in@notx.org" })).toBeUndefined();
  });
});

test("the most specific application guards a path", () => {
  const all = ["photos.x.org", "photos.x.org/share", "*.x.org"].map((domain) =>
    application(domain),
  );
  const find = (host: string, path: string) => applicationFor(all, host, path)?.domain;
  expect(find("photos.x.org", "/")).toBe("photos.x.org");
  expect(find("photos.x.org", "/share/1")).toBe("photos.x.org/share");
  expect(find("photos.x.org", "/shared")).toBe("photos.x.org");
  expect(find("other.x.org", "/")).toBe("*.x.org");
  expect(find("x.org", "/")).toBeUndefined();
});

test("a service token is read whole, from one place, once", () => {
  const pairs: [string, string][] = [
    ["CF-Access-Client-Id", "i"],
    ["CF-Access-Client-Secret", "s"],
  ];
  expect(readTokenHeaders(pairs, null)).toEqual({
    kind: "whole",
    clientId: "i",
    clientSecret: "s",
  });
  expect(readTokenHeaders([], null)).toEqual({ kind: "none" });
  expect(readTokenHeaders(pairs.slice(1), null).kind).toBe("malformed");
  expect(readTokenHeaders([...pairs, pairs[1]!], null).kind).toBe("malformed");
  const single: [string, string] = [
    "Authorization",
    '{"cf-access-client-id":"i","cf-access-client-secret":"s"}',
  ];
  expect(readTokenHeaders([single], "Authorization").kind).toBe("whole");
  expect(readTokenHeaders([single], null).kind).toBe("none");
  expect(readTokenHeaders([...pairs, single], "Authorization").kind).toBe("malformed");
  expect(readTokenHeaders([["Authorization", "Bearer x"]], "Authorization").kind).toBe("none");
});

test("durations are Cloudflare's", () => {
  expect(durationMs("730h")).toBe(730 * 3_600_000);
  expect(durationMs("1h30m")).toBe(5_400_000);
  expect(durationMs("300ms")).toBe(300);
  for (const text of ["", "1d", "forever", "h", "-1h"]) expect(durationMs(text)).toBeUndefined();
});
