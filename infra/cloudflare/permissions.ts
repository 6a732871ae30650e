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
