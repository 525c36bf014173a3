# SPDX-License-Identifier: Apache-2.0
"""A whole Gatehouse on loopback: stock nginx with the module, Redis, control.

    with Stack(workers=2) as gate:
        scene = gate.scene(limits=[{"period": "minute", "value": 10}])
        assert scene.get("/x").status == 200

Every Stack has its own directory, sockets and ports; two test runs beside each
other do not meet. Close it, and its logs are searched for what must never be
in a log.
"""
import copy
import itertools
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import subprocess
import tempfile

import redis

from . import raw
from .backend import Backend
from .process import Process, alive, children, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GATEHOUSE_BUILD", ROOT / "build")).resolve()
MODULE = BUILD / "ngx_http_gatehouse_module.so"
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
CONTROL_UID, IDP_UID, GROUP = 61110, 61111, 61112
GATE_UID = GATE_GID = 33        # www-data, as nginx' `user` says
KINDS = ("services", "idps", "apis", "plans", "accounts", "apps")
NEVER = re.compile(r"\[alert\]|\[emerg\]|Sanitizer|runtime error|"
                   r"stack smashing|Assertion")


def sanitized():
    """This build carries AddressSanitizer."""
    return b"__asan_init" in MODULE.read_bytes()


def sanitizer_env(logs):
    if not sanitized():
        return {}
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"],
                             capture_output=True, text=True).stdout.strip()
    options = "detect_leaks=0:log_path=%s/asan" % logs
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": options,
            "UBSAN_OPTIONS": "print_stacktrace=1:log_path=%s/ubsan" % logs}


class Refused(Exception):
    """The control API refused; `reply` tells why."""

    def __init__(self, reply):
        super().__init__("%s %s" % (reply.status, reply.body.decode()))
        self.reply = reply


class Redis:
    """redis-server on a unix socket. `aof`: it keeps its data when killed."""

    def __init__(self, directory, sock, aof=True, config=()):
        self.directory, self.sock = pathlib.Path(directory), str(sock)
        self.aof, self.config = aof, list(config)
        self.directory.mkdir(exist_ok=True)
        self.process = None

    def start(self):
        pathlib.Path(self.sock).unlink(missing_ok=True)
        self.process = Process(
            ["redis-server", "--port", "0", "--unixsocket", self.sock,
             "--unixsocketperm", "777", "--dir", self.directory,
             "--save", "", "--appendonly", "yes" if self.aof else "no",
             "--appendfsync", "everysec", "--daemonize", "no",
             *self.config], self.directory / "redis.log")
        wait_for("Redis answers", self.ping, 15)
        return self

    def ping(self):
        try:
            return self.client().ping()
        except redis.exceptions.ConnectionError as e:
            raise OSError(e) from e

    def client(self):
        return redis.Redis(unix_socket_path=self.sock, socket_timeout=10,
                           protocol=2) if redis.VERSION >= (4, 4) else \
            redis.Redis(unix_socket_path=self.sock, socket_timeout=10)

    def commands(self):
        """How many commands gates sent (INFO commandstats): what scripts call
        inside Redis is not a command of theirs."""
        info = self.client().info("commandstats")
        return sum(v["calls"] for k, v in info.items() if k[8:].split("|")[0]
                   in ("eval", "evalsha", "script", "subscribe", "get", "set",
                       "getex", "del", "publish"))

    def kill(self, lose_data=False):
        self.process.kill()
        if lose_data:
            shutil.rmtree(self.directory / "appendonlydir",
                          ignore_errors=True)

    def stop(self):
        if self.process:
            self.process.stop(within=15)


