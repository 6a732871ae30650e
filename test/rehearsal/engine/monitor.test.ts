import grpc from "@grpc/grpc-js";
import resourceGrpc from "@pulumi/pulumi/proto/resource_grpc_pb.js";
import type { RegisterResourceRequest } from "@pulumi/pulumi/proto/resource_pb.js";
import resourceMessages from "@pulumi/pulumi/proto/resource_pb.js";
import { describe, expect, it } from "vitest";
import { serveMonitor } from "../../../rehearsal/engine/monitor.ts";
import { Struct } from "../../../rehearsal/engine/protocol.ts";
import { act, empty, Probe, thing } from "./stage.ts";

/** What one registration of the SDK leads to. */
async function register(fill: (request: RegisterResourceRequest) => void) {
  const probe = new Probe();
  return act(probe, empty, false, async (deployment) => {
    const monitor = await serveMonitor(deployment, () => Promise.resolve());
    const client = new resourceGrpc.ResourceMonitorClient(
      monitor.address,
      grpc.credentials.createInsecure(),
    );
    try {
      const request = new resourceMessages.RegisterResourceRequest();
      request.setType(thing);
      request.setName("a");
      request.setCustom(true);
      request.setObject(Struct.fromJavaScript({ value: 1 }));
      fill(request);
      // Whoever asks when a deployment stops gets no answer.
      await new Promise<void>((resolve) => {
        client.registerResource(request, () => resolve());
        void deployment.whenStopped.then(resolve);
      });
    } finally {
      client.close();
      monitor.close();
    }
  });
}

describe("an option of a resource", () => {
  const unknownOptions: [string, (request: RegisterResourceRequest) => void][] = [
    ["import", (request) => request.setImportid("id")],
    [
      "customTimeouts",
      (request) => {
        const timeouts = new resourceMessages.RegisterResourceRequest.CustomTimeouts();
        timeouts.setCreate("5m");
        request.setCustomtimeouts(timeouts);
      },
    ],
    ["pluginDownloadURL", (request) => request.setPlugindownloadurl("https://example.com")],
    ["pluginChecksums", (request) => request.getPluginchecksumsMap().set("linux-amd64", "AA==")],
    ["replaceWith", (request) => request.setReplaceWithList(["urn"])],
    ["hideDiffs", (request) => request.setHidediffsList(["value"])],
    [
      "hooks",
      (request) => {
        const hooks = new resourceMessages.RegisterResourceRequest.ResourceHooksBinding();
        hooks.setBeforeDeleteList(["hook"]);
        request.setHooks(hooks);
      },
    ],
    ["remote", (request) => request.setRemote(true)],
  ];

  it.each(unknownOptions)(
    "that the engine does not know, %s, is an error that names it",
    async (name, fill) => {
      const { errors, steps } = await register(fill);
      expect(errors).toEqual([expect.stringMatching(new RegExp(`"a" .*${name}.*does not know`))]);
      expect(steps).toEqual([]);
    },
  );

  it("that it knows reaches the state", async () => {
    const { snapshot, errors } = await register((request) => {
      request.setProtect(true);
      request.setRetainondelete(true);
      request.setAdditionalsecretoutputsList(["value"]);
      request.setDependenciesList(["urn:pulumi:dev::test::x:y:Z::z"]);
    });
    expect(errors).toEqual([]);
    expect(snapshot.resources.at(-1)).toMatchObject({
      protect: true,
      retainOnDelete: true,
      additionalSecretOutputs: ["value"],
      outputs: { value: { value: 1 }, made: 1 },
      dependencies: ["urn:pulumi:dev::test::x:y:Z::z"],
    });
  });
});
