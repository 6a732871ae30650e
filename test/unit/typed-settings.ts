/** Stack files as they were typed, by what differs from a good one. */
import { join } from "node:path";

const key = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const hostKey = `ssh-ed25519 ${key}`;
const folder = join(import.meta.dirname, "../..");
export const now = new Date("2026-11-28T12:00:00Z");

export const home = {
  domain: "yamada.jp",
  accountId: "0123456789abcdef0123456789abcdef",
  timeZone: "Asia/Tokyo",
  pi: { host: "192.168.11.14", hostKey },
  disks: { main: "usb-WDC_A-0:0", backup: "usb-WDC_B-0:0" },
  family: [{ name: "ken", email: "ken@yamada.jp", phones: [{ name: "iphone" }] }],
};
const ken = home.family[0]!;
const rotated = (overlapUntil: string) => ({
  family: [{ ...ken, phones: [{ name: "iphone", secretVersion: 2, overlapUntil }] }],
});
const email = (address: unknown) => ({ family: [{ name: "hana", email: address }] });
const called = (displayName: string) => ({ family: [{ ...ken, displayName }] });
const host = (address: string) => ({ pi: { ...home.pi, host: address } });
const known = (line: string) => ({ pi: { ...home.pi, hostKey: line } });
const main = (id: unknown) => ({ disks: { ...home.disks, main: id } });
const at = (schedule: string) => ({ backup: { schedule } });

const byId =
  "give the disk's name under /dev/disk/by-id (lsblk -o NAME,SIZE,SERIAL,ID-LINK on the Pi shows it), never /dev/sda, which changes from boot to boot";
const hostKeyForm =
  'give the Pi\'s host key as printed by "ssh-keyscan -t ed25519 <host>", without the host: "ssh-ed25519 AAAA…"';
const address = "give the Pi's address, such as 192.168.11.14";
const cron = 'give five cron fields in digits, such as "0 1 * * 6" (Saturdays at 01:00)';
const tooOften =
  'which starts a backup more often than once a day: give one minute and one hour, such as "0 1 * * *" (each day at 01:00) or "0 1 * * 6" (Saturdays at 01:00)';
const noDots =
  "Cloudflare takes no address with two dots in a row, or with a dot at the beginning or right before the @. A carrier may have given it out all the same: give a second address, without such dots,";
const kinds =
  'give one of ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384 or ecdsa-sha2-nistp521, as printed by "ssh-keyscan -t ed25519 <host>"';
const zone = "give the domain that you opened at Cloudflare, such as yamada.jp";
const onlyBlank =
  "only a blank disk is formatted, and is named as in disks.main or disks.backup, by its name under /dev/disk/by-id";
const mail = "give an e-mail address such as ken@yamada.jp";
const place = "give the place, such as Asia/Tokyo";
const account =
  "give the account id, 32 hexadecimal digits, from the dashboard's address or overview page";
const token = `cfut_${"a1B2".repeat(10)}`;
const zones = "give a time zone of the tz database, such as Asia/Tokyo";

