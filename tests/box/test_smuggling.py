# SPDX-License-Identifier: Apache-2.0
"""Request smuggling: gate and backend never read two different requests.

Whatever the gate answers, the backend sees only requests a strict reader takes
(`odd` is empty), and never the inner request that an attack hides.
"""
import pytest

from lib import raw

HIDDEN = b"GET /hidden/%s HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def framing(*lines, body=b""):
    """Header lines about the body's length, and what follows the head."""
    return b"".join(lines), body


def smuggle(inner):
    """A body that ends early for whom chunks count, late by the length."""
    return b"0\r\n\r\n" + inner


def attacks(inner):
    n = len(smuggle(inner))
    length = b"Content-Length: %d\r\n" % n
    short = b"Content-Length: 5\r\n"
    return {
        "CL.TE": framing(length, CHUNKED, body=smuggle(inner)),
        "TE.CL": framing(CHUNKED, short, body=smuggle(inner)),
        "length twice, different": framing(
            short, length, body=smuggle(inner)),
        "length twice, alike": framing(length, length, body=smuggle(inner)),
        "length list": framing(b"Content-Length: 5, 5\r\n", body=b"0\r\n\r\n"
                               + inner),
        "length with sign": framing(b"Content-Length: +5\r\n",
                                    body=b"0\r\n\r\n" + inner),
        "length negative": framing(b"Content-Length: -5\r\n", body=inner),
        "length in hex": framing(b"Content-Length: 0x5\r\n",
                                 body=b"0\r\n\r\n" + inner),
        "length with underscore": framing(b"Content-Length: 1_0\r\n",
                                          body=b"0\r\n\r\n" + inner),
        "length empty": framing(b"Content-Length:\r\n", body=inner),
        "length too big": framing(
            b"Content-Length: 18446744073709551621\r\n", body=b"0\r\n\r\n"
            + inner),
        "length, space before colon": framing(
            b"Content-Length : 5\r\n", body=b"0\r\n\r\n" + inner),
        "coding, space before colon": framing(
            length, b"Transfer-Encoding : chunked\r\n", body=smuggle(inner)),
        "coding, tab after colon": framing(
            length, b"Transfer-Encoding:\tchunked\r\n", body=smuggle(inner)),
        "coding, vertical tab": framing(
            length, b"Transfer-Encoding: \x0bchunked\r\n",
            body=smuggle(inner)),
        "coding folded": framing(
            length, b"Transfer-Encoding:\r\n chunked\r\n",
            body=smuggle(inner)),
        "coding folded after identity": framing(
            length, b"Transfer-Encoding: identity\r\n , chunked\r\n",
            body=smuggle(inner)),
        "coding quoted": framing(
            length, b'Transfer-Encoding: "chunked"\r\n', body=smuggle(inner)),
        "coding twice": framing(
            CHUNKED, b"Transfer-Encoding: identity\r\n",
            body=smuggle(inner)),
        "coding chunked, then unknown": framing(
            b"Transfer-Encoding: chunked, cow\r\n", body=smuggle(inner)),
        "coding unknown, then chunked": framing(
            b"Transfer-Encoding: xchunked\r\n", length,
            body=smuggle(inner)),
        "coding identity": framing(
            b"Transfer-Encoding: identity\r\n", short, body=b"0\r\n\r\n"
            + inner),
        "coding with underscore": framing(
            length, b"Transfer_Encoding: chunked\r\n", body=smuggle(inner)),
        "coding after a bare CR": framing(
            length, b"X: y\rTransfer-Encoding: chunked\r\n",
            body=smuggle(inner)),
        "coding after a bare LF": framing(
            length, b"X: y\nTransfer-Encoding: chunked\r\n",
            body=smuggle(inner)),
        "coding after NUL": framing(
            length, b"X: y\0Transfer-Encoding: chunked\r\n",
            body=smuggle(inner)),
        "chunk size with sign": framing(
            CHUNKED, body=b"+5\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk size with 0x": framing(
            CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk size with space": framing(
            CHUNKED, body=b" 5\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk size overflows": framing(
            CHUNKED, body=b"10000000000000005\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk size negative": framing(
            CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk size ends in LF": framing(
            CHUNKED, body=b"5\nhello\r\n0\r\n\r\n" + inner),
        "chunk longer than its size": framing(
            CHUNKED, body=b"5\r\nhelloXX\r\n0\r\n\r\n" + inner),
        "chunk extension with LF": framing(
            CHUNKED, body=b"5;a=\nb\r\nhello\r\n0\r\n\r\n" + inner),
        "chunk extension long": framing(
            CHUNKED, body=b"5;" + b"a" * 60000 + b"\r\nhello\r\n0\r\n\r\n"
            + inner),
        "last chunk without its end": framing(
            CHUNKED, body=b"5\r\nhello\r\n0\r\n" + inner),
        "trailer with an identity": framing(
            CHUNKED, body=b"5\r\nhello\r\n0\r\nX-Gatehouse-Plan: gold\r\n"
            b"Content-Length: 50\r\n\r\n" + inner),
        "length beside upgrade": framing(
            length, b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n", body=smuggle(inner)),
    }


@pytest.mark.parametrize("name", attacks(b""))
def test_nothing_is_smuggled(gate, name):
    scene = gate.scene()
    mark = scene.name + "-inner"
    inner = HIDDEN % mark.encode()
    lines, body = attacks(inner)[name]
    data = (b"POST %s/outer HTTP/1.1\r\nHost: x\r\nX-API-Key: %s\r\n" % (
        scene.path.encode(), scene.key.encode()) + lines + b"\r\n" + body)
    with gate.gate.client(timeout=3) as c:
        c.send(data)
        c.finish_sending()
        replies = c.read_until_closed()
    # the backend is asked again by others: nothing was left in its pipe
    for i in range(3):
        assert scene.get("/after%d" % i).status == 200
    seen = gate.backend.seen(scene.name)
    assert all(not s.odd for s in seen), [(s, s.odd) for s in seen]
    assert not [s for s in seen if s.target.startswith("/hidden")]
    outer = [s for s in seen if s.path == scene.path + "/outer"]
    afters = [s for s in seen if "/after" in s.target]
    assert len(outer) <= 1 and len(afters) == 3
    for s in outer:
        assert s.all("X-Gatehouse-Plan") == [scene.name]
    # the hidden request, read as the next one, has no key: never a 200
    assert [r.status for r in replies].count(200) <= 1
    assert all(r.status < 500 or r.status == 501 for r in replies), replies


@pytest.mark.parametrize("name, line", [
    ("no version", b"GET %s/x\r\n\r\n"),
    ("no version, with headers", b"GET %s/x\r\nX-API-Key: %s\r\n\r\n"),
    ("HTTP/0.9 spelled", b"GET %s/x HTTP/0.9\r\nX-API-Key: %s\r\n\r\n"),
    ("HTTP/2.0 spelled", b"GET %s/x HTTP/2.0\r\nX-API-Key: %s\r\n\r\n"),
    ("lower case", b"GET %s/x http/1.1\r\nHost: x\r\nX-API-Key: %s\r\n\r\n"),
    ("junk behind", b"GET %s/x HTTP/1.1 x\r\nHost: x\r\nX-API-Key: %s\r\n\r\n"),
    ("method with colon", b"GE:T %s/x HTTP/1.1\r\nHost: x\r\nX-API-Key: %s"
                          b"\r\n\r\n"),
    ("no host", b"GET %s/x HTTP/1.1\r\nX-API-Key: %s\r\n\r\n"),
    ("two hosts", b"GET %s/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n"
                  b"X-API-Key: %s\r\n\r\n"),
    ("host with path", b"GET %s/x HTTP/1.1\r\nHost: a/b\r\nX-API-Key: %s"
                       b"\r\n\r\n"),
])
def test_an_odd_request_line_is_refused(gate, name, line):
    """HTTP/0.9 and its relatives never reach a backend, or only as HTTP/1."""
    scene = gate.scene()
    if line.count(b"%s") == 2:
        line = line % (scene.path.encode(), scene.key.encode())
    else:
        line = line % scene.path.encode()
    with gate.gate.client(timeout=3) as c:
        c.send(line)
        c.finish_sending()
        replies = c.read_until_closed()
    for reply in replies:
        assert reply.version is None or reply.status in (400, 404, 405, 505)
        assert b'"target"' not in reply.body, "an answer of the backend"
    assert not scene.seen()


@pytest.mark.parametrize("name, tail", [
    ("header without colon", b"Nonsense\r\n"),
    ("header with a space inside", b"X Y: z\r\n"),
    ("empty name", b": z\r\n"),
    ("folded header", b"X-A: b\r\n c\r\n"),
    ("folded first", b" X-A: b\r\n"),
    ("control in value", b"X-A: b\x01c\r\n"),
    ("NUL in value", b"X-A: b\0c\r\n"),
    ("NUL in name", b"X\0-A: b\r\n"),
    ("DEL in name", b"X\x7f-A: b\r\n"),
    ("high bytes in name", b"X\xff-A: b\r\n"),
    ("bare CR in value", b"X-A: b\rX-Gatehouse-Plan: gold\r\n"),
    ("bare LF line ends", b"X-A: b\nX-Gatehouse-Plan: gold\n"),
])
def test_odd_headers_do_not_reach_the_backend_as_they_are(gate, name, tail):
    scene = gate.scene()
    with gate.gate.client(timeout=3) as c:
        c.send(scene.bytes("/odd")[:-2] + tail + b"\r\n")
        c.finish_sending()
        c.read_until_closed()
    for seen in scene.seen():
        assert not seen.odd, seen.odd
        assert seen.all("X-Gatehouse-Plan") == [scene.name]
        assert b"\0" not in seen.head


def test_a_second_request_in_the_body_belongs_to_the_body(gate):
    scene = gate.scene()
    other = gate.scene()
    inner = other.bytes("/stolen")
    with gate.gate.client() as c:
        c.send(scene.bytes("/post", method="POST", body=inner))
        assert c.read().json()["length"] == len(inner)
        c.send(scene.bytes("/next"))
        assert c.read().status == 200
    assert not other.seen()


def test_absolute_targets_are_judged_by_their_own_host(gate):
    """RFC 9112, 3.2.2: the target's host counts, not the Host header."""
    scene = gate.scene(api={"hosts": ["inner.example"]})
    data = (b"GET http://inner.example%s/abs HTTP/1.1\r\nHost: outer\r\n"
            b"X-API-Key: %s\r\n\r\n" % (scene.path.encode(),
                                        scene.key.encode()))
    with gate.gate.client(timeout=5) as c:
        c.send(data)
        reply = c.read()
    for seen in scene.seen():
        assert "outer" not in seen.get("Host", "")
        assert "outer" not in seen.target
    assert reply.status in (200, 400)
