"""Dumps of Immich's database: which one is whole, and how it is loaded."""

import math
import os
import re
import secrets
import shutil
import subprocess

import archives
import host
import photos
from host import UserError

FOLDER = host.UPLOADS + "/backups"
# Immich's page lists it by its ending; Immich's own clean-up knows only names that begin otherwise.
NAME = re.compile(r"kit-immich-db-backup-\d{8}T\d{6}-.*\.sql")
TRAILER = b"-- PostgreSQL database dump complete"
SEARCH_PATH = b"SELECT pg_catalog.set_config('search_path', '', false);"
# Immich's functions name tables without their schema.
SEARCH_PATH_PUBLIC = b"SELECT pg_catalog.set_config('search_path', 'public, pg_catalog', true);"
UNCHANGED = "Nothing was changed."
# pg_dump shuts psql's own commands out of a dump by a key at its head and end, since these minor versions, and in each from 18 on.
RESTRICTED_SINCE = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
# Not on the SD card, which may be full.
RESTRICT_KEY = archives.MAIN_KIT + "/dump-key"


def stamp_of(name):
    """When a dump, or an archive, was made, as its name tells: YYYYMMDDThhmmss, UTC."""
    found = re.search(r"\d{8}T\d{6}", name)
    return found.group() if found else ""


def of_archive(names, archive):
    """The archive's own dump among these, the newest that is not from its future: a wrong clock has left others. None where there is none."""
    return max((name for name in names if stamp_of(name) <= stamp_of(archive)), key=stamp_of, default=max(names, default=None))


def names_in(folder):
    """Oldest first."""
    return sorted(name for name in os.listdir(folder) if NAME.fullmatch(name))


def stable(postgres):
    """The options by which pg_dump of that version writes an unchanged database twice in the same bytes, which Borg then stores once.

    By itself it takes another key each time. The house's own is enough: psql loads a dump in the database's container, where who could
    forge one (its superuser) runs what he likes anyway.
    """
    release = re.fullmatch(r"(\d+)\.(\d+)", postgres)
    major, minor = map(int, release.groups()) if release else (0, 0)
    if major < 18 and minor < RESTRICTED_SINCE.get(major, math.inf):
        return []
    key = host.read_text(RESTRICT_KEY)
    if key is None or not re.fullmatch(r"[0-9a-f]{32}", key):
        key = secrets.token_hex(16)
        host.write_file(RESTRICT_KEY, key.encode(), 0o600)
    return [f"--restrict-key={key}"]


def tail_of(path):
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1024))
        return file.read()


def is_whole(path):
    return TRAILER in tail_of(path)


def check(path):
    """Before a database is touched: a cut dump restores without a complaint, a dump of pg_dumpall destroys."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    name = os.path.basename(path)
    if b"database cluster dump" in head[:1024]:
        raise UserError(f'"{name}" was made by pg_dumpall, which cannot be restored in one transaction. {UNCHANGED}')
    if b"\r\n" in head:
        raise UserError(f'"{name}" has line ends that a terminal put in, so its data is not what was stored. {UNCHANGED}')
    if not is_whole(path):
        raise UserError(f'"{name}" is not whole: its last line, "{TRAILER.decode()}", is missing. {UNCHANGED}')


def require_room(path, use, rest=""):
    """Three times a dump is what its database wants on HDD1. `use` begins, and `rest` ends, what is said."""
    size, room = os.path.getsize(path), shutil.disk_usage(host.MAIN).free
    if room < 3 * size:
        raise UserError(f"{host.MAIN} has {room >> 20} MiB free, and {use} a dump of {size >> 20} MiB wants three times as much.{rest}")


def stage(archive, folder, files=None):
    """The newest dump of the archive, extracted into an emptied folder and checked, with its manifest if it has one. `files` are what it has, if known."""
    shutil.rmtree(folder, ignore_errors=True)
    host.make_folder(folder, 0o700)
    present = files or archives.recorded(archive, [FOLDER])
    path = of_archive([path for path in present if os.path.dirname(path) == FOLDER and NAME.fullmatch(os.path.basename(path))], archive)
    if path is None:
        raise UserError(f'The archive "{archive}" holds no dump of the database. Choose another with --archive. {UNCHANGED}')
    manifest = path + ".manifest.json"
    archives.extract(archive, [each for each in (path, manifest) if each in present], folder)
    check(folder + path)
    return folder + path, host.read_json(folder + manifest)


def load(path, database, container=photos.DATABASE_CONTAINER):
    """In one transaction: all of it or nothing."""
    process = subprocess.Popen(
        ["docker", "exec", "--interactive", container, "psql", "-X", "--quiet", "--username=postgres",
         f"--dbname={database}", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        with open(path, "rb") as dump, process.stdin as sink:
            for line in dump:
                sink.write(SEARCH_PATH_PUBLIC + b"\n" if line.rstrip(b"\n") == SEARCH_PATH else line)
    except BrokenPipeError:
        pass
    stderr = process.stderr.read().decode(errors="replace")
    if process.wait() != 0:
        raise UserError(f'The dump "{os.path.basename(path)}" could not be loaded: {stderr.strip()[-600:]}')