/** What was typed, and the one sentence that it gets. */
export const refused: [changed: Record<string, unknown>, sentence: string][] = [
  [
    email("hana..hana.@docomo.ne.jp"),
    `family[0].email is "hana..hana.@docomo.ne.jp": ${noDots} for the sign-in code and for Immich; the carrier's own stays what it is`,
  ],
  [
    email(".hana@docomo.ne.jp"),
    `family[0].email is ".hana@docomo.ne.jp": ${noDots} for the sign-in code and for Immich; the carrier's own stays what it is`,
  ],
  [
    email('"hana..hana."@docomo.ne.jp'),
    `family[0].email is "\\"hana..hana.\\"@docomo.ne.jp": ${noDots} for the sign-in code and for Immich; the carrier's own stays what it is`,
  ],
  [
    email("健@yamada.jp"),
    'family[0].email is "健@yamada.jp": Immich and Cloudflare take only plain letters, digits and signs before the @, so give another address',
  ],
  [
    email("ken@山田.jp"),
    'family[0].email is "ken@山田.jp": Immich and Cloudflare take a domain in plain letters only, so give the same as "ken@xn--rhtu98c.jp", and sign in with that',
  ],
  [email("ＫＥＮ@yamada.jp"), 'family[0].email is "ＫＥＮ@yamada.jp": give "KEN@yamada.jp"'],
  [email("ken＠yamada.jp"), 'family[0].email is "ken＠yamada.jp": give "ken@yamada.jp"'],
  [
    email("ken@yamada..jp"),
    `family[0].email is "ken@yamada..jp": what follows the @ is not the name of a mail domain; ${mail}`,
  ],
  [email("ken@yamada.jp."), 'family[0].email is "ken@yamada.jp.": give "ken@yamada.jp"'],
  [email("ken@yamada.jp "), 'family[0].email is "ken@yamada.jp ": give "ken@yamada.jp"'],
  [
    email("Ken Yamada <ken@yamada.jp>"),
    'family[0].email is "Ken Yamada <ken@yamada.jp>": give "ken@yamada.jp"',
  ],
  [
    email("mailto:ken@yamada.jp"),
    'family[0].email is "mailto:ken@yamada.jp": give "ken@yamada.jp"',
  ],
  [email("ken@yamada.jp\u200b"), 'family[0].email is "ken@yamada.jp\\u200b": give "ken@yamada.jp"'],
  [
    email("ken@yamada"),
    `family[0].email is "ken@yamada": what follows the @ is not the name of a mail domain; ${mail}`,
  ],
  [
    email("ken@[192.168.1.1]"),
    `family[0].email is "ken@[192.168.1.1]": what follows the @ is not the name of a mail domain; ${mail}`,
  ],
  [
    email("ken@-yamada.jp"),
    `family[0].email is "ken@-yamada.jp": what follows the @ is not the name of a mail domain; ${mail}`,
  ],
  [
    email("ken yamada@yamada.jp"),
    `family[0].email is "ken yamada@yamada.jp", with signs before the @ that are not taken there: ${mail}`,
  ],
  [
    email("ken@mio@yamada.jp"),
    `family[0].email is "ken@mio@yamada.jp", with signs before the @ that are not taken there: ${mail}`,
  ],
  [
    email("ken@192.168.1.1"),
    `family[0].email is "ken@192.168.1.1": what follows the @ is not the name of a mail domain; ${mail}`,
  ],
  [email("@yamada.jp"), `family[0].email is "@yamada.jp": ${mail}`],
  [
    email(`${"k".repeat(65)}@yamada.jp`),
    `family[0].email is "${"k".repeat(65)}@yamada.jp": an address has at most 64 characters before the @, and 254 in all`,
  ],
  [email(5), "family[0].email is a number, not text: put what you typed in quotes"],
  [
    { alertEmail: "hana..hana.@docomo.ne.jp" },
    `alertEmail is "hana..hana.@docomo.ne.jp": ${noDots} for the alerts; the carrier's own stays what it is`,
  ],
  [
    { immichAdminEmail: "健@yamada.jp", immichAdminPassword: "x" },
    'immichAdminEmail is "健@yamada.jp": give the address with which the administrator signs in to Immich, such as ken@yamada.jp',
  ],

  [
    { timeZone: "US/Pacific" },
    'timeZone is "US/Pacific", an old name that the Pi does not know: give America/Los_Angeles',
  ],
  [
    { timeZone: "Asia/Calcutta" },
    'timeZone is "Asia/Calcutta", an old name that the Pi does not know: give Asia/Kolkata',
  ],
  [
    { timeZone: "Japan" },
    'timeZone is "Japan", an old name that the Pi does not know: give Asia/Tokyo',
  ],
  [
    { timeZone: "EST" },
    'timeZone is "EST", an old name that the Pi does not know: give America/Panama',
  ],
  [{ timeZone: "asia/tokyo" }, 'timeZone is "asia/tokyo": give Asia/Tokyo'],
  [{ timeZone: "Tokyo" }, 'timeZone is "Tokyo": give Asia/Tokyo'],
  [{ timeZone: "JST" }, `timeZone is "JST": ${place}`],
  [{ timeZone: "Factory" }, `timeZone is "Factory": ${zones}`],
  [{ timeZone: "localtime" }, `timeZone is "localtime": ${zones}`],
  [{ timeZone: "Asia/Ｔokyo" }, 'timeZone is "Asia/Ｔokyo": give Asia/Tokyo'],
  [{ timeZone: "right/Asia/Tokyo" }, `timeZone is "right/Asia/Tokyo": ${zones}`],

  [
    rotated("2226-12-01T00:00:00Z"),
    'family[0].phones[0].overlapUntil is "2226-12-01T00:00:00Z": the old secret would still open the gate in more than a year; give a time some days from now, and mind the year',
  ],
  [
    rotated("2028-01-01T00:00:00Z"),
    'family[0].phones[0].overlapUntil is "2028-01-01T00:00:00Z": the old secret would still open the gate in more than a year; give a time some days from now, and mind the year',
  ],
  [
    rotated("2026-02-30T00:00:00Z"),
    'family[0].phones[0].overlapUntil is "2026-02-30T00:00:00Z", a day or an hour that does not exist: give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("2026-13-01T00:00:00Z"),
    'family[0].phones[0].overlapUntil is "2026-13-01T00:00:00Z", a day or an hour that does not exist: give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("2026-12-01T24:00:00Z"),
    'family[0].phones[0].overlapUntil is "2026-12-01T24:00:00Z", a day or an hour that does not exist: give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("2026-12-01T09:00:00+09:00"),
    'family[0].phones[0].overlapUntil is "2026-12-01T09:00:00+09:00": give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("2026-12-01"),
    'family[0].phones[0].overlapUntil is "2026-12-01": give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("tomorrow"),
    'family[0].phones[0].overlapUntil is "tomorrow": give a time in UTC, quoted: "2026-12-01T00:00:00Z"',
  ],
  [
    rotated("2026-12-24 09:00:00 +0900 +0900"),
    'family[0].phones[0].overlapUntil was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-12-24T00:00:00Z"',
  ],
  [
    { tokensRenewedOn: "2026-10-01 00:00:00 +0000 UTC" },
    'tokensRenewedOn was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-10-01"',
  ],
  [
    { tokensRenewedOn: "2027-02-30" },
    'tokensRenewedOn is "2027-02-30": give a day since 2026, quoted: "2026-11-28"',
  ],
  [{ strictServiceTokens: "yes" }, 'strictServiceTokens is "yes": give true or false'],
  [
    rotated("2026-12-24 00:00:00 +0000 UTC"),
    'family[0].phones[0].overlapUntil was not quoted, so Pulumi has rewritten it: put it in quotes, "2026-12-24T00:00:00Z"',
  ],

  [at("* * * * *"), `backup.schedule is "* * * * *", ${tooOften}`],
  [at("0 * * * *"), `backup.schedule is "0 * * * *", ${tooOften}`],
  [at("*/5 1 * * 6"), `backup.schedule is "*/5 1 * * 6", ${tooOften}`],
  [at("0 1,13 * * *"), `backup.schedule is "0 1,13 * * *", ${tooOften}`],
  [at("0 */6 * * *"), `backup.schedule is "0 */6 * * *", ${tooOften}`],
  [at("0-30 1 * * 6"), `backup.schedule is "0-30 1 * * 6", ${tooOften}`],
  [at("@daily"), `backup.schedule is "@daily": ${cron}`],
  [at("0 1 * * 8"), `backup.schedule is "0 1 * * 8": ${cron}`],
  [at("0 1 30 2 *"), `backup.schedule is "0 1 30 2 *", a day that never comes: ${cron}`],

  [
    { tokenDuration: "1h" },
    'tokenDuration is "1h": a phone whose token ends is locked out until somebody lengthens it; give a month or more, such as "8760h", a year',
  ],
  [
    { tokenDuration: "24h" },
    'tokenDuration is "24h": a phone whose token ends is locked out until somebody lengthens it; give a month or more, such as "8760h", a year',
  ],
  [
    { tokenDuration: "365d" },
    `tokenDuration is "365d": give how long a phone's token lasts, in hours, "8760h"`,
  ],
  [
    { sessionDuration: "30d" },
    'sessionDuration is "30d": give how long a sign-in lasts, in hours, "720h"',
  ],
  [
    { sessionDuration: "731h" },
    `sessionDuration is "731h": Cloudflare's longest is "730h", a month`,
  ],
  [
    { sessionDuration: "0h" },
    'sessionDuration is "0h": give how long a sign-in lasts, in hours such as "730h"',
  ],
  [
    { sessionDuration: "24" },
    'sessionDuration is "24": give how long a sign-in lasts, in hours, "24h"',
  ],

  [host("999.1.1.1"), `pi.host is "999.1.1.1", which is neither an address nor a name: ${address}`],
  [
    host("192.168.11.14:22"),
    'pi.host is "192.168.11.14:22": give the address alone, "192.168.11.14", and the port as pi.port: 22',
  ],
  [
    host("http://192.168.11.14:2283/"),
    'pi.host is "http://192.168.11.14:2283/": give the address alone, "192.168.11.14"',
  ],
  [
    host("pi@192.168.11.14"),
    'pi.host is "pi@192.168.11.14": give the address alone, "192.168.11.14", and the user as pi.user: pi',
  ],
  [host("127.1"), `pi.host is "127.1", which is neither an address nor a name: ${address}`],
  [
    host("3232238350"),
    `pi.host is "3232238350", which is neither an address nor a name: ${address}`,
  ],
  [
    host("0xC0A80B0E"),
    `pi.host is "0xC0A80B0E", which is neither an address nor a name: ${address}`,
  ],
  [host("0.0.0.0"), `pi.host is "0.0.0.0", which is no machine's address: ${address}`],
  [
    host("255.255.255.255"),
    `pi.host is "255.255.255.255", which is the address of no single machine: ${address}`,
  ],
  [
    host("192.168.11.255"),
    `pi.host is "192.168.11.255", which is the network's own and no machine's: ${address}`,
  ],
  [
    host("192.168.11.0"),
    `pi.host is "192.168.11.0", which is the network's own and no machine's: ${address}`,
  ],
  [
    host("224.0.0.251"),
    `pi.host is "224.0.0.251", which is the address of no single machine: ${address}`,
  ],
  [
    host("169.254.3.4"),
    'pi.host is "169.254.3.4", which a machine gives itself when no router gave it one, and changes: plug the Pi into the router, and give the address that it gets there',
  ],
  [
    host("192.168.11.14/24"),
    'pi.host is "192.168.11.14/24": give the address alone, "192.168.11.14"',
  ],
  [
    host("192.168.011.014"),
    `pi.host is "192.168.011.014", which is neither an address nor a name: ${address}`,
  ],
  [
    host("１９２.168.11.14"),
    'pi.host is "１９２.168.11.14": give the address alone, "192.168.11.14"',
  ],
  [host("[fd00::14]"), 'pi.host is "[fd00::14]": give the address alone, "fd00::14"'],
  [
    host("[fd00::14]:22"),
    'pi.host is "[fd00::14]:22": give the address alone, "fd00::14", and the port as pi.port: 22',
  ],
  [
    host("fe80::1"),
    `pi.host is "fe80::1", which holds on one cable only and is not found by its number alone: ${address}`,
  ],
  [
    host("fe80::1%en0"),
    `pi.host is "fe80::1%en0", which holds on one cable only and is not found by its number alone: ${address}`,
  ],
  [host("::"), `pi.host is "::", which is no machine's address: ${address}`],
  [host("ff02::1"), `pi.host is "ff02::1", which is the address of no single machine: ${address}`],
  [
    host("ouchi.local"),
    `pi.host is "ouchi.local", a name that Pulumi does not find on every laptop: give the Pi's address ("ping ouchi.local" shows it), and have the router keep it`,
  ],
  [host("ouchi_pi"), `pi.host is "ouchi_pi", which is neither an address nor a name: ${address}`],
  [
    host("-oProxyCommand=x"),
    `pi.host is "-oProxyCommand=x", which is neither an address nor a name: ${address}`,
  ],

  [
    { domain: "photos.yamada.jp" },
    `domain is "photos.yamada.jp", a name in the domain "yamada.jp": give "yamada.jp", and what stands before it as hostname; the photos' address is made of both`,
  ],
  [
    { domain: "home.yamada.jp", hostname: "pics" },
    `domain is "home.yamada.jp", a name in the domain "yamada.jp": give "yamada.jp", and what stands before it as hostname; the photos' address is made of both`,
  ],
  [{ domain: "co.jp" }, `domain is "co.jp", below which everybody's domains are: ${zone}`],
  [{ domain: "jp" }, `domain is "jp": ${zone}`],
  [{ domain: "https://yamada.jp/" }, 'domain is "https://yamada.jp/": give "yamada.jp"'],
  [{ domain: "Yamada.JP" }, 'domain is "Yamada.JP": give "yamada.jp"'],
  [{ domain: "山田.jp" }, 'domain is "山田.jp": give "xn--rhtu98c.jp"'],
  [{ domain: "yamada.jp." }, 'domain is "yamada.jp.": give "yamada.jp"'],
  [{ domain: "ｙamada.jp" }, 'domain is "ｙamada.jp": give "yamada.jp"'],
  [{ domain: "yamada..jp" }, `domain is "yamada..jp": ${zone}`],
  [
    { hostname: "photos.yamada.jp" },
    'hostname is "photos.yamada.jp": give one label, such as photos',
  ],
  [
    { hostname: "https://photos.yamada.jp" },
    'hostname is "https://photos.yamada.jp": give one label, such as photos',
  ],
  [{ hostname: "Photos" }, 'hostname is "Photos": give one label, such as photos'],
  [{ hostname: "写真" }, 'hostname is "写真": give one label, such as xn--g7qs82g'],
  [{ hostname: "" }, "hostname is empty: give one label, such as photos, or remove the line"],

  [
    main("usb-WDC_A-0:0-part1"),
    'disks.main is "usb-WDC_A-0:0-part1", a partition: give the whole disk, "usb-WDC_A-0:0"; what is on a partition is taken over by {uuid: …, adopt: true}',
  ],
  [main("nvme0n1p1"), `disks.main is "nvme0n1p1": ${byId}`],
  [main("nvme0n1"), `disks.main is "nvme0n1": ${byId}`],
  [main("sda1"), `disks.main is "sda1": ${byId}`],
  [main("sda"), `disks.main is "sda": ${byId}`],
  [main("mmcblk0"), `disks.main is "mmcblk0": ${byId}`],
  [
    main("mmc-SC32G_0x1234"),
    `disks.main is "mmc-SC32G_0x1234", the SD card, which wears out and holds the Pi's own system: ${byId}`,
  ],
  [
    main("mmc-SC32G_0x1234-part2"),
    `disks.main is "mmc-SC32G_0x1234-part2", the SD card, which wears out and holds the Pi's own system: ${byId}`,
  ],
  [main("dm-0"), `disks.main is "dm-0": ${byId}`],
  [
    main("dm-uuid-LVM-abc"),
    `disks.main is "dm-uuid-LVM-abc", which is made of other disks (RAID, LVM or encryption), and the kit does not look into those: ${byId}`,
  ],
  [
    main("md-uuid-1:2:3:4"),
    `disks.main is "md-uuid-1:2:3:4", which is made of other disks (RAID, LVM or encryption), and the kit does not look into those: ${byId}`,
  ],
  [main("md127"), `disks.main is "md127": ${byId}`],
  [main("loop0"), `disks.main is "loop0": ${byId}`],
  [main("/dev/sda"), `disks.main is "/dev/sda": ${byId}`],
  [
    main("/dev/disk/by-id/usb-WDC_A-0:0"),
    'disks.main is "/dev/disk/by-id/usb-WDC_A-0:0": give the name alone, "usb-WDC_A-0:0"',
  ],
  [
    main("0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e"),
    `disks.main is "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", a file system's UUID: give {uuid: 0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e, adopt: true} to take over what is on the disk, or the disk's name under /dev/disk/by-id (lsblk -o NAME,SIZE,SERIAL,ID-LINK on the Pi shows it), never /dev/sda, which changes from boot to boot`,
  ],
  [
    main({ uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", adopt: true, format: true }),
    "disks.main.format is no part of a disk: give the disk's name alone, or {uuid: …, adopt: true}",
  ],
  [main(5), "disks.main is a number, not text: put what you typed in quotes"],

  [
    { imagesLock: "no/such.json" },
    `imagesLock is "no/such.json", and cannot be used: there is no file "${folder}/no/such.json". Mend it, or remove the setting to use the kit's own`,
  ],
  [
    { imagesLock: "compose" },
    `imagesLock is "compose", and cannot be used: "${folder}/compose" is a folder. Mend it, or remove the setting to use the kit's own`,
  ],
  [
    { imagesLock: "README.md" },
    `imagesLock is "README.md", and cannot be used: it is no JSON. Mend it, or remove the setting to use the kit's own`,
  ],
  [
    { imagesLock: "package.json" },
    `imagesLock is "package.json", and cannot be used: all of it is not as in compose/images.lock.json (an image with its tag, and its digest). Mend it, or remove the setting to use the kit's own`,
  ],
  [
    { imagesLock: "" },
    "imagesLock is empty: give the path of a lock file of images, or remove the line",
  ],

  [
    called(""),
    "family[0].displayName is empty: give the name that Immich shows, or leave displayName out, and it shows name",
  ],
  [
    called("  "),
    "family[0].displayName is empty: give the name that Immich shows, or leave displayName out, and it shows name",
  ],
  [
    called("\u3000"),
    "family[0].displayName is empty: give the name that Immich shows, or leave displayName out, and it shows name",
  ],
  [
    called("健\n太"),
    'family[0].displayName is "健\\n太", which holds a line break or another sign that is not to be seen: give a name on one line',
  ],
  [
    called("健\u0000太"),
    'family[0].displayName is "健\\u0000太", which holds a line break or another sign that is not to be seen: give a name on one line',
  ],
  [
    called("健\u202e太"),
    'family[0].displayName is "健\\u202e太", which holds a line break or another sign that is not to be seen: give a name on one line',
  ],
  [called(" 健"), 'family[0].displayName is " 健": give it without the space before or after it'],
  [called("健".repeat(300)), "family[0].displayName has 300 characters: give a name of 64 at most"],

  [
    { family: [{ ...ken, phones: ["iphone"] }] },
    'family[0].phones[0] is "iphone": give each phone its name in braces: phones: [{name: iphone}]',
  ],
  [
    { family: [{ ...ken, phones: "iphone" }] },
    'family[0].phones is "iphone": give a list: phones: [{name: iphone}]',
  ],
  [
    { family: [{ ...ken, phones: { name: "iphone" } }] },
    "family[0].phones is no list: give a list: phones: [{name: iphone}]",
  ],
  [
    { family: ["ken"] },
    'family[0] is "ken": give each person in braces, {name: ken, email: ken@yamada.jp}',
  ],
  [{ family: "ken" }, 'family is "ken": list the people, [{name: ken, email: ken@yamada.jp}]'],
  [
    { family: { ken: {} } },
    "family is no list: list the people, [{name: ken, email: ken@yamada.jp}]",
  ],
  [{ pi: "192.168.11.14" }, 'pi is "192.168.11.14": give {host: …, hostKey: …}'],
  [{ disks: ["usb-WDC_A-0:0", "usb-WDC_B-0:0"] }, "disks is a list: give {main: …, backup: …}"],
  [{ backup: "0 1 * * 6" }, 'backup is "0 1 * * 6": give {schedule: "0 1 * * 6"}'],
  [
    { family: [{ ...ken, name: 5 }] },
    "family[0].name is a number, not text: put what you typed in quotes",
  ],

  [
    known(`${hostKey} root@ouchi`),
    `pi.hostKey ends with a comment: give the key without it, "${hostKey}"`,
  ],
  [
    known(`192.168.11.14 ${hostKey}`),
    `pi.hostKey begins with the host that it is of: give the rest alone, "${hostKey}"`,
  ],
  [
    known(`|1|abc=|def= ${hostKey}`),
    `pi.hostKey begins with the host that it is of: give the rest alone, "${hostKey}"`,
  ],
  [
    known(`[192.168.11.14]:2222 ${hostKey} x`),
    `pi.hostKey begins with the host that it is of: give the rest alone, "${hostKey}"`,
  ],
  [
    known(hostKey.slice(0, -4)),
    `pi.hostKey is cut off or mistyped, as no program can read it: ${hostKeyForm}, whole and on one line`,
  ],
  [
    known(`${hostKey}AAAA`),
    `pi.hostKey is cut off or mistyped, as no program can read it: ${hostKeyForm}, whole and on one line`,
  ],
  [
    known(`ssh-ed25519  ${key}`),
    `pi.hostKey has spaces that do not belong there: give "${hostKey}"`,
  ],
  [known(key), `pi.hostKey is "${key}": ${hostKeyForm}`],
  [
    known("SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"),
    `pi.hostKey is the key's fingerprint, not the key: ${hostKeyForm}`,
  ],
  [
    known(`ssh-rsa ${key}`),
    `pi.hostKey is a key of the kind ssh-rsa, which cannot be used to know the Pi by: ${kinds}`,
  ],
  [
    known(`sk-ssh-ed25519@openssh.com ${key}`),
    `pi.hostKey is a key of the kind sk-ssh-ed25519@openssh.com, which cannot be used to know the Pi by: ${kinds}`,
  ],
  [
    known(`ssh-dss ${key}`),
    `pi.hostKey is a key of the kind ssh-dss, which cannot be used to know the Pi by: ${kinds}`,
  ],
  [
    known(`ecdsa-sha2-nistp256 ${key}`),
    `pi.hostKey is cut off or mistyped, as no program can read it: ${hostKeyForm}, whole and on one line`,
  ],
  [
    known("-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n"),
    `pi.hostKey is a private key, which belongs in no stack file: ${hostKeyForm}`,
  ],

  [
    { pi: { ...home.pi, privateKeyFile: "~/.ssh/id_ed25519.pub" } },
    'pi.privateKeyFile is "~/.ssh/id_ed25519.pub", the public key: give the private one, "~/.ssh/id_ed25519"',
  ],
  [
    { pi: { ...home.pi, privateKeyFile: "" } },
    'pi.privateKeyFile is "": give the file of the private key, such as ~/.ssh/id_ed25519',
  ],
  [
    { accountId: "a".repeat(40) },
    "accountId has 40 characters: give the account id, 32 hexadecimal digits, from the dashboard's address or overview page",
  ],
  [
    { accountId: "0123456789ABCDEF0123456789ABCDEF" },
    'accountId is "0123456789ABCDEF0123456789ABCDEF": give 0123456789abcdef0123456789abcdef',
  ],
  [
    { accountId: "1.2345678901234568e+31" },
    'accountId was taken for a number, "1.2345678901234568e+31": put it in quotes',
  ],
  [
    { googleClientId: "1234", googleClientSecret: "x" },
    `googleClientId is "1234": give the client id of Google's OAuth client, such as 1234567890-abc.apps.googleusercontent.com`,
  ],

  [
    { "ouchi:domain": "yamada.jp" },
    'ouchi:domain is in the namespace "ouchi", which nothing here reads: write ouchi-photos:domain',
  ],
  [
    { "ouchi_photos:timeZone": "Asia/Tokyo" },
    'ouchi_photos:timeZone is in the namespace "ouchi_photos", which nothing here reads: write ouchi-photos:timeZone',
  ],
  [
    { "ouchiphotos:lan": "true" },
    'ouchiphotos:lan is in the namespace "ouchiphotos", which nothing here reads: remove it, or see Pulumi.prod.yaml for how the settings are spelt',
  ],
  [
    { "Ouchi-Photos:DOMAIN": "yamada.jp" },
    'Ouchi-Photos:DOMAIN is in the namespace "Ouchi-Photos", which nothing here reads: write ouchi-photos:domain',
  ],
  [
    { "cloudflare:apitoken": "x" },
    "cloudflare:apitoken is no setting of Cloudflare's: write cloudflare:apiToken",
  ],
  [
    { "cloudflare:apiKey": "canary" },
    "cloudflare:apiKey is another way to sign in to Cloudflare than the kit's, and may do all that you may: remove it, and give an API token with the README's permissions by: pulumi config set --secret cloudflare:apiToken",
  ],

  // A secret at the wrong place.
  ...[
    ["ouchi-photos:apiToken", "cloudflare:apiToken"],
    ["ouchi-photos:CLOUDFLARE_API_TOKEN", "cloudflare:apiToken"],
    ["Cloudflare:apiToken", "cloudflare:apiToken"],
    ["ouchi-photos:Alarm", "ouchi-photos:alarm"],
    ["ouchi:borgPassphrase", "ouchi-photos:borgPassphrase"],
  ].map(([typed, meant]): [Record<string, unknown>, string] => [
    { [typed!]: "canary" },
    `${typed} is in the wrong place, where nothing reads it: remove it, and type "pulumi config set --secret ${meant}", and the value when it asks. It stood in plain text: give it a new value where it is from`,
  ]),
  [{ hostname: token }, 'hostname is "[not shown]": give one label, such as photos'],
  [{ domain: token }, `domain is "[not shown]": ${zone}`],
  [email(token), `family[0].email is "[not shown]": ${mail}`],
  [{ accountId: "Bearer 0123456789abcdef0123" }, `accountId is "[not shown]": ${account}`],
  [
    { accountId: "Bearer 0123456789abcdef0123456789abcdef" },
    `accountId has 39 characters: ${account}`,
  ],
  [{ hostname: "Aa-9".repeat(10) }, 'hostname is "[not shown]": give one label, such as photos'],

  // A shift is no place, and its sign says the opposite of what it means.
  ...["GMT+9", "UTC+9", "+9", "+09:00", "JST-9", "utc +0900"].map(
    (typed): [Record<string, unknown>, string] => [
      { timeZone: typed },
      `timeZone is "${typed}": ${place}`,
    ],
  ),
  [
    { timeZone: "Etc/GMT+9" },
    `timeZone is "Etc/GMT+9", which is 9 hours behind UTC, whatever its sign says: ${place}`,
  ],
  [
    { timeZone: "Etc/GMT-1" },
    `timeZone is "Etc/GMT-1", which is 1 hour ahead of UTC, whatever its sign says: ${place}`,
  ],
  ...["Asia / Tokyo", "Asia Tokyo", "東京", "Asia/Osaka", "“Asia/Tokyo”"].map(
    (typed): [Record<string, unknown>, string] => [
      { timeZone: typed },
      `timeZone is "${typed}": give Asia/Tokyo`,
    ],
  ),

  // What an input method, or a copy, puts around it.
  ...["“yamada.jp”", "「yamada.jp」", "'yamada.jp'", "yamada.jp、", "<yamada.jp>;"].map(
    (typed): [Record<string, unknown>, string] => [
      { domain: typed },
      `domain is "${typed}": give "yamada.jp"`,
    ],
  ),
  ...["“ken@yamada.jp”", "ken@yamada.jp (home)", "「ken@yamada.jp」", "ken@yamada.jp、"].map(
    (typed): [Record<string, unknown>, string] => [
      email(typed),
      `family[0].email is "${typed}": give "ken@yamada.jp"`,
    ],
  ),
  [
    known(`“${hostKey}”`),
    `pi.hostKey has signs that do not belong there, such as quotes: give "${hostKey}"`,
  ],
  ...[
    `“${home.accountId}”`,
    `account: ${home.accountId}`,
    `https://dash.cloudflare.com/${home.accountId}/yamada.jp`,
  ].map((typed): [Record<string, unknown>, string] => [
    { accountId: typed },
    `accountId is "${typed}": give ${home.accountId}`,
  ]),
  [
    { accountId: `${home.accountId}\u200b` },
    `accountId is "${home.accountId}\\u200b": give ${home.accountId}`,
  ],
  ...["「0 1 * * 6」", "０ １ ＊ ＊ ６", "0\u30001 * * 6", "0  1 * * 6", " 0 1 * * 6"].map(
    (typed): [Record<string, unknown>, string] => [
      at(typed),
      `backup.schedule is "${typed}": give "0 1 * * 6"`,
    ],
  ),
  ...[
    "“2026-12-01T00:00:00Z”",
    "2026-12-01T00:00:00z",
    "2026-12-01T09:00:00+0900",
    "2026/12/01",
  ].map((typed): [Record<string, unknown>, string] => [
    rotated(typed),
    `family[0].phones[0].overlapUntil is "${typed}": give a time in UTC, quoted: "2026-12-01T00:00:00Z"`,
  ]),

  [
    { domain: `https://dash.cloudflare.com/${home.accountId}/yamada.jp/dns` },
    `domain is "https://dash.cloudflare.com/${home.accountId}/yamada.jp/dns": give "yamada.jp"`,
  ],
  [
    { domain: `https://dash.cloudflare.com/${home.accountId}` },
    `domain is "https://dash.cloudflare.com/${home.accountId}": ${zone}`,
  ],
  [{ domain: "dash.cloudflare.com" }, `domain is "dash.cloudflare.com", Cloudflare's own: ${zone}`],

  ...["forever", "20y"].map((typed): [Record<string, unknown>, string] => [
    { tokenDuration: typed },
    `tokenDuration is "${typed}": give how long a phone's token lasts, in hours such as "8760h"`,
  ]),
  [
    { tokenDuration: "6 months" },
    `tokenDuration is "6 months": give how long a phone's token lasts, in hours, "4380h"`,
  ],
  [
    { tokenDuration: "365" },
    `tokenDuration is "365": give how long a phone's token lasts, in hours, "8760h"`,
  ],
  [{ sessionDuration: "60d" }, `sessionDuration is "60d": Cloudflare's longest is "730h", a month`],

  [
    { disks: { ...home.disks, allowFormat: ["0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e"] } },
    `disks.allowFormat[0] is "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", a file system's UUID: ${onlyBlank}`,
  ],
  [
    {
      disks: {
        ...home.disks,
        allowFormat: [{ uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", adopt: true }],
      },
    },
    `disks.allowFormat[0] is no disk's name: ${onlyBlank}`,
  ],
  [{ disks: { ...home.disks, allowFormat: ["sda"] } }, `disks.allowFormat[0] is "sda": ${byId}`],

  [
    host("192.168.11.14:2283"),
    'pi.host is "192.168.11.14:2283": give the address alone, "192.168.11.14"',
  ],
  [
    host("ssh pi@192.168.11.14"),
    'pi.host is "ssh pi@192.168.11.14": give the address alone, "192.168.11.14", and the user as pi.user: pi',
  ],
  [
    host("ssh -p 2222 pi@192.168.11.14"),
    'pi.host is "ssh -p 2222 pi@192.168.11.14": give the address alone, "192.168.11.14", and the port as pi.port: 2222, and the user as pi.user: pi',
  ],
  [
    host("Ken Yamada@192.168.11.14"),
    'pi.host is "Ken Yamada@192.168.11.14": give the address alone, "192.168.11.14"',
  ],
  [
    host("192。168。11。14"),
    'pi.host is "192。168。11。14": give the address alone, "192.168.11.14"',
  ],
  [
    host("ouchi.local."),
    `pi.host is "ouchi.local.", a name that Pulumi does not find on every laptop: give the Pi's address ("ping ouchi.local" shows it), and have the router keep it`,
  ],

  [
    { tokensRenewedOn: "2099-10-01" },
    'tokensRenewedOn is "2099-10-01", a day that has not come, and the next up would renew the tokens all the same: give the day on which you renew them, quoted: "2026-11-28"',
  ],
  [{ tokensRenewedOn: "2026/10/01" }, 'tokensRenewedOn is "2026/10/01": give "2026-10-01"'],

  // A line with a name and no value.
  [{ domain: "" }, `domain is empty: ${zone}`],
  [{ pi: "" }, "pi is empty: give {host: …, hostKey: …}"],
  [{ backup: "" }, 'backup is empty: give {schedule: "0 1 * * 6"}, or remove the line'],
  [{ family: "" }, "family is empty: list the people, [{name: ken, email: ken@yamada.jp}]"],
  [{ alertEmail: "" }, `alertEmail is empty: ${mail}, or remove the line`],
  [
    { tokenDuration: "" },
    `tokenDuration is empty: give how long a phone's token lasts, in hours such as "8760h", or remove the line`,
  ],
  [
    { strictServiceTokens: "" },
    "strictServiceTokens is empty: give true or false, or remove the line",
  ],

  ...["0 1 1-7 * 6", "0 1 31 2 6"].map((typed): [Record<string, unknown>, string] => [
    at(typed),
    `backup.schedule is "${typed}", which names days of the month and of the week, and cron starts it on either, not on what is both: give * for one of them, such as "0 1 * * 6" (Saturdays at 01:00)`,
  ]),
  ...["0 1 1 1 *", "30 3 29 2 *", "0 1 31 * *", "0 1 29 * *", "0 1 * */2 6"].map(
    (typed): [Record<string, unknown>, string] => [
      at(typed),
      `backup.schedule is "${typed}", which starts no backup in some months: give a time that comes in each, such as "0 1 1 * *" (the 1st at 01:00) or "0 1 * * 6" (Saturdays at 01:00)`,
    ],
  ),

  ...["yamada.jp", "Photos.yamada.jp"].map((typed): [Record<string, unknown>, string] => [
    host(typed),
    `pi.host is "${typed}", which leads to Cloudflare, where no SSH answers: give the Pi's address at home, such as 192.168.11.14`,
  ]),
  ...["DC-A6-32-12-34-56", "dc:a6:32:12:34:56", "dca632123456"].map(
    (typed): [Record<string, unknown>, string] => [
      host(typed),
      `pi.host is "${typed}", which is a MAC address: give the address that the router gave to it, such as 192.168.11.14`,
    ],
  ),

  ...["WD10EZEX", "WD-WCC6Y1234567", "1A2B-3C4D", "0b9c2d4e-02", "off", "usb", "disk1", "SDA"].map(
    (typed): [Record<string, unknown>, string] => [
      main(typed),
      `disks.main is "${typed}": ${byId}; such a name begins with usb-, ata-, scsi-, nvme- or wwn-`,
    ],
  ),
  ...[
    "usb-WDC_A-0:0 ",
    "by-id/usb-WDC_A-0:0",
    "/dev/disk/by-id/usb-WDC_A-0:0/",
    "「usb-WDC_A-0:0」",
  ].map((typed): [Record<string, unknown>, string] => [
    main(typed),
    `disks.main is "${typed}": give the name alone, "usb-WDC_A-0:0"`,
  ]),
  [
    main("UUID=0B9C2D4E-1f2a-4b3c-8d5e-6f7a8b9c0d1e"),
    `disks.main is "UUID=0B9C2D4E-1f2a-4b3c-8d5e-6f7a8b9c0d1e", a file system's UUID: give {uuid: 0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e, adopt: true} to take over what is on the disk, or ${byId.slice("give ".length)}`,
  ],
  [
    main({ uuid: "0B9C2D4E-1F2A-4B3C-8D5E-6F7A8B9C0D1E", adopt: true }),
    'disks.main.uuid is "0B9C2D4E-1F2A-4B3C-8D5E-6F7A8B9C0D1E": give 0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e',
  ],
  [
    { disks: { ...home.disks, withoutUas: ["152D:0578"] } },
    'disks.withoutUas[0] is "152D:0578": give 152d:0578',
  ],

  ...[
    "http://192.168.11.20:3003 ",
    "http://192.168.11.20:3003\u3000",
    "http://ken:x@192.168.11.20:3003",
    "http://192.168.11.20:3003/predict?a=$b",
  ].map((typed): [Record<string, unknown>, string] => [
    { machineLearning: { remote: typed } },
    `machineLearning.remote is "${typed}": give the machine's address alone, "http://192.168.11.20:3003"`,
  ]),
  ...["http://localhost:3003", "http://127.0.1.1:3003", "http://[::1]:3003"].map(
    (typed): [Record<string, unknown>, string] => [
      { machineLearning: { remote: typed } },
      `machineLearning.remote is "${typed}", which is no other machine: give that one's address, such as "http://192.168.11.20:3003", or local for the Pi itself`,
    ],
  ),
  ...["192.168.11.20", "http://$HOST:3003"].map((typed): [Record<string, unknown>, string] => [
    { machineLearning: { remote: typed } },
    `machineLearning.remote is "${typed}": give a web address, such as "http://192.168.11.20:3003"`,
  ]),
  [
    { machineLearning: "sometimes" },
    'machineLearning is "sometimes": give local (on the Pi), off, or another machine\'s address: {remote: "http://192.168.11.20:3003"}',
  ],

  [
    called("2026-01-01 00:00:00 +0000 UTC"),
    "family[0].displayName was not quoted, so Pulumi has taken it for a time and rewritten it: put what you typed in quotes",
  ],

  // Another spelling, or another place.
  ...[
    ["timezone", "write timeZone"],
    ["Domain", "write domain"],
    ["alert_email", "write alertEmail"],
    ["pi.port", "it belongs below pi, as port"],
    ["lan", "it belongs below pi, as lan"],
    ["schedule", "it belongs below backup, as schedule"],
    ["allowformat", "it belongs below disks, as allowFormat"],
    ["albums", "remove it, or see Pulumi.prod.yaml for how it is spelt"],
  ].map(([typed, cure]): [Record<string, unknown>, string] => [
    { [typed!]: "x" },
    `${typed} is not a setting: ${cure}`,
  ]),
  [
    { pi: { ...home.pi, privatekeyfile: "~/.ssh/x" } },
    "pi.privatekeyfile is not a setting: write privateKeyFile",
  ],
  [
    { pi: { ...home.pi, timeZone: "Asia/Tokyo" } },
    "pi.timeZone is not a setting: it belongs beside pi, as ouchi-photos:timeZone",
  ],
  [
    { family: [{ ...ken, displayname: "健" }] },
    "family[0].displayname is not a setting: write displayName",
  ],
  [
    {
      disks: {
        ...home.disks,
        main: { uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", adopt: true, UUID: "x" },
      },
    },
    "disks.main.UUID is not a setting: write uuid",
  ],

  [{ pi: { ...home.pi, lan: "yes" } }, 'pi.lan is "yes": give true or false'],
  [
    { pi: { ...home.pi, port: 70000 } },
    "pi.port is 70000: give 65535 at most: the TCP port of the Pi's SSH server",
  ],
  [
    { pi: { ...home.pi, port: "22" } },
    `pi.port is "22": give a whole number without quotes: the TCP port of the Pi's SSH server`,
  ],
  [
    { backup: { keep: { weekly: 1.5 } } },
    "backup.keep.weekly is 1.5: give a whole number: archives to keep, one a week",
  ],
  [
    { backup: { keep: { weekly: 0 } } },
    "backup.keep.weekly is 0: give 1 or more: archives to keep, one a week",
  ],
  [
    main({ uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e", adopt: "yes" }),
    'disks.main.adopt is "yes": give adopt: true to take the file system over as it is',
  ],
  [
    main({ uuid: "0b9c2d4e-1f2a-4b3c-8d5e-6f7a8b9c0d1e" }),
    "disks.main.adopt is missing: give adopt: true to take the file system over as it is",
  ],
  [main(["usb-WDC_A-0:0"]), `disks.main is not text: ${byId}`],
  [
    { adopt: { phones: ["x"] } },
    'adopt.phones is a list: give the lines that "cli/ouchi adopt" prints',
  ],
  [{ adopt: "x" }, 'adopt is "x": give the lines that "cli/ouchi adopt" prints'],

  [
    { family: [{ ...ken, phones: null }] },
    "family[0].phones is missing: give a list, phones: [{name: iphone}], or leave phones out",
  ],
  [{ family: [{ ...ken, name: "Ken" }] }, 'family[0].name is "Ken": give ken'],
  [
    { family: [{ ...ken, name: "健" }] },
    'family[0].name is "健": give the person a short name such as ken, in lower-case letters, digits and hyphens, 32 at most; "健" is for displayName',
  ],
  [
    { family: [{ ...ken, phones: [{ name: "iPhone 15" }] }] },
    'family[0].phones[0].name is "iPhone 15": give iphone-15',
  ],

  ...["〜/.ssh/id_ed25519", "$HOME/.ssh/id_ed25519", "~/.ssh/id_ed25519 "].map(
    (typed): [Record<string, unknown>, string] => [
      { pi: { ...home.pi, privateKeyFile: typed } },
      `pi.privateKeyFile is "${typed}": give "~/.ssh/id_ed25519"`,
    ],
  ),
  [
    { pi: { ...home.pi, privateKeyFile: "C:\\Users\\ken\\.ssh\\id_ed25519" } },
    `pi.privateKeyFile is "C:\\\\Users\\\\ken\\\\.ssh\\\\id_ed25519", a path of Windows', which is not found from here: give the file of the private key, such as ~/.ssh/id_ed25519`,
  ],
  [
    { pi: { ...home.pi, privateKeyFile: "~ken/.ssh/id_ed25519" } },
    'pi.privateKeyFile is "~ken/.ssh/id_ed25519", of which only a shell knows where it leads: give the file of the private key, such as ~/.ssh/id_ed25519, or the whole path',
  ],
  [
    { imagesLock: "~/own.lock.json" },
    `imagesLock is "~/own.lock.json", of which only a shell knows where it leads: give the whole path, or one from the kit's folder`,
  ],
];

/** What is as unusual, and good. */
export const taken: Record<string, unknown>[] = [
  email("o'brien@example.ie"),
  email("hana.hana@docomo.ne.jp"),
  email("KEN+photos@yamada.co.jp"),
  email("ken@xn--rhtu98c.jp"),
  email("a.b_c-d/e=f@mail.example.museum"),
  { immichAdminEmail: "hana..hana.@docomo.ne.jp", immichAdminPassword: "x" },
  { immichAdminEmail: "admin@localhost", immichAdminPassword: "x" },
  { timeZone: "UTC" },
  { timeZone: "America/Argentina/Buenos_Aires" },
  { timeZone: "America/Port-au-Prince" },
  rotated("2026-12-01T00:00:00Z"),
  rotated("2020-02-29T23:59:59Z"),
  at("0 1 * * *"),
  at("30 3 28 * *"),
  at("30 3 */2 * 1-5"),
  { machineLearning: { remote: "http://[fd00::20]:3003/" } },
  main("nvme-eui.0025385b11b2c3d4"),
  main("pci-0000:01:00.0-usb-0:1:1.0-scsi-0:0:0:0"),
  { tokenDuration: "720h" },
  { tokenDuration: "87600h" },
  { sessionDuration: "1h" },
  host("127.0.0.1"),
  host("10.0.0.255"),
  host("fd00::14"),
  host("ouchi"),
  host("pi.home.arpa"),
  { domain: "yamada.co.jp" },
  { domain: "yamada.eu.org" },
  { domain: "yamada.test" },
  { domain: "xn--rhtu98c.jp" },
  main("wwn-0x5000c500a1b2c3d4"),
  main("nvme-CT1000P3SSD8_2238E6A1B2C3"),
  main("platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1:1.0-scsi-0:0:0:0"),
  main("ata-partner-disk"),
  called("健"),
  called("👨‍👩‍👧 おうち"),
  called("Jean-Luc O'Brien"),
  { imagesLock: "compose/images.lock.json" },
  { tokensRenewedOn: "2026-11-30", strictServiceTokens: true },
  { strictServiceTokens: "false" },
  { "pulumi:tags": "x", "cloudflare:baseUrl": "http://127.0.0.1:1" },
];
