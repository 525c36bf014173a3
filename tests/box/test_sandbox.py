# SPDX-License-Identifier: Apache-2.0
"""What a service can and cannot do. The probes run inside a sandbox and try;
every one of them must be refused, and what was refused is reported."""
import json
import os
import pathlib
import socket
import subprocess
import threading

import pytest

from lib.house import PYTHON, House, Refused
from lib.process import free_port, wait_for

PROBE = pathlib.Path(__file__).resolve().parents[1] / "lib/sandbox_probe.py"


@pytest.fixture(scope="module")
def house():
    with House(["--allow-path", "/srv"]) as h:
        yield h


class Listener:
    """Somebody on the host's loopback who must not be reached."""

    def __init__(self, address=""):
        self.sock = socket.socket()
        self.sock.bind((address or "127.0.0.1", 0 if address else free_port()))
        self.sock.listen()
        self.port = self.sock.getsockname()[1]
        self.seen = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                connection, who = self.sock.accept()
                self.seen.append(who)
                connection.close()
        except OSError:
            pass


def run_probe(house, name, x=None, env=None, **compose):
    """All lines of a probe, by its name."""
    x = {"listen": "none", **(x or {})}
    x["files"] = {"/probe.py": PROBE.read_text()}
    house.register(name, [PYTHON, "-u", "/probe.py"], x=x, restart="no",
                   environment=env or {}, **compose)

    def lines():
        found = [json.loads(t) for t in house.text(name).splitlines()
                 if t.startswith('{"probe"')]
        return found if found and found[-1]["probe"] == "done" else None
    try:
        return {f["probe"]: f for f in wait_for("the probe ends", lines, 60)}
    except AssertionError:
        raise AssertionError(house.text(name)[-3000:],
                             house.show(name)) from None


@pytest.fixture(scope="module")
def probed(house):
    """One run with all of it: a link, hostile targets named."""
    listener = Listener()
    house.register("other", [PYTHON, "-m", "http.server", "8000"],
                   x={"listen": 8000}, init=True)
    other = house.wait_state("other", "up")["endpoints"][0].split(":")
    hosts = [["127.0.0.1", listener.port], [other[0], int(other[1])]]
    # The host's end of every link, also by its other addresses.
    first = other[0].rsplit(".", 1)
    hosts += [[f"{first[0]}.{int(first[1]) - 1}", listener.port]]
    sockets = [str(house.dir / "sock" / n)
               for n in ("control.sock", "launcher.sock", "idp.sock")]
    found = run_probe(house, "probe", x={"listen": 8080},
                      env={"PROBE_HOSTS": json.dumps(hosts),
                           "PROBE_SOCKETS": json.dumps(sockets)})
    assert not listener.seen
    return found


PROBES = ["host_files", "writing_outside", "proc_hidden", "mounts",
          "namespaces", "kernel", "other_processes", "terminal", "sockets",
          "network", "identity", "becoming_root", "descriptors",
          "exe_is_no_way_back", "landlock_on_sockets", "works_inside"]


@pytest.mark.parametrize("name", PROBES)
def test_a_service_is_refused(probed, name):
    assert probed[name]["ok"], probed[name]["seen"]


def test_all_probes_have_a_test(probed):
    assert set(probed) - {"done"} == set(PROBES)


def test_the_probe_does_not_run_outside():
    done = subprocess.run([PYTHON, PROBE], capture_output=True, text=True)
    assert done.returncode == 1 and "no sandbox" in done.stderr
    assert not done.stdout


def test_refused_calls_and_files_are_reported(house, probed):
    rows = house.violations("probe")["violations"]
    calls = {r["what"] for r in rows if r["kind"] == "syscall"}
    files = {r["what"] for r in rows if r["kind"] == "file"}
    assert {"mount", "unshare", "bpf", "ptrace", "keyctl", "clone"} <= calls
    assert {"/etc/shadow", "/root/.bashrc", "/home/a"} <= files
    assert all(r["count"] >= 1 and r["comm"] == "python3" for r in rows)


def test_shared_sockets_cannot_lead_elsewhere(house):
    """The gate follows names in /svc: only sockets and files can be there."""
    found = run_probe(house, "svc", x={"listen": "unix:x.sock"})
    assert found["landlock_on_sockets"]["ok"], found["landlock_on_sockets"]
    assert found["landlock_on_sockets"]["seen"] != "no /svc"


def test_a_handed_socket_is_the_only_descriptor(house):
    found = run_probe(house, "handed", x={"listen": "fd"})
    seen = found["descriptors"]["seen"]
    assert {n for n in seen if int(n) > 2} == {"3"}
    assert seen["3"].startswith("socket:")
    assert found["network"]["ok"], found["network"]


def test_a_capability_that_was_asked_for(house):
    found = run_probe(house, "caps", cap_add=["NET_BIND_SERVICE"],
                      env={"PROBE_CAPS": "%016x" % (1 << 10)})
    assert found["identity"]["ok"], found["identity"]


