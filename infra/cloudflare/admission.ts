import * as pulumi from "@pulumi/pulumi";
import { Admission, type CloudflareArgs } from "../../immich/resources.ts";
import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import type { Account } from "./account.ts";

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
      { person: person.name, phone, secretVersion, ...(overlapUntil && { overlapUntil }) },
    ]),
  );
  const admission = new Admission(name, {
    cloudflare,
    people: family.map(({ email }) => email).sort(),
    phones: Object.fromEntries(phones),
    strict: account.strictServiceTokens || strictServiceTokens === true,
  });
  await new Promise((resolve) => admission.urn.apply(resolve));
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
  const others = otherUsers(await applications(account), host);
  pulumi.log.warn(
    `"up" switches on strict service tokens for the whole Cloudflare account: whoever sends a service token gets 401 or 403 instead of the sign-in page, and no cookie any more.${others.length > 0 ? ` Besides the photos it concerns these applications: ${others.join(", ")}.` : " No other application lets service tokens in."}`,
  );
}

interface Application {
  name: string;
  domain?: string;
  policies?: { decision?: string; include?: Record<string, unknown>[] }[];
}

/** Applications that let service tokens in, by whatever kind of policy; a group of Access may hold some, too. */
export function otherUsers(list: Application[], host: string): string[] {
  return list
    .filter(({ domain }) => domain !== host)
    .filter(({ policies = [] }) =>
      policies.some(
        ({ decision, include = [] }) =>
          decision === "non_identity" ||
          include.some((rule) => "service_token" in rule || "any_valid_service_token" in rule),
      ),
    )
    .map(({ name, domain }) => (domain ? `"${name}" (${domain})` : `"${name}"`));
}

async function applications({ api, accountId }: Account): Promise<Application[]> {
  const path = `/accounts/${accountId}/access/apps`;
  const { status, body } = await api.list<Application>(path);
  if (status === 200 && body?.success) return body.result;
  throw new UserError(
    `Cloudflare could not answer GET ${path}: status ${status}. Nothing was changed.`,
  );
}
