import { z } from "zod";
import { bare, checked, quoted } from "./text.ts";

const remotePattern = /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\/?$/;

/** What is wrong with the address of a machine that recognises in the Pi's place, and the cure. */
function remoteProblem(value: string): string | undefined {
  const shown = quoted(value);
  if (!remotePattern.test(value) || !URL.canParse(value)) {
    const plain = bare(value);
    const origin =
      /^https?:\/\//i.test(plain) && URL.canParse(plain) ? new URL(plain).origin : undefined;
    return origin !== undefined && remotePattern.test(origin) && remoteProblem(origin) === undefined
      ? `is ${shown}: give the machine's address alone, "${origin}"`
      : `is ${shown}: give a web address, such as "http://192.168.11.20:3003"`;
  }
  const { hostname } = new URL(value);
  return /^(?:localhost|127\..*|0\.0\.0\.0|\[::1?\])\.?$/.test(hostname)
    ? `is ${shown}, which is no other machine: give that one's address, such as "http://192.168.11.20:3003", or local for the Pi itself`
    : undefined;
}

/** `off` is a word in YAML 1.2 and false in 1.1: both mean the same here, and so does its opposite. */
export const machineLearning = z.union(
  [
    z.literal(["local", "off"]),
    z.literal([true, "true"]).transform(() => "local" as const),
    z.literal([false, "false"]).transform(() => "off" as const),
    z.strictObject({
      remote: checked(
        'give its address, such as "http://192.168.11.20:3003"',
        remoteProblem,
        remotePattern,
      ),
    }),
  ],
  {
    error: ({ input }) =>
      `is ${quoted(input)}: give local (on the Pi), off, or another machine's address: {remote: "http://192.168.11.20:3003"}`,
  },
);
