/**
 * `immich:index:StrictServiceTokens`: has the Cloudflare account judge service tokens strictly. It is the account's
 * setting, and is not taken back when the resource goes.
 */
import type { ResourceKind } from "../resource-kind.ts";
import { AccessApi, type CloudflareAccount } from "./access-api.ts";

export interface StrictServiceTokensInputs {
  cloudflare: CloudflareAccount;
  /** As the program found it, at this run; not kept. */
  found?: boolean;
  /** Set by the check: how often somebody had turned it off again. */
  repairs?: number;
}

export const strictServiceTokens: ResourceKind<
  StrictServiceTokensInputs,
  StrictServiceTokensInputs
> = {
  secrets: ["cloudflare.apiToken"],
  computed: [],
  compared: ["repairs"],

  async check(_context, olds, news) {
    const before = olds?.repairs ?? 0;
    news.repairs = olds && news.found === false ? before + 1 : before;
    return [];
  },

  async create(_context, inputs) {
    await mend(inputs);
    return { id: "strict-service-tokens", outputs: inputs };
  },

  async read(_context, _id, state) {
    return state;
  },

  async update(_context, _id, _olds, news) {
    await mend(news);
    return news;
  },

  async delete() {},
};

async function mend({ cloudflare, found }: StrictServiceTokensInputs): Promise<void> {
  if (!found) await new AccessApi(cloudflare).makeStrict();
}
