import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { readPrivateKey, readPublicKey } from "../../infra/pi/ssh-keys.ts";
import { timeZoneProblem } from "../../infra/settings/time-zone.ts";
import { UserError } from "../../infra/settings/user-error.ts";
import { firstBootFiles, withKernelWords } from "../../pi/first-boot/render.ts";
import { hiddenLine } from "../hidden-line.ts";

export interface SdCardOptions {
  publicKey: string;
  hostname: string;
  user: string;
  timeZone: string;
  locale: string;
  /** A network's name: the Pi joins it too, beside the LAN's cable. */
  wifi?: string;
  /** Whose radio rules hold, such as JP. */
  wifiCountry: string;
}

/** What the boot partition of a 64-bit Raspberry Pi OS with cloud-init holds from the start. */
const signs = ["cmdline.txt", "config.txt", "kernel8.img", "user-data"];
const unchanged = "Nothing was changed.";

/** `ouchi sdcard <boot partition>`: writes onto a freshly flashed card what the Pi reads when it first boots. */
export async function sdcard(folder: string, options: SdCardOptions): Promise<void> {
  const missing = signs.filter((name) => !existsSync(join(folder, name)));
  if (missing.length > 0) {
    throw new UserError(
      `"${folder}" is not the boot partition of a card with Raspberry Pi OS Lite (64-bit) of 2025 or later: it holds no ${missing.join(", no ")}. Flash a current image, and name the folder where its "bootfs" is mounted. ${unchanged}`,
    );
  }
  if (!isMountPoint(folder)) {
    throw new UserError(
      `"${folder}" holds what a card's boot partition holds, but nothing is mounted there: it is a copy, and no Pi would read it. Plug the card in, and name the folder where its "bootfs" is mounted. ${unchanged}`,
    );
  }
  refuseUnless(
    /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
    ...["--hostname", options.hostname, "lower-case letters, digits and hyphens, such as ouchi"],
  );
  refuseUnless(/^[a-z_][a-z0-9_-]{0,31}$/, "--user", options.user, "a user's name, such as pi");
  const zone = timeZoneProblem(options.timeZone);
  if (zone) throw new UserError(`--time-zone ${zone}. ${unchanged}`, "usage");
  refuseUnless(
    /^[A-Za-z]{1,3}(?:_[A-Z]{2})?\.UTF-8$/,
    ...["--locale", options.locale, "a locale in UTF-8, such as ja_JP.UTF-8"],
  );
  refuseUnless(/^[A-Z]{2}$/, "--wifi-country", options.wifiCountry, "two letters, such as JP");
  const publicKey = publicKeyLine(options.publicKey);
  const wifi = options.wifi && {
    name: options.wifi,
    password: await wifiPassword(options.wifi),
    country: options.wifiCountry,
  };
  const files = firstBootFiles({ ...options, publicKeys: [publicKey], wifi: wifi || undefined });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const cmdline = join(folder, "cmdline.txt");
  const before = readFileSync(cmdline, "utf8");
  const after = withKernelWords(before);
  if (after !== before) {
    copyFileSync(cmdline, `${cmdline}.bak`);
    writeFileSync(cmdline, after);
  }
  console.log(
    `The card is ready: it lets this key in as ${options.user}, at ${options.hostname}.local. Eject it, and start the Pi with it.\nWhen it answers, give it a fixed address in the router: "ssh ${options.user}@${options.hostname}.local cat /sys/class/net/${wifi ? "wlan0" : "eth0"}/address" prints the MAC address to reserve it for.`,
  );
}

/** The top of a file system, or of a drive that has a letter. */
function isMountPoint(folder: string): boolean {
  const path = resolve(folder);
  const above = dirname(path);
  return path === above || statSync(path).dev !== statSync(above).dev;
}

function refuseUnless(form: RegExp, option: string, value: string, wanted: string): void {
  if (form.test(value)) return;
  throw new UserError(`${option} is "${value}": give ${wanted}. ${unchanged}`, "usage");
}

/**
 * The line for the Pi's authorized_keys: of a key that lets the kit in, since nothing else opens the card.
 *
 * @throws {UserError} when the file holds none, or the private key beside it is another one's.
 */
function publicKeyLine(file: string): string {
  const path = file.replace(/^~(?=\/)/, homedir());
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UserError(
      `The public key in --public-key, "${file}", could not be read: ${(error as Error).message}. Make one by: ssh-keygen -t ed25519. ${unchanged}`,
      "usage",
    );
  }
  const key = readPublicKey(text);
  if (key.wrong !== undefined) {
    throw new UserError(`--public-key, "${file}", ${key.wrong}. ${unchanged}`, "usage");
  }
  const beside = path.replace(/\.pub$/, "");
  const publicHalf = beside === path ? undefined : publicHalfOf(beside);
  if (publicHalf && !publicHalf.equals(key.publicBlob)) {
    throw new UserError(
      `--public-key, "${file}", is not the public half of the private key beside it, "${beside}": write it anew by: ssh-keygen -y -f '${beside}' > '${path}'. ${unchanged}`,
      "usage",
    );
  }
  return key.line;
}

/** Undefined where there is no such file, and of a key with a passphrase, which does its work through the SSH agent. */
function publicHalfOf(file: string): Buffer | undefined {
  try {
    const key = readPrivateKey(readFileSync(file, "utf8"));
    return key.wrong === undefined ? key.publicBlob : undefined;
  } catch {
    return undefined;
  }
}

/** From the keyboard without showing it, or a line on standard input: never an argument, which others can see. */
async function wifiPassword(name: string): Promise<string> {
  const password = await hiddenLine(`The password of the Wi-Fi "${name}": `);
  if (password.length < 8 || password.length > 63) {
    throw new UserError(
      `A Wi-Fi's password has 8 to 63 characters, not ${password.length}: type it when asked, or give it on standard input. ${unchanged}`,
      "usage",
    );
  }
  return password;
}
