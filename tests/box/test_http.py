# SPDX-License-Identifier: Apache-2.0
"""What a client and a backend see of each other through the gate."""
import json
import re

import pytest

from lib import raw

DECISION = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\Z")


def test_a_good_key_reaches_the_backend(gate):
    scene = gate.scene()
    reply = scene.get("/a/b?x=1&y=2")
    assert reply.status == 200
    (seen,) = scene.seen()
    assert seen.target == scene.path + "/a/b?x=1&y=2"
    assert reply.json()["target"] == seen.target


def test_the_backend_is_told_who_calls(gate):
    scene = gate.scene()
    assert scene.get().status == 200
    (seen,) = scene.seen()
    assert seen.all("X-Gatehouse-Account") == [scene.name]
    assert seen.all("X-Gatehouse-Application") == [scene.name]
    assert seen.all("X-Gatehouse-Plan") == [scene.name]
    (decision,) = seen.all("X-Gatehouse-Decision")
    assert DECISION.match(decision)


def test_each_call_has_its_own_decision(gate):
    scene = gate.scene()
    for _ in range(20):
        scene.get()
    ids = [s.get("X-Gatehouse-Decision") for s in scene.seen()]
    assert len(set(ids)) == 20


def test_the_prefix_can_be_stripped(gate):
    scene = gate.scene(api={"strip_prefix": True})
    assert scene.get("/deep/er?q=%20x").status == 200
    assert scene.request("GET", "").status == 200
    assert [json.loads(scene.get("/one").body)["target"]] == ["/one"]
    targets = [s.target for s in gate.backend.requests
               if s.get("X-Gatehouse-Application") == scene.name]
    assert targets == ["/deep/er?q=%20x", "/", "/one"]


def test_longest_prefix_on_whole_segments_wins(gate):
    outer = gate.scene()
    inner = gate.scene(api={"path": outer.path + "/inner"})
    key = {"X-API-Key": inner.key}
    assert gate.request("GET", outer.path + "/inner/x", key).status == 200
    assert gate.request("GET", outer.path + "/inner", key).status == 200
    # a longer word is not the segment: the outer API, where this key is none
    reply = gate.request("GET", outer.path + "/innermost", key)
    assert (reply.status, reply.code) == (403, "not_in_plan")
    assert outer.get("/innermost").status == 200


def test_a_named_host_wins_over_any_host(gate):
    anyone = gate.scene()
    named = gate.scene(api={"hosts": ["api.example.org"],
                            "path": anyone.path})
    for host, scene in (("api.example.org", named), ("other", anyone),
                        ("API.EXAMPLE.ORG", named),
                        ("api.example.org:8080", named),
                        ("api.example.org.evil", anyone)):
        reply = gate.request("GET", anyone.path + "/h",
                             {"X-API-Key": scene.key}, host=host)
        assert reply.status == 200, (host, reply)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE",
                                    "PATCH", "OPTIONS", "PROPFIND"])
def test_every_method_goes_through(gate, method):
    scene = gate.scene()
    body = b"hello" if method in ("POST", "PUT", "PATCH") else None
    assert scene.request(method, "/m", body=body).status == 200
    (seen,) = scene.seen()
    assert (seen.method, seen.body) == (method, body or b"")


REFUSALS = [
    # what, request, status, code
    ("no API", dict(path=None), 404, "no_api"),
    ("no key", dict(key=""), 401, "credential_missing"),
    ("wrong key", dict(key="nonsense"), 401, "credential_invalid"),
]


@pytest.mark.parametrize("what, how, status, code", REFUSALS,
                         ids=[r[0] for r in REFUSALS])
def test_a_refusal_explains_itself(gate, what, how, status, code):
    scene = gate.scene()
    target = scene.path + "/r" if how.get("path", 1) else "/nothing/here"
    key = how.get("key", scene.key)
    reply = gate.request("GET", target, {"X-API-Key": key} if key else {})
    assert reply.status == status
    assert reply.get("Content-Type").startswith("application/problem+json")
    problem = reply.json()
    assert problem["status"] == status and problem["code"] == code
    assert problem["type"] and problem["title"]
    assert DECISION.match(problem["decision"])
    assert (reply.get("WWW-Authenticate") is not None) == (status == 401)
    assert not scene.seen()


