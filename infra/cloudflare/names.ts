/**
 * The names of the kit's things at Cloudflare. Each holds the host, or the stack: two homes in one account do not meet, and what
 * an `up` that was cut short has left behind is known again.
 */
export const names = {
  tunnel: (host: string) => `ouchi-photos (${host})`,
  application: (host: string) => `ouchi-photos (${host})`,
  policy: (role: "phones" | "family", host: string) => `ouchi-photos ${role} (${host})`,
  serviceToken: (person: string, phone: string, host: string) =>
    `ouchi-photos ${person} ${phone} (${host})`,
  /** The account's, as Cloudflare's dashboard calls it: it bears no house's name. */
  oneTimePin: "One-time PIN",
  google: (host: string) => `ouchi-photos Google (${host})`,
  alert: (role: string, host: string) => `ouchi-photos ${role} (${host})`,
};

/** The host in one of these names; undefined for a name that the kit gives to nothing. */
export function hostInName(name: unknown): string | undefined {
  return /^ouchi-photos (?:.+ )?\(([^() ]+)\)$/.exec(String(name))?.[1];
}
