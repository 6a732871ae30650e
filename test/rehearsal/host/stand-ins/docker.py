#!/usr/bin/python3 -B
"""Stands in for Docker: containers are entries in a file, except the database, which is a real PostgreSQL whose data
lies where the container's would. Unknown forms are errors.

A version of Immich may have a fault, as /run/stand-ins/server-fault.json says: {"version", and "sql" that it runs at its start,
or "ends" over and over, or is "silent"}. While /run/stand-ins/registry-down is there, nothing is pulled."""

import contextlib
import json
import os
import pwd
import re
import subprocess
import sys

FOLDER = "/run/stand-ins"
STATE = FOLDER + "/docker.json"
SOCKET = FOLDER + "/postgres"
PGDATA = "/mnt/hdd1/immich/postgres"
BINARIES = max(f"/usr/lib/postgresql/{each}/bin" for each in os.listdir("/usr/lib/postgresql"))
CONTAINERS = {"immich": {"database": "immich_postgres", "redis": "immich_redis", "immich-server": "immich_server"},
              "cloudflared": {"cloudflared": "cloudflared"}}  # fmt: skip


def load():
    if os.path.exists(STATE):
        with open(STATE) as file:
            return json.load(file)
    return {"running": {}, "images": []}


def save(state):
    # Whole, also for a command that reads it meanwhile.
    waiting = f"{STATE}.{os.getpid()}"
    with open(waiting, "w") as file:
        json.dump(state, file)
    os.replace(waiting, STATE)


def unknown(argv):
    sys.exit(f"stand-in: unknown form of the command: docker {' '.join(argv)}")


def as_postgres(*argv):
    user = pwd.getpwnam("postgres")
    subprocess.run(argv, check=True, user=user.pw_uid, group=user.pw_gid, extra_groups=[], stdout=subprocess.DEVNULL, cwd="/")


