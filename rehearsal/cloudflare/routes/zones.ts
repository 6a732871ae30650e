import type { Zone as ZoneReply } from "cloudflare/resources/zones/zones";
import { refuse } from "../errors.ts";
import { page, pagination, route } from "../route.ts";
import type { CloudflareState, Zone } from "../state.ts";

export const zones = [
  route(
    "GET",
    "/zones",
    "Zone Read",
    ({ state, query, token }) =>
      page(
        state.data.zones
          .filter(({ name }) => token.zones?.includes(name) ?? true)
          .filter(({ name }) => query.name === undefined || query.name === name)
          .map((zone) => present(zone, state))
          .filter(({ status }) => (query.status ?? status) === status)
          .filter(({ account }) => (query["account.id"] ?? account.id) === account.id),
        query,
      ),
    { query: [...pagination, "name", "status", "account.id", "match", "order", "direction"] },
  ),
  route("GET", "/zones/:zone", "Zone Read", ({ state, id }) => {
    const zone = state.data.zones.find((one) => one.id === id("zone"));
    if (!zone) throw refuse(404, 1001, "Invalid zone identifier");
    return { result: present(zone, state) };
  }),
];

function present(zone: Zone, state: CloudflareState): ZoneReply {
  return {
    id: zone.id,
    name: zone.name,
    status: zone.status ?? "active",
    paused: zone.paused ?? false,
    type: zone.type ?? "full",
    development_mode: 0,
    name_servers: ["ada.ns.cloudflare.com", "ben.ns.cloudflare.com"],
    original_name_servers: null,
    original_registrar: null,
    original_dnshost: null,
    modified_on: zone.createdOn,
    created_on: zone.createdOn,
    activated_on: (zone.status ?? "active") === "active" ? zone.createdOn : null,
    meta: {
      step: 2,
      custom_certificate_quota: 0,
      page_rule_quota: 3,
      phishing_detected: false,
    },
    owner: { id: null as unknown as string, type: "user" },
    account: {
      id: zone.accountId ?? state.data.accountId,
      name: state.data.organization?.name ?? "family",
    },
    permissions: ["#dns_records:edit", "#dns_records:read", "#zone:read"],
    plan: {
      id: "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
      name: "Free Website",
      price: 0,
      currency: "USD",
      frequency: "",
      is_subscribed: false,
      can_subscribe: false,
      legacy_id: "free",
    } as ZoneReply.Plan,
  };
}
