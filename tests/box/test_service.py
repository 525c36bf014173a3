# SPDX-License-Identifier: Apache-2.0
"""The life of a service: from a Compose file to an endpoint, health, restarts,
logs, change and removal."""
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from lib.house import BUILD, PYTHON, House, Refused
from lib.process import alive, wait_for

SERVER = '''
import http.server, os, signal, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die": os._exit(3)
        if self.path == "/sick": open("/tmp/sick", "w").close()
        if self.path == "/well": os.unlink("/tmp/sick")
        ok = not (self.path == "/health" and os.path.exists("/tmp/sick"))
        self.send_response(200 if ok else 500)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
    def log_message(self, *a): pass
signal.signal(signal.SIGTERM, lambda *a: (print("told to end", flush=True),
                                          time.sleep(DELAY), sys.exit(0)))
print("started", flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), H).serve_forever()
'''


def server(delay=0):
    return [PYTHON, "-c", SERVER.replace("DELAY", str(delay))]


X = {"listen": 8000, "ready": "/health"}
QUICK = {"interval": "100ms", "timeout": "500ms", "retries": 2}


@pytest.fixture(scope="module")
def house():
    with House() as h:
        yield h


def faults(call, *args, **kw):
    with pytest.raises(Refused) as e:
        call(*args, **kw)
    assert e.value.status == 422
    return e.value.body["faults"]


# ---- files

def test_a_compose_file_by_the_command(house, tmp_path):
    file = tmp_path / "compose.yaml"
    file.write_text("""
services:
  filed:
    command: /usr/bin/python3 -c "import time; print('a  b', flush=True); time.sleep(99)"
    configs:
      - {source: motd, target: /etc/motd, mode: "0400"}
    x-gatehouse: {listen: none}
configs:
  motd:
    content: |
      welcome
""")
    cli = [BUILD / "gatehouse", "--dir", house.dir]
    subprocess.run([*cli, "service", "register", file], check=True)
    house.wait_state("filed", "up")
    wait_for("its words", lambda: house.text("filed") == "a  b\n")
    plan = house.ask("GET", "/v1/services/filed/plan")
    operations = {o["op"]: o for o in plan["operations"]}
    assert operations["capabilities"]["kept"] == []
    assert operations["execute"]["command"][0] == "/usr/bin/python3"
    assert [o for o in plan["operations"] if o.get("target") == "/etc/motd"]
    assert len(plan["text"]) == len(plan["operations"])
    done = subprocess.run([*cli, "service", "explain", "filed"], text=True,
                          capture_output=True, check=True)
    assert "namespaces" in done.stdout and "seccomp" in done.stdout
    subprocess.run([*cli, "service", "register", file], check=True)
    assert house.instance("filed")["starts"] == 1     # nothing changed


