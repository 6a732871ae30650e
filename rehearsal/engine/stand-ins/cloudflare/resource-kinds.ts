// Cloudflare's resources as the provider's schema describes them (Terraform provider 5.19.1, Pulumi 6.17.0):
// which inputs there are, which are needed, which make a new resource, what the API fills in.
import type { Input } from "../../schema-check.ts";
import type { CheckFailure } from "../../stand-in.ts";
import { isObject, type Properties, type Value } from "../../values.ts";

export interface ApiInput extends Input {
  fields?: Record<string, ApiInput>;
  /** The API's name, where it is not the input's in snake case. */
  wire?: string;
  /** Part of the address, not of the body. */
  inPath?: boolean;
  /** Order means nothing: sent and kept sorted. */
  set?: boolean;
  /** The API's value holds where none is given. */
  computed?: boolean;
  /** Planned where none is given; it is no input. */
  planned?: Value;
  /** Not taken over from a later reading. */
  noRefresh?: boolean;
  /** Taken over from a reading even where it is empty and was never set. */
  emptyDrifts?: boolean;
}

export interface ResourceKind {
  inputs: Record<string, ApiInput>;
  /** What only the API knows. `stable` ones outlast an update; a preview of one cannot know the others. */
  computed: Record<string, { stable?: boolean; noRefresh?: boolean; json?: boolean }>;
  collection(properties: Properties): string;
  /** The address of one, where it is not `<collection>/<id>`. */
  item?(properties: Properties): string;
  create: "POST" | "PUT";
  update: "PUT" | "PATCH";
  /** False: Cloudflare has no way to delete it. */
  deletable: boolean;
  /** An import's id begins with "accounts/" or "zones/". @default false */
  importsByScope?: boolean;
  check?(inputs: Properties): CheckFailure[];
  /** What the plan adds to the inputs, beyond the defaults. */
  plan?(inputs: Properties): Properties;
}

const text: ApiInput = { kind: "string" };
const requiredText: ApiInput = { kind: "string", required: true };
const flag: ApiInput = { kind: "boolean" };
const number: ApiInput = { kind: "number" };
const texts: ApiInput = { kind: "list" };
const accountId: ApiInput = { kind: "string", inPath: true, replaces: true };
const zoneIdNotCarried: ApiInput = { kind: "string", notCarried: true };
const object = (fields: Record<string, ApiInput>, more: Partial<ApiInput> = {}): ApiInput => ({
  kind: "object",
  fields,
  ...more,
});
const objects = (fields: Record<string, ApiInput>, more: Partial<ApiInput> = {}): ApiInput => ({
  kind: "list",
  fields,
  ...more,
});
const notCarried = (kind: Input["kind"], ...names: string[]): Record<string, ApiInput> =>
  Object.fromEntries(names.map((name) => [name, { kind, notCarried: true }]));

const ofAccount = (rest: string) => (properties: Properties) =>
  `/accounts/${String(properties.accountId)}/${rest}`;

// The configuration of a tunnel keeps cloudflared's own camel case.
const originRequest = object(
  {
    access: object({
      audTags: { kind: "list", required: true, wire: "audTag" },
      teamName: { ...requiredText, wire: "teamName" },
      required: { ...flag, wire: "required" },
    }),
    caPool: { ...text, wire: "caPool" },
    connectTimeout: { ...number, wire: "connectTimeout" },
    disableChunkedEncoding: { ...flag, wire: "disableChunkedEncoding" },
    http2Origin: { ...flag, wire: "http2Origin" },
    httpHostHeader: { ...text, wire: "httpHostHeader" },
    keepAliveConnections: { ...number, wire: "keepAliveConnections" },
    keepAliveTimeout: { ...number, wire: "keepAliveTimeout" },
    matchSnItoHost: { ...flag, wire: "matchSNItoHost" },
    noHappyEyeballs: { ...flag, wire: "noHappyEyeballs" },
    noTlsVerify: { ...flag, wire: "noTLSVerify" },
    originServerName: { ...text, wire: "originServerName" },
    proxyType: { ...text, wire: "proxyType" },
    tcpKeepAlive: { ...number, wire: "tcpKeepAlive" },
    tlsTimeout: { ...number, wire: "tlsTimeout" },
  },
  { wire: "originRequest" },
);

