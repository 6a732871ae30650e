import { z } from "zod";
import { diskForm, diskPattern, diskProblem, isFileSystemId } from "./disk.ts";
import { checked, fields, list, lowerCase, quoted } from "./text.ts";

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const identity = checked(diskForm, diskProblem, diskPattern);
const onlyBlank =
  "only a blank disk is formatted, and is named as in disks.main or disks.backup, by its name under /dev/disk/by-id";
/** What is taken over by its file system is not blank. */
const formattable = z
  .unknown()
  .superRefine((value, context) => {
    const isFileSystem = typeof value === "string" && isFileSystemId(value);
    if (isFileSystem || (typeof value === "object" && value !== null)) {
      const what = isFileSystem ? `is ${quoted(value)}, a file system's UUID` : "is no disk's name";
      context.addIssue({ code: "custom", message: `${what}: ${onlyBlank}`, continue: false });
    }
  })
  .pipe(identity)
  .meta({ type: "string", pattern: diskPattern.source });
const byIdentity = identity.transform((id): DiskSetting => ({ id }));
const byFileSystem = z.strictObject({
  uuid: lowerCase(uuidPattern, "give the file system's UUID as blkid prints it"),
  adopt: z.literal(true, {
    error: ({ input }) =>
      `${input === undefined ? "is missing" : `is ${quoted(input)}`}: give adopt: true to take the file system over as it is`,
  }),
});

/** A disk by its own name, or one that already holds photos by its file system. */
type DiskSetting = { id: string } | z.infer<typeof byFileSystem>;

// Not a union: its message would hide which of the two was meant and what is wrong with it.
const disk = z
  .unknown()
  .transform((value, context): DiskSetting => {
    const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
    const schema = isMap ? byFileSystem : byIdentity;
    const result = schema.safeParse(value, { reportInput: true });
    if (result.success) return result.data;
    for (const issue of result.error.issues) {
      const { path, message } = issue;
      if (issue.code !== "unrecognized_keys") {
        context.issues.push({ code: "custom", path, message, input: value });
        continue;
      }
      for (const key of issue.keys) {
        const meant = Object.keys(byFileSystem.shape).find((each) => each === key.toLowerCase());
        context.issues.push({
          code: "custom",
          path: [...path, key],
          message: meant
            ? `is not a setting: write ${meant}`
            : "is no part of a disk: give the disk's name alone, or {uuid: …, adopt: true}",
          input: value,
        });
      }
    }
    return z.NEVER;
  })
  .meta({
    anyOf: [
      { type: "string", pattern: diskPattern.source },
      {
        type: "object",
        properties: {
          uuid: {
            type: "string",
            pattern: uuidPattern.source,
            description: "Of a file system that holds photos already, as blkid prints it.",
          },
          adopt: { const: true, description: "To take the file system over as it is." },
        },
        required: ["uuid", "adopt"],
        additionalProperties: false,
      },
    ],
  });

export const disks = fields(
  {
    main: disk.describe(
      "Holds the photos, at /mnt/hdd1: its name under /dev/disk/by-id, or {uuid: …, adopt: true}.",
    ),
    backup: disk.describe(
      "Holds the backups, at /mnt/hdd2: its name under /dev/disk/by-id, or {uuid: …, adopt: true}.",
    ),
    allowFormat: list(formattable, "give a list of disk identities")
      .default([])
      .describe("Identities of the disks that may be formatted while they are blank."),
    withoutUas: list(
      lowerCase(
        /^[0-9a-f]{4}:[0-9a-f]{4}$/,
        "give the bridge's ID as lsusb shows it, such as 152d:0578",
      ),
      "give a list of bridges, such as [152d:0578]",
    )
      .default([])
      .describe(
        'USB bridges that reset or lose writes by UAS, as "lsusb" shows them: they are used by the older, slower protocol. The Pi restarts once.',
      ),
  },
  "give {main: …, backup: …}",
).superRefine(({ main, backup, allowFormat }, context) => {
  if (JSON.stringify(main) === JSON.stringify(backup)) {
    context.addIssue({
      code: "custom",
      path: ["backup"],
      message: "is the same disk as disks.main: a backup needs a disk of its own",
    });
  }
  const identities = [main, backup].flatMap((each) => ("id" in each ? [each.id] : []));
  allowFormat.forEach((each, index) => {
    // Another form was said already.
    if (typeof each !== "string" || diskProblem(each) !== undefined) return;
    if (!identities.includes(each)) {
      context.addIssue({
        code: "custom",
        path: ["allowFormat", index],
        message: `is "${each}", which is neither disks.main nor disks.backup: name one of them, or remove it`,
      });
    }
  });
});
