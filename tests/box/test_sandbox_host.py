# SPDX-License-Identifier: Apache-2.0
"""What a service must not be able to make of the host it runs on: files of the
host's root, work outside of its limits, a shim that does its bidding."""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import time

import pytest

from lib.house import CONTROL_UID, PYTHON, House
from lib.process import alive, wait_for

ROOTS = pathlib.Path("/var/tmp")


@pytest.fixture(scope="module")
def image():
    """A root of root's files that borrows the host's programs."""
    root = ROOTS / ("gatehouse-image-%d" % os.getpid())
    for d in ("usr", "proc", "dev", "tmp", "run", "etc", "sys"):
        (root / d).mkdir(parents=True)
        (root / d).chmod(0o755)
    root.chmod(0o755)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to("usr/" + name)
    (root / "etc/hello").write_text("from the image\n")
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def house(image):
    with House(["--allow-path", image]) as h:
        yield h


# ---- the root

PLANT = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, call):
    try:
        call()
        print(name, "done", flush=True)
    except OSError as e:
        print(name, e.strerror, flush=True)
print(open("/etc/hello").read(), end="", flush=True)
tried("create", lambda: os.close(os.open("/planted", os.O_CREAT | os.O_RDWR)))
tried("setuid", lambda: os.chmod("/etc/hello", 0o4755))
tried("write", lambda: open("/etc/hello", "a"))
tried("link", lambda: os.link("/etc/hello", "/etc/again"))
print("end", flush=True)
"""


def test_uid_0_of_a_service_writes_nothing_of_the_hosts(house, image):
    """Its uid 0 is shown root's files: one that it could write would be a
    setuid program of root for everybody else on the host."""
    house.register("evil", [PYTHON, "-c", PLANT], user="0:0", restart="no",
                   cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
                   volumes=["/usr:/usr:ro"],
                   x={"listen": "none", "rootfs": str(image),
                      "landlock": False})
    text = wait_for("it tried", lambda: house.text("evil")
                    if "end" in house.text("evil") else None)
    lines = text.splitlines()
    assert lines[0] == "from the image"
    assert [t.split(" ", 1)[1] for t in lines[1:-1]] == \
        ["Read-only file system"] * 4
    assert not (image / "planted").exists()
    assert (image / "etc/hello").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("path", ["/usr", "/usr/share", "/etc/ssl"])
def test_the_hosts_own_programs_are_no_rootfs(house, path):
    """Only what --allow-path names is one."""
    name = "host" + path.replace("/", "-")
    house.register(name, ["/bin/true"], x={"listen": "none", "rootfs": path})
    run = house.wait_state(name, "restarting")
    assert "policy: rootfs" in run["instances"][0]["fault"]
    house.remove(name)


# ---- the shim

def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def cpu_of(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1]
    return sum(map(int, words.split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_shim_owns_its_log_and_nothing_else(house):
    house.register("plain", ["/bin/sh", "-c", "echo here; exec sleep 100"])
    house.wait_state("plain", "up")
    wait_for("it spoke", lambda: house.text("plain") == "here\n")
    status = status_of(house.shim_of("plain"))
    uid = house.instance("plain")["id_base"] + 65535
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].strip() == ""
    assert status["CapPrm"] == "0" * 16
    pid = house.instance("plain")["pid"]
    first, begin, count = map(int, pathlib.Path(
        f"/proc/{pid}/uid_map").read_text().split())
    assert begin + count == uid               # it is nobody in the sandbox
    owned = [p for p in house.dir.rglob("*")
             if p.lstat().st_uid == uid or p.lstat().st_gid == uid]
    logs = house.dir / "log/services/plain"
    assert sorted(owned) == [logs, logs / "0.log"]


@pytest.mark.skipif("asan" in os.environ.get("GATEHOUSE_BUILD", ""),
                    reason="a sanitizer needs more system calls")
def test_a_shim_has_a_filter_and_cannot_be_looked_into(house):
    house.register("filtered", ["/bin/sleep", "100"])
    house.wait_state("filtered", "up")
    shim = house.shim_of("filtered")
    wait_for("its filter", lambda: status_of(shim)["Seccomp"] == "2")
    assert pathlib.Path(f"/proc/{shim}/fd").stat().st_uid == 0  # not dumpable


def test_what_a_shim_says_of_the_end_is_not_believed(house):
    """One that was taken over could say that its service has ended, or name
    another process as its: the launcher looks itself."""
    house.register("lied", ["/bin/sleep", "100"])
    house.wait_state("lied", "up")
    pid, shim = house.instance("lied")["pid"], house.shim_of("lied")
    start = int(pathlib.Path(f"/proc/{pid}/stat").read_text()
                .rsplit(") ", 1)[1].split()[19])
    path = house.dir / "services/lied/0.exit"
    assert path.read_bytes() == b""
    path.write_bytes(struct.pack("=IIiiQQ", 0x47485348, 2, pid, 0, start, 1))
    os.kill(shim, signal.SIGKILL)
    wait_for("another shim", lambda: house.shim_of("lied") != shim)
    assert alive(pid) and house.show("lied")["state"] == "up"
    house.kill("launcher")
    wait_for("adopted", lambda: f"lied.0 adopted, pid {pid}" in house.log())
    assert alive(pid) and house.instance("lied")["pid"] == pid


def test_an_end_is_written_whole(house):
    house.register("ended", ["/bin/sh", "-c", "exit 7"], restart="no")
    run = house.wait_state("ended", "stopped")
    assert run["instances"][0]["last_exit"]["status"] == 7
    house.kill("launcher")
    wait_for("a new launcher", lambda: house.log().count("serves; block") > 1)
    assert house.show("ended")["instances"][0]["last_exit"]["status"] == 7


# ---- what a service makes its shim do is bounded too

def work_of(house, name, done, seconds=2.0):
    """Share of a core that the shim takes, and done() a second."""
    wait_for("it is busy", lambda: done() > 0)
    shim = house.shim_of(name)
    begin, cpu, before = time.monotonic(), cpu_of(shim), done()
    wait_for("some time", lambda: time.monotonic() - begin > seconds)
    passed = time.monotonic() - begin
    return (cpu_of(shim) - cpu) / passed, (done() - before) / passed


def test_a_flood_of_output_is_paced(house):
    house.register("flood", ["/usr/bin/yes", "x" * 100], cpus="0.5",
                   logging={"options": {"max-size": "1m", "max-file": 2}})
    wait_for("a second's worth", lambda: house.logs(
        "flood", "tail=0")["after"] > 4 << 20)
    cpu, rate = work_of(house, "flood",
                        lambda: house.logs("flood", "tail=0")["after"])
    assert rate < 5 << 20 and cpu < 0.3, (rate, cpu)
    house.remove("flood")


def test_a_flood_of_refused_calls_is_paced(house):
    code = ("import ctypes\nc = ctypes.CDLL(None)\n"
            "while True: c.unshare(0x10000000)\n")
    house.register("calls", [PYTHON, "-c", code])
    total = lambda: house.violations("calls")["total"]
    wait_for("a second's worth", lambda: total() > 2000)
    cpu, rate = work_of(house, "calls", total)
    assert rate < 2500 and cpu < 0.3, (rate, cpu)
    assert house.show("calls")["state"] == "up"
    house.remove("calls")


def test_output_is_not_kept_waiting_by_calls_nor_calls_by_output(house):
    code = ("import ctypes, os, threading, time\nc = ctypes.CDLL(None)\n"
            "def flood():\n while True: os.write(1, b'x' * 4096)\n"
            "threading.Thread(target=flood, daemon=True).start()\n"
            "while True:\n c.unshare(0x10000000)\n time.sleep(0.01)\n")
    house.register("both", [PYTHON, "-c", code])
    total = lambda: house.violations("both")["total"]
    wait_for("the output is paced", lambda: house.logs(
        "both", "tail=0")["after"] > 4 << 20)
    _, rate = work_of(house, "both", total, 1.0)
    assert rate > 30, rate
    house.remove("both")


# ---- a control that was taken over

START = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(10)
s.connect(sys.argv[1])
f = open("/usr/bin/env", "rb")
record = struct.pack("=IIII64sIi", 0x4748504c, 1, 2, 1, b"x", 0, 0)
socket.send_fds(s, [record], [f.fileno(), f.fileno()])
print(s.recv(4096))
"""


