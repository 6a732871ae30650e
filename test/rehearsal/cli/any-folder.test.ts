import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseDocument } from "yaml";
import { Clock } from "../../../rehearsal/clock.ts";
import { startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import { EngineRun } from "../../../rehearsal/engine-run.ts";
import { ScratchClone } from "../../scratch-clone.ts";
import { fitPi } from "../immich/fit-pi.ts";
import { startSshd } from "../immich/sshd.ts";

/** The whole program, its provider and the files that it reads, in a folder whose name is no name in an address. */
test("A clone in a folder of any name previews the whole house", async () => {
  const clone = new ScratchClone("家 #1 100%20 what? 'x'");
  const folder = mkdtempSync(join(tmpdir(), "ouchi-any-"));
  const apiToken = "0123456789abcdef0123456789abcdef01234567";
  const cloudflare = await startCloudflare({
    clock: new Clock(),
    accountId: "0c0ffee00c0ffee00c0ffee00c0ffee0",
    zoneName: "yamada.test",
    teamName: "yamada",
    apiTokens: [{ value: apiToken }],
  });
  const sshd = await startSshd();
  try {
    sshd.answer(fitPi());
    const engine = new EngineRun(clone.folder, folder, "rehearsal", "a passphrase");
    await engine.prepare(clone.path("Pulumi.rehearsal.yaml"));
    await engine.editSettings((text) => {
      const document = parseDocument(text);
      const { port, user, hostKey, privateKeyFile } = sshd;
      document.setIn(
        ["config", "ouchi-photos:pi"],
        document.createNode({ host: "127.0.0.1", port, user, hostKey, privateKeyFile }),
      );
      document.setIn(
        ["config", "ouchi-photos:disks"],
        document.createNode({
          main: "usb-ONE",
          backup: "usb-TWO",
          allowFormat: ["usb-ONE", "usb-TWO"],
        }),
      );
      document.setIn(["config", "cloudflare:baseUrl"], cloudflare.apiUrl);
      return document.toString({ lineWidth: 0 });
    });
    await engine.setSecret("cloudflare:apiToken", apiToken);
    const { text, exitCode } = await engine.preview();
    expect(exitCode, text).toBe(0);
    expect(text).toContain("immich:index:User");
  } finally {
    await sshd.stop();
    await cloudflare.close();
    clone.remove();
    rmSync(folder, { recursive: true });
  }
});
