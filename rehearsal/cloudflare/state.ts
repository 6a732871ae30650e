import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { JWK } from "jose";
import type { Clock } from "../clock.ts";
import { hexId } from "./ids.ts";
import type { Permission } from "./permissions.ts";

/** A condition of an Access policy, such as `{email: {email: "ken@example.com"}}`. */
export type AccessRule = Record<string, Record<string, unknown>>;

export type Decision = "allow" | "deny" | "bypass" | "non_identity";

export interface ApiToken {
  id: string;
  value: string;
  /** Whose it is decides at which address it is verified. */
  owner: "user" | "account";
  permissions: Permission[];
  status: "active" | "disabled" | "expired";
  /** ISO 8601; never when undefined. */
  expiresOn?: string;
  /** Names of the zones that it may see; all when undefined. */
  zones?: string[];
}

export interface Zone {
  id: string;
  name: string;
  createdOn: string;
  /** @default active */
  status?: "active" | "pending" | "moved" | "initializing";
  /** @default false */
  paused?: boolean;
  /** @default full */
  type?: "full" | "partial" | "secondary";
  /** Of a zone of the same name that another account has. @default the account's */
  accountId?: string;
}

export interface DnsRecord {
  id: string;
  zoneId: string;
  type: "A" | "AAAA" | "CNAME" | "TXT";
  name: string;
  content: string;
  proxied: boolean;
  ttl: number;
  comment: string | null;
  createdOn: string;
  modifiedOn: string;
}

interface IngressRule {
  hostname?: string;
  path?: string;
  service: string;
  originRequest?: OriginRequest;
}

interface OriginRequest {
  access?: { required?: boolean; teamName?: string; audTag?: string[] };
  [setting: string]: unknown;
}

export interface TunnelConfiguration {
  ingress?: IngressRule[];
  originRequest?: OriginRequest;
  "warp-routing"?: { enabled?: boolean };
}

export interface Tunnel {
  id: string;
  name: string;
  configSrc: "cloudflare" | "local";
  /** Base64. */
  secret: string;
  createdAt: string;
  deletedAt: string | null;
  /** When the first of its present connections came up. */
  activeAt: string | null;
  inactiveAt: string | null;
  everConnected: boolean;
  configuration: { version: number; config: TunnelConfiguration | null; createdAt: string } | null;
}

export interface AccessPolicy {
  id: string;
  name: string;
  decision: Decision;
  include: AccessRule[];
  exclude: AccessRule[];
  require: AccessRule[];
  session_duration: string;
  created_at: string;
  updated_at: string;
}

export interface AccessApplication {
  id: string;
  aud: string;
  name: string;
  domain: string;
  self_hosted_domains: string[];
  destinations: { type: "public"; uri: string }[];
  session_duration: string;
  allowed_idps: string[];
  app_launcher_visible: boolean;
  auto_redirect_to_identity: boolean;
  http_only_cookie_attribute: boolean;
  same_site_cookie_attribute: string | null;
  enable_binding_cookie: boolean;
  path_cookie_attribute: boolean;
  options_preflight_bypass: boolean;
  service_auth_401_redirect: boolean;
  skip_interstitial: boolean;
  read_service_tokens_from_header: string | null;
  custom_deny_message: string | null;
  custom_deny_url: string | null;
  custom_non_identity_deny_url: string | null;
  logo_url: string | null;
  tags: string[];
  policies: { id: string; precedence: number }[];
  created_at: string;
  updated_at: string;
  /** Tokens issued before are void. */
  revokedAt: string | null;
}

export interface ServiceToken {
  id: string;
  name: string;
  clientId: string;
  clientSecret: string;
  clientSecretVersion: number;
  previousClientSecret: string | null;
  previousClientSecretExpiresAt: string | null;
  duration: string;
  /** null: never. */
  expiresAt: string | null;
  enabled: boolean;
  createdAt: string;
  updatedAt: string;
  lastSeenAt: string | null;
}

export interface IdentityProvider {
  id: string;
  name: string;
  type: "onetimepin" | "google";
  config: Record<string, unknown>;
}

export interface NotificationPolicy {
  id: string;
  name: string;
  description: string;
  alert_type: string;
  enabled: boolean;
  mechanisms: Record<string, { id: string }[]>;
  filters: Record<string, string[]>;
  alert_interval?: string;
  created: string;
  modified: string;
}

