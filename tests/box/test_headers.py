# SPDX-License-Identifier: Apache-2.0
"""Identity headers: what a client says of itself never reaches the backend."""
import pytest

from lib import raw

OURS = ["Account", "Application", "Plan", "User", "Decision", "Over",
        "Anything-New"]
FORGED = "forged-by-client"


def spellings():
    for name in OURS:
        full = "X-Gatehouse-" + name
        yield full
        yield full.lower()
        yield full.upper()
        yield full.swapcase()
        yield full.replace("-", "_")
        yield full.replace("-", ".")
        yield "X_Gatehouse-" + name
        yield "X-Gatehouse_" + name
    yield "X-Gatehouse"
    yield "X-User-Email"
    yield "x-user-email"
    yield "X_User_Email"
    yield "X-User_Email"
    yield "X.User.Email"


def odd_lines():
    """Header lines that some server may read as one of ours."""
    for name in ("X-Gatehouse-Plan", "X-User-Email"):
        b = name.encode()
        yield b + b" : " + FORGED.encode()
        yield b + b"\t: " + FORGED.encode()
        yield b" " + b + b": " + FORGED.encode()
        yield b + b"\0: " + FORGED.encode()
        yield b + b"\xa0: " + FORGED.encode()
        yield b"A: b\r" + b + b": " + FORGED.encode()
        yield b"A: b\n" + b + b": " + FORGED.encode()
        yield b"A: b\r\n " + b + b": " + FORGED.encode()


@pytest.fixture(scope="module")
def api(shared_stack):
    # a JWT source gives the API its claim header
    return shared_stack.scene(
        more={"idps": [{"name": "forge-idp", "issuer": "https://idp.test/",
                        "algs": ["RS256"]}]},
        api={"credentials": {"api_key": {"header": "X-API-Key"},
                             "jwt": [{"idp": "forge-idp",
                                      "audience": "x"}]},
             "claim_headers": {"email": "X-User-Email"}})


@pytest.fixture(scope="module")
def public(shared_stack):
    name = "publicapp"
    return shared_stack.scene(name, key=False, api={
        "credentials": {"api_key": {"header": "X-API-Key"},
                        "anonymous": name},
        "claim_headers": {"email": "X-User-Email"}})


def no_forgery(seen):
    assert FORGED not in seen.head.decode("latin-1"), seen.head


@pytest.mark.parametrize("name", spellings())
def test_a_spoofed_identity_header_is_removed(api, name):
    reply = api.get("/spoof", [(name, FORGED)])
    assert reply.status == 200
    seen = api.seen()[-1]
    no_forgery(seen)
    for ours in ("Account", "Application", "Plan"):
        assert seen.all("X-Gatehouse-" + ours) == [api.name]
    assert len(seen.all("X-Gatehouse-Decision")) == 1
    assert not seen.all("X-User-Email")


@pytest.mark.parametrize("where", ["public", "options", "upgrade",
                                   "head", "post", "tls"])
def test_they_are_removed_on_every_way_in(gate, api, public, where):
    forged = [(n, FORGED) for n in ("X-Gatehouse-User", "X-Gatehouse-Plan",
                                    "x-gatehouse-account", "X-User-Email",
                                    "X-Gatehouse-Over")]
    scene = public if where == "public" else api
    method = {"options": "OPTIONS", "head": "HEAD", "post": "POST"}.get(
        where, "GET")
    if where == "upgrade":
        with gate.gate.client() as c:
            c.send(raw.request("GET", scene.path + "/u", scene.headers(
                forged + [("Connection", "Upgrade"),
                          ("Upgrade", "websocket"),
                          ("X-Behave", "upgrade=1")])))
            assert c.read().status == 101
    else:
        reply = scene.request(method, "/u", forged, tls=where == "tls",
                              body=b"x" if where == "post" else None)
        assert reply.status == 200
    seen = scene.seen()[-1]
    no_forgery(seen)
    assert seen.all("X-Gatehouse-Plan") == [scene.name]


def test_doubled_headers_leave_one_true_value(api):
    assert api.get("/d", [("X-Gatehouse-Plan", FORGED)] * 3
                   + [("x-gatehouse-plan", "gold")]).status == 200
    seen = api.seen()[-1]
    no_forgery(seen)
    assert seen.all("X-Gatehouse-Plan") == [api.name]


def test_connection_cannot_take_an_identity_header_away(gate, api):
    with gate.gate.client() as c:
        c.send(raw.request("GET", api.path + "/con", api.headers([
            ("Connection", "close, X-Gatehouse-Plan, X-Gatehouse-Account"),
            ("X-Gatehouse-Plan", FORGED)])))
        assert c.read().status == 200
    seen = api.seen()[-1]
    no_forgery(seen)
    assert seen.all("X-Gatehouse-Plan") == [api.name]
    assert "x-gatehouse" not in (seen.get("Connection") or "").lower()


@pytest.mark.parametrize("line", odd_lines())
def test_a_malformed_identity_header_never_arrives(gate, api, line):
    with gate.gate.client(timeout=5) as c:
        c.send(api.bytes("/odd")[:-2] + line + b"\r\n\r\n")
        c.finish_sending()
        c.read_until_closed()
    for seen in api.seen():
        assert not seen.odd
        assert seen.all("X-Gatehouse-Plan") == [api.name]
        lower = seen.head.lower()
        for name in (b"x-gatehouse-plan: " + FORGED.encode(),
                     b"x-user-email"):
            assert name not in lower, seen.head


def test_a_trailer_is_no_header(gate, api):
    with gate.gate.client() as c:
        c.send(raw.request("POST", api.path + "/tr", api.headers(
            {"Transfer-Encoding": "chunked", "Trailer": "X-Gatehouse-Plan"})),
            b"2\r\nhi\r\n0\r\nX-Gatehouse-Plan: %s\r\n\r\n" % FORGED.encode())
        assert c.read().status in (200, 400)
    for seen in api.seen():
        no_forgery(seen)


@pytest.mark.parametrize("name, value", [
    ("X-Forwarded-For", "10.9.8.7"), ("X-Real-IP", "10.9.8.7"),
    ("Forwarded", "for=10.9.8.7;host=evil;proto=https"),
    ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "gopher"),
    ("X-Original-URL", "/10.9.8.7"), ("X-Rewrite-URL", "/10.9.8.7")])
def test_what_an_untrusted_peer_claims_about_its_way_is_replaced(
        api, name, value):
    assert api.get("/fwd", [(name, value)]).status == 200
    seen = api.seen()[-1]
    text = seen.head.decode("latin-1")
    for word in ("10.9.8.7", "evil", "gopher"):
        assert word not in text, text


def test_a_refused_call_gets_no_identity_back(api):
    reply = api.get("/x", [("X-Gatehouse-Plan", FORGED)], key="bad")
    assert reply.status == 401
    assert FORGED.encode() not in reply.head + reply.body


def test_the_application_does_not_reach_the_client(api):
    """Identity headers are for backends; answers do not carry them."""
    reply = api.get("/x")
    assert not [n for n, _ in reply.headers
                if n.lower().startswith("x-gatehouse-")]
