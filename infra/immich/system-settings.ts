import type { OwnedSettings } from "../../immich/resources.ts";
import type { Settings } from "../settings/schema.ts";

/** The keys of Immich's system settings that the kit owns; the rest stays the owner's, in the web page. */
export function systemSettings(
  url: string,
  machineLearning: Settings["machineLearning"],
): OwnedSettings {
  return {
    storageTemplate: {
      enabled: true,
      template: "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    },
    server: { externalDomain: url },
    machineLearning: recognition(machineLearning),
  };
}

function recognition(machineLearning: Settings["machineLearning"]): OwnedSettings {
  if (machineLearning === "off") return { enabled: false };
  const url =
    machineLearning === "local" ? "http://immich-machine-learning:3003" : machineLearning.remote;
  return { enabled: true, urls: [url] };
}
