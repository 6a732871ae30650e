import { z } from "zod";

/**
 * The whole configuration of a stack: every setting under `ouchi-photos:` in `Pulumi.<stack>.yaml`.
 * Strict at every depth, so that a misspelt setting is an error and never a silent default.
 */

const placeholder = /^<.*>$/s;

const text = (what: string) =>
  z
    .string({
      error: (issue) =>
        issue.input === undefined ? `is missing: ${what}` : `is not text: ${what}`,
    })
    .refine((value) => !placeholder.test(value.trim()), {
      error: (issue) => `is still the placeholder "${issue.input}": ${what}`,
      abort: true,
    });

/** A value as it stands in a sentence: whole, unless nobody could read the sentence then. */
function quoted(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 100)}…" (${text.length - 2} characters)` : text;
}

const matching = (pattern: RegExp, what: string) =>
  text(what).refine((value) => placeholder.test(value.trim()) || pattern.test(value), {
    error: (issue) => `is ${quoted(issue.input)}: ${what}`,
  });

/** `off` is a word in YAML 1.2 and false in 1.1: both mean the same here, and so does its opposite. */
const machineLearning = z.union(
  [
    z.literal(["local", "off"]),
    z.literal([true, "true"]).transform(() => "local" as const),
    z.literal([false, "false"]).transform(() => "off" as const),
    z.strictObject({
      remote: z.url({
        protocol: /^https?$/,
        error: 'is no web address: give one such as "http://192.168.11.20:3003"',
      }),
    }),
  ],
  {
    error:
      'give local (on the Pi), off, or another machine\'s address: {remote: "http://192.168.11.20:3003"}',
  },
);

/** Pulumi hands a setting at the top over as text. */
const flag = z.union(
  [
    z.literal([true, "true"]).transform(() => true),
    z.literal([false, "false"]).transform(() => false),
  ],
  { error: (issue) => `is ${quoted(issue.input)}: give true or false` },
);

/** Never shown in an error: who knows it reads along, speaks for the Pi, or opens the archives. */
const secretText = (pattern: RegExp, form: string) =>
  text(`give ${form}`).refine(
    // `ouchi` reads the stack file without its passphrase: to it every secret is "[secret]".
    (value) => value === "[secret]" || pattern.test(value),
    { error: `is not ${form}` },
  );

const alarm = secretText(
  /^[a-z][a-z0-9+.-]*:\/\/[^\s/][!-~]*$/i,
  'an address of Apprise\'s such as "ntfys://a-topic-of-yours": pulumi config set --secret ouchi-photos:alarm',
);

const ping = secretText(
  /^https?:\/\/[^\s/?#]+\/[!-~]*[^\s/?#]$/i,
  'the address of a check at a dead man\'s switch, such as "https://hc-ping.com/…": pulumi config set --secret ouchi-photos:ping',
);

const borgPassphrase = secretText(
  /^[^\s\p{Cc}](?:[^\p{Cc}]*[^\s\p{Cc}])?$/u,
  "the archives' passphrase on one line, as the recovery sheet has it: pulumi config set --secret ouchi-photos:borgPassphrase",
);

const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";

const name = (what: string) =>
  matching(
    /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/,
    `${what}, in lower-case letters, digits and hyphens, 32 at most`,
  );

const email = matching(
  /^[^\s@<>"',;]+@[^\s@<>"',;]+\.[^\s@<>"',;]+$/,
  "give an e-mail address such as ken@yamada.jp",
).transform((value) => value.toLowerCase());

/** Go's duration in whole hours, as Cloudflare takes it. */
const hours = (what: string) => matching(/^[1-9][0-9]{0,4}h$/, `${what}, in hours such as "730h"`);

const longestSession = 730;

const timestamp = text('give a time in UTC, quoted: "2026-12-01T00:00:00Z"').superRefine(
  (value, context) => {
    if (/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*UTC$/.test(value)) {
      context.addIssue({
        code: "custom",
        message:
          'was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-12-01T00:00:00Z"',
      });
    } else if (
      !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(value) ||
      Number.isNaN(Date.parse(value))
    ) {
      context.addIssue({
        code: "custom",
        message: `is ${JSON.stringify(value)}: give a time in UTC, quoted: "2026-12-01T00:00:00Z"`,
      });
    }
  },
);

const renewalDay = text('give a day, quoted: "2027-10-01"').refine(
  (value) =>
    /^20\d\d-\d\d-\d\d$/.test(value) &&
    value >= "2026-01-01" &&
    new Date(`${value}T00:00:00Z`).toISOString().startsWith(value),
  { error: (issue) => `is ${quoted(issue.input)}: give a day since 2026, quoted: "2027-10-01"` },
);

const timeZone = text("give a time zone such as Asia/Tokyo").refine(isTimeZone, {
  error: (issue) =>
    `is ${quoted(issue.input)}: give a time zone of the tz database, such as Asia/Tokyo`,
});

function isTimeZone(value: string): boolean {
  if (value !== "UTC" && !/^[A-Z][A-Za-z_]+(?:\/[A-Za-z0-9_+-]+)+$/.test(value)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: value });
    return true;
  } catch {
    return false;
  }
}

