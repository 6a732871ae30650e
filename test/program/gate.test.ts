import * as pulumi from "@pulumi/pulumi";
import { beforeAll, describe, expect, test } from "vitest";

interface Registered {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
}

const registered: Registered[] = [];

/** Pulumi's own mocks: what the program registers, without an engine. They do not prove an order. */
beforeAll(async () => {
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => {
        registered.push({ type, name, inputs });
        return {
          id: `${name}-id`,
          state: { ...inputs, aud: "aud-1", clientId: "id", clientSecret: "s" },
        };
      },
      call: ({ inputs }) => inputs,
    },
    "ouchi-photos",
    "test",
    false,
  );
  const { AccessGate } = await import("../../infra/cloudflare/access-gate.ts");
  const gate = new AccessGate("gate", {
    accountId: "0".repeat(32),
    host: "photos.yamada.jp",
    family: [
      {
        name: "ken",
        email: "ken@yamada.jp",
        phones: [
          { name: "iphone", secretVersion: 2, overlapUntil: "2026-12-01T00:00:00Z" },
          { name: "ipad", secretVersion: 1 },
        ],
      },
      { name: "jiiji", email: "jiiji@yamada.jp", phones: [] },
    ],
    sessionDuration: "730h",
    tokenDuration: "8760h",
    oneTimePinId: undefined,
  });
  await new Promise((resolve) => gate.audience.apply(resolve));
});

function inputs(name: string): Record<string, unknown> {
  const found = registered.find((each) => each.name === name);
  expect(found, `${name} among ${registered.map((each) => each.name).join(", ")}`).toBeDefined();
  return found!.inputs;
}

describe("The gate", () => {
  test("lets people in by their e-mail addresses and phones by their own tokens, nobody else", () => {
    const decisions = registered
      .filter(({ type }) => type.endsWith(":ZeroTrustAccessPolicy"))
      .map(({ inputs: { decision, includes } }) => ({ decision, includes }));
    expect(decisions).toHaveLength(2);
    expect(decisions).toContainEqual({
      decision: "non_identity",
      includes: [
        { serviceToken: { tokenId: "gate-token-ken-iphone-id" } },
        { serviceToken: { tokenId: "gate-token-ken-ipad-id" } },
      ],
    });
    expect(decisions).toContainEqual({
      decision: "allow",
      includes: [{ email: { email: "ken@yamada.jp" } }, { email: { email: "jiiji@yamada.jp" } }],
    });
  });

  test("asks for the phones' policy first, and for the one-time PIN only", () => {
    expect(inputs("gate-application")).toMatchObject({
      domain: "photos.yamada.jp",
      type: "self_hosted",
      sessionDuration: "730h",
      allowedIdps: ["gate-one-time-pin-id"],
      serviceAuth401Redirect: false,
      policies: [
        { id: "gate-policy-phones-id", precedence: 1 },
        { id: "gate-policy-family-id", precedence: 2 },
      ],
    });
  });

  test("gives a rotated token its version and the old secret's end, and a first one neither", () => {
    expect(inputs("gate-token-ken-iphone")).toMatchObject({
      clientSecretVersion: 2,
      previousClientSecretExpiresAt: "2026-12-01T00:00:00Z",
    });
    expect(inputs("gate-token-ken-ipad")).not.toHaveProperty("clientSecretVersion");
    expect(inputs("gate-token-ken-ipad")).not.toHaveProperty("previousClientSecretExpiresAt");
  });
});
