import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

/**
 * The three secrets that must outlive everything: without them the archives, the database or Immich's
 * administration cannot be opened. A plain destroy is refused because of them.
 */
export class ProtectedSecrets extends pulumi.ComponentResource {
  readonly borgPassphrase: pulumi.Output<string>;
  /** Letters and digits only, as Immich asks. */
  readonly databasePassword: pulumi.Output<string>;
  readonly adminPassword: pulumi.Output<string>;

  constructor(name: string, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:backup:ProtectedSecrets", name, {}, opts);
    const secret = (role: string) =>
      new random.RandomPassword(
        `${name}-${role}`,
        { length: 40, special: false },
        { parent: this, protect: true },
      ).result;
    this.borgPassphrase = secret("borg-passphrase");
    this.databasePassword = secret("database-password");
    this.adminPassword = secret("admin-password");
    this.registerOutputs();
  }
}
