"""How the owner is told: a channel (one of Apprise's addresses in a file, whatever service it is of), and a dead man's switch
outside the house that is told of each backup, and speaks up when it hears nothing.
"""

import os
import time

import host
from host import UserError, run, say

CHANNEL = host.SECRETS + "/alarm"
PING = host.SECRETS + "/ping"
# What Healthchecks keeps of a message.
LONGEST = 10_000


def send(title, text, bad):
    """Answers why it could not be sent, or None. The address goes into neither argv nor a log, so what Apprise says is not passed on."""
    if not os.path.exists(CHANNEL):
        return None
    kind = "failure" if bad else "success"
    try:
        done = run(
            ["apprise", "--config", CHANNEL, "--storage-mode", "memory", "--notification-type", kind, "--title", title],
            stdin=text, check=False, timeout=120,
        )  # fmt: skip
    except UserError as error:
        return str(error)
    return None if done.returncode == 0 else f"apprise ended with status {done.returncode}"


def ping(signal, text="", pause=10):
    """`signal` is "start", "success" or "fail". Told to the journal, and no error, when nobody can be reached: no backup fails by it."""
    address = host.read_text(PING)
    if not address:
        return
    # As in `photos`: not at each look of `health`.
    import http.client
    import urllib.request

    url = address.rstrip("/") + {"start": "/start", "success": "", "fail": "/fail"}[signal]
    for attempt in range(3):
        if attempt:
            time.sleep(pause)
        try:
            with urllib.request.urlopen(url, data=text.encode()[:LONGEST], timeout=20):
                return
        except (OSError, ValueError, http.client.HTTPException) as error:
            # Its own words may hold the address.
            why = getattr(error, "code", None) or type(error).__name__
    say(f"The dead man's switch could not be told ({why}).", host.WARNING)
