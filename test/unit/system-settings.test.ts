import { expect, test } from "vitest";
import { systemSettings } from "../../infra/immich/system-settings.ts";

const url = "https://photos.yamada.jp";

test("Immich asks for faces where the stack file says, and nowhere when it is off", () => {
  const recognition = (where: Parameters<typeof systemSettings>[1]) =>
    systemSettings(url, where).machineLearning;
  expect(recognition("off")).toEqual({ enabled: false });
  expect(recognition("local")).toEqual({
    enabled: true,
    urls: ["http://immich-machine-learning:3003"],
  });
  expect(recognition({ remote: "http://192.168.11.20:3003" })).toEqual({
    enabled: true,
    urls: ["http://192.168.11.20:3003"],
  });
});
