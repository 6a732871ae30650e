/**
 * A pretend cloudflared, for the container image of that name. It reads the real one's settings; where the
 * edge is, which the real one asks DNS, it is told by PRETEND_EDGE and PRETEND_EDGE_CERTS.
 */
import { readFileSync } from "node:fs";
import { createServer, get } from "node:http";
import { readCommandLine, UsageError } from "./command-line.ts";
import { Connector, version } from "./connector.ts";

type Level = "INF" | "WRN" | "ERR";

function log(level: Level, text: string): void {
  process.stderr.write(`${new Date().toISOString().replace(/\.\d+Z$/, "Z")} ${level} ${text}\n`);
}

function fail(text: string): never {
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

/** host:port, or just a port. */
function address(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  return {
    host: text.slice(0, Math.max(colon, 0)) || "localhost",
    port: Number(text.slice(colon + 1)),
  };
}

function readToken(flag: string | undefined, fileFlag: string | undefined): string {
  const inline = flag ?? process.env.TUNNEL_TOKEN;
  if (inline) return inline.trim();
  const file = fileFlag ?? process.env.TUNNEL_TOKEN_FILE;
  if (!file) {
    return fail(
      "cloudflared tunnel run: the tunnel's token is needed, by TUNNEL_TOKEN_FILE or TUNNEL_TOKEN.",
    );
  }
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    return fail(`Failed to read token file: ${(error as Error).message}`);
  }
}

/** Is it one at all? The edge says whether it is the right one. */
function checkToken(token: string): void {
  try {
    const { a, t, s } = JSON.parse(Buffer.from(token, "base64").toString()) as Record<
      string,
      string
    >;
    if (a && t && s) return;
  } catch {
    // Said below.
  }
  fail("Provided Tunnel token is not valid.");
}

function run(token: string, metrics: string | undefined): void {
  const edge = process.env.PRETEND_EDGE;
  const certsUrl = process.env.PRETEND_EDGE_CERTS;
  if (!edge || !certsUrl) {
    fail(
      "The pretend cloudflared needs PRETEND_EDGE (host:port) and PRETEND_EDGE_CERTS (base URL) to find the pretend edge.",
    );
  }
  const connector = new Connector({ token, edge, certsUrl, log });
  log("INF", `Starting tunnel version=${version} connectorID=${connector.id}`);
  connector.start();
  void connector.refused.then((reason) => {
    log("ERR", `Initiating shutdown error="${reason}"`);
    connector.stop();
    process.exit(1);
  });
  if (metrics) serveReadiness(connector, metrics);
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      log("INF", `Initiating graceful shutdown due to signal ${signal}`);
      connector.stop();
      process.exit(0);
    });
  }
}

function serveReadiness(connector: Connector, metrics: string): void {
  const server = createServer((request, response) => {
    if (request.url === "/ready") {
      const readyConnections = connector.readyConnections;
      const status = readyConnections > 0 ? 200 : 503;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ status, readyConnections, connectorId: connector.id }));
    } else if (request.url === "/healthcheck") response.end("OK\n");
    else response.writeHead(404).end("404 page not found\n");
  });
  const { host, port } = address(metrics);
  server.on("error", (error) => fail(`Error opening metrics server listener: ${error.message}`));
  server.listen(port, host, () => log("INF", `Starting metrics server on ${metrics}/metrics`));
}

function askReadiness(metrics: string | undefined): void {
  if (!metrics) fail("--metrics has to be provided");
  get(`http://${metrics}/ready`, (response) => {
    response.resume();
    if (response.statusCode !== 200) {
      fail(`http://${metrics}/ready endpoint returned status code ${response.statusCode}`);
    }
  }).on("error", (error) => fail(error.message));
}

try {
  const command = readCommandLine(process.argv.slice(2));
  if (command.name === "version") console.log(`cloudflared version ${version}`);
  else if (command.name === "ready") askReadiness(command.metrics ?? process.env.TUNNEL_METRICS);
  else {
    const token = readToken(command.tokenFlag, command.tokenFileFlag);
    checkToken(token);
    run(token, command.metrics ?? process.env.TUNNEL_METRICS);
  }
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  fail(`Incorrect Usage: ${error.message}`);
}
