import * as pulumi from "@pulumi/pulumi";
import { failure } from "../program.ts";
import { UserError } from "../settings/user-error.ts";
import type { Account } from "./account.ts";
import { reasons } from "./api.ts";
import { names } from "./names.ts";
import { lacking, permissions } from "./permissions.ts";

const type = "onetimepin";

/**
 * The id of the account's one-time PIN. An account has one at most, and every application in it may let people in by
 * it: it belongs to no house. So it is no resource of the stack, which a replacement or a destroy could take away:
 * the one that is there is used, whoever made it, and where there is none an `up` makes it.
 */
export function oneTimePin(account: Account): pulumi.Output<string> {
  const existing = account.identityProviders.find((each) => each.type === type);
  if (existing) return pulumi.output(existing.id);
  if (pulumi.runtime.isDryRun()) {
    pulumi.log.info(
      "The account has no one-time PIN to sign in by: this up makes one. It is the account's and not this house's: it stays when the house goes, for whatever else uses it by then.",
    );
    return pulumi.output(pulumi.unknown) as unknown as pulumi.Output<string>;
  }
  return pulumi.output(
    makeOneTimePin(account).catch((error: unknown) => {
      throw failure(error);
    }),
  );
}

/** Another stack, or a request whose reply was lost, may have made it since the account was read. */
async function makeOneTimePin({ api, accountId }: Account): Promise<string> {
  const path = `/accounts/${accountId}/access/identity_providers`;
  const { status, body } = await api.send<{ id: string }>("POST", path, {
    ...{ type, name: names.oneTimePin, config: {} },
  });
  if (status < 300 && body?.success && body.result.id) return body.result.id;
  if (status === 403) {
    throw new UserError(lacking(permissions.organization));
  }
  const list = await api.list<Account["identityProviders"][number]>(path);
  const made = list.body?.result?.find((each) => each.type === type);
  if (made) return made.id;
  throw new UserError(
    `Cloudflare answered ${status} to POST ${path}${reasons(body) ? `: ${reasons(body)}` : ""}, and made no one-time PIN, by which the family signs in. Run this again, or add it by hand: Zero Trust → Integrations → Identity providers → Add new identity provider → One-time PIN.`,
  );
}
