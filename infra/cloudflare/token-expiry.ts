import type { Person } from "../settings/schema.ts";
import type { ServiceToken } from "./account.ts";
import { names } from "./names.ts";

const day = 24 * 60 * 60 * 1000;
const noticeDays = 60;

/** A sentence for each phone of the family whose token has ended, or ends within 60 days. */
export function expiryWarnings(
  tokens: Pick<ServiceToken, "name" | "expires_at">[],
  host: string,
  family: Person[],
  now: Date,
): string[] {
  return family.flatMap(({ name, phones }) =>
    phones.flatMap((phone) => {
      const token = tokens.find((each) => each.name === names.serviceToken(name, phone.name, host));
      if (!token?.expires_at) return [];
      const left = Math.floor((Date.parse(token.expires_at) - now.getTime()) / day);
      if (left > noticeDays) return [];
      const when = token.expires_at.slice(0, 10);
      const ends = left < 0 ? `ended on ${when}, and the phone is locked out` : `ends on ${when}`;
      return [
        `The token of ${name}'s ${phone.name} ${ends}. Set ouchi-photos:tokensRenewedOn: "${now.toISOString().slice(0, 10)}" and run "up": it renews the tokens of all phones, whose headers stay as they are.`,
      ];
    }),
  );
}
