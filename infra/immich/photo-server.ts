import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { Admin, SystemSettings, User } from "../../immich/resources.ts";
import type { PiConnection } from "../pi/connection.ts";
import type { Person, Settings } from "../settings/schema.ts";
import { systemSettings } from "./system-settings.ts";

export interface PhotoServerArgs {
  connection: PiConnection;
  /** The kit's own account, which holds no photos. */
  admin: { email: string; password: pulumi.Input<string> };
  /** An administrator from before the kit, who makes the kit's account. @default the kit's is the first */
  existingAdmin?: { email: string; password: string } | undefined;
  family: Person[];
  /** The address that Immich writes into links, such as https://photos.yamada.jp. */
  url: string;
  machineLearning: Settings["machineLearning"];
}

/** What is set up in Immich: the kit's admin, the settings, and then the people. */
export class PhotoServer extends pulumi.ComponentResource {
  /**
   * By person: the password to sign in with for the first time; null where the account was there before,
   * whose password stays. Secret.
   */
  readonly firstPasswords: Record<string, pulumi.Output<string | null>> = {};

  constructor(name: string, args: PhotoServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:immich:PhotoServer", name, {}, opts);
    const { connection } = args;
    const child = { parent: this };

    const account = new Admin(
      `${name}-admin`,
      { connection, name: "ouchi-photos", ...args.admin, existing: args.existingAdmin },
      { ...child, dependsOn: opts?.dependsOn },
    );
    const admin = { email: account.email, password: args.admin.password };
    const settings = new SystemSettings(
      `${name}-settings`,
      { connection, admin, settings: systemSettings(args.url, args.machineLearning) },
      child,
    );
    for (const person of args.family) {
      const password = new random.RandomPassword(
        `${name}-first-password-${person.name}`,
        { length: 16, special: false },
        child,
      );
      const user = new User(
        `${name}-user-${person.name}`,
        {
          connection,
          admin,
          email: person.email,
          name: person.displayName ?? person.name,
          storageLabel: person.name,
          initialPassword: password.result,
        },
        // The storage template must be there before the first photo can be.
        { ...child, dependsOn: [settings] },
      );
      this.firstPasswords[person.name] = pulumi.secret(
        pulumi
          .all([user.adopted, password.result])
          .apply(([adopted, first]) => (adopted ? null : first)),
      );
    }
    this.registerOutputs();
  }
}
