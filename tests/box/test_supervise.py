# SPDX-License-Identifier: Apache-2.0
"""What is killed comes back, what serves goes on serving, and at the end
nothing is left."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from lib.house import BUILD, CONTROL_UID, PYTHON, House
from lib.process import alive, free_port, wait_for

SERVER = [PYTHON, "-u", "-m", "http.server", "8000", "--directory", "/usr"]
X = {"listen": 8000, "ready": "/"}


class Caller:
    """Calls a service again and again, as the gate; counts what fails."""

    def __init__(self, endpoint, seconds=60):
        code = f'''
import socket, sys, time, os
os.setgid(33); os.setuid(33)
host, port = {endpoint!r}.split(":")
good = 0
import threading
threading.Thread(target=lambda: (sys.stdin.read(), print(good, flush=True),
                                 os._exit(0)), daemon=True).start()
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    try:
        s = socket.create_connection((host, int(port)), 2)
        s.sendall(b"GET /bin-missing HTTP/1.0\\r\\n\\r\\n")
        data = b""
        while True:
            d = s.recv(4096)
            if not d: break
            data += d
        s.close()
        assert b" 404 " in data, data
        good += 1
        if good == 1: print("go", flush=True)
    except Exception as e:
        print("failed", repr(e), flush=True); os._exit(1)
    time.sleep(0.005)
'''
        self.process = subprocess.Popen([PYTHON, "-c", code], text=True,
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "go\n"

    def end(self):
        """How many calls were answered; none has failed."""
        out, _ = self.process.communicate("", 10)
        assert self.process.returncode == 0, out
        return int(out.split()[-1])


@pytest.fixture
def house():
    with House() as h:
        h.register("web", SERVER, x=X, init=True)
        h.wait_state("web", "up")
        yield h


def state_of(house):
    run = house.show("web")
    return run["state"], run["instances"][0].get("pid")


@pytest.mark.parametrize("program", ["launcher", "gatehouse-control", "shim",
                                     "gatehouse-idp", "gatehoused"])
def test_killed_while_a_service_serves(house, program):
    before = state_of(house)
    caller = Caller(house.show("web")["endpoints"][0])
    shim = house.shim_of("web")
    if program == "shim":
        os.kill(shim, signal.SIGKILL)
        wait_for("it is gone", lambda: not alive(shim))
        wait_for("another shim", lambda: "another one" in house.log())
    elif program == "gatehoused":
        pid = house.monitor
        os.kill(pid, signal.SIGKILL)
        wait_for("it is gone", lambda: not alive(pid))
        wait_for("its children too", lambda: not [
            p for p in house.processes().values() if "gatehouse" in p])
        house.up()
    else:
        house.kill(program)
        wait_for("it is back", lambda: house.pid_of(program), 5)
    wait_for("it is the same", lambda: state_of(house) == before, 10)
    assert caller.end() > 0
    # It is still supervised.
    os.kill(before[1], signal.SIGKILL)
    wait_for("another process", lambda: state_of(house)[0] == "up" and
             state_of(house)[1] not in (None, before[1]), 15)


def test_the_log_goes_on_under_a_new_shim(house):
    house.register("ticker", ["/bin/sh", "-c", "i=0; while :; do echo $i; "
                              "i=$((i+1)); sleep 0.05; done"])
    house.wait_state("ticker", "up")
    wait_for("it ticks", lambda: "3\n" in house.text("ticker"))
    os.kill(house.shim_of("ticker"), signal.SIGKILL)
    last = int(house.text("ticker").split()[-1])
    wait_for("it goes on", lambda: int(house.text("ticker").split()[-1]) >
             last + 5)
    numbers = [int(n) for n in house.text("ticker").split()]
    assert numbers == list(range(len(numbers)))       # not one line is lost


def test_everything_killed_then_up_again(house):
    """kill -9 of all at once, services too: the next start clears away."""
    pids = list(house.processes()) + [house.instance("web")["pid"],
                                      house.shim_of("web")]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for("all are gone", lambda: not any(alive(p) for p in pids))
    house.up()
    run = house.wait_state("web", "up")
    assert run["instances"][0]["pid"] not in pids
    assert house.call("web", "/bin-missing")[0] == 404


def test_daemons_stop_services_go_on_and_are_adopted(house):
    before = state_of(house)
    caller = Caller(house.show("web")["endpoints"][0])
    house.signal(signal.SIGUSR1)
    assert not house.processes()
    assert alive(before[1])
    house.up()
    wait_for("adopted", lambda: state_of(house) == before)
    assert caller.end() > 0


def test_a_service_that_dies_while_nobody_looks(house):
    pid = house.instance("web")["pid"]
    house.signal(signal.SIGUSR1)
    os.kill(pid, signal.SIGKILL)
    wait_for("it is gone", lambda: not alive(pid))
    house.up()
    run = house.wait_state("web", "up")
    assert run["instances"][0]["pid"] != pid


def test_a_service_removed_while_control_is_away(house):
    """What the catalog does not have is ended at control's next start."""
    pid = house.instance("web")["pid"]
    control = house.pid_of("gatehouse-control")
    os.kill(control, signal.SIGSTOP)
    os.kill(control, signal.SIGKILL)
    wait_for("control is back", lambda: state_of(house)[0] == "up")
    house.remove("web")
    wait_for("it is gone", lambda: not alive(pid))


