import { connect } from "node:net";
import type { Settings } from "../settings/schema.ts";
import { UserError } from "../settings/user-error.ts";
import { readPrivateKeyFile } from "./private-key-file.ts";
import { readPrivateKey } from "./ssh-keys.ts";

/** How the Pi is reached by SSH. The host key is pinned; without a private key the SSH agent is asked. */
export interface PiConnection {
  host: string;
  port: number;
  user: string;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  /**
   * PEM text. Secret, and in the state as such: pulumi-command takes a key as an input, or from the agent that Pulumi itself was
   * started with, and a `destroy`, which runs no program, has the state alone. An agent keeps it out.
   */
  privateKey?: string;
}

/**
 * Nothing in it changes from run to run, since a changed connection runs every command on the Pi again:
 * the agent's socket therefore stays out of it and is taken from SSH_AUTH_SOCK.
 *
 * @throws {UserError} when the private key cannot be read or used, there is neither key nor agent, or the agent is gone.
 */
export async function piConnection(
  pi: Settings["pi"],
  environment = process.env,
): Promise<PiConnection> {
  const { host, port, user, hostKey, privateKeyFile } = pi;
  if (environment.SSH_AUTH_SOCK && !(await answers(environment.SSH_AUTH_SOCK))) {
    // pulumi-command asks the agent even where there is a key.
    throw new UserError(
      'No SSH agent answers at SSH_AUTH_SOCK: start one, or run "unset SSH_AUTH_SOCK" and name the key\'s file in pi.privateKeyFile. Nothing was changed.',
    );
  }
  if (privateKeyFile === undefined) {
    if (!environment.SSH_AUTH_SOCK) {
      throw new UserError(
        "No SSH agent is running, and pi.privateKeyFile is not set: start the agent and \"ssh-add\" the Pi's key, or name the key's file in pi.privateKeyFile. Nothing was changed.",
      );
    }
    return { host, port, user, hostKey };
  }
  const privateKey = readPrivateKeyFile(privateKeyFile);
  const { wrong } = readPrivateKey(privateKey);
  if (wrong !== undefined) {
    throw new UserError(
      `The private key in pi.privateKeyFile, "${privateKeyFile}", ${wrong}. Nothing was changed.`,
    );
  }
  return { host, port, user, hostKey, privateKey };
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const attempt = connect(socket, () => {
      attempt.destroy();
      resolve(true);
    });
    attempt.once("error", () => resolve(false));
  });
}
