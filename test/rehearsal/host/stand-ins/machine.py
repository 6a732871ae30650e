#!/usr/bin/python3 -B
"""Stands in for what only a booted machine has: systemd, apt, dpkg, udev, the clock's service. Each command knows the
few forms that the kit uses and ends with an error at any other. Every call is a line in /run/stand-ins/calls."""

import glob
import json
import os
import subprocess
import sys

FOLDER = "/run/stand-ins"
STATE = FOLDER + "/state.json"
# Of the package archive, as they were read last.
LISTS = FOLDER + "/package-lists"
UNITS = "/etc/systemd/system"
# By unit that runs, what systemd knows of its files: from its start, or the last daemon-reload.
READ = FOLDER + "/units-read.json"


def read_json(path, otherwise):
    if os.path.exists(path):
        with open(path) as file:
            return json.load(file)
    return otherwise


def write_json(path, value):
    # Whole, also for a command that reads it meanwhile.
    waiting = f"{path}.{os.getpid()}"
    with open(waiting, "w") as file:
        json.dump(value, file)
    os.replace(waiting, path)


def load():
    return read_json(STATE, {"active": [], "enabled": [], "installed": [], "fails": []})


def unknown(argv):
    sys.exit(f"stand-in: unknown form of the command: {' '.join(argv)}")


def setting(unit, key):
    """A value of a unit file of the kit; None for units that are not the kit's."""
    path = f"{UNITS}/{unit}"
    if not os.path.isfile(path) or os.path.realpath(path) == "/dev/null":
        return None
    with open(path) as file:
        return next((line.split("=", 1)[1].strip() for line in file if line.startswith(key + "=")), None)


def carry_out(unit, key, environment=os.environ):
    command = setting(unit, key)
    return subprocess.run(command.split(), check=False, env=environment).returncode if command else 0


def stop(unit):
    result = "success" if carry_out(unit, "ExecStop") == 0 else "exit-code"
    carry_out(unit, "ExecStopPost", {**os.environ, "SERVICE_RESULT": result})


def files_of(unit):
    found = []
    for path in [f"{UNITS}/{unit}", *sorted(glob.glob(f"{UNITS}/{unit}.d/*.conf"))]:
        if os.path.exists(path):
            with open(path) as file:
                found.append(file.read())
    return found


def runs_with(unit):
    """systemd runs a unit by what it has read of it, whatever lies on the disk since."""
    known = read_json(READ, {})
    if known.setdefault(unit, files_of(unit)) != files_of(unit):
        sys.exit(f"stand-in: the files of {unit} changed on disk, and nobody ran 'systemctl daemon-reload'")
    write_json(READ, known)


def systemctl(arguments, state):
    if arguments[0] in ("start", "restart", "reload-or-restart"):
        runs_with(arguments[-1])
    match arguments:
        case ["daemon-reload"]:
            write_json(READ, {unit: files_of(unit) for unit in state["active"]})
            return 0
        case ["reset-failed"] | ["reset-failed", _]:
            return 0
        case ["is-system-running"]:
            print("stopping" if os.path.exists(FOLDER + "/shutting-down") else "running")
            return 0
        case ["is-active", "--quiet", unit]:
            return 0 if unit in state["active"] else 3
        case ["is-enabled", unit] | ["is-enabled", "--quiet", unit]:
            masked = os.path.realpath(f"{UNITS}/{unit}") == "/dev/null"
            if arguments[1] != "--quiet":
                print("masked" if masked else "enabled" if unit in state["enabled"] else "disabled")
            return 0 if unit in state["enabled"] and not masked else 1
        case ["unmask", unit]:
            os.unlink(f"{UNITS}/{unit}")
            return 0
        case ["show", "--property=LoadState,UnitFileState,ActiveState", *units]:
            for unit in units:
                masked = os.path.realpath(f"{UNITS}/{unit}") == "/dev/null"
                enabled = "enabled" if unit in state["enabled"] else "disabled"
                print(f"LoadState={'masked' if masked else 'loaded'}")
                print(f"ActiveState={'active' if unit in state['active'] else 'inactive'}")
                print(f"UnitFileState={'masked' if masked else enabled}\n")
            return 0
        case ["show", "--property=ActiveState,SubState", *units]:
            for unit in units:
                found = "active exited" if unit in state["active"] else "failed failed" if unit in state["fails"] else "inactive dead"
                print("ActiveState={}\nSubState={}\n".format(*found.split()))
            return 0
        case ["--no-reload", "enable", unit]:
            state["enabled"].append(unit)
        case ["start", "--no-block", unit]:
            state["active"].append(unit)
        case ["start", "mnt-hdd1.mount"]:
            return subprocess.run(["mount", "/mnt/hdd1"], check=False).returncode
        case ["start", unit]:
            if unit in state["fails"]:
                print(f"Job for {unit} failed.", file=sys.stderr)
                return 1
            status = carry_out(unit, "ExecStart")
            if status:
                return status
            state["active"].append(unit)
        case ["restart" | "try-restart", unit]:
            if unit in state["active"]:
                stop(unit)
                return carry_out(unit, "ExecStart")
        case ["reload-or-restart", unit]:
            return carry_out(unit, "ExecReload")
        case ["stop", unit] | ["disable", "--now", unit]:
            if unit in state["active"]:
                stop(unit)
                state["active"].remove(unit)
            if arguments[0] == "disable" and unit in state["enabled"]:
                state["enabled"].remove(unit)
        case _:
            unknown(["systemctl", *arguments])
    return 0


