/** The JSON Schema of a stack file, by which an editor completes, explains and checks the settings. Made of the settings' own schema. */
import { z } from "zod";
import { namespace } from "./keys.ts";
import { settingsSchema } from "./schema.ts";
import { isSecretSetting } from "./secrets.ts";

type Schema = Record<string, unknown>;

/** An encrypted value, as Pulumi writes it. */
const ciphertext = {
  type: "object",
  properties: { secure: { type: "string" } },
  required: ["secure"],
  additionalProperties: false,
};

const secretOf = (key: string, description: unknown): Schema => ({
  description: `${description} A secret, set by: pulumi config set --secret ${key}`,
  ...ciphertext,
});

export function stackFileSchema(): Schema {
  const { properties, required } = z.toJSONSchema(settingsSchema(new Date(0)), {
    target: "draft-7",
    io: "input",
    // What zod cannot put into words is an editor's to let pass.
    unrepresentable: "any",
  }) as { properties: Record<string, Schema>; required: string[] };
  const settings = Object.entries(properties).map(([name, schema]): [string, Schema] => {
    const key = `${namespace}:${name}`;
    return [key, isSecretSetting(key) ? secretOf(key, schema.description) : schema];
  });
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A stack file of ouchi-photos",
    type: "object",
    properties: {
      config: {
        description: "The whole configuration of one home.",
        type: "object",
        properties: {
          ...Object.fromEntries(settings),
          "cloudflare:apiToken": secretOf(
            "cloudflare:apiToken",
            "The API token with the permissions that the README lists.",
          ),
        },
        patternProperties: {
          // The providers' and Pulumi's own, and the short form that Pulumi takes for the project's.
          "^(?:pulumi|command|random|immich):": {},
          "^cloudflare:(?:baseUrl|userAgentOperatorSuffix)$": {},
          "^[A-Za-z]+$": {},
        },
        additionalProperties: false,
        allOf: required.map((name) => ({
          anyOf: [{ required: [`${namespace}:${name}`] }, { required: [name] }],
        })),
      },
      encryptionsalt: {
        description: "Pulumi's: belongs to the stack's passphrase.",
        type: "string",
      },
      secretsprovider: { description: "Pulumi's: who keeps the stack's secrets.", type: "string" },
      encryptedkey: { description: "Pulumi's: the key of that provider.", type: "string" },
      environment: { description: "Pulumi's: environments of Pulumi ESC." },
    },
    required: ["config"],
    additionalProperties: false,
  };
}
