import { afterAll, expect, it } from "vitest";
import { configSet, stackOutputs } from "../../../rehearsal/engine/engine.ts";
import { errorsOf, ProjectFolder } from "./project-folder.ts";

const folder = new ProjectFolder("plugin", [{ name: "probe", path: "./program/probe" }]);
afterAll(() => folder.remove());

it("runs a plugin that Pulumi.yaml names as Pulumi does, secrets kept", async () => {
  const canary = "canary-77aa";
  const set = (size: number) => folder.config({ "house:size": size });
  const secret = () =>
    configSet({ ...folder.options, key: "password", value: canary, secret: true });
  set(1);
  await secret();
  expect((await folder.update()).summary.create).toBe(2);
  expect(folder.state).not.toContain(canary);
  expect(folder.state).toContain("pulumi:providers:probe");

  const same = await folder.update({ skipPreview: true, expectNoChanges: true });
  expect(same.summary.same).toBe(2);

  set(2);
  await secret();
  const updated = await folder.update({ skipPreview: true });
  expect(updated.steps.find(({ name }) => name === "thing")).toMatchObject({
    op: "update",
    diff: ["~size"],
  });
  expect(await stackOutputs(folder.options)).toEqual({ made: 2 });

  set(10);
  await secret();
  const refused = await folder.failure({ skipPreview: true });
  expect(errorsOf(refused)).toEqual([
    "probe:index:Thing resource 'thing': property size has a problem: too big",
  ]);
  expect(folder.printed).not.toContain(canary);
});
