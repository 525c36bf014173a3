# SPDX-License-Identifier: Apache-2.0
"""The control API: who may do what, single items, keys, discoveries, usage."""
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

import pytest

from lib import raw
from lib.control import Control, Peer
from lib.process import wait_for
from lib.stack import BUILD, CONTROL_UID, GROUP, IDP_UID, Redis

OTHER_UID = 61999

BASE = """\
gatehouse: 1
services: [{name: back, url: "http://127.0.0.1:8081"}]
idps: [{name: lemon, issuer: "https://auth.example.org/", algs: [RS256, EdDSA]}]
apis:
  - {name: web, path: /web, service: back, metrics: [search]}
plans: [{name: basic, apis: [web]}]
accounts: [{name: acme}]
apps: [{name: mobile, account: acme, plan: basic}]
"""


@pytest.fixture
def control():
    with Control() as one:
        one.apply(BASE)
        yield one


# ---- rights

def test_a_stranger_may_nothing(control):
    for method, path in (("GET", "/v1/status"), ("GET", "/v1/apps"),
                         ("GET", "/v1/document"), ("PUT", "/v1/apps/x"),
                         ("POST", "/v1/apps/mobile/keys"),
                         ("PUT", "/v1/idps/lemon/discovered")):
        status, body = control.call_as(OTHER_UID, method, path, {})
        assert (status, body["code"]) == (403, "denied"), path


def as_stranger(control, code):
    """What a program of another uid in the shared group prints."""
    return subprocess.run(
        ["/usr/bin/python3", "-c", "import socket, sys\n"
         "def connect():\n"
         "    s = socket.socket(socket.AF_UNIX)\n"
         "    s.connect(sys.argv[1])\n    s.settimeout(5)\n"
         "    return s\n" + code, control.sock],
        user=OTHER_UID, group=GROUP, extra_groups=[], capture_output=True,
        text=True, timeout=60).stdout


def test_a_stranger_is_refused_before_its_body_is_kept(control):
    said = as_stranger(control, """
s = connect()
s.sendall(b"PUT /v1/document HTTP/1.1\\r\\nHost: x\\r\\n"
          b"Content-Length: 4000000\\r\\n\\r\\n")
print(s.recv(100))
""")
    assert "HTTP/1.1 403" in said


def test_strangers_keep_nobody_out(control):
    """However many connections they open, few of them are kept."""
    said = as_stranger(control, """
import select, time
held = [connect() for i in range(300)]
poll = select.poll()
for s in held:
    poll.register(s, select.POLLIN)
end = time.monotonic() + 10
ended = 0
while ended < 284 and time.monotonic() < end:
    ended = len(poll.poll(100))
print("ended", ended, flush=True)
""")
    assert said == "ended 284\n"
    assert control.call("GET", "/v1/apps").status == 200


def test_roles_beside_anonymous_would_keep_out_nobody(control):
    api = {"path": "/open", "service": "back", "roles": ["staff"],
           "credentials": {"jwt": [{"idp": "lemon", "audience": "x"}]}}
    assert control.call("PUT", "/v1/apis/open", api).status == 201
    api["credentials"]["anonymous"] = "mobile"
    reply = control.call("PUT", "/v1/apis/open", api)
    assert reply.status == 422
    assert "keep out nobody" in reply.json()["faults"][0]["message"]
    del api["roles"]
    assert control.call("PUT", "/v1/apis/open", api).status == 200


def test_idp_reads_and_reports_and_no_more(control):
    assert control.call_as(IDP_UID, "GET", "/v1/idps/lemon")[0] == 200
    assert control.call_as(IDP_UID, "PUT", "/v1/idps/lemon/discovered",
                           {"keys": []})[0] == 200
    for method, path in (("PUT", "/v1/apps/mobile"),
                         ("DELETE", "/v1/apps/mobile"),
                         ("POST", "/v1/apps/mobile/keys"),
                         ("PUT", "/v1/document")):
        assert control.call_as(IDP_UID, method, path, {})[0] == 403, path


# ---- requests that are wrong