export interface Person {
  id: string;
  email: string;
  /** Tokens issued before are void, and for a minute after no new one is made. */
  revokedAt: string | null;
}

export interface Mail {
  to: string;
  subject: string;
  code: string;
  /** ISO 8601 on the pretend clock. */
  sentAt: string;
  application: string;
}

export interface Data {
  accountId: string;
  organization: {
    name: string;
    auth_domain: string;
    /** The global session's length; null leaves it to the application. */
    session_duration: string | null;
    strict_service_token_auth: boolean;
    /** Made since 2026-10-05: strictness cannot be turned off. */
    strictForGood: boolean;
    created_at: string;
    updated_at: string;
  } | null;
  apiTokens: ApiToken[];
  zones: Zone[];
  dnsRecords: DnsRecord[];
  tunnels: Tunnel[];
  applications: AccessApplication[];
  policies: AccessPolicy[];
  serviceTokens: ServiceToken[];
  identityProviders: IdentityProvider[];
  notificationPolicies: NotificationPolicy[];
  people: Person[];
  mailbox: Mail[];
  /** Private keys; the first signs. */
  signingKeys: JWK[];
  clockOffset: number;
}

interface StateEvents {
  /** Something that was kept has changed. */
  changed: [];
}

export interface StateOptions {
  clock: Clock;
  accountId: string;
  zoneName: string;
  teamName: string;
  strictServiceTokens: boolean;
  apiTokens: ApiToken[];
  /** Kept there, and loaded from there when it exists. */
  file?: string;
}

/** All that the pretend Cloudflare knows, kept in one JSON file when told to. */
export class CloudflareState extends EventEmitter<StateEvents> {
  readonly clock: Clock;
  readonly data: Data;
  readonly #file: string | undefined;

  constructor(options: StateOptions) {
    super();
    this.clock = options.clock;
    this.#file = options.file;
    const kept = options.file === undefined ? undefined : load(options.file);
    this.data = kept ?? fresh(options);
    if (kept) this.clock.advance(kept.clockOffset - this.clock.offset);
    // The rehearsal's own token must work in a world that was kept, too.
    for (const token of options.apiTokens) {
      if (!this.data.apiTokens.some(({ value }) => value === token.value)) {
        this.data.apiTokens.push(token);
      }
    }
    this.clock.on("moved", () => this.save());
  }

  /** ISO 8601 to the second, as Cloudflare writes most times. */
  timestamp(): string {
    return this.clock
      .now()
      .toISOString()
      .replace(/\.\d+Z$/, "Z");
  }

  get teamDomain(): string {
    return this.data.organization?.auth_domain ?? "";
  }

  /** To be called after every change. */
  save(): void {
    this.data.clockOffset = this.clock.offset;
    if (this.#file !== undefined) {
      const temporary = `${this.#file}.new`;
      writeFileSync(temporary, `${JSON.stringify(this.data, null, 2)}\n`, { mode: 0o600 });
      renameSync(temporary, this.#file);
    }
    this.emit("changed");
  }

  person(email: string): Person {
    const address = email.toLowerCase();
    let person = this.data.people.find((one) => one.email === address);
    if (!person) {
      person = { id: randomUUID(), email: address, revokedAt: null };
      this.data.people.push(person);
    }
    return person;
  }
}

function load(file: string): Data | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Data;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function fresh(options: StateOptions): Data {
  const now = options.clock
    .now()
    .toISOString()
    .replace(/\.\d+Z$/, "Z");
  return {
    accountId: options.accountId,
    organization: {
      name: options.teamName,
      auth_domain: `${options.teamName}.cloudflareaccess.com`,
      session_duration: null,
      strict_service_token_auth: options.strictServiceTokens,
      strictForGood: options.strictServiceTokens,
      created_at: now,
      updated_at: now,
    },
    apiTokens: [],
    zones: [{ id: hexId(), name: options.zoneName, createdOn: now }],
    dnsRecords: [],
    tunnels: [],
    applications: [],
    policies: [],
    serviceTokens: [],
    identityProviders: [],
    notificationPolicies: [],
    people: [],
    mailbox: [],
    signingKeys: [],
    clockOffset: options.clock.offset,
  };
}
