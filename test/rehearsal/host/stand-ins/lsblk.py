#!/usr/bin/python3 -B
"""The machine's own lsblk; of the devices in /run/stand-ins/labels.json it tells serial number and model, as of USB disks."""

import json
import subprocess
import sys

done = subprocess.run(["/usr/bin/lsblk", *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=False)
try:
    shown = json.loads(done.stdout)
except ValueError:
    print(done.stdout, end="")
    sys.exit(done.returncode)
with open("/run/stand-ins/labels.json") as file:
    labels = json.load(file)
for device in shown["blockdevices"]:
    device.update({key: value for key, value in labels.get(device.get("path"), {}).items() if key in device})
print(json.dumps(shown))
sys.exit(done.returncode)
