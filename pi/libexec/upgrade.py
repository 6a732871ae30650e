"""One upgrade of Immich on this Pi: from the dump before it until its rows were counted after it, and for a week beyond.

/var/lib/ouchi-photos/upgrade.json: the images and versions it goes "from" and "to", the "dump" of before and its "rows", and
how far it has got ("state"):

  dumped    the old server is stopped, and nothing else was done yet
  started   the new containers were started, and nobody has counted yet
  good      the new server answered and has every row
  failed    it did not: it is stopped, and nothing starts until the database of before is back
  restored  the database of before is back, and the old server was not started yet
  back      the old server answered again
"""

import datetime
import re

import host
import photos
from host import UserError, run, say

RECORD = host.STATE + "/upgrade.json"
IMAGES = host.ETC + "/compose/immich/images.env"
# What reads and writes the rows.
JUDGED = ("immich-server", "postgres")
# Migrations of a large library on a hard disk; the unit allows an hour.
WAIT_SECONDS = 2700
# One end may be the weather; a migration that fails ends the server each time.
ENDS = 3
NO_PRUNE_DAYS = 7


def read():
    return host.read_json(RECORD)


def write(record, **changes):
    host.make_folder(host.STATE)
    host.write_json(RECORD, {**record, **changes})
    return {**record, **changes}


def tag(reference):
    return reference.split("@")[0].rpartition(":")[2]


def parsed(text):
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", text or "")
    return tuple(int(part) for part in match.groups()) if match else None


def variable(image):
    return image.upper().replace("-", "_") + "_IMAGE"


def laid_images():
    """The references in images.env, by their variables."""
    lines = (host.read_text(IMAGES) or "").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def text_of(variables):
    return "".join(f"{name}={reference}\n" for name, reference in variables.items())


def same(images, others):
    return all(images.get(key) == others.get(key) for key in JUDGED)


def is_old(images, record):
    """Of a database that was new to this card only the version of before is known."""
    if record["from"]:
        return same(images, record["from"])
    return parsed(tag(images["immich-server"])) == parsed(record["fromVersion"])


def open_record(about, dump, rows):
    write({"format": 1, **about, "state": "dumped", "dump": dump, "rows": rows, "at": host.now()})


def resume():
    """After a run that ended between the dump and the new containers: the old server, as it was, serves on."""
    record = read()
    if record and record["state"] == "dumped":
        run(["docker", "start", photos.SERVER_CONTAINER], check=False)


def begin():
    """Before containers are started: the record if they are the first of an upgrade, or of the way back; else None."""
    record = read()
    if record is None:
        return None
    laid = laid_images()
    images = {key: laid.get(variable(key)) for key in JUDGED}
    state = record["state"]
    if state in ("dumped", "started") and same(images, record["to"]):
        return write(record, state="started")
    if state in ("failed", "started"):
        raise UserError(told(record))
    if state == "restored":
        if not is_old(images, record):
            raise UserError(
                f'The database is that of Immich {record["fromVersion"]} again, and the images of {record["toVersion"]} are laid down. {lock_file(record)}'
            )
        return record
    return None


def wait_for_server():
    photos.wait_for_server(WAIT_SECONDS, server_ended)


def server_ended():
    shown = run(["docker", "inspect", "--format", "{{.RestartCount}} {{.State.Status}}", photos.SERVER_CONTAINER], check=False)
    count, _, status = shown.stdout.strip().partition(" ")
    if count.isdigit() and int(count) >= ENDS:
        return f"its container ended {count} times"
    return "its container has ended" if status in ("exited", "dead") else None


def lost_rows(before, after):
    return [f'"{table}" has {after.get(table, 0)} rows, and had {count}' for table, count in before.items() if after.get(table, 0) < count]


def end(record):
    """The server answers: are all rows there?"""
    if record["state"] == "restored":
        write(record, state="back", ended=host.now())
        say(f'Immich {record["fromVersion"]} serves again, with the database of before')
        return
    counted = photos.counts()["rows"]
    lost = lost_rows(record["rows"], counted)
    if lost:
        raise UserError(f'rows are missing: {"; ".join(lost)}.')
    write(record, state="good", ended=host.now())
    say(f'Immich {record["toVersion"]} has every row: {counted}')


def fail(record, problem):
    """Only the server is stopped: what it has left is looked at, and replaced, in the database that runs."""
    run(["docker", "stop", "--time", "60", photos.SERVER_CONTAINER], check=False)
    raise UserError(told(write(record, state="failed", problem=problem, ended=host.now())))


def unfinished():
    """The record of an upgrade whose database has to make way for the one of before."""
    record = read()
    return record if record and record["state"] in ("failed", "started") else None


def lock_file(record):
    if not record["from"]:
        return f'Put the images of Immich {record["fromVersion"]} into compose/images.lock.json (or the file that imagesLock names), then run "pulumi up".'
    changed = [f'\n     {name}: {reference}' for name, reference in record["from"].items() if record["to"].get(name) != reference]
    return f'Put these back into compose/images.lock.json (or the file that imagesLock names), then run "pulumi up":{"".join(changed)}'


def told(record):
    shown = f'Immich {record["fromVersion"]} → {record["toVersion"]}'
    what = "failed" if record["state"] == "failed" else "was cut before its rows were counted"
    return (
        f'The upgrade {shown} {what}: {record.get("problem", "nobody knows yet whether it lost any.")}\n'
        f'The photo server is stopped; the database runs as {record["toVersion"]} left it; the dump of before, with {record["rows"]}, is kept, and no '
        "archive is pruned. The way back:\n"
        f'  1. cli/ouchi restore --database {record["dump"]}\n     (or on the Pi: sudo {host.LIBEXEC}/restore --database {record["dump"]})\n'
        f"  2. {lock_file(record)}\n"
        f'If it is as it should be, "sudo {host.LIBEXEC}/upgrade-check accept" on the Pi takes it as good instead.'
    )


def no_prune():
    """(why nothing may be pruned now, whether that is an alarm), or None."""
    record = read()
    if record is None or record["state"] == "dumped":
        return None
    shown = f'Immich {record["fromVersion"]} → {record["toVersion"]}'
    if record["state"] not in ("good", "back"):
        return f'the upgrade {shown} of {record["at"]} has not ended well', True
    ended = datetime.datetime.strptime(record["ended"], "%Y-%m-%dT%H:%M:%SZ")
    until = ended + datetime.timedelta(days=NO_PRUNE_DAYS)
    if datetime.datetime.strptime(host.now(), "%Y-%m-%dT%H:%M:%SZ") < until:
        return f'the upgrade {shown} ended on {ended:%Y-%m-%d}; pruning goes on from {until:%Y-%m-%d}', False
    return None
