import { randomUUID } from "node:crypto";
import type { ServiceToken as ServiceTokenReply } from "cloudflare/resources/zero-trust/access/service-tokens";
import { z } from "zod";
import { durationMs } from "../duration.ts";
import { accessNotFound, invalidAccessRequest, refuse } from "../errors.ts";
import { clientId, clientSecret } from "../ids.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { CloudflareState, ServiceToken } from "../state.ts";

const duration = z
  .string()
  .refine(
    (text) => text === "forever" || /^[1-9]\d*h$/.test(text) || durationMs(text) !== undefined,
    "must be a duration such as 8760h, or forever",
  );

const fields = {
  name: z.string().min(1),
  duration,
  enabled: z.boolean(),
  client_secret_version: z.number().int().min(1),
  previous_client_secret_expires_at: z.iso.datetime({ offset: true }),
};

const create = z.strictObject({
  name: fields.name,
  duration: duration.default("8760h"),
  enabled: fields.enabled.optional(),
  client_secret_version: fields.client_secret_version.optional(),
  previous_client_secret_expires_at: fields.previous_client_secret_expires_at.optional(),
});

const edit = z.strictObject(fields).partial();

const rotate = z.strictObject({
  previous_client_secret_expires_at: fields.previous_client_secret_expires_at.optional(),
});

const path = "/accounts/:account/access/service_tokens";
const read = "Access: Service Tokens Read";
const write = "Access: Service Tokens Edit";

export const serviceTokens = [
  route(
    "GET",
    path,
    read,
    ({ state, query }) =>
      page(
        state.data.serviceTokens
          .filter(({ name }) => query.name === undefined || query.name === name)
          .filter(({ name }) => query.search === undefined || name.includes(query.search))
          .map(present),
        query,
      ),
    { query: [...pagination, "name", "search"] },
  ),
  route("POST", path, write, make, { body: create }),
  route("GET", `${path}/:token`, read, (call) => ({ result: present(find(call)) })),
  route("PUT", `${path}/:token`, write, change, { body: edit }),
  route("DELETE", `${path}/:token`, write, remove),
  route(
    "POST",
    `${path}/:token/rotate`,
    write,
    (call) => {
      const token = find(call);
      newSecret(token, call.body.previous_client_secret_expires_at ?? null);
      return kept(call.state, token, { client_secret: token.clientSecret });
    },
    { body: rotate },
  ),
  route("POST", `${path}/:token/refresh`, write, (call) => {
    const token = find(call);
    // A year from now, whatever the token's own duration.
    token.expiresAt = expiry(call.state, "8760h");
    return kept(call.state, token);
  }),
];

function make({ state, body }: Call<z.infer<typeof create>>): Reply {
  const now = state.timestamp();
  const token: ServiceToken = {
    id: randomUUID(),
    name: body.name,
    clientId: clientId(),
    clientSecret: clientSecret(),
    clientSecretVersion: body.client_secret_version ?? 1,
    previousClientSecret: null,
    previousClientSecretExpiresAt: body.previous_client_secret_expires_at ?? null,
    duration: body.duration,
    expiresAt: expiry(state, body.duration),
    enabled: body.enabled ?? true,
    createdAt: now,
    updatedAt: now,
    lastSeenAt: null,
  };
  state.data.serviceTokens.push(token);
  return { ...kept(state, token, { client_secret: token.clientSecret }), status: 201 };
}

/** A raised version makes a new secret, which this one reply carries; the date alone moves the old one's end. */
function change(call: Call<z.infer<typeof edit>>): Reply {
  const token = find(call);
  const { state, body } = call;
  const version = body.client_secret_version ?? token.clientSecretVersion;
  if (version < token.clientSecretVersion) {
    throw invalidAccessRequest(
      `client_secret_version cannot go back from ${token.clientSecretVersion} to ${version}`,
    );
  }
  if (body.name !== undefined) token.name = body.name;
  if (body.enabled !== undefined) token.enabled = body.enabled;
  if (body.duration !== undefined && body.duration !== token.duration) {
    token.duration = body.duration;
    token.expiresAt = expiry(state, body.duration);
  }
  const rotated = version > token.clientSecretVersion;
  if (rotated) {
    token.clientSecretVersion = version - 1;
    newSecret(token, body.previous_client_secret_expires_at ?? null);
  } else if (body.previous_client_secret_expires_at !== undefined) {
    token.previousClientSecretExpiresAt = body.previous_client_secret_expires_at;
  }
  return kept(state, token, rotated ? { client_secret: token.clientSecret } : {});
}

function newSecret(token: ServiceToken, previousExpiresAt: string | null): void {
  token.previousClientSecret = token.clientSecret;
  // Without a date the old secret dies at once.
  token.previousClientSecretExpiresAt = previousExpiresAt;
  if (previousExpiresAt === null) token.previousClientSecret = null;
  token.clientSecret = clientSecret();
  token.clientSecretVersion += 1;
}

function remove(call: Call<undefined>): Reply {
  const token = find(call);
  const { data } = call.state;
  const user = data.policies.find((policy) =>
    [...policy.include, ...policy.exclude, ...policy.require].some(
      (rule) => rule.service_token?.token_id === token.id,
    ),
  );
  if (user) {
    throw refuse(
      409,
      12141,
      `access.api.error.conflict: service token "${token.name}" is in use by policy "${user.name}"`,
    );
  }
  data.serviceTokens = data.serviceTokens.filter((one) => one !== token);
  return kept(call.state, token);
}

function kept(state: CloudflareState, token: ServiceToken, more: object = {}): Reply {
  token.updatedAt = state.timestamp();
  state.save();
  return { result: { ...present(token), ...more } };
}

function expiry(state: CloudflareState, duration: string): string | null {
  const length = durationMs(duration);
  return length === undefined
    ? null
    : new Date(state.clock.now().getTime() + length).toISOString().replace(/\.\d+Z$/, "Z");
}

function find({ state, id }: Call<unknown>): ServiceToken {
  const token = state.data.serviceTokens.find((one) => one.id === id("token"));
  if (!token) throw accessNotFound(`service token ${id("token")}`);
  return token;
}

/** Never the secret: it is shown once, by the reply that makes it. */
function present(token: ServiceToken): ServiceTokenReply & Record<string, unknown> {
  return {
    id: token.id,
    name: token.name,
    client_id: token.clientId,
    duration: token.duration,
    enabled: token.enabled,
    ...(token.expiresAt === null ? {} : { expires_at: token.expiresAt }),
    created_at: token.createdAt,
    updated_at: token.updatedAt,
    ...(token.lastSeenAt === null ? {} : { last_seen_at: token.lastSeenAt }),
  };
}
