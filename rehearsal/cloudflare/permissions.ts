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
/** Since January 2026 there is one for the revocation of a person alone. */
const revoke = "Access: Organizations Revoke";
export type Permission = `${PermissionGroup} ${"Read" | "Edit"}` | typeof revoke;

/** What the README tells the owner to tick. */
export const kitPermissions: readonly Permission[] = [
  "Zone Read",
  "DNS Edit",
  "Cloudflare Tunnel Edit",
  "Access: Apps and Policies Edit",
  "Access: Service Tokens Edit",
  "Access: Organizations, Identity Providers, and Groups Edit",
  revoke,
  "Notifications Edit",
];

/** Edit includes Read; editing the organization includes revoking, as the reference of the API has it. */
export function permits(granted: readonly Permission[], wanted: Permission): boolean {
  if (wanted === revoke) {
    const edit = "Access: Organizations, Identity Providers, and Groups Edit";
    return granted.includes(revoke) || granted.includes(edit);
  }
  return (
    granted.includes(wanted) || granted.includes(wanted.replace(/ Read$/, " Edit") as Permission)
  );
}

export function isPermission(text: string): text is Permission {
  if (text === revoke) return true;
  return permissionGroups.some((group) => text === `${group} Read` || text === `${group} Edit`);
}
