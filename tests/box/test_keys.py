# SPDX-License-Identifier: Apache-2.0
"""Credentials: API key, application id + key; how they come, go and fail."""
import time

import pytest

from lib import raw
from lib.process import wait_for

ALL = {"api_key": {"header": "X-API-Key", "query": "api_key",
                   "cookie": "api_key"},
       "app_id_key": {"id_header": "X-App-Id", "key_header": "X-App-Key"}}
LIVE = 0.1          # an edit is live within 100 ms
NOISE = 0.4         # what a busy machine may add before a test calls it late


@pytest.fixture(scope="module")
def both(shared_stack):
    """An API that takes everything, and one more application on it."""
    scene = shared_stack.scene(api={"credentials": ALL})
    scene.other = shared_stack.scene(plan={"apis": [scene.name]}).key
    made = shared_stack.key(scene.name, "id_key")
    scene.id_key = made["key"]
    return scene


def ways(key):
    return {
        "header": ("/w", [("X-API-Key", key)]),
        "header, other case": ("/w", [("x-api-KEY", key)]),
        "query": ("/w?api_key=" + key, []),
        "query among others": ("/w?a=1&api_key=%s&b=2" % key, []),
        "cookie": ("/w", [("Cookie", "api_key=" + key)]),
        "cookie among others": ("/w", [("Cookie", "a=1; api_key=%s; b=2"
                                        % key)]),
    }


@pytest.mark.parametrize("way", ways(""))
def test_a_key_is_taken_where_the_api_says(gate, both, way):
    path, headers = ways(both.key)[way]
    assert gate.request("GET", both.path + path, headers).status == 200
    assert both.seen()[-1].get("X-Gatehouse-Application") == both.name


@pytest.mark.parametrize("way", ways(""))
def test_the_backend_never_sees_the_credential(gate, both, way):
    path, headers = ways(both.key)[way]
    gate.request("GET", both.path + path, headers)
    seen = both.seen()[-1]
    assert both.key not in seen.head.decode("latin-1")
    if way == "query among others":
        assert seen.target == both.path + "/w?a=1&b=2"
    if way == "cookie among others":
        cookie = seen.get("Cookie")
        assert sorted(x.strip() for x in cookie.split(";")) == ["a=1", "b=2"]


def test_an_api_can_keep_the_credential(gate):
    scene = gate.scene(api={"credentials": ALL, "keep_credentials": True})
    assert scene.get("/keep").status == 200
    assert scene.seen()[-1].all("X-API-Key") == [scene.key]


@pytest.mark.parametrize("way", ways(""))
def test_a_key_is_not_taken_elsewhere(gate, way):
    """An API that takes a key in one header only."""
    scene = gate.scene(api={"credentials": {"api_key": {"header": "X-Only"}}})
    path, headers = ways(scene.key)[way]
    reply = gate.request("GET", scene.path + path, headers)
    assert (reply.status, reply.code) == (401, "credential_missing")
    assert gate.request("GET", scene.path + "/w",
                        {"X-Only": scene.key}).status == 200


def test_application_id_and_key(gate, both):
    good = {"X-App-Id": both.name, "X-App-Key": both.id_key}
    assert gate.request("GET", both.path + "/id", good).status == 200
    seen = both.seen()[-1]
    assert both.id_key not in seen.head.decode("latin-1")
    for bad in ({"X-App-Id": both.name, "X-App-Key": "wrong"},
                {"X-App-Id": "wrong", "X-App-Key": both.id_key},
                {"X-App-Id": both.name, "X-App-Key": both.key},
                {"X-App-Id": both.name}, {"X-App-Key": both.id_key},
                {"X-App-Id": "", "X-App-Key": both.id_key},
                {"X-App-Id": both.name, "X-App-Key": ""}):
        reply = gate.request("GET", both.path + "/id", bad)
        assert reply.status == 401, bad
    # and the key of a pair is no API key
    assert gate.request("GET", both.path + "/id",
                        {"X-API-Key": both.id_key}).status == 401