def test_two_installations_side_by_side(house):
    with House() as other:
        other.register("web", SERVER, x=X, init=True)
        other.wait_state("web", "up")
        assert other.block() != house.block()
        mine, theirs = house.show("web"), other.show("web")
        assert mine["endpoints"] != theirs["endpoints"]
        assert mine["instances"][0]["id_base"] != \
            theirs["instances"][0]["id_base"]
    assert house.call("web", "/bin-missing")[0] == 404


def test_a_second_monitor_is_refused(house):
    done = subprocess.run([BUILD / "gatehoused", "--daemon", "--dir",
                           house.dir], capture_output=True, text=True)
    assert done.returncode == 1
    assert "another gatehoused" in done.stderr
    assert state_of(house)[0] == "up"


def test_processes_and_their_rights(house):
    rights = {}
    for name in ("launcher", "gatehouse-control", "gatehouse-idp"):
        text = pathlib.Path(f"/proc/{house.pid_of(name)}/status").read_text()
        rights[name] = dict(line.split(":\t", 1) for line in text.splitlines()
                            if ":\t" in line)
    for name, uid in (("gatehouse-control", "61110"),
                      ("gatehouse-idp", "61111")):
        r = rights[name]
        assert r["Uid"].split() == [uid] * 4
        assert r["Groups"].split() == ["61112"]
        assert all(r[c].strip("0") == "" for c in
                   ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
        assert r["NoNewPrivs"] == "1"
    launcher = rights["launcher"]
    assert launcher["NoNewPrivs"] == "1"
    for cap in (16, 17, 23, 25, 39):       # modules, raw io, nice, time, bpf
        assert not int(launcher["CapBnd"], 16) >> cap & 1
    assert os.readlink(f"/proc/{house.pid_of('launcher')}/exe").startswith(
        "/memfd:")
    shim = pathlib.Path(f"/proc/{house.shim_of('web')}/status").read_text()
    assert "CapEff:\t0000000000000000" in shim
    assert "NoNewPrivs:\t1" in shim


def test_files_and_their_owners(house):
    want = {"secret": (0, 61112, 0o640), "catalog": (61110, 61112, 0o2750),
            "idp": (61111, 61111, 0o700), "services": (0, 0, 0o700),
            "sock": (0, 61112, 0o750), "sock/control": (61110, 61112, 0o750),
            "sock/idp": (61111, 61112, 0o750),
            "svc": (0, 61112, 0o750), "sock/control.sock": (61110, None, 0o666),
            "sock/launcher.sock": (0, 61110, 0o660),
            "log/services": (0, 61110, 0o2750)}
    for name, (uid, gid, mode) in want.items():
        st = (house.dir / name).stat()
        assert st.st_uid == uid and gid in (None, st.st_gid), name
        assert st.st_mode & 0o7777 == mode, name


def test_the_launcher_serves_control_alone(house):
    path = str(house.dir / "sock/launcher.sock")
    code = ("import socket,sys\n"
            "s=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
            "s.settimeout(5)\n"
            f"s.connect({path!r})\n"
            "try: s.send(bytes(84)); sys.exit(len(s.recv(10)))\n"
            "except (BrokenPipeError, ConnectionResetError): pass\n")
    # Root connects and gets nothing; control's records are checked.
    for user in (0, CONTROL_UID):
        subprocess.run([PYTHON, "-c", code], user=user, group=GROUP,
                       extra_groups=[CONTROL_UID], check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run([PYTHON, "-c", code], user=1234, group=1234,
                       extra_groups=[], check=True, stderr=subprocess.DEVNULL)
    assert state_of(house)[0] == "up"


GROUP = 61112


# ---- nginx

CONF = '''
user www-data;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/log/nginx-error.log notice;
worker_shutdown_timeout 5s;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    server {{
        listen 127.0.0.1:{port};
        listen unix:{dir}/sock/gate.sock;
        return 200 "gate";
    }}
}}
'''


@pytest.fixture
def gated():
    port = free_port()

    def prepare(h):
        (h.dir / "nginx.conf").write_text(CONF.format(dir=h.dir, port=port))
        h.options += ["--nginx", str(h.dir / "nginx.conf")]
        h.port = port

    with House(prepare=prepare) as h:
        yield h


def get(house):
    with socket.create_connection(("127.0.0.1", house.port), 2) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while piece := s.recv(4096):
            data += piece
    return b"gate" in data


def master(house):
    return int((house.dir / "nginx.pid").read_text())


def test_nginx_is_adopted_after_a_crash(gated):
    first = master(gated)
    os.kill(gated.monitor, signal.SIGKILL)
    wait_for("daemons end", lambda: not [
        p for p in gated.processes().values() if "gatehouse-control" in p])
    assert get(gated)
    gated.up()
    assert master(gated) == first and get(gated)


def test_a_killed_master_is_replaced_within_a_second(gated):
    first = master(gated)
    begin = time.monotonic()
    os.kill(first, signal.SIGKILL)

    def again():
        return master(gated) != first and get(gated)
    wait_for("another master", again, 5)
    assert time.monotonic() - begin < 1.5
    wait_for("the old workers have ended", lambda: not [
        p for p in range(first + 1, first + 3) if alive(p) and
        os.getpgid(p) == first], 10)


def test_a_reload(gated):
    first = master(gated)
    os.kill(gated.monitor, signal.SIGHUP)
    wait_for("reloaded", lambda: "reconfiguring" in
             gated.log("nginx-error.log"))
    assert get(gated) and master(gated) == first


def test_sigusr1_leaves_nginx(gated):
    first = master(gated)
    gated.signal(signal.SIGUSR1)
    assert get(gated) and alive(first)
    gated.up()
    assert master(gated) == first


def test_a_configuration_that_nginx_refuses_is_told():
    def prepare(h):
        (h.dir / "nginx.conf").write_text("nonsense;")
        h.options += ["--nginx", str(h.dir / "nginx.conf")]

    house = House(prepare=prepare)
    try:
        done = subprocess.Popen(
            [BUILD / "gatehoused", "--dir", house.dir, *house.options],
            stderr=subprocess.PIPE, text=True)
        try:
            wait_for("it says so", lambda: "nonsense" in
                     house.log("nginx-start.log") +
                     house.log("nginx-error.log"), 10)
        finally:
            done.terminate()
            done.communicate(timeout=60)
    finally:
        subprocess.run(["rm", "-rf", house.dir])


def test_stopped_while_it_starts_it_leaves_nothing():
    """Whenever the signal comes: what was made by then is taken away."""
    for wait_ms in range(0, 60, 4):
        house = House()
        monitor = subprocess.Popen([BUILD / "gatehoused", "--dir", house.dir],
                                   stderr=subprocess.DEVNULL)
        try:
            wait_for("its pid file", (house.dir / "gatehoused.pid").exists)
            time.sleep(wait_ms / 1000)      # into the start of the launcher
            block = house.block()
            monitor.terminate()
            monitor.wait(60)
            block = house.block() or block
            assert house.remains(block) == [], wait_ms
        finally:
            monitor.kill()
            subprocess.run(["rm", "-rf", house.dir])


def test_options_are_checked():
    for words in (["--control-user", "nobody-there"], ["--what"],
                  ["--allow-path", "relative"], ["--gate-address", "x"],
                  ["--group"], ["--control-user", "0"]):
        done = subprocess.run([BUILD / "gatehoused", *words],
                              capture_output=True, text=True)
        assert done.returncode == 3 and "--help" in done.stderr, words
    text = subprocess.run([BUILD / "gatehoused", "--help"], text=True,
                          capture_output=True, check=True).stdout
    assert "--allow-path PATH" in text
