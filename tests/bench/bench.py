#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench: what the gate costs, beside stock nginx in the same minute.

Gatehouse and stock nginx stand in front of one backend, each with one worker
on CPU 0, the same configuration but for the gate; load (wrk), backend and
Redis are on CPU 1. Slices of load alternate: nginx, Gatehouse, nginx ...; a
slice is compared with the ones around it, so what else the machine does falls
on both. CPU is the worker's own run time per request (proc(5), schedstat).

Prints a table and writes build/bench.json.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests"))

from lib.process import (Process, children, cpu_seconds,  # noqa: E402
                         free_port, wait_for)
from lib.raw import exchange, request  # noqa: E402
from lib.stack import BUILD, NGINX, Stack  # noqa: E402

LOAD_CPU = 1        # the gate's worker is on CPU 0, by its configuration
CONNECTIONS = 32
MANY = 100_000
HUGE = 10**12


# ---- the servers

BACKEND = """\
worker_processes 1;
worker_cpu_affinity 10;
pid @dir@/backend.pid;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {
        listen 127.0.0.1:@port@;
        default_type application/json;
        location / { return 200 '{"id":42,"name":"example","items":[1,2,3,4,5],"status":"ok","note":"an answer of about 180 bytes, as many interfaces give for one object of theirs, and no more"}\\n'; }
    }
}
"""
STOCK = """\
user www-data www-data;
worker_processes 1;
worker_cpu_affinity 01;
pid @dir@/stock.pid;
events { worker_connections 4096; }
http {
    error_log @dir@/stock-error.log warn;
    @shipped@
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream services { server 127.0.0.1:@port@; keepalive 64; }
    server {
        listen 127.0.0.1:@stock_port@;
        location / { proxy_pass http://services; }
    }
}
"""


class Ground:
    """Backend, stock nginx and a Gatehouse, ready for load."""

    def __enter__(self):
        os.sched_setaffinity(0, {LOAD_CPU})     # Redis and all else too
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, 0, -15)     # and our children
        self.stack = Stack(
            workers=1, zone="128m", main="worker_cpu_affinity 01;",
            server="access_log off; keepalive_requests 1000000000;")
        self.servers = []
        self.stack.start()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.dir = self.stack.dir
        self.port, self.stock_port = free_port(), free_port()
        shipped = (ROOT / "conf/nginx/gatehouse-http.conf").read_text()
        # all but what is written to the log, which neither writes here
        shipped = re.sub(r"^(log_format.*?;|map \$gatehouse.*?^})\n", "",
                         shipped, flags=re.S | re.M)
        self.servers.append(self.nginx("backend", BACKEND))
        self.servers.append(self.nginx("stock", STOCK, shipped))
        self.workers = {
            "nginx": (wait_for("a worker", lambda: children(
                self.servers[1].pid))[0], self.stock_port),
            "gate": (self.stack.gate.worker_pids()[0], self.stack.gate.port)}

    def nginx(self, name, conf, shipped=""):
        values = {"dir": self.dir, "port": self.port, "shipped": shipped,
                  "stock_port": self.stock_port}
        path = self.dir / (name + ".conf")
        path.write_text(re.sub(r"@(\w+)@", lambda m: str(values[m[1]]), conf))
        server = Process([NGINX, "-p", self.dir, "-e", self.dir /
                          (name + "-error.log"), "-c", path, "-g",
                          "daemon off;"], self.dir / (name + ".out"), dying=15)
        port = self.port if name == "backend" else self.stock_port
        wait_for(name, lambda: exchange(("127.0.0.1", port), request(
            "GET", "/")).status == 200)
        return server

    def __exit__(self, *exc):
        for server in self.servers:
            server.stop()
        self.stack.stop(quiet=True)

    def load(self, where, caller, seconds, order="random"):
        """One slice; requests, CPU µs per request, refused, ..."""
        pid, port = self.workers[where]
        env = {**os.environ, "LOAD_PATH": caller.path, "LOAD_ORDER": order}
        env.pop("LOAD_FILE", None)
        if caller.file:
            env["LOAD_FILE"] = str(caller.file)
        commands = self.stack.redis.commands()
        before = cpu_seconds(pid)
        done = subprocess.run(
            ["taskset", "-c", str(LOAD_CPU), "wrk", "-t1",
             "-c%d" % CONNECTIONS, "-d%ds" % seconds, "-s",
             str(HERE / "load.lua"), "http://127.0.0.1:%d" % port],
            env=env, capture_output=True, text=True)
        used = cpu_seconds(pid) - before
        line = [x for x in done.stdout.splitlines() if x.startswith("JSON ")]
        assert line, "wrk: %s %s" % (done.stdout, done.stderr)
        out = json.loads(line[0][5:])
        out["cpu_us"] = used * 1e6 / max(out["requests"], 1)
        out["rps"] = out["requests"] / out["seconds"]
        out["redis"] = (self.stack.redis.commands() - commands) \
            / max(out["requests"], 1)
        return out


