import { displayNameProblem, longestDisplayName } from "./display-name.ts";
import { emailPattern, emailProblem } from "./email.ts";
import { momentPattern, overlapProblem } from "./moment.ts";
import { checked, count, fields, list, name, quoted, repeated } from "./text.ts";

/** How many service tokens Cloudflare gives an account. */
const mostPhones = 50;

const phone = (now: Date) =>
  fields(
    {
      name: name("give the phone a name such as iphone").describe(
        "Names the phone's service token; part of its identity.",
      ),
      secretVersion: count("the version of the phone's secret", 1)
        .default(1)
        .describe("Raise it by one to give the phone a new secret."),
      overlapUntil: checked(
        'give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
        (value) => overlapProblem(value, now),
        momentPattern,
      )
        .optional()
        .describe(
          'Until when the phone\'s previous secret still works: a time in UTC, in quotes, such as "2026-12-01T00:00:00Z".',
        ),
    },
    "give each phone its name in braces: phones: [{name: iphone}]",
  ).superRefine(({ secretVersion, overlapUntil }, context) => {
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

const person = (now: Date) =>
  fields(
    {
      name: name(
        "give the person a short name such as ken",
        (value) => `; ${quoted(value)} is for displayName`,
      )
        .refine((value) => value !== "admin", {
          error:
            'is "admin", which is the kit\'s own account in Immich: give the person another name',
        })
        .describe(
          "The person's identity: their folder under library/ and their token's name. To show another name, set displayName.",
        ),
      displayName: checked("give the name that Immich shows", displayNameProblem, /^\S(?:.*\S)?$/)
        .meta({ maxLength: longestDisplayName })
        .optional()
        .describe("What Immich shows. Without it: the name."),
      email: checked("give an e-mail address such as ken@yamada.jp", emailProblem, emailPattern)
        .transform((value) => value.toLowerCase())
        .describe("For the sign-in code and for Immich's account."),
      phones: list(
        phone(now),
        "give a list: phones: [{name: iphone}]",
        "give a list, phones: [{name: iphone}], or leave phones out",
      )
        .default([])
        .describe("One service token each."),
    },
    "give each person in braces, {name: ken, email: ken@yamada.jp}",
  ).superRefine(({ phones }, context) => {
    for (const [index, value] of repeated(phones.map((each) => each.name))) {
      context.addIssue({
        code: "custom",
        path: ["phones", index, "name"],
        message: `is "${value}" a second time: each phone of a person needs its own name`,
      });
    }
  });

/** Everyone who sees photos. `now` bounds how long a phone's old secret may still work. */
export const family = (now: Date) =>
  list(person(now), "list the people, [{name: ken, email: ken@yamada.jp}]")
    .min(1, { error: "is empty: list the people, [{name: ken, email: ken@yamada.jp}]" })
    .superRefine((people, context) => {
      for (const key of ["name", "email"] as const) {
        for (const [index, value] of repeated(people.map((each) => each[key]))) {
          context.addIssue({
            code: "custom",
            path: [index, key],
            message: `is "${value}" a second time: each person needs their own`,
          });
        }
      }
      // Each phone's resource is named for person and phone, with a hyphen that both may hold.
      const tokens = people.flatMap((each, index) =>
        each.phones.map((one) => ({ index, name: `${each.name}-${one.name}` })),
      );
      for (const [position, value] of repeated(tokens.map((token) => token.name))) {
        const { index } = tokens[position]!;
        if (tokens.findIndex((token) => token.name === value && token.index !== index) < 0)
          continue;
        context.addIssue({
          code: "custom",
          path: [index, "phones"],
          message: `makes the token "${value}" a second time: give that phone another name`,
        });
      }
      if (tokens.length > mostPhones) {
        context.addIssue({
          code: "custom",
          message: `lists ${tokens.length} phones: Cloudflare gives an account ${mostPhones} service tokens`,
        });
      }
    });
