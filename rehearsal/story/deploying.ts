import { readdirSync, readFileSync } from "node:fs";
import { parseDocument } from "yaml";
import type { World } from "../world.ts";
import { promise, type Step, until } from "./step.ts";

const gateAndTunnel = [
  "cloudflare:index/dnsRecord:DnsRecord hostname-record",
  "cloudflare:index/notificationPolicy:NotificationPolicy alerts-token-expiry",
  "cloudflare:index/notificationPolicy:NotificationPolicy alerts-tunnel-health",
  "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication gate-application",
  "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy gate-policy-family",
  "cloudflare:index/zeroTrustAccessPolicy:ZeroTrustAccessPolicy gate-policy-phones",
  "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken gate-token-ken-iphone",
  "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken gate-token-mio-iphone",
  "cloudflare:index/zeroTrustTunnelCloudflared:ZeroTrustTunnelCloudflared tunnel-tunnel",
  "cloudflare:index/zeroTrustTunnelCloudflaredConfig:ZeroTrustTunnelCloudflaredConfig tunnel-ingress",
  "immich:index:Admission admission",
  "immich:index:Revocation revocation",
  "random:index/randomBytes:RandomBytes tunnel-secret",
];

const piAndImmich = [
  "command:remote:Command pi-backup",
  "command:remote:Command pi-disks",
  "command:remote:Command pi-docker",
  "command:remote:Command pi-immich",
  "command:remote:Command pi-secrets",
  "command:remote:Command pi-system",
  "command:remote:Command pi-tunnel",
  "immich:index:Admin photos-admin",
  "immich:index:Deployed deployed",
  "immich:index:Preflight preflight",
  "immich:index:Restarted pi-restarted",
  "immich:index:SystemSettings photos-settings",
  "immich:index:User photos-user-ken",
  "immich:index:User photos-user-mio",
  "random:index/randomPassword:RandomPassword photos-first-password-ken",
  "random:index/randomPassword:RandomPassword photos-first-password-mio",
];

const protectedSecrets = [
  "random:index/randomPassword:RandomPassword secrets-admin-password",
  "random:index/randomPassword:RandomPassword secrets-borg-passphrase",
  "random:index/randomPassword:RandomPassword secrets-database-password",
];

/**
 * How many SSH connections there were since `before`. A busy machine now and then loses one that was
 * idle and opens it again, hence the room above what was expected; one more per resource or per
 * request does not fit into it.
 */
async function connectionsSince(world: World, before: string[], expected: number): Promise<number> {
  const since = (await world.logins()).slice(before.length);
  promise(
    since.length > 0 && since.length <= expected + 3,
    `${expected} SSH connections were expected, not these ${since.length}:\n${since.join("\n")}`,
  );
  return since.length;
}

export const upFromNothing: Step = {
  number: 1,
  title: "up from nothing makes the whole house, and no secret is seen anywhere",
  async live(world) {
    const argv = watchArguments();
    await world.watchPiArguments();
    const logins = await world.logins();
    const ran = await world.engine.up();
    const seenHere = argv.stop();
    promise(ran.exitCode === 0, `up failed with status ${ran.exitCode}:\n${ran.text}`);

    const resources = await world.engine.resources();
    const expected = [...gateAndTunnel, ...piAndImmich, ...protectedSecrets].sort();
    promise(
      JSON.stringify(resources) === JSON.stringify(expected),
      `The state does not hold the resources that were promised:\n${difference(resources, expected)}`,
    );

    // Seven commands, and the shared one of each of the two runs of the program.
    const connections = await connectionsSince(world, logins, 9);

    const canaries = await world.secrets();
    const seenOnPi = await world.piArguments();
    const places = {
      "standard output or error": world.engine.printed,
      "the plain part of the state": await world.engine.stateText(),
      "the arguments of a process on the laptop": seenHere,
      "the arguments of a process on the Pi": seenOnPi,
    };
    for (const [place, text] of Object.entries(places)) {
      for (const [name, secret] of Object.entries(canaries)) {
        promise(!text.includes(secret), `${name} stands in ${place}.`);
      }
    }
    promise(
      seenOnPi.includes("/usr/local/libexec/ouchi-photos/apply"),
      "The watch over the Pi's processes saw nothing of the deployment.",
    );
    return `${resources.length} resources over ${connections} SSH connections; ${Object.keys(canaries).length} secrets searched for in 4 places`;
  },
};

