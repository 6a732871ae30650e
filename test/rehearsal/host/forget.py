"""forget.py SUBJECT: the Pi as it was before that subject's first `apply`; what is on the disks stays, but for `disks` itself."""

import json
import os
import subprocess
import sys

APPLIED = "/var/lib/ouchi-photos/applied.json"
BLANK_DISKS = """
mountpoint --quiet /mnt/hdd1 && umount /mnt/hdd1
for each in /mnt/hdd1 /mnt/hdd2; do [ -e $each ] && chattr -i $each && rmdir $each; done
for each in usb-ONE usb-TWO; do head -c 100M /dev/zero >/dev/disk/by-id/$each; done
sed -i '/hdd/d; /ouchi/d' /etc/fstab
"""


def edit(path, change):
    with open(path) as file:
        value = json.load(file)
    change(value)
    with open(path, "w") as file:
        json.dump(value, file)


def is_of(name, image):
    return ("cloudflared" in image) == (name == "tunnel")


name = sys.argv[1]
with open(APPLIED) as file:
    entry = json.load(file)["subjects"].get(name, {"units": {}, "files": {}, "masked": [], "packages": []})
for unit in entry["units"]:
    if f"/etc/systemd/system/{unit}" in entry["files"]:
        subprocess.run(["systemctl", "disable", "--now", unit], check=True)
for path in [*entry["files"], *(f"/etc/systemd/system/{unit}" for unit in entry["masked"])]:
    if os.path.lexists(path):
        os.unlink(path)
edit(APPLIED, lambda record: record["subjects"].pop(name, None))
edit("/run/stand-ins/state.json", lambda state: state.update(installed=[each for each in state["installed"] if each not in entry["packages"]]))
if name in ("immich", "tunnel"):
    edit("/run/stand-ins/docker.json", lambda state: state.update(images=[each for each in state["images"] if not is_of(name, each)]))
if name == "disks":
    subprocess.run(["sh", "-c", BLANK_DISKS], check=False)
    edit(APPLIED, lambda record: record["disks"].clear())