@pytest.mark.parametrize("text, line, column, words", [
    ("  privileged: true", 4, 5, "sandbox has no such door"),
    ("  network_mode: host", 4, 5, "namespace with the host"),
    ("  pid: host", 4, 5, "namespace with the host"),
    ("  ports: ['80:80']", 4, 5, "only the gate"),
    ("  build: .", 4, 5, "nothing is built"),
    ("  comand: x", 4, 5, "unknown key"),
    ("  user: bob", 4, 11, "numbers below 65535"),
    ("  user: '70000'", 4, 11, "numbers below 65535"),
    ("  mem_limit: lots", 4, 16, "a size"),
    ("  cap_add: [SYS_ADMIN]", 4, 15, "no service may have"),
    ("  volumes: ['/etc:/x']", 4, 15, "read-only"),
    ("  volumes: ['a:../x']", 4, 15, "absolute path"),
    ("  volumes: ['/a/../b:/x:ro']", 4, 15, "plain absolute path"),
    ("  working_dir: a", 4, 18, "absolute path"),
    ("  environment: ['A']", 4, 19, "a value is missing"),
    ("  environment: {'A=B': c}", 4, 26, "no name for a variable"),
    ("  security_opt: ['seccomp=unconfined']", 4, 20, "in the file itself"),
    ("  restart: often", 4, 14, "unknown"),
    ("  pids_limit: 0", 4, 17, "a number from 1"),
    ("  ulimits: {nofile: {soft: 2, hard: 1}}", 4, 23, "soft is more"),
    ("  healthcheck: {test: [CMD, x]}", 4, 19, "inside a sandbox"),
    ("  deploy: {replicas: 1000}", 4, 24, "a number from 1 to 64"),
    ("  tmpfs: ['x']", 4, 13, "absolute path"),
    ("  x-gatehouse: {listen: 70000}", 4, 27, "no place to listen"),
    ("  x-gatehouse: {listen: 'unix:../x'}", 4, 27, "no place to listen"),
    ("  x-gatehouse: {egress: [internet]}", 4, 27, "reach the gate"),
    ("  x-gatehouse: {rootfs: /a/../b}", 4, 27, "absolute path"),
    ("  x-gatehouse: {ready: nope}", 4, 26, "starts with /"),
    ("  labels: &a {x: y}", 4, 13, ""),
    ("  labels: !!map {x: y}", 4, 13, ""),
])
def test_faults_have_a_place_a_reason_and_a_hint(house, text, line, column,
                                                 words):
    body = "services:\n  bad:\n    command: [/bin/true]\n  " + text + "\n"
    found = faults(house.ask, "POST", "/v1/services", body)
    assert found[0]["line"] == line, found
    if words:
        assert found[0]["column"] == column, found
        assert words in found[0]["message"], found
        assert len(found) == 1, found


def test_all_faults_are_told_at_once_and_nothing_changes(house):
    body = ("services:\n  one:\n    command: [/bin/true]\n"
            "  two:\n    command: x\n    privileged: true\n    pid: host\n"
            "  Bad Name:\n    command: x\n")
    found = faults(house.ask, "POST", "/v1/services", body)
    assert len(found) == 3
    with pytest.raises(Refused) as e:
        house.show("one")
    assert e.value.status == 404


@pytest.mark.parametrize("compose, words", [
    ({}, "command is missing"),
    ({"command": []}, "command is missing"),
    ({"command": "x 'y"}, "quote is left open"),
    ({"command": "x", "read_only": False}, "writable root"),
    ({"command": "x", "deploy": {"replicas": 2}, "volumes": ["d:/d"]},
     "cannot share"),
    ({"command": ["x"] * 300}, "at most"),
    ({"command": "x", "configs": [{"source": "a", "target": "/a"}]},
     "Compose file of its own"),
])
def test_what_only_the_whole_shows(house, compose, words):
    found = faults(house.put, "whole", compose)
    assert words in json.dumps(found), found


# ---- health

def test_up_unhealthy_and_up_again(house):
    house.register("sick", server(), x=X, healthcheck=QUICK)
    house.wait_state("sick", "up")
    first = house.instance("sick")["pid"]
    house.call("sick", "/sick")
    run = house.wait_state("sick", "unhealthy")
    assert run["endpoints"] == []
    assert "500" in run["instances"][0]["fault"]
    sick = pathlib.Path(f"/proc/{first}/root/tmp/sick")
    sick.unlink()
    assert house.wait_state("sick", "up")["instances"][0]["pid"] == first


def test_a_start_has_patience_and_an_end(house):
    house.register("never", ["/bin/sleep", "100"], x=X,
                   healthcheck={**QUICK, "start_period": "400ms"})
    run = house.wait_state("never", "restarting")
    assert run["instances"][0]["last_exit"]["signal"] == 9
    assert any("not ready" in e["text"] for e in run["events"])


# ---- restarts

def test_killed_and_there_again(house):
    house.register("phoenix", server(), x=X)
    house.wait_state("phoenix", "up")
    first = house.instance("phoenix")["pid"]
    begin = time.monotonic()
    os.kill(first, signal.SIGKILL)
    house.wait_other("phoenix", first)
    assert time.monotonic() - begin < 2
    run = house.show("phoenix")
    assert any("signal 9" in e["text"] for e in run["events"])
    assert run["restarts"] == 1