@pytest.mark.parametrize("method, path, status", [
    ("GET", "/", 404), ("GET", "/v2/apps", 404), ("GET", "/v1/things", 404),
    ("GET", "/v1/apps/none", 404), ("DELETE", "/v1/apps/none", 404),
    ("GET", "/v1/apps/mobile/keys/x/y", 404), ("POST", "/v1/apps/mobile", 405),
    ("PATCH", "/v1/status", 405), ("GET", "/v1/apps/" + "a" * 64, 404),
    ("PUT", "/v1/apps/UPPER", 422), ("GET", "/v1/app", 404),
    ("GET", "/v1/apps/none/keys", 404), ("GET", "/v1/usage/none", 404),
    ("GET", "/v1/decisions/short", 422), ("GET", "/v1/apps/%2e%2e", 404),
    ("POST", "/v1/services/none/restart", 404),
    ("POST", "/v1/services/back/restart", 409)])
def test_wrong_requests_have_their_status(control, method, path, status):
    reply = control.call(method, path, {} if method != "GET" else None)
    assert reply.status == status
    body = reply.json()
    assert body["status"] == status and body["code"] and body["detail"]


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b'"x"', b"\xff", b"{}", b'{"account": "acme"}',
    b'{"account": "acme", "plan": "basic", "paln": 1}',
    b'{"account": ["acme"], "plan": "basic"}',
    b'{"account": "acme", "plan": "basic", "state": null}',
    b'{"account": "acme", "plan": "basic", "plan": "basic"}',
    b'{"name": "other", "account": "acme", "plan": "basic"}',
    b'{"account": "nobody", "plan": "basic"}',
    b'{"account": "acme", "plan": "basic", "labels": {"a": "\\u0000"}}',
    b"{" + b'"labels": {' * 2000,
    b'{"labels": ' + b'{"a": ' * 500 + b'1' + b"}" * 501], ids=["body-%d" % i for i in range(16)])
def test_a_wrong_item_is_refused(control, body):
    before = control.generation
    reply = control.call("PUT", "/v1/apps/new", body,
                         {"Content-Type": "application/json"})
    assert reply.status in (400, 422), reply
    assert control.call("GET", "/v1/apps/new").status == 404
    assert control.generation == before


def test_a_body_that_is_too_large_is_refused(control):
    reply = control.call("PUT", "/v1/document", b"#" * (5 << 20))
    assert reply.status == 413


def test_a_slow_client_keeps_nobody_waiting(control):
    slow = [socket.socket(socket.AF_UNIX) for _ in range(50)]
    try:
        for s in slow:
            s.connect(control.sock)
            s.sendall(b"PUT /v1/document HTTP/1.1\r\nHost: x\r\n"
                      b"Content-Length: 100000\r\n\r\ngate")
        start = time.monotonic()
        for _ in range(20):
            assert control.call("GET", "/v1/apps").status == 200
        assert time.monotonic() - start < 5
    finally:
        for s in slow:
            s.close()
    assert control.call("GET", "/v1/apps").status == 200


@pytest.mark.parametrize("data", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/apps HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
    b"PUT /v1/document HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"PUT /v1/document HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
    b"\r\n\r\nzz\r\n", bytes(range(256)) * 20], ids=[
        "nothing", "half", "version", "long", "headers", "length", "chunk",
        "binary"])
