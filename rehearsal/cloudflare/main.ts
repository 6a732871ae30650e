/** The pretend Cloudflare as a process of its own: one JSON line with its addresses, then it serves until it is told to end. */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { Clock } from "../clock.ts";
import { startCloudflare } from "./server.ts";

const { values } = parseArgs({
  options: {
    zone: { type: "string", default: "example.com" },
    team: { type: "string", default: "family" },
    account: { type: "string", default: "0123456789abcdef0123456789abcdef" },
    /** The environment variable that holds the API token; without it one is made and printed. */
    "api-token-env": { type: "string" },
    /** An organization made before 2026-10-05. */
    "older-service-tokens": { type: "boolean", default: false },
    state: { type: "string" },
  },
});

const tokenName = values["api-token-env"];
const apiToken =
  tokenName === undefined ? randomBytes(20).toString("hex") : (process.env[tokenName] ?? "");

const world = await startCloudflare({
  clock: new Clock(),
  accountId: values.account,
  zoneName: values.zone,
  teamName: values.team,
  strictServiceTokens: !values["older-service-tokens"],
  apiTokens: [{ value: apiToken }],
  stateFile: values.state,
  log: (line) => console.error(line),
});
console.log(
  JSON.stringify({
    apiUrl: world.apiUrl,
    controlUrl: world.controlUrl,
    edgePort: world.edgePort,
    tunnelPort: world.tunnelPort,
    certsPort: world.certsPort,
    caFile: world.caFile,
    accountId: values.account,
    ...(tokenName ? {} : { apiToken }),
  }),
);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => void world.close().then(() => process.exit(0)));
}
