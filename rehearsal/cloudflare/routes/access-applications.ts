import { randomUUID } from "node:crypto";
import type { ApplicationCreateResponse } from "cloudflare/resources/zero-trust/access/applications";
import { z } from "zod";
import { durationMs } from "../duration.ts";
import { accessNotFound, invalidAccessRequest, refuse } from "../errors.ts";
import { audienceTag } from "../ids.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { AccessApplication, CloudflareState } from "../state.ts";
import { presentPolicy } from "./access-policies.ts";

const applicationBody = z.strictObject({
  type: z.literal("self_hosted", {
    error: 'the rehearsal knows applications of type "self_hosted" only',
  }),
  name: z.string().min(1).optional(),
  domain: z.string().min(1).optional(),
  self_hosted_domains: z.array(z.string()).max(5).optional(),
  destinations: z
    .array(z.strictObject({ type: z.literal("public"), uri: z.string().min(1) }))
    .max(5)
    .optional(),
  session_duration: z
    .string()
    .refine((text) => durationMs(text) !== undefined, "must be a duration such as 24h")
    .refine((text) => (durationMs(text) ?? 0) <= 31 * 24 * 3_600_000, "must be a month at most")
    .default("24h"),
  allowed_idps: z.array(z.string()).optional(),
  app_launcher_visible: z.boolean().default(true),
  auto_redirect_to_identity: z.boolean().default(false),
  http_only_cookie_attribute: z.boolean().default(true),
  same_site_cookie_attribute: z.enum(["none", "lax", "strict", ""]).nullish(),
  enable_binding_cookie: z.boolean().default(false),
  path_cookie_attribute: z.boolean().default(false),
  options_preflight_bypass: z.boolean().default(false),
  service_auth_401_redirect: z.boolean().default(false),
  skip_interstitial: z.boolean().default(false),
  read_service_tokens_from_header: z.string().nullish(),
  custom_deny_message: z.string().nullish(),
  custom_deny_url: z.string().nullish(),
  custom_non_identity_deny_url: z.string().nullish(),
  logo_url: z.string().nullish(),
  cors_headers: z
    .strictObject({
      allow_all_headers: z.boolean().optional(),
      allow_all_methods: z.boolean().optional(),
      allow_all_origins: z.boolean().optional(),
      allow_credentials: z.boolean().optional(),
      allowed_headers: z.array(z.string()).optional(),
      allowed_methods: z.array(z.string()).optional(),
      allowed_origins: z.array(z.string()).optional(),
      max_age: z.number().int().optional(),
    })
    .nullish(),
  custom_pages: z.array(z.string()).nullish(),
  allow_iframe: z.boolean().nullish(),
  tags: z.array(z.string()).optional(),
  policies: z
    .array(
      z.union(
        [
          z.string(),
          z.strictObject({ id: z.string(), precedence: z.number().int().min(1).optional() }),
        ],
        {
          error:
            "a policy is referenced by its id and precedence; the rehearsal takes no policy inside an application",
        },
      ),
    )
    .default([]),
});
type Body = z.infer<typeof applicationBody>;

const path = "/accounts/:account/access/apps";
const read = "Access: Apps and Policies Read";
const write = "Access: Apps and Policies Edit";

export const accessApplications = [
  route(
    "GET",
    path,
    read,
    ({ state, query }) =>
      page(
        state.data.applications
          .filter(({ name }) => query.name === undefined || query.name === name)
          .filter(({ domain }) => query.domain === undefined || query.domain === domain)
          .filter(({ aud }) => query.aud === undefined || query.aud === aud)
          .map((application) => present(application, state)),
        query,
      ),
    { query: [...pagination, "name", "domain", "aud", "exact", "search"] },
  ),
  route("POST", path, write, create, { body: applicationBody }),
  route("GET", `${path}/:application`, read, (call) => ({
    result: present(find(call), call.state),
  })),
  route("PUT", `${path}/:application`, write, change, { body: applicationBody }),
  route("DELETE", `${path}/:application`, write, (call) => {
    const application = find(call);
    const { data } = call.state;
    data.applications = data.applications.filter((one) => one !== application);
    call.state.save();
    return { result: { id: application.id }, status: 202 };
  }),
  route("POST", `${path}/:application/revoke_tokens`, write, (call) => {
    find(call).revokedAt = call.state.clock.now().toISOString();
    call.state.save();
    return { result: {}, status: 202 };
  }),
];

function create({ state, body }: Call<Body>): Reply {
  const now = state.timestamp();
  const application: AccessApplication = {
    id: randomUUID(),
    aud: audienceTag(),
    ...checked(state, body),
    created_at: now,
    updated_at: now,
    revokedAt: null,
  };
  state.data.applications.push(application);
  state.save();
  return { result: present(application, state), status: 201 };
}

