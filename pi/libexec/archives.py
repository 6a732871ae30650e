"""The Borg repository on HDD2."""

import configparser
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import time

import backup_status
import disk_health
import host
from host import UserError, run, say

REPOSITORY = host.BACKUP + "/borg/immich"
CONFIG = host.ETC + "/borgmatic.yaml"
PASSPHRASE = host.SECRETS + "/borg-passphrase"
MAIN_KIT = host.MAIN + "/kit"
RECORD = host.STATE + "/repository.json"
KEY_COPY = host.STATE + "/borg-key"


def kit_folder():
    """For caches and temporary files: not on the SD card, which is small, wears and may be full. HDD2 serves while HDD1 takes no writes."""
    return (host.MAIN if host.is_writable(host.MAIN) else host.BACKUP) + "/kit"


def environment():
    kit = kit_folder()
    return {
        "BORG_PASSCOMMAND": f"cat {PASSPHRASE}",
        # The cache: without it a run reads every photo again.
        "BORG_BASE_DIR": f"{kit}/borg",
        "TMPDIR": f"{kit}/tmp",
        # HDD2 may have served another Pi before this one.
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no",
    }


def borg(*arguments, check=True, **options):
    done = run(["borg", *arguments], environment=environment(), check=False, **options)
    if check and done.returncode != 0:
        if "passphrase" in (done.stderr or "").lower():
            raise UserError(
                f'The passphrase in "{PASSPHRASE}" does not open the backups at "{REPOSITORY}". The right one stands on the recovery sheet: give it to '
                'the stack by "pulumi config set --secret ouchi-photos:borgPassphrase" and run "pulumi up" again. Nothing was changed.'
            )
        # After a stack of its own Borg tells of its platform, which helps nobody here.
        raise host.CommandFailed(["borg", *arguments], done.returncode, (done.stderr or "").split("\nPlatform: ")[0])
    return done


def borgmatic(*arguments):
    """borg's warnings are errors here; the answer is None or what was said."""
    config = CONFIG
    if kit_folder() != MAIN_KIT:
        config = host.RUN + "/borgmatic.yaml"
        host.write_file(config, (host.read_text(CONFIG) or "").replace(MAIN_KIT, kit_folder()).encode(), 0o600)
    done = run(["borgmatic", "--config", config, "--no-color", "--verbosity", "-1", *arguments], environment=environment(), check=False)
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return "\n".join(lines[-15:]) or f"status {done.returncode}"


def create(known):
    """The name of a new archive beside those of these names, None if there is none, and what was said where that is no success."""
    name, problem = create_named()
    if problem and cache_folder() in problem:
        drop_cache()
        name, problem = create_named()
    if problem is None:
        return name, None
    made = [each["name"] for each in listed() if each["name"] not in known]
    return (made[-1] if made else None), problem


def create_named():
    # As borgmatic.yaml would name it: to ask for the name afterwards starts Borg once more, which is slow on a Pi.
    name = f"immich-{host.stamp()}"
    return name, borgmatic("--override", f"archive_name_format={name}", "create")


@contextlib.contextmanager
def awake():
    """HDD2, mounted while it is needed; nothing is written unless it is the right disk."""
    if "backup" not in host.read_applied()["disks"]:
        raise UserError('No backup disk is set up on this Pi; run "pulumi up" first.')
    mounted = host.is_mounted(host.BACKUP)
    if not mounted:
        result = run(["mount", host.BACKUP], check=False)
        # mount(8) is silent about an absent disk that is marked nofail.
        if not host.is_mounted(host.BACKUP):
            raise UserError(
                f'The backup disk ({host.disk_words("backup")}) could not be mounted at "{host.BACKUP}": {result.stderr.strip() or "no such disk"}. '
                "Is it plugged in and powered? Nothing was written."
            )
    try:
        host.require_disk("backup")
        yield
    except BaseException:
        try:
            put_to_sleep()
        except UserError as error:
            # What went wrong first is what the owner has to know.
            say(str(error), host.WARNING)
        raise
    put_to_sleep()


def put_to_sleep():
    if not host.is_mounted(host.BACKUP):
        return
    device = disk_health.device_of(host.BACKUP)
    # For the status: nobody can ask while it sleeps.
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(host.BACKUP)
        backup_status.write(backupDisk={"free": usage.free, "size": usage.total, "at": host.now()})
    os.sync()
    for _ in range(10):
        if run(["umount", host.BACKUP], check=False).returncode == 0:
            break
        time.sleep(1)
    else:
        raise UserError(f'"{host.BACKUP}" is busy and could not be unmounted; see "fuser -vm {host.BACKUP}" on the Pi.')
    disk_health.put_to_sleep(device)


def running_borgs():
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "comm").read_text().strip() == "borg":
                found.append(folder.name)
    return found