def doubled(one, two, id_, id_key):
    return {
        "two headers": ("/t", [("X-API-Key", one), ("X-API-Key", two)]),
        "header and query": ("/t?api_key=" + two, [("X-API-Key", one)]),
        "header and cookie": ("/t", [("X-API-Key", one),
                                     ("Cookie", "api_key=" + two)]),
        "query twice": ("/t?api_key=%s&api_key=%s" % (one, two), []),
        "cookie twice": ("/t", [("Cookie", "api_key=%s; api_key=%s"
                                 % (one, two))]),
        "two cookie headers": ("/t", [("Cookie", "api_key=" + one),
                                      ("Cookie", "api_key=" + two)]),
        "query and cookie": ("/t?api_key=" + one,
                             [("Cookie", "api_key=" + two)]),
        "key and id": ("/t", [("X-API-Key", one), ("X-App-Id", id_),
                              ("X-App-Key", id_key)]),
        "two ids": ("/t", [("X-App-Id", id_), ("X-App-Id", "other"),
                           ("X-App-Key", id_key)]),
    }


@pytest.mark.parametrize("way", doubled("", "", "", ""))
def test_two_different_credentials_are_refused(gate, both, way):
    before = gate.backend.count
    path, headers = doubled(both.key, both.other, both.name,
                            both.id_key)[way]
    for pairs in (headers, headers[::-1]):
        reply = gate.request("GET", both.path + path, pairs)
        assert (reply.status, reply.code) == (400, "duplicate_credential")
    assert gate.backend.count == before


@pytest.mark.parametrize("way", ["header and query", "two headers"])
def test_a_good_and_a_bad_credential_are_two(gate, both, way):
    for one, two in ((both.key, "bad"), ("bad", both.key)):
        path, headers = doubled(one, two, "", "")[way]
        reply = gate.request("GET", both.path + path, headers)
        assert (reply.status, reply.code) == (400, "duplicate_credential")


def wrong(key):
    return {
        "empty": b"",
        "one letter": b"x",
        "first letter": key[:1],
        "cut by one": key[:-1],
        "one more": key + b"x",
        "other case": key.swapcase(),
        "reversed": key[::-1],
        "inner space": key[:8] + b" " + key[8:],
        "percent": b"%" + key,
        "all high bytes": bytes(range(128, 256)),
        "control bytes": key + b"\x01\x02",
        "tab inside": key[:8] + b"\t" + key[8:],
        "quoted": b'"' + key + b'"',
        "list": key + b"," + key,
        "utf-8": "schl\u00fcssel".encode(),
        "format": b"%s%n%x{}$(id)",
        "path": b"../../../../etc/passwd",
        "1 kB": b"k" * 1024,
        "8 kB": b"k" * 8192,
        "15 kB": b"k" * 15000,
        "long with the key in front": key + b"A" * 4000,
        "SQL": b"' or '1'='1",
        "hex of nothing": b"0" * 64,
    }


@pytest.mark.parametrize("way", wrong(b""))
def test_a_wrong_key_is_401_and_goes_no_further(gate, both, way):
    value = wrong(both.key.encode())[way]
    before = gate.backend.count
    with gate.gate.client() as c:
        c.send(raw.request("GET", both.path + "/bad",
                           [("X-API-Key", value)]))
        reply = c.read()
        assert reply.status == 401 or (
            reply.status == 400 and "control" in way), reply
        if reply.status == 401 and value:
            assert reply.code == "credential_invalid"
        if reply.status == 401:     # the connection lives on, for a good call
            c.send(both.bytes("/good"))
            assert c.read().status == 200
            before += 1
    assert gate.backend.count == before


@pytest.mark.parametrize("way", ["one letter", "empty", "all high bytes",
                                 "1 kB", "8 kB", "format", "utf-8"])
