"""backup-status.json: what is known of the backups, for `health`, `backup status` and the laptop.

{format, running, last, lastGood, newest, drill, lastGoodDrill}: the run that is at work, the last one however it ended, the last
good one with what it counted, the newest archive, and the last two drills in the same way. Times are UTC.
"""

import datetime

import host

NAME = "backup-status.json"


def read():
    return host.kept_state(NAME, {"format": 1})


def write(**changes):
    host.keep_state(NAME, {**read(), **changes})


def age_in_days(stamp):
    """Of a time as `host.now` writes it; negative when it is from the future."""
    then = datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")
    return (datetime.datetime.strptime(host.now(), "%Y-%m-%dT%H:%M:%SZ") - then).total_seconds() / 86400