const hostKeyForm =
  'give the Pi\'s host key as printed by "ssh-keyscan -t ed25519 <host>", without the host: "ssh-ed25519 AAAA…"';

const hostKey = text(hostKeyForm).refine(isHostKey, {
  error: (issue) => `is ${quoted(issue.input)}: ${hostKeyForm}`,
});

/**
 * An OpenSSH public key line without a comment; the type is written in the blob once more. Not ssh-rsa:
 * pulumi-command would ask for signatures by SHA-1, which OpenSSH refuses.
 */
function isHostKey(value: string): boolean {
  const match = /^(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})$/.exec(
    value,
  );
  if (!match) return false;
  const blob = Buffer.from(match[2]!, "base64");
  if (blob.length < 4) return false;
  const length = blob.readUInt32BE(0);
  return blob.subarray(4, 4 + length).toString() === match[1];
}

const diskForm =
  "give the disk's name under /dev/disk/by-id (lsblk -o NAME,SIZE,SERIAL,ID-LINK on the Pi shows it), never /dev/sda, which changes from boot to boot";

const diskIdentity = text(diskForm).refine(
  (value) =>
    /^[A-Za-z0-9][A-Za-z0-9._:+-]{2,254}$/.test(value) && !/^(sd[a-z]+|mmcblk)\d*$/.test(value),
  { error: (issue) => `is ${quoted(issue.input)}: ${diskForm}` },
);

const uuid = matching(
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  "give the file system's UUID as blkid prints it",
);

const byIdentity = diskIdentity.transform((id): DiskSetting => ({ id }));
const byFileSystem = z.strictObject({
  uuid,
  adopt: z.literal(true, { error: "give adopt: true to take the file system over as it is" }),
});

/** A disk by its own name, or one that already holds photos by its file system. */
type DiskSetting = { id: string } | z.infer<typeof byFileSystem>;

// Not a union: its message would hide which of the two was meant and what is wrong with it.
const disk = z.unknown().transform((value, context): DiskSetting => {
  const schema = typeof value === "object" && value !== null ? byFileSystem : byIdentity;
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  for (const { path, message } of result.error.issues) {
    context.issues.push({ code: "custom", path, message, input: value });
  }
  return z.NEVER;
});

const cronField = (low: number, high: number) => (field: string) =>
  field.split(",").every((part) => {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) return false;
    const from = match[1] === undefined ? low : Number(match[1]);
    const to = match[2] === undefined ? from : Number(match[2]);
    return from >= low && to <= high && from <= to && match[3] !== "0";
  });

const cronFields = [
  cronField(0, 59),
  cronField(0, 23),
  cronField(1, 31),
  cronField(1, 12),
  cronField(0, 7),
];

/** Days of the longest February and so on: the 31st of February never comes. */
const longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function comes(fields: string[]): boolean {
  const [, , days, months, weekday] = fields as [string, string, string, string, string];
  if (weekday !== "*") return true;
  const least = Math.min(...days.split(",").map((part) => Number.parseInt(part, 10) || 1));
  return longest.some(
    (length, index) => least <= length && (months.startsWith("*") || inField(months, index + 1)),
  );
}

function inField(field: string, value: number): boolean {
  return field.split(",").some((part) => {
    const [from, to] = part.split("/")[0]!.split("-").map(Number);
    return value >= from! && value <= (to ?? from!);
  });
}

const schedule = text('give a cron time such as "0 1 * * 6" (Saturdays at 01:00)').refine(
  (value) => {
    const fields = value.split(" ");
    return (
      fields.length === 5 &&
      fields.every((field, index) => cronFields[index]!(field)) &&
      comes(fields)
    );
  },
  {
    error: (issue) =>
      `is ${quoted(issue.input)}: give five cron fields in digits, such as "0 1 * * 6" (Saturdays at 01:00)`,
  },
);

