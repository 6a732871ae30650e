// A provider as its makers write one: the SDK's own server, no preview, secrets as they come.
import { main } from "@pulumi/pulumi/provider/index.js";

await main(
  {
    version: "1.0.0",
    schema: "{}",
    async check(_urn, _olds, news) {
      return {
        inputs: news,
        failures: news.size > 9 ? [{ property: "size", reason: "too big" }] : [],
      };
    },
    async diff(_id, _urn, olds, news) {
      return { changes: olds.size !== news.size };
    },
    async create(_urn, inputs) {
      return { id: "one", outs: { ...inputs, made: 1 } };
    },
    async update(_id, _urn, olds, news) {
      return { outs: { ...news, made: olds.made + 1 } };
    },
    async delete() {},
  },
  process.argv.slice(2),
);