const selectors: Record<string, ApiInput> = {
  email: object({ email: requiredText }),
  emailDomain: object({ domain: requiredText }),
  everyone: object({}),
  serviceToken: object({ tokenId: requiredText }),
  anyValidServiceToken: object({}),
  ip: object({ ip: requiredText }),
  geo: object({ countryCode: requiredText }),
  group: object({ id: requiredText }),
  loginMethod: object({ id: requiredText }),
  certificate: object({}),
  commonName: object({ commonName: requiredText }),
  ...notCarried(
    "object",
    ...["authContext", "authMethod", "azureAd", "devicePosture", "emailList", "externalEvaluation"],
    ...["githubOrganization", "gsuite", "ipList", "linkedAppToken", "oidc", "okta", "saml"],
    "userRiskScore",
  ),
};

const mechanism = (wire: string) => objects({ id: text }, { set: true, wire });

export const kinds: Record<string, ResourceKind> = {
  "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared": {
    inputs: {
      accountId,
      configSrc: {
        kind: "string",
        computed: true,
        planned: "local",
        replaces: true,
        oneOf: ["local", "cloudflare"],
      },
      name: requiredText,
      tunnelSecret: { kind: "string", noRefresh: true },
    },
    computed: {
      ...{ accountTag: {}, connections: {}, connsActiveAt: {}, connsInactiveAt: {}, createdAt: {} },
      ...{ deletedAt: {}, metadata: { json: true }, remoteConfig: {}, status: {}, tunType: {} },
    },
    collection: ofAccount("cfd_tunnel"),
    create: "POST",
    update: "PATCH",
    deletable: true,
  },

  "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig": {
    inputs: {
      accountId,
      tunnelId: { kind: "string", required: true, inPath: true, replaces: true },
      config: object(
        {
          ingresses: objects(
            { hostname: text, service: requiredText, path: text, originRequest },
            { wire: "ingress" },
          ),
          originRequest,
        },
        { computed: true },
      ),
      source: { kind: "string", computed: true, oneOf: ["local", "cloudflare"] },
    },
    computed: { createdAt: {}, version: {} },
    collection: (properties) =>
      `/accounts/${String(properties.accountId)}/cfd_tunnel/${String(properties.tunnelId)}/configurations`,
    item: (properties) =>
      `/accounts/${String(properties.accountId)}/cfd_tunnel/${String(properties.tunnelId)}/configurations`,
    create: "PUT",
    update: "PUT",
    deletable: false,
  },

  "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken": {
    inputs: {
      accountId,
      zoneId: zoneIdNotCarried,
      name: requiredText,
      clientSecretVersion: { kind: "number", computed: true, planned: 1, noRefresh: true },
      duration: { kind: "string", computed: true, planned: "8760h" },
      previousClientSecretExpiresAt: { kind: "string", noRefresh: true },
    },
    computed: {
      clientId: { stable: true },
      clientSecret: { stable: true, noRefresh: true },
      expiresAt: {},
    },
    collection: ofAccount("access/service_tokens"),
    create: "POST",
    update: "PUT",
    deletable: true,
    importsByScope: true,
    check: (inputs) => [
      ...togetherOnly(inputs, "clientSecretVersion", "previousClientSecretExpiresAt"),
      ...timestampOnly(inputs, "previousClientSecretExpiresAt"),
    ],
  },

  "cloudflare:index/zeroTrustAccessIdentityProvider:ZeroTrustAccessIdentityProvider": {
    inputs: {
      accountId,
      zoneId: zoneIdNotCarried,
      name: requiredText,
      type: {
        kind: "string",
        required: true,
        replaces: true,
        oneOf: [
          ...["onetimepin", "azureAD", "saml", "centrify", "facebook", "github", "google-apps"],
          ...["google", "linkedin", "oidc", "okta", "onelogin", "pingone", "yandex"],
        ],
      },
      config: object(
        {
          clientId: text,
          // The API never shows it again.
          clientSecret: { kind: "string", noRefresh: true },
          ...notCarried(
            "string",
            ...["appsDomain", "authUrl", "certsUrl", "tokenUrl"],
            ...["directoryId", "emailClaimName", "issuerUrl", "ssoTargetUrl"],
          ),
        },
        { required: true },
      ),
      scimConfig: { kind: "object", notCarried: true },
    },
    computed: {},
    collection: ofAccount("access/identity_providers"),
    create: "POST",
    update: "PUT",
    deletable: true,
    importsByScope: true,
  },

  "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy": {
    inputs: {
      accountId,
      name: requiredText,
      decision: {
        kind: "string",
        required: true,
        oneOf: ["allow", "deny", "non_identity", "bypass"],
      },
      includes: objects(selectors, { wire: "include", set: true, computed: true }),
      excludes: objects(selectors, { wire: "exclude", set: true }),
      requires: objects(selectors, { wire: "require", set: true }),
      sessionDuration: { kind: "string", computed: true, planned: "24h" },
      approvalRequired: flag,
      isolationRequired: flag,
      purposeJustificationPrompt: text,
      purposeJustificationRequired: flag,
      approvalGroups: { kind: "list", notCarried: true },
      ...notCarried("object", "connectionRules", "mfaConfig"),
    },
    computed: {},
    collection: ofAccount("access/policies"),
    create: "POST",
    update: "PUT",
    deletable: true,
    check: (inputs) =>
      ["includes", "excludes", "requires"].flatMap((list) =>
        (Array.isArray(inputs[list]) ? inputs[list] : []).flatMap((rule, index) =>
          isObject(rule) && Object.keys(rule).length > 1
            ? [
                {
                  property: `${list}[${index}]`,
                  reason: `a rule holds one selector, this one ${Object.keys(rule).join(" and ")}`,
                },
              ]
            : [],
        ),
      ),
  },

  "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication": {
    inputs: {
      accountId,
      zoneId: zoneIdNotCarried,
      name: { kind: "string", computed: true },
      type: { kind: "string", computed: true, oneOf: ["self_hosted"] },
      domain: { kind: "string", computed: true },
      sessionDuration: { kind: "string", computed: true, planned: "24h" },
      allowedIdps: { kind: "list", set: true },
      appLauncherVisible: { kind: "boolean", computed: true, planned: true },
      httpOnlyCookieAttribute: { kind: "boolean", computed: true, planned: true },
      serviceAuth401Redirect: { kind: "boolean", wire: "service_auth_401_redirect" },
      autoRedirectToIdentity: flag,
      allowIframe: flag,
      enableBindingCookie: flag,
      optionsPreflightBypass: flag,
      pathCookieAttribute: flag,
      skipInterstitial: flag,
      allowAuthenticateViaWarp: flag,
      sameSiteCookieAttribute: text,
      readServiceTokensFromHeader: text,
      customDenyMessage: text,
      customDenyUrl: text,
      customNonIdentityDenyUrl: text,
      logoUrl: text,
      customPages: texts,
      policies: objects({
        id: requiredText,
        precedence: number,
        ...notCarried("string", "decision", "name"),
        ...notCarried("list", "includes", "excludes", "requires"),
        ...notCarried("object", "connectionRules", "mfaConfig"),
      }),
      ...notCarried("boolean", "skipAppLauncherLoginPage"),
      ...notCarried("string", "appLauncherLogoUrl", "bgColor", "headerBgColor"),
      destinations: { kind: "list", notCarried: true, computed: true },
      selfHostedDomains: { kind: "list", notCarried: true, computed: true },
      ...notCarried("list", "footerLinks", "tags", "targetCriterias"),
      ...notCarried(
        "object",
        ...["corsHeaders", "landingPageDesign", "mfaConfig", "oauthConfiguration", "saasApp"],
        "scimConfig",
      ),
    },
    computed: { aud: { stable: true } },
    collection: ofAccount("access/apps"),
    create: "POST",
    update: "PUT",
    deletable: true,
    importsByScope: true,
    plan: numberedPolicies,
  },

  "cloudflare:index/dnsRecord:DnsRecord": {
    inputs: {
      zoneId: { kind: "string", inPath: true, replaces: true },
      name: requiredText,
      type: { kind: "string", required: true, replaces: true },
      content: { kind: "string", computed: true },
      proxied: { kind: "boolean", computed: true, planned: false },
      ttl: { kind: "number", required: true },
      comment: text,
      priority: number,
      tags: { kind: "list", set: true, computed: true },
      settings: object(
        {
          ipv4Only: { ...flag, wire: "ipv4_only" },
          ipv6Only: { ...flag, wire: "ipv6_only" },
          flattenCname: flag,
        },
        { computed: true },
      ),
      ...notCarried("object", "data"),
      ...notCarried("boolean", "privateRouting"),
    },
    computed: {
      ...{ commentModifiedOn: {}, createdOn: {}, modifiedOn: {}, proxiable: {} },
      ...{ tagsModifiedOn: {}, meta: { json: true } },
    },
    collection: (properties) => `/zones/${String(properties.zoneId)}/dns_records`,
    create: "POST",
    update: "PUT",
    deletable: true,
  },

  "cloudflare:index/notificationPolicy:NotificationPolicy": {
    inputs: {
      accountId,
      name: requiredText,
      alertType: {
        kind: "string",
        required: true,
        // Of the provider's long list, the ones that the pretend Cloudflare can raise.
        oneOf: ["expiring_service_token_alert", "tunnel_health_event", "tunnel_update_event"],
      },
      enabled: { kind: "boolean", computed: true, planned: true },
      mechanisms: object(
        {
          emails: mechanism("email"),
          pagerduties: mechanism("pagerduty"),
          webhooks: mechanism("webhooks"),
        },
        { required: true },
      ),
      description: text,
      alertInterval: text,
      // Left out, it drifts at a refresh: the API answers an empty object, and refuses the null that comes next.
      filters: object({}, { emptyDrifts: true }),
    },
    computed: { created: {}, modified: {} },
    collection: ofAccount("alerting/v3/policies"),
    create: "POST",
    update: "PUT",
    deletable: true,
  },
};

function togetherOnly(inputs: Properties, one: string, other: string): CheckFailure[] {
  return [
    [one, other],
    [other, one],
  ].flatMap(([given, missing]) =>
    inputs[given!] !== undefined && inputs[missing!] === undefined
      ? [
          {
            property: given!,
            reason: `attribute "${missing}" must be specified when "${given}" is specified`,
          },
        ]
      : [],
  );
}

function timestampOnly(inputs: Properties, name: string): CheckFailure[] {
  const value = inputs[name];
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
  if (typeof value !== "string" || pattern.test(value)) return [];
  return [{ property: name, reason: `invalid RFC 3339 string value "${value}"` }];
}

// A policy without a place follows the one before it.
function numberedPolicies(inputs: Properties): Properties {
  if (!Array.isArray(inputs.policies)) return inputs;
  let last = 0;
  const policies = inputs.policies.map((policy) => {
    if (!isObject(policy)) return policy;
    const precedence = policy.precedence ?? last + 1;
    if (typeof precedence === "number") last = precedence;
    return { ...policy, precedence };
  });
  return { ...inputs, policies };
}