@pytest.mark.parametrize("what, how, status, code", REFUSALS,
                         ids=[r[0] for r in REFUSALS])
def test_a_browser_gets_a_page_with_the_same_facts(gate, what, how, status,
                                                   code):
    scene = gate.scene()
    target = scene.path + "/r" if how.get("path", 1) else "/nothing/here"
    key = how.get("key", scene.key)
    headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    if key:
        headers["X-API-Key"] = key
    reply = gate.request("GET", target, headers)
    assert reply.status == status
    assert reply.get("Content-Type").startswith("text/html")
    assert code.encode() in reply.body


def test_refusals_to_head_have_no_body(gate):
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(scene.bytes("/h", method="HEAD", key="wrong"))
        reply = c.read("HEAD")
        assert reply.status == 401 and int(reply.get("Content-Length")) > 0
        c.send(scene.bytes("/h"))       # nothing of a body lies in between
        assert c.read().status == 200


def test_a_refused_call_with_a_body_leaves_the_connection_usable(gate):
    scene = gate.scene()
    body = b"x" * 30000
    with gate.gate.client() as c:
        for _ in range(3):
            c.send(scene.bytes("/p", method="POST", body=body, key="wrong"))
            assert c.read().status == 401
            c.send(scene.bytes("/p", method="POST", body=body))
            assert c.read().json()["length"] == len(body)


def test_what_a_refusal_says_names_no_inside(gate):
    scene = gate.scene(limits=[{"period": "day", "value": 1}])
    scene.get()
    texts = [scene.get().body, scene.get(key="bad").body,
             gate.request("GET", "/none").body]
    for text in texts:
        for word in (b"redis", b"lmdb", b"nginx", b"127.0.0.1",
                     str(gate.dir).encode(), scene.key.encode(),
                     str(gate.backend.port).encode()):
            assert word not in text.lower()


def test_rules_only_refuses_what_no_rule_names(gate):
    scene = gate.scene(api={"rules_only": True, "rules": [
        {"methods": ["GET"], "path": "/items/{id}", "metric": "hits",
         "cost": 1}]})
    assert scene.get("/items/7").status == 200
    for method, path in (("GET", "/items"), ("GET", "/items/7/more"),
                         ("POST", "/items/7"), ("GET", "/other")):
        reply = scene.request(method, path)
        assert (reply.status, reply.code) == (404, "no_rule"), path
    assert len(scene.seen()) == 1


def test_a_plan_can_allow_part_of_an_api(gate):
    name = "part"
    scene = gate.scene(name, plan={"apis": [
        {"api": name, "allow": [{"methods": ["GET", "HEAD"],
                                 "path": "/open/**"}]}]})
    assert scene.get("/open/x/y").status == 200
    assert scene.request("HEAD", "/open/x").status == 200
    for method, path in (("POST", "/open/x"), ("GET", "/closed"),
                         ("GET", "/openly")):
        reply = scene.request(method, path)
        assert (reply.status, reply.code) == (403, "not_in_plan"), path
    assert len(scene.seen()) == 2


def test_big_bodies_stream_both_ways(gate):
    scene = gate.scene()
    body = bytes(range(256)) * 16384                    # 4 MiB
    reply = scene.request("POST", "/up", body=body)
    assert reply.json()["length"] == len(body)
    reply = scene.get("/down", {"X-Behave": "size=20000000"})
    assert len(reply.body) == 20000000


