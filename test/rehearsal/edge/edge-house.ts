import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseDocument } from "yaml";
import { Clock } from "../../../rehearsal/clock.ts";
import type { LoggedCall } from "../../../rehearsal/cloudflare/api.ts";
import { ControlClient } from "../../../rehearsal/cloudflare/control-client.ts";
import { type PretendCloudflare, startCloudflare } from "../../../rehearsal/cloudflare/server.ts";
import {
  configSet,
  stackOutputs,
  type UpdateOptions,
  type UpdateResult,
} from "../../../rehearsal/engine/engine.ts";
import { type Answer, account_id, host, type SendOptions, send } from "../cloudflare/house.ts";
import { ProjectFolder } from "../engine/project-folder.ts";

const repository = join(import.meta.dirname, "../../..");
export const apiToken = "canary-of-the-api-token-0123456789abcdef01";

export interface PersonSetting {
  name: string;
  email: string;
  phones?: { name: string; secretVersion?: number; overlapUntil?: string }[];
}

export const ken: PersonSetting = {
  name: "ken",
  email: "ken@example.com",
  phones: [{ name: "iphone" }],
};

/** A time that an overlap may end at, and one all through a test. */
export const inAMonth = `${new Date(Date.now() + 30 * 24 * 3_600_000).toISOString().slice(0, 19)}Z`;

type Headers = Record<string, Record<string, Record<string, string | null>>>;

/** A stack of the program that is cut to the edge, and the pretend Cloudflare that it is for. */
export class EdgeHouse {
  readonly world: PretendCloudflare;
  readonly clock: Clock;
  readonly control: ControlClient;
  readonly folder: ProjectFolder;
  readonly ca: string;
  /** Times at which the host's name led to a house without its gate. */
  readonly gaps: string[] = [];

  private constructor(world: PretendCloudflare, clock: Clock, folder: ProjectFolder) {
    this.world = world;
    this.clock = clock;
    this.control = new ControlClient(world.controlUrl);
    this.folder = folder;
    this.ca = readFileSync(world.caFile, "utf8");
    world.state.on("changed", () => this.#watch());
  }

  /** @param strict whether the account judges service tokens strictly, as those made since October 2026 */
  static async build(family: PersonSetting[] = [ken], strict = true): Promise<EdgeHouse> {
    const clock = new Clock();
    const world = await startCloudflare({
      clock,
      accountId: account_id,
      zoneName: "example.com",
      teamName: "family",
      strictServiceTokens: strict,
      apiTokens: [{ value: apiToken }],
    });
    const folder = new ProjectFolder("edge", [
      { name: "immich", path: join(repository, "immich") },
    ]);
    const { config } = parse(readFileSync(join(repository, "Pulumi.rehearsal.yaml"), "utf8"));
    folder.config({
      ...config,
      "cloudflare:baseUrl": world.apiUrl,
      "ouchi-photos:domain": "example.com",
      "ouchi-photos:accountId": account_id,
      "ouchi-photos:family": family,
      "ouchi-photos:pi": {
        host: "192.0.2.1",
        hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
      },
    });
    const house = new EdgeHouse(world, clock, folder);
    await house.setSecret("cloudflare:apiToken", apiToken);
    return house;
  }

  async close(): Promise<void> {
    await this.world.close();
    this.folder.remove();
  }

  /** A setting of the kit's; undefined takes it out. */
  set(name: string, value: unknown): void {
    const document = parseDocument(readFileSync(this.folder.stackFile, "utf8"));
    const path = ["config", `ouchi-photos:${name}`];
    if (value === undefined) document.deleteIn(path);
    else document.setIn(path, document.createNode(value));
    writeFileSync(
      this.folder.stackFile,
      document.toString({ defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" }),
    );
  }

  setSecret(key: string, value: string): Promise<void> {
    return configSet({ ...this.folder.options, key, value, secret: true });
  }

  /** One run of the program: the preview before it is left to tests that are about it. */
  up(options: Partial<UpdateOptions> = {}): Promise<UpdateResult> {
    return this.folder.update({ skipPreview: true, ...options });
  }

  /** The result of an `up` that must fail. */
  failure(options: Partial<UpdateOptions> = {}): Promise<UpdateResult> {
    return this.folder.failure({ skipPreview: true, ...options });
  }

  /** An `up` that may fail. */
  async try(): Promise<UpdateResult | undefined> {
    try {
      return await this.up();
    } catch {
      return undefined;
    }
  }

  /** The phones' headers, as `ouchi secrets` shows them. */
  async headers(): Promise<Headers> {
    const outputs = await stackOutputs({ ...this.folder.options, showSecrets: true });
    return outputs.headers as Headers;
  }

  send(path: string, options: SendOptions = {}): Promise<Answer> {
    return send(this, path, options);
  }

  /** What is at Cloudflare, by kind and name. */
  things(): string[] {
    const { data } = this.world.state;
    const named = (kind: string, list: { name: string }[]) =>
      list.map(({ name }) => `${kind} ${name}`);
    return [
      ...named(
        "tunnel",
        data.tunnels.filter(({ deletedAt }) => !deletedAt),
      ),
      ...named("sign-in", data.identityProviders),
      ...named("token", data.serviceTokens),
      ...named("policy", data.policies),
      ...named("application", data.applications),
      ...named("alert", data.notificationPolicies),
      ...named("record", data.dnsRecords),
    ].sort();
  }

  /** The API's calls since the last time that they were taken. */
  takeCalls(): LoggedCall[] {
    return this.world.calls.splice(0);
  }

  #watch(): void {
    const { dnsRecords, applications, policies } = this.world.state.data;
    for (const record of dnsRecords) {
      const application = applications.find(({ domain }) => domain === record.name);
      const guarded =
        application?.policies.length &&
        application.policies.every(({ id }) =>
          policies.some(
            (policy) =>
              policy.id === id &&
              policy.decision !== "bypass" &&
              !policy.include.some((rule) => "everyone" in rule),
          ),
        );
      if (!guarded) this.gaps.push(`${record.name} leads to ${record.content} without a gate`);
    }
  }
}

export const hostOfEdge = host;
export const writes = (calls: LoggedCall[]) => calls.filter(({ method }) => method !== "GET");
export const lines = (calls: LoggedCall[]) => calls.map(({ method, path }) => `${method} ${path}`);
