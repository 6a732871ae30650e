import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

const options: Record<string, pulumi.CustomResourceOptions> = {
  transforms: { transforms: [() => undefined] },
  hooks: { hooks: { afterDelete: [new pulumi.ResourceHook("late", () => undefined)] } },
  before: { hooks: { beforeCreate: [refuse("before")] } },
  after: { hooks: { afterCreate: [refuse("after")] } },
  ignored: { hooks: { afterCreate: [refuse("ignored", { ignoreErrors: true })] } },
};

function refuse(name: string, options?: pulumi.ResourceHookOptions): pulumi.ResourceHook {
  return new pulumi.ResourceHook(
    name,
    ({ name, newInputs }) => {
      throw new Error(`${name} has ${newInputs!.length} bytes`);
    },
    options,
  );
}

new random.RandomBytes("bytes", { length: 8 }, options[new pulumi.Config().require("option")]);
