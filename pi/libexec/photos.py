"""Immich on this Pi: its containers, its database and its files."""

import base64
import errno
import hashlib
import json
import os
import time

import host
from host import UserError, run

DATABASE_CONTAINER = "immich_postgres"
SERVER_CONTAINER = "immich_server"
PING = "http://127.0.0.1:2283/api/server/ping"
DATABASE = "immich"
CONTAINER_ROOT = "/data/"


def is_running(container):
    shown = run(["docker", "inspect", "--format", "{{.State.Running}}", container], check=False)
    return shown.returncode == 0 and shown.stdout.strip() == "true"


def wait_for_server(seconds=600, given_up=lambda: None):
    """Until Immich answers; `given_up` may say why there is no use in waiting any longer."""
    # Only here: `health` imports this module every two minutes, and asks nobody.
    import urllib.request

    deadline = time.monotonic() + seconds
    problem, why = "no answer", None
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(PING, timeout=10) as answer:
                if json.load(answer).get("res") == "pong":
                    return
                problem = f"status {answer.status}"
        except (OSError, ValueError) as error:
            problem = str(error)
        if why := given_up():
            problem = why
            break
        time.sleep(1)
    log = run(["docker", "logs", "--tail", "15", SERVER_CONTAINER], check=False)
    waited = "" if why else f" within {seconds} seconds"
    raise UserError(f'Immich did not answer at "{PING}"{waited} ({problem}). Its last lines:\n{log.stdout}{log.stderr}')


def password():
    """A database that was set up by hand may ask for its password; by name only, so that it stands in no argument."""
    return ["--env", "PGPASSWORD"] if "PGPASSWORD" in os.environ else []


def psql(sql, database=DATABASE, options=(), container=DATABASE_CONTAINER):
    """Runs SQL from standard input, without a terminal: with one, Docker mixes errors and line ends into the output."""
    return run(
        ["docker", "exec", "--interactive", *password(), container, "psql", "-X", "--quiet", "--tuples-only", "--no-align",
         "--username=postgres", f"--dbname={database}", "--set=ON_ERROR_STOP=1", *options],
        stdin=sql,
    ).stdout.strip()  # fmt: skip


def rows(select, database=DATABASE, container=DATABASE_CONTAINER):
    """The rows of one SELECT, as dictionaries."""
    return json.loads(psql(f"SELECT coalesce(json_agg(found), '[]'::json) FROM ({select}) AS found;", database, container=container))


def name(identifier):
    return '"' + identifier.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def columns(table, database=DATABASE, container=DATABASE_CONTAINER):
    """name → {default, generated}; empty when the table does not exist."""
    found = rows(
        "SELECT column_name, column_default, is_generated, is_nullable FROM information_schema.columns "
        f"WHERE table_schema = 'public' AND table_name = {literal(table)} ORDER BY ordinal_position",
        database,
        container,
    )
    return {
        each["column_name"]: {
            "default": each["column_default"],
            "generated": each["is_generated"] == "ALWAYS",
            "nullable": each["is_nullable"] == "YES",
        }
        for each in found
    }


def on_host(path):
    """/data/… in the container is UPLOAD_LOCATION on the Pi; None for a file that lies elsewhere."""
    if not path.startswith(CONTAINER_ROOT):
        return None
    wanted = os.path.normpath(os.path.join(host.UPLOADS, path[len(CONTAINER_ROOT) :]))
    return wanted if wanted.startswith(host.UPLOADS + "/") else None


def sha1(path):
    """None, which is no photo's, where the disk does not give its bytes back."""
    digest = hashlib.sha1()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None
    return digest.digest()


def checksum_bytes(text):
    """PostgreSQL writes bytea into JSON as \\x…; Immich's API writes base64."""
    return bytes.fromhex(text[2:]) if text.startswith("\\x") else base64.b64decode(text)


def last_version():
    """The Immich that used the database last, such as "3.2.4"; None when the database does not tell."""
    if not columns("version_history"):
        return None
    return psql('SELECT "version" FROM "version_history" ORDER BY "createdAt" DESC LIMIT 1;') or None


def own_originals(database=DATABASE, container=DATABASE_CONTAINER):
    """The condition on "asset" for what is ours: an external library's files are not, and their checksum is that of their path. None without the table."""
    known = columns("asset", database, container)
    return None if not known else 'NOT "isExternal"' if "isExternal" in known else "true"


def some_originals(limit, container=DATABASE_CONTAINER):
    """At random, with their owners."""
    return select_originals("true", f"ORDER BY random() LIMIT {limit}", container)


def originals_with(ids):
    """Those of these that are there still, with their owners."""
    return select_originals(f"asset.\"id\" IN ({', '.join(map(literal, ids))})", "") if ids else []


def select_originals(condition, order, container=DATABASE_CONTAINER):
    own = own_originals(container=container)
    if own is None:
        return []
    return rows(
        'SELECT asset."id", asset."originalPath", asset."checksum", "user"."name" AS "owner" FROM "asset" '
        f'JOIN "user" ON "user"."id" = asset."ownerId" WHERE {own} AND {condition} {order}',
        container=container,
    )


def originals(container=DATABASE_CONTAINER):
    """id → path on the Pi of every photo that is ours."""
    own = own_originals(container=container)
    found = [] if own is None else rows(f'SELECT "id", "originalPath" FROM "asset" WHERE {own}', container=container)
    return {each["id"]: place for each in found if (place := on_host(each["originalPath"]))}


def notify(title, text, bad):
    """Shows the administrators a notification of Immich's own, by its table: no key to Immich has to lie on the Pi. Answers whether it could."""
    if not is_running(DATABASE_CONTAINER) or not {"userId", "level", "type", "title", "description"} <= columns("notification").keys():
        return False
    level, kind = ("error", "BackupFailed") if bad else ("success", "Custom")
    values = ", ".join(map(literal, (level, kind, title, text)))
    psql(
        'INSERT INTO "notification" ("userId", "level", "type", "title", "description") '
        f'SELECT "id", {values} FROM "user" WHERE "isAdmin" AND "deletedAt" IS NULL;'
    )
    return True


COUNTED = ("asset", "user", "album")
TITLES = {"asset": "photos", "user": "people", "album": "albums"}


def words(rows):
    """Counts as a person reads them."""
    return ", ".join(f"{rows[table]} {TITLES.get(table, table)}" for table in COUNTED if table in rows) or "no rows"


def counts(database=DATABASE, container=DATABASE_CONTAINER):
    """What a backup must not have less of than the last one, and the newest photo's time. In two questions: the server may wait for it."""
    names = ", ".join(literal(table) for table in COUNTED)
    present = psql(
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name IN ({names});", database, container=container
    ).split()
    asked = [f"{literal(table)}, (SELECT count(*) FROM {name(table)})" for table in COUNTED if table in present]
    newest = '(SELECT max("createdAt")::text FROM "asset")' if "asset" in present else "NULL"
    return json.loads(
        psql(f"SELECT json_build_object('rows', json_build_object({', '.join(asked)}), 'newestAsset', {newest});", database, container=container)
    )