function change(call: Call<Body>): Reply {
  const application = find(call);
  Object.assign(application, checked(call.state, call.body, application), {
    updated_at: call.state.timestamp(),
  });
  call.state.save();
  return { result: present(application, call.state) };
}

function find({ state, id }: Call<unknown>): AccessApplication {
  const application = state.data.applications.find((one) => one.id === id("application"));
  if (!application) throw accessNotFound(`application ${id("application")}`);
  return application;
}

function checked(state: CloudflareState, body: Body, self?: AccessApplication) {
  const uris = body.destinations?.map(({ uri }) => uri) ?? body.self_hosted_domains ?? [];
  const domain = body.domain ?? uris[0];
  if (domain === undefined) throw invalidAccessRequest("domain or destinations is required");
  const domains = uris.length > 0 ? uris : [domain];
  for (const one of new Set([domain, ...domains])) {
    const host = one.split("/")[0]!.toLowerCase();
    if (!state.data.zones.some(({ name }) => host === name || host.endsWith(`.${name}`))) {
      throw invalidAccessRequest(`domain "${one}" does not belong to a zone of the account`);
    }
    if (
      state.data.applications.some(
        (other) => other !== self && other.self_hosted_domains.includes(one),
      )
    ) {
      throw refuse(409, 11010, "access.api.error.application_already_exists");
    }
  }
  const allowedIdps = body.allowed_idps ?? [];
  for (const id of allowedIdps) {
    if (!state.data.identityProviders.some((provider) => provider.id === id)) {
      throw invalidAccessRequest(`identity provider ${id} in allowed_idps does not exist`);
    }
  }
  if (body.auto_redirect_to_identity && allowedIdps.length !== 1) {
    throw invalidAccessRequest("auto_redirect_to_identity needs exactly one of allowed_idps");
  }
  const policies = body.policies.map((entry, index) =>
    typeof entry === "string"
      ? { id: entry, precedence: index + 1 }
      : { id: entry.id, precedence: entry.precedence ?? index + 1 },
  );
  for (const { id } of policies) {
    if (!state.data.policies.some((policy) => policy.id === id)) {
      throw invalidAccessRequest(`policy ${id} does not exist`);
    }
  }
  if (new Set(policies.map(({ precedence }) => precedence)).size < policies.length) {
    throw invalidAccessRequest("two policies have the same precedence");
  }
  if (new Set(policies.map(({ id }) => id)).size < policies.length) {
    throw invalidAccessRequest("a policy is referenced twice");
  }
  const decisions = state.data.policies
    .filter((one) => policies.some(({ id }) => id === one.id))
    .map(({ decision }) => decision);
  if (body.service_auth_401_redirect && !decisions.includes("non_identity")) {
    throw invalidAccessRequest("service_auth_401_redirect needs a Service Auth policy");
  }
  return {
    name: body.name ?? domain,
    domain,
    self_hosted_domains: domains,
    destinations: domains.map((uri) => ({ type: "public" as const, uri })),
    session_duration: body.session_duration,
    allowed_idps: allowedIdps,
    app_launcher_visible: body.app_launcher_visible,
    auto_redirect_to_identity: body.auto_redirect_to_identity,
    http_only_cookie_attribute: body.http_only_cookie_attribute,
    same_site_cookie_attribute: body.same_site_cookie_attribute || null,
    enable_binding_cookie: body.enable_binding_cookie,
    path_cookie_attribute: body.path_cookie_attribute,
    options_preflight_bypass: body.options_preflight_bypass,
    service_auth_401_redirect: body.service_auth_401_redirect,
    skip_interstitial: body.skip_interstitial,
    read_service_tokens_from_header: body.read_service_tokens_from_header || null,
    custom_deny_message: body.custom_deny_message ?? null,
    custom_deny_url: body.custom_deny_url ?? null,
    custom_non_identity_deny_url: body.custom_non_identity_deny_url ?? null,
    logo_url: body.logo_url ?? null,
    cors_headers: body.cors_headers ?? null,
    custom_pages: body.custom_pages ?? null,
    allow_iframe: body.allow_iframe ?? null,
    tags: body.tags ?? [],
    policies: policies.sort((a, b) => a.precedence - b.precedence),
  };
}

/** What was never set is left out of the reply, as the real one does. */
function present(
  application: AccessApplication,
  state: CloudflareState,
): ApplicationCreateResponse.SelfHostedApplication {
  const { revokedAt: _, policies, ...rest } = application;
  const set = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
  return {
    ...(set as unknown as ApplicationCreateResponse.SelfHostedApplication),
    type: "self_hosted",
    policies: policies.map(({ id, precedence }) => ({
      ...presentPolicy(state.data.policies.find((policy) => policy.id === id)!, state),
      precedence,
    })) as ApplicationCreateResponse.SelfHostedApplication["policies"],
  };
}
