import * as pulumi from "@pulumi/pulumi";

/**
 * Whether the stack keeps a key's value encrypted. The engine tells the program (PULUMI_CONFIG_SECRET_KEYS), and Pulumi's SDK knows it,
 * but leaves the function out of its types.
 */
export const isConfigSecret = (
  pulumi.runtime as typeof pulumi.runtime & { isConfigSecret(key: string): boolean }
).isConfigSecret;
