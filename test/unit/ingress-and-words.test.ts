import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ingressRules } from "../../infra/cloudflare/ingress-rules.ts";
import { answeringLine, answerOf, shellLine } from "../../infra/pi/shell-words.ts";

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

test("A shell line keeps every word whole, in words and quotes that all login shells read alike", () => {
  expect(shellLine(["sudo", "-n", "python3", "-c", 'print("a b")', "$HOME", "=a", ""])).toBe(
    `sudo -n python3 -c 'print("a b")' '$HOME' '=a' ''`,
  );
  // fish reads a backslash in single quotes, csh a "!" and no line break: such words travel encoded.
  for (const word of ["it's", "a\\b", "wow!", "two\nlines", "写真"]) {
    const line = shellLine(["printf", word]);
    expect(line).toMatch(/^exec sh -c 'eval "\$\(echo \$0 \| base64 -d\)"' [A-Za-z0-9+/=]+$/);
    expect(execFileSync("sh", ["-c", line], { encoding: "utf8" })).toBe(word.replace("\\b", "\b"));
  }
});

test("What was printed around an answer is taken off, and a cut or missing answer is none", () => {
  const line = answeringLine(["sh", "-c", "printf 'one\ntwo'; exit 3"]);
  const { stdout, status } = spawnSync("sh", ["-c", line], { encoding: "utf8" });
  expect(status).toBe(3);
  expect(answerOf(`Welcome!\n${stdout}Bye\n`)).toBe("one\ntwo");
  expect(answerOf("Welcome!\n")).toBeUndefined();
  for (let length = 0; length < stdout.length; length++)
    expect(answerOf(stdout.slice(0, length))).toBeUndefined();
});
