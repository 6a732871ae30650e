import * as pulumi from "@pulumi/pulumi";
import { Admission, type CloudflareArgs } from "../../immich/resources.ts";
import { known } from "../program.ts";
import type { Settings } from "../settings/schema.ts";
import type { Account } from "./account.ts";
import {
  type Application,
  type Group,
  isOfTheKit,
  placesOf,
  type Rule,
  readGroups,
} from "./uses.ts";

export interface AdmitArgs {
  account: Account;
  /** The host behind the gate, such as photos.yamada.jp. */
  host: string;
  settings: Pick<Settings, "family" | "strictServiceTokens">;
  cloudflare: CloudflareArgs;
}

/**
 * Registers whom the gate lets in, and says what is about to become of service tokens in the whole account. Nothing
 * was changed when it ends; whoever leaves is known then, and that the API token may end their sessions.
 *
 * @throws {UserError} when the account's applications cannot be read.
 */
export async function admit(name: string, args: AdmitArgs): Promise<Admission> {
  const { account, settings, cloudflare } = args;
  const { family, strictServiceTokens } = settings;
  if (!account.strictServiceTokens) await tellOfTheOlderWay(args);
  const phones = family.flatMap((person) =>
    person.phones.map(({ name: phone, secretVersion, overlapUntil }) => [
      `${person.name}-${phone}`,
      {
        person: person.name,
        email: person.email,
        phone,
        secretVersion,
        ...(overlapUntil && { overlapUntil }),
      },
    ]),
  );
  const admission = new Admission(name, {
    cloudflare,
    people: family.map(({ email }) => email).sort(),
    phones: Object.fromEntries(phones),
    strict: account.strictServiceTokens || strictServiceTokens === true,
    strictBefore: account.strictServiceTokens,
  });
  await known(admission.urn);
  return admission;
}

async function tellOfTheOlderWay({ account, host, settings }: AdmitArgs): Promise<void> {
  const { strictServiceTokens } = settings;
  if (strictServiceTokens === false) return;
  if (strictServiceTokens === undefined) {
    // Once, and not again by the update that follows.
    if (!pulumi.runtime.isDryRun()) return;
    pulumi.log.info(
      "Cloudflare gives each phone a cookie that opens the gate for 15 minutes, as it does in accounts of before October 2026. ouchi-photos:strictServiceTokens: true ends that, for all applications of the account; false leaves it so, and ends this notice.",
    );
    return;
  }
  const others = otherUsers(account.applications, await readGroups(account), host);
  pulumi.log.warn(
    `"up" switches on strict service tokens for the whole Cloudflare account: whoever sends a service token gets 401 or 403 instead of the sign-in page, and no cookie any more.${others.length > 0 ? ` Besides the photos it concerns these applications: ${others.join(", ")}.` : " No other application lets service tokens in."}`,
  );
}

/** Applications that let service tokens in, by whatever kind of policy, or by a group of Access that holds some. */
export function otherUsers(list: Application[], groups: Group[], host: string): string[] {
  const ofTokens = (rules: Rule[] = []): boolean =>
    rules.some(
      (rule) =>
        "service_token" in rule ||
        "any_valid_service_token" in rule ||
        groups.some(({ id, include }) => rule.group?.id === id && ofTokens(include)),
    );
  return list
    .filter((each) => !placesOf(each).includes(host) && !isOfTheKit(each))
    .filter(({ policies = [] }) =>
      policies.some(({ decision, include }) => decision === "non_identity" || ofTokens(include)),
    )
    .map(({ name, domain }) => (domain ? `"${name}" (${domain})` : `"${name}"`));
}
