import { createHash } from "node:crypto";
import { takePhoto } from "./photo.ts";
import { promise, type Step, until } from "./step.ts";

const library = "/mnt/hdd1/immich/images/library";

export const phoneUploads: Step = {
  number: 5,
  title: "his phone uploads photos through edge, tunnel and Pi onto the disk",
  async live(world) {
    const phone = await world.phone("ken", "iphone");
    const seen: string[] = [];
    for (const [fileName, offset] of [
      ["IMG_そら 1.jpg", "+09:00"],
      ["IMG_0002.jpg", undefined],
    ] as const) {
      const photo = await takePhoto(fileName, "2022:02:03 23:30:00", offset);
      const id = await phone.upload(photo);
      const path = `${library}/ken/2022/2022-02-03/${fileName}`;
      const file = await until(`The file ${path}`, 60, async () => {
        const sum = await world.asRoot(["sha1sum", "--", path]);
        return sum.code === 0 && sum.stdout.slice(0, 40);
      });
      promise(
        Buffer.from(file, "hex").toString("base64") === photo.checksum,
        `The bytes at ${path} are not the photo's.`,
      );
      world.photos.set(fileName, { ...photo, id, path });
      seen.push(path);
    }
    return seen.join(" and ");
  },
};

export const photoComesBack: Step = {
  number: 8,
  title: "a photo deleted from database and disk comes back from the archive alone",
  async live(world) {
    const photo = world.photos.get("IMG_0002.jpg")!;
    const others = () =>
      world.sql(
        `select md5(string_agg(asset::text, '|' order by id)) from asset where id <> '${photo.id}'`,
      );
    const membership = () =>
      world.sql(`select count(*) from album_asset where "assetId" = '${photo.id}'`);
    promise((await membership()) === "1", "The photo was in no album before.");
    const before = await others();

    await world.sql(
      `begin; delete from album_asset where "assetId" = '${photo.id}'; delete from asset_exif where "assetId" = '${photo.id}'; delete from asset where id = '${photo.id}'; commit`,
    );
    await world.asRoot(["rm", "--", photo.path]);
    promise(
      (await world.sql(`select count(*) from asset where id = '${photo.id}'`)) === "0",
      "The row could not be deleted.",
    );

    const ran = await world.ouchiOnPi("restore", ["--photo", photo.fileName]);
    promise(ran.code === 0, `The restore failed with status ${ran.code}:\n${ran.text}`);
    const sum = await world.asRoot(["sha1sum", "--", photo.path]);
    promise(sum.code === 0, "The file is not back.");
    const stored = await world.sql(
      `select encode(checksum, 'hex') from asset where id = '${photo.id}'`,
    );
    promise(sum.stdout.startsWith(stored) && stored.length === 40, "Its SHA-1 is not the row's.");
    promise((await membership()) === "1", "It is not in its album any more.");
    promise((await others()) === before, "Another photo's row has changed.");
    const served = await (await world.phone("ken", "iphone")).send(
      "GET",
      `/api/assets/${photo.id}/original`,
    );
    promise(
      createHash("sha1").update(served.body).digest("base64") === photo.checksum,
      `Immich does not serve it again: status ${served.status}.`,
    );
    return "row, album and file are back; the other rows are unchanged";
  },
};

export const powerIsCut: Step = {
  number: 11,
  title: "the power is cut after an upload, and everything serves again by itself",
  async live(world) {
    const phone = await world.phone("ken", "iphone");
    const photo = await takePhoto("IMG_0011.jpg", "2022:02:04 08:00:00", "+09:00");
    const id = await phone.upload(photo);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await world.pi.powerCut();
    await world.pi.powerOn();
    await world.untilServing(300);
    const back = await world.phone("ken", "iphone");
    const row = await back.send("GET", `/api/assets/${id}`);
    if (row.status === 200) {
      const original = await back.send("GET", `/api/assets/${id}/original`);
      const whole =
        original.status === 200 &&
        createHash("sha1").update(original.body).digest("base64") === photo.checksum;
      if (whole) return "the photo is there, whole";
    }
    const listed = await until("The list of damaged photos", 120, async () => {
      const list = await world.asRoot(["cat", "/var/lib/ouchi-photos/damaged.json"]);
      return list.stdout.includes(id) || list.stdout.includes(photo.fileName);
    });
    promise(listed, "The photo is neither whole nor listed as damaged.");
    return "the photo is listed as damaged";
  },
};
