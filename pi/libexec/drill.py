"""The drill: the newest archive is restored beside the house, and what comes out is compared with what went in.

Its database goes into a PostgreSQL of its own, of the same image, without a network; some of its photos are extracted. The house
goes on serving, and nothing of the drill is left.
"""

import os
import shutil
import time

import archives
import backup_status
import dumps
import host
import photos
import upgrade
from host import UserError, run, say

CONTAINER = "ouchi_drill"
FOLDER = host.MAIN + "/kit/drill"
FILES = FOLDER + "/files"
# In the container, as compose.yaml has it.
PASSWORD = "/run/secrets/database-password"
PHOTOS = 50
# Held by the weekly run that comes 28 days later, even when that is done sooner in the night.
EVERY_DAYS = 27


class Failed(UserError):
    """The archive was made; what it gave back was not what went in."""


def is_due():
    good = backup_status.read().get("lastGoodDrill")
    return good is None or not 0 <= host.age_in_days(good["at"]) < EVERY_DAYS


def hold():
    """With HDD2 mounted and the repository open. A drill that fails is written down, and an error."""
    started = host.now()
    backup_status.write(drill={"result": "begun", "at": started, "bootId": host.boot_id()})
    try:
        done = {"result": "good", "at": started, **restore_beside()}
    except (UserError, OSError) as error:
        backup_status.write(drill={"result": "failed", "at": started, "message": str(error)})
        raise Failed(f"The drill failed: {error}") from None
    backup_status.write(drill=done, lastGoodDrill=done)
    say(f'the drill is good: {done["archive"]} gave back {photos.words(done["rows"])}; {done["photos"]} photos are as their checksums say')


def note_end():
    """Of one that was ended from outside in this boot. Answers whether there was one. For whom no drill is at work."""
    left = backup_status.read().get("drill") or {}
    if left.get("result") != "begun" or left.get("bootId") != host.boot_id():
        return False
    backup_status.write(drill={**left, "bootId": None})
    return True


def restore_beside():
    archive = archives.newest(archives.listed())
    clear()
    try:
        say(f"drill: restoring {archive} beside the house")
        prove_key_export(archive)
        dump, manifest = dumps.stage(archive, FILES)
        if manifest is None:
            raise UserError(f'The archive "{archive}" does not tell how many rows its dump has.')
        dumps.require_room(dump, "a drill with")
        start_database()
        dumps.load(dump, photos.DATABASE, CONTAINER)
        rows = photos.counts(container=CONTAINER)["rows"]
        if rows != manifest["rows"]:
            raise UserError(f'The database of "{archive}" has {photos.words(rows)}, but its dump was made of {photos.words(manifest["rows"])}.')
        return {"archive": archive, "rows": rows, "photos": compare(archive)}
    finally:
        clear()


def clear():
    """Also what a drill has left that was cut."""
    run(["docker", "rm", "--force", CONTAINER], check=False)
    shutil.rmtree(FOLDER, ignore_errors=True)


def prove_key_export(archive):
    """Opens the archives by the copy of the key alone, as after a repository's config is lost."""
    beside = FOLDER + "/repository"
    host.make_folder(beside, 0o700)
    for name in os.listdir(archives.REPOSITORY):
        if name != "config" and not name.startswith("lock"):
            os.symlink(f"{archives.REPOSITORY}/{name}", f"{beside}/{name}")
    config = archives.repository_config()
    config.remove_option("repository", "key")
    with open(beside + "/config", "w") as file:
        config.write(file)
    own = {"BORG_BASE_DIR": FOLDER + "/borg"}
    for words in (["key", "import", beside, archives.KEY_COPY], ["list", "--short", beside]):
        done = run(["borg", *words], environment={**archives.environment(), **own}, check=False)
        if done.returncode != 0:
            raise UserError(f'The copy of the key, "{archives.KEY_COPY}", does not open the archives: {done.stderr.strip()[-600:]}')
    if archive not in done.stdout.split():
        raise UserError(f'By the copy of the key, "{archives.KEY_COPY}", the archive "{archive}" is not seen.')


def start_database():
    data = FOLDER + "/postgres"
    host.make_folder(data, 0o700)
    image = upgrade.laid_images()[upgrade.variable("postgres")]
    run(
        ["docker", "run", "--detach", "--name", CONTAINER, "--network", "none", "--shm-size", "128m", "--memory", "1g",
         "--mount", f"type=bind,source={data},target=/var/lib/postgresql/data",
         "--mount", f"type=bind,source={host.SECRETS}/database-password,target={PASSWORD},readonly",
         "--env", f"POSTGRES_PASSWORD_FILE={PASSWORD}", "--env", f"POSTGRES_DB={photos.DATABASE}", "--env", "DB_STORAGE_TYPE=HDD", image],
    )  # fmt: skip
    # Over TCP: at its first start it answers on the socket, stops, and only then begins to serve.
    asked = ["docker", "exec", CONTAINER, "pg_isready", "--host=127.0.0.1", "--quiet", "--username=postgres", f"--dbname={photos.DATABASE}"]
    deadline = time.monotonic() + 600
    while run(asked, check=False).returncode != 0:
        if time.monotonic() > deadline or not photos.is_running(CONTAINER):
            log = run(["docker", "logs", "--tail", "15", CONTAINER], check=False)
            raise UserError(f"A PostgreSQL beside the house did not come up. Its last lines:\n{log.stdout}{log.stderr}")
        time.sleep(2)


def compare(archive):
    """Every original that the dump names is in the archive, but as many as were known to be nowhere; some are extracted and hashed. A few empty
    ones are what power cuts have left of them, and `backup` counts them.
    """
    copied = archives.photo_files(archive)
    named = photos.originals(CONTAINER).values()
    absent = sorted(place for place in named if place not in copied)
    if len(absent) > (backup_status.read().get("lastGood") or {}).get("lost", 0):
        raise UserError(f'"{archive}" lacks {len(absent)} photos that its dump names: {"; ".join(absent[:5])}.')
    places = {photos.on_host(each["originalPath"]): each for each in photos.some_originals(PHOTOS, CONTAINER)}
    chosen = sorted(place for place in places if copied.get(place))
    if named and not chosen:
        raise UserError(f'"{archive}" gave back none of the {len(named)} photos that its dump names.')
    if chosen:
        archives.extract(archive, chosen, FILES)
    wrong = [
        f'{place} of {places[place]["owner"]} is not what its checksum says'
        for place in chosen
        if photos.sha1(FILES + place) != photos.checksum_bytes(places[place]["checksum"])
    ]
    if wrong:
        raise UserError(f'Of {len(chosen)} photos of "{archive}", {len(wrong)} did not come back: {"; ".join(wrong)}.')
    return len(chosen)