const count = (what: string, least: number) =>
  z
    .int({ error: `give a whole number: ${what}` })
    .min(least, { error: `give ${least} or more: ${what}` });

const phone = z
  .strictObject({
    /** Names the phone's service token; part of its identity. */
    name: name("give the phone a name such as iphone"),
    /** Raise it by one to give the phone a new secret. */
    secretVersion: count("the version of the phone's secret", 1).default(1),
    /** Until when the phone's previous secret still works; a literal time in UTC. */
    overlapUntil: timestamp.optional(),
  })
  .superRefine(({ secretVersion, overlapUntil }, context) => {
    if (secretVersion > 1 && overlapUntil === undefined) {
      context.addIssue({
        code: "custom",
        path: ["overlapUntil"],
        message:
          'is missing: a secret that was rotated needs the time at which the old one stops working, quoted: "2026-12-01T00:00:00Z"',
      });
    }
    if (secretVersion === 1 && overlapUntil !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["overlapUntil"],
        message:
          "has no effect on the first secret: raise secretVersion to 2 as well, or remove it",
      });
    }
  });

const person = z
  .strictObject({
    /** The person's identity: their folder under library/ and their token's name. To show another name, set displayName. */
    name: name("give the person a short name such as ken").refine((value) => value !== "admin", {
      error: 'is "admin", which is the kit\'s own account in Immich: give the person another name',
    }),
    /** What Immich shows. @default the name */
    displayName: text("give the name that Immich shows").optional(),
    /** For the sign-in code and for Immich's account. */
    email,
    /** One service token each. @default none */
    phones: z.array(phone, { error: "give a list: phones: [{name: iphone}]" }).default([]),
  })
  .superRefine(({ phones }, context) => {
    repeated(phones.map((each) => each.name)).forEach(([index, value]) => {
      context.addIssue({
        code: "custom",
        path: ["phones", index, "name"],
        message: `is "${value}" a second time: each phone of a person needs its own name`,
      });
    });
  });

function repeated(values: string[]): [index: number, value: string][] {
  return values
    .map((value, index): [number, string] => [index, value])
    .filter(([index, value]) => values.indexOf(value) !== index);
}

const uuidOf = (what: string) =>
  matching(
    /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    `give the id of ${what}, such as f70ff985-a4ef-4643-bbbc-4a0ed4fc8415`,
  ).optional();

const idOf = (what: string) =>
  matching(/^[0-9a-f]{32}$/, `give the id of ${what}, 32 hexadecimal digits`).optional();

/** What is at Cloudflare already, made by hand or by a stack whose state was lost, by its ids there: for `ouchi adopt`. */
const adopt = z.strictObject({
  tunnel: uuidOf("the tunnel"),
  record: idOf("the DNS record"),
  application: uuidOf("the Access application"),
  policies: z
    .strictObject({
      family: uuidOf("the reusable policy with the e-mail addresses"),
      phones: uuidOf("the reusable policy with the service tokens"),
    })
    .prefault({}),
  oneTimePin: uuidOf("the one-time PIN among the login methods"),
  google: uuidOf("Google among the login methods"),
  alerts: z
    .strictObject({
      tokenExpiry: idOf("the notification about expiring tokens"),
      tunnelHealth: idOf("the notification about the tunnel's health"),
    })
    .prefault({}),
  /** Service tokens, by "<person>-<phone>". Their secrets stay what they are, and unknown here. */
  phones: z.record(z.string(), uuidOf("the phone's service token").unwrap()).default({}),
});

