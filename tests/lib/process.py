# SPDX-License-Identifier: Apache-2.0
"""Processes, ports and waiting: nothing outlives the tests, nothing sleeps."""
import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
PORTS = range(20000, 32000)     # below what the kernel gives to clients
_held = []                      # sockets that hold our ports' names


def wait_for(what, condition, within=10.0, every=0.01):
    """The first true value of condition(); an AssertionError after `within`.
    A condition may raise OSError or AssertionError while it is not yet so."""
    end = time.monotonic() + within
    last = None
    while True:
        try:
            if value := condition():
                return value
        except (OSError, AssertionError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s%s" % (
                within, what, ": %s" % last if last else ""))
        time.sleep(every)


def free_port():
    """A loopback port that is free and stays this test run's: other runs see
    the abstract socket of its name."""
    for _ in range(2000):
        port = random.SystemRandom().choice(PORTS)
        name = socket.socket(socket.AF_UNIX)
        probe = socket.socket()
        try:
            name.bind("\0gatehouse-test-port-%d" % port)
            probe.bind(("127.0.0.1", port))
            _held.append(name)
            return port
        except OSError:
            name.close()
        finally:
            probe.close()
    raise AssertionError("no free port")


def alive(pid):
    """It runs: exists and is no zombie."""
    try:
        text = pathlib.Path("/proc/%d/stat" % pid).read_text()
    except OSError:
        return False
    return text.rsplit(")", 1)[1].split()[0] not in "ZX"


def children(pid):
    out = []
    for task in pathlib.Path("/proc/%d/task" % pid).glob("*/children"):
        try:
            out += [int(x) for x in task.read_text().split()]
        except OSError:
            pass
    return out


def cpu_seconds(pid):
    """How long a process has run so far (proc(5): schedstat, else stat)."""
    proc = pathlib.Path("/proc/%d" % pid)
    try:
        return int((proc / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Process:
    """A child that dies with the test run; its output goes to a file."""

    def __init__(self, command, log, env=None, uid=None, gid=None, groups=(),
                 cwd=None, dying=signal.SIGKILL):
        self.name = os.path.basename(command[0])
        self.log = pathlib.Path(log)
        parent = os.getpid()

        def prepare():
            if gid is not None:
                os.setgroups(list(groups))
                os.setgid(gid)
            if uid is not None:
                os.setuid(uid)
            LIBC.prctl(PR_SET_PDEATHSIG, int(dying), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [str(x) for x in command], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, env=env, cwd=cwd,
                preexec_fn=prepare, start_new_session=True)
        self.pid = self.child.pid

    @property
    def running(self):
        return self.child.poll() is None

    def send(self, number):
        if self.running:
            self.child.send_signal(number)

    def kill(self):
        """kill -9, and its end awaited."""
        self.send(signal.SIGKILL)
        self.child.wait(10)

    def stop(self, number=signal.SIGTERM, within=10.0):
        """Asks it to end; -9 and an AssertionError when it does not."""
        if not self.running:
            return
        self.child.send_signal(number)
        try:
            self.child.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("%s did not end within %g s of signal %d"
                                 % (self.name, within, number))

    def text(self):
        return self.log.read_text(errors="replace")
