import { expect, test } from "vitest";
import { ingressRules } from "../../infra/cloudflare/ingress-rules.ts";
import { shellLine } from "../../infra/pi/shell-words.ts";

test("The ingress asks every request for the application's JWT, and answers 404 to all other hosts", () => {
  expect(ingressRules("photos.yamada.jp", "yamada", "aud-1")).toEqual([
    {
      hostname: "photos.yamada.jp",
      service: "http://localhost:2283",
      originRequest: {
        access: { required: true, teamName: "yamada", audTags: ["aud-1"] },
        // Below the 5 s after which Immich's server closes an idle connection.
        keepAliveTimeout: 3,
      },
    },
    { service: "http_status:404" },
  ]);
});

test("A shell line keeps every word whole", () => {
  expect(shellLine(["sudo", "-n", "python3", "-c", "print('a b')\n", "$HOME", ""])).toBe(
    `sudo -n python3 -c 'print('\\''a b'\\'')\n' '$HOME' ''`,
  );
});
