/**
 * The names under which the edge's resources stand in the state. A logical name is identity: what the components
 * register and what `ouchi adopt` writes for an import are the same by being written here once.
 */
export const logicalNames = {
  edge: "edge",
  gate: "gate",
  tunnel: "tunnel",
  alerts: "alerts",
  hostname: "hostname",
} as const;

export type ComponentName = keyof typeof logicalNames;

/** The components that hold the edge's resources, each with the one above it. */
export const components: Record<ComponentName, { type: string; parent?: ComponentName }> = {
  edge: { type: "ouchi:cloudflare:Edge" },
  gate: { type: "ouchi:cloudflare:AccessGate", parent: "edge" },
  tunnel: { type: "ouchi:cloudflare:Tunnel", parent: "edge" },
  alerts: { type: "ouchi:cloudflare:Alerts", parent: "edge" },
  hostname: { type: "ouchi:cloudflare:Hostname", parent: "edge" },
};

/** The names of a component's children, of its own name. */
export const childNames = {
  google: (gate: string) => `${gate}-google`,
  token: (gate: string, personAndPhone: string) => `${gate}-token-${personAndPhone}`,
  policy: (gate: string, role: "phones" | "family") => `${gate}-policy-${role}`,
  application: (gate: string) => `${gate}-application`,
  tunnelSecret: (tunnel: string) => `${tunnel}-secret`,
  tunnel: (tunnel: string) => `${tunnel}-tunnel`,
  ingress: (tunnel: string) => `${tunnel}-ingress`,
  alert: (alerts: string, role: AlertRole) => `${alerts}-${role}`,
  record: (hostname: string) => `${hostname}-record`,
};

export type AlertRole = "token-expiry" | "tunnel-health";