class Caller:
    """Whose requests a load sends: a path, and a header line per caller."""

    def __init__(self, ground, name, path, lines=None):
        self.path = path + "/bench"
        self.file = None
        if lines is not None:
            self.file = ground.dir / ("load-" + name)
            with open(self.file, "w") as f:
                f.writelines(x + "\n" for x in lines)


# ---- cases

def three_limits(value):
    return [{"period": p, "value": value} for p in ("hour", "day", "month")]


def token(ground):
    """An API that takes JWTs of an issuer made up here, and a token."""
    from jwcrypto import jwk, jwt
    key = jwk.JWK.generate(kty="RSA", size=2048, kid="bench", alg="RS256",
                           use="sig")
    scene = ground.stack.scene(
        "bench-jwt", key=False, limits=three_limits(HUGE),
        more={"idps": [{"name": "bench-idp", "issuer": "https://idp.test/",
                        "algs": ["RS256"]}]},
        api={"credentials": {"jwt": [{"idp": "bench-idp",
                                      "audience": "bench"}]}},
        app={"clients": [{"idp": "bench-idp", "client_id": "bench-client"}]})
    ground.stack.must("PUT", "/v1/idps/bench-idp/discovered", {
        "authorization_endpoint": "https://idp.test/a",
        "token_endpoint": "https://idp.test/t",
        "userinfo_endpoint": "https://idp.test/u",
        "end_session_endpoint": "https://idp.test/e", "jwks_uri": "https://idp.test/k", "require_iss": False,
        "keys": [{"kid": "bench", "algs": ["RS256"],
                  "jwk": json.loads(key.export_public())}]})
    now = int(time.time())
    made = jwt.JWT(header={"alg": "RS256", "kid": "bench", "typ": "JWT"},
                   claims={"iss": "https://idp.test/", "aud": "bench",
                           "sub": "someone", "azp": "bench-client",
                           "iat": now, "nbf": now, "exp": now + 7200,
                           "email": "someone@example.org",
                           "roles": ["staff", "reader"]})
    made.make_signed_token(key)
    return scene, "Authorization: Bearer " + made.serialize()


def pairs(ground, one, two, rounds, seconds):
    """Alternating slices of (where, caller) -> [(a, b)], a the mean of the
    slices around each b."""
    for where, caller in (one, two):
        ground.load(where, caller, seconds)
    out = []
    before = ground.load(*one, seconds)
    for _ in range(rounds):
        middle = ground.load(*two, seconds)
        after = ground.load(*one, seconds)
        base = {k: (before[k] + after[k]) / 2 for k in after}
        out.append((base, middle))
        before = after
    return out


def result(name, rows, target=None, refused=False):
    for _, b in rows:
        assert not b["errors"], "%s: %s" % (name, b)
        wrong = b["requests"] - b["refused"] if refused else b["refused"]
        assert wrong == 0, "%s: %s" % (name, b)
    ratios = [b["cpu_us"] / a["cpu_us"] for a, b in rows]
    return {"name": name, "target": target,
            "base_cpu_us": statistics.median(a["cpu_us"] for a, _ in rows),
            "cpu_us": statistics.median(b["cpu_us"] for _, b in rows),
            "added_us": statistics.median(b["cpu_us"] - a["cpu_us"]
                                          for a, b in rows),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios), "ratio_max": max(ratios),
            "rps": statistics.median(b["rps"] for _, b in rows),
            "base_rps": statistics.median(a["rps"] for a, _ in rows),
            "redis_per_request": statistics.median(b["redis"]
                                                   for _, b in rows),
            "p99_us": statistics.median(b["p99_us"] for _, b in rows)}


