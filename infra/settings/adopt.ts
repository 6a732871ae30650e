import { z } from "zod";
import { fields, matching, notOfTheKind } from "./text.ts";

const uuidOf = (what: string) =>
  matching(
    /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
    `give the id of ${what}, such as f70ff985-a4ef-4643-bbbc-4a0ed4fc8415`,
  )
    .optional()
    .describe(`The id of ${what}.`);

const idOf = (what: string) =>
  matching(/^[0-9a-f]{32}$/, `give the id of ${what}, 32 hexadecimal digits`)
    .optional()
    .describe(`The id of ${what}.`);

const printed = 'give the lines that "cli/ouchi adopt" prints';

/** What is at Cloudflare already, made by hand or by a stack whose state was lost, by its ids there: for `ouchi adopt`. */
export const adopt = fields(
  {
    tunnel: uuidOf("the tunnel"),
    record: idOf("the DNS record"),
    application: uuidOf("the Access application"),
    policies: fields(
      {
        family: uuidOf("the reusable policy with the e-mail addresses"),
        phones: uuidOf("the reusable policy with the service tokens"),
      },
      printed,
    )
      .prefault({})
      .describe("The two reusable policies of Access."),
    google: uuidOf("Google among the login methods"),
    alerts: fields(
      {
        tokenExpiry: idOf("the notification about expiring tokens"),
        tunnelHealth: idOf("the notification about the tunnel's health"),
      },
      printed,
    )
      .prefault({})
      .describe("The two notifications."),
    phones: z
      .record(z.string(), uuidOf("the phone's service token").unwrap(), {
        error: (issue) => notOfTheKind(issue, printed),
      })
      .default({})
      .describe(
        'Service tokens, by "<person>-<phone>". Their secrets stay what they are, and unknown here.',
      ),
  },
  printed,
);
