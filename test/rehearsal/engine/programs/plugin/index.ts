import * as pulumi from "@pulumi/pulumi";

class Thing extends pulumi.CustomResource {
  declare readonly made: pulumi.Output<number>;
  constructor(name: string, inputs: pulumi.Inputs, opts?: pulumi.CustomResourceOptions) {
    super("probe:index:Thing", name, { ...inputs, made: undefined }, opts);
  }
}

const config = new pulumi.Config();
const thing = new Thing("thing", {
  password: config.requireSecret("password"),
  size: config.requireNumber("size"),
});
export const made = thing.made;