def apt_get(arguments, state):
    words = [word for word in arguments if not word.startswith("-") and "::" not in word]
    if os.environ.get("DEBIAN_FRONTEND") != "noninteractive" or "--yes" not in arguments:
        sys.exit("stand-in: apt-get would ask a question")
    match words:
        case ["update"]:
            with open(LISTS, "w") as file:
                file.write("current")
            return 0
        case ["install", *names] if names and "--no-install-recommends" in arguments:
            if not os.path.exists(LISTS):
                sys.exit(f"E: Unable to locate package {names[0]}")
            with open(LISTS) as file:
                if file.read() != "current":
                    sys.exit("E: Failed to fetch  404  Not Found")
            for name in names:
                if name == "docker.io" and not os.path.exists("/etc/systemd/system/docker.service.d/10-ouchi-hdd1.conf"):
                    sys.exit("stand-in: docker.io would start with its data root on the SD card")
                if name == "borgmatic" and not os.path.islink(UNITS + "/borgmatic.timer"):
                    sys.exit("stand-in: borgmatic would enable its own timer")
                state["installed"].append(name)
            return 0
    unknown(["apt-get", *arguments])


def dpkg_query(arguments, state):
    if arguments[:2] == ["--show", "--showformat=${Package} ${db:Status-Status}\\n"]:
        print("\n".join(f"{name} installed" for name in arguments[2:] if name in state["installed"]))
        return 0 if set(arguments[2:]) <= set(state["installed"]) else 1
    unknown(["dpkg-query", *arguments])


def timedatectl(arguments, _state):
    match arguments:
        case ["set-timezone", zone]:
            if os.path.lexists("/etc/localtime"):
                os.unlink("/etc/localtime")
            os.symlink(f"/usr/share/zoneinfo/{zone}", "/etc/localtime")
        case ["show", "--property=NTPSynchronized", "--value"]:
            print("no" if os.path.exists(FOLDER + "/clock-unset") else "yes")
        case _:
            unknown(["timedatectl", *arguments])
    return 0


def apprise(arguments, _state):
    """Takes a message into /run/stand-ins/alarms, or fails as it does without a network."""
    match arguments:
        case ["--config", config, "--storage-mode", "memory", "--notification-type", kind, "--title", title]:
            if os.path.exists(FOLDER + "/offline"):
                return 1
            with open(config) as file:
                address = file.read().strip()
            with open(FOLDER + "/alarms", "a") as log:
                log.write(json.dumps({"to": address, "kind": kind, "title": title, "text": sys.stdin.read()}) + "\n")
        case _:
            unknown(["apprise", *arguments])
    return 0


def quiet(_arguments, _state):
    return 0


COMMANDS = {
    "apprise": apprise,
    "systemctl": systemctl,
    "apt-get": apt_get,
    "dpkg": quiet,
    "dpkg-query": dpkg_query,
    "timedatectl": timedatectl,
    "udevadm": quiet,
    "journalctl": quiet,
    "systemd-run": quiet,
}

name = os.path.basename(sys.argv[0])
os.makedirs(FOLDER, exist_ok=True)
with open(FOLDER + "/calls", "a") as log:
    log.write(json.dumps([name, *sys.argv[1:]]) + "\n")
before = load()
status = COMMANDS[name](sys.argv[1:], before)
# A unit's own commands may have changed the state meanwhile; only what this call changed is written.
after = load()
for key in after:
    after[key] = sorted((set(after[key]) | set(before[key])) - ({sys.argv[-1]} if sys.argv[-1] not in before[key] else set()))
write_json(STATE, after)
sys.exit(status)
