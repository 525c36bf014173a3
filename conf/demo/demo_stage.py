# SPDX-License-Identifier: Apache-2.0
"""The private system of `make run`: where it lives, what it is made of, how it
starts. GATEHOUSE_DIR, HTTP_PORT and HTTPS_PORT say where; two of them can run
side by side."""
import json
import os
import pathlib
import pwd
import re
import secrets
import shutil
import socket
import subprocess

from demo_talk import Client, Problem, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATE_USER = "www-data"
# One shared group: the gate's own, so that the host needs no new entries.
GATE_GROUP = "www-data"


def port(name, standard):
    text = os.environ.get(name) or standard
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise Problem(f"{name}={text} is no port", f"make run {name}={standard}")
    return int(text)


PROGRAMS = ("gatehoused", "gatehouse-shim", "gatehouse-control",
            "gatehouse-idp", "gatehouse")
MODULE = "ngx_http_gatehouse_module.so"


class Stage:
    def __init__(self):
        self.asked = self.dir = pathlib.Path(
            os.environ.get("GATEHOUSE_DIR") or ROOT / "run").absolute()
        self.build = (ROOT / (os.environ.get("BUILD") or "build")).absolute()
        self.http = port("HTTP_PORT", "8080")
        self.https = port("HTTPS_PORT", "8443")
        if self.http == self.https:
            raise Problem(f"HTTP_PORT and HTTPS_PORT are both {self.http}",
                          f"make run HTTPS_PORT={self.http + 363}")
        if len(str(self.dir)) > 80:  # sockets beneath could not be named
            raise Problem(f"GATEHOUSE_DIR is longer than 80 bytes: {self.dir}",
                          "make run GATEHOUSE_DIR=/var/tmp/gatehouse")
        self.issuer = self.url("", "auth.localhost", "https")
        self.client = Client(self.http, self.https,
                             str(self.asked / "tls/localhost.crt"))

    @property
    def certificate(self):
        return self.dir / "tls/localhost.crt"

    def url(self, path, host="localhost", scheme="http"):
        number = self.http if scheme == "http" else self.https
        return f"{scheme}://{host}:{number}{path}"

    def words(self):
        return {"DIR": self.dir, "CONF": ROOT / "conf",
                "HTTP_PORT": self.http, "HTTPS_PORT": self.https,
                "ORIGIN": self.url("", scheme="https"),
                "ISSUER": self.issuer, **self.secrets()}

    def secrets(self):
        """Secrets of the provider's clients, made once per directory."""
        path = self.dir / "clients.json"
        if not path.exists():
            text = json.dumps({"LOGIN_SECRET": secrets.token_hex(16),
                               "CLIENT_SECRET": secrets.token_hex(16)})
            self.write("clients.json", text, 0o600)
        return json.loads(path.read_text())

    def fill(self, template):
        """A template's text with its @WORDS@ filled in."""
        text = (ROOT / "conf" / template).read_text()
        for word, value in self.words().items():
            text = text.replace(f"@{word}@", str(value))
        left = re.search(r"@[A-Z_]+@", text)
        if left:
            raise Problem(f"{template} has an unknown word {left[0]}")
        return text

    # ---- programs

    def make(self, say):
        """Builds what is older than its sources."""
        env = {k: v for k, v in os.environ.items()
               if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        done = subprocess.run(["make", "-s", f"-j{os.cpu_count() or 1}", "all"],
                              cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                              text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            say(done.stdout[-3000:])
            raise Problem("the build failed", "make all")

    def gatehouse(self, *args, check=True, text=None, seconds=60):
        """The command line tool; its output as text, or Problem."""
        try:
            done = subprocess.run(
                [self.dir / "bin/gatehouse", "--dir", self.dir, *args],
                text=True, input=text if text is not None else "",
                capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Problem(f"gatehouse {' '.join(args)}: no end in {seconds} s",
                          f"look into {self.dir}/log/control.log") from None
        if check and done.returncode:
            raise Problem(f"gatehouse {' '.join(args)} ended with "
                          f"{done.returncode}: "
                          f"{(done.stderr or done.stdout).strip()[-1500:]}")
        return done.stdout if check else done

    def ask(self, *args, **kw):
        """The same with JSON output, decoded."""
        out = self.gatehouse("-o", "json", *args, **kw)
        try:
            return json.loads(out)
        except ValueError:
            raise Problem(f"gatehouse -o json {' '.join(args)} printed "
                          f"{out[:200]!r}") from None

    # ---- the directory

    def prepare(self, say):
        """Makes the directory with what the processes expect in it."""
        self.must_be_reachable(say)
        gate = pwd.getpwnam(GATE_USER)
        for name, mode in (("", 0o755), ("log", 0o755), ("tls", 0o755),
                           ("tmp", 0o755), ("bin", 0o755)):
            path = self.dir / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            path = self.dir / "tmp" / name
            path.mkdir(exist_ok=True)
            os.chown(path, gate.pw_uid, gate.pw_gid)
        self.copy_programs()
        self.make_certificate()
        self.write("nginx.conf", self.fill("demo/nginx.conf.in"))
        self.write("gatehouse.yaml", self.fill("demo/gatehouse.yaml.in"), 0o600)
        return str(self.dir)

    def copy_programs(self):
        """What runs is a copy: a later build does not change it under its
        feet, and a checkout may lie where other users cannot look."""
        for name in (*PROGRAMS, MODULE):
            fresh = self.dir / "bin" / (name + ".new")
            shutil.copyfile(self.build / name, fresh)
            fresh.chmod(0o755)
            fresh.rename(self.dir / "bin" / name)

    def must_be_reachable(self, say):
        """Unprivileged processes walk to the directory: where a parent is
        closed (a checkout in /root), the state lives in /var/lib instead and
        the directory is a link to it."""
        closed = [p for p in self.dir.parents if not p.stat().st_mode & 0o001]
        if not closed:
            return
        name = re.sub(r"[^A-Za-z0-9]+", "-", str(self.dir)).strip("-")
        place = pathlib.Path("/var/lib/gatehouse-private") / name
        place.mkdir(parents=True, exist_ok=True)
        if self.dir.is_symlink():
            self.dir.unlink()
        elif self.dir.is_dir():
            raise Problem(f"{closed[0]} is closed to other users, and "
                          f"{self.dir} exists", f"mv {self.dir} {self.dir}.old",
                          "make run GATEHOUSE_DIR=/var/tmp/gatehouse")
        self.dir.symlink_to(place)
        say(f"{closed[0]} is closed to other users: the state is in {place}")
        self.dir = place

    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.write_text(text)
        path.chmod(mode)

    def make_certificate(self):
        """A certificate for localhost, good for a year, made once."""
        key = self.dir / "tls/localhost.key"
        fresh = subprocess.run(
            ["openssl", "x509", "-checkend", "86400", "-noout", "-in",
             self.certificate], capture_output=True).returncode == 0
        if fresh and key.exists():  # made by an earlier start
            return
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-days", "365",
             "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,DNS:auth.localhost,IP:127.0.0.1",
             "-keyout", key, "-out", self.certificate],
            capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"openssl: {done.stderr.strip()[-300:]}")
        key.chmod(0o600)

    # ---- ports

    def ports_free(self, say):
        for name, number in (("HTTP_PORT", self.http),
                             ("HTTPS_PORT", self.https)):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", number))
                except PermissionError:
                    raise Problem(f"no right to listen on port {number}",
                                  f"make run {name}=8080") from None
                except OSError:
                    raise Problem(
                        f"port {number} is taken by {holder(number)}",
                        f"make run {name}={number + 1000}",
                        "make stop, if it is an earlier system of yours"
                    ) from None
        return f"{self.http} and {self.https} are free"

    # ---- up and ready

    def up(self, say):
        """gatehoused with everything below it; returns when all of it serves."""
        nginx = nginx_binary()
        try:
            self.start(nginx)
        except Problem as problem:
            say(read(self.dir / "log/gatehoused.log")[-1500:])
            done = subprocess.run(
                [nginx, "-t", "-q", "-e", self.dir / "log/nginx-error.log",
                 "-c", self.dir / "nginx.conf"], capture_output=True, text=True)
            raise Problem(problem.what, *(done.stderr or "").splitlines()[-5:],
                          f"look into {self.dir}/log") from None
        return f"gatehoused (pid {self.running()})"

    def start(self, nginx):
        self.gatehouse(
            "up", "--nginx", str(self.dir / "nginx.conf"),
            "--nginx-program", nginx, "--group", GATE_GROUP,
            "--redis", f"unix:{self.dir}/svc/redis/redis.sock",
            "--ca-file", str(self.certificate),
            "--gate-address", f"127.0.0.1:{self.http}",
            "--allow-path", str(ROOT / "conf/llng"))

    def running(self):
        """gatehoused's pid, when that process is still it: numbers come
        back."""
        text = read(self.dir / "gatehoused.pid").strip()
        if not text.isdigit():
            return None
        words = read(f"/proc/{text}/cmdline").split("\0")
        mine = "gatehoused" in words[0] and str(self.dir) in words
        return int(text) if mine else None

    def service(self, name):
        return self.ask("service", "show", name)

    def service_up(self, name, seconds=30):
        remedies = [f"{self.build}/gatehouse --dir {self.asked} service logs "
                    f"{name}", f"look into {self.dir}/log/control.log"]

        def is_up():
            run = self.service(name).get("run", {})
            if run.get("state") == "up":
                return True
            last = (run.get("events") or [{}])[-1].get("text", "")
            if "clone3" in last:
                remedies[:] = ["a host, or a container that may make user "
                               "namespaces (--privileged); not a chroot"]
            raise Problem(f"{run.get('state')}; {last}")
        until(seconds, f"service {name} up", is_up, remedies)


def holder(number):
    """Who listens on a port: 'nginx (pid 12)', or 'another process'."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        for row in read(f"/proc/net/{table}").splitlines()[1:]:
            cells = row.split()
            if cells[3] == "0A" and int(cells[1].split(":")[1], 16) == number:
                inodes.add(f"socket:[{cells[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.scandir(f"/proc/{pid}/fd"):
                if os.readlink(fd.path) in inodes:
                    return f"{read(f'/proc/{pid}/comm').strip()} (pid {pid})"
        except OSError:
            continue
    return "another process"


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def nginx_binary():
    path = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.access(path, os.X_OK):
        raise Problem("no nginx", "conf/packages.sh build run")
    return path
