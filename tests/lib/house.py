# SPDX-License-Identifier: Apache-2.0
"""An installation that runs services: gatehoused with its processes, no nginx.

    with House() as house:
        house.register("web", command=[...], x={"listen": 8000})
        house.wait_state("web", "up")

Leaving it stops everything and asserts that nothing is left on the host.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from .process import alive, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GATEHOUSE_BUILD", ROOT / "build"))
CONTROL_UID, GATE_UID, GROUP = 61110, 33, 61112
CGROUPS = pathlib.Path("/sys/fs/cgroup")
PYTHON = "/usr/bin/python3"


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=15):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


class House:
    def __init__(self, options=(), prepare=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-house-",
                                                 dir="/var/tmp"))
        self.dir.chmod(0o755)
        self.options = [str(o) for o in options]
        if prepare:
            prepare(self)

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind, *exc):
        try:
            left = self.down()
            if kind is None:
                assert not left, left
                faults = self.sanitizer_faults()
                assert not faults, faults
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- processes

    def up(self):
        done = subprocess.run(
            [BUILD / "gatehoused", "--daemon", "--dir", self.dir, *self.options],
            capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr + self.log()
        return self

    @property
    def monitor(self):
        return int((self.dir / "gatehoused.pid").read_text())

    def signal(self, number):
        """To the monitor; waits until it has ended."""
        pid = self.monitor
        os.kill(pid, number)
        wait_for("gatehoused ends", lambda: not alive(pid), 60)

    def down(self):
        """Stops everything; what is left of it on the host."""
        block = self.block()
        try:
            self.signal(signal.SIGTERM)
        except (OSError, ValueError):
            self.up()                    # it was killed: adopt, then stop
            self.signal(signal.SIGTERM)
        return self.remains(block)

    def processes(self):
        """pid -> command line, of all that was started with our directory."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(self.dir).encode() in words and alive(int(entry.name)):
                found[int(entry.name)] = b" ".join(words).decode()
        return found

    def pid_of(self, program):
        """launcher, gatehouse-control, gatehouse-idp."""
        for pid, line in self.processes().items():
            if program == "launcher" and "--launcher" in line or \
                    line.startswith(program + " "):
                return pid
        raise AssertionError(f"no {program}: {self.processes()}")

    def kill(self, program):
        pid = self.pid_of(program)
        os.kill(pid, signal.SIGKILL)
        wait_for(f"{program} is gone", lambda: not alive(pid))
        return pid

    def log(self, name="gatehoused.log"):
        path = self.dir / "log" / name
        return path.read_text(errors="replace") if path.exists() else ""

    def sanitizer_faults(self):
        return [line for path in (self.dir / "log").glob("*.log")
                for line in path.read_text(errors="replace").splitlines()
                if "Sanitizer" in line or "runtime error" in line]

    # ---- what is on the host

    def block(self):
        for link in pathlib.Path("/run/gatehouse").glob("*"):
            if os.readlink(link) == str(self.dir):
                return link.name
        return None

    def remains(self, block):
        out = list(self.processes().values())
        if block is None:
            return out
        out += map(str, CGROUPS.glob(f"*/gatehouse-{block}"))
        out += map(str, CGROUPS.glob(f"gatehouse-{block}"))
        out += [n for n in os.listdir("/sys/class/net")
                if n.startswith(f"gh{block}")]
        tables = subprocess.run(["nft", "list", "tables"], text=True,
                                capture_output=True).stdout
        out += [t for t in tables.splitlines()
                if t.endswith(f"gatehouse_{block}")]
        if (pathlib.Path("/run/gatehouse") / block).is_symlink():
            out.append(f"claim {block}")
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        out += [m for m in mounts.splitlines() if str(self.dir) in m]
        return out

    # ---- the control API

    def ask(self, method, path, body=None):
        connection = Unix(str(self.dir / "sock/control.sock"))
        try:
            connection.request(method, path, body)
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        value = json.loads(text) if text else None
        if reply.status >= 400:
            raise Refused(reply.status, value)
        return value

    def put(self, name, compose):
        return self.ask("PUT", f"/v1/services/{name}",
                        json.dumps({"name": name, "compose": compose}))

    def register(self, name, command, x=None, **compose):
        self.put(name, {"command": command, **compose,
                        "x-gatehouse": x or {"listen": "none"}})
        return name

    def remove(self, name):
        return self.ask("DELETE", f"/v1/services/{name}")

    def show(self, name):
        return self.ask("GET", f"/v1/services/{name}")["run"]

    def instance(self, name, index=0):
        return self.show(name)["instances"][index]

    def wait_state(self, name, state, within=30):
        def reached():
            run = self.show(name)
            return run if run["state"] == state else None
        try:
            return wait_for(f"{name} is {state}", reached, within, 0.03)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.show(name)} "
                                 f"{self.text(name)[-1500:]}") from None

    def wait_other(self, name, first, within=20):
        """Another process than `first` is up; its instance."""
        def other():
            run = self.show(name)
            one = run["instances"][0]
            return one if run["state"] == "up" and \
                one.get("pid") not in (None, first) else None
        return wait_for(f"another process of {name}", other, within, 0.02)

    def logs(self, name, query="tail=1000"):
        return self.ask("GET", f"/v1/services/{name}/logs?{query}")

    def text(self, name):
        return self.logs(name)["text"]

    def violations(self, name):
        return self.ask("GET", f"/v1/services/{name}/violations")

    def shim_of(self, name):
        pid = self.instance(name)["pid"]
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().split("\n"):
            if line.startswith("PPid:"):
                return int(line.split()[1])

    # ---- calling a service as the gate does

    def call(self, name, path="/", uid=GATE_UID, timeout=3):
        """(status, body) by the published endpoint, as another user."""
        endpoint = self.show(name)["endpoints"][0]
        where = ["--unix-socket", endpoint[5:]] if endpoint.startswith("unix:") \
            else ["--connect-to", f"service:80:{endpoint}"]
        done = subprocess.run(
            ["curl", "-sS", "-m", str(timeout), "-w", "\n%{http_code}", *where,
             "http://service" + path], capture_output=True, text=True,
            user=uid, group=GROUP if uid == GATE_UID else uid,
            extra_groups=[])
        if done.returncode:
            raise OSError(done.stderr)
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body