def break_stale_lock():
    """Borg keeps a lock whose process number is in use again after a boot. The disk is ours alone: no borg here, no holder.

    Its cache has one of its own, on the other disk, where it may outlive that of the repository.
    """
    places = [REPOSITORY, f"{cache_folder()}/{repository_config().get('repository', 'id', fallback='')}"]
    holders = [name for place in places if os.path.isdir(f"{place}/lock.exclusive") for name in os.listdir(f"{place}/lock.exclusive")]
    if not holders and not any(os.path.exists(f"{place}/lock.roster") for place in places):
        return
    busy = running_borgs()
    if busy:
        raise UserError(
            f'The backups at "{REPOSITORY}" are locked by "{", ".join(holders) or "another reader"}", and borg is running (process {", ".join(busy)}). '
            "Wait for it to end and try again. Nothing was changed."
        )
    borg("break-lock", REPOSITORY)
    say("took away the lock of a run that was cut")


def repository_config():
    """Empty where it cannot be read, which Borg tells of."""
    config = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        config.read(REPOSITORY + "/config")
    return config


# What Borg's cache of one repository is made of.
CACHE_FILES = ("config", "chunks", "files")
# Linux has long written a file to the disk that is so old, in seconds.
SETTLED = 120


def cache_folder():
    """Of Borg's cache, with a folder for each repository."""
    return kit_folder() + "/borg/.cache/borg"


def drop_cache():
    """The next run makes it again, and reads every photo for it."""
    shutil.rmtree(cache_folder(), ignore_errors=True)
    say("what Borg knew of the photos' files is spoiled, as by a power cut: the next archive reads them all")


def mend_cache():
    """After a power cut in a run Borg would roll its cache back to copies that never reached the disk, and fail at every run from then on.

    Until the end of a run, what the copies were made of lies untouched beside them, and serves; else the cache goes. Source: LocalCache's
    begin_txn, commit and rollback in Borg 1.4.
    """
    for cache in pathlib.Path(cache_folder()).glob("*/"):
        files, copies = [cache / name for name in CACHE_FILES], cache / "txn.active"
        if copies.exists():
            settled = copies.stat().st_mtime - SETTLED
            if all(each.exists() and each.stat().st_mtime < settled for each in files):
                shutil.rmtree(copies)
        if copies.exists() or "[cache]" not in (host.read_text(files[0]) or ""):
            return drop_cache()


def lend_reserve(lent):
    """Room that Borg leaves, for the day on which the disk is full."""
    borg("config", REPOSITORY, "additional_free_space", "0" if lent else "2G")


def take_back_reserve():
    """A power cut while it was lent leaves it so."""
    if repository_config().get("repository", "additional_free_space", fallback="") == "0":
        lend_reserve(False)


def exists():
    return os.path.exists(REPOSITORY + "/config")


def recorded_id():
    """The repository that this disk must hold; None for a disk that is new to the house."""
    mark = host.read_json(f"{host.BACKUP}/{host.SENTINEL}") or {}
    record = host.read_json(RECORD) or {}
    if record.get("disk") in (None, mark.get("uuid")):
        return record.get("id") or mark.get("repository")
    return mark.get("repository")


def record_repository(found):
    """The copy of the key of an earlier disk's repository is kept beside the new one's."""
    mark = host.read_json(f"{host.BACKUP}/{host.SENTINEL}")
    before, now = host.read_json(RECORD), {"id": found, "disk": mark["uuid"]}
    if before and before["id"] != found and os.path.exists(KEY_COPY):
        os.rename(KEY_COPY, f'{KEY_COPY}-{before["id"][:8]}')
        say(f'the backups go on in the repository "{found}" of another disk; "{before["id"]}" was the last')
    if before != now:
        host.make_folder(host.STATE)
        host.write_json(RECORD, now)
    if mark.get("repository") != found:
        host.write_json(f"{host.BACKUP}/{host.SENTINEL}", {**mark, "repository": found})


def open_repository(create=False):
    """Makes the repository once; afterwards a missing or another one is an error, never a reason to begin anew. Answers as `listed`."""
    known = recorded_id()
    if not os.path.exists(PASSPHRASE):
        raise UserError(f'The passphrase of the backups is missing at "{PASSPHRASE}"; run "pulumi up" again. Nothing was changed.')
    for name in ("borg", "tmp"):
        host.make_folder(f"{kit_folder()}/{name}", 0o700)
    if not exists():
        if known:
            raise UserError(
                f'The backups (repository "{known}") are not at "{REPOSITORY}" any more. The kit does not begin new ones over lost ones: '
                "is this the right disk? Nothing was changed."
            )
        if not create:
            raise UserError(f'There are no backups at "{REPOSITORY}" yet. Nothing was changed.')
        host.make_folder(os.path.dirname(REPOSITORY), 0o700)
        borg("init", "--encryption", "repokey-blake2", REPOSITORY)
        lend_reserve(False)
        say(f"made an encrypted repository at {REPOSITORY}")
    break_stale_lock()
    take_back_reserve()
    mend_cache()
    # Borg is slow to start on a Pi: one answer tells the repository and its archives.
    found, present = read()
    if known and known != found:
        raise UserError(
            f'"{REPOSITORY}" is the repository "{found}", but this house\'s backups are "{known}". Is this the right disk? Nothing was changed.'
        )
    record_repository(found)
    if not os.path.exists(KEY_COPY):
        # The key lies in the repository, sealed by the passphrase; a repository whose config is lost opens with this copy.
        key = borg("key", "export", REPOSITORY).stdout
        host.write_file(KEY_COPY, key.encode(), 0o600)
    return present