def test_a_chunked_body_arrives_whole(gate):
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(raw.request("POST", scene.path + "/c", scene.headers(
            {"Transfer-Encoding": "chunked"})),
            b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n")
        assert c.read().status == 200
    assert scene.seen()[0].body == b"hello world"


def test_expect_100_continue(gate):
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(raw.request("POST", scene.path + "/e", scene.headers(
            {"Expect": "100-continue", "Content-Length": "4"})))
        assert c.read(interim=True).status == 100
        c.send(b"body")
        assert c.read().json()["length"] == 4


def test_a_refused_call_does_not_wait_for_its_body(gate):
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(raw.request("POST", scene.path + "/e", scene.headers(
            {"Expect": "100-continue", "Content-Length": "4"}, key="bad")))
        assert c.read().status == 401


def test_http_1_0_works(gate):
    scene = gate.scene()
    reply = gate.raw(b"GET %s/old HTTP/1.0\r\nX-API-Key: %s\r\n\r\n" % (
        scene.path.encode(), scene.key.encode()))
    assert reply.status == 200


def test_an_upgraded_connection_carries_both_ways(gate):
    scene = gate.scene()
    with gate.gate.client() as c:
        c.send(raw.request("GET", scene.path + "/ws", scene.headers(
            {"Connection": "Upgrade", "Upgrade": "websocket",
             "X-Behave": "upgrade=1"})))
        assert c.read().status == 101
        for word in (b"ping-one", b"ping-two"):
            c.send(word)
            assert c._take(len(word)) == word
    assert scene.seen()[0].all("X-Gatehouse-Application") == [scene.name]


def test_an_upgrade_without_a_key_is_refused(gate):
    scene = gate.scene()
    reply = gate.request("GET", scene.path + "/ws", [
        ("Upgrade", "websocket"), ("X-Behave", "upgrade=1")])
    assert reply.status == 401 and not scene.seen()


def test_tls_and_plain_serve_the_same(gate):
    scene = gate.scene()
    assert scene.get("/t", tls=True).status == 200
    with gate.gate.client(tls=True) as c:
        c.send(scene.bytes("/t1") + scene.bytes("/t2", key="bad"))
        assert [c.read().status, c.read().status] == [200, 401]


def test_connections_to_the_backend_are_kept(gate):
    scene = gate.scene()
    before = gate.backend.connections
    with gate.gate.client() as c:
        for _ in range(200):
            c.send(scene.bytes("/k"))
            assert c.read().status == 200
    assert gate.backend.connections - before <= 2


def test_a_kept_connection_that_turns_out_closed_costs_no_call(gate):
    """The one endpoint is asked again, on a connection of its own."""
    scene = gate.scene()
    for i in range(20):
        assert scene.get("/f%d" % i, {"X-Behave": "fresh=1"}).status == 200


def test_a_service_cannot_plant_a_login(gate):
    """Cookies with the names of ours are the gate's alone to set."""
    scene = gate.scene()
    for name in ("__Host-gatehouse", "__Secure-gatehouse-login-x"):
        reply = scene.get("/c", {"X-Behave": "header=Set-Cookie:%s=%s%%3B"
                                 " Path=/%%3B Secure" % (name, "a" * 43)})
        assert reply.status == 200
        assert name not in (reply.get("Set-Cookie") or "")
    reply = scene.get("/c", {"X-Behave": "header=Set-Cookie:own=1"})
    assert reply.get("Set-Cookie") == "own=1"


def test_a_service_cannot_send_the_gate_elsewhere(gate):
    other = gate.scene()
    scene = gate.scene()
    scene.get("/x", {"X-Behave": "header=X-Accel-Redirect:%s/secret"
                     % other.path})
    assert not [s for s in other.seen() if s.path.startswith(other.path)]


def test_the_backends_answer_is_passed_on(gate):
    scene = gate.scene()
    for status in (201, 404, 418, 500, 503):
        reply = scene.get("/s", {"X-Behave":
                                 "status=%d&header=X-Own:kept" % status})
        assert reply.status == status and reply.get("X-Own") == "kept"


@pytest.mark.parametrize("how", ["close=1", "cut=1"])
def test_a_backend_that_breaks_off_hurts_its_own_call_only(gate, how):
    scene = gate.scene()
    gate.expect("closed connection")
    if how == "close=1":
        reply = scene.get("/b", {"X-Behave": how})
        assert reply.status in (502, 503) and reply.code != "credential_invalid"
    else:
        with pytest.raises(raw.Broken):
            scene.get("/b", {"X-Behave": how})
    assert scene.get("/b").status == 200


def test_a_service_without_endpoint_is_503(gate):
    name = "gone"
    scene = gate.scene(name, more={"services": [
        {"name": "gone-service", "url": "http://127.0.0.1:1"}]},
        api={"service": "gone-service"})
    reply = scene.get()
    assert reply.status == 503
    assert reply.code == "service_unavailable"
    assert reply.get("Retry-After")
    assert gate.scene().get().status == 200


def test_a_call_is_explained_by_its_decision(gate):
    scene = gate.scene()
    decision = scene.get(key="wrong").json()["decision"]
    reply = gate.gate.internal("GET", "/decisions/" + decision)
    assert reply.status == 200
    assert reply.json()["code"] == "credential_invalid", reply
    assert gate.gate.internal("GET", "/decisions/" + "0" * 26).status == 404


def test_metrics_are_prometheus_text(gate):
    scene = gate.scene()
    scene.get()
    scene.get(key="wrong")
    reply = gate.gate.internal("GET", "/metrics")
    assert reply.status == 200
    line = re.compile(rb'(# .*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eE]+'
                      rb'|[a-zA-Z_:]+(\{.*\})? \+?Inf)?\Z')
    lines = reply.body.split(b"\n")
    assert len(lines) > 5
    for text in lines:
        assert line.match(text), text
    assert b"gatehouse_" in reply.body


def test_the_inside_is_not_served_to_clients(gate):
    for target in ("/status", "/metrics", "/decisions/" + "0" * 26,
                   "/gatehouse/internal/status", "/internal/status"):
        assert gate.request("GET", target).status in (404, 502, 503), target


PIPELINE = 40


def test_pipelined_calls_of_different_callers_keep_apart(gate):
    """Each answer and each identity header belongs to its caller."""
    scenes = [gate.scene() for _ in range(4)]
    apart = gate.scene(limits=[{"period": "day", "value": 0}])
    calls, want = [], []
    for i in range(PIPELINE):
        scene = scenes[i % 4]
        if i % 5 == 3:
            calls.append(scene.bytes("/n%d" % i, key="bad"))
            want.append((401, None))
        elif i % 7 == 5:
            calls.append(apart.bytes("/n%d" % i))
            want.append((403, None))
        else:
            body = b"b" * i if i % 2 else None
            calls.append(scene.bytes("/n%d" % i, body=body,
                                     method="POST" if body else "GET"))
            want.append((200, scene))
    with gate.gate.client() as c:
        c.send(b"".join(calls))
        replies = [c.read() for _ in calls]
    for i, (reply, (status, scene)) in enumerate(zip(replies, want)):
        assert reply.status == status, (i, reply)
        if scene:
            echo = reply.json()
            assert echo["target"] == "%s/n%d" % (scene.path, i)
            names = [v for n, v in echo["headers"]
                     if n.lower() == "x-gatehouse-application"]
            assert names == [scene.name]


def test_keys_are_in_no_log(gate):
    scene = gate.scene(api={"credentials": {"api_key": {
        "header": "X-API-Key", "query": "api_key", "cookie": "api_key"}}})
    gate.request("GET", scene.path + "/q?api_key=" + scene.key)
    gate.request("GET", scene.path + "/c", {"Cookie": "api_key=" + scene.key})
    scene.get("/h")
    wrong = "wr0ngkeywr0ngkeywr0ng"
    gate.request("GET", scene.path + "/q?api_key=" + wrong)
    scene.get(key=wrong)
    scene.get("/b", {"X-Behave": "close=1"})    # nginx logs the request
    scene.get("/b", {"X-Behave": "close=1",
                     "Referer": "http://h/page?api_key=" + scene.key})
    kept = gate.scene(api={"keep_credentials": True, "credentials": {
        "api_key": {"query": "api_key"}}})
    gate.request("GET", kept.path + "/k?api_key=" + kept.key,
                 {"X-Behave": "close=1"})
    assert kept.key in kept.seen()[0].target
    for path in gate.logs():
        text = path.read_text(errors="replace")
        assert scene.key not in text, path
        assert kept.key not in text, path
        assert wrong not in text, path
