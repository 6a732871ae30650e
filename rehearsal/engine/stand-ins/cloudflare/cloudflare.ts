import type { StandIn } from "../../stand-in.ts";
export const Cloudflare = undefined as unknown as new (log: unknown) => StandIn;
