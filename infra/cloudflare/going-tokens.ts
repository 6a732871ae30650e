import type { Person } from "../settings/schema.ts";
import type { Account, ServiceToken } from "./account.ts";
import { names } from "./names.ts";
import { sharedThings } from "./shared-things.ts";
import { usersOfToken } from "./uses.ts";

/**
 * A sentence for each phone that this run locks out, since the family list has no phone of its names any more: it was taken out,
 * or the person or the phone was renamed. Tokens at Cloudflare are known by their names alone.
 *
 * @param account with it, a token that others use too is said to stay, and one that nobody names any more is not spoken of.
 */
export function goingTokens(
  tokens: (Pick<ServiceToken, "name"> & Partial<Pick<ServiceToken, "id">>)[],
  host: string,
  family: Person[],
  account?: Account,
): string[] {
  const phones = family.flatMap((person) =>
    person.phones.map((phone) => ({
      person: person.name,
      phone: phone.name,
      token: names.serviceToken(person.name, phone.name, host),
    })),
  );
  const present = new Set(tokens.map(({ name }) => name));
  const isNew = phones.filter(({ token }) => !present.has(token));
  const shared = account ? sharedThings(account, host) : [];
  return tokens.flatMap(({ id, name }) => {
    const going = phoneOf(name, host);
    if (!going || phones.some(({ token }) => token === name)) return [];
    const use = shared.find((each) => each.id === id)?.use;
    if (use) {
      return [
        `The token of ${going.person}'s ${going.phone} stays, since ${use}, and lets in there still: whoever has its headers is locked out of the photos alone. To end that, take it out there in Cloudflare's dashboard, and delete it (Zero Trust → Access controls → Service credentials).`,
      ];
    }
    // It stayed for another's sake once: nobody gets in by it.
    if (account && id !== undefined && !isNamed(id, account)) return [];
    // The same phone of a person by another name, or another phone of the same person.
    const renamed = isNew.filter(
      ({ person, phone }) => person === going.person || phone === going.phone,
    );
    const cure = renamed.map(
      ({ person, phone }) =>
        `${person}'s ${phone} gets a token of its own, so set that phone up with the headers that "cli/ouchi secrets ${person}" prints`,
    );
    return [
      `The token of ${going.person}'s ${going.phone} goes, since the family list has no such phone any more: whoever has its headers is locked out.${cure.length > 0 ? ` Was it only renamed? Then ${cure.join("; or ")}, or give it back its old name.` : ""}`,
    ];
  });
}

function isNamed(id: string, account: Account): boolean {
  const { policies, applications } = usersOfToken({ id }, account, []);
  return policies.length + applications.length > 0;
}

/** By the name that the kit gives to tokens; undefined for tokens of others and of other homes. */
export function phoneOf(name: string, host: string): { person: string; phone: string } | undefined {
  const [, person, phone] = /^\S+ (\S+) (\S+) \(\S+\)$/.exec(name) ?? [];
  if (!person || !phone || names.serviceToken(person, phone, host) !== name) return undefined;
  return { person, phone };
}
