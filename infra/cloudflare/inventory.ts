import * as pulumi from "@pulumi/pulumi";
import { failure, known } from "../program.ts";
import { UserError } from "../settings/user-error.ts";
import { type Account, type Named, recordComment } from "./account.ts";
import { othersTold } from "./adoption-losses.ts";
import { phoneOf } from "./going-tokens.ts";
import { hostInName, names } from "./names.ts";
import { lacking, type Permission, permissions } from "./permissions.ts";
import { type SharedThing, sharedThings, sharedWarnings } from "./shared-things.ts";
import {
  othersThrough,
  othersThroughOwn,
  readConfiguration,
  readTunnelUse,
  type TunnelConfiguration,
} from "./tunnel-use.ts";
import { placesOf, quoted, readGroups, usersOfProvider, usersOfToken } from "./uses.ts";

/** Kinds of things at Cloudflare, each with its own way to tell whether it is in use. */
export type Kind =
  | "tunnel"
  | "ingress"
  | "identity provider"
  | "service token"
  | "policy"
  | "application"
  | "alert"
  | "record";

interface KindOf {
  permission: Permission;
  /** Below the API's base URL. */
  path(account: Account): string;
}

const inAccount =
  (path: string): KindOf["path"] =>
  ({ accountId }) =>
    `/accounts/${accountId}/${path}`;

const kinds: Record<Kind, KindOf> = {
  tunnel: {
    permission: permissions.tunnel,
    path: inAccount("cfd_tunnel"),
  },
  ingress: { permission: permissions.tunnel, path: inAccount("cfd_tunnel") },
  "identity provider": {
    permission: permissions.organization,
    path: inAccount("access/identity_providers"),
  },
  "service token": {
    permission: permissions.serviceToken,
    path: inAccount("access/service_tokens"),
  },
  policy: {
    permission: permissions.access,
    path: inAccount("access/policies"),
  },
  application: {
    permission: permissions.access,
    path: inAccount("access/apps"),
  },
  alert: {
    permission: permissions.alert,
    path: inAccount("alerting/v3/policies"),
  },
  record: {
    permission: permissions.record,
    path: ({ zoneId }) => `/zones/${zoneId}/dns_records`,
  },
};

/** A thing's kind and its name at Cloudflare, which holds the kit's name and the host's. */
export interface Item {
  kind: Kind;
  name: string;
}

/** What tells a leftover from a thing in use, of the resource that is about to be made. */
interface Wanted {
  /** A record's. */
  content: unknown;
  /** An application's. */
  domain: string | undefined;
}

/**
 * What is at Cloudflare, against what the kit is about to make there. A reply that is lost on the way leaves a thing
 * that the state knows nothing of, and the provider, trying again, perhaps a second one of it. So before a thing is
 * made, one of its name that nothing uses is cleared away, and one that is in use stops the `up`: only a lost state
 * can be the reason.
 */
export class Inventory {
  readonly #account: Account;
  readonly #host: string;
  readonly #cleared = new Set<string>();
  readonly #configurations = new Map<string, Promise<TunnelConfiguration>>();
  readonly #shared: SharedThing[];

  /** Says what of the house's own others use by now. */
  constructor(account: Account, host: string) {
    this.#account = account;
    this.#host = host;
    this.#shared = sharedThings(account, host);
    for (const warning of sharedWarnings(account, host)) pulumi.log.warn(warning);
  }

