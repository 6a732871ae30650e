/** The API token's permissions, by the names in Cloudflare's dashboard: what the README tells the owner to tick. */
export const permissions = {
  zone: "Zone Read",
  record: "DNS Edit",
  tunnel: "Cloudflare Tunnel Edit",
  access: "Access: Apps and Policies Edit",
  serviceToken: "Access: Service Tokens Edit",
  organization: "Access: Organizations, Identity Providers, and Groups Edit",
  alert: "Notifications Edit",
} as const;

export type Permission = (typeof permissions)[keyof typeof permissions];
