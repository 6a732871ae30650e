"""What every program of the kit on the Pi stands on: errors, commands, whole-file writes, the one lock, the records."""

import contextlib
import datetime
import errno
import fcntl
import grp
import hashlib
import hmac
import json
import os
import pathlib
import pwd
import socket
import subprocess
import sys
import time
import traceback

LIBEXEC = "/usr/local/libexec/ouchi-photos"
ETC = "/etc/ouchi-photos"
SECRETS = ETC + "/secrets"
STATE = "/var/lib/ouchi-photos"
RUN = "/run/ouchi-photos"
APPLIED = STATE + "/applied.json"
# What the owner was told, on the SD card: a restart does not tell it again. Written only when something was told.
HEALTH_TOLD = "health-told.json"
# What `scrub` found after a power cut: {checkedAt, looked, photos: [{id, owner, name, path, problem}]}.
DAMAGED = STATE + "/damaged.json"
# There while a restore of everything is at work, or was cut: the photo server does not start then.
RESTORING = STATE + "/restore.json"
MAIN = "/mnt/hdd1"
BACKUP = "/mnt/hdd2"
SENTINEL = ".ouchi-disk"
UPLOADS = MAIN + "/immich/images"
DATABASE = MAIN + "/immich/postgres"

MOUNT_POINTS = {"main": MAIN, "backup": BACKUP}
LABELS = {"main": "ouchi-hdd1", "backup": "ouchi-hdd2"}


class UserError(Exception):
    """Something the owner can mend: a full sentence, no stack."""


class CommandFailed(UserError):
    def __init__(self, argv, returncode, stderr):
        tail = " ".join(stderr.strip().splitlines()[-4:])
        super().__init__(f'The command "{" ".join(argv)}" failed with status {returncode}: {tail}')
        self.returncode = returncode
        self.stderr = stderr


def run(argv, *, stdin=None, check=True, timeout=None, environment=None, cwd=None):
    """Runs a command without a shell; `stdin` is text. Answers the finished process, its output as text."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A file name on the disk need not be UTF-8.
            errors="surrogateescape",
            timeout=timeout,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        )
    except FileNotFoundError:
        raise UserError(f'The command "{argv[0]}" is not installed on the Pi; run "pulumi up" again.') from None
    except subprocess.TimeoutExpired:
        raise UserError(f'The command "{" ".join(argv)}" did not end within {timeout} seconds.') from None
    if check and done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr or "")
    return done


def output(argv, **options):
    return run(argv, **options).stdout.strip()


# With packages' names after it. It fails for one that it does not know, and tells of the others all the same.
SHOW_PACKAGES = ("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n")


def installed_packages(lines):
    """Those that SHOW_PACKAGES calls installed whole."""
    return {line.split()[0] for line in lines if line.endswith(" installed")}


def units_shown(names, shown):
    """By name, the properties that `systemctl show` told of these units: a block for each, in their order."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return dict(zip(names, blocks, strict=False))