@pytest.mark.parametrize("where", ["query", "cookie"])
def test_a_wrong_key_elsewhere_is_401_too(gate, both, where, way):
    value = wrong(both.key.encode())[way]
    if where == "query":
        target, pairs = (both.path + "/b?api_key=").encode() + value, []
    else:
        target, pairs = both.path + "/b", [("Cookie", b"api_key=" + value)]
    reply = gate.raw(raw.request("GET", target, pairs))
    assert reply.status in (400, 401), reply
    assert reply.code != "duplicate_credential"


def test_a_key_in_a_query_may_be_percent_encoded(gate, both):
    text = "".join("%%%02x" % b for b in both.key.encode())
    reply = gate.request("GET", both.path + "/q?api_key=" + text)
    assert reply.status in (200, 401)
    seen = both.seen()
    if reply.status == 200:
        assert text not in seen[-1].target


def live(what, condition):
    """True within the promise; `NOISE` is this machine's."""
    wait_for(what, condition, LIVE + NOISE, 0.005)


def test_a_revoked_key_stops_at_once_on_every_worker(gate):
    scene = gate.scene()
    made = gate.key(scene.name)
    clients = [gate.gate.client() for _ in range(8)]
    for c in clients:
        c.send(scene.bytes("/r", key=made["key"]))
        assert c.read().status == 200
    gate.must("DELETE", "/v1/apps/%s/keys/%s" % (scene.name, made["id"]))
    time.sleep(LIVE)                    # the promise itself
    end = time.monotonic() + NOISE
    for c in clients:
        while True:
            c.send(scene.bytes("/r", key=made["key"]))
            reply = c.read()
            if reply.status == 401 or time.monotonic() > end:
                break
        assert (reply.status, reply.code) == (401, "credential_invalid")
        c.close()
    assert scene.get().status == 200    # its other key holds


def test_a_new_key_works_at_once(gate):
    scene = gate.scene()
    for _ in range(5):
        made = gate.key(scene.name)
        live("the new key", lambda: scene.get(
            key=made["key"]).status == 200)


def test_keys_are_listed_without_their_text(gate):
    scene = gate.scene()
    listed = gate.must("GET", "/v1/apps/%s/keys" % scene.name)
    text = str(listed)
    assert scene.key not in text
    assert scene.key not in gate.call("GET", "/v1/document").body.decode()


@pytest.mark.parametrize("kind, code", [("app", "application_suspended"),
                                        ("account", "account_suspended")])
def test_a_suspended_caller_is_403_and_comes_back(gate, kind, code):
    scene = gate.scene()
    assert scene.get().status == 200
    scene.edit(kind, state="suspended")
    live("suspension", lambda: scene.get().status == 403)
    assert scene.get().code == code
    scene.edit(kind, state="live")
    live("life", lambda: scene.get().status == 200)


def test_a_pending_application_may_not_call(gate):
    scene = gate.scene(app={"state": "pending"})
    reply = scene.get()
    assert (reply.status, reply.code) == (403, "application_suspended")


def test_a_key_of_another_plan_is_403(gate):
    scene, other = gate.scene(), gate.scene()
    reply = scene.get(key=other.key)
    assert (reply.status, reply.code) == (403, "not_in_plan")
    assert not scene.seen()


def test_a_removed_application_is_unknown(gate):
    scene = gate.scene()
    gate.must("DELETE", "/v1/apps/" + scene.name)
    gate.document["apps"] = [x for x in gate.document["apps"]
                             if x["name"] != scene.name]
    live("removal", lambda: scene.get().status == 401)


def test_anonymous_calls_count_for_their_application(gate):
    name = "anon"
    scene = gate.scene(name, limits=[{"period": "day", "value": 3}],
                       key=False, api={"credentials": {
                           "api_key": {"header": "X-API-Key"},
                           "anonymous": name}})
    statuses = [scene.get().status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert scene.seen()[0].get("X-Gatehouse-Application") == name
    # a wrong key is not no key
    assert scene.get(key="wrong").status == 401
