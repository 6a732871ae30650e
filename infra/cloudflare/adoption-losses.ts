import type { Phone, Settings } from "../settings/schema.ts";
import {
  type Account,
  type Alert,
  type DnsRecord,
  leadsSomewhere,
  type Policy,
  type ServiceToken,
  type Tunnel,
} from "./account.ts";
import { names } from "./names.ts";
import { lostOfHost, othersThrough, othersThroughOwn, type TunnelUse } from "./tunnel-use.ts";
import {
  type Application,
  applicationsWith,
  type BoundPolicy,
  described,
  type Group,
  isOwnApplication,
  placesOf,
  quoted,
  type Rules,
  usersOfProvider,
  usersOfToken,
} from "./uses.ts";

/** What is judged: the account with what is read of it beyond the program's own readings. */
export interface Surroundings {
  account: Account;
  groups: Group[];
  host: string;
  settings: Settings;
  /** The ids that are to be taken over together. */
  adopt: Partial<Settings["adopt"]>;
}

/** Sentences that say why a thing must not be taken over, and what its owner should know where it may be. */
export interface Judgement {
  refused: string[];
  notes: string[];
}

const plainJudgement = (): Judgement => ({ refused: [], notes: [] });

/** A tunnel's whole configuration is written: whatever else leads through it would be answered 404. */
export function judgeTunnel(
  tunnel: Tunnel,
  use: TunnelUse,
  { host }: Pick<Surroundings, "host">,
): Judgement {
  const judgement = plainJudgement();
  const { name, config_src } = tunnel;
  const mine = name === names.tunnel(host);
  if (config_src !== "cloudflare") {
    judgement.refused.push(
      `The tunnel "${name}" has its ingress in a file beside its connector, which the kit cannot keep: it makes a tunnel of its own. Stop the old connector after the up, and delete the old tunnel in the dashboard.`,
    );
    return judgement;
  }
  const others = mine ? othersThroughOwn(use, host) : othersThrough(use, host);
  if (others.length > 0) {
    judgement.refused.push(
      mine
        ? `The tunnel "${name}" bears the kit's name, and is used by others too: ${others.join("; ")}. The kit writes the whole of its configuration, and all of that would end. Give them a tunnel of their own first (Networks → Connectors), or give this one another name in the dashboard: then the kit makes its own beside it.`
        : `The tunnel "${name}" is used by others too: ${others.join("; ")}. The kit writes the whole of a tunnel's configuration, and all of that would end. ${besideTheTunnel(host)}`,
    );
    return judgement;
  }
  const lost = mine ? [] : lostOfHost(use.configuration, host);
  if (lost.length > 0) {
    judgement.refused.push(
      `The tunnel "${name}" is not taken over: ${lost.join("; ")}. ${besideTheTunnel(host)}`,
    );
  }
  return judgement;
}

function besideTheTunnel(host: string): string {
  return `The kit makes a tunnel of its own beside it. ${host} leads to the old one until the gate and the new connector are up, and is turned last; after that take the old tunnel's rule for ${host} out in the dashboard.`;
}

/** Settings of an application that the kit's own would not have. */
const lostSettings: Record<string, string> = {
  allow_authenticate_via_warp: "sign-in by the WARP client",
  allow_iframe: "its leave to be shown in a frame",
  cors_headers: "its CORS headers",
  custom_deny_message: "its own message to those who are refused",
  custom_deny_url: "its own page for those who are refused",
  custom_non_identity_deny_url: "its own page for those who are refused",
  custom_pages: "its custom pages",
  mfa_config: "its second factor",
  oauth_configuration: "its OAuth settings",
  read_service_tokens_from_header:
    "the one header in which it reads service tokens (a phone that sends that one would be locked out)",
  enable_binding_cookie: "its binding cookie",
  path_cookie_attribute: "its cookie for each path",
  options_preflight_bypass: "its bypass for preflight requests",
};

