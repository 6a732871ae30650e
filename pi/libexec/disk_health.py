"""What a disk tells of itself, asked while it is awake anyway, and whether it sleeps when it is told to.

Asked in each run, not by a program that stays in memory and wakes HDD2.
"""

import contextlib
import json

import backup_status
import host
from host import UserError, output, run, say

# Sectors that wait to be read again, and those that never could be (raw values).
UNREADABLE = (197, 198)


def device_of(folder):
    """The whole disk below a mount point: /dev/sdb, not /dev/sdb1."""
    source = output(["findmnt", "-n", "-o", "SOURCE", "--mountpoint", folder], check=False)
    parent = output(["lsblk", "-n", "-o", "PKNAME", source], check=False).splitlines() if source else []
    return f"/dev/{parent[0]}" if parent and parent[0] else source


def ask(device):
    """What smartctl answers, as JSON; {} when the disk, or the USB bridge before it, tells nothing."""
    found = {}
    # Many bridges are passed through as SATA and are not in smartctl's list.
    for kind in ("auto", "sat"):
        try:
            done = run(["smartctl", "--json", "--device", kind, "--health", "--attributes", device], check=False, timeout=120)
            found = json.loads(done.stdout)
        except (UserError, ValueError):
            return {}
        if "passed" in found.get("smart_status", {}):
            return found
    return {}


def look(role):
    """{verdict: "well", "failing" or "unknown", unreadable: sectors or None, hours: of its life, or None}."""
    found = ask(device_of(host.MOUNT_POINTS[role]))
    passed = found.get("smart_status", {}).get("passed")
    table = {each["id"]: each.get("raw", {}).get("value", 0) for each in found.get("ata_smart_attributes", {}).get("table", [])}
    return {
        "verdict": "unknown" if passed is None else "well" if passed else "failing",
        "unreadable": max(table.get(number, 0) for number in UNREADABLE) if table else None,
        "hours": found.get("power_on_time", {}).get("hours"),
    }


def note():
    """Looks at both, and keeps what they tell for the status."""
    told = {role: look(role) for role in host.MOUNT_POINTS}
    backup_status.write(smart=told)
    for role, each in told.items():
        say(f"{role} disk: {words(each)}")
    return told


def words(told):
    if told["verdict"] == "unknown":
        return "it tells nothing of its health, as behind many USB bridges"
    verdict = "it expects to fail soon" if told["verdict"] == "failing" else "it says that it is well"
    return verdict + (f', with {told["unreadable"]} sectors that it could not read' if told["unreadable"] else "")


def put_to_sleep(device):
    """ATA's command, then SCSI's: bridges pass on the one or the other, or neither. `device` is unmounted."""
    tried = (["hdparm", "-q", "-y", device], ["sdparm", "--quiet", "--command=stop", device])
    asleep = False
    for command in tried:
        # An older installation lacks sdparm, and no photo hangs on it.
        with contextlib.suppress(UserError):
            run(command, check=False)
            asleep = is_asleep(device)
        if asleep:
            break
    if asleep:
        say("the backup disk sleeps")
    else:
        say("the backup disk does not sleep, or does not say so, when it is told to: its USB bridge does not pass it on", host.NOTICE)
    if backup_status.read().get("backupDiskSleeps") != asleep:
        backup_status.write(backupDiskSleeps=asleep)


def is_asleep(device):
    """By ATA's question, and SCSI's where the bridge does not pass that on: hdparm then calls an answer of zeros standby."""
    told = run(["hdparm", "-C", device], check=False)
    if told.returncode == 0 and "sense data" not in told.stdout + told.stderr:
        return "standby" in told.stdout
    return "not ready" in output(["sdparm", "--command=ready", device], check=False).lower()
