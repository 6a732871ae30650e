import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { stackFileSchema } from "../../infra/settings/json-schema.ts";
import { isSecretSetting, secretSettings } from "../../infra/settings/secrets.ts";
import { home, refused, taken } from "./typed-settings.ts";

const repository = join(import.meta.dirname, "../..");
const file = "infra/settings/stack-file.schema.json";

/** A stack file with these settings, secrets encrypted. */
const stackFile = (settings: object) => ({
  config: {
    ...Object.fromEntries(
      Object.entries(settings).map(([name, value]) => {
        const key = name.includes(":") ? name : `ouchi-photos:${name}`;
        return [key, isSecretSetting(key) ? { secure: "v1:abc" } : value];
      }),
    ),
    "cloudflare:apiToken": { secure: "v1:abc" },
  },
  encryptionsalt: "v1:x",
});

describe("The JSON Schema of a stack file", () => {
  let validate: ValidateFunction;
  beforeAll(() => {
    const ajv = new Ajv({ allErrors: true });
    addFormats.default(ajv);
    validate = ajv.compile(stackFileSchema());
  });
  const errors = (value: unknown) => {
    validate(value);
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  };

  test("is what the settings make today (npm run stack-file-schema)", () => {
    expect(JSON.parse(readFileSync(join(repository, file), "utf8"))).toEqual(stackFileSchema());
  });

  test("is named in the first line of the example, which it refuses only for its placeholders", () => {
    const text = readFileSync(join(repository, "Pulumi.prod.yaml"), "utf8");
    expect(text.split("\n")[0]).toBe(`# yaml-language-server: $schema=./${file}`);
    const { config } = parse(text);
    expect(config["ouchi-photos:domain"]).toContain("<");
    const filled = JSON.parse(
      JSON.stringify(config).replaceAll(/"<[^>]*e-mail[^>]*>"/g, '"ken@yamada.jp"'),
    );
    const { domain, accountId, pi, disks } = home;
    Object.assign(filled, { "ouchi-photos:domain": domain, "ouchi-photos:accountId": accountId });
    Object.assign(filled["ouchi-photos:pi"], pi);
    Object.assign(filled["ouchi-photos:disks"], disks);
    expect(errors({ config: filled })).toEqual([]);
    expect(errors({ config })).not.toEqual([]);
  });

  test("explains every setting, at every depth", () => {
    const silent: string[] = [];
    interface Node {
      description?: string;
      properties?: Record<string, Node>;
      items?: Node;
      anyOf?: Node[];
    }
    const look = (schema: Node, path: string) => {
      for (const [name, each] of Object.entries(schema.properties ?? {})) {
        if (!each.description && !["secure", "remote"].includes(name))
          silent.push(`${path}${name}`);
        look(each, `${path}${name}.`);
      }
      for (const part of [schema.items, ...(schema.anyOf ?? [])]) if (part) look(part, path);
    };
    look(stackFileSchema(), "");
    expect(silent).toEqual([]);
  });

  test.each([{}, ...taken])("takes what the settings take: %j", (changed) => {
    expect(errors(stackFile({ ...home, ...changed }))).toEqual([]);
  });

  test("takes Pulumi's own keys, every secret, and settings without their namespace", () => {
    const secrets = Object.fromEntries(Object.keys(secretSettings).map((key) => [key, 1]));
    const whole = { ...stackFile({ ...home, ...secrets }), secretsprovider: "passphrase" };
    expect(errors({ ...whole, encryptedkey: "x", environment: ["home"] })).toEqual([]);
    expect(errors({ config: home })).toEqual([]);
  });

  test.each(Object.keys(secretSettings))("refuses %s in plain text", (key) => {
    const { config } = stackFile(home);
    expect(errors({ config: { ...config, [`ouchi-photos:${key}`]: "plain" } })).toEqual([
      `/config/ouchi-photos:${key} must be object`,
    ]);
  });

  test("refuses what is missing, what is too much, and what is not below config", () => {
    const { domain: _, ...homeless } = home;
    expect(errors(stackFile(homeless))).not.toEqual([]);
    expect(errors(stackFile({ ...home, albums: [] }))).not.toEqual([]);
    expect(errors({ ...stackFile(home), "ouchi-photos:hostname": "photos" })).not.toEqual([]);
    expect(errors({})).not.toEqual([]);
  });

  test("refuses what the settings refuse, but for what no JSON Schema can say", () => {
    const passed = refused
      .filter(([changed]) => errors(stackFile({ ...home, ...changed })).length === 0)
      .map(([, sentence]) => sentence.split(" ")[0]);
    const count = (path: string) => passed.filter((each) => each === path).length;
    expect(Object.fromEntries(passed.map((path) => [path, count(path!)]))).toEqual({
      // Which days there are, how far off they are, and which of them a month has.
      "family[0].phones[0].overlapUntil": 5,
      tokensRenewedOn: 2,
      "backup.schedule": 9,
      // What is an address by its numbers, or a suffix by a list.
      "pi.host": 23,
      "machineLearning.remote": 3,
      domain: 4,
      // What is in a file, in the letters of a key, or only in a shell.
      imagesLock: 6,
      "pi.hostKey": 3,
      "pi.privateKeyFile": 5,
      // Signs that are not to be seen, and what a time becomes without quotes.
      "family[0].displayName": 3,
    });
  });
});