/** The kit's gate has these its own way; nobody is locked out by them. */
const changedSettings: Record<string, string> = {
  auto_redirect_to_identity: "it no longer goes straight to one way to sign in",
  skip_interstitial: "it no longer skips the page between",
  service_auth_401_redirect: "it no longer answers 401 in place of the sign-in page",
  app_launcher_visible: "it is no longer shown in the App Launcher",
  logo_url: "its logo goes",
  tags: "its tags go",
};

/** An application is written whole, and Cloudflare has one for a name: what it does beyond the photos would end. */
export function judgeApplication(application: Application, around: Surroundings): Judgement {
  const { host, settings, account } = around;
  const { name, type = "self_hosted" } = application;
  const judgement = plainJudgement();
  const mine = isOwnApplication(application, host);
  const lost: string[] = [];
  if (type !== "self_hosted") lost.push(`it is of the type ${type}, which the kit cannot make`);
  const places = placesOf(application).filter((place) => place !== host);
  if (places.length > 0) {
    lost.push(`it also guards ${places.join(", ")}, which would be left without that gate`);
  }
  if (!placesOf(application).includes(host)) lost.push(`it does not guard the whole of ${host}`);
  if (!mine) {
    const settingsLost = Object.entries(lostSettings).filter(([key]) => isSet(application[key]));
    for (const [, what] of settingsLost) lost.push(`${what} would go`);
    const sameSite = application.same_site_cookie_attribute;
    if (isSet(sameSite) && sameSite !== "none") {
      lost.push(`its cookies' SameSite=${String(sameSite)} would go`);
    }
    if ((application.scim_config as { enabled?: boolean } | null | undefined)?.enabled) {
      lost.push("its provisioning by SCIM would go");
    }
    if (application.http_only_cookie_attribute === false) {
      lost.push("its cookie, which scripts may read, would be hidden from them");
    }
  }
  for (const bound of application.policies ?? []) {
    if (isKitPolicy(bound, host)) continue;
    const { refused, notes } = judgeBound(bound, application, around);
    lost.push(...refused);
    judgement.notes.push(...notes);
  }
  if (lost.length > 0) {
    judgement.refused.push(
      `The application "${name}" in front of ${host} is not taken over: ${lost.join("; ")}. ${withoutTheApplication(application, host, places)}`,
    );
    return judgement;
  }
  if (mine) return judgement;
  const changed = Object.entries(changedSettings)
    .filter(([key]) => isSet(application[key]))
    .map(([, what]) => what);
  const session = application.session_duration;
  if (isSet(session) && session !== settings.sessionDuration) {
    changed.push(
      `a sign-in lasts ${settings.sessionDuration} in place of ${String(session)} (the setting sessionDuration)`,
    );
  }
  const ways = account.identityProviders.filter(
    ({ id, type }) =>
      type !== "onetimepin" &&
      !(type === "google" && settings.googleClientId) &&
      (application.allowed_idps?.includes(id) ?? false),
  );
  if (ways.length > 0) {
    changed.push(
      `nobody signs in by ${quoted(ways)} any more, but everybody of the family by the mailed code`,
    );
  }
  if (changed.length > 0) {
    judgement.notes.push(`The application "${name}" becomes the kit's: ${changed.join("; ")}.`);
  }
  return judgement;
}

function withoutTheApplication({ name }: Application, host: string, places: string[]): string {
  return places.length > 0
    ? `Cloudflare has one application for a name, so the kit's cannot stand beside it at ${host}, and taking ${host} out of "${name}" by hand would open what it leads to. Give the house another hostname.`
    : `Cloudflare has one application for a name, so the kit's cannot stand beside it at ${host}. Mend what is named here, in the stack file or in the dashboard, and type "cli/ouchi adopt" once more; or give the house another hostname.`;
}

const isKitPolicy = ({ name }: { name: string }, host: string) =>
  name === names.policy("family", host) || name === names.policy("phones", host);