def test_the_launcher_reads_sealed_memory_and_no_files(house):
    """A file could lie on a disk that hangs, and the launcher with it."""
    done = subprocess.run(
        [PYTHON, "-c", START, house.dir / "sock/launcher.sock"],
        capture_output=True, text=True, timeout=20, user=CONTROL_UID,
        group=CONTROL_UID, extra_groups=[61112])
    assert "not a sealed memfd" in done.stdout, done


def test_a_listener_is_the_gates_alone(house):
    house.register("handed", ["/bin/sleep", "100"], x={"listen": "fd"})
    wait_for("it is there", lambda: house.instance("handed").get("pid"))
    st = (house.dir / "svc/handed/0.sock").stat()
    assert (st.st_mode & 0o777, st.st_uid, st.st_gid) == (0o660, 0, 61112)


# ---- what it leaves behind

NEST = """
import os
for i in range(2000):
    open("/data/%d" % i, "w").close()
os.chdir("/data")
for i in range(3000):
    os.mkdir("d")
    os.chdir("d")
    open("f", "w").close()
print("nested", flush=True)
"""


def test_a_service_cannot_hold_the_launcher_by_what_it_leaves(house):
    house.register("nest", [PYTHON, "-c", NEST], restart="no",
                   volumes=["data:/data"])
    wait_for("it is nested", lambda: "nested" in house.text("nest"))
    services = house.dir / "services"
    house.ask("DELETE", "/v1/services/nest?volumes=true")
    wait_for("its name is free", lambda: not (services / "nest").exists())
    wait_for("all of it is gone", lambda: not list(services.glob(".gone.*")))
    log = house.dir / "log/services/nest"
    assert log.stat().st_uid == 0 and (log / "0.log").exists()
    # Its log goes on when it comes back, whatever ids it gets.
    house.register("nest", ["/bin/sh", "-c", "echo again; exec sleep 100"])
    wait_for("it speaks", lambda: "again" in house.text("nest"))


def test_what_was_left_is_removed_by_the_next_launcher(house):
    services = house.dir / "services"
    left = services / ".gone.7"
    (left / "home/volumes/v/a/b/c").mkdir(parents=True)
    (left / "home/volumes/v/a/link").symlink_to("/etc")
    (left / "home/ids").write_bytes(struct.pack("=I", 111))
    house.kill("launcher")
    wait_for("it is gone", lambda: not left.exists())
    assert os.path.exists("/etc/passwd")