def test_crash_loop_with_a_growing_pause(house):
    house.register("crasher", ["/bin/sh", "-c", "exit 3"])
    run = house.wait_state("crasher", "crash-loop")
    assert run["instances"][0]["last_exit"]["status"] == 3
    ends = [e["at_ms"] for e in run["events"] if "status 3" in e["text"]]
    gaps = [b - a for a, b in zip(ends, ends[1:])]
    assert len(gaps) >= 4 and gaps[3] > 2 * gaps[0], gaps


@pytest.mark.parametrize("restart, command, state", [
    ("no", "exit 1", "stopped"), ("on-failure", "exit 0", "stopped"),
    ("on-failure", "exit 1", "restarting")])
def test_restart_policies(house, restart, command, state):
    name = "policy-" + restart + command[-1]
    house.register(name, ["/bin/sh", "-c", command], restart=restart)
    house.wait_state(name, state)


def test_restart_by_request_lets_it_end_in_peace(house):
    house.register("polite", server(), x=X)
    house.wait_state("polite", "up")
    first = house.instance("polite")["pid"]
    house.ask("POST", "/v1/services/polite/restart")
    house.wait_other("polite", first)
    assert house.text("polite") == "started\ntold to end\nstarted\n"


def test_grace_ends(house):
    house.register("stubborn", server(delay=100), x=X,
                   stop_grace_period="500ms")
    house.wait_state("stubborn", "up")
    first = house.instance("stubborn")["pid"]
    begin = time.monotonic()
    house.ask("POST", "/v1/services/stubborn/restart")
    wait_for("it is gone", lambda: not alive(first))
    assert 0.4 < time.monotonic() - begin < 5
    house.wait_state("stubborn", "up")
    assert "told to end" in house.text("stubborn")


def test_pid_1_that_hears_no_signal_is_not_waited_for(house):
    house.register("deaf", ["/bin/sleep", "1000"])
    house.wait_state("deaf", "up")
    first = house.instance("deaf")["pid"]
    begin = time.monotonic()
    house.ask("POST", "/v1/services/deaf/restart")
    wait_for("it is gone", lambda: not alive(first))
    assert time.monotonic() - begin < 2


def test_depends_on_waits_until_the_other_is_up(house):
    house.register("base", server(), x=X, healthcheck=QUICK)
    house.register("late", server(), x=X, depends_on=["base", "unknown"])
    house.wait_state("late", "up")
    base, late = house.instance("base"), house.instance("late")
    assert late["started_ms"] >= base["since_ms"]
    house.register("downer", ["/bin/sh", "-c", "exit 1"])
    house.register("blocked", ["/bin/sleep", "99"], depends_on=["downer"])
    assert "waits for" in wait_for(
        "its reason", lambda: house.instance("blocked").get("fault"))


# ---- change and removal

def test_a_change_starts_the_new_after_the_old(house):
    house.register("changing", server(), x=X)
    house.wait_state("changing", "up")
    first = house.instance("changing")["pid"]
    house.register("changing", server(), x=X, environment={"NEW": "1"})
    house.wait_other("changing", first)
    pid = house.instance("changing")["pid"]
    assert b"NEW=1" in pathlib.Path(f"/proc/{pid}/environ").read_bytes()


def test_removed_without_a_trace(house):
    house.register("leaving", server(), x=X)
    house.wait_state("leaving", "up")
    pid, shim = house.instance("leaving")["pid"], house.shim_of("leaving")
    house.remove("leaving")
    wait_for("processes are gone", lambda: not alive(pid) and not alive(shim))
    wait_for("files are gone",
             lambda: not (house.dir / "services/leaving").exists())
    block = house.block()
    groups = list(pathlib.Path("/sys/fs/cgroup").glob(
        f"*/gatehouse-{block}/leaving.0"))
    assert not groups


def test_volumes_outlive_their_service(house):
    command = ["/bin/sh", "-c", "echo x >> /d/f; wc -l < /d/f; exec sleep 99"]
    for n in ("1\n", "2\n"):
        house.register("volume", command, volumes=["d:/d"])
        wait_for("its count", lambda: house.text("volume").endswith(n))
        house.remove("volume")
        wait_for("it is gone", lambda: not [
            p for p in (house.dir / "services/volume").iterdir()
            if p.name.endswith(".state")])


