#!/usr/bin/python3 -B
"""Stands in for a check at healthchecks.io: takes POSTs to /<check>, /<check>/start and /<check>/fail, on loopback port 8787, and
notes each in /run/stand-ins/pings. An unknown path is 404, as there; while /run/stand-ins/ping-down is there, all is 503."""

import http.server
import json
import os
import time

FOLDER = "/run/stand-ins"
CHECK = "/canary-of-the-check"


class Check(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        signal = {CHECK: "success", f"{CHECK}/start": "start", f"{CHECK}/fail": "fail"}.get(self.path)
        status = 503 if os.path.exists(FOLDER + "/ping-down") else 404 if signal is None else 200
        with open(FOLDER + "/pings", "a") as log:
            log.write(json.dumps({"signal": signal, "status": status, "body": body, "at": time.time()}) + "\n")
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8787), Check).serve_forever()