def stamp():
    """Now, for a name: YYYYMMDDThhmmss, UTC. Names sort by it."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime())


# As syslog counts them.
ERROR, WARNING, NOTICE = 3, 4, 5


def say(text, level=None):
    """`level` is for the journal alone, which takes it off the line again: a person at a terminal would read "<4>"."""
    print(text if level is None or not is_journal(sys.stdout) else f"<{level}>{text}", flush=True)


def is_journal(stream):
    """systemd tells its services which stream leads there (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/#automatic-protocol-upgrading)."""
    status = os.fstat(stream.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def several(names, between="; "):
    """As many as a sentence bears."""
    return between.join([*names[:5], *(["…"] if len(names) > 5 else [])])


def user_number(name):
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_number(name):
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def sync_folder(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path, mode=0o755, owner=None):
    """Makes `path` and what is missing above it; the mode is that of the last one."""
    folder = pathlib.Path(path)
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o755)
        except OSError as error:
            raise full_disk(each, error) from None
        sync_folder(each.parent)
    if (os.stat(path).st_mode & 0o7777) != mode:
        os.chmod(path, mode)
    if owner is not None:
        os.chown(path, *owner)


def write_file(path, data, mode=0o644, uid=0, gid=0):
    """A cut leaves the old file or the new one, never a part. The waiting name is fixed, so that a re-run clears it."""
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        make_folder(folder)
    waiting = os.path.join(folder, f".{name}.ouchi-new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(waiting)
    try:
        descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(data)
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(waiting, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(waiting)
        raise full_disk(path, error) from None
    sync_folder(folder)


def full_disk(path, error):
    """An error at writing, as the owner can mend it; any other stays what it is."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    folder = os.path.dirname(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = output(["findmnt", "-n", "-o", "TARGET", "--target", folder], check=False) or folder
    return UserError(
        f'The disk at "{disk}" is full, so "{path}" could not be written: make room there, on the SD card for example by '
        '"sudo apt-get clean" and "sudo journalctl --vacuum-size=50M", and run "pulumi up" again. Each file is as it was or as it shall be, none is half.'
    )


def write_json(path, value, mode=0o644):
    write_file(path, (json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode(), mode)


def read_json(path, missing=None):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return missing


def keep_state(name, value):
    """Writes STATE/name; where the SD card takes no more, RUN/name, which counts from then on and goes with a restart."""
    try:
        make_folder(STATE)
        write_json(f"{STATE}/{name}", value)
    except (OSError, UserError) as error:
        make_folder(RUN)
        write_json(f"{RUN}/{name}", value)
        why = error.strerror if isinstance(error, OSError) else os.strerror(errno.ENOSPC)
        print(f'"{name}" could not be written to the SD card ({why}) and is kept until the next restart.', file=sys.stderr, flush=True)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{RUN}/{name}")


def kept_state(name, missing=None):
    found = read_json(f"{RUN}/{name}")
    return read_json(f"{STATE}/{name}", missing) if found is None else found


def forget_state(name):
    for folder in (STATE, RUN):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{folder}/{name}")


def read_text(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def missing_kernel_words(wanted):
    """Those that this kernel was not started with. The memory cgroup may be on without being asked for."""
    words = pathlib.Path("/proc/cmdline").read_text().split()
    controllers = (read_text("/sys/fs/cgroup/cgroup.controllers") or "").split()
    return [each for each in wanted if each not in words and not (each.startswith("cgroup_") and "memory" in controllers)]


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def seconds_of(stamp):
    """Of a time as `now` writes it: since 1970."""
    return datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def age_in_days(stamp):
    """Negative when it is from the future."""
    return (time.time() - seconds_of(stamp)) / 86400


class Busy(UserError):
    pass


@contextlib.contextmanager
def only_one(who, wait_seconds=15):
    """The kit's one lock. It lies in /run and is held by a descriptor: the end of the process or of the boot frees it."""
    make_folder(RUN, 0o755)
    descriptor = os.open(RUN + "/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    held = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "{}"
                    holder = json.loads(held) if held.endswith("}") else {}
                    raise Busy(
                        f'"{who}" could not begin: "{holder.get("who", "another program of the kit")}" '
                        f'(process {holder.get("pid", "unknown")}) has been at work since {holder.get("when", "a while ago")}. '
                        "Wait for it to end and try again; nothing was changed."
                    ) from None
                time.sleep(0.5)
        os.ftruncate(descriptor, 0)
        holder = {"who": who, "when": now(), "pid": os.getpid(), "bootId": boot_id()}
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def who_is_at_work():
    """The holder of the kit's lock, without waiting for it or taking it for longer than the question."""
    try:
        descriptor = os.open(RUN + "/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        held = os.pread(descriptor, 4096, 0).decode(errors="replace").strip()
        return json.loads(held).get("who", "") if held.endswith("}") else ""
    finally:
        os.close(descriptor)
    return None


def read_applied():
    record = read_json(APPLIED, {"format": 1, "subjects": {}, "disks": {}})
    record.setdefault("subjects", {})
    record.setdefault("disks", {})
    return record


def write_applied(record):
    make_folder(STATE, 0o755)
    write_json(APPLIED, record)


def keyed_hash(data):
    """For secrets: tells whether one changed, and nothing else to who reads the record."""
    path = STATE + "/hash-key"
    if not os.path.exists(path):
        make_folder(STATE, 0o755)
        write_file(path, os.urandom(32), 0o600)
    return hmac.new(pathlib.Path(path).read_bytes(), data, hashlib.sha256).hexdigest()


def running_containers():
    """By Docker's API, whose command takes a small board two seconds to start: of each its "Image" as it was asked for, and
    its "Status" for people (https://docs.docker.com/reference/api/engine/). Only when Docker runs, since a question would
    start it; [] when it does not answer within a minute.
    """
    try:
        with socket.socket(socket.AF_UNIX) as docker:
            docker.settimeout(60)
            docker.connect("/run/docker.sock")
            # HTTP/1.0: the answer ends where the connection does.
            docker.sendall(b"GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n")
            with docker.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
    except OSError:
        return []
    return json.loads(body) if head.split()[1:2] == [b"200"] else []


def is_mounted(folder):
    return run(["mountpoint", "-q", folder], check=False).returncode == 0


def mounted_uuid(folder):
    return output(["findmnt", "-n", "-o", "UUID", "--mountpoint", folder], check=False)


def is_writable(folder):
    """By a nameless file: a file system that stopped itself after errors may go on calling itself writable."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return True


def disk_words(role):
    """By which a person finds a disk, plugged in or not: what is printed on it, as far as it told, and its file system."""
    known = read_applied()["disks"].get(role, {})
    words = [known.get("model"), known.get("serial") and f'serial "{known["serial"]}"', known.get("uuid") and f'UUID "{known["uuid"]}"']
    return ", ".join(word for word in words if word) or "not set up yet"


def require_disk(role):
    """Refuses to go on unless the disk of that role, and no other, is mounted in its place."""
    folder = MOUNT_POINTS[role]
    if not is_mounted(folder):
        raise UserError(
            f'The {role} disk ({disk_words(role)}) is not mounted at "{folder}". Plug it in, then run "sudo {LIBEXEC}/start". '
            "Nothing was written."
        )
    try:
        sentinel = read_json(f"{folder}/{SENTINEL}")
    except OSError as error:
        raise UserError(
            f'The {role} disk ({disk_words(role)}) at "{folder}" cannot be read: {error.strerror}. '
            f'Look at its cable and its power, then run "sudo {LIBEXEC}/start". Nothing was written.'
        ) from None
    if sentinel is None:
        raise UserError(
            f'The disk mounted at "{folder}" does not hold the file "{SENTINEL}", so it is not the {role} disk of this house. '
            "Nothing was written."
        )
    if sentinel.get("role") != role:
        raise UserError(
            f'The disk mounted at "{folder}" says of itself that it is the {sentinel.get("role")} disk, not the {role} disk. '
            "Were the two exchanged? Nothing was written."
        )
    uuid = mounted_uuid(folder)
    recorded = read_applied()["disks"].get(role, {}).get("uuid")
    if sentinel.get("uuid") != uuid or (recorded and recorded != uuid):
        raise UserError(
            f'The disk mounted at "{folder}" has the UUID "{uuid}"; the {role} disk of this house has "{recorded or sentinel.get("uuid")}". '
            "Nothing was written."
        )


def release_main():
    """Ends what uses HDD1 and unmounts it. Answers why it could not, or None."""
    for unit in ("ouchi-cloudflared.service", "ouchi-immich.service", "docker.socket", "docker.service"):
        run(["systemctl", "stop", unit], check=False)
    # What a killed Docker left mounted below it goes, too.
    unmounted = run(["umount", "--recursive", MAIN], check=False)
    return None if unmounted.returncode == 0 else unmounted.stderr.strip()


def enter(main):
    """Runs a program of the kit: a UserError is one sentence and status 1, anything else is a bug with its stack."""
    os.umask(0o022)
    try:
        sys.exit(main(sys.argv[1:]) or 0)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        traceback.print_exc()
        print("This is a bug in ouchi-photos; please report it.", file=sys.stderr, flush=True)
        sys.exit(70)