def measure(ground, args):
    rounds, seconds = args.rounds, args.seconds
    stack = ground.stack
    cases, facts = [], {}

    def case(name, caller, base=None, **kw):
        if args.only and not re.search(args.only, name):
            return
        rows = pairs(ground, base or ("nginx", caller), ("gate", caller),
                     rounds, seconds)
        cases.append(result(name, rows, **kw))
        show(cases[-1])

    stack.add({"services": [{"name": "echo", "url": "http://127.0.0.1:%d"
                             % ground.port}]})
    scene = stack.scene("bench", limits=three_limits(HUGE))
    one = Caller(ground, "one", scene.path, ["X-API-Key: " + scene.key])
    case("API key + 3 limits, 1 application", one, target=1.10)

    before = stack.redis.commands()
    sample = ground.load("gate", one, 3)
    facts["redis_commands_per_second"] = (
        stack.redis.commands() - before) / sample["seconds"]
    facts["redis_commands_per_request"] = (
        stack.redis.commands() - before) / sample["requests"]

    jwt_scene, line = token(ground)
    case("JWT seen before + 3 limits",
         Caller(ground, "jwt", jwt_scene.path, [line]), target=1.15)

    over = stack.scene("bench-over", limits=[
        {"period": "day", "value": HUGE}, {"period": "hour", "value": 1}])
    refused = Caller(ground, "over", over.path, ["X-API-Key: " + over.key])
    over.get()
    case("refused: over a limit (429)", refused, refused=True)
    case("refused: beside an admitted call of the same gate", refused,
         base=("gate", one), refused=True)
    case("flood of random keys (401)", Caller(ground, "flood", scene.path),
         refused=True)
    lines = ["X-API-Key: " + k for k in stack.fill(scene, args.many)]
    some = Caller(ground, "some", scene.path, lines[:1000])
    case("API key + 3 limits, 1,000 applications", some, target=1.10)

    before = stack.gate.status()["zone"]
    many = Caller(ground, "many", scene.path, lines)
    for _ in range(3):      # whose rate is known leases for a while
        walk(ground, many, args.many)
    after = stack.gate.status()["zone"]
    facts["bytes_per_application"] = (after["used"] - before["used"]) \
        / max(after["scopes"] - before["scopes"], 1)
    case("API key + 3 limits, %s applications" % format(args.many, ","),
         many, target=1.10)
    case("%s applications, beside 1 of the same gate"
         % format(args.many, ","), many, base=("gate", one), target=1.05)
    return cases, facts


def walk(ground, caller, count):
    """Every caller once, so that each is active."""
    done = ground.load("gate", caller, 4, order="walk")["requests"]
    if done < count:    # a load begins at the first line: a longer one
        ground.load("gate", caller, int(count / done * 4 * 1.3) + 2,
                    order="walk")


def show(c):
    verdict = "" if c["target"] is None else \
        "<= %.2f %s" % (c["target"], "ok" if c["ratio"] <= c["target"]
                        else "MISSED")
    print("%-50s %7.2f %7.2f %+7.2f %6.3f [%.2f-%.2f] %7.0f %6.4f %s" % (
        c["name"], c["base_cpu_us"], c["cpu_us"], c["added_us"], c["ratio"],
        c["ratio_min"], c["ratio_max"], c["rps"], c["redis_per_request"],
        verdict), flush=True)


def sandbox_start():
    """The last line of sandbox_start.py: medians, or why there are none."""
    os.sched_setaffinity(0, range(os.cpu_count()))
    done = subprocess.run([sys.executable, HERE / "sandbox_start.py"],
                          capture_output=True, text=True, timeout=240)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": (done.stdout + done.stderr)[-300:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1,
                        help="of a slice")
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--only", help="cases by regular expression")
    parser.add_argument("--out", default=str(ROOT / "build/bench.json"))
    args = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("bench: two CPUs are needed, one for the gate alone")
    print("%-50s %7s %7s %7s %6s %11s %7s %6s %s" % (
        "", "base us", "gate us", "added", "ratio", "min-max", "req/s",
        "redis", "target"))
    with Ground() as ground:
        cases, facts = measure(ground, args)
    facts["sandbox_start"] = sandbox_start()
    for name, value in facts.items():
        print("%-50s %s" % (name.replace("_", " "),
                            "%.4f" % value if isinstance(value, float)
                            else json.dumps(value)))
    pathlib.Path(args.out).write_text(json.dumps(
        {"cases": cases, **facts, "rounds": args.rounds,
         "seconds": args.seconds}, indent=1) + "\n")
    missed = [c["name"] for c in cases
              if c["target"] and c["ratio"] > c["target"]]
    print("written: %s%s" % (args.out, "; missed: " + ", ".join(missed)
                             if missed else ""))


if __name__ == "__main__":
    main()
