# SPDX-License-Identifier: Apache-2.0
"""gatehouse-control alone, with the gatehouse command beside it.

    with Control() as control:
        control.apply(document)
        assert control.cli("app", "list").returncode == 0

It runs under its own uid in a directory of its own, as gatehoused would start
it; there is no launcher, gate or idp unless a test brings a stand-in (Peer).
"""
import http.server
import json
import os
import pathlib
import secrets
import shutil
import socketserver
import subprocess
import tempfile
import threading

from . import raw
from .process import Process, wait_for
from .stack import (BUILD, CONTROL_UID, GATE_GID, GROUP, IDP_UID, NEVER,
                    Refused, sanitizer_env)


class Control:
    def __init__(self, *options, start=True, prepare=None):
        self.options = [str(x) for x in options]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.sock = str(self.dir / "sock/control.sock")
        self.process = None
        self.layout()
        if prepare:
            prepare(self.dir)
        self.begin = start

    def layout(self):
        os.chmod(self.dir, 0o755)
        for name, uid, gid, mode in (
                ("catalog", CONTROL_UID, GATE_GID, 0o2750),
                ("sock", 0, GROUP, 0o1777), ("svc", 0, GROUP, 0o755),
                ("services", 0, 0, 0o755), ("log", 0, 0, 0o1777)):
            path = self.dir / name
            path.mkdir()
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        secret = self.dir / "secret"
        secret.write_text(secrets.token_hex(32) + "\n")
        os.chown(secret, 0, GROUP)
        os.chmod(secret, 0o640)

    def __enter__(self):
        return self.start() if self.begin else self

    def __exit__(self, kind, *exc):
        faults = []
        if self.process:
            try:
                self.process.stop()
            except AssertionError as e:
                faults.append(str(e))
        for path in (self.dir / "log").glob("*"):
            faults += ["%s: %s" % (path.name, line) for line in
                       path.read_text(errors="replace").splitlines()
                       if NEVER.search(line)]
        shutil.rmtree(self.dir, ignore_errors=True)
        assert kind or not faults, "\n".join(faults[:20])

    def launch(self):
        env = {**os.environ, **sanitizer_env(self.dir / "log")}
        env.pop("LD_PRELOAD", None)
        self.process = Process(
            [BUILD / "gatehouse-control", "--dir", self.dir, "--idp-user",
             IDP_UID, *self.options], self.dir / "log/control.log", env=env,
            uid=CONTROL_UID, gid=GROUP, groups=(GROUP, GATE_GID))
        return self.process

    def start(self):
        self.launch()
        wait_for("control answers", self.answers, 15)
        return self

    def answers(self):
        assert self.process.running, "control ended: " + \
            self.process.text()[-2000:]
        try:
            return self.call("GET", "/v1/apis").status == 200
        except raw.Broken as e:
            raise OSError(e) from e

    def restart(self):
        self.process.stop()
        return self.start()

    # ---- the API

    def call(self, method, path, body=None, headers=(), **kw):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **dict(headers)}
        elif isinstance(body, str):
            body = body.encode()
        pairs = list(dict(headers).items()) + [("Connection", "close")]
        return raw.exchange(self.sock, raw.request(method, path, pairs, body),
                            timeout=60, method=method, **kw)

    def must(self, method, path, body=None, headers=()):
        reply = self.call(method, path, body, headers)
        if reply.status >= 300:
            raise Refused(reply)
        return reply.json()

    def apply(self, text):
        return self.must("PUT", "/v1/document", text,
                         {"Content-Type": "application/yaml"})

    def export(self):
        return self.call("GET", "/v1/document").body.decode()

    @property
    def generation(self):
        status = self.must("GET", "/v1/status")
        return status["catalog"]["generation"]

    def call_as(self, uid, method, path, body=None):
        """The same by another uid: (status, JSON)."""
        done = subprocess.run(
            ["curl", "-s", "-m", "20", "-X", method, "--unix-socket",
             self.sock, "-w", "\n%{http_code}", "-H",
             "Content-Type: application/json",
             *(["--data-binary", json.dumps(body)] if body is not None
               else []), "http://localhost" + path],
            user=uid, group=GROUP, extra_groups=[], capture_output=True,
            text=True, check=True, timeout=30)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text) if text else None

    def audit(self):
        path = self.dir / "log/audit.log"
        return [json.loads(x) for x in path.read_text().splitlines()]

    # ---- the command

    def cli(self, *args, text="", **kw):
        env = {**os.environ, "GATEHOUSE_DIR": str(self.dir),
               **sanitizer_env(self.dir / "log")}
        env.pop("LD_PRELOAD", None)
        return subprocess.run(
            [BUILD / "gatehouse", *[str(x) for x in args]], env=env,
            input=text, capture_output=True, text=True, timeout=60, **kw)

    def cli_json(self, *args, **kw):
        done = self.cli("-o", "json", *args, **kw)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path


class Peer:
    """A stand-in for a process behind a unix socket. `answer(method, path,
    body)` returns (status, JSON or None); `seen` keeps what came."""

    def __init__(self, path, answer=lambda *a: (200, {})):
        peer = self
        self.path, self.answer, self.seen = str(path), answer, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                n = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(n)
                peer.seen.append((self.command, self.path, body))
                status, value = peer.answer(self.command, self.path, body)
                out = json.dumps(value).encode() if value is not None else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_PUT = do_POST = do_DELETE = handle_any

            def log_message(self, *args):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn,
                     socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(self.path, Handler)
        os.chmod(self.path, 0o666)
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       args=(0.05,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)
