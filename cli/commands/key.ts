import type { EngineArgs } from "../engine.ts";
import { piProgram, readObjectOnPi } from "../ssh.ts";
import { readPi } from "../stack-file.ts";

/** What `backup key` on the Pi prints. */
export interface RecoveryKey {
  passphrase: string;
  /** As `borg key export` writes it. */
  key: string;
  /** The repository's id. */
  repository: string;
  /** The backup disk, and its model and serial in words. */
  disk: { words: string; uuid: string };
}

/** `ouchi key`: the recovery sheet, for paper and a place outside the house. */
export async function key(args: EngineArgs, { json }: { json?: boolean }): Promise<void> {
  const { value: found } = await readObjectOnPi<RecoveryKey>(
    readPi(args),
    piProgram("backup", "key"),
    { name: "key", fields: ["passphrase", "key", "repository", "disk"] },
  );
  console.log(json ? JSON.stringify(found, null, 2) : recoverySheet(found, new Date()));
}

/** Everything that somebody needs who has this sheet, the backup disk and a Linux computer, and nothing of the kit. */
export function recoverySheet(found: RecoveryKey, today: Date): string {
  const commands = [
    "sudo apt-get install borgbackup",
    `sudo mount -o ro UUID=${found.disk.uuid} /mnt`,
    "sudo -i",
    "export BORG_RELOCATED_REPO_ACCESS_IS_OK=yes",
    "borg --bypass-lock list /mnt/borg/immich",
    "mkdir /photos && cd /photos",
    "borg --bypass-lock extract /mnt/borg/immich::ARCHIVE",
  ];
  const list = commands.map((line) => `    ${line}`).join("\n");
  return `THE FAMILY'S PHOTOS: RECOVERY SHEET           家族の写真の復旧シート
${today.toISOString().slice(0, 10)}

Print it, and keep it on paper outside the house. Whoever has it and the backup disk can see every photo.
印刷して、家の外で保管してください。この紙とバックアップ用ディスクがあれば、すべての写真を見ることができます。

Passphrase / パスフレーズ

    ${found.passphrase}

Disk / ディスク: ${found.disk.words}
Borg repository / リポジトリ: /borg/immich, id ${found.repository}


HOW TO GET THE PHOTOS BACK, with any Linux computer and Borg 1.2 or newer

${list}

It asks for the passphrase above. ARCHIVE is the last name in the list. The photos are then in
/photos/mnt/hdd1/immich/images/library, a folder for each person. The database, with albums and faces, is the
newest file in /photos/mnt/hdd1/immich/images/backups; docs/restore.md of ouchi-photos tells how a new Pi takes both.


写真を取り戻す方法(Linux のパソコンと Borg 1.2 以降があればできます)

${list}

途中で、上のパスフレーズを入力します。ARCHIVE は、一覧の最後の名前に置きかえてください。写真は
/photos/mnt/hdd1/immich/images/library に、人ごとのフォルダーで入っています。アルバムや顔の情報は、
/photos/mnt/hdd1/immich/images/backups のいちばん新しいファイル(データベース)にあります。新しい Raspberry Pi に
戻す手順は、ouchi-photos の docs/restore.md にあります。


THE KEY, for the day that "borg list" says the repository has none / 鍵(リポジトリの鍵が失われたとき)

It is of use with the passphrase only. Type it into a file "key", mount the disk without "-o ro", then:
パスフレーズと一緒でなければ使えません。ファイル「key」に書き写し、「-o ro」なしでマウントして、次を実行します。

    borg key import /mnt/borg/immich key

${found.key.trimEnd()}
`;
}
