#!/usr/bin/python3 -B
"""The machine's own borgmatic, given the kit's configuration. The kit's is for 1.9.14; Debian 12 has 1.7.7, which wants
the same options in sections and knows fewer of them. What is left out is proven on the virtual Pi."""

import os
import subprocess
import sys

# What Debian's borgmatic itself reads YAML with.
from ruamel.yaml import YAML

REAL = "/usr/bin/borgmatic"
STRICT = "/run/stand-ins/borg-strict"
SECTIONS = {
    "location": ["patterns", "borgmatic_source_directory"],
    "storage": ["encryption_passcommand", "compression", "archive_name_format", "borg_base_directory", "lock_wait", "relocated_repo_access_is_ok"],
    "retention": ["keep_weekly", "keep_monthly", "keep_yearly"],
}
LEFT_OUT = {"borg_exit_codes", "source_directories_must_exist", "user_state_directory", "repositories", "checks"}

version = tuple(int(part) for part in subprocess.run([REAL, "--version"], capture_output=True, text=True, check=True).stdout.split(".")[:2])
arguments = [word for word in sys.argv[1:] if word != "--no-color" or version >= (1, 9)]
if version < (1, 8):
    if "--override" in arguments:
        of = arguments.index("--override") + 1
        section = next(name for name, keys in SECTIONS.items() if arguments[of].split("=")[0] in keys)
        arguments[of] = f"{section}.{arguments[of]}"
    at = arguments.index("--config") + 1
    with open(arguments[at]) as file:
        flat = YAML(typ="safe").load(file)
    known = {key for keys in SECTIONS.values() for key in keys} | LEFT_OUT
    if set(flat) - known:
        sys.exit(f"stand-in: unknown options {set(flat) - known}")
    old = {section: {key: flat[key] for key in keys if key in flat} for section, keys in SECTIONS.items()}
    old["location"]["repositories"] = [each["path"] for each in flat["repositories"]]
    # Debian 12's prunes only what is named for the host, unless it is told otherwise.
    old["retention"]["prefix"] = flat["archive_name_format"].split("{")[0]
    old["location"]["local_path"] = STRICT
    with open(STRICT, "w") as file:
        # Debian 12's knows nothing of borg_exit_codes, by which a warning is an error.
        strict = [str(each["code"]) for each in flat["borg_exit_codes"] if each["treat_as"] == "error"]
        file.write(f'#!/bin/sh\n/usr/bin/borg "$@"\ncode=$?\ncase $code in {"|".join(strict)}) exit 2 ;; esac\nexit $code\n')
    os.chmod(STRICT, 0o755)
    old["consistency"] = {"checks": [{"name": each["name"]} for each in flat["checks"]]}
    arguments[at] = "/run/stand-ins/borgmatic.yaml"
    with open(arguments[at], "w") as file:
        YAML(typ="safe").dump(old, file)
    if arguments[-2:] == ["config", "validate"]:
        os.execv("/usr/bin/validate-borgmatic-config", ["validate-borgmatic-config", "--config", arguments[at]])
done = subprocess.run([REAL, *arguments], check=False)
sys.exit(done.returncode)
