/** The Immich provider's resources, as a Pulumi program declares them. */
import * as pulumi from "@pulumi/pulumi";
import { version } from "./version.ts";

/** How the Pi is reached by SSH. A change of it is no change of what it leads to. */
export interface ConnectionArgs {
  host: pulumi.Input<string>;
  /** @default 22 */
  port?: pulumi.Input<number>;
  user: pulumi.Input<string>;
  /** Pinned, `ssh-ed25519 AAAA…`. */
  hostKey: pulumi.Input<string>;
  /** PEM text; without it the SSH agent is asked. Secret. */
  privateKey?: pulumi.Input<string>;
  /** @default SSH_AUTH_SOCK of the environment */
  agentSocketPath?: pulumi.Input<string>;
  /** Immich's port on the Pi's own loopback. @default 2283 */
  apiPort?: pulumi.Input<number>;
}

/** Immich's administrator, by whose account the kit works. */
export interface CredentialsArgs {
  email: pulumi.Input<string>;
  /** Secret. */
  password: pulumi.Input<string>;
}

/**
 * A disk by what tells it apart, not by `/dev/sda`, which may be the other one after a boot: an `id`, or
 * the `uuid` of an ext4 file system that was made by hand and is taken over with all that is on it.
 */
export interface DiskIdentity {
  /** Its name in /dev/disk/by-id or by-path. */
  id?: pulumi.Input<string>;
  /** May be formatted while it is blank. @default false */
  allowFormat?: pulumi.Input<boolean>;
  uuid?: pulumi.Input<string>;
  adopt?: pulumi.Input<boolean>;
}

export interface PreflightArgs {
  connection: ConnectionArgs;
  disks: { main: DiskIdentity; backup: DiskIdentity };
  /** Whether faces and contents are recognised on the Pi, which wants memory. */
  machineLearning: boolean;
  /** For the Immich that somebody set up there by hand, before it is taken over. */
  immich: {
    /** The images that are to run, with their tags. */
    server: string;
    postgres: string;
    /** The version of a database that may be upgraded. */
    upgradeFrom?: string;
    /** The kit's own account. */
    admin: string;
    existingAdmin?: CredentialsArgs;
  };
  contents: Contents;
}

/**
 * By the name of a part of the Pi, a digest of what the program wants there. While no part is new or differs,
 * a Pi that is out of reach or unfit is a warning, else it stops everything before the first change.
 */
export type Contents = Record<string, string>;

/** Looks at the Pi once per run, over one SSH connection, and changes nothing there. */
export class Preflight extends pulumi.CustomResource {
  /** Of the interface that has the default route: for the router's address reservation. */
  declare readonly macAddress: pulumi.Output<string>;
  declare readonly addresses: pulumi.Output<string[]>;
  /**
   * By the subject of a bundle, a number that is raised when what lies on the Pi is no longer as the kit left it.
   * Whatever goes to the Pi again when its number is raised mends it; known in a preview.
   */
  declare readonly repairs: pulumi.Output<Record<string, number>>;

  constructor(name: string, args: PreflightArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Preflight",
      name,
      {
        ...args,
        connection: sealed(args.connection),
        immich: {
          ...args.immich,
          existingAdmin: args.immich.existingAdmin && sealedCredentials(args.immich.existingAdmin),
        },
        macAddress: undefined,
        addresses: undefined,
        repairs: undefined,
      },
      { version, ...opts },
    );
  }
}

export interface DeployedArgs {
  connection: ConnectionArgs;
  contents: Contents;
}

/**
 * What the Pi was brought to. Give it every resource on the Pi as a dependency: it then comes into the state
 * only when they are done, and after an `up` that broke off an unreachable Pi stops the next preview.
 */
export class Deployed extends pulumi.CustomResource {
  constructor(name: string, args: DeployedArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Deployed",
      name,
      { ...args, connection: sealed(args.connection) },
      { version, ...opts },
    );
  }
}

export interface RestartedArgs {
  connection: ConnectionArgs;
  /** What the command before has said: with a line "restarts: <boot id>" another boot is waited for. */
  after: pulumi.Input<string>;
}

/** A Pi that has come back from the restart that was announced; at once where none was. */
export class Restarted extends pulumi.CustomResource {
  constructor(name: string, args: RestartedArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Restarted",
      name,
      { ...args, connection: sealed(args.connection) },
      { version, ...opts },
    );
  }
}

export interface AdminArgs {
  connection: ConnectionArgs;
  email: pulumi.Input<string>;
  name: pulumi.Input<string>;
  /** Secret. */
  password: pulumi.Input<string>;
  /** An administrator from before the kit, who makes its account. @default the kit's is the first */
  existing?: CredentialsArgs | undefined;
}

/** The first administrator: the kit's own account, without photos. Deleting it leaves it in Immich. */
export class Admin extends pulumi.CustomResource {
  declare readonly email: pulumi.Output<string>;
  declare readonly userId: pulumi.Output<string>;

  constructor(name: string, args: AdminArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Admin",
      name,
      {
        ...args,
        connection: sealed(args.connection),
        password: pulumi.secret(args.password),
        existing: args.existing && sealedCredentials(args.existing),
        userId: undefined,
      },
      { version, ...opts },
    );
  }
}

