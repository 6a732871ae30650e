import type { Organization } from "cloudflare/resources/zero-trust/organizations";
import { z } from "zod";
import { durationMs } from "../duration.ts";
import { accessNotFound, invalidAccessRequest } from "../errors.ts";
import { type Call, type Reply, route } from "../route.ts";
import type { Data } from "../state.ts";

const edit = z.strictObject({
  name: z.string().min(1).optional(),
  auth_domain: z.string().optional(),
  session_duration: z
    .string()
    .refine((text) => durationMs(text) !== undefined, "must be a duration such as 24h")
    .optional(),
  strict_service_token_auth: z.boolean().optional(),
});

const path = "/accounts/:account/access/organizations";
const read = "Access: Organizations, Identity Providers, and Groups Read";
const write = "Access: Organizations, Identity Providers, and Groups Edit";

export const organizations = [
  route("GET", path, read, (call) => ({ result: present(find(call)) })),
  route("PUT", path, write, change, { body: edit }),
  route("PATCH", path, write, change, { body: edit }),
  route(
    "POST",
    `${path}/revoke_user`,
    "Access: Organizations Revoke",
    ({ state, body }) => {
      state.person(body.email).revokedAt = state.clock.now().toISOString();
      state.save();
      return { result: true };
    },
    { body: z.strictObject({ email: z.email() }) },
  ),
];

function find({ state }: Call<unknown>): NonNullable<Data["organization"]> {
  const { organization } = state.data;
  if (!organization) throw accessNotFound("the account has no Zero Trust organization");
  return organization;
}

function change(call: Call<z.infer<typeof edit>>): Reply {
  const organization = find(call);
  const { auth_domain, strict_service_token_auth: strict } = call.body;
  if (auth_domain !== undefined && auth_domain !== organization.auth_domain) {
    throw invalidAccessRequest("the rehearsal does not rename a team (auth_domain)");
  }
  if (strict === false && organization.strictForGood) {
    throw invalidAccessRequest(
      "strict_service_token_auth cannot be turned off for an organization made since 2026-10-05",
    );
  }
  Object.assign(organization, call.body, { updated_at: call.state.timestamp() });
  call.state.save();
  return { result: present(organization) };
}

function present(organization: NonNullable<Data["organization"]>): Organization {
  const { strictForGood: _, session_duration, ...rest } = organization;
  return {
    ...rest,
    ...(session_duration === null ? {} : { session_duration }),
    login_design: {},
    is_ui_read_only: false,
    auto_redirect_to_identity: false,
    allow_authenticate_via_warp: false,
  };
}