def test_with_init(house):
    found = run_probe(house, "init", init=True)
    for name in ("host_files", "mounts", "namespaces", "identity"):
        assert found[name]["ok"], found[name]


def test_uid_0_of_a_service_is_nobody(house):
    house.register("root", ["/bin/sh", "-c", "id -u; cat /proc/self/uid_map; "
                            "touch /usr/x; exec sleep 100"], user="0:0")
    house.wait_state("root", "up")
    text = wait_for("it spoke", lambda: house.text("root")
                    if "touch" in house.text("root") else None)
    assert text.startswith("0\n")
    assert "Read-only" in text or "Permission" in text, text
    pid = house.instance("root")["pid"]
    uid = os.stat(f"/proc/{pid}").st_uid
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t%d" % house.instance("root")["id_base"] in status
    assert uid >= 0x10000000
    assert "CapEff:\t0000000000000000" in status


# ---- limits

def test_a_fork_bomb_stays_inside(house):
    code = ("import os,time\nn=0\n"
            "while True:\n"
            " try:\n  p=os.fork()\n"
            " except OSError as e:\n"
            "  print('limit', n, e.errno, flush=True); break\n"
            " if p==0: time.sleep(30); os._exit(0)\n"
            " n+=1\n"
            "time.sleep(30)")
    house.register("bomb", [PYTHON, "-c", code], pids_limit=20)
    text = wait_for("the limit", lambda: house.text("bomb")
                    if "limit" in house.text("bomb") else None)
    assert 15 <= int(text.split()[1]) < 20 and text.split()[2] == "11"
    assert house.instance("bomb")["use"]["pids"] <= 20


def test_too_much_memory_ends_it(house):
    house.register("eater", [PYTHON, "-c",
                             "x=[]\nwhile True: x.append(bytearray(1<<20))"],
                   mem_limit="64m", restart="no")
    run = house.wait_state("eater", "stopped")
    last = run["instances"][0]["last_exit"]
    assert last["signal"] == 9 and last["out_of_memory"] >= 1, last


def test_cpu_is_limited(house):
    code = ("import time\nt=time.monotonic()\n"
            "while time.monotonic()-t<1.5: pass\n"
            "print('cpu', time.process_time(), flush=True)\ntime.sleep(60)")
    house.register("spinner", [PYTHON, "-c", code], cpus="0.2")
    text = wait_for("it ends", lambda: house.text("spinner")
                    if "cpu" in house.text("spinner") else None)
    assert float(text.split()[1]) < 0.8


def test_ulimits(house):
    house.register("limits", ["/bin/sh", "-c", "ulimit -n; ulimit -c; "
                              "exec sleep 100"],
                   ulimits={"nofile": {"soft": 100, "hard": 200}})
    assert wait_for("it speaks", lambda: house.text("limits")
                    if house.text("limits").count("\n") > 1 else None) == \
        "100\n0\n"


def test_tmp_is_bounded_and_private(house):
    house.register("filler", ["/bin/sh", "-c",
                              "dd if=/dev/zero of=/tmp/x bs=1M count=100; "
                              "ls /tmp; exec sleep 100"], shm_size="8m")
    text = wait_for("it ends", lambda: house.text("filler")
                    if "\nx\n" in house.text("filler") else None)
    assert "No space left" in text


# ---- what a service sees

def test_files_and_volumes(house):
    house.register("files", ["/bin/sh", "-c", "cat /etc/thing.conf; "
                             "stat -c %a /etc/thing.conf; "
                             "echo kept >> /data/log; cat /data/log; "
                             "echo x > /etc/thing.conf; exec sleep 100"],
                   volumes=["data:/data"],
                   x={"listen": "none",
                      "files": {"/etc/thing.conf": "hello\n"}})
    wait_for("first", lambda: "kept" in house.text("files"))
    house.ask("POST", "/v1/services/files/restart")
    text = wait_for("second", lambda: house.text("files")
                    if house.text("files").count("kept") == 3 else None)
    assert text.startswith("hello\n444\nkept\n")
    assert "Read-only file system" in text or "Permission denied" in text


def test_host_paths_only_by_policy(house, tmp_path):
    house.register("paths", ["/bin/sleep", "100"],
                   volumes=["/root:/mnt/x:ro"])
    run = house.wait_state("paths", "restarting")
    assert "policy" in run["instances"][0]["fault"]
    with pytest.raises(Refused) as e:
        house.register("paths", ["/bin/sleep", "100"], volumes=["/srv:/srv"])
    assert "read-only" in json.dumps(e.value.body)


IMAGE = r"""
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
    struct stat st;
    struct dirent *d;
    DIR *dir = opendir("/");
    FILE *f = fopen("/etc/hello", "r");
    char line[80] = "";

    if (f == NULL || fgets(line, sizeof(line), f) == NULL)
        return 1;
    printf("%s", line);
    while ((d = readdir(dir)) != NULL)
        printf("/%s ", d->d_name);
    stat("/etc/hello", &st);
    printf("\nowner %d\n", (int)st.st_uid);
    printf("write %d\n", fopen("/etc/new", "w") != NULL);
    fflush(stdout);
    pause();
}
"""