def test_rubbish_on_the_socket_hurts_nobody(control, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(control.sock)
        s.settimeout(3)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass
    assert control.call("GET", "/v1/apps").status == 200
    assert control.process.running


# ---- items

def test_an_item_is_added_shown_changed_removed(control):
    made = control.call("PUT", "/v1/apps/new",
                        {"account": "acme", "plan": "basic"})
    assert made.status == 201
    assert control.must("GET", "/v1/apps/new") == {
        "name": "new", "account": "acme", "plan": "basic"}
    changed = control.call("PUT", "/v1/apps/new",
                           {"account": "acme", "plan": "basic",
                            "state": "suspended"})
    assert changed.status == 200
    assert changed.json()["state"] == "suspended"
    assert control.call("DELETE", "/v1/apps/new").status == 200
    assert control.call("GET", "/v1/apps/new").status == 404
    assert [a["name"] for a in control.must("GET", "/v1/apps")["items"]] == [
        "mobile"]


def test_what_is_shown_can_be_put_back(control):
    for kind, name in (("services", "back"), ("idps", "lemon"),
                       ("apis", "web"), ("plans", "basic"),
                       ("accounts", "acme"), ("apps", "mobile")):
        shown = control.must("GET", "/v1/%s/%s" % (kind, name))
        before = control.generation
        assert control.call("PUT", "/v1/%s/%s" % (kind, name),
                            shown).status == 200
        assert control.generation == before


def test_etags_guard_against_lost_updates(control):
    first = control.call("GET", "/v1/apps/mobile")
    tag = first.get("etag")
    body = {"account": "acme", "plan": "basic", "state": "suspended"}
    ok = control.call("PUT", "/v1/apps/mobile", body, {"If-Match": tag})
    assert ok.status == 200 and ok.get("etag") != tag
    late = control.call("PUT", "/v1/apps/mobile",
                        {"account": "acme", "plan": "basic"},
                        {"If-Match": tag})
    assert late.status == 412
    assert control.call("DELETE", "/v1/apps/mobile", None,
                        {"If-Match": tag}).status == 412
    assert control.call("PUT", "/v1/apps/mobile", body,
                        {"If-None-Match": "*"}).status == 412
    assert control.call("PUT", "/v1/apps/other", body,
                        {"If-Match": "*"}).status == 412
    assert control.must("GET", "/v1/apps/mobile")["state"] == "suspended"


def test_what_is_in_use_is_not_deleted(control):
    for path in ("/v1/plans/basic", "/v1/accounts/acme", "/v1/apis/web",
                 "/v1/services/back"):
        reply = control.call("DELETE", path)
        assert (reply.status, reply.json()["code"]) == (409, "in_use"), path
        assert "still in use" in reply.json()["faults"][0]["message"]
        assert control.call("GET", path).status == 200


def test_an_api_edit_that_breaks_a_plan_is_refused(control):
    control.must("PUT", "/v1/plans/basic", {
        "apis": ["web"], "limits": [{"api": "web", "metric": "search",
                                     "period": "day", "value": 5}]})
    reply = control.call("PUT", "/v1/apis/web",
                         {"path": "/web", "service": "back"})
    assert reply.status == 422
    assert reply.json()["faults"][0]["path"] == "plan.basic.limits[0].metric"


# ---- keys

def test_a_key_is_shown_once_and_never_kept(control):
    made = control.must("POST", "/v1/apps/mobile/keys",
                        {"label": "phone", "expires": "90d"})
    key = made["key"]
    assert re.fullmatch(r"gh_[A-Za-z0-9_-]{43}[0-9a-f]{6}", key)
    listed = control.call("GET", "/v1/apps/mobile/keys")
    assert key.encode() not in listed.body
    one = listed.json()["items"][0]
    assert (one["id"], one["label"], one["state"]) == (
        made["id"], "phone", "live")
    assert "digest" not in one and key.startswith(one["prefix"])
    control.process.stop()
    for path in control.dir.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path


def test_keys_differ(control):
    keys = {control.must("POST", "/v1/apps/mobile/keys")["key"]
            for _ in range(20)}
    assert len(keys) == 20


@pytest.mark.parametrize("body", [
    {"labels": "x"}, {"label": 1}, {"label": "a\nb"}, {"label": "x" * 101},
    {"kind": "other"}, {"expires": "soon"}, {"expires": "2001-01-01"},
    {"expires": "0s"}, {"expires": "1d", "not_before": "2d"}, ["x"]])
def test_a_wrong_key_request_makes_no_key(control, body):
    assert control.call("POST", "/v1/apps/mobile/keys",
                        body).status in (400, 422)
    assert control.must("GET", "/v1/apps/mobile/keys")["items"] == []


def test_rotation_overlaps(control):
    old = control.must("POST", "/v1/apps/mobile/keys", {"label": "phone"})
    new = control.must("POST", "/v1/apps/mobile/keys/%s/rotate" % old["id"],
                       {"overlap": "1h"})
    assert new["key"] != old["key"] and new["label"] == "phone"
    items = {k["id"]: k for k in
             control.must("GET", "/v1/apps/mobile/keys")["items"]}
    assert items[old["id"]]["state"] == "live"
    assert items[old["id"]]["expires"] and not items[new["id"]]["expires"]
    again = control.must("POST", "/v1/apps/mobile/keys/%s/rotate" % new["id"],
                         {"overlap": "0s"})
    items = {k["id"]: k for k in
             control.must("GET", "/v1/apps/mobile/keys")["items"]}
    assert items[new["id"]]["state"] == "expired"
    assert items[again["id"]]["state"] == "live"


def test_revocation_ends_a_key_for_good(control):
    key = control.must("POST", "/v1/apps/mobile/keys")
    path = "/v1/apps/mobile/keys/" + key["id"]
    assert control.must("DELETE", path)["state"] == "revoked"
    assert control.call("POST", path + "/rotate", {}).status == 409
    control.restart()
    assert [k["state"] for k in control.must(
        "GET", "/v1/apps/mobile/keys")["items"]] == ["revoked"]


def test_there_is_always_room_for_a_new_key(control):
    for _ in range(300):
        key = control.must("POST", "/v1/apps/mobile/keys")
        control.must("DELETE", "/v1/apps/mobile/keys/" + key["id"])
    assert len(control.must("GET", "/v1/apps/mobile/keys")["items"]) < 256


def test_keys_go_with_their_application(control):
    control.must("PUT", "/v1/apps/new", {"account": "acme", "plan": "basic"})
    control.must("POST", "/v1/apps/new/keys")
    control.must("DELETE", "/v1/apps/new")
    control.must("PUT", "/v1/apps/new", {"account": "acme", "plan": "basic"})
    assert control.must("GET", "/v1/apps/new/keys")["items"] == []
    control.restart()
    assert control.must("GET", "/v1/apps/new/keys")["items"] == []


# ---- discoveries

ED = {"kty": "OKP", "crv": "Ed25519",
      "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def test_a_discovery_is_kept_until_the_issuer_changes(control):
    found = {"authorization_endpoint": "https://auth.example.org/authorize",
             "jwks_uri": "https://auth.example.org/jwks", "require_iss": True,
             "keys": [{"kid": "k1", "algs": ["EdDSA"], "jwk": ED}]}
    put = "/v1/idps/lemon/discovered"
    assert control.must("PUT", put, found) == {"changed": True}
    before = control.generation
    assert control.must("PUT", put, found) == {"changed": False}
    assert control.generation == before

    def warned():
        return any(c["check"] == "idp" and "no keys" in c["detail"] for c in
                   control.must("GET", "/v1/doctor")["checks"])
    assert not warned()
    control.restart()
    assert not warned()
    control.must("PUT", "/v1/idps/lemon",
                 {"issuer": "https://other.example.org/"})
    assert warned()
    control.restart()
    assert warned()


@pytest.mark.parametrize("found", [
    {"keys": [{"kid": "x", "jwk": {"kty": "oct", "k": "AAAA"}}]},
    {"keys": [{"kid": "x", "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}]},
    {"keys": [{"kid": "x"}]}, {"keys": [1]},
    {"keys": [{"kid": "x", "jwk": ED}] * 100},
    {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": "https://a/ b"},
    {"jwks_uri": 7}, {"token_endpoint": "https://a/\r\nX: y"},
    {"issuer": "https://evil.example.org/", "keys": []}],
    ids=lambda x: next(iter(x)))
def test_a_wrong_discovery_changes_nothing(control, found):
    before = control.generation
    assert control.call("PUT", "/v1/idps/lemon/discovered",
                        found).status in (409, 413, 422)
    assert control.generation == before


# ---- usage and decisions

def test_usage_sums_nodes_and_hours(tmp_path_factory):
    with Control() as first:
        store = Redis(first.dir / "redis", first.dir / "sock/redis.sock",
                      aof=False).start()
        try:
            with Control("--redis", "unix:" + store.sock) as control:
                control.apply(BASE)
                hour = int(time.time() // 3600)
                client = store.client()
                client.hset("gh:{a:mobile}:u:hits:%d" % hour,
                            mapping={"n1:admitted": 5, "n2:admitted": 7,
                                     "n1:quota": 2})
                client.hset("gh:{a:mobile}:u:hits:%d" % (hour - 1),
                            mapping={"n1:admitted": 100})
                client.hset("gh:{a:mobile}:u:search:%d" % hour,
                            mapping={"n1:admitted": 3})
                out = control.must("GET", "/v1/usage/mobile")
                series = {s["metric"]: s for s in out["series"]}
                assert set(series) == {"hits", "search"}
                assert series["hits"]["total"]["admitted"] == 112
                assert series["hits"]["total"]["quota"] == 2
                assert series["hits"]["points"][-1]["admitted"] == 12
                assert series["hits"]["points"][-2]["admitted"] == 100
                assert series["search"]["total"]["admitted"] == 3
                control.must("PUT", "/v1/plans/total", {
                    "limits": [{"period": "ever", "value": 500}]})
                control.must("PUT", "/v1/accounts/acme", {"plan": "total"})
                control.must("PUT", "/v1/plans/basic", {
                    "apis": ["web"], "limits": [
                        {"period": "day", "value": 100},
                        {"api": "web", "metric": "search",
                         "period": "year", "value": 10, "mode": "soft"}]})
                today = int(time.time() // 86400) * 86400
                client.hset("gh:{a:mobile}:l:-:hits:day",
                            mapping={"w": today, "adj": 5,
                                     "n1:0:0": "30 10 0 15 0",
                                     "n2:0:0": "10 0 2 8 1"})
                client.hset("gh:{a:mobile}:l:web:search:year",
                            mapping={"w": 1, "n1:0:0": "9 0 0 9 0"})
                client.hset("gh:{c:acme}:l:-:hits:ever",
                            mapping={"w": 0, "n1:0:0": "600 0 0 500 0"})
                limits = control.must("GET", "/v1/usage/mobile")["limits"]
                assert [(x["scope"], x["value"], x["used"], x["leased"],
                         x["left"]) for x in limits] == [
                    ("application", 105, 25, 32, 73),
                    ("application", 10, 0, 0, 10),
                    ("account", 500, 500, 600, 0)]
                shown = control.cli("usage", "mobile", "-m", "hits")
                assert shown.returncode == 0
                assert "total: 112 admitted" in shown.stdout
                assert re.search("hits/day +73 of 105 left, anew in",
                                 shown.stdout)
                year = control.must(
                    "GET", "/v1/usage/mobile?metric=hits&period=year")
                assert sum(p["admitted"] for p in
                           year["series"][0]["points"]) == 112
                for query in ("period=second", "from=never", "metric=A",
                              "from=2001-01-01", "from=1h&to=2h"):
                    assert control.call("GET", "/v1/usage/mobile?"
                                        + query).status == 422, query
                store.kill()
                assert control.call("GET", "/v1/usage/mobile").status == 503
                assert control.must("GET", "/v1/status")["redis"][
                    "state"] == "down"
        finally:
            store.kill()


def test_usage_without_redis_says_so(control):
    reply = control.call("GET", "/v1/usage/mobile")
    assert reply.status == 503 and "--redis" in reply.json()["detail"]


def test_decisions_come_from_the_gate(control):
    known = "0" * 26
    story = {"id": known, "status": 429, "code": "quota_exceeded"}
    assert control.call("GET", "/v1/decisions/" + known).status == 503

    def gate(method, path, body):
        return (200, story) if path == "/decisions/" + known else (404, {})
    with Peer(control.dir / "sock/gate.sock", gate):
        assert control.must("GET", "/v1/decisions/" + known) == story
        assert control.call("GET", "/v1/decisions/" + "1" * 26).status == 404


def test_a_gate_that_hangs_does_not_hang_control(control):
    release = threading.Event()

    def gate(method, path, body):
        release.wait(10)
        return 200, {}
    with Peer(control.dir / "sock/gate.sock", gate):
        start = time.monotonic()
        assert control.call("GET", "/v1/decisions/" + "0" * 26).status == 503
        assert time.monotonic() - start < 5
        release.set()


# ---- what it says of itself

def test_openapi_describes_what_is_served(control):
    spec = control.must("GET", "/v1/openapi.json")
    assert spec["openapi"].startswith("3.1")
    text = json.dumps(spec)
    for ref in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text):
        assert ref in spec["components"]["schemas"]
    ids = [op["operationId"] for path in spec["paths"].values()
           for op in path.values()]
    assert len(ids) == len(set(ids))
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            names = re.findall(r"{(\w+)}", path)
            assert names == [p["name"] for p in operation["parameters"]
                             if p["in"] == "path"]
            url = re.sub(r"{\w+}", "none", path)
            assert control.call(method.upper(), url,
                                b"" if method != "get" else None
                                ).status != 405
    limit = spec["components"]["schemas"]["plan"]["properties"]["limits"]
    assert limit["items"]["properties"]["value"]["maximum"] == 2 ** 53 - 1
    assert spec["components"]["schemas"]["api"]["required"] == ["name",
                                                                "service"]


def test_status_and_doctor_tell_what_is_missing(control):
    status = control.must("GET", "/v1/status")
    assert status["gate"]["state"] == status["idp"]["state"] == "down"
    assert status["items"]["apps"] == 1
    doctor = control.must("GET", "/v1/doctor")
    assert doctor["ok"] is False
    for check in doctor["checks"]:
        assert check["state"] == "ok" or check["advice"]


def test_each_write_leaves_an_audit_line(control):
    control.must("PUT", "/v1/apps/new", {"account": "acme", "plan": "basic"})
    key = control.must("POST", "/v1/apps/new/keys", {"label": "l"})
    control.must("DELETE", "/v1/apps/new/keys/" + key["id"])
    control.must("DELETE", "/v1/apps/new")
    control.call("PUT", "/v1/apps/bad", {})
    lines = control.audit()
    assert [x["action"] for x in lines] == [
        "apply", "add", "create-key", "revoke-key", "remove"]
    assert all(x["uid"] == 0 and x["pid"] and x["at"] for x in lines)
    assert key["key"] not in json.dumps(lines)


def test_it_gives_up_what_it_does_not_need(control):
    told = dict(line.split(":\t", 1) for line in pathlib.Path(
        "/proc/%d/status" % control.process.pid).read_text().splitlines()
        if ":\t" in line)
    assert told["NoNewPrivs"] == "1"
    assert told["CapEff"].strip("0") == ""
    if b"__asan_init" not in (BUILD / "gatehouse-control").read_bytes():
        assert told["Seccomp"] == "2"
        assert control.call_as(CONTROL_UID, "GET", "/v1/apps")[0] == 200
        peek = subprocess.run(
            ["cat", "/proc/%d/environ" % control.process.pid],
            user=CONTROL_UID, group=61112, extra_groups=[],
            capture_output=True)
        assert peek.returncode != 0


def test_root_is_refused_unless_told():
    with Control(start=False) as control:
        done = subprocess.run([BUILD / "gatehouse-control", "--dir",
                               control.dir], capture_output=True, text=True,
                              timeout=20)
        assert done.returncode == 1
        assert "root" in done.stderr


@pytest.mark.parametrize("secret", [None, "", "zz", "a" * 63, "A" * 64 + "b"])
def test_a_wrong_secret_file_is_told(secret):
    with Control(start=False) as control:
        path = control.dir / "secret"
        path.unlink() if secret is None else path.write_text(secret)
        process = control.launch()
        wait_for("it gives up", lambda: not process.running)
        assert "secret" in process.text()
