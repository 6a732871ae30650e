import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../infra/settings/user-error.ts";
import { firstBootFiles, withKernelWords } from "../../pi/first-boot/render.ts";

export interface FirstBootOptions {
  publicKey: string;
  hostname: string;
  user: string;
  timeZone: string;
}

/** `ouchi first-boot <folder>`: writes onto a freshly flashed card what the Pi reads when it first boots. */
export function firstBoot(folder: string, options: FirstBootOptions): void {
  const cmdline = join(folder, "cmdline.txt");
  if (!existsSync(cmdline)) {
    throw new UserError(
      `"${folder}" is not the boot folder of a Raspberry Pi's card: it holds no cmdline.txt. Name the folder where the card's "bootfs" is mounted. Nothing was changed.`,
    );
  }
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(options.hostname)) {
    throw new UserError(
      `--hostname is "${options.hostname}": give lower-case letters, digits and hyphens, such as ouchi. Nothing was changed.`,
    );
  }
  const publicKey = readPublicKey(options.publicKey);
  const files = firstBootFiles({ ...options, publicKeys: [publicKey] });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const before = readFileSync(cmdline, "utf8");
  const after = withKernelWords(before);
  if (after !== before) {
    copyFileSync(cmdline, `${cmdline}.bak`);
    writeFileSync(cmdline, after);
  }
  console.log(
    `The card is ready: it lets this key in as ${options.user}, at ${options.hostname}.local. Eject it, and start the Pi with it.`,
  );
}

function readPublicKey(file: string): string {
  let text: string;
  try {
    text = readFileSync(file.replace(/^~(?=\/)/, homedir()), "utf8").trim();
  } catch (error) {
    throw new UserError(
      `The public key in --public-key, "${file}", could not be read: ${(error as Error).message}. Make one by: ssh-keygen -t ed25519. Nothing was changed.`,
    );
  }
  if (!/^(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}(?: .*)?$/.test(text)) {
    throw new UserError(
      `--public-key, "${file}", is not one line of an OpenSSH public key: name the file that ends in .pub. Nothing was changed.`,
    );
  }
  return text;
}
