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

  /** @param args.borgPassphrase that of archives which are older than the state, in the place of its own */
  constructor(
    name: string,
    args: { borgPassphrase: pulumi.Input<string> | undefined },
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super("ouchi:backup:ProtectedSecrets", name, {}, opts);
    const secret = (role: string) =>
      new random.RandomPassword(
        `${name}-${role}`,
        { length: 40, special: false },
        { parent: this, protect: true },
      ).result;
    // Made all the same: a protected secret does not go by a setting.
    const own = secret("borg-passphrase");
    this.borgPassphrase =
      args.borgPassphrase === undefined ? own : pulumi.secret(args.borgPassphrase);
    this.databasePassword = secret("database-password");
    this.adminPassword = secret("admin-password");
    this.registerOutputs();
  }
}
