import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { Restarted } from "../../immich/resources.ts";
import type { Bundle, Subject } from "../../pi/bundle.ts";
import {
  applyCommand,
  bootstrapCommand,
  bootstrapInput,
  bundleInput,
  removeEverythingCommand,
  removeTunnelCommand,
  secretsBundle,
} from "../../pi/bundles.ts";
import type { PiConnection } from "./connection.ts";
import { shellLine } from "./shell-words.ts";

/** What goes to the Pi without being secret, so that a preview can name the files that will change. */
export interface PlainBundles {
  system: Bundle<"system">;
  disks: Bundle<"disks">;
  docker: Bundle<"docker">;
  immich: Bundle<"immich">;
  tunnel: Bundle<"tunnel">;
  backup: Bundle<"backup">;
}

export interface HomeServerArgs {
  connection: PiConnection;
  bundles: PlainBundles;
  /** By subject, a number that is raised when the Pi has drifted: the subject's bundle then goes there again. */
  repairs: pulumi.Input<Record<string, number>>;
  /** Secret. */
  databasePassword: pulumi.Input<string>;
  /** Secret. */
  borgPassphrase: pulumi.Input<string>;
  /** Secret. */
  tunnelToken: pulumi.Input<string>;
  /** Secret: an address of Apprise's. @default the Pi tells its bad days to its journal and who signs in */
  alarm?: pulumi.Input<string> | undefined;
  /** Secret: the web address of a dead man's switch. @default nobody outside is told of a backup */
  ping?: pulumi.Input<string> | undefined;
}

/**
 * The Pi, one command per subject: each sends its bundle on standard input to `apply` on the Pi, which
 * lays down what differs. What must run again goes into the bundle; triggers are not used.
 */
export class HomeServer extends pulumi.ComponentResource {
  /** Immich serves on the Pi once it is there. */
  readonly immich: pulumi.Resource;
  /** Its deletion stops the connector, so it must go before the tunnel does. */
  readonly connector: pulumi.Resource;
  readonly backup: pulumi.Resource;

  constructor(name: string, args: HomeServerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ouchi:pi:HomeServer", name, {}, opts);
    const connection = sshConnection(args.connection);

    const subject = (
      role: Subject,
      stdin: pulumi.Input<string>,
      dependsOn: pulumi.Resource[],
      lifecycle: { delete?: string } = {},
    ) =>
      new command.remote.Command(
        `${name}-${role}`,
        {
          connection,
          create: shellLine(role === "system" ? bootstrapCommand() : applyCommand(role)),
          ...lifecycle,
          stdin: pulumi
            .all([stdin, args.repairs])
            .apply(([text, repairs]) => withRepair(text, repairs[role])),
          addPreviousOutputInEnv: false,
        },
        // The connector is stopped before its tunnel goes, and all else at the end: for both a Pi must answer.
        { parent: this, dependsOn, retainOnDelete: lifecycle.delete === undefined },
      );

    const { bundles } = args;
    const system = subject("system", bootstrapInput(bundles.system), [], {
      // The last to go: it takes the rest along in one connection.
      delete: shellLine(removeEverythingCommand()),
    });
    const restarted = new Restarted(
      `${name}-restarted`,
      { connection: args.connection, after: system.stdout },
      { parent: this },
    );
    const disks = subject("disks", bundleInput(bundles.disks), [restarted]);
    const docker = subject("docker", bundleInput(bundles.docker), [disks]);
    const secrets = subject(
      "secrets",
      pulumi.secret(
        pulumi
          .all([
            args.databasePassword,
            args.borgPassphrase,
            args.tunnelToken,
            args.alarm,
            args.ping,
          ])
          .apply(([databasePassword, borgPassphrase, tunnelToken, alarm, ping]) =>
            bundleInput(
              secretsBundle({ databasePassword, borgPassphrase, tunnelToken, alarm, ping }),
            ),
          ),
      ),
      // A changed database password is told to the database, which runs in Docker.
      [docker],
    );
    this.immich = subject("immich", bundleInput(bundles.immich), [secrets]);
    // One after the other: the Pi takes one subject at a time.
    this.connector = subject("tunnel", bundleInput(bundles.tunnel), [this.immich], {
      delete: shellLine(removeTunnelCommand()),
    });
    this.backup = subject("backup", bundleInput(bundles.backup), [this.connector]);
    this.registerOutputs();
  }
}

/** What follows the bundle is ignored on the Pi; here it makes the command run again. */
function withRepair(input: string, repair: number | undefined): string {
  return repair === undefined ? input : `${input}${JSON.stringify({ repair })}\n`;
}

/** pulumi-command ignores the host key unless it is set: it always is. */
function sshConnection({ host, port, user, hostKey, privateKey }: PiConnection) {
  return {
    host,
    port,
    user,
    hostKey,
    ...(privateKey === undefined ? {} : { privateKey: pulumi.secret(privateKey) }),
  };
}