def start_cluster(data, socket):
    user = pwd.getpwnam("postgres")
    os.makedirs(socket, exist_ok=True)
    for folder in (socket, data):
        os.chown(folder, user.pw_uid, user.pw_gid)
    fresh = not os.path.exists(data + "/PG_VERSION")
    if fresh:
        as_postgres(f"{BINARIES}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--data-checksums", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    as_postgres(f"{BINARIES}/pg_ctl", "-D", data, "-w", "-l", f"{socket}/log", "-o", f"-k {socket} -c listen_addresses=''", "start")
    if fresh:
        as_postgres(f"{BINARIES}/createdb", "-h", socket, "-U", "postgres", "immich")


DRILL_FORM = [
    "--detach", "--name", "ouchi_drill", "--network", "none", "--shm-size", "128m", "--memory", "1g",
    "--mount", "type=bind,source=/mnt/hdd1/kit/drill/postgres,target=/var/lib/postgresql/data",
    "--mount", "type=bind,source=/etc/ouchi-photos/secrets/database-password,target=/run/secrets/database-password,readonly",
    "--env", "POSTGRES_PASSWORD_FILE=/run/secrets/database-password", "--env", "POSTGRES_DB=immich", "--env", "DB_STORAGE_TYPE=HDD",
]  # fmt: skip
DRILL_DATA, DRILL_SOCKET = "/mnt/hdd1/kit/drill/postgres", FOLDER + "/drill"


def start_drill(arguments, state):
    """A second PostgreSQL beside the house's."""
    if arguments[:-1] != DRILL_FORM or arguments[-1] not in state["images"]:
        unknown(["run", *arguments])
    if os.listdir(DRILL_DATA):
        sys.exit("stand-in: the drill's database is not empty")
    # The folders above are root's alone, which is nothing to a container.
    for folder in ("/mnt/hdd1/kit", "/mnt/hdd1/kit/drill"):
        os.chmod(folder, 0o711)
    start_cluster(DRILL_DATA, DRILL_SOCKET)
    state["running"]["ouchi_drill"] = arguments[-1]


def stop_drill(state):
    if state["running"].pop("ouchi_drill", None):
        as_postgres(f"{BINARIES}/pg_ctl", "-D", DRILL_DATA, "-w", "-m", "immediate", "stop")


def stop_database():
    """As Docker: killed where it does not stop by itself."""
    try:
        as_postgres(f"{BINARIES}/pg_ctl", "-D", PGDATA, "-w", "-m", "fast", "stop")
    except subprocess.CalledProcessError:
        subprocess.run(["pkill", "-KILL", "-f", f"{BINARIES}/postgres -D {PGDATA}"], check=False)


def start_immich(image, state):
    """Notes its version in the database, as Immich does once its migrations are through."""
    version = re.search(r":v([\d.]+)@", image).group(1)
    fault = {}
    if os.path.exists(FOLDER + "/server-fault.json"):
        with open(FOLDER + "/server-fault.json") as file:
            found = json.load(file)
        fault = found if found["version"] == version else {}
    state["restarts"] = 5 if fault.get("ends") else 0
    answers = not fault.get("ends") and not fault.get("silent")
    if answers and os.path.exists(FOLDER + "/silent"):
        os.unlink(FOLDER + "/silent")
    if not answers:
        open(FOLDER + "/silent", "w").close()
    noted = (
        "DO $$ BEGIN IF to_regclass('public.version_history') IS NOT NULL THEN "
        f"IF (SELECT version FROM version_history ORDER BY \"createdAt\" DESC LIMIT 1) <> '{version}' "
        f"THEN INSERT INTO version_history (version) VALUES ('{version}'); END IF; END IF; END $$;"
    )
    for sql in ([] if fault.get("ends") else [noted]) + ([fault["sql"]] if "sql" in fault else []):
        as_postgres(f"{BINARIES}/psql", "-X", "-q", "-h", SOCKET, "-U", "postgres", "-d", "immich", "-v", "ON_ERROR_STOP=1", "-c", sql)


def environment_files(arguments):
    values = {**os.environ}
    for index, word in enumerate(arguments):
        if word == "--env-file":
            with open(arguments[index + 1]) as file:
                values.update(line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
    return values


def compose_images(arguments):
    values, images = environment_files(arguments), {}
    for index, word in enumerate(arguments):
        if word == "--file":
            service = None
            with open(arguments[index + 1]) as file:
                for line in file:
                    if found := re.match(r"  ([a-z-]+):$", line):
                        service = found.group(1)
                    if found := re.match(r"    image: \$\{(\w+)\}$", line):
                        images[service] = values[found.group(1)]
    return images


def compose(arguments, state):
    project = arguments[arguments.index("--project-name") + 1]
    containers = CONTAINERS[project]
    if arguments[-1] in ("stop", "down"):
        for name in containers.values():
            if state["running"].pop(name, None) and name == "immich_postgres":
                stop_database()
        return 0
    at = arguments.index("up") if "up" in arguments else unknown(["compose", *arguments])
    options = arguments[at + 1 :]
    if options not in (["--detach", "--remove-orphans"], ["--detach", "--wait", "--wait-timeout", "600", "database"]):
        unknown(["compose", *arguments])
    images = compose_images(arguments)
    # The server depends on the database.
    services = sorted([word for word in options[-1:] if not word.startswith("-")] or images, key=lambda name: name == "immich-server")
    for service in services:
        name = containers.get(service, service)
        if images[service] not in state["images"]:
            sys.exit(f"stand-in: the image {images[service]} was not pulled")
        if name == "immich_postgres" and name not in state["running"]:
            start_cluster(PGDATA, SOCKET)
        if name == "immich_server" and state["running"].get(name) != images[service]:
            start_immich(images[service], state)
        state["running"][name] = images[service]
    return 0


def data_root():
    try:
        with open("/etc/docker/daemon.json") as file:
            return json.load(file)["data-root"]
    except FileNotFoundError:
        return "/var/lib/docker"


def handmade(state):
    """Containers that somebody made by hand, by name; out of sight once the data root has moved."""
    return {} if data_root() != "/var/lib/docker" else state.get("handmade", {})


def answers(state):
    """Whether a daemon runs: the kit's by its unit, or that of somebody's own."""
    if state.get("handmade") and data_root() == "/var/lib/docker":
        return True
    with contextlib.suppress(FileNotFoundError), open(FOLDER + "/state.json") as file:
        return bool({"docker.service", "docker.socket"} & set(json.load(file)["active"]))
    return False


def shown(name, state):
    """As `docker inspect` with the template of the kit's handmade."""
    container = handmade(state)[name]
    labels = {f"com.docker.compose.{key}": container[value] for key, value in (("project", "project"), ("project.working_dir", "folder")) if value in container}
    mounts = [{"Type": "bind", "Source": each} for each in container.get("sources", [])]
    return json.dumps([name, f"/{name}", name in state["running"], container["image"], labels, mounts])


def execute(arguments):
    """The container has its own PATH and socket; a terminal is never asked for."""
    if arguments[0] == "--interactive":
        arguments = arguments[1:]
    if arguments[:2] == ["--env", "PGPASSWORD"]:
        arguments = arguments[2:]
    sockets = {"immich_postgres": SOCKET, "ouchi_drill": DRILL_SOCKET}
    if arguments[0] not in sockets or arguments[1] not in ("psql", "pg_dump", "pg_isready"):
        unknown(["exec", *arguments])
    # No TCP in this world: the container's own loopback is the socket.
    words = [word for word in arguments[2:] if word != "--host=127.0.0.1"]
    return subprocess.run([f"{BINARIES}/{arguments[1]}", *words], env={**os.environ, "PGHOST": sockets[arguments[0]]}, check=False).returncode


def main(arguments, state):
    if not answers(state) and not (arguments[0] == "compose" and "config" in arguments):
        print("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", file=sys.stderr)
        # With a template Docker prints what it would show of nothing, and calls that a success.
        if arguments[:2] != ["info", "--format"]:
            return 1
        print()
        return 0
    match arguments:
        case ["compose", *rest]:
            return compose(rest, state)
        case ["exec", *rest]:
            name = next((word for word in rest if word in ("immich_postgres", "ouchi_drill")), None)
            if name not in state["running"]:
                print(f"Error response from daemon: container {name} is not running", file=sys.stderr)
                return 1
            return execute(rest)
        case ["run", *rest]:
            start_drill(rest, state)
        case ["rm", "--force", "ouchi_drill"]:
            stop_drill(state)
        case ["info", "--format", "{{.DockerRootDir}}"]:
            print(data_root())
        case ["ps", "--all", "--quiet", "--no-trunc"]:
            print("\n".join(handmade(state)))
        case ["inspect", "--format", template, *names] if template.startswith("[{{json .Id}},{{json .Name}}"):
            print("\n".join(shown(name, state) for name in names))
        case ["update", "--restart=no", name]:
            handmade(state)[name]["restart"] = "no"
        case ["inspect", "--format", "{{.State.Running}}", name]:
            print("true" if name in state["running"] else "false")
        case ["inspect", "--format", "{{.Config.Image}}", name]:
            print(state["running"].get(name) or state.get("stopped", {})[name])
        case ["pause", name] if name in state["running"] and name not in state.get("paused", []):
            state["paused"] = [*state.get("paused", []), name]
        case ["unpause", name] if name in state.get("paused", []):
            state["paused"].remove(name)
        case ["start", name] if name in state.get("paused", []):
            print(f"Error response from daemon: cannot start a paused container, try unpause instead: {name}", file=sys.stderr)
            return 1
        case ["stop", "--time", "60", name]:
            if name in state["running"]:
                state.setdefault("stopped", {})[name] = state["running"].pop(name)
                if name == "immich_postgres":
                    stop_database()
        case ["inspect", "--format", "{{.RestartCount}} {{.State.Status}}", name]:
            print(state.get("restarts", 0), "running" if name in state["running"] else "exited")
        case ["start", name] if name in state["running"]:
            return 0
        case ["start", name]:
            state["running"][name] = state.get("stopped", {}).pop(name, None) or handmade(state)[name]["image"]
            if name == "immich_postgres":
                start_cluster(PGDATA, SOCKET)
        case ["image", "inspect", reference]:
            return 0 if reference in state["images"] else 1
        case ["pull", "--quiet", reference]:
            if os.path.exists(FOLDER + "/registry-down"):
                print("Error response from daemon: dial tcp 127.0.0.1:5000: connect: connection refused", file=sys.stderr)
                return 1
            state["images"].append(reference)
        case ["logs", "--tail", "15", _]:
            return 0
        case _:
            unknown(arguments)
    return 0


os.makedirs(FOLDER, exist_ok=True)
with open(FOLDER + "/calls", "a") as log:
    log.write(json.dumps(["docker", *sys.argv[1:]]) + "\n")
state = load()
status = main(sys.argv[1:], state)
save(state)
sys.exit(status)
