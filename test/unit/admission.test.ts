import { expect, test } from "vitest";
import { otherUsers } from "../../infra/cloudflare/admission.ts";

test("Applications that strict service tokens concern are named, the photos' own and those of people alone are not", () => {
  const named = otherUsers(
    [
      {
        id: "Photos",
        name: "Photos",
        domain: "photos.yamada.jp",
        policies: [{ id: "policy", name: "policy", decision: "non_identity" }],
      },
      {
        id: "Home Assistant",
        name: "Home Assistant",
        domain: "ha.yamada.jp",
        policies: [
          {
            id: "policy",
            name: "policy",
            decision: "non_identity",
            include: [{ group: { id: "of tokens" } }],
          },
        ],
      },
      {
        id: "Wiki",
        name: "Wiki",
        domain: "wiki.yamada.jp",
        policies: [
          {
            id: "policy",
            name: "policy",
            decision: "allow",
            include: [{ email: { email: "ken@yamada.jp" } }],
          },
          {
            id: "policy",
            name: "policy",
            decision: "allow",
            include: [{ group: { id: "group" } }],
          },
        ],
      },
      {
        id: "Cameras",
        name: "Cameras",
        policies: [
          {
            id: "policy",
            name: "policy",
            decision: "bypass",
            include: [{ service_token: { token_id: "1" } }],
          },
        ],
      },
      {
        id: "Mail",
        name: "Mail",
        domain: "mail.yamada.jp",
        policies: [
          { id: "policy", name: "policy", decision: "allow", include: [{ everyone: {} }] },
        ],
      },
      { id: "Launcher", name: "Launcher", domain: "yamada.cloudflareaccess.com" },
    ],
    [{ id: "group", name: "Robots", include: [{ service_token: { token_id: "1" } }] }],
    "photos.yamada.jp",
  );
  expect(named).toEqual([
    '"Home Assistant" (ha.yamada.jp)',
    '"Wiki" (wiki.yamada.jp)',
    '"Cameras"',
  ]);
});