export const upAgain: Step = {
  number: 2,
  title: "up again, and preview: no change, no container restarted",
  async live(world) {
    const before = await world.containerStarts();
    const logins = await world.logins();
    const state = await world.engine.resources();
    for (const ran of [await world.engine.up(), await world.engine.preview()]) {
      promise(ran.exitCode === 0, `It failed with status ${ran.exitCode}:\n${ran.text}`);
      const changes = changesIn(ran.text);
      promise(changes.length === 0, `It would change something:\n${ran.text}`);
    }
    // An up runs the program twice, a preview once, and each looks at the Pi once.
    const connections = await connectionsSince(world, logins, 3);
    const after = await world.containerStarts();
    promise(
      JSON.stringify(before) === JSON.stringify(after),
      `A container was restarted:\n${difference(after, before)}`,
    );
    return `${state.length} unchanged, ${after.length} containers still up, ${connections} SSH connections in 3 runs`;
  },
};

export const grandmotherJoins: Step = {
  number: 9,
  title: "a grandmother joins by one entry in the family list and one up",
  async live(world) {
    const before = await world.engine.resources();
    const starts = await world.containerStarts();
    await world.engine.editSettings((text) => {
      const document = parseDocument(text);
      document.addIn(["config", "ouchi-photos:family"], {
        name: "baaba",
        displayName: "ばあば",
        email: "baaba@yamada.test",
        phones: [{ name: "pixel" }],
      });
      return document.toString();
    });
    const ran = await world.engine.up();
    promise(ran.exitCode === 0, `up failed with status ${ran.exitCode}:\n${ran.text}`);
    const added = (await world.engine.resources()).filter((each) => !before.includes(each));
    const expected = [
      "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken gate-token-baaba-pixel",
      "immich:index:User photos-user-baaba",
      "random:index/randomPassword:RandomPassword photos-first-password-baaba",
    ];
    promise(
      JSON.stringify(added) === JSON.stringify(expected),
      `Something else was made:\n${difference(added, expected)}`,
    );
    const changes = changesIn(ran.text).sort();
    const expectedChanges = ["3 created", "5 updated"];
    promise(
      JSON.stringify(changes) === JSON.stringify(expectedChanges),
      `Two policies, whom the gate lets in and the preflight's two notes should have changed, and three things been made:\n${ran.text}`,
    );
    promise(
      JSON.stringify(await world.containerStarts()) === JSON.stringify(starts),
      "A container was restarted.",
    );
    const phone = await world.phone("baaba", "pixel");
    const assets = await phone.assets();
    promise(assets.length === 0, `She sees ${assets.length} photos that are not hers.`);
    const kens = await (await world.phone("ken", "iphone")).assets();
    promise(kens.length > 0, "Ken sees no photo of his own, so that she sees none says nothing.");
    const stolen = await phone.send("GET", `/api/assets/${kens[0]!.id}`);
    promise(
      stolen.status === 400 || stolen.status === 403 || stolen.status === 404,
      `She was given Ken's photo: status ${stolen.status}.`,
    );
    return "3 made, no container restarted; she signs in and sees no other person's photos";
  },
};

