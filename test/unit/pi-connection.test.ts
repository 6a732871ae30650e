import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { piConnection } from "../../infra/pi/connection.ts";

const folder = mkdtempSync(join(tmpdir(), "ouchi-agent-"));
const socket = join(folder, "agent");
const keyFile = join(folder, "key");
writeFileSync(keyFile, "no key of any known form");
const agent = createServer((client) => client.end()).listen(socket);
afterAll(() => {
  agent.close();
  rmSync(folder, { recursive: true });
});

const pi = { host: "192.168.11.14", port: 22, user: "pi", hostKey: "ssh-ed25519 AAAA", lan: true };

describe("The connection to the Pi", () => {
  test("leaves the key to the agent, and the agent's socket out", async () => {
    expect(await piConnection(pi, { SSH_AUTH_SOCK: socket })).toEqual({
      host: pi.host,
      port: pi.port,
      user: pi.user,
      hostKey: pi.hostKey,
    });
  });

  test("takes the key where it is named", async () => {
    const connection = await piConnection({ ...pi, privateKeyFile: keyFile }, {});
    expect(connection.privateKey).toBe("no key of any known form");
  });

  test("refuses an agent that is gone, even beside a key", async () => {
    const gone = { SSH_AUTH_SOCK: join(folder, "gone") };
    const withKey = { ...pi, privateKeyFile: keyFile };
    await expect(piConnection(withKey, gone)).rejects.toThrow("unset SSH_AUTH_SOCK");
    await expect(piConnection(pi, gone)).rejects.toThrow("No SSH agent answers");
  });

  test("refuses to go on with neither", async () => {
    await expect(piConnection(pi, {})).rejects.toThrow("name the key's file in pi.privateKeyFile");
  });
});