class Gate:
    """One nginx with the module: a gateway host. Several may share a Stack's
    Redis and catalog, each with its own zone."""

    numbers = itertools.count()

    def __init__(self, stack, workers=2, zone="16m", http="", server="",
                 main="", listen="", redis_sock=None):
        self.stack, self.workers, self.zone = stack, workers, zone
        self.http, self.server, self.main = http, server, main
        self.listen = listen            # "reuseport": all workers get calls
        self.redis_sock = redis_sock or stack.redis.sock
        self.name = "nginx-%d" % next(self.numbers)
        self.dir = stack.dir / self.name
        self.dir.mkdir()
        os.chown(self.dir, GATE_UID, GATE_GID)
        self.port, self.tls_port = free_port(), free_port()
        self.address = ("127.0.0.1", self.port)
        self.tls_address = ("127.0.0.1", self.tls_port)
        first = not stack.gates         # the one that control asks
        self.status_sock = str((stack.dir / "sock" if first else self.dir)
                               / "gate.sock")
        self.conf = self.dir / "nginx.conf"
        self.error_log = stack.log / (self.name + "-error.log")
        self.access_log = stack.log / (self.name + "-access.log")
        self.process = None

    def write(self):
        values = {"module": MODULE, "dir": self.dir, "root": self.stack.dir,
                  "workers": self.workers, "zone": self.zone,
                  "redis": self.redis_sock, "port": self.port,
                  "tls_port": self.tls_port, "error_log": self.error_log,
                  "access_log": self.access_log, "http": self.http,
                  "server": self.server, "main": self.main,
                  "listen": self.listen,
                  "status": self.status_sock, "shipped": ROOT / "conf/nginx"}
        text = re.sub(r"@(\w+)@", lambda m: str(values[m[1]]), CONF)
        self.conf.write_text(text)

    def command(self, *more):
        return [NGINX, "-p", self.dir, "-e", self.error_log, "-c", self.conf,
                *more]

    def environment(self):
        return {**os.environ, **sanitizer_env(self.stack.log)}

    def check(self):
        """nginx -t: (exit status, what it says)."""
        self.write()
        done = subprocess.run([str(x) for x in self.command("-t")],
                              env=self.environment(), capture_output=True,
                              text=True, timeout=60)
        return done.returncode, done.stderr

    def start(self):
        self.write()
        pathlib.Path(self.status_sock).unlink(missing_ok=True)
        self.process = Process(self.command("-g", "daemon off;"),
                               self.stack.log / (self.name + ".out"),
                               env=self.environment(), dying=signal.SIGTERM)
        self.wait_open()
        return self

    def wait_open(self, within=20.0):
        def answers():
            assert self.process.running, "nginx ended: " + \
                self.error_log.read_text()[-2000:]
            raw.exchange(self.address, raw.request("GET", "/", host="none"),
                         timeout=5)
            return True

        def condition():
            try:
                return answers()
            except raw.Broken as e:
                raise OSError(e) from e
        wait_for("nginx answers", condition, within, 0.02)

    def worker_pids(self):
        return sorted(p for p in children(self.process.pid)
                      if b"worker process" in pathlib.Path(
                          "/proc/%d/cmdline" % p).read_bytes())

    def reload(self):
        self.process.send(signal.SIGHUP)

    def status(self):
        """GET /status of the gate's own socket."""
        reply = raw.exchange(self.status_sock, raw.request("GET", "/status"))
        assert reply.status == 200, reply
        return reply.json()

    def internal(self, method, path):
        return raw.exchange(self.status_sock, raw.request(method, path))

    def kill(self):
        """kill -9 of the master and of every worker."""
        pids = children(self.process.pid)
        self.process.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for("the workers are gone",
                 lambda: not any(alive(p) for p in pids))

    def stop(self):
        if self.process:
            pids = children(self.process.pid) if self.process.running else []
            self.process.stop(signal.SIGTERM, 20)
            wait_for("the workers are gone",
                     lambda: not any(alive(p) for p in pids))

    # ---- requests

    def send(self, data, tls=False, **kw):
        """Bytes on a connection of their own -> the answer."""
        address = self.tls_address if tls else self.address
        return raw.exchange(address, data,
                            tls=self.stack.ca if tls else None, **kw)

    def client(self, tls=False, **kw):
        if tls:
            return raw.Client(self.tls_address, tls=self.stack.ca, **kw)
        return raw.Client(self.address, **kw)

    def request(self, method, target, headers=(), body=None, tls=False,
                **kw):
        pairs = list(headers.items() if isinstance(headers, dict)
                     else headers) + [("Connection", "close")]
        return self.send(raw.request(method, target, pairs, body, **kw), tls,
                         method=method)


