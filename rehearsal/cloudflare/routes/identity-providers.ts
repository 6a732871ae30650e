import { randomUUID } from "node:crypto";
import type { IdentityProvider as IdentityProviderReply } from "cloudflare/resources/zero-trust/identity-providers";
import { z } from "zod";
import { accessNotFound, invalidAccessRequest, refuse } from "../errors.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { IdentityProvider } from "../state.ts";

const providerBody = z.discriminatedUnion("type", [
  z.strictObject({
    name: z.string().min(1),
    type: z.literal("onetimepin"),
    config: z.strictObject({}),
  }),
  z.strictObject({
    name: z.string().min(1),
    type: z.literal("google"),
    config: z.strictObject({
      client_id: z.string().min(1),
      client_secret: z.string().min(1).optional(),
      claims: z.array(z.string()).optional(),
      email_claim_name: z.string().optional(),
    }),
  }),
]);

const path = "/accounts/:account/access/identity_providers";
const read = "Access: Organizations, Identity Providers, and Groups Read";
const write = "Access: Organizations, Identity Providers, and Groups Edit";

export const identityProviders = [
  route(
    "GET",
    path,
    read,
    ({ state, query }) => page(state.data.identityProviders.map(present), query),
    { query: [...pagination, "scim_enabled"] },
  ),
  route("POST", path, write, create, { body: providerBody }),
  route("GET", `${path}/:provider`, read, (call) => ({ result: present(find(call)) })),
  route("PUT", `${path}/:provider`, write, change, { body: providerBody }),
  route("DELETE", `${path}/:provider`, write, remove),
];

function create({ state, body }: Call<z.infer<typeof providerBody>>): Reply {
  refuseSecondPin(state.data.identityProviders, body.type);
  const provider: IdentityProvider = { id: randomUUID(), ...body };
  state.data.identityProviders.push(provider);
  state.save();
  return { result: present(provider) };
}

function change(call: Call<z.infer<typeof providerBody>>): Reply {
  const provider = find(call);
  if (call.body.type !== provider.type) {
    throw invalidAccessRequest("the type of an identity provider cannot be changed");
  }
  Object.assign(provider, call.body);
  call.state.save();
  return { result: present(provider) };
}

function remove(call: Call<undefined>): Reply {
  const provider = find(call);
  const { data } = call.state;
  const user = data.applications.find(({ allowed_idps }) => allowed_idps.includes(provider.id));
  if (user) {
    throw refuse(
      409,
      12140,
      `access.api.error.conflict: identity provider "${provider.name}" is allowed in application "${user.name}"`,
    );
  }
  data.identityProviders = data.identityProviders.filter((one) => one !== provider);
  call.state.save();
  return { result: { id: provider.id } };
}

/** An account has one one-time PIN at most. */
function refuseSecondPin(existing: IdentityProvider[], type: string): void {
  if (type === "onetimepin" && existing.some((one) => one.type === "onetimepin")) {
    throw refuse(409, 12132, "access.api.error.conflict: a onetimepin connection already exists");
  }
}

function find({ state, id }: Call<unknown>): IdentityProvider {
  const provider = state.data.identityProviders.find((one) => one.id === id("provider"));
  if (!provider) throw accessNotFound(`identity provider ${id("provider")}`);
  return provider;
}

/** Google's client secret is never shown again. */
function present({ id, name, type, config }: IdentityProvider): IdentityProviderReply {
  const { client_secret: _, ...shown } = config;
  return {
    id,
    name,
    type,
    config: type === "onetimepin" ? { redirect_url: "" } : shown,
    scim_config: { enabled: false, scim_base_url: "" },
  } as IdentityProviderReply;
}