def test_a_root_directory_of_its_own():
    """A rootfs from somewhere else: its own files, none of the host's."""
    root = pathlib.Path("/var/tmp/gatehouse-rootfs-%d" % os.getpid())
    for d in ("bin", "proc", "dev", "tmp", "run", "etc", "sys"):
        (root / d).mkdir(parents=True)
    for path in (root, *root.iterdir()):
        path.chmod(0o755)
    (root / "etc/hello").write_text("from the image\n")
    (root / "etc/extra").write_text("")
    try:
        subprocess.run(["gcc", "-static", "-x", "c", "-o", root / "bin/hello",
                        "-"], input=IMAGE, text=True, check=True)
        with House(["--allow-path", root]) as h:
            h.register("image", ["/bin/hello"], restart="no", init=False,
                       x={"listen": "none", "rootfs": str(root),
                          "files": {"/etc/extra": "put there\n"}})
            text = wait_for("it speaks", lambda: h.text("image")
                            if "write" in h.text("image") else None)
        assert text.startswith("from the image\n")
        assert "/usr" not in text and "/bin" in text
        assert "owner 0\n" in text          # root's files, mapped to its root
        assert "write 0\n" in text
        assert (root / "etc/extra").read_text() == ""
    finally:
        subprocess.run(["rm", "-rf", root])


def test_dev_of_an_image_must_be_a_directory():
    """A link where /proc goes could lead the mount elsewhere: refused."""
    root = pathlib.Path("/var/tmp/gatehouse-rootfs-x%d" % os.getpid())
    for d in ("bin", "dev", "tmp", "run", "etc"):
        (root / d).mkdir(parents=True)
    (root / "proc").symlink_to("/etc")
    try:
        with House(["--allow-path", root]) as h:
            h.register("image", ["/bin/sh"], x={"listen": "none",
                                                "rootfs": str(root)})
            run = h.wait_state("image", "restarting")
            assert "/proc" in run["instances"][0]["fault"]
    finally:
        subprocess.run(["rm", "-rf", root])


# ---- who reaches a service, what a service reaches

def test_only_the_gate_and_control_reach_a_service(house):
    house.register("reached", [PYTHON, "-m", "http.server", "8000"],
                   x={"listen": 8000, "ready": "/"}, init=True)
    house.wait_state("reached", "up")
    assert house.call("reached")[0] == 200
    for uid in (0, 1234, 65534):
        with pytest.raises(OSError):
            house.call("reached", uid=uid)


def test_egress_to_the_gate_and_nothing_else():
    gate, other = Listener(), Listener()
    code = ("import socket,time\n"
            f"for h,p in (('gate',{gate.port}),('gate',{other.port}),"
            f"('127.0.0.1',{gate.port})):\n"
            " try: socket.create_connection((h,p),2); print('yes',flush=True)\n"
            " except OSError as e: print('no',flush=True)\n"
            "time.sleep(100)")
    with House(["--gate-address", f"127.0.0.1:{gate.port}"]) as h:
        h.register("caller", [PYTHON, "-c", code],
                   x={"listen": "none", "egress": ["gate"]})
        text = wait_for("it tried", lambda: h.text("caller")
                        if h.text("caller").count("\n") == 3 else None)
        assert text == "yes\nno\nno\n"
        assert len(gate.seen) == 1 and not other.seen


# ---- profiles

def test_an_oci_profile(house):
    names = ["sched_yield", "uname"]
    profile = {"defaultAction": "SCMP_ACT_ALLOW",
               "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}]}
    house.register("oci", ["/bin/uname"], restart="no",
                   x={"listen": "none", "seccomp": profile})
    house.wait_state("oci", "stopped")
    assert "not permitted" in house.text("oci")
    rows = house.violations("oci")["violations"]
    assert [r["what"] for r in rows] == ["uname"]


def test_a_profile_cannot_open_the_floor(house):
    found = run_probe(house, "floor", x={
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}})
    for name in ("mounts", "terminal"):
        seen = {k: v for k, v in found[name]["seen"].items() if k != "chroot"}
        assert all("EPERM" in v for v in seen.values()), seen
    assert found["namespaces"]["seen"]["unshare user"].endswith("EPERM")


@pytest.mark.parametrize("profile, words", [
    ({"defaultAction": "SCMP_ACT_WHAT"}, "unknown action"),
    ({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}, "must be allowed"),
    ({"defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                    "includes": {"caps": ["X"]}}]}, "no part of the OCI"),
])
def test_a_wrong_profile_is_refused(house, profile, words):
    with pytest.raises(Refused) as e:
        house.register("wrong", ["/bin/true"], x={"seccomp": profile})
    assert words in json.dumps(e.value.body)