def read():
    """The repository's id, and its archives as `listed` answers them."""
    told = json.loads(borg("list", "--json", REPOSITORY).stdout)
    return told["repository"]["id"], [{"name": each["name"], "time": each["time"]} for each in told["archives"]]


def listed():
    """Oldest first: name and time."""
    return read()[1]


def show(present):
    for each in present:
        say(f'{each["name"]}  {each["time"]}')


def names(present):
    """Oldest first; at least one."""
    found = [each["name"] for each in present]
    if not found:
        raise UserError("There is no archive on the backup disk yet. Nothing was changed.")
    return found


# Of an archive that nobody should rely on before somebody has looked: retention counts it neither for a good one's week nor
# for its month.
APART = "frozen-"
APART_IS_KEPT = "6m"
WHERE_ROOM_IS_SHORT = "1m"


def set_apart(archive):
    """Answers its name from now on, the one it had where Borg finds no room for another."""
    name = APART + archive.removeprefix("immich-")
    done = borg("rename", f"{REPOSITORY}::{archive}", name, check=False)
    return name if done.returncode == 0 else archive


def thin_apart(present, kept=APART_IS_KEPT):
    if any(each["name"].startswith(APART) for each in present):
        borg("prune", "--glob-archives", APART + "*", "--keep-within", kept, REPOSITORY)


def fault():
    """What Borg's whole check of repository and archives finds, None when there is nothing. borgmatic's takes an hour and goes on from there in the next
    week, also past what it has found.
    """
    done = borg("check", REPOSITORY, check=False)
    return None if done.returncode == 0 else (done.stderr or "").strip()[-1500:] or f"status {done.returncode}"


def from_the_future(present):
    """Names of those that were made while the clock was wrong, or that are judged by one that is."""
    now = datetime.datetime.now()
    return [each["name"] for each in present if datetime.datetime.fromisoformat(each["time"]).replace(tzinfo=None) > now]


def newest(present):
    """The name of the last, but of one from the future where there is another."""
    found, ahead = names(present), from_the_future(present)
    return next((each for each in reversed(found) if each not in ahead), found[-1])


# What people gave: neither dumps, which come and go, nor what Immich makes from photos. Of the films in encoded-video, those
# of Android's motion photos alone are archived, and are originals with rows of their own.
ORIGINALS = ("library", "upload", "profile", "encoded-video")


def photo_files(archive):
    """path on the Pi → bytes of the files in the originals' folders, without Immich's own markers."""
    found = recorded(archive, [f"{host.UPLOADS}/{name}" for name in ORIGINALS])
    return {path: size for path, (size, _) in found.items() if not path.endswith("/.immich")}


def literal_path(path):
    """Not pf:, a whole path: Borg finds it and then complains, with status 1, that it never matched."""
    return f"pp:{path.lstrip('/')}"


def extract(archive, paths, folder):
    """Extracts whole paths (as they are on the Pi) below `folder`; a path that the archive lacks is an error of borg's."""
    wanted = [literal_path(path) for path in paths]
    return borg("extract", "--numeric-ids", f"{REPOSITORY}::{archive}", *wanted, cwd=folder)


def recorded(archive, paths):
    """Of each file at or below these paths: path on the Pi → (bytes, whether it is whole). Borg keeps zeros in the place of what a repair found lost."""
    wanted = [literal_path(path) for path in paths]
    if not wanted:
        return {}
    items = borg("list", "--format", "{type} {size} {health} {path}{NUL}", f"{REPOSITORY}::{archive}", *wanted).stdout.split("\0")
    fields = [each.split(" ", 3) for each in items if each.startswith("- ")]
    return {"/" + path: (int(size), health == "healthy") for _, size, health, path in fields}


def sha1_of(archive, paths):
    """path on the Pi → SHA-1 of what the archive holds there, in hexadecimal digits."""
    wanted = [literal_path(path) for path in paths]
    if not wanted:
        return {}
    items = borg("list", "--format", "{type}{sha1} {path}{NUL}", f"{REPOSITORY}::{archive}", *wanted).stdout.split("\0")
    return {"/" + path: digest for digest, _, path in (each[1:].partition(" ") for each in items if each.startswith("-"))}
