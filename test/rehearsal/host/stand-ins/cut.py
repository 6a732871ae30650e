#!/usr/bin/python3 -B
"""cut.py N program…: runs a program of the kit and ends it, as a power cut would, right before its N-th step that changes
something. Says how many steps there were when it got to the end."""

import os
import runpy
import subprocess
import sys

limit = int(sys.argv[1])
steps = 0


def counted(function):
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == limit:
            os._exit(137)
        return function(*arguments, **options)

    return step


for name in ("rename", "unlink", "mkdir", "rmdir", "chmod", "chown", "fchmod", "fchown", "fsync", "symlink", "write"):
    setattr(os, name, counted(getattr(os, name)))
subprocess.run = counted(subprocess.run)
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(f"steps: {steps}", file=sys.__stdout__, flush=True)
