import { expect, test } from "vitest";
import { otherUsers } from "../../infra/cloudflare/admission.ts";

test("Applications that strict service tokens concern are named, the photos' own and those of people alone are not", () => {
  const named = otherUsers(
    [
      { name: "Photos", domain: "photos.yamada.jp", policies: [{ decision: "non_identity" }] },
      {
        name: "Home Assistant",
        domain: "ha.yamada.jp",
        policies: [{ decision: "non_identity", include: [{ group: { id: "of tokens" } }] }],
      },
      {
        name: "Wiki",
        domain: "wiki.yamada.jp",
        policies: [
          { decision: "allow", include: [{ email: { email: "ken@yamada.jp" } }] },
          { decision: "allow", include: [{ any_valid_service_token: {} }] },
        ],
      },
      {
        name: "Cameras",
        policies: [{ decision: "bypass", include: [{ service_token: { token_id: "1" } }] }],
      },
      {
        name: "Mail",
        domain: "mail.yamada.jp",
        policies: [{ decision: "allow", include: [{ everyone: {} }] }],
      },
      { name: "Launcher", domain: "yamada.cloudflareaccess.com" },
    ],
    "photos.yamada.jp",
  );
  expect(named).toEqual([
    '"Home Assistant" (ha.yamada.jp)',
    '"Wiki" (wiki.yamada.jp)',
    '"Cameras"',
  ]);
});
