#!/usr/bin/python3 -B
"""The real lsblk, which without udev knows no file system of a loop device, and calls it no disk: both are filled in. The loop devices
of other worlds are left out."""

import json
import os
import subprocess
import sys

TAGS = {"fstype": "TYPE", "label": "LABEL", "uuid": "UUID"}
done = subprocess.run(["/usr/bin/lsblk", *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=False)
if done.returncode or "--json" not in sys.argv:
    sys.stdout.write(done.stdout)
    sys.exit(done.returncode)
kept = []
for each in json.loads(done.stdout)["blockdevices"]:
    if each["path"].startswith("/dev/loop"):
        if not os.path.exists(each["path"]):
            continue
        if "type" in each:
            each["type"] = "disk"
        for key, tag in TAGS.items():
            shown = subprocess.run(["blkid", "-p", "-o", "value", "-s", tag, each["path"]], stdout=subprocess.PIPE, text=True, check=False)
            each[key] = shown.stdout.strip() or None
    kept.append(each)
print(json.dumps({"blockdevices": kept}))
