import { secretSettings } from "./secrets.ts";

export const namespace = "ouchi-photos";

/** Of Pulumi itself and the providers of this program, whose settings are theirs to judge. */
const others = ["pulumi", "cloudflare", "command", "random", "immich"];

/** What the Cloudflare provider and the kit read. */
const ofCloudflare = ["apiToken", "baseUrl", "userAgentOperatorSuffix"];

/**
 * A sentence for a key of the configuration that nothing here would read; undefined for all others. The settings' own names are
 * judged with their values.
 */
export function keyProblem(
  key: string,
  settings: string[],
  isSecret: (key: string) => boolean,
): string | undefined {
  const [space = "", name = ""] = key.split(/:(.*)/s);
  const misplaced = misplacedSecret(key, settings);
  if (misplaced) {
    const open = isSecret(key)
      ? ""
      : ". It stood in plain text: give it a new value where it is from";
    return `is in the wrong place, where nothing reads it: remove it, and type "pulumi config set --secret ${misplaced}", and the value when it asks${open}`;
  }
  if (space === namespace) return undefined;
  if (space === "cloudflare") return cloudflareProblem(name);
  if (others.includes(space)) return undefined;
  const top = name.split(/[.[]/)[0]!;
  const meant =
    settings.find((each) => each === top) ??
    settings.find((each) => each.toLowerCase() === top.toLowerCase());
  return meant
    ? `is in the namespace "${space}", which nothing here reads: write ${namespace}:${meant}`
    : `is in the namespace "${space}", which nothing here reads: remove it, or see Pulumi.prod.yaml for how the settings are spelt`;
}

/** The key of the secret that was meant by a key that is none: the namespace was forgotten, or is another's, or letters differ. */
export function misplacedSecret(key: string, settings: string[]): string | undefined {
  const [space = "", name = ""] = key.split(/:(.*)/s);
  if (space === "cloudflare" || (others.includes(space) && space !== "pulumi")) return undefined;
  if (space === namespace && settings.includes(name)) return undefined;
  const word = name.toLowerCase().replaceAll(/[^a-z]/g, "");
  if (["apitoken", "cloudflareapitoken", "cloudflaretoken"].includes(word)) {
    return "cloudflare:apiToken";
  }
  const secret = Object.keys(secretSettings).find((each) => each.toLowerCase() === word);
  return secret && `${namespace}:${secret}`;
}

function cloudflareProblem(name: string): string | undefined {
  if (ofCloudflare.includes(name)) return undefined;
  const tokenLine = "pulumi config set --secret cloudflare:apiToken";
  if (["apiKey", "email", "apiUserServiceKey"].includes(name)) {
    return `is another way to sign in to Cloudflare than the kit's, and may do all that you may: remove it, and give an API token with the README's permissions by: ${tokenLine}`;
  }
  const meant = ofCloudflare.find(
    (each) => each.toLowerCase() === name.toLowerCase().replaceAll(/[^a-z]/g, ""),
  );
  if (meant) return `is no setting of Cloudflare's: write cloudflare:${meant}`;
  const setting = Object.keys(secretSettings).includes(name)
    ? `; ${namespace}:${name} is one of the kit's`
    : "";
  return `is no setting that the kit knows: remove it${setting}. The API token is set by: ${tokenLine}`;
}
