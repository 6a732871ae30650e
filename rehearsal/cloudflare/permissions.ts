/** The token permissions that the kit's routes ask, by the names in Cloudflare's dashboard. */
const permissionGroups = [
  "Zone",
  "DNS",
  "Cloudflare Tunnel",
  "Access: Apps and Policies",
  "Access: Service Tokens",
  "Access: Organizations, Identity Providers, and Groups",
  "Notifications",
] as const;

type PermissionGroup = (typeof permissionGroups)[number];
export type Permission = `${PermissionGroup} ${"Read" | "Edit"}`;

/** What the README tells the owner to tick. */
export const kitPermissions: readonly Permission[] = [
  "Zone Read",
  "DNS Edit",
  "Cloudflare Tunnel Edit",
  "Access: Apps and Policies Edit",
  "Access: Service Tokens Edit",
  "Access: Organizations, Identity Providers, and Groups Edit",
  "Notifications Edit",
];

/** Edit includes Read. */
export function permits(granted: readonly Permission[], wanted: Permission): boolean {
  return (
    granted.includes(wanted) || granted.includes(wanted.replace(/ Read$/, " Edit") as Permission)
  );
}

export function isPermission(text: string): text is Permission {
  return permissionGroups.some((group) => text === `${group} Read` || text === `${group} Edit`);
}