export interface UserArgs {
  connection: ConnectionArgs;
  admin: CredentialsArgs;
  /** Who is in Immich with this address already is adopted; a change of it keeps the account. */
  email: pulumi.Input<string>;
  name: pulumi.Input<string>;
  /** The folder of the person's originals, `library/<label>`; stays as it was first. */
  storageLabel: pulumi.Input<string>;
  /** For a new account only, and to be changed at the first sign-in. Secret. */
  initialPassword: pulumi.Input<string>;
  /** Bytes. @default no limit */
  quota?: pulumi.Input<number>;
}

/** A person's account. Nothing ever deletes or replaces it: Immich would purge the photos. */
export class User extends pulumi.CustomResource {
  declare readonly email: pulumi.Output<string>;
  declare readonly storageLabel: pulumi.Output<string>;
  declare readonly userId: pulumi.Output<string>;
  /** Whether the account was there before, with a password of its own. */
  declare readonly adopted: pulumi.Output<boolean>;

  constructor(name: string, args: UserArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:User",
      name,
      {
        ...args,
        connection: sealed(args.connection),
        admin: sealedCredentials(args.admin),
        initialPassword: pulumi.secret(args.initialPassword),
        userId: undefined,
        adopted: undefined,
      },
      { version, ...opts },
    );
  }
}

/** A part of Immich's settings: what is given here is the kit's, the rest stays the owner's. */
export interface OwnedSettings {
  [key: string]: pulumi.Input<string | number | boolean | null | unknown[]> | OwnedSettings;
}

export interface SystemSettingsArgs {
  connection: ConnectionArgs;
  admin: CredentialsArgs;
  settings: OwnedSettings;
}

export class SystemSettings extends pulumi.CustomResource {
  constructor(name: string, args: SystemSettingsArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:SystemSettings",
      name,
      {
        ...args,
        connection: sealed(args.connection),
        admin: sealedCredentials(args.admin),
      },
      { version, ...opts },
    );
  }
}

/** The account at Cloudflare, for what its own provider has no resource for. */
export interface CloudflareArgs {
  /** Of the API v4, without a slash at the end. */
  baseUrl: string;
  accountId: string;
  /** Secret. @default CLOUDFLARE_API_TOKEN of the environment */
  apiToken: string | undefined;
}

export interface AdmissionArgs {
  cloudflare: CloudflareArgs;
  /** E-mail addresses of everyone whom the gate lets in. */
  people: string[];
  /** By "<person>-<phone>". */
  phones: Record<
    string,
    { person: string; email: string; phone: string; secretVersion: number; overlapUntil?: string }
  >;
  /** Whether the account judges service tokens strictly, once this run has ended. */
  strict: boolean;
  /** Whether it does now. */
  strictBefore: boolean;
}

/** Whom the gate lets in. Register it, and wait for it, before anything is changed: it then knows who leaves. */
export class Admission extends pulumi.CustomResource {
  /** What `Revocation` is to end; known in a preview. */
  declare readonly revocations: pulumi.Output<
    Record<string, { count: number; phones: Record<string, number> }>
  >;

  constructor(name: string, args: AdmissionArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Admission",
      name,
      {
        ...args,
        cloudflare: sealedAccount(args.cloudflare),
        revocations: undefined,
        withoutCookies: undefined,
        usedVersions: undefined,
      },
      { version, ...opts },
    );
  }
}

export interface RevocationArgs {
  cloudflare: CloudflareArgs;
  host: string;
  /** The id of the host's Access application. */
  application: pulumi.Input<string>;
  /** Whether it was taken over, with sessions that are open. */
  adopted: boolean;
  /** Of the `Admission`. */
  revocations: Admission["revocations"];
}

/** Ends the sessions of who is let in no more. Give it policies and tokens as dependencies: they must be changed before. */
export class Revocation extends pulumi.CustomResource {
  constructor(name: string, args: RevocationArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:Revocation",
      name,
      { ...args, cloudflare: sealedAccount(args.cloudflare) },
      { version, ...opts },
    );
  }
}

export interface StrictServiceTokensArgs {
  cloudflare: CloudflareArgs;
  /** As it is now. */
  found: boolean;
}

/** Has the whole Cloudflare account judge service tokens strictly; that stays when the resource goes. */
export class StrictServiceTokens extends pulumi.CustomResource {
  constructor(name: string, args: StrictServiceTokensArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      "immich:index:StrictServiceTokens",
      name,
      { ...args, cloudflare: sealedAccount(args.cloudflare), repairs: undefined },
      { version, ...opts },
    );
  }
}

const sealedAccount = ({ apiToken, ...rest }: CloudflareArgs): pulumi.Inputs =>
  apiToken === undefined ? rest : { ...rest, apiToken: pulumi.secret(apiToken) };

const sealedCredentials = ({ email, password }: CredentialsArgs) => ({
  email,
  password: pulumi.secret(password),
});

function sealed(connection: ConnectionArgs): pulumi.Inputs {
  const { privateKey, ...rest } = connection;
  return privateKey === undefined ? rest : { ...rest, privateKey: pulumi.secret(privateKey) };
}