export const destroyAndAdopt: Step = {
  number: 13,
  title: "destroy leaves photos, backups and keys, and a new up takes them up again",
  async live(world) {
    const refused = [
      await world.engine.ouchi("destroy"),
      await world.engine.direct(["destroy", "--yes"]),
    ];
    for (const ran of refused) {
      promise(
        ran.exitCode !== 0 && /protect/i.test(ran.text),
        `A plain destroy was not refused with a reason:\n${ran.text}`,
      );
    }
    const keys = await world.protectedSecrets();
    const phone = await world.phone("ken", "iphone");
    const photos = (await phone.assets()).map(({ id, checksum }) => `${id} ${checksum}`).sort();
    promise(photos.length > 0, "There is no photo that could be lost.");
    const from = (await world.cloudflare.requests()).length;

    const ran = await world.engine.ouchi("destroy", ["--exclude-protected"], ["--yes"]);
    promise(ran.exitCode === 0, `destroy failed with status ${ran.exitCode}:\n${ran.text}`);
    const deletions = (await world.cloudflare.requests())
      .slice(from)
      .filter(({ method }) => method === "DELETE")
      .map(({ path }) => path);
    promise(
      deletions[0]?.includes("/dns_records/") === true,
      `The host name did not go first: ${deletions.join(", ")}.`,
    );
    const left = await world.leftovers();
    promise(left.length === 0, `Something is left at Cloudflare: ${left.join(", ")}.`);
    const remaining = await world.engine.resources();
    promise(
      JSON.stringify(remaining) === JSON.stringify(protectedSecrets),
      `The state should hold the three protected secrets and nothing else:\n${difference(remaining, protectedSecrets)}`,
    );
    const onPi = await world.asRoot([
      ...["sh", "-c"],
      `pgrep -l 'containerd-shim|cloudflared|postgres|immich'
       find /usr/local/libexec/ouchi-photos /etc/cron.d/ouchi-photos /etc/systemd/system/ouchi-* -type f 2>/dev/null
       systemctl is-active docker.service | grep -x active; true`,
    ]);
    promise(onPi.stdout.trim() === "", `Something of the kit is left on the Pi:\n${onPi.stdout}`);
    const photosOnDisk = await world.photoFiles();

    const again = await world.engine.up();
    promise(
      again.exitCode === 0,
      `The new up failed with status ${again.exitCode}:\n${again.text}`,
    );
    promise(
      JSON.stringify(await world.protectedSecrets()) === JSON.stringify(keys),
      "A protected secret is another one now.",
    );
    promise(
      JSON.stringify(await world.photoFiles()) === JSON.stringify(photosOnDisk),
      "The photos' files are not the same.",
    );
    await until("The new tunnel", 120, async () => {
      const answer = await (await world.phoneHeaders("ken", "iphone")).send({
        path: "/api/server/ping",
      });
      return answer.status === 200;
    });
    // The password that he had; the new outputs say that it did not change.
    const signedIn = await world.phone("ken", "iphone", world.passwords.get("ken"));
    const after = (await signedIn.assets()).map(({ id, checksum }) => `${id} ${checksum}`).sort();
    promise(
      JSON.stringify(after) === JSON.stringify(photos),
      `Not every photo is there:\n${difference(after, photos)}`,
    );
    const archives = await world.archives();
    promise(archives.length > 0, "The newest archive does not open.");
    return `DNS first, nothing left at Cloudflare; ${photos.length} photos and ${archives.length} archives are back`;
  },
};

/** "3 created", "1 updated" of an engine's summary, without what stayed the same. */
function changesIn(text: string): string[] {
  // A run shows its preview's numbers first and its update's last.
  const summary = text.slice(text.lastIndexOf("Resources:"));
  return [...summary.matchAll(/(\d+) (?:to )?(created?|updated?|replaced?|deleted?)\b/g)].map(
    ([, count, what]) => `${count} ${what}`,
  );
}

function difference(found: string[], expected: string[]): string {
  return [
    ...found.filter((each) => !expected.includes(each)).map((each) => `  + ${each}`),
    ...expected.filter((each) => !found.includes(each)).map((each) => `  - ${each}`),
  ].join("\n");
}

/** Collects the arguments of every process on this machine until it is stopped. */
function watchArguments(): { stop(): string } {
  const seen = new Set<string>();
  const look = () => {
    for (const id of readdirSync("/proc")) {
      if (!/^\d+$/.test(id)) continue;
      try {
        seen.add(readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " "));
      } catch {
        // It has ended.
      }
    }
  };
  const timer = setInterval(look, 100);
  return {
    stop() {
      clearInterval(timer);
      return [...seen].join("\n");
    },
  };
}