/** What one policy of the application lets in, or keeps out, that the kit's would not. */
function judgeBound(bound: BoundPolicy, application: Application, around: Surroundings): Judgement {
  const { account, host } = around;
  const whole = { ...account.policies.find(({ id }) => id === bound.id), ...bound };
  const lost = [...lostRules(whole, around), ...unassigned(whole, around).refused];
  if (lost.length === 0) return plainJudgement();
  const does = `policy "${bound.name}" ${lost.join(", ")}`;
  const { listed, more } = applicationsWith(
    { id: bound.id, app_count: (whole as Partial<Policy>).app_count ?? 0 },
    account.applications,
  );
  const shared = more > 0 || listed.some(({ id }) => id !== application.id);
  const opens = bound.decision === "bypass" || bound.decision === "deny";
  // A policy for several applications knows people that this house never meant; its own were meant.
  if (bound.reusable === true && shared && !opens) {
    return {
      refused: [],
      notes: [
        `To ${host} the ${does}: after the up the family alone gets there, so whoever is to stay goes into the setting family first. The policy itself, and what else it serves, is left as it is.`,
      ],
    };
  }
  return { refused: [`its ${does}`], notes: [] };
}

/** Clauses such as `lets in aunt@yamada.jp`: what the policy does that the kit's policy in its place would not. */
function lostRules(policy: Rules & { decision: string }, around: Surroundings): string[] {
  const { account, groups, settings } = around;
  const say = (rules: Rules["include"] = []) =>
    rules.map((rule) => described(rule, account.serviceTokens, groups)).join(" and ");
  const { decision, include = [], exclude = [], require = [] } = policy;
  if (decision === "bypass") return [`lets in ${say(include)} without any sign-in`];
  if (decision === "deny") return [`keeps out ${say(include)}`];
  const emails = new Set(settings.family.map(({ email }) => email.toLowerCase()));
  const others = include.filter((rule) =>
    decision === "non_identity"
      ? !rule.service_token
      : !emails.has(String(rule.email?.email ?? "").toLowerCase()),
  );
  const asked = Object.entries(extras).filter(([key]) =>
    isSet((policy as unknown as Record<string, unknown>)[key]),
  );
  return [
    ...(others.length > 0 ? [`lets in ${say(others)}`] : []),
    ...(require.length > 0 ? [`asks for ${say(require)}`] : []),
    ...(exclude.length > 0 ? [`keeps out ${say(exclude)}`] : []),
    ...asked.map(([, what]) => what),
  ];
}

const extras: Record<string, string> = {
  approval_required: "asks for somebody's approval",
  isolation_required: "asks for an isolated browser",
  purpose_justification_required: "asks for a reason",
  mfa_config: "asks for a second factor",
  connection_rules: "has rules for connections",
};

/** Service tokens of a policy that no phone of the family has been given: more than there are phones without one are others'. */
function unassigned(policy: Rules & { decision: string }, around: Surroundings): Judgement {
  const { account, host, settings, adopt } = around;
  if (policy.decision !== "non_identity") return plainJudgement();
  const given = new Set<string | undefined>(Object.values(adopt.phones ?? {}));
  const phones = phonesOf(settings).map(({ key, person, phone }) => ({
    key,
    kitName: names.serviceToken(person, phone.name, host),
  }));
  const kitNames = new Set(phones.map(({ kitName }) => kitName));
  const tokens = (policy.include ?? []).flatMap(({ service_token }) => {
    const id = String(service_token?.token_id ?? "");
    const token = account.serviceTokens.find((each) => each.id === id);
    return service_token && !given.has(id) && !(token && kitNames.has(token.name))
      ? [{ id, name: token?.name ?? id }]
      : [];
  });
  const without = phones.filter(
    ({ key, kitName }) =>
      adopt.phones?.[key] === undefined &&
      !account.serviceTokens.some(({ name }) => name === kitName),
  );
  return tokens.length > without.length
    ? {
        refused: [
          `lets in ${tokens.map(({ name, id }) => `the service token "${name}" (${id})`).join(" and ")}, and the family has ${without.length === 0 ? "no phone" : `${without.length} phone${without.length > 1 ? "s" : ""}`} without one`,
        ],
        notes: [],
      }
    : plainJudgement();
}