class Scene:
    """An API, a plan, an account, an application and its key, alone in the
    catalog by their unique names."""

    def __init__(self, stack, name, key):
        self.stack, self.name, self.key = stack, name, key
        self.path = "/" + name
        self.header = "X-API-Key"

    def headers(self, more=(), key=None):
        pairs = list(more.items() if isinstance(more, dict) else more)
        key = self.key if key is None else key
        return pairs + ([(self.header, key)] if key else [])

    def request(self, method, path="/", headers=(), body=None, key=None,
                **kw):
        return self.stack.gate.request(method, self.path + path,
                                       self.headers(headers, key), body, **kw)

    def get(self, path="/", headers=(), **kw):
        return self.request("GET", path, headers, **kw)

    def bytes(self, path="/", headers=(), method="GET", body=None, key=None):
        """A request as bytes, for raw clients and loads (keepalive)."""
        return raw.request(method, self.path + path,
                           self.headers(headers, key), body)

    def seen(self):
        """What the backend saw of this scene."""
        return self.stack.backend.seen(self.path)

    def edit(self, kind, **changes):
        """Changes fields of its api, plan, account or app, live."""
        self.stack.edit(kind, self.name, **changes)


class Stack:
    """The processes and the document of one installation."""

    def __init__(self, workers=2, zone="16m", aof=True, control=(),
                 prepare=None, redis_config=(), empty=False, **gate):
        self.gate_options = dict(gate, workers=workers, zone=zone)
        self.control_options = list(control)
        self.prepare = prepare          # called with the directory, early
        self.empty = empty              # nothing is ever applied
        self.aof, self.redis_config = aof, redis_config
        self.document = {"gatehouse": 1, **{k: [] for k in KINDS}}
        self.numbers = itertools.count(1)
        self.expected = []              # patterns of log lines that may be
        self.read_to = {}
        self.gates, self.processes = [], []
        self.control = self.probe = None

    # ---- life

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *exc):
        self.stop(quiet=kind is not None)

    def start(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="gatehouse-test-"))
        self.log = self.dir / "log"
        try:
            self._layout()
            if self.prepare:
                self.prepare(self.dir)
            self.backend = Backend().start()
            self.redis = Redis(self.dir / "redis",
                               self.dir / "sock/redis.sock", self.aof,
                               self.redis_config).start()
            self.start_control()
            if not self.empty:
                self.add({"services": [{"name": "echo",
                                        "url": self.echo_url}]})
            self.gate = self.add_gate(**self.gate_options)
        except Exception as e:
            faults = self.stop(quiet=True)
            raise AssertionError("\n".join([str(e)] + faults[:20])) from e
        except BaseException:
            self.stop(quiet=True)
            raise
        return self

    @property
    def echo_url(self):
        return "http://127.0.0.1:%d" % self.backend.port

    def _layout(self):
        os.chmod(self.dir, 0o755)
        for name, uid, gid, mode in (
                ("catalog", CONTROL_UID, GATE_GID, 0o2750),
                ("idp", IDP_UID, IDP_UID, 0o700),
                ("sock", 0, GROUP, 0o1777),
                ("svc", 0, GROUP, 0o755), ("services", 0, 0, 0o755),
                ("log", 0, 0, 0o1777), ("tls", 0, 0, 0o755)):
            path = self.dir / name
            path.mkdir()
            os.chown(path, uid, gid)
            os.chmod(path, mode)
        secret = self.dir / "secret"
        secret.write_text(secrets.token_hex(32) + "\n")
        os.chown(secret, 0, GROUP)
        os.chmod(secret, 0o640)
        self.ca = str(self.dir / "tls/cert.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", self.dir / "tls/key.pem", "-out", self.ca],
            check=True, capture_output=True)

    def start_control(self):
        """gatehouse-control itself, without the house around it."""
        env = {**os.environ, **sanitizer_env(self.log)}
        env.pop("LD_PRELOAD", None)
        self.control = Process(
            [BUILD / "gatehouse-control", "--dir", self.dir,
             "--redis", "unix:" + self.redis.sock, "--group", GATE_GID,
             "--idp-user", IDP_UID, *self.control_options], self.log / "control.log", env=env,
            uid=CONTROL_UID, gid=GROUP, groups=(GROUP, GATE_GID))
        self.processes.append(self.control)

        def answers():
            assert self.control.running, "control ended: " + \
                self.control.text()[-2000:]
            try:
                return self.call("GET", "/v1/status").status == 200
            except raw.Broken as e:
                raise OSError(e) from e
        wait_for("control answers", answers, 15)
        return self.control

    def start_idp(self, *options):
        """gatehouse-idp itself, for logins and refused secrets."""
        self.idp = Process(
            [BUILD / "gatehouse-idp", "--dir", self.dir, *options],
            self.log / "idp.log", uid=IDP_UID, gid=GROUP,
            groups=(GROUP, GATE_GID))
        self.processes.append(self.idp)
        sock = self.dir / "sock/idp.sock"
        wait_for("idp listens", lambda: sock.exists() or not self.idp.running)
        assert self.idp.running, "idp ended: " + self.idp.text()[-2000:]
        return self.idp

    def add_gate(self, **options):
        gate = Gate(self, **options)
        self.gates.append(gate)
        gate.start()
        if not self.empty:
            self.wait_leases(gate)
        return gate

    def wait_leases(self, gate):
        """A Redis that just started grants nothing until all gates can have
        told what they hold; from its first grant on calls are counted
        exactly."""
        if self.probe is None:
            self.probe = self.scene("probe", limits=[
                {"period": "ever", "value": 10**9}])
        client = self.redis.client()

        def granted():
            gate.request("GET", self.probe.path, self.probe.headers())
            for key in client.scan_iter("gh:{a:probe}:l:*"):
                for told in client.hgetall(key).values():
                    if int(told.split()[0]) > 0:
                        return True
        wait_for("the first lease", granted, 5, 0.05)

    def expect(self, pattern):
        """Log lines that this test brings about on purpose."""
        self.expected.append(re.compile(pattern))

    def stop(self, quiet=False):
        faults = []

        def attempt(act):
            try:
                act()
            except AssertionError as e:
                faults.append(str(e))
        for gate in self.gates:
            attempt(gate.stop)
        for process in self.processes:
            attempt(process.stop)
        if hasattr(self, "redis"):
            attempt(self.redis.stop)
        if hasattr(self, "backend"):
            self.backend.stop()
        faults += self.faults_in_logs()
        if not os.environ.get("GATEHOUSE_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        assert quiet or not faults, "\n".join(faults[:20])
        return faults

    def logs(self):
        return [p for p in self.log.glob("*") if p.is_file()]

    def faults_in_logs(self):
        """Lines that may never be, since the last call."""
        out = []
        for path in self.logs():
            if path.name.endswith("access.log"):
                continue
            with open(path, errors="replace") as f:
                f.seek(self.read_to.get(path, 0))
                lines = f.readlines()
                self.read_to[path] = f.tell()
            for line in lines:
                if NEVER.search(line) and not any(
                        e.search(line) for e in self.expected):
                    out.append("%s: %s" % (path.name, line.strip()))
        return out

    # ---- the control API

    def call(self, method, path, body=None, headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        elif isinstance(body, str):
            body = body.encode()
        pairs = list(dict(headers).items()) + [("Connection", "close")]
        return raw.exchange(str(self.dir / "sock/control.sock"),
                            raw.request(method, path, pairs, body),
                            timeout=60, method=method)

    def must(self, method, path, body=None, headers=()):
        reply = self.call(method, path, body, headers)
        if reply.status >= 300:
            raise Refused(reply)
        return reply.json() if reply.body else None

    def apply(self, document):
        """The whole document, a dict or YAML text (JSON is YAML too); Refused
        when it is not taken."""
        return self.must("PUT", "/v1/document", document,
                         {"Content-Type": "application/yaml"})

    def add(self, items):
        """Puts items (by kind) beside what is there, in one apply."""
        document = copy.copy(self.document)
        for kind, new in items.items():
            names = {x["name"] for x in new}
            document[kind] = [x for x in document[kind]
                              if x["name"] not in names] + new
        self.apply({k: v for k, v in document.items() if v})
        self.document = document

    def edit(self, kind, name, **changes):
        kind = kind if kind in KINDS else kind + "s"
        item = next(x for x in self.document[kind] if x["name"] == name)
        item = {**item, **changes}
        self.add({kind: [{k: v for k, v in item.items() if v is not None}]})

    def key(self, app, kind=None):
        """A new credential of an application, as the API shows it once."""
        body = {"kind": kind} if kind else {}
        return self.must("POST", "/v1/apps/%s/keys" % app, body,
                         {"Content-Type": "application/json"})

    def scene(self, name=None, limits=(), api=None, plan=None, account=None,
              app=None, key=True, account_plan=None, more=None):
        """A Scene with these limits in its plan; `api`, `plan`, `account`,
        `app` override fields of the document's items."""
        name = name or "s%04d" % next(self.numbers)  # none begins another
        limits = [{"metric": "hits", **x} for x in limits]
        items = {
            "apis": [{"name": name, "hosts": ["*"], "path": "/" + name,
                      "service": "echo",
                      "credentials": {"api_key": {"header": "X-API-Key"}},
                      **(api or {})}],
            "plans": [{"name": name, "apis": [name], "limits": limits,
                       **(plan or {})}],
            "accounts": [{"name": name, **(account or {})}],
            "apps": [{"name": name, "account": name, "plan": name,
                      **(app or {})}]}
        for kind, new in (more or {}).items():
            items[kind] = new + items.get(kind, [])
        self.add({k: [{f: v for f, v in x.items() if v is not None}
                      for x in new] for k, new in items.items()})
        secret = self.key(name)["key"] if key else None
        scene = Scene(self, name, secret)
        return scene

    def fill(self, scene, count, prefix="many"):
        """So many applications more on a scene's plan, past control; their
        keys. For what no admin does: fill a zone, or a measurement."""
        subprocess.run([BUILD / "bench/fill_catalog", self.dir / "catalog",
                        self.dir / "secret", scene.name, scene.name, prefix,
                        "0", str(count)], check=True)
        return ["%s-%d-kkkkkkkkkkkkkkkk" % (prefix, i) for i in range(count)]

    # ---- the main gate, for short

    def request(self, *args, **kw):
        return self.gate.request(*args, **kw)

    def raw(self, data, **kw):
        return self.gate.send(data, **kw)


CONF = """\
load_module @module@;
user www-data www-data;
worker_processes @workers@;
pid @dir@/nginx.pid;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 10s;
@main@
events { worker_connections 4096; }
http {
    error_log @error_log@ info;
    include @shipped@/gatehouse-http.conf;
    access_log @access_log@ gatehouse;
    client_body_temp_path @dir@/body;
    proxy_temp_path @dir@/proxy;
    fastcgi_temp_path @dir@/fastcgi;
    uwsgi_temp_path @dir@/uwsgi;
    scgi_temp_path @dir@/scgi;
    keepalive_requests 1000000;
    keepalive_timeout 60s;
    proxy_connect_timeout 2s;
    proxy_read_timeout 10s;
    gatehouse_catalog @root@/catalog;
    gatehouse_secret @root@/secret;
    gatehouse_zone gatehouse @zone@;
    gatehouse_redis unix:@redis@;
    gatehouse_idp unix:@root@/sock/idp.sock;
    upstream services { gatehouse_endpoints; keepalive 64; }
    upstream gatehouse_idp { server unix:@root@/sock/idp.sock; }
    @http@
    server {
        listen 127.0.0.1:@port@ backlog=4096 @listen@;
        listen 127.0.0.1:@tls_port@ ssl backlog=4096;
        ssl_certificate @root@/tls/cert.pem;
        ssl_certificate_key @root@/tls/key.pem;
        @server@
        include @shipped@/gatehouse-server.conf;
    }
    server {
        listen unix:@status@;
        location / { gatehouse_internal; }
        location = /metrics { gatehouse_metrics; }
    }
}
"""
