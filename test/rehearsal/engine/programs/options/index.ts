import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

const options: Record<string, pulumi.CustomResourceOptions> = {
  transforms: { transforms: [() => undefined] },
  hooks: { hooks: { beforeCreate: [() => undefined] } },
};

new random.RandomBytes("bytes", { length: 8 }, options[new pulumi.Config().require("option")]);
