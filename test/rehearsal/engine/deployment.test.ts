import { describe, expect, it } from "vitest";
import { protectedAndNeeded } from "../../../rehearsal/engine/deployment.ts";
import { Secret } from "../../../rehearsal/engine/values.ts";
import { act, deploy, empty, names, Probe, urnOf, type Wanted } from "./stage.ts";

describe("a deployment", () => {
  it("tells create, same, update, replace and delete apart", async () => {
    const probe = new Probe();
    const first = await deploy(probe, empty, [
      { name: "a", inputs: { value: 1 } },
      { name: "b", inputs: { fixed: 1 } },
      { name: "c", inputs: {} },
      { name: "d", inputs: {} },
    ]);
    expect(first.steps).toEqual(["create a", "create b", "create c", "create d"]);

    const second = await deploy(probe, first.snapshot, [
      { name: "a", inputs: { value: 2 } },
      { name: "b", inputs: { fixed: 2 } },
      { name: "c", inputs: {} },
    ]);
    // The deletions go side by side.
    expect(second.steps.slice(0, 3)).toEqual(["update a", "replace b", "same c"]);
    expect(second.steps.slice(3).sort()).toEqual(["delete d", "delete-replaced b"]);
    expect(second.told[0]!.diff).toEqual(["~value"]);
    expect(names(second.snapshot)).toEqual(["a", "b", "c"]);
    expect(probe.calls.slice(4, 6)).toEqual(["update a", "create b"]);
    expect(probe.calls.slice(6).sort()).toEqual(["delete b-2", "delete d-4"]);

    const third = await deploy(probe, second.snapshot, [
      { name: "a", inputs: { value: 2 } },
      { name: "b", inputs: { fixed: 2 } },
      { name: "c", inputs: {} },
    ]);
    expect(third.steps).toEqual(["same a", "same b", "same c"]);
  });

  it("changes nothing in a preview and writes no state", async () => {
    const probe = new Probe();
    const preview = await deploy(probe, empty, [{ name: "a" }], { dryRun: true });
    expect(preview.steps).toEqual(["create a"]);
    expect(probe.calls).toEqual([]);
    expect(preview.saved).toEqual([]);

    const { snapshot } = await deploy(probe, empty, [{ name: "a", inputs: { fixed: 1 } }]);
    probe.calls.length = 0;
    const second = await deploy(probe, snapshot, [{ name: "a", inputs: { fixed: 2 } }], {
      dryRun: true,
    });
    expect(second.steps).toEqual(["replace a", "delete-replaced a"]);
    expect(probe.calls).toEqual([]);
    expect(snapshot.resources.some((state) => state.delete)).toBe(false);
  });

  it("makes the new one first, unless it is told to delete first", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [{ name: "a", inputs: { fixed: 1 } }]);
    probe.calls.length = 0;
    await deploy(probe, snapshot, [{ name: "a", inputs: { fixed: 2 }, deleteBeforeReplace: true }]);
    expect(probe.calls).toEqual(["delete a-1", "create a"]);
  });

  it("deletes first, with a dependent that cannot outlive it, and makes both anew", async () => {
    const probe = new Probe();
    const chain = (fixed: number, onA: number): Wanted[] => [
      { name: "a", inputs: { fixed }, deleteBeforeReplace: true },
      {
        name: "b",
        inputs: { fixed: onA },
        dependencies: [urnOf("a")],
        propertyDependencies: { fixed: [urnOf("a")] },
      },
      { name: "c", inputs: {}, dependencies: [urnOf("a")] },
    ];
    const { snapshot } = await deploy(probe, empty, chain(1, 1));
    probe.calls.length = 0;
    const second = await deploy(probe, snapshot, chain(2, 4));
    expect(probe.calls).toEqual(["delete b-2", "delete a-1", "create a", "create b"]);
    expect(second.steps).toEqual([
      ...["delete-replaced b", "delete-replaced a"],
      ...["replace a", "replace b", "same c"],
    ]);
  });

  it("deletes dependents first: by dependsOn, property, parent and provider", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [
      { name: "root", type: "x:y:Component", custom: false },
      { name: "a", parent: urnOf("root", "x:y:Component") },
      { name: "b", dependencies: [urnOf("a", `x:y:Component$probe:index:Thing`)] },
      { name: "c", propertyDependencies: { value: [urnOf("b")] } },
    ]);
    const gone = await act(probe, snapshot, false, (deployment) => deployment.destroy(new Set()));
    expect(gone.steps).toEqual(["delete c", "delete b", "delete a", "delete root"]);
    expect(gone.snapshot.resources).toEqual([]);
  });

  it("keeps the old one in the state until its deletion has succeeded", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [{ name: "a", inputs: { fixed: 1 } }]);
    probe.refuse = "delete a";
    const second = await deploy(probe, snapshot, [{ name: "a", inputs: { fixed: 2 } }]);
    expect(second.errors).toEqual(["delete a was refused"]);
    expect(
      second.snapshot.resources
        .filter(({ urn }) => urn === urnOf("a"))
        .map((state) => [state.id, state.delete]),
    ).toEqual([
      ["a-2", false],
      ["a-1", true],
    ]);

    probe.refuse = "";
    const third = await deploy(probe, second.snapshot, [{ name: "a", inputs: { fixed: 2 } }]);
    expect(third.steps).toEqual(["same a", "delete-replaced a"]);
    expect(names(third.snapshot)).toEqual(["a"]);
  });

  it("refuses to delete or to replace what is protected, before anything else is deleted", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [
      { name: "a", inputs: { fixed: 1 }, protect: true },
      { name: "b" },
    ]);
    probe.calls.length = 0;
    const destroyed = await act(probe, snapshot, false, (deployment) =>
      deployment.destroy(new Set()),
    );
    expect(destroyed.errors).toEqual([
      expect.stringContaining(
        `resource "${urnOf("a")}" cannot be deleted\nbecause it is protected.`,
      ),
    ]);
    const dropped = await deploy(probe, snapshot, []);
    expect(dropped.errors).toEqual([expect.stringContaining("cannot be deleted")]);
    const replaced = await deploy(probe, snapshot, [
      { name: "a", inputs: { fixed: 2 }, protect: true },
      { name: "b" },
    ]);
    expect(replaced.errors).toEqual([expect.stringContaining("marked for protection")]);
    expect(probe.calls).toEqual([]);
    expect(names(replaced.snapshot)).toEqual(["a", "b"]);
  });

  it("excludes the protected from a destroy, and what they rest on", async () => {
    const probe = new Probe();
    const home = { name: "home", type: "x:y:Component", custom: false };
    const { snapshot } = await deploy(probe, empty, [
      home,
      { name: "a", parent: urnOf("home", "x:y:Component"), protect: true, inputs: { value: 1 } },
      { name: "b", dependencies: [urnOf("home", "x:y:Component")] },
    ]);
    const gone = await act(probe, snapshot, false, (deployment) =>
      deployment.destroy(protectedAndNeeded(deployment.snapshot().resources)),
    );
    expect(gone.steps).toEqual(["delete b"]);
    expect(names(gone.snapshot)).toEqual(["home", "a"]);
    expect(gone.errors).toEqual([]);
  });

  it("leaves a resource alone that is to be retained", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [{ name: "a", retainOnDelete: true }]);
    probe.calls.length = 0;
    const second = await deploy(probe, snapshot, []);
    expect(second.steps).toEqual(["delete a"]);
    expect(probe.calls).toEqual([]);
    expect(names(second.snapshot)).toEqual([]);
  });

  it("lets a resource go with the one that it is deletedWith", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [
      { name: "a" },
      { name: "b", deletedWith: urnOf("a") },
    ]);
    probe.calls.length = 0;
    await deploy(probe, snapshot, []);
    expect(probe.calls).toEqual(["delete a-1"]);
  });

  it("ignores changes that it was told to ignore, deep ones too", async () => {
    const probe = new Probe();
    const inputs = (port: number) => ({ connection: { host: "127.0.0.1", port }, value: 1 });
    const { snapshot } = await deploy(probe, empty, [{ name: "a", inputs: inputs(22) }]);
    const ignored = await deploy(probe, snapshot, [
      { name: "a", inputs: inputs(23), ignoreChanges: ["connection.port"] },
    ]);
    expect(ignored.steps).toEqual(["same a"]);
    const seen = await deploy(probe, snapshot, [{ name: "a", inputs: inputs(23) }]);
    expect(seen.steps).toEqual(["update a"]);
  });

  it("replaces when a property changes that was named in replaceOnChanges", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [{ name: "a", inputs: { value: 1 } }]);
    const second = await deploy(probe, snapshot, [
      { name: "a", inputs: { value: 2 }, replaceOnChanges: ["value"] },
    ]);
    expect(second.steps).toEqual(["replace a", "delete-replaced a"]);
    // The provider named the list, not its items: as Pulumi's own engine, this covers no more than it says.
    const third = await deploy(probe, snapshot, [
      { name: "a", inputs: { value: [2] }, replaceOnChanges: ["value[*]"] },
    ]);
    expect(third.steps).toEqual(["update a"]);
  });

  it("knows a resource again by an alias of its own or of its parent", async () => {
    const probe = new Probe();
    const { snapshot } = await deploy(probe, empty, [
      { name: "old-home", type: "x:y:Component", custom: false },
      { name: "a", parent: urnOf("old-home", "x:y:Component") },
      { name: "old-b" },
    ]);
    const second = await deploy(probe, snapshot, [
      {
        name: "home",
        type: "x:y:House",
        custom: false,
        aliases: [{ name: "old-home", type: "x:y:Component" }],
      },
      { name: "a", parent: urnOf("home", "x:y:House") },
      { name: "b", aliases: [{ name: "old-b" }] },
    ]);
    expect(second.steps).toEqual(["same home", "same a", "same b"]);
    expect(names(second.snapshot)).toEqual(["home", "a", "b"]);
  });

  it("inherits protection and retention from the parent", async () => {
    const { snapshot } = await deploy(new Probe(), empty, [
      { name: "home", type: "x:y:Component", custom: false, protect: true, retainOnDelete: true },
      { name: "a", parent: urnOf("home", "x:y:Component") },
      { name: "b", parent: urnOf("home", "x:y:Component"), protect: false },
    ]);
    const flags = snapshot.resources.map(({ urn, protect, retainOnDelete }) => [
      urn.split("::").at(-1),
      protect,
      retainOnDelete,
    ]);
    expect(flags).toContainEqual(["a", true, true]);
    expect(flags).toContainEqual(["b", false, true]);
  });

  it("keeps a secret input secret in the outputs, and what was named in additionalSecretOutputs", async () => {
    const { snapshot } = await deploy(new Probe(), empty, [
      {
        name: "a",
        inputs: { password: new Secret("canary"), nested: { key: new Secret("canary") }, plain: 1 },
        additionalSecretOutputs: ["made"],
      },
    ]);
    const { outputs } = snapshot.resources.find(({ urn }) => urn === urnOf("a"))!;
    expect(outputs.password).toEqual(new Secret("canary"));
    expect(outputs.nested).toEqual({ key: new Secret("canary") });
    expect(outputs.made).toEqual(new Secret(1));
    expect(outputs.plain).toBe(1);
  });

  it("stops at the first failure, keeps what was done and resumes there", async () => {
    const probe = new Probe();
    probe.refuse = "create b";
    const goals = [{ name: "a" }, { name: "b", dependencies: [urnOf("a")] }, { name: "c" }];
    const first = await deploy(probe, empty, goals);
    expect(first.errors).toEqual(["create b was refused"]);
    expect(names(first.snapshot)).toEqual(["a"]);
    expect(first.snapshot.pendingOperations).toEqual([]);

    probe.refuse = "";
    const second = await deploy(probe, first.snapshot, goals);
    expect(second.steps).toEqual(["same a", "create b", "create c"]);
  });

  it("reports a refused input with its property and touches nothing", async () => {
    const probe = new Probe();
    const failed = await deploy(probe, empty, [
      { name: "a", inputs: { bad: true } },
      { name: "b" },
    ]);
    expect(failed.errors).toEqual([
      "probe:index:Thing resource 'a': property bad has a problem: it is bad",
    ]);
    expect(probe.calls).toEqual([]);
  });

  it("writes an operation down before it begins, so that a killed engine tells of it", async () => {
    const probe = new Probe();
    const { saved } = await deploy(probe, empty, [{ name: "a" }]);
    const during = saved.find(({ pendingOperations }) => pendingOperations.length > 0)!;
    expect(during.pendingOperations.map(({ type, resource }) => [type, resource.urn])).toEqual([
      ["creating", urnOf("a")],
    ]);
    expect(names(during)).toEqual([]);

    const next = await deploy(probe, during, [{ name: "a" }]);
    expect(next.deployment.diagnostics[0]!.message).toContain(
      `${urnOf("a")}, interrupted while creating`,
    );
    expect(next.steps).toEqual(["create a"]);
    // As Pulumi: only a refresh takes it off the list.
    expect(next.snapshot.pendingOperations).toHaveLength(1);
    const refreshed = await act(probe, next.snapshot, false, (deployment) => deployment.refresh());
    expect(refreshed.snapshot.pendingOperations).toEqual([]);
  });

  it("lets running steps end when it is cancelled, and starts no other", async () => {
    const probe = new Probe();
    let release = () => {};
    probe.hold = new Promise((resolve) => {
      release = resolve;
    });
    const canceled = await deploy(probe, empty, [{ name: "a" }, { name: "b" }], {
      during: (deployment) => {
        probe.onCreate = () => {
          void deployment.cancel();
          setTimeout(release, 50);
        };
      },
    });
    expect(probe.calls).toEqual(["create a", "cancel"]);
    expect(names(canceled.snapshot)).toEqual(["a"]);
  });

  it("takes over in a refresh what drifted, and forgets what is gone", async () => {
    const probe = new Probe();
    const goals = [{ name: "a", inputs: { value: 1 } }, { name: "b" }, { name: "c" }];
    const { snapshot } = await deploy(probe, empty, goals);
    probe.drifted.set("a", { value: 5 });
    probe.gone.add("b");
    const refreshed = await act(probe, snapshot, false, (deployment) => deployment.refresh());
    expect([...refreshed.steps].sort()).toEqual(["delete b", "same c", "update a"]);
    expect(refreshed.told.find(({ name }) => name === "a")!.diff).toEqual(["~value"]);

    const mended = await deploy(probe, refreshed.snapshot, goals);
    expect(mended.steps).toEqual(["update a", "create b", "same c"]);
    expect(mended.told[0]!.diff).toEqual(["~value"]);
  });

  it("refuses two resources of one name", async () => {
    const twice = await deploy(new Probe(), empty, [{ name: "a" }, { name: "a" }]);
    expect(twice.errors).toEqual([
      `Duplicate resource URN '${urnOf("a")}'; try giving it a unique name`,
    ]);
  });

  it("names a package for which it has no provider", async () => {
    const failed = await deploy(new Probe(), empty, [{ name: "a", type: "aws:s3/bucket:Bucket" }]);
    expect(failed.errors[0]).toContain('no provider for the package "aws"');
  });

  it("refuses a connection that does not end on this machine", async () => {
    const probe = new Probe();
    const failed = await deploy(probe, empty, [
      { name: "a", inputs: { connection: new Secret({ host: "192.168.11.14" }) } },
    ]);
    expect(failed.errors[0]).toContain(
      '"connection.host" is "192.168.11.14", which is not this machine',
    );
    expect(probe.calls).toEqual([]);
  });
});
