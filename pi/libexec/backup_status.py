"""backup-status.json: what is known of the backups, for `health`, `backup status` and the laptop.

{format, running, last, lastGood, newest, drill, lastGoodDrill, cut, frozen, fault, changed, acceptedChanged, backupDisk}: the run that is at work, the last one however it
ended, the last good one with what it counted, the newest archive, the last two drills in the same way, and the start of a run that a
power cut ended, until one is good again. `frozen` is {since, message, shrunk} from a run that pruned nothing until one is good, or a
person accepts, whatever happens between; `fault` is {since, message} of a check, until a whole one finds nothing; `changed` are the ids of
photos that are not what Immich recorded, and `acceptedChanged` the SHA-1 by id of those that a person has left so; `backupDisk` is
{free, size, at}, of HDD2 when it was last put to sleep. Times are UTC, sizes bytes.
"""

import datetime

import cron_schedule
import host
from host import UserError

NAME = "backup-status.json"
CRON = "/etc/cron.d/ouchi-photos"
SINCE = host.STATE + "/backup-since"
# The counts of the last good run once more, beside its archives: a new SD card still knows what the library was.
BESIDE_ARCHIVES = host.BACKUP + "/last-good.json"
# A run may take this long before it is missed.
GRACE = datetime.timedelta(days=1)


def read():
    return host.kept_state(NAME, {"format": 1})


def write(**changes):
    host.keep_state(NAME, {**read(), **changes})


def frozen_run(started_at, message, shrunk):
    """A run has made an archive, and pruned nothing."""
    before = read().get("frozen") or {}
    frozen = {"since": before.get("since", started_at), "message": message, "shrunk": shrunk or before.get("shrunk", False)}
    ended_badly(started_at, message, result="frozen", frozen=frozen)


def ended_badly(started_at, message, result="failed", **also):
    """A run has ended otherwise than well. `also` is written with it."""
    write(last={"result": result, "message": message, "startedAt": started_at, "finishedAt": host.now()}, running=None, **also)


def good_run(started_at, counted):
    """A run has ended well, with HDD2 mounted."""
    done = {"result": "good", "startedAt": started_at, "finishedAt": host.now(), **counted}
    good = {"at": done["finishedAt"], **counted}
    host.write_json(BESIDE_ARCHIVES, good)
    write(last=done, lastGood=good, running=None, cut=None, frozen=None)


def last_good():
    """What the last good run counted, with HDD2 mounted; empty before the first."""
    return read().get("lastGood") or host.read_json(BESIDE_ARCHIVES) or {}


def schedule():
    for line in (host.read_text(CRON) or "").splitlines():
        fields = line.split()
        if len(fields) > 6 and fields[5] == "root":
            return " ".join(fields[:5])
    raise UserError(f'"{CRON}" holds no line of the kit; run "pulumi up" again.')


def local_time(stamp):
    """Of the Pi's zone, in which cron's line counts, without one."""
    return datetime.datetime.fromtimestamp(host.seconds_of(stamp))


def overdue():
    """When the run was due that did not end well within a day, and none has since; None when there is none."""
    known = read()
    good = known["lastGood"]["at"] if known.get("lastGood") else host.read_text(SINCE)
    due = cron_schedule.previous(schedule(), datetime.datetime.now() - GRACE)
    at_work = (known.get("running") or {}).get("bootId") == host.boot_id()
    return due if good and due and local_time(good) < due and not at_work else None
