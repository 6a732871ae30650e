import { randomUUID } from "node:crypto";
import type { GroupGetResponse } from "cloudflare/resources/zero-trust/access/groups";
import { z } from "zod";
import { accessNotFound, refuse } from "../errors.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { AccessGroup } from "../state.ts";
import { rule } from "./access-policies.ts";

const groupBody = z.strictObject({
  name: z.string().min(1),
  include: z.array(rule).min(1, "a group must include somebody"),
  exclude: z.array(rule).default([]),
  require: z.array(rule).default([]),
});
type Body = z.infer<typeof groupBody>;

const path = "/accounts/:account/access/groups";
const read = "Access: Organizations, Identity Providers, and Groups Read";
const write = "Access: Organizations, Identity Providers, and Groups Edit";

export const accessGroups = [
  route("GET", path, read, ({ state, query }) => page(state.data.groups.map(present), query), {
    query: [...pagination, "name", "search"],
  }),
  route("POST", path, write, create, { body: groupBody }),
  route("GET", `${path}/:group`, read, (call) => ({ result: present(find(call)) })),
  route("DELETE", `${path}/:group`, write, remove),
];

function create({ state, body }: Call<Body>): Reply {
  const now = state.timestamp();
  const group = { id: randomUUID(), ...body, created_at: now, updated_at: now } as AccessGroup;
  state.data.groups.push(group);
  state.save();
  return { result: present(group), status: 201 };
}

function remove(call: Call<undefined>): Reply {
  const group = find(call);
  const { data } = call.state;
  const user = data.policies.find(({ include, exclude, require }) =>
    [...include, ...exclude, ...require].some((each) => each.group?.id === group.id),
  );
  if (user) {
    throw refuse(
      409,
      12143,
      `access.api.error.conflict: group "${group.name}" is in use by policy "${user.name}"`,
    );
  }
  data.groups = data.groups.filter((one) => one !== group);
  call.state.save();
  return { result: { id: group.id }, status: 202 };
}

function find({ state, id }: Call<unknown>): AccessGroup {
  const group = state.data.groups.find((one) => one.id === id("group"));
  if (!group) throw accessNotFound(`group ${id("group")}`);
  return group;
}

function present(group: AccessGroup): GroupGetResponse {
  return group as unknown as GroupGetResponse;
}
