import type { Policy } from "cloudflare/resources/alerting/policies";
import { z } from "zod";
import { refuse } from "../errors.ts";
import { hexId } from "../ids.ts";
import { type Call, page, type Reply, route } from "../route.ts";
import type { NotificationPolicy } from "../state.ts";

const mechanism = z.array(z.strictObject({ id: z.string().min(1) }));

const alertBody = z.strictObject({
  name: z.string().min(1),
  alert_type: z.enum([
    "expiring_service_token_alert",
    "tunnel_health_event",
    "tunnel_update_event",
  ]),
  enabled: z.boolean().optional(),
  mechanisms: z
    .strictObject({
      // The free plan mails; it has neither PagerDuty nor webhooks.
      email: z
        .array(z.strictObject({ id: z.email({ pattern: z.regexes.rfc5322Email }) }))
        .optional(),
      pagerduty: mechanism.max(0).optional(),
      webhooks: mechanism.max(0).optional(),
    })
    .refine(({ email = [] }) => email.length > 0, "at least one mechanism is needed"),
  description: z.string().optional(),
  filters: z
    .strictObject({
      tunnel_id: z.array(z.string()).optional(),
      tunnel_name: z.array(z.string()).optional(),
      new_status: z.array(z.string()).optional(),
    })
    .optional(),
  alert_interval: z.string().optional(),
});
type Body = z.infer<typeof alertBody>;

const path = "/accounts/:account/alerting/v3/policies";

export const alerts = [
  route("GET", path, "Notifications Read", ({ state, query }) =>
    page(state.data.notificationPolicies.map(present), query, 1000),
  ),
  route("POST", path, "Notifications Edit", create, { body: alertBody }),
  route("GET", `${path}/:policy`, "Notifications Read", (call) => ({
    result: present(find(call)),
  })),
  route("PUT", `${path}/:policy`, "Notifications Edit", change, { body: alertBody.partial() }),
  route("DELETE", `${path}/:policy`, "Notifications Edit", (call) => {
    const policy = find(call);
    const { data } = call.state;
    data.notificationPolicies = data.notificationPolicies.filter((one) => one !== policy);
    call.state.save();
    return { result: null };
  }),
];

/** The reply carries the id and nothing else. */
function create({ state, body }: Call<Body>): Reply {
  const now = state.clock.now().toISOString();
  const policy = {
    id: hexId(),
    enabled: true,
    description: "",
    filters: {},
    ...body,
    created: now,
    modified: now,
  } as NotificationPolicy;
  state.data.notificationPolicies.push(policy);
  state.save();
  return { result: { id: policy.id } };
}

function change(call: Call<Partial<Body>>): Reply {
  const policy = find(call);
  Object.assign(policy, call.body, { modified: call.state.clock.now().toISOString() });
  call.state.save();
  return { result: { id: policy.id } };
}

function find({ state, id }: Call<unknown>): NotificationPolicy {
  const policy = state.data.notificationPolicies.find((one) => one.id === id("policy"));
  if (!policy) throw refuse(404, 17002, "policy not found");
  return policy;
}

function present(policy: NotificationPolicy): Policy {
  return policy as unknown as Policy;
}
