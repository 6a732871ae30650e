"""watch-arguments.py <file>: adds the arguments of every process, as they are first seen, to the file, until <file>.stop
is there or 40 minutes are over. One process that stays: starting some for each look would slow what is watched."""

import os
import sys
import time

seen = set()
end = time.monotonic() + 2400
with open(sys.argv[1], "a", buffering=1, errors="replace") as file:
    while time.monotonic() < end and not os.path.exists(sys.argv[1] + ".stop"):
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as line:
                    words = line.read().replace(b"\0", b"\n")
            except OSError:
                continue
            if words and words not in seen:
                seen.add(words)
                file.write(words.decode(errors="replace"))
        time.sleep(0.5)
