import { readFileSync } from "node:fs";
import { parseDocument, stringify } from "yaml";

export interface FirstBootArgs {
  /** The user that the kit logs in as. */
  user: string;
  /** OpenSSH public keys, a line each. */
  publicKeys: string[];
  hostname: string;
  /** A name of the tz database. */
  timeZone: string;
  /** Such as C.UTF-8. */
  locale: string;
  /** Joined beside the cable, when given. */
  wifi?: { name: string; password: string; country: string };
}

/** What the SD card's boot folder gets before the first boot, by file name. */
export interface FirstBootFiles {
  "user-data": string;
  "meta-data": string;
  /** Without Wi-Fi the card's own stays: the cable, by DHCP. */
  "network-config"?: string;
}

/**
 * Words for the kernel's command line. Without the first two the firmware switches memory limits off, and Docker
 * ignores every one.
 *
 * @param withoutUas USB bridges that lose writes by UAS, as vendor:product.
 */
export function kernelWords(withoutUas: string[] = []): string[] {
  const words = ["cgroup_enable=memory", "cgroup_memory=1"];
  if (withoutUas.length === 0) return words;
  return [...words, `usb-storage.quirks=${withoutUas.map((each) => `${each}:u`).join(",")}`];
}

export function firstBootFiles(args: FirstBootArgs): FirstBootFiles {
  const template = readFileSync(new URL("./user-data", import.meta.url), "utf8");
  const document = parseDocument(template);
  document.set("hostname", args.hostname);
  document.set("timezone", args.timeZone);
  document.set("locale", args.locale);
  document.setIn(["users", 0, "name"], args.user);
  document.setIn(["users", 0, "ssh_authorized_keys"], args.publicKeys);
  return {
    "user-data": document.toString({ lineWidth: 0 }),
    // A new id makes cloud-init take the card for a new machine: the same content keeps it the same.
    "meta-data": `instance-id: ouchi-${args.hostname}\n`,
    ...(args.wifi && { "network-config": networkConfig(args.wifi) }),
  };
}

/** Netplan's, as cloud-init takes it. */
function networkConfig({ name, password, country }: NonNullable<FirstBootArgs["wifi"]>): string {
  const byDhcp = { dhcp4: true, optional: true };
  return stringify(
    {
      network: {
        version: 2,
        ethernets: { eth0: byDhcp },
        wifis: {
          wlan0: {
            ...byDhcp,
            "regulatory-domain": country,
            "access-points": { [name]: { password } },
          },
        },
      },
    },
    { aliasDuplicateObjects: false, defaultStringType: "QUOTE_DOUBLE" },
  );
}

/** The card's one kernel line with the kit's words on it, once. */
export function withKernelWords(cmdline: string): string {
  const words = cmdline.split(/\s+/).filter((word) => word !== "");
  return `${[...words, ...kernelWords().filter((word) => !words.includes(word))].join(" ")}\n`;
}
