import { randomUUID } from "node:crypto";
import type { PolicyCreateResponse } from "cloudflare/resources/zero-trust/access/policies";
import { z } from "zod";
import { durationMs } from "../duration.ts";
import { accessNotFound, invalidAccessRequest, refuse } from "../errors.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { AccessPolicy, AccessRule, CloudflareState } from "../state.ts";

/** The selectors that the edge can judge; Cloudflare has more. An address is documented as `format: email`. */
const rule = z.union(
  [
    z.strictObject({
      email: z.strictObject({ email: z.email({ pattern: z.regexes.rfc5322Email }) }),
    }),
    z.strictObject({ email_domain: z.strictObject({ domain: z.string().min(1) }) }),
    z.strictObject({ everyone: z.strictObject({}) }),
    z.strictObject({ ip: z.strictObject({ ip: z.string().min(1) }) }),
    z.strictObject({ service_token: z.strictObject({ token_id: z.string().min(1) }) }),
    z.strictObject({ any_valid_service_token: z.strictObject({}) }),
    z.strictObject({ login_method: z.strictObject({ id: z.string().min(1) }) }),
  ],
  {
    error: (issue) =>
      `unknown or invalid rule ${JSON.stringify(issue.input)}; the rehearsal knows email, email_domain, everyone, ip, service_token, any_valid_service_token and login_method`,
  },
);

const rules = z.array(rule).optional();

const sessionDuration = z
  .string()
  .refine((text) => durationMs(text) !== undefined, "must be a duration such as 24h")
  .refine((text) => (durationMs(text) ?? 0) <= 31 * 24 * 3_600_000, "must be a month at most");

const policyBody = z.strictObject({
  name: z.string().min(1),
  decision: z.enum(["allow", "deny", "bypass", "non_identity"]),
  include: z.array(rule).min(1, "a policy must include somebody"),
  exclude: rules,
  require: rules,
  session_duration: sessionDuration.default("24h"),
});
type Body = z.infer<typeof policyBody>;

const path = "/accounts/:account/access/policies";
const read = "Access: Apps and Policies Read";
const write = "Access: Apps and Policies Edit";

export const accessPolicies = [
  route(
    "GET",
    path,
    read,
    ({ state, query }) =>
      page(
        state.data.policies.map((policy) => presentPolicy(policy, state)),
        query,
      ),
    { query: pagination },
  ),
  route("POST", path, write, create, { body: policyBody }),
  route("GET", `${path}/:policy`, read, (call) => ({
    result: presentPolicy(find(call), call.state),
  })),
  route("PUT", `${path}/:policy`, write, change, { body: policyBody }),
  route("DELETE", `${path}/:policy`, write, remove),
];

function create({ state, body }: Call<Body>): Reply {
  const now = state.timestamp();
  const policy: AccessPolicy = {
    id: randomUUID(),
    ...checked(state, body),
    created_at: now,
    updated_at: now,
  };
  state.data.policies.push(policy);
  state.save();
  return { result: presentPolicy(policy, state), status: 201 };
}

function change(call: Call<Body>): Reply {
  const policy = find(call);
  Object.assign(policy, checked(call.state, call.body), { updated_at: call.state.timestamp() });
  call.state.save();
  return { result: presentPolicy(policy, call.state) };
}

function remove(call: Call<undefined>): Reply {
  const policy = find(call);
  const { data } = call.state;
  const users = applicationsWith(call.state, policy);
  if (users.length > 0) {
    throw refuse(
      409,
      12142,
      `access.api.error.conflict: policy "${policy.name}" is in use by application "${users[0]!.name}"`,
    );
  }
  data.policies = data.policies.filter((one) => one !== policy);
  call.state.save();
  return { result: { id: policy.id }, status: 202 };
}

function checked(state: CloudflareState, body: Body) {
  const { include, exclude = [], require = [] } = body;
  const all = [...include, ...exclude, ...require] as AccessRule[];
  for (const one of all) {
    const tokenId = one.service_token?.token_id;
    if (tokenId && !state.data.serviceTokens.some(({ id }) => id === tokenId)) {
      throw invalidAccessRequest(`service token ${tokenId} does not exist`);
    }
    const methodId = one.login_method?.id;
    if (methodId && !state.data.identityProviders.some(({ id }) => id === methodId)) {
      throw invalidAccessRequest(`identity provider ${methodId} does not exist`);
    }
    const identity = one.email ?? one.email_domain ?? one.login_method;
    if (identity && (body.decision === "bypass" || body.decision === "non_identity")) {
      throw invalidAccessRequest(
        `a ${body.decision} policy cannot have the identity-based rule ${JSON.stringify(one)}`,
      );
    }
  }
  return { ...body, include, exclude, require } as Omit<
    AccessPolicy,
    "id" | "created_at" | "updated_at"
  >;
}

function find({ state, id }: Call<unknown>): AccessPolicy {
  const policy = state.data.policies.find((one) => one.id === id("policy"));
  if (!policy) throw accessNotFound(`policy ${id("policy")}`);
  return policy;
}

function applicationsWith(state: CloudflareState, policy: AccessPolicy) {
  return state.data.applications.filter(({ policies }) =>
    policies.some(({ id }) => id === policy.id),
  );
}

export function presentPolicy(policy: AccessPolicy, state: CloudflareState): PolicyCreateResponse {
  return {
    ...policy,
    include: policy.include as unknown as PolicyCreateResponse["include"],
    exclude: policy.exclude as unknown as PolicyCreateResponse["exclude"],
    require: policy.require as unknown as PolicyCreateResponse["require"],
    reusable: true,
    app_count: applicationsWith(state, policy).length,
  };
}
