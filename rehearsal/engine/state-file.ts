// State in the shape of `pulumi stack export`: version 3, a deployment, its resources in creation order.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { EngineError } from "./engine-error.ts";
import type { Passphrase } from "./passphrase.ts";
import { fromState, type Properties, toPlainState, toState } from "./values.ts";

export interface ResourceState {
  urn: string;
  custom: boolean;
  type: string;
  id?: string;
  inputs: Properties;
  outputs: Properties;
  parent?: string;
  provider?: string;
  dependencies: string[];
  propertyDependencies: Record<string, string[]>;
  additionalSecretOutputs: string[];
  aliases: string[];
  protect: boolean;
  retainOnDelete: boolean;
  external: boolean;
  deletedWith?: string;
  /** Replaced already, its own deletion still outstanding. */
  delete: boolean;
  initErrors: string[];
}

export interface PendingOperation {
  resource: ResourceState;
  type: "creating" | "updating" | "deleting" | "reading";
}

export interface Snapshot {
  resources: ResourceState[];
  pendingOperations: PendingOperation[];
}

type Json = Record<string, unknown>;

export function saltOfState(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const secrets = readDeployment(file).secrets_providers as
    | { state?: { salt?: string } }
    | undefined;
  return secrets?.state?.salt;
}

export function readSnapshot(file: string, passphrase: Passphrase): Snapshot {
  if (!existsSync(file)) return { resources: [], pendingOperations: [] };
  const deployment = readDeployment(file);
  const decrypt = (ciphertext: string) => passphrase.decrypt(ciphertext);
  const resource = (json: Json) => resourceFromJson(json, decrypt);
  return {
    resources: ((deployment.resources ?? []) as Json[]).map(resource),
    pendingOperations: (
      (deployment.pending_operations ?? []) as { resource: Json; type: string }[]
    ).map((operation) => ({
      resource: resource(operation.resource),
      type: operation.type as PendingOperation["type"],
    })),
  };
}

export function writeSnapshot(file: string, snapshot: Snapshot, passphrase: Passphrase): void {
  const text = exported(snapshot, passphrase.saltLine, (plaintext) =>
    passphrase.encrypt(plaintext),
  );
  mkdirSync(dirname(file), { recursive: true });
  const fresh = `${file}.new`;
  const handle = openSync(fresh, "w", 0o600);
  writeSync(handle, text);
  fsyncSync(handle);
  closeSync(handle);
  renameSync(fresh, file);
}

export function exportSnapshot(
  snapshot: Snapshot,
  passphrase: Passphrase,
  showSecrets: boolean,
): string {
  if (!showSecrets) {
    return exported(snapshot, passphrase.saltLine, (plaintext) => passphrase.encrypt(plaintext));
  }
  const plain = exported(snapshot, passphrase.saltLine, (plaintext) => plaintext);
  return plain.replaceAll('"ciphertext":', '"plaintext":');
}

function exported(
  snapshot: Snapshot,
  salt: string,
  encrypt: (plaintext: string) => string,
): string {
  const json = {
    version: 3,
    deployment: {
      manifest: { time: "0001-01-01T00:00:00Z", magic: "", version: "" },
      secrets_providers: { type: "passphrase", state: { salt } },
      resources: snapshot.resources.map((resource) => resourceToJson(resource, encrypt)),
      ...(snapshot.pendingOperations.length > 0 && {
        pending_operations: snapshot.pendingOperations.map(({ resource, type }) => ({
          resource: resourceToJson(resource, encrypt),
          type,
        })),
      }),
      metadata: {},
    },
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

function readDeployment(file: string): Json {
  let json: Json;
  try {
    json = JSON.parse(readFileSync(file, "utf8")) as Json;
  } catch (error) {
    throw new EngineError(`Could not read the state "${file}": ${(error as Error).message}`);
  }
  if (json.version !== 3 || typeof json.deployment !== "object") {
    throw new EngineError(`The state "${file}" is no deployment of version 3.`);
  }
  return json.deployment as Json;
}

function resourceToJson(resource: ResourceState, encrypt: (plaintext: string) => string): Json {
  const flags = {
    ...(resource.delete && { delete: true }),
    ...(resource.protect && { protect: true }),
    ...(resource.retainOnDelete && { retainOnDelete: true }),
    ...(resource.external && { external: true }),
  };
  const list = (name: string, items: string[]) => (items.length > 0 ? { [name]: items } : {});
  return {
    urn: resource.urn,
    custom: resource.custom,
    ...flags,
    ...(resource.id !== undefined && { id: resource.id }),
    type: resource.type,
    inputs: toState(resource.inputs, encrypt),
    outputs: toState(resource.outputs, encrypt),
    ...(resource.parent !== undefined && { parent: resource.parent }),
    ...list("dependencies", resource.dependencies),
    ...(resource.provider !== undefined && { provider: resource.provider }),
    ...(Object.keys(resource.propertyDependencies).length > 0 && {
      propertyDependencies: resource.propertyDependencies,
    }),
    ...list("additionalSecretOutputs", resource.additionalSecretOutputs),
    ...list("aliases", resource.aliases),
    ...list("initErrors", resource.initErrors),
    ...(resource.deletedWith !== undefined && { deletedWith: resource.deletedWith }),
  };
}

function resourceFromJson(json: Json, decrypt: (ciphertext: string) => string): ResourceState {
  const strings = (value: unknown) => (value ?? []) as string[];
  return {
    urn: String(json.urn),
    custom: json.custom === true,
    type: String(json.type),
    ...(json.id !== undefined && { id: String(json.id) }),
    inputs: fromState(json.inputs ?? {}, decrypt) as Properties,
    outputs: fromState(json.outputs ?? {}, decrypt) as Properties,
    ...(json.parent !== undefined && { parent: String(json.parent) }),
    ...(json.provider !== undefined && { provider: String(json.provider) }),
    dependencies: strings(json.dependencies),
    propertyDependencies: (json.propertyDependencies ?? {}) as Record<string, string[]>,
    additionalSecretOutputs: strings(json.additionalSecretOutputs),
    aliases: strings(json.aliases),
    protect: json.protect === true,
    retainOnDelete: json.retainOnDelete === true,
    external: json.external === true,
    ...(json.deletedWith !== undefined && { deletedWith: String(json.deletedWith) }),
    delete: json.delete === true,
    initErrors: strings(json.initErrors),
  };
}

/** Two states that would be written alike. */
export function sameState(a: ResourceState, b: ResourceState): boolean {
  const text = (state: ResourceState) =>
    JSON.stringify({
      ...state,
      inputs: toPlainState(state.inputs),
      outputs: toPlainState(state.outputs),
    });
  return text(a) === text(b);
}