export function phonesOf({ family }: Settings): { key: string; person: string; phone: Phone }[] {
  return family.flatMap(({ name, phones }) =>
    phones.map((phone) => ({ key: `${name}-${phone.name}`, person: name, phone })),
  );
}

/** A reusable policy is written whole: whoever else it lets in would be locked out, and the family let in elsewhere. */
export function judgePolicy(
  policy: Policy,
  role: "family" | "phones",
  around: Surroundings,
): Judgement {
  const { account, host, adopt } = around;
  const judgement = plainJudgement();
  const mine = isKitPolicy(policy, host);
  const { listed, more } = applicationsWith(policy, account.applications);
  const others = listed.filter(
    (each) => each.id !== adopt.application && !isOwnApplication(each, host),
  );
  const lost = mine ? [] : [...lostRules(policy, around), ...unassigned(policy, around).refused];
  const wanted = role === "family" ? "allow" : "non_identity";
  if (policy.decision !== wanted && !mine) {
    lost.push(`decides "${policy.decision}", and the kit's "${wanted}"`);
  }
  if (others.length > 0 || more > 0) {
    const who = role === "family" ? "the family" : "the family's phones";
    const use = `The policy "${policy.name}" lets into ${quoted(others, more)} too`;
    if (mine) {
      judgement.notes.push(
        `${use}: ${who} of the stack file gets in there with every up. It stays when the house goes.`,
      );
      return judgement;
    }
    judgement.refused.push(
      `${use}, and is not taken over: ${who} would get in there${lost.length > 0 ? `, and what it ${lost.join(", ")} would end` : ""}. The kit makes a policy of its own for the photos, which takes its place there in one step.`,
    );
    return judgement;
  }
  if (lost.length > 0) {
    judgement.refused.push(
      `The policy "${policy.name}" is not taken over: it ${lost.join(", ")}, and that would end.`,
    );
  }
  return judgement;
}

/** A rotation gives the token another secret, and a phone that leaves the family takes it away: whoever else uses it is out. */
export function judgeToken(token: ServiceToken, around: Surroundings): Judgement {
  const { account, groups, host, adopt } = around;
  const judgement = plainJudgement();
  const used = usersOfToken(token, account, groups);
  const others = [
    ...used.policies.filter(
      (policy) =>
        !isKitPolicy(policy, host) &&
        !Object.values(adopt.policies ?? {}).includes(policy.id) &&
        !servesOnly(policy, around),
    ),
    ...used.applications.filter(
      (each) => each.id !== adopt.application && !isOwnApplication(each, host),
    ),
    ...used.groups,
  ];
  if (others.length === 0) return judgement;
  const use = `The service token "${token.name}" (${token.id}) is named by ${quoted(others)} too`;
  const mine = phonesOf(around.settings).some(
    ({ person, phone }) => names.serviceToken(person, phone.name, host) === token.name,
  );
  if (mine) {
    judgement.notes.push(
      `${use}: it lets in there as well, and a rotation changes its secret there.`,
    );
  } else {
    judgement.refused.push(
      `${use}, and is not taken over: a rotation would lock out whoever uses it there. The phone gets a token of its own, and needs its new headers after the up.`,
    );
  }
  return judgement;
}

/** Whether a policy is the photos' application's alone. */
function servesOnly(policy: Policy, { account, adopt, host }: Surroundings): boolean {
  const { listed, more } = applicationsWith(policy, account.applications);
  return (
    more === 0 &&
    listed.length > 0 &&
    listed.every((each) => each.id === adopt.application || isOwnApplication(each, host))
  );
}