  /**
   * The options of the resource that is this item: to clear away a leftover of it, to explain a refusal, and to leave
   * it where it is, whatever becomes of the house, once others use it. That is an option and no hook of a deletion:
   * with one in the state, Pulumi would refuse every destroy that does not run the program.
   */
  options(
    parent: pulumi.Resource,
    item: Item,
    more: pulumi.CustomResourceOptions = {},
  ): pulumi.CustomResourceOptions {
    const { kind, name } = item;
    const { permission } = kinds[kind];
    const hooks = {
      ...more.hooks,
      beforeCreate: [
        () => this.#refuseStrangersLoss(item),
        async ({ newInputs = {} }: pulumi.ResourceHookArgs) =>
          this.#clearLeftovers(item, {
            content: await known(newInputs.content),
            domain: (await known(newInputs.domain)) as string | undefined,
          }),
      ],
      beforeUpdate: [
        () => this.#refuseStrangersLoss(item),
        (update: pulumi.ResourceHookArgs) => this.#refuseLossByMove(item, update),
        ...(more.hooks?.beforeUpdate ?? []),
      ],
      afterCreate: [
        ({ urn, newOutputs = {} }: pulumi.ResourceHookArgs) =>
          refuseEmpty(item, newOutputs, emptyEntry(urn)),
      ],
      afterUpdate: [
        ({ newOutputs = {} }: pulumi.ResourceHookArgs) =>
          refuseEmpty(
            item,
            newOutputs,
            "Bring back the state's last copy (docs/state.md), and run this again.",
          ),
        ...(more.hooks?.afterUpdate ?? []),
      ],
      onError: [new pulumi.ErrorHook(`explain ${kind} ${name}`, explained(permission))],
    };
    const stays = this.#sharedOf(kind, name) !== undefined;
    return { parent, ...more, hooks, ...(stays && { retainOnDelete: true }) };
  }

  /** The house has one application, whatever it is called in the dashboard by now. */
  #sharedOf(kind: Kind, name: string): SharedThing | undefined {
    return this.#shared.find(
      (each) => each.kind === kind && (kind === "application" || each.name === name),
    );
  }

  /** A configuration and an application are written whole: what others have in them would end. */
  #refuseStrangersLoss({ kind, name }: Item): void {
    const written = kind === "ingress" ? "tunnel" : kind === "application" ? kind : undefined;
    const shared = written && this.#sharedOf(written, name);
    if (!shared?.use) return;
    throw new UserError(
      `The ${kind} of the kit's "${name}" is written whole, and others use it: ${shared.use}. Give them one of their own first, in Cloudflare's dashboard, and run this again; until then it stays as it is.`,
    );
  }

  /**
   * A house that moves to another hostname takes its tunnel along, which bears the former name until then, and writes
   * the whole of its configuration. Whatever is renamed first asks, so that nothing was changed when it is refused.
   */
  async #refuseLossByMove({ kind }: Item, update: pulumi.ResourceHookArgs): Promise<void> {
    const { oldInputs = {}, oldOutputs = {} } = update;
    const former = hostInName(await known(oldInputs.name));
    const id = await known(kind === "ingress" ? oldOutputs.tunnelId : oldOutputs.id);
    const tunnels = this.#account.tunnels.filter((tunnel) =>
      kind === "ingress" || kind === "tunnel"
        ? tunnel.id === id
        : former !== undefined && former !== this.#host && tunnel.name === names.tunnel(former),
    );
    for (const tunnel of tunnels) {
      const others = othersThroughOwn(
        { configuration: await this.#configuration(tunnel) },
        this.#host,
      );
      if (others.length === 0) continue;
      throw new UserError(
        `The tunnel "${tunnel.name}" of this house is used by others too: ${others.join("; ")}. The kit would write the whole of its configuration, and all of that would end. Give them a tunnel of their own first, in Cloudflare's dashboard (Networks → Connectors), and run this again; or take back what you changed in the stack file. Until then the tunnel stays as it is.`,
      );
    }
  }

  /** Read once in a run, however many things are renamed. */
  #configuration(tunnel: Named): Promise<TunnelConfiguration> {
    const reading = this.#configurations.get(tunnel.id) ?? readConfiguration(this.#account, tunnel);
    this.#configurations.set(tunnel.id, reading);
    return reading;
  }

  /** Whether Cloudflare had a thing of that name when the program began. */
  holds({ kind, name }: Item): boolean {
    return this.#named(kind, name).length > 0;
  }

  /** Clears away whatever else has the item's name, once the item's own id is known. Nothing in a preview. */
  keepOnly({ kind, name }: Item, { id, urn }: pulumi.CustomResource): void {
    const others = this.#named(kind, name);
    pulumi.all([id, urn]).apply(async ([own, urn]) => {
      try {
        refuseEmpty({ kind, name }, { id: own }, emptyEntry(urn));
        if (pulumi.runtime.isDryRun() || !others.some((other) => other.id === own)) return;
        for (const other of others.filter((each) => each.id !== own)) {
          await this.#clearTwin(kind, other);
        }
      } catch (error) {
        throw failure(error);
      }
    });
  }

  async #clearTwin(kind: Kind, twin: Named): Promise<void> {
    const use = await this.#use(kind, twin);
    if (use === undefined) return this.#clear(kind, twin);
    pulumi.log.warn(
      `Cloudflare has two of the ${kind} "${twin.name}", and ${use}: ${twin.id} is not the kit's.`,
    );
  }

  async #clearLeftovers({ kind, name }: Item, wanted: Wanted): Promise<void> {
    const listed =
      kind === "application"
        ? this.#account.applications.filter(
            (each) =>
              placesOf(each).includes(String(wanted.domain).toLowerCase()) &&
              !this.#cleared.has(each.id),
          )
        : this.#named(kind, name);
    for (const leftover of listed) {
      const use =
        leftover.name === name
          ? await this.#use(kind, leftover, wanted)
          : "the kit did not make it";
      if (use === undefined) {
        await this.#clear(kind, leftover);
        continue;
      }
      const phone = kind === "service token" ? phoneOf(name, this.#host) : undefined;
      const cure = phone
        ? ` Was the phone in the family before? Then put "${phone.person}-${phone.phone}: ${leftover.id}" below adopt.phones in the stack file, type "cli/ouchi adopt", and run this again: it keeps its headers.`
        : "";
      throw new UserError(
        `Cloudflare has the ${kind} "${leftover.name}" already, and ${use}; but this stack's state knows nothing of it.${cure} If the state was lost, bring its copy back (docs/state.md), or take over what is there: cli/ouchi adopt. If another stack serves this host, choose another hostname.`,
      );
    }
  }

  #named(kind: Kind, name: string): Named[] {
    const { tunnels, identityProviders, serviceTokens, policies, alerts, records } = this.#account;
    const listed: Partial<Record<Kind, Named[]>> = {
      tunnel: tunnels,
      "identity provider": identityProviders,
      "service token": serviceTokens,
      policy: policies,
      alert: alerts,
      record: records.filter(({ comment }) => comment === recordComment),
    };
    return (listed[kind] ?? []).filter((each) => each.name === name && !this.#cleared.has(each.id));
  }

  /** A clause that says what uses the thing, such as `a connector has run it`; undefined where nothing does. */
  async #use(kind: Kind, { id }: Named, wanted?: Wanted): Promise<string | undefined> {
    const { tunnels, policies, serviceTokens, applications, alerts, records } = this.#account;
    switch (kind) {
      case "tunnel": {
        if (records.some(({ content }) => content === `${id}.cfargotunnel.com`)) {
          return "the host's name leads to it";
        }
        const tunnel = tunnels.find((each) => each.id === id);
        if (!tunnel || tunnel.conns_active_at || tunnel.status !== "inactive") {
          return "a connector has run it";
        }
        // Whatever name leads there, the kit's own host has no record.
        return clause(othersThrough(await readTunnelUse(this.#account, tunnel), ""));
      }
      case "policy":
        // Where Cloudflare does not say, it may be in use.
        return policies.find((each) => each.id === id)?.app_count === 0
          ? undefined
          : "an application uses it";
      case "service token": {
        const token = serviceTokens.find((each) => each.id === id);
        if (!token || token.last_seen_at) return "a phone has used it";
        const used = usersOfToken(token, this.#account, await readGroups(this.#account));
        const users = [...used.policies, ...used.applications, ...used.groups];
        return users.length > 0 ? `${quoted(users)} let it in` : undefined;
      }
      case "identity provider": {
        const used = usersOfProvider(id, this.#account, await readGroups(this.#account));
        const users = [...used.allowing, ...used.rules];
        return users.length > 0 ? `${quoted(users)} let people in by it` : undefined;
      }
      case "application": {
        const application = applications.find((each) => each.id === id)!;
        const places = placesOf(application).filter((place) => place !== wanted?.domain);
        if (places.length > 0) return `it guards ${places.join(", ")} too`;
        // Without the name nobody gets there; with it, an application that goes opens the house.
        return records.length > 0 ? "the host's name leads to it" : undefined;
      }
      case "alert": {
        const alert = alerts.find((each) => each.id === id)!;
        return clause(othersTold(alert, alert.mechanisms.email?.[0]?.id));
      }
      case "record":
        return records.find((each) => each.id === id)?.content === wanted?.content
          ? undefined
          : "it leads to another tunnel";
      default:
        return undefined;
    }
  }

  async #clear(kind: Kind, { id, name }: Named): Promise<void> {
    this.#cleared.add(id);
    await this.#account.api.remove(`${kinds[kind].path(this.#account)}/${id}`);
    pulumi.log.info(
      `Cleared away the ${kind} "${name}" (${id}), which an interrupted run had left at Cloudflare.`,
    );
  }
}

/**
 * The provider takes a reply of 200 with "success: false" for a success: it keeps a thing without an id in the state,
 * which it can neither read, change nor delete after that.
 */
function refuseEmpty({ kind, name }: Item, outputs: Record<string, unknown>, cure: string): void {
  const whole = kind !== "ingress" || outputs.version !== undefined;
  if (whole && /^[0-9a-f-]{32,36}$/.test(String(outputs.id))) return;
  throw new UserError(
    `Cloudflare answered, but did not do what was asked for the ${kind} "${name}". ${cure}`,
  );
}

function emptyEntry(urn: string): string {
  return `Take the empty entry out of the state, and run this again: pulumi state delete '${urn}'`;
}

/** Turns a refusal into the permission's name; the provider's own words stay beside it. */
function explained(permission: Permission): pulumi.ErrorHookFunction {
  return async ({ errors }) => {
    if (errors.some((error) => /\b403\b/.test(error))) {
      // Waited for: the program ends with the step that failed.
      await pulumi.log.error(lacking(permission));
    }
    return false;
  };
}

function clause(parts: string[]): string | undefined {
  return parts.length > 0 ? parts.join("; ") : undefined;
}
