import { z } from "zod";
import { adopt } from "./adopt.ts";
import { disks } from "./disks.ts";
import { domainPattern, domainProblem, hostnamePattern, hostnameProblem } from "./domain.ts";
import { hours } from "./duration.ts";
import { alertEmailProblem, emailPattern, immichAccountProblem } from "./email.ts";
import { family } from "./family.ts";
import { hostKeyForm, hostKeyPattern, hostKeyProblem } from "./host-key.ts";
import { kitsOwnLock, missingImages, readImagesLock } from "./images-lock.ts";
import { machineLearning } from "./machine-learning.ts";
import { dayPattern, renewalDayProblem } from "./moment.ts";
import { piHostPattern, piHostProblem, publicHostProblem } from "./pi-host.ts";
import { schedulePattern, scheduleProblem } from "./schedule.ts";
import { secretSettings } from "./secrets.ts";
import { bare, checked, count, fields, looksSecret, matching, quoted } from "./text.ts";
import { timeZoneNames, timeZoneProblem } from "./time-zone.ts";

/**
 * The whole configuration of a stack: every setting under `ouchi-photos:` in `Pulumi.<stack>.yaml`. Strict at every depth, so that
 * a misspelt setting is an error and never a silent default. The descriptions are what an editor shows, by the JSON Schema that
 * is made of them.
 */