/** The kit writes its own OAuth client into it, and takes it away with `googleClientId`. */
export function judgeGoogle(
  provider: { id: string; name: string; type: string },
  { account, groups, host, adopt }: Surroundings,
): Judgement {
  const judgement = plainJudgement();
  const mine = provider.name === names.google(host);
  const users = usersOfProvider(provider.id, account, groups);
  const stranger = (each: Application) =>
    each.id !== adopt.application && !isOwnApplication(each, host);
  const others = [
    ...users.allowing.filter(stranger),
    ...(mine ? [] : users.byDefault.filter(stranger)),
    ...users.rules,
  ];
  if (provider.type !== "google") {
    judgement.refused.push(
      `The way to sign in "${provider.name}" is of the type ${provider.type}, and not Google.`,
    );
  } else if (others.length > 0 && mine) {
    judgement.notes.push(
      `People sign in by "${provider.name}" for ${quoted(others)} too. It stays when the house goes.`,
    );
  } else if (others.length > 0) {
    judgement.refused.push(
      `People sign in by "${provider.name}" for ${quoted(others)} too, and it is not taken over: it would get this house's OAuth client in place of theirs, and go with this house. The kit makes a sign-in with Google of its own beside it.`,
    );
  }
  return judgement;
}

/** Whoever else is told would be told no more. */
export function judgeAlert(
  alert: Alert,
  role: "token-expiry" | "tunnel-health",
  { host, settings }: Pick<Surroundings, "host" | "settings">,
): Judgement {
  const judgement = plainJudgement();
  const mine = alert.name === names.alert(role, host);
  const own = (settings.alertEmail ?? settings.family[0]!.email).toLowerCase();
  const lost = othersTold(alert, mine ? alert.mechanisms.email?.[0]?.id : own);
  const type = role === "token-expiry" ? "expiring_service_token_alert" : "tunnel_health_event";
  if (alert.alert_type !== type) lost.push(`it is about ${alert.alert_type}`);
  if (lost.length > 0 && mine) {
    judgement.notes.push(
      `The notification "${alert.name}" becomes as the kit has it again: ${lost.join("; ")}.`,
    );
  } else if (lost.length > 0) {
    judgement.refused.push(
      `The notification "${alert.name}" is not taken over: ${lost.join("; ")}, and that would end. The kit makes one of its own beside it.`,
    );
  }
  return judgement;
}

/** Clauses about whom a notification tells besides one address, and what it leaves out. */
export function othersTold({ mechanisms, filters }: Alert, address: string | undefined): string[] {
  const { email = [], ...others } = mechanisms;
  const told = email
    .map(({ id }) => id)
    .filter((id) => id.toLowerCase() !== address?.toLowerCase());
  return [
    ...(told.length > 0 ? [`it tells ${told.join(", ")} too`] : []),
    ...Object.entries(others).flatMap(([kind, list = []]) =>
      list.length > 0 ? [`it tells by ${kind} too`] : [],
    ),
    ...(isSet(filters) ? [`it has filters (${Object.keys(filters!).join(", ")})`] : []),
  ];
}

/** A record is turned to the kit's tunnel: only one that leads to a tunnel of this account is known to be the photos'. */
export function judgeRecord(
  record: DnsRecord,
  { account, host }: Pick<Surroundings, "account" | "host">,
): Judgement {
  const judgement = plainJudgement();
  const siblings = account.records.filter(
    ({ id, type }) => id !== record.id && leadsSomewhere.has(type),
  );
  const tunnel = account.tunnels.find(
    ({ id }) => record.type === "CNAME" && record.content === `${id}.cfargotunnel.com`,
  );
  if (tunnel && siblings.length === 0) return judgement;
  const all = [record, ...siblings].map(({ type, content }) => `${type} ${content}`).join(", ");
  judgement.refused.push(
    `${host} leads to something that is no tunnel of this account (${all}), and is not taken over: whatever answers there now would answer no more. Give the house another hostname; or, if nobody needs it, delete that in the dashboard (DNS → Records).`,
  );
  return judgement;
}

/** Whether a setting says anything: false, empty and made of nothing else do not. */
function isSet(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(isSet);
  return Boolean(value);
}
