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
  /** The stack's, since it stays while the host changes: by its name the kit tells its own from one that was there. */
  oneTimePin: (stack: string) => `ouchi-photos one-time PIN (${stack})`,
  google: (host: string) => `ouchi-photos Google (${host})`,
  alert: (role: string, host: string) => `ouchi-photos ${role} (${host})`,
};
