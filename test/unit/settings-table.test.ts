import { describe, expect, test } from "vitest";
import { isSecretSetting } from "../../infra/settings/secrets.ts";
import { parseSettings } from "../../infra/settings/settings.ts";
import { home, now, refused, taken } from "./typed-settings.ts";

function problems(changed: Record<string, unknown>): string[] {
  const config = Object.fromEntries(
    Object.entries({ ...home, ...changed }).map(([name, value]) => [
      name.includes(":") ? name : `ouchi-photos:${name}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
  try {
    parseSettings(config, "prod", isSecretSetting, now);
  } catch (error) {
    return (error as Error).message
      .split("\n")
      .slice(1)
      .map((line) => line.replace(/^ {2}- /, ""));
  }
  return [];
}

describe("A stack file as it is typed", () => {
  test.each(refused)(
    "is refused in one sentence, with its place and the cure: %j",
    (changed, sentence) => {
      expect(problems(changed)).toEqual([`${sentence}.`]);
    },
  );

  test.each(taken)("is taken, however unusual: %j", (changed) => {
    expect(problems(changed)).toEqual([]);
  });

  test("gets all of its sentences at once", () => {
    const changed = {
      family: [{ name: "ken", email: "健@yamada.jp" }],
      pi: { ...home.pi, host: "999.1.1.1" },
      disks: { ...home.disks, main: "sda1" },
      backup: { schedule: "* * * * *" },
      ...{ timeZone: "US/Pacific", tokenDuration: "1h", "ouchi:domain": "yamada.jp" },
    };
    expect(problems(changed).map((sentence) => sentence.split(" ")[0])).toEqual([
      "ouchi:domain",
      "timeZone",
      "pi.host",
      "disks.main",
      "family[0].email",
      "backup.schedule",
      "tokenDuration",
    ]);
  });
});
