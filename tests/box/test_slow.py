# SPDX-License-Identifier: Apache-2.0
"""Slow, huge and vanishing clients: they cost themselves, nobody else."""
import os
import resource
import signal
import time

import pytest

from lib import raw
from lib.process import wait_for

CROWD = 1000


@pytest.fixture(autouse=True)
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = CROWD * 2 + 500
    if soft < want:
        if hard != resource.RLIM_INFINITY and hard < want:
            pytest.skip("only %d file descriptors allowed" % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(pids):
    """Private and shared pages of processes, KiB."""
    total = 0
    for pid in pids:
        with open("/proc/%d/status" % pid) as f:
            total += next(int(x.split()[1]) for x in f
                          if x.startswith("VmRSS"))
    return total


def quick(scene, n=25):
    """So many calls of others are answered, each within a second."""
    for _ in range(n):
        at = time.monotonic()
        assert scene.get("/quick").status == 200
        assert time.monotonic() - at < 1


def crowd_of(gate, scene, how):
    """A client that stays slow in one way."""
    c = gate.gate.client(timeout=20)
    if how == "head":
        c.send(scene.bytes("/slow")[:-9])
    elif how == "nothing":
        pass
    elif how == "body":
        c.send(raw.request("POST", scene.path + "/slow", scene.headers(
            {"Content-Length": "100000"})) + b"x")
    else:                       # reads nothing of a big answer
        c.sock.setsockopt(raw.socket.SOL_SOCKET, raw.socket.SO_RCVBUF, 4096)
        c.send(scene.bytes("/slow", {"X-Behave": "size=300000"}))
    return c


def test_1000_slow_clients_slow_nobody_else(gate):
    slow, others = gate.scene(), gate.scene()
    pids = gate.gate.worker_pids()
    quick(others)
    before = memory(pids)
    ways = ("head", "nothing", "body", "reader")
    clients = []
    try:
        for i in range(CROWD):
            clients.append(crowd_of(gate, slow, ways[i % 4]))
        quick(others)
        for i, c in enumerate(clients):     # one more byte of each head
            if ways[i % 4] == "head":
                c.send(b"a")
        quick(others)
        grown = memory(pids) - before
        assert grown < 200 * 1024, "%d KiB for %d clients" % (grown, CROWD)
    finally:
        for c in clients:
            c.abort()
    quick(others)
    assert gate.gate.worker_pids() == pids
    assert not [s for s in slow.seen() if s.odd]


def test_a_head_that_never_ends_is_dropped_in_time(gate):
    """After client_header_timeout, told by the shipped configuration."""
    scene = gate.scene()
    with gate.gate.client(timeout=30) as c:
        c.send(scene.bytes("/never")[:-4])
        assert c.closed(within=15)
    assert not scene.seen()


# ---- clients that vanish

def phases(scene):
    """What is sent before the client goes: how far its call has come."""
    whole = scene.bytes("/gone", {"X-Behave": "wait=%s" % scene.name})
    big = scene.bytes("/gone", {"X-Behave": "size=5000000"})
    return {
        "connected": b"",
        "in the request line": whole[:7],
        "in a header": whole[:-10],
        "before the last newline": whole[:-1],
        "in the body": raw.request("POST", scene.path + "/gone",
                                   scene.headers({"Content-Length": "5000"}))
        + b"half",
        "in a chunk": raw.request("POST", scene.path + "/gone", scene.headers(
            {"Transfer-Encoding": "chunked"})) + b"ff\r\nhalf",
        "while the backend works": whole,
        "while the answer comes": big,
        "with more calls behind": whole * 20,
        "after a refusal": scene.bytes("/gone", key="bad") * 5,
    }


class Plain:
    name, path = "x", "/x"

    def bytes(self, *a, **kw):
        return b""

    def headers(self, more):
        return more


@pytest.mark.parametrize("how", ["reset", "close", "half"])
@pytest.mark.parametrize("phase", phases(Plain()))
def test_a_client_may_vanish_at_any_time(gate, phase, how):
    scene = gate.scene(limits=[{"period": "day", "value": 200}])
    data = phases(scene)[phase]
    pids = gate.gate.worker_pids()
    clients = [gate.gate.client() for _ in range(6)]
    for c in clients:
        c.send(data)
    if phase == "while the backend works":
        gate.backend.wait_seen(scene.path + "/gone", 6)
    elif phase == "while the answer comes":
        for c in clients:
            c._take(1000)
    for c in clients:
        if how == "reset":
            c.abort()
        elif how == "close":
            c.close()
        else:
            c.finish_sending()
    gate.backend.release(scene.name)
    quick(scene, 5)
    if how == "half":
        for c in clients:
            c.abort()
    assert gate.gate.worker_pids() == pids
    for seen in scene.seen():
        assert seen.get("X-Gatehouse-Application") == scene.name


def test_clients_vanish_while_their_calls_wait_for_redis(stack):
    """A lease is under way, its waiters go: no crash, no count lost."""
    gate = stack(workers=1)
    scenes = [gate.scene(limits=[{"period": "day", "value": 5}])
              for _ in range(10)]
    gate.scene().get()
    for round_ in range(3):
        os.kill(gate.redis.process.pid, signal.SIGSTOP)
        try:
            clients = []
            for scene in scenes:
                for _ in range(4):
                    c = gate.gate.client()
                    c.send(scene.bytes("/wait") * 2)
                    clients.append(c)
            for i, c in enumerate(clients):
                c.abort() if i % 2 else c.close()
        finally:
            os.kill(gate.redis.process.pid, signal.SIGCONT)
        wait_for("Redis in use again", lambda: gate.scene(
            limits=[{"period": "day", "value": 5}]).get().status == 200, 5)
    assert len(gate.gate.worker_pids()) == 1
    for scene in scenes:
        for _ in range(7):
            assert scene.get().status in (200, 429, 503)
        assert len(scene.seen()) <= 5


def test_the_gate_does_not_wait_for_a_hanging_backend_with_others(gate):
    slow, others = gate.scene(), gate.scene()
    clients = []
    for _ in range(100):
        c = gate.gate.client()
        c.send(slow.bytes("/hang", {"X-Behave": "wait=" + slow.name}))
        clients.append(c)
    gate.backend.wait_seen(slow.path + "/hang", 100)
    quick(others)
    gate.backend.release(slow.name)
    assert [c.read().status for c in clients] == [200] * 100
    for c in clients:
        c.close()


# ---- too big

@pytest.mark.parametrize("name, pairs", [
    ("a line of 20 kB", [("X-Big", "b" * 20000)]),
    ("a line of 1 MB", [("X-Big", "b" * 1000000)]),
    ("an identity header of 20 kB", [("X-Gatehouse-Plan", "b" * 20000)]),
    ("a cookie of 100 kB", [("Cookie", "c=" + "d" * 100000)]),
    ("80 kB in many lines", [("X-%d" % i, "b" * 4000) for i in range(20)]),
    ("20,000 lines", [("X-%d" % i, "b") for i in range(20000)]),
    ("a name of 30 kB", [("X" * 30000, "b")]),
])
def test_a_head_that_is_too_big_is_refused(gate, name, pairs):
    scene = gate.scene()
    with gate.gate.client(timeout=10) as c:
        try:
            c.send(scene.bytes("/big", pairs))
            reply = c.read()
            assert 400 <= reply.status < 500, reply
        except (raw.Broken, OSError):
            pass                # it closed before all was sent
    assert not scene.seen()
    quick(scene, 2)


@pytest.mark.parametrize("size", [9000, 17000, 200000])
def test_a_target_that_is_too_long_is_refused_or_whole(gate, size):
    scene = gate.scene()
    with gate.gate.client(timeout=10) as c:
        try:
            c.send(scene.bytes("/" + "a" * size))
            status = c.read().status
        except (raw.Broken, OSError):
            status = 414
    assert status in (200, 414)
    for seen in scene.seen():
        assert len(seen.target) == len(scene.path) + 1 + size


def test_many_small_headers_within_the_bounds_arrive(gate):
    scene = gate.scene()
    pairs = [("X-%d" % i, str(i)) for i in range(300)]
    assert scene.get("/many", pairs).status == 200
    assert scene.seen()[0].get("X-299") == "299"


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_body_that_is_too_big_is_413(gate, how):
    """Beyond client_max_body_size of the shipped configuration, 32 MiB."""
    scene = gate.scene()
    status = None
    with gate.gate.client(timeout=20) as c:
        try:
            if how == "length":
                c.send(raw.request("POST", scene.path + "/big", scene.headers(
                    {"Content-Length": str(40 << 20)})) + b"x" * 65536)
            else:
                c.send(raw.request("POST", scene.path + "/big", scene.headers(
                    {"Transfer-Encoding": "chunked"})))
                piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
                for _ in range(40):
                    c.send(piece)
        except OSError:
            pass
        try:
            status = c.read().status
        except raw.Broken:
            status = None
    assert status in (413, None)
    assert status == 413 or how == "chunks"
    assert not [s for s in scene.seen() if s.length > 32 << 20]
    quick(scene, 2)


def test_a_refused_call_does_not_upload_its_body(gate):
    scene = gate.scene()
    with gate.gate.client(timeout=10) as c:
        c.send(raw.request("POST", scene.path + "/up", scene.headers(
            {"Content-Length": str(30 << 20)}, key="wrong")))
        assert c.read().status == 401
    assert not scene.seen()
