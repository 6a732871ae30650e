/** What answers at Immich's port is not always Immich, and not always whole: no fact may come of that. */
import { createServer, type ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { admin } from "../../../immich/admin.ts";
import { ImmichApi } from "../../../immich/api.ts";
import type { Context } from "../../../immich/resource-kind.ts";
import { systemSettings } from "../../../immich/system-settings.ts";
import { user } from "../../../immich/user.ts";
import { UserError } from "../../../immich/user-error.ts";
import { type Sshd, startSshd } from "./sshd.ts";

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(async () => {
  await sshd?.stop();
});

const kit = {
  id: "11111111-1111-4111-8111-111111111111",
  email: "admin@yamada.jp",
  name: "ouchi-photos",
  isAdmin: true,
  shouldChangePassword: false,
  storageLabel: "admin",
  status: "active",
  deletedAt: null,
  quotaSizeInBytes: null,
};
const ken = { ...kit, id: "2", email: "ken@yamada.jp", name: "ken", isAdmin: false };

/** What a whole Immich answers. */
const whole: Record<string, unknown> = {
  "GET /api/server/ping": { res: "pong" },
  "GET /api/server/config": { isInitialized: true, isOnboarded: true, maintenanceMode: false },
  "POST /api/auth/login": { accessToken: "token", isAdmin: true },
  "POST /api/auth/logout": { successful: true },
  "GET /api/users/me": kit,
  "GET /api/admin/users": [kit, ken],
  "GET /api/admin/config": { storageTemplate: {}, server: {}, trash: { enabled: true, days: 30 } },
};

type Answer = (response: ServerResponse) => void;
const json =
  (value: unknown): Answer =>
  (response) =>
    response.end(JSON.stringify(value));
const noAnswers: [string, Answer][] = [
  ["a web page", (response) => response.end("<!DOCTYPE html><title>nginx</title>")],
  ["null", json(null)],
  ["an empty object", json({})],
  ["an empty list", json([])],
  ["nothing", (response) => response.end()],
  ["half of JSON", (response) => response.end('{"accessToken":"canary')],
  ["a text", json("canary")],
  ["another shape", json({ users: [kit], isInitialized: "no", accessToken: 7, res: "ping" })],
];

/** Immich with other answers, by method and path, and what it was asked. */
async function immich(answers: Record<string, Answer>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const call = `${request.method} ${request.url!.replace(/\?.*/, "")}`;
    asked.push(call);
    if (answers[call]) return answers[call](response);
    if (!(call in whole)) response.statusCode = 500;
    response.end(JSON.stringify(whole[call] ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const { user: name, hostKey, privateKey, port: sshPort } = sshd;
  const connection = {
    ...{ host: "127.0.0.1", port: sshPort, user: name, hostKey, privateKey },
    apiPort: port,
  };
  const api = new ImmichApi(connection, { readyTime: 0 });
  onTestFinished(async () => {
    await api.close();
    server.closeAllConnections();
    server.close();
  });
  const context: Context = { urn: "test", api: () => api, log: async () => undefined };
  const account = { email: kit.email, password: "canary-password" };
  const person = {
    ...{ connection, admin: account, email: ken.email, name: "ken", storageLabel: "ken" },
    initialPassword: "canary-first",
  };
  return {
    asked,
    /** What changes something in Immich, but for signing in and out. */
    changes: () => asked.filter((call) => !/^GET |\/auth\/log(in|out)$/.test(call)),
    steps: {
      makeAdmin: () => admin.create(context, { connection, ...account, name: kit.name }),
      readAdmin: () =>
        admin.read(context, kit.id, { connection, ...account, name: kit.name, userId: kit.id }),
      makePerson: () => user.create(context, person),
      readPerson: () => user.read(context, ken.id, { ...person, userId: ken.id, adopted: false }),
      readSettings: () =>
        systemSettings.read(context, "system-settings", {
          connection,
          admin: account,
          settings: { trash: { days: 30 } },
        }),
      writeSettings: () =>
        systemSettings.create(context, {
          connection,
          admin: account,
          settings: { trash: { days: 7 } },
        }),
    },
  };
}

/** Each step, and a call that it relies on. */
const relies = [
  ["makeAdmin", "GET /api/server/config"],
  ["readAdmin", "GET /api/server/config"],
  ["makeAdmin", "GET /api/users/me"],
  ["readAdmin", "GET /api/users/me"],
  ["makePerson", "POST /api/auth/login"],
  ["makePerson", "GET /api/admin/users"],
  ["readPerson", "GET /api/admin/users"],
  ["readSettings", "GET /api/admin/config"],
  ["writeSettings", "GET /api/admin/config"],
] as const;

describe.each(noAnswers)("%s", (what, answer) => {
  it.each(relies)("is no answer on which %s could rely (%s)", async (step, call) => {
    const { steps, changes } = await immich({ [call]: answer });
    const error = await steps[step]().then(
      (value) => expect.fail(`it took it for ${JSON.stringify(value)}`),
      (reason: Error) => reason,
    );
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(
      what === "an empty list" && call === "GET /api/admin/users"
        ? 'lacks "admin@yamada.jp", who asked for it, so it is not whole'
        : `The answer to ${call} is not one of the Immich that the kit knows`,
    );
    expect(error.message).not.toContain("canary");
    expect(changes()).toEqual([]);
  });
});

describe("A server that", () => {
  it("is whole is taken at its word", async () => {
    const { steps, changes } = await immich({});
    expect(await steps.readPerson()).toMatchObject({ name: "ken", userId: ken.id });
    expect(await steps.readAdmin()).toMatchObject({ name: kit.name });
    expect((await steps.makeAdmin()).id).toBe(kit.id);
    expect((await steps.makePerson()).outputs.adopted).toBe(true);
    expect(changes()).toEqual([]);
  });

  it("lists everybody but a person has lost that one", async () => {
    const { steps } = await immich({ "GET /api/admin/users": json([kit]) });
    expect(await steps.readPerson()).toBeUndefined();
  });

  it("goes into maintenance in the middle has not lost its administrator", async () => {
    let times = 0;
    const { steps } = await immich({
      "GET /api/server/config": (response) =>
        json(++times === 1 ? whole["GET /api/server/config"] : { maintenanceMode: true })(response),
    });
    await expect(steps.readAdmin()).rejects.toThrow("is in maintenance mode");
  });

  it("breaks off in the middle of an answer is out of reach", async () => {
    const { steps } = await immich({
      "GET /api/admin/users": (response) => {
        response.setHeader("content-length", "1000");
        response.write("[");
        setTimeout(() => response.destroy(), 50);
      },
    });
    await expect(steps.readPerson()).rejects.toThrow(
      "Immich could not list its people: the connection to it broke",
    );
  });

  it("is another program is named by what it says", async () => {
    const { steps } = await immich({
      "GET /api/server/ping": (response) => response.end("<h1>Welcome to Pi-hole</h1>"),
    });
    await expect(steps.readAdmin()).rejects.toThrow(/Welcome to Pi-hole/);
  });

  it("refuses in words of its own is quoted, and no token with it", async () => {
    const { steps } = await immich({
      "GET /api/admin/users": (response) => {
        response.statusCode = 403;
        response.end("<html><body>Forbidden by the proxy</body></html>");
      },
    });
    await expect(steps.readPerson()).rejects.toThrow(
      /could not list its people: it was answered "<html><body>Forbidden by the proxy.*\(HTTP 403\)/,
    );
  });
});
