#!/usr/bin/python3 -B
"""hdparm, sdparm and smartctl before a USB disk: loop devices have neither motor nor SMART. What they print was recorded.

/run/stand-ins/bridge: "ata" (passes on hdparm's commands), "scsi" (sdparm's alone), "none" (says yes to both, and the disk goes
on spinning) or "none, not even the question" (hdparm then takes zeros for "standby", as before "scsi").
/run/stand-ins/smart/<device>.json: what smartctl prints; without it, what it prints before a bridge that it does not know.
"""

import json
import os
import sys

FOLDER = "/run/stand-ins"
ASLEEP = FOLDER + "/asleep"
UNKNOWN = {
    "json_format_version": [1, 0],
    "smartctl": {
        "version": [7, 4],
        "messages": [{"string": "/dev/sdb: Unknown USB bridge [0x152d:0x0578 (0x209)]", "severity": "error"}],
        "exit_status": 1,
    },
}


def bridge():
    try:
        with open(FOLDER + "/bridge") as file:
            return file.read().strip()
    except FileNotFoundError:
        return "ata"


def stop(obeys):
    if obeys:
        with open(ASLEEP, "w") as file:
            file.write("\n")


def main(name, arguments):
    match name, arguments:
        case "hdparm", ["-q", "-y", _]:
            if os.path.exists(ASLEEP):
                os.unlink(ASLEEP)
            stop(bridge() == "ata")
        case "hdparm", ["-C", device]:
            blind = bridge() not in ("ata", "none")
            if blind:
                print("SG_IO: bad/missing sense data, sb[]:  70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00", file=sys.stderr)
            state = "standby" if blind or os.path.exists(ASLEEP) else "active/idle"
            print(f"\n{device}:\n drive state is:  {state}")
        case "sdparm", ["--quiet", "--command=stop", _]:
            stop(bridge() == "scsi")
        case "sdparm", ["--command=ready", device]:
            print(f"    {device}: WDC       WD10EZEX          1012\n{'Not ready' if os.path.exists(ASLEEP) else 'Ready'}")
        case "smartctl", ["--json", "--device", "auto" | "sat", "--health", "--attributes", device]:
            try:
                with open(f"{FOLDER}/smart/{os.path.basename(device)}.json") as file:
                    found = json.load(file)
            except FileNotFoundError:
                found = UNKNOWN
            print(json.dumps(found))
            return found["smartctl"]["exit_status"]
        case _:
            sys.exit(f"stand-in: {name} was not expected to be called as {arguments}")
    return 0


with open(FOLDER + "/calls", "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\n")
sys.exit(main(os.path.basename(sys.argv[0]), sys.argv[1:]))
