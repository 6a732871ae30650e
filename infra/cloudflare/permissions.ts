/** The API token's permissions, by the names in Cloudflare's dashboard: what the README tells the owner to tick. */
export const permissions = {
  zone: "Zone Read",
  record: "DNS Edit",
  tunnel: "Cloudflare Tunnel Edit",
  access: "Access: Apps and Policies Edit",
  serviceToken: "Access: Service Tokens Edit",
  organization: "Access: Organizations, Identity Providers, and Groups Edit",
  /** Since 2026-01-22; Cloudflare's reference of the API has the one above let `revoke_user` by, too. */
  revoke: "Access: Organizations Revoke",
  alert: "Notifications Edit",
} as const;

export type Permission = (typeof permissions)[keyof typeof permissions];

/** Of a write that was refused in the middle of an `up`. */
export function lacking(permission: Permission): string {
  return `The API token in cloudflare:apiToken lacks the permission "${permission}". Add it to the token in Cloudflare's dashboard, and run this again: it goes on from here.`;
}
