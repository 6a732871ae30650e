#!/usr/bin/python3 -B
"""docker-api.py <root>: stands in for Docker's API in the world with that root, for the one question that the kit asks it.
While docker.service does not run it hangs up; a real socket would start Docker, so nothing may ask it then."""

import json
import os
import socketserver
import sys

FOLDER = sys.argv[1] + "/run/stand-ins"
SOCKET = sys.argv[1] + "/run/docker.sock"


def read(name, otherwise):
    try:
        with open(f"{FOLDER}/{name}") as file:
            return json.load(file)
    except FileNotFoundError:
        return otherwise


def containers():
    state = read("docker.json", {"running": {}})
    for name, image in state["running"].items():
        health = "unhealthy" if name in state.get("unhealthy", []) else "healthy"
        yield {"Names": [f"/{name}"], "Image": image, "State": "running", "Status": f"Up 2 hours ({health})"}


class Docker(socketserver.StreamRequestHandler):
    def handle(self):
        request = self.rfile.readline().decode().strip()
        while self.rfile.readline().strip():
            pass
        os.makedirs(FOLDER, exist_ok=True)
        with open(FOLDER + "/calls", "a") as log:
            log.write(json.dumps(["docker", request]) + "\n")
        if "docker.service" not in read("state.json", {"active": []})["active"]:
            return
        status, body = ("200 OK", list(containers())) if request == "GET /containers/json HTTP/1.0" else ("404 Not Found", {"message": "page not found"})
        self.wfile.write(f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}\n".encode())


with socketserver.ThreadingUnixStreamServer(SOCKET, Docker) as server:
    server.serve_forever()
