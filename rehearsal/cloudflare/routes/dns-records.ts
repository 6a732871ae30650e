import { isIPv4, isIPv6 } from "node:net";
import type { RecordResponse } from "cloudflare/resources/dns/records";
import { z } from "zod";
import { refuse } from "../errors.ts";
import { hexId } from "../ids.ts";
import { type Call, page, pagination, type Reply, route } from "../route.ts";
import type { CloudflareState, DnsRecord } from "../state.ts";

const write = z.strictObject({
  type: z.enum(["A", "AAAA", "CNAME", "TXT"]),
  name: z.string().min(1).max(255),
  content: z.string().min(1),
  /** Seconds; 1 is automatic. */
  ttl: z.number().int(),
  proxied: z.boolean().optional(),
  comment: z.string().max(100, "the comment may have 100 characters").nullish(),
  /** Tags need a paid plan. */
  tags: z.array(z.string()).max(0, "tags are not in the free plan").optional(),
  settings: z
    .strictObject({
      ipv4_only: z.boolean().optional(),
      ipv6_only: z.boolean().optional(),
      flatten_cname: z.boolean().optional(),
    })
    .optional(),
});
type Write = z.infer<typeof write>;

const edit = write.partial();

const path = "/zones/:zone/dns_records";

export const dnsRecords = [
  route("GET", path, "DNS Read", list, {
    query: [
      ...pagination,
      "name",
      "name.exact",
      "type",
      "content",
      "content.exact",
      "proxied",
      "match",
      "order",
      "direction",
      "search",
    ],
  }),
  route("POST", path, "DNS Edit", create, { body: write }),
  route("GET", `${path}/:record`, "DNS Read", (call) => ({ result: present(find(call)) })),
  route("PUT", `${path}/:record`, "DNS Edit", (call) => change(call, call.body), { body: write }),
  route(
    "PATCH",
    `${path}/:record`,
    "DNS Edit",
    (call) => {
      const { type, name, content, ttl, proxied, comment } = find(call);
      return change(call, { type, name, content, ttl, proxied, comment, ...call.body });
    },
    { body: edit },
  ),
  route("DELETE", `${path}/:record`, "DNS Edit", (call) => {
    const record = find(call);
    const { data } = call.state;
    data.dnsRecords = data.dnsRecords.filter((one) => one !== record);
    call.state.save();
    return { result: { id: record.id } };
  }),
];

function list({ state, id, query }: Call<undefined>): Reply {
  const name = (query["name.exact"] ?? query.name)?.toLowerCase();
  const content = query["content.exact"] ?? query.content;
  return page(
    state.data.dnsRecords
      .filter((record) => record.zoneId === id("zone"))
      .filter((record) => name === undefined || record.name === name)
      .filter((record) => query.type === undefined || record.type === query.type)
      .filter((record) => content === undefined || record.content === content)
      .filter((record) => !query.proxied || String(record.proxied) === query.proxied)
      .filter((record) => !query.search || record.name.includes(query.search))
      .map(present),
    query,
    100,
  );
}

function create({ state, id, body }: Call<Write>): Reply {
  const zoneId = id("zone");
  const now = state.timestamp();
  const record = {
    id: hexId(),
    zoneId,
    createdOn: now,
    ...checked(state, zoneId, body),
    modifiedOn: now,
  };
  state.data.dnsRecords.push(record);
  state.save();
  return { result: present(record) };
}

function change(call: Call<unknown>, body: Write): Reply {
  const record = find(call);
  const { state } = call;
  Object.assign(record, checked(state, record.zoneId, body, record), {
    modifiedOn: state.timestamp(),
  });
  state.save();
  return { result: present(record) };
}

function find({ state, id }: Call<unknown>): DnsRecord {
  const record = state.data.dnsRecords.find(
    (one) => one.id === id("record") && one.zoneId === id("zone"),
  );
  if (!record) throw refuse(404, 81044, "Record does not exist.");
  return record;
}

/** The record as Cloudflare would keep it, or its refusal. */
function checked(state: CloudflareState, zoneId: string, body: Write, self?: DnsRecord) {
  const zone = state.data.zones.find(({ id }) => id === zoneId)!;
  const name = qualified(body.name, zone.name);
  const { type, proxied = false } = body;
  const content = body.content.replace(/\.$/, "");
  if (!/^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,}$/.test(name)) {
    throw refuse(400, 9000, "DNS name is invalid.");
  }
  if (type === "A" && !isIPv4(content)) {
    throw refuse(400, 9005, "Content for A record must be a valid IPv4 address.");
  }
  if (type === "AAAA" && !isIPv6(content)) {
    throw refuse(400, 9006, "Content for AAAA record must be a valid IPv6 address.");
  }
  if (type === "CNAME" && !/^([a-z0-9_-]{1,63}\.)+[a-z0-9-]{2,}$/i.test(content)) {
    throw refuse(400, 9007, "Content for CNAME record is invalid.");
  }
  if (type === "CNAME" && content.toLowerCase() === name) {
    throw refuse(400, 9039, "CNAME content cannot reference itself.");
  }
  if (proxied && type === "TXT") {
    throw refuse(400, 9004, "This record type cannot be proxied.");
  }
  if (body.ttl !== 1 && (body.ttl < 60 || body.ttl > 86_400)) {
    throw refuse(
      400,
      9021,
      "Invalid TTL. Must be between 60 and 86,400 seconds, or 1 for Automatic.",
    );
  }
  const others = state.data.dnsRecords.filter((one) => one.zoneId === zoneId && one !== self);
  const addresses = others.filter((one) => one.name === name && one.type !== "TXT");
  if (others.some((one) => one.name === name && one.type === type && one.content === content)) {
    throw refuse(400, 81058, "An identical record already exists.");
  }
  if (type === "CNAME" && addresses.length > 0) {
    throw refuse(400, 81053, "An A, AAAA, or CNAME record with that host already exists.");
  }
  if ((type === "A" || type === "AAAA") && addresses.some((one) => one.type === "CNAME")) {
    throw refuse(400, 81054, "A CNAME record with that host already exists.");
  }
  return {
    type,
    name,
    content,
    proxied,
    // A proxied record has Cloudflare's own TTL, whatever was asked.
    ttl: proxied ? 1 : body.ttl,
    comment: body.comment ?? null,
  };
}

/** A name outside the zone is taken as one below it: "photos" is photos.example.com. */
function qualified(name: string, zone: string): string {
  const lower = name.toLowerCase().replace(/\.$/, "");
  if (lower === "@") return zone;
  return lower === zone || lower.endsWith(`.${zone}`) ? lower : `${lower}.${zone}`;
}

function present(record: DnsRecord): RecordResponse {
  return {
    id: record.id,
    name: record.name,
    type: record.type,
    content: record.content,
    proxiable: record.type !== "TXT",
    proxied: record.proxied,
    ttl: record.ttl as 1,
    settings: {},
    meta: {},
    comment: record.comment as string,
    tags: [],
    created_on: record.createdOn,
    modified_on: record.modifiedOn,
    ...(record.comment === null ? {} : { comment_modified_on: record.modifiedOn }),
  } as RecordResponse;
}