export const settingsSchema = z
  .strictObject({
    /** The zone at Cloudflare, bought and opened by hand. */
    domain: matching(
      new RegExp(`^(?:${label}\\.)+[a-z][a-z0-9-]*[a-z0-9]$`),
      "give the domain that you opened at Cloudflare, such as yamada.jp",
    ),
    /** The photos' name in the zone: photos → photos.<domain>. @default photos */
    hostname: matching(new RegExp(`^${label}$`), "give one label, such as photos").default(
      "photos",
    ),
    /** Cloudflare's account id. */
    accountId: matching(
      /^[0-9a-f]{32}$/,
      "give the account id, 32 hexadecimal digits, from the dashboard's address or overview page",
    ),
    /** For the Pi, cron and the containers. */
    timeZone,
    /** Where Cloudflare sends its alerts. @default the first person's address */
    alertEmail: email.optional(),
    pi: z.strictObject(
      {
        /** Address or name of the Pi, as the laptop reaches it. */
        host: matching(
          /^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$/,
          "give the Pi's address, such as 192.168.11.14",
        ).refine((value) => !/\.local\.?$/i.test(value), {
          error: (issue) =>
            `is "${issue.input}", a name that Pulumi does not find on every laptop: give the Pi's address ("ping ${issue.input}" shows it), and have the router keep it`,
        }),
        /** TCP port of its SSH server. @default 22 */
        port: count("the TCP port of the Pi's SSH server", 1).max(65535).default(22),
        /** @default pi */
        user: matching(/^[a-z_][a-z0-9_-]{0,31}$/, "give the Pi's user, such as pi").default("pi"),
        hostKey,
        /** The private key for SSH; without it the SSH agent is asked. */
        privateKeyFile: text(
          "give the file of the private key, such as ~/.ssh/id_ed25519",
        ).optional(),
        /** Serve the photos at http://<pi>:2283 at home too, without the 100 MB limit. @default true */
        lan: z.boolean({ error: "give true or false" }).default(true),
      },
      { error: "is missing: give {host: …, hostKey: …}" },
    ),
    disks: z
      .strictObject(
        {
          /** Holds the photos, at /mnt/hdd1. */
          main: disk,
          /** Holds the backups, at /mnt/hdd2. */
          backup: disk,
          /** Identities of the disks that may be formatted while they are blank. @default none */
          allowFormat: z
            .array(diskIdentity, { error: "give a list of disk identities" })
            .default([]),
          /**
           * USB bridges that reset or lose writes by UAS, as "lsusb" shows them: they are used by the older, slower
           * protocol. The Pi restarts once. @default none
           */
          withoutUas: z
            .array(
              matching(
                /^[0-9a-f]{4}:[0-9a-f]{4}$/,
                "give the bridge's ID as lsusb shows it, such as 152d:0578",
              ),
              { error: "give a list of bridges, such as [152d:0578]" },
            )
            .default([]),
        },
        { error: "is missing: give {main: …, backup: …}" },
      )
      .superRefine(({ main, backup, allowFormat }, context) => {
        if (JSON.stringify(main) === JSON.stringify(backup)) {
          context.addIssue({
            code: "custom",
            path: ["backup"],
            message: "is the same disk as disks.main: a backup needs a disk of its own",
          });
        }
        const identities = [main, backup].flatMap((each) => ("id" in each ? [each.id] : []));
        allowFormat.forEach((identity, index) => {
          if (!identities.includes(identity)) {
            context.addIssue({
              code: "custom",
              path: ["allowFormat", index],
              message: `is "${identity}", which is neither disks.main nor disks.backup: name one of them, or remove it`,
            });
          }
        });
      }),
    /** Everyone who sees photos; the first is the owner. */
    family: z
      .array(person, { error: "is missing: list the people, [{name: ken, email: ken@yamada.jp}]" })
      .min(1, { error: "is empty: list the people, [{name: ken, email: ken@yamada.jp}]" })
      .superRefine((family, context) => {
        for (const key of ["name", "email"] as const) {
          repeated(family.map((each) => each[key])).forEach(([index, value]) => {
            context.addIssue({
              code: "custom",
              path: [index, key],
              message: `is "${value}" a second time: each person needs their own`,
            });
          });
        }
        // Each phone's resource is named for person and phone, with a hyphen that both may hold.
        const tokens = family.flatMap((each, index) =>
          each.phones.map((phone) => ({ index, name: `${each.name}-${phone.name}` })),
        );
        repeated(tokens.map((token) => token.name)).forEach(([position, value]) => {
          const { index } = tokens[position]!;
          if (tokens.findIndex((token) => token.name === value && token.index !== index) < 0)
            return;
          context.addIssue({
            code: "custom",
            path: [index, "phones"],
            message: `makes the token "${value}" a second time: give that phone another name`,
          });
        });
        const phones = family.reduce((sum, each) => sum + each.phones.length, 0);
        if (phones > 50) {
          context.addIssue({
            code: "custom",
            message: `lists ${phones} phones: Cloudflare gives an account 50 service tokens`,
          });
        }
      }),
    backup: z
      .strictObject({
        /** When cron starts the backup. @default "0 1 * * 6" */
        schedule: schedule.default("0 1 * * 6"),
        /** How many archives stay. */
        keep: z
          .strictObject({
            weekly: count("archives to keep, one a week", 1).default(8),
            monthly: count("archives to keep, one a month", 0).default(12),
            yearly: count("archives to keep, one a year", 0).default(5),
          })
          .prefault({}),
      })
      .prefault({}),
    /**
     * Where the Pi tells that it has a bad day: an address of Apprise's, such as "ntfys://a-topic-of-yours"; a secret of the
     * stack. @default its journal, and who signs in on it
     */
    alarm: alarm.optional(),
    /**
     * What is told of each backup, and raises an alarm when it hears of none for eight days: a check of Healthchecks' kind outside
     * the house; a secret of the stack. @default nobody notices a Pi that is dead
     */
    ping: ping.optional(),
    /**
     * The passphrase of archives that are older than the state, from the recovery sheet: after a lost state, or in another house. A secret.
     * @default one that the state makes
     */
    borgPassphrase: borgPassphrase.optional(),
    /** Where faces and contents are recognised; on the Pi it wants about 2 GB of memory. @default local */
    machineLearning: machineLearning.default("local"),
    /** How long a sign-in in the browser lasts. @default 730h */
    sessionDuration: hours("give how long a sign-in lasts")
      .refine((value) => Number.parseInt(value, 10) <= longestSession, {
        error: (issue) =>
          `is "${issue.input}": Cloudflare's longest is "${longestSession}h", a month`,
      })
      .default("730h"),
    /** How long a phone's token lasts from when it is made. @default 8760h */
    tokenDuration: hours("give how long a phone's token lasts").default("8760h"),
    /**
     * Whether the whole Cloudflare account is to judge service tokens strictly: no cookie opens the gate beside a phone's headers. Accounts
     * since October 2026 do so anyway. true switches it on, for all of the account's applications, and nothing switches it off.
     * @default it stays as it is
     */
    strictServiceTokens: flag.optional(),
    /**
     * The day on which all phones' tokens are renewed, quoted: another day than before, and the next up lets each of them last
     * `tokenDuration` from then on. Their headers stay. @default they end as they were made
     */
    tokensRenewedOn: renewalDay.optional(),
    /** Client id of the OAuth client with which people sign in by Google, too. @default the mailed code alone */
    googleClientId: text("give the client id of Google's OAuth client").optional(),
    /** The secret that belongs to it; a secret of the stack. */
    googleClientSecret: text("give the client secret of Google's OAuth client").optional(),
    /** Things at Cloudflare that `ouchi adopt` takes over. @default none */
    adopt: adopt.prefault({}),
    /** The version of a database on a disk that is taken over, when Immich may upgrade it. @default it is refused */
    upgradeFrom: matching(
      /^\d+\.\d+\.\d+$/,
      "give the version that the Pi named, such as 2.7.5",
    ).optional(),
    /** The administrator of an Immich that was set up by hand, until the kit has an account of its own there. @default there is none */
    immichAdminEmail: email.optional(),
    /** The password that belongs to it; a secret of the stack. */
    immichAdminPassword: text("give the password of Immich's administrator").optional(),
    /** The lock file of the container images. @default compose/images.lock.json */
    imagesLock: text("give the path of a lock file of images").default("compose/images.lock.json"),
  })
  .superRefine((settings, context) => {
    const { domain, family, adopt } = settings;
    for (const [whose, plain, secret] of [
      ["Google's sign-in", "googleClientId", "googleClientSecret"],
      ["Immich's administrator", "immichAdminEmail", "immichAdminPassword"],
    ] as const) {
      if ((settings[plain] === undefined) === (settings[secret] === undefined)) continue;
      const [missing, given] = settings[plain] === undefined ? [plain, secret] : [secret, plain];
      context.addIssue({
        code: "custom",
        path: [missing],
        message: `is missing, and ${given} is given: ${whose} needs both (pulumi config set --secret ouchi-photos:${secret}), or neither`,
      });
    }
    const phones = family.flatMap(({ name, phones }) =>
      phones.map((each) => `${name}-${each.name}`),
    );
    for (const key of Object.keys(adopt.phones)) {
      if (phones.includes(key)) continue;
      context.addIssue({
        code: "custom",
        path: ["adopt", "phones", key],
        message: "is no phone of the family: name one as <person>-<phone>, or remove it",
      });
    }
    family.forEach((each, index) => {
      if (each.email === `admin@${domain}`) {
        context.addIssue({
          code: "custom",
          path: ["family", index, "email"],
          message: `is "${each.email}", which is the kit's own account in Immich and holds no photos: give another address`,
        });
      }
    });
  });

export type Settings = z.infer<typeof settingsSchema>;
export type Adopt = Settings["adopt"];
export type Person = Settings["family"][number];
export type Phone = Person["phones"][number];