def test_replicas(house):
    house.register("many", server(), x=X, deploy={"replicas": 3})
    run = wait_for("all are up", lambda: house.show("many")
                   if house.show("many")["up"] == 3 else None)
    assert len(set(run["endpoints"])) == 3
    os.kill(run["instances"][1]["pid"], signal.SIGKILL)
    wait_for("one less", lambda: house.show("many")["up"] == 2)
    assert house.show("many")["state"] == "up"
    wait_for("all again", lambda: house.show("many")["up"] == 3)


# ---- sockets

def test_a_handed_socket(house):
    code = ("import os,socket\n"
            "assert os.environ['LISTEN_FDS']=='1'\n"
            "assert os.environ['LISTEN_PID']==str(os.getpid())\n"
            "s=socket.socket(fileno=3)\n"
            "while True:\n"
            " c,_=s.accept(); c.recv(999)\n"
            " c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhanded'); c.close()\n")
    house.register("handed", [PYTHON, "-c", code], x={"listen": "fd",
                                                      "ready": "/"})
    house.wait_state("handed", "up")
    assert house.call("handed") == (200, "handed")
    with pytest.raises(OSError):
        house.call("handed", uid=1234)


def test_redis_as_it_comes(house):
    house.register("redis", [
        "/usr/bin/redis-server", "--port", "0", "--unixsocket",
        "/svc/redis.sock", "--unixsocketperm", "770", "--dir", "/data",
        "--appendonly", "yes"], volumes=["data:/data"],
        x={"listen": "unix:redis.sock"})
    run = house.wait_state("redis", "up")
    path = run["endpoints"][0][5:]
    assert path == str(house.dir / "svc/redis/redis.sock")

    def redis(*words):
        return subprocess.run(["redis-cli", "-s", path, *words],
                              capture_output=True, text=True).stdout.strip()
    assert redis("SET", "a", "b") == "OK"
    os.kill(run["instances"][0]["pid"], signal.SIGKILL)
    wait_for("redis is back with its data", lambda: redis("GET", "a") == "b")


# ---- logs

def test_logs_by_tail_and_by_offset(house):
    house.register("talker", ["/bin/sh", "-c", "for i in 1 2 3 4 5; do "
                              "echo line $i; done; exec sleep 99"])
    wait_for("its lines", lambda: "line 5" in house.text("talker"))
    assert house.logs("talker", "tail=2")["text"] == "line 4\nline 5\n"
    after = house.logs("talker", "tail=0")["after"]
    assert house.logs("talker", f"after={after}")["text"] == ""
    assert house.logs("talker", "after=7")["text"].startswith("line 2\n")


def test_logs_are_turned_over_and_bounded(house):
    house.register("chatter", [
        "/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; "
        "i=$((i+1)); done; exec sleep 99"],
        logging={"options": {"max-size": "8k", "max-file": 2}})
    wait_for("the last line", lambda: "line 2999\n" in house.text("chatter"))
    logs = house.dir / "log/services/chatter"
    assert sorted(p.name for p in logs.iterdir()) == ["0.log", "0.log.1"]
    sizes = [p.stat().st_size for p in logs.iterdir()]
    assert all(s < 64 << 10 for s in sizes)
    answer = house.logs("chatter", "after=0")
    assert answer["skipped"] > 0
    assert answer["text"].endswith("line 2999\n")


def test_any_bytes_can_be_logged(house):
    house.register("bytes", ["/bin/sh", "-c",
                             r"printf 'a\377\000b\n\033[31m'; exec sleep 99"])
    assert wait_for("its bytes", lambda: house.text("bytes")).startswith("a")


def test_reports_are_bounded(house):
    """A service that is refused in many ways fills its table, no more."""
    code = ("import os\n"
            "for i in range(500):\n"
            " try: os.stat('/root/file%d' % i)\n"
            " except OSError: pass\n"
            "print('done', flush=True)\n"
            "import time; time.sleep(99)")
    house.register("noisy", [PYTHON, "-c", code])
    wait_for("it ends", lambda: "done" in house.text("noisy"))
    v = house.violations("noisy")
    assert len(v["violations"]) == 128 and v["total"] == 500
    assert v["lost"] == 500 - 128