export const settingsSchema = (now: Date) =>
  z
    .strictObject({
      domain: checked(
        "give the domain that you opened at Cloudflare, such as yamada.jp",
        domainProblem,
        domainPattern,
      ).describe("The zone at Cloudflare, bought and opened by hand, such as yamada.jp."),
      hostname: checked("give one label, such as photos", hostnameProblem, hostnamePattern)
        .default("photos")
        .describe("The photos' name in the zone: photos → photos.<domain>."),
      accountId: checked(
        "give the account id, 32 hexadecimal digits, from the dashboard's address or overview page",
        accountIdProblem,
        accountIdPattern,
      ).describe(
        "Cloudflare's account id: 32 digits and letters from the address of its dashboard.",
      ),
      timeZone: checked("give a time zone such as Asia/Tokyo", timeZoneProblem)
        .meta({ enum: timeZoneNames })
        .describe("For the Pi, cron and the containers."),
      alertEmail: checked(
        "give an e-mail address such as ken@yamada.jp",
        alertEmailProblem,
        emailPattern,
      )
        .transform((value) => value.toLowerCase())
        .optional()
        .describe("Where Cloudflare sends its alerts. Without it: to the first person's address."),
      pi: fields(
        {
          host: checked(
            "give the Pi's address, such as 192.168.11.14",
            piHostProblem,
            piHostPattern,
          ).describe("Address or name of the Pi, as the laptop reaches it."),
          port: count("the TCP port of the Pi's SSH server", 1, 65535)
            .default(22)
            .describe("TCP port of its SSH server."),
          user: matching(/^[a-z_][a-z0-9_-]{0,31}$/, "give the Pi's user, such as pi")
            .default("pi")
            .describe("The user as whom the kit logs in."),
          hostKey: checked(hostKeyForm, hostKeyProblem, hostKeyPattern).describe(
            'The Pi\'s host key, as "ssh-keyscan -t ed25519 <host>" prints it, without the host: ssh-ed25519 AAAA…',
          ),
          privateKeyFile: checked(
            "give the file of the private key, such as ~/.ssh/id_ed25519",
            privateKeyFileProblem,
            /^(?!.*\.pub$).*\S.*$/,
          )
            .optional()
            .describe("The private key for SSH; without it the SSH agent is asked."),
          lan: z
            .boolean({ error: ({ input }) => `is ${quoted(input)}: give true or false` })
            .default(true)
            .describe(
              "Serve the photos at http://<pi>:2283 at home too, without the 100 MB limit.",
            ),
        },
        "give {host: …, hostKey: …}",
      ).describe("The Raspberry Pi, and how it is reached."),
      disks: disks.describe("The Pi's two disks, by names that never change."),
      family: family(now).describe("Everyone who sees photos; the first is the owner."),
      backup: fields(
        {
          schedule: checked(
            'give a cron time such as "0 1 * * 6" (Saturdays at 01:00)',
            scheduleProblem,
            schedulePattern,
          )
            .default("0 1 * * 6")
            .describe(
              "When cron starts the backup, in the Pi's time zone: minute, hour, day, month, weekday; once a day at most.",
            ),
          keep: fields(
            {
              weekly: count("archives to keep, one a week", 1)
                .default(8)
                .describe("Archives to keep, one a week."),
              monthly: count("archives to keep, one a month", 0)
                .default(12)
                .describe("Archives to keep, one a month."),
              yearly: count("archives to keep, one a year", 0)
                .default(5)
                .describe("Archives to keep, one a year."),
            },
            "give {weekly: 8, monthly: 12, yearly: 5}",
          )
            .prefault({})
            .describe("How many archives stay."),
        },
        'give {schedule: "0 1 * * 6"}',
      )
        .prefault({})
        .describe("When the backup runs, and what of it stays."),
      ...secretSettings,
      machineLearning: machineLearning
        .default("local")
        .describe(
          "Where faces and contents are recognised: local (on the Pi, where it wants about 2 GB of memory), off, or another machine.",
        ),
      sessionDuration: hours(
        "give how long a sign-in lasts",
        "730h",
        (length) => (length > 730 ? `Cloudflare's longest is "730h", a month` : undefined),
        /^(?:[1-9]\d?|[1-6]\d\d|7[0-2]\d|730)h$/,
      )
        .default("730h")
        .describe("How long a sign-in in the browser lasts, in hours."),
      tokenDuration: hours(
        "give how long a phone's token lasts",
        "8760h",
        (length) =>
          length < 720
            ? `a phone whose token ends is locked out until somebody lengthens it; give a month or more, such as "8760h", a year`
            : undefined,
        /^(?:7[2-9]\d|[89]\d\d|[1-9]\d{3,4})h$/,
      )
        .default("8760h")
        .describe("How long a phone's token lasts from when it is made, in hours."),
      strictServiceTokens: flag
        .optional()
        .describe(
          "Whether the whole Cloudflare account is to judge service tokens strictly: no cookie opens the gate beside a phone's headers. Accounts since October 2026 do so anyway. true switches it on, for all of the account's applications, and nothing switches it off. Without it: it stays as it is.",
        ),
      tokensRenewedOn: checked(
        'give a day, quoted: "2026-10-01"',
        (value) => renewalDayProblem(value, now),
        dayPattern,
      )
        .optional()
        .describe(
          'The day on which all phones\' tokens are renewed, in quotes, such as "2027-10-01": another day than before, and the next up lets each of them last tokenDuration from then on. Their headers stay. Without it: they end as they were made.',
        ),
      googleClientId: matching(
        /^\d+(?:-[a-z0-9]+)?\.apps\.googleusercontent\.com$/,
        "give the client id of Google's OAuth client, such as 1234567890-abc.apps.googleusercontent.com",
      )
        .optional()
        .describe(
          "Client id of the OAuth client with which people sign in by Google, too. Without it: by the mailed code alone.",
        ),
      adopt: adopt
        .prefault({})
        .describe('Things at Cloudflare that "cli/ouchi adopt" takes over, by their ids there.'),
      upgradeFrom: matching(/^\d+\.\d+\.\d+$/, "give the version that the Pi named, such as 2.7.5")
        .optional()
        .describe(
          "The version of a database on a disk that is taken over, when Immich may upgrade it. Without it: such a database is refused.",
        ),
      immichAdminEmail: checked(
        "give the address with which the administrator signs in to Immich",
        (value) => immichAccountProblem(value, z.regexes.html5Email),
        z.regexes.html5Email,
      )
        .transform((value) => value.toLowerCase())
        .optional()
        .describe(
          "The administrator of an Immich that was set up by hand, until the kit has an account of its own there.",
        ),
      imagesLock: checked("give the path of a lock file of images", (value) => {
        if (value === "") return 'is "": give the path of a lock file of images';
        if (/^[~$]/.test(value)) {
          return `is ${quoted(value)}, of which only a shell knows where it leads: give the whole path, or one from the kit's folder`;
        }
        const read = readImagesLock(value);
        return "problem" in read ? imagesLockProblem(value, read.problem) : undefined;
      })
        .default(kitsOwnLock)
        .describe(
          "The lock file of the container images; a path that is relative begins at the kit's folder.",
        ),
    })
    .superRefine((settings, context) => {
      const { domain, pi, family, adopt, imagesLock, machineLearning } = settings;
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
      const host = pi.host.toLowerCase();
      if (host === domain || host === `${settings.hostname}.${domain}`) {
        context.addIssue({
          code: "custom",
          path: ["pi", "host"],
          message: publicHostProblem(pi.host),
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
      const read = readImagesLock(imagesLock);
      const missing = "lock" in read && missingImages(read.lock, machineLearning);
      if (missing) {
        context.addIssue({
          code: "custom",
          path: ["imagesLock"],
          message: imagesLockProblem(imagesLock, missing),
        });
      }
    });

/** Pulumi hands a setting at the top over as text. */
const flag = z.union(
  [
    z.literal([true, "true"]).transform(() => true),
    z.literal([false, "false"]).transform(() => false),
  ],
  { error: (issue) => `is ${quoted(issue.input)}: give true or false` },
);

const accountIdPattern = /^[0-9a-f]{32}$/;

function accountIdProblem(value: string): string | undefined {
  if (accountIdPattern.test(value)) return undefined;
  const cure =
    "give the account id, 32 hexadecimal digits, from the dashboard's address or overview page";
  const found = new Set(
    bare(value)
      .toLowerCase()
      .match(/(?<![\w-])[0-9a-f]{32}(?![\w-])/g),
  );
  // Of a header, too, the token may have that form.
  if (found.size === 1 && !looksSecret(value)) {
    return `is ${quoted(value)}: give ${[...found].join("")}`;
  }
  // An API token that was pasted at the wrong place is not shown.
  if (value.length > 36) return `has ${value.length} characters: ${cure}`;
  if (/^\d+(?:\.\d+)?e\+?\d+$/i.test(value)) {
    return `was taken for a number, "${value}": put it in quotes`;
  }
  return `is ${quoted(value)}: ${cure}`;
}

function privateKeyFileProblem(value: string): string | undefined {
  const cure = "give the file of the private key, such as ~/.ssh/id_ed25519";
  if (/PRIVATE KEY/.test(value)) return `is a private key itself: ${cure}`;
  const plain = bare(value).replace(/^(?:\$HOME|\$\{HOME\}|[~〜])\//, "~/");
  if (/^(?:~\/|\/|\.{1,2}\/)/.test(plain) && plain !== value) {
    return privateKeyFileProblem(plain) ?? `is ${quoted(value)}: give "${plain}"`;
  }
  if (process.platform !== "win32" && /^[A-Za-z]:[\\/]|\\/.test(value)) {
    return `is ${quoted(value)}, a path of Windows', which is not found from here: ${cure}`;
  }
  if (/^[~$]/.test(value) && !value.startsWith("~/")) {
    return `is ${quoted(value)}, of which only a shell knows where it leads: ${cure}, or the whole path`;
  }
  if (value.trim() === "" || /\p{Cc}/u.test(value)) return `is ${quoted(value)}: ${cure}`;
  if (/\.pub$/.test(value)) {
    return `is ${quoted(value)}, the public key: give the private one, "${value.slice(0, -".pub".length)}"`;
  }
  return undefined;
}

function imagesLockProblem(file: string, problem: string): string {
  return `is ${quoted(file)}, and cannot be used: ${problem}. Mend it, or remove the setting to use the kit's own`;
}

export type Settings = z.infer<ReturnType<typeof settingsSchema>>;
export type Adopt = Settings["adopt"];
export type Person = Settings["family"][number];
export type Phone = Person["phones"][number];
