# SPDX-License-Identifier: Apache-2.0
"""Reloads, restarts and edits under load: nobody notices but by the edit."""
import os
import signal
import time

import pytest

from lib import clock, raw
from lib.load import Load
from lib.process import alive, wait_for

CLOSE = {"Connection": "close"}


def reloaded(gate, old):
    """New workers are there and answer."""
    wait_for("new workers", lambda: len(
        set(gate.worker_pids()) - set(old)) >= gate.workers, 10)


def test_100_reloads_under_load_lose_nothing(stack):
    """Connections of one call each: none is lost, none is judged wrongly,
    and limits are exact all the while."""
    clock.room("hour", 60)
    gate = stack(workers=2)
    free, wrong = gate.scene(), gate.scene()
    tight = gate.scene(limits=[{"period": "hour", "value": 500}])
    requests = [free.bytes("/r", CLOSE)] * 3 + [tight.bytes("/r", CLOSE)]
    with Load(gate.gate.address, requests, 8, keepalive=False) as load, \
            Load(gate.gate.address, [wrong.bytes("/r", CLOSE, key="bad")], 1,
                 keepalive=False) as bad:
        for i in range(100):
            old = gate.gate.worker_pids()
            answered = load.total
            gate.gate.reload()
            wait_for("workers of reload %d" % i, lambda: set(
                gate.gate.worker_pids()) - set(old), 10)
            wait_for("answers", lambda: load.total >= answered + 5, 10)
        wait_for("the tight limit is used up",
                 lambda: load.statuses[429] >= 20, 60)
    assert not load.errors and not bad.errors, (load, bad)
    assert set(load.statuses) == {200, 429}, load
    assert set(bad.statuses) == {401}, bad
    assert len(tight.seen()) == 500
    wait_for("old workers are gone", lambda: len(
        gate.gate.worker_pids()) == 2, 15)


def test_a_reload_keeps_counters_and_slices(stack):
    gate = stack(workers=2)
    scene = gate.scene(limits=[{"period": "day", "value": 20}])
    for i in range(4):
        for _ in range(4):
            assert scene.get().status == 200
        old = gate.gate.worker_pids()
        gate.gate.reload()
        reloaded(gate.gate, old)
    assert [scene.get().status for _ in range(6)] == [200] * 4 + [429] * 2


def test_an_open_call_survives_a_reload(stack):
    gate = stack(workers=1)
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(scene.bytes("/long", {"X-Behave": "wait=long"}))
        gate.backend.wait_seen(scene.path + "/long")
        old = gate.gate.worker_pids()
        gate.gate.reload()
        reloaded(gate.gate, old)
        assert scene.get("/new").status == 200
        gate.backend.release("long")
        assert c.read().status == 200
    wait_for("the old worker is gone",
             lambda: not any(alive(p) for p in old), 15)


def test_the_gate_opens_with_redis_and_control_down(stack):
    """The catalog alone is enough to know who may call."""
    gate = stack(workers=2)
    scene = gate.scene(limits=[{"period": "day", "value": 100000}])
    assert scene.get().status == 200
    gate.gate.stop()
    gate.control.kill()
    gate.redis.kill()
    gate.gate.start()
    reply = scene.get()
    assert reply.status == 200, reply
    assert scene.get(key="wrong").status == 401
    gate.redis.start()


def test_a_catalog_to_which_nothing_was_ever_applied(stack):
    """Every path is no API, and the first apply is served at once."""
    gate = stack(workers=1, empty=True)
    pids = gate.gate.worker_pids()
    for _ in range(5):
        reply = gate.request("GET", "/x", {"X-API-Key": "any"})
        assert (reply.status, reply.code) in ((404, "no_api"),
                                              (503, "gate_unavailable"))
    gate.add({"services": [{"name": "echo", "url": gate.echo_url}]})
    scene = gate.scene()
    wait_for("the first API", lambda: scene.get().status == 200, 1)
    assert gate.gate.worker_pids() == pids


def test_edits_under_load_never_break_a_call(stack):
    """While plans, applications and keys change, every call gets the old
    answer or the new one."""
    gate = stack(workers=2)
    scene = gate.scene(limits=[{"period": "day", "value": 10**6}])
    with Load(gate.gate.address, [scene.bytes("/e")], 4) as load:
        for i in range(25):
            scene.edit("plan", limits=[{"metric": "hits", "period": "day",
                                        "value": 10**6 + i}])
            gate.scene()
            load.wait(10)
    assert load.statuses == {200: load.total}, load
    assert not load.errors


def test_a_new_path_is_published_without_a_reload(gate):
    scene = gate.scene()
    pids = gate.gate.worker_pids()
    clients = [gate.gate.client() for _ in range(8)]
    scene.edit("api", path=scene.path + "-moved")
    at = time.monotonic()
    for c in clients:
        while True:
            c.send(raw.request("GET", scene.path + "-moved/x",
                               scene.headers()))
            if c.read().status == 200:
                break
            assert time.monotonic() - at < 0.5
        c.send(scene.bytes("/x"))
        assert c.read().status == 404
        c.close()
    assert gate.gate.worker_pids() == pids


def test_a_services_address_moves_without_a_reload(gate):
    from lib.backend import Backend
    second = Backend().start()
    try:
        name = "movable"
        scene = gate.scene(name, api={"service": "movable-service"}, more={
            "services": [{"name": "movable-service", "url": gate.echo_url}]})
        with gate.gate.client() as c:
            c.send(scene.bytes("/1"))
            assert c.read().status == 200
            gate.add({"services": [{
                "name": "movable-service",
                "url": "http://127.0.0.1:%d" % second.port}]})

            def moved():
                c.send(scene.bytes("/2"))
                assert c.read().status == 200
                return second.seen(scene.path)
            wait_for("calls at the new address", moved, 0.6)
    finally:
        second.stop()


def test_nginx_stops_quickly_and_cleanly_under_load(stack):
    gate = stack(workers=2)
    scene = gate.scene(limits=[{"period": "day", "value": 10**6}])
    gate.expect("SIGTERM")
    with Load(gate.gate.address, [scene.bytes("/q")], 8) as load:
        load.wait(100)
        at = time.monotonic()
        os.kill(gate.gate.process.pid, signal.SIGTERM)
        gate.gate.process.child.wait(10)
        assert time.monotonic() - at < 5
    assert set(load.statuses) == {200}


@pytest.mark.parametrize("where, text", [
    ("server", "underscores_in_headers on;"),
    ("server", "ignore_invalid_headers off;"),
    ("server", "location /any/ { gatehouse on; satisfy any; allow all;"
               " proxy_pass http://services; }"),
])
def test_a_configuration_that_bypasses_the_gate_is_refused(gate, where, text):
    from lib.stack import Gate
    other = Gate(gate, **{where: text})
    status, said = other.check()
    other.error_log.unlink()        # its [emerg] was wanted
    assert status != 0, said
    assert "gatehouse" in said, said
    word = text.split()[0] if not text.startswith("location") else "satisfy"
    assert word in said, said
