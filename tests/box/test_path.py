# SPDX-License-Identifier: Apache-2.0
"""Path tricks: the path that is judged is the path that is forwarded.

`inside` is an API that the caller's plan does not hold, beneath one that it
does. However the path is written, the backend never sees one that some server
could read as `inside`.
"""
import posixpath
import re
import urllib.parse

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lib import raw


@pytest.fixture(scope="module")
def pair(shared_stack):
    outer = shared_stack.scene()
    inside = shared_stack.scene(api={"path": outer.path + "/inside"})
    return shared_stack, outer, inside


def lenient(target):
    """The path as the most careless server reads it."""
    path = re.split(r"[?#]", target, 1)[0]
    path = urllib.parse.unquote(path, "latin-1")
    path = re.split("[\0?#]", path, 1)[0].replace("\\", "/")
    path = "/".join(x.split(";")[0] for x in path.split("/"))
    return posixpath.normpath(re.sub("//+", "/", path))


AMBIGUOUS = [
    "/x/../inside/a", "/./inside", "/../x", "/..", "/.", "/x/.", "/x/..",
    "/%2e%2e/x", "/%2E%2e/x", "/.%2e/inside", "/%2e./inside", "/x/%2e%2e/inside",
    "/%2e/inside", "//inside", "///x", "/x//y", "/x%2fy",
    "/x%2Fy", "/%2finside", "/x%2f..%2finside", "/x%5cy", "/x%5C..%5cinside",
    "/x%00", "/inside%00.html", "/x;y", "/inside;x=1/a", "/..;/inside",
    "/%252e%252e/inside", "/%25%32%65%25%32%65/inside", "/%25%32e%252e/inside",
    "/%25%32%66inside", "/x%252f..%252finside", "/%252%65/inside", "/%25%32%35",
    "/x%25%35%63y", "/x%250%30", "/%25%37f",
    "/x/..;a=b/inside", "/;/inside", "/x;/y", "/%2e%2e%2finside",
]
OTHER = [
    "/x\\..\\inside", "\\inside", "/\\inside", "/x/..\\inside", "/%23/../inside",
    "/x%23y", "/%3b", "/x%3by", "/inside%3bx", "/inside%23", "/inside%3fx", "/%69nside", "/insid%65/a",
    "/%69%6e%73%69%64%65", "/INSIDE/../inside", "/inside%20", "/inside%09",
    "/inside.", "/inside/%2e%2e%2f..%2finside",
    "/x/%c0%ae%c0%ae/inside", "/%c0%afinside",
    "/%u002e%u002e/inside", "/x/.%00./inside", "/%", "/%2", "/%zz",
    "/%%32%65%%32%65/inside", "/x#/inside", "/#inside", "/..%c0%af/inside",
    "/x/..%01/inside", "/100%25", "/%25zz", "/\u2025/inside".encode().decode("latin-1"),
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(pair, path):
    gate, outer, inside = pair
    reply = outer.get(path)
    assert reply.status == 400, reply
    if reply.code:
        assert reply.code == "bad_path"
    assert not [s for s in gate.backend.seen(outer.path)
                if lenient(s.target).startswith(inside.path)]


@pytest.mark.parametrize("path", OTHER)
def test_a_trick_never_reaches_inside(pair, path):
    gate, outer, inside = pair
    before = gate.backend.count
    with gate.gate.client(timeout=5) as c:
        c.send(outer.bytes(path))
        reply = c.read()
    assert reply.status in (200, 400, 403, 404), reply
    news = list(gate.backend.requests)[before - gate.backend.count:] \
        if gate.backend.count > before else []
    for seen in news:
        read = lenient(seen.target)
        assert read.startswith(outer.path), seen
        assert not (read + "/").startswith(inside.path + "/"), seen


@pytest.mark.parametrize("path", [
    "/a%20b", "/%41", "/%C3%A9", "/a+b", "/~x", "/a:b@c!d$e&f'g(h)i*j,k=l",
    "/.hidden", "/a..b", "/...", "/x/", "/a-b_c", "/%7e",
    "/x?next=/../y;z//w%2f%00", "/?%2e%2e=//", "/x?", "/x?a?b"])
def test_an_honest_path_arrives_with_its_meaning(pair, path):
    gate, outer, _ = pair
    reply = outer.get(path)
    assert reply.status == 200, reply
    seen = reply.json()["target"]
    sent_path, _, sent_query = (outer.path + path).partition("?")
    seen_path, _, seen_query = seen.partition("?")
    assert urllib.parse.unquote(seen_path) == urllib.parse.unquote(sent_path)
    assert seen_query == sent_query


@pytest.mark.parametrize("name, path", [
    ("strip1", "/items/a%2fb"), ("strip2", "/items/../items/a"),
    ("strip3", "/%69tems/a"), ("strip4", "/items/a")])
def test_stripping_a_prefix_opens_no_other_way(gate, name, path):
    """With strip_prefix the remainder is judged and forwarded the same."""
    scene = gate.scene(name, api={"strip_prefix": True}, plan={"apis": [
        {"api": name, "allow": [{"methods": ["GET"],
                                 "path": "/items/{id}"}]}]})
    reply = scene.get(path)
    if reply.status == 200:
        assert lenient(reply.json()["target"]) == "/items/a"
    else:
        assert reply.status == 400 and "%69" not in path and path != "/items/a"


PIECES = st.sampled_from(
    ["/", "//", "\\", ".", "..", "%2e", "%2f", "%5c", "%00", ";", "%3b", "#",
     "%23", "?", "%3f", "inside", "%69nside", "x", "%25", "%", "%c0%ae", " ",
     "%20", "\t", "@", ":", "%0d%0a", "http:", "\x7f", "\xff"])


@given(st.lists(PIECES, min_size=1, max_size=9))
@example(["..", "/", "inside"])
@example(["x", "/", "..", ";", "/", "inside"])
@settings(max_examples=150, deadline=None, derandomize=True,
          suppress_health_check=list(HealthCheck))
def test_no_mixture_of_tricks_reaches_inside(pair, pieces):
    gate, outer, inside = pair
    before = gate.backend.count
    with gate.gate.client(timeout=5) as c:
        c.send(outer.bytes("/" + "".join(pieces)))
        try:
            status = c.read().status
        except raw.Broken:
            status = 0
    assert status < 500, status
    fresh = gate.backend.count - before
    for seen in list(gate.backend.requests)[-fresh:] if fresh else []:
        assert not seen.odd
        read = lenient(seen.target)
        assert read.startswith(outer.path), seen
        assert not (read + "/").startswith(inside.path + "/"), seen


NAMED = """
location /pub/ { try_files $uri @gate; }
location @gate { gatehouse on; proxy_pass http://services; }
"""


@pytest.mark.parametrize("path", [
    "/pub/admin/x%2f..%2f..%2fopen/y", "/pub/admin/../open/y",
    "/pub/open/..%2fadmin", "/pub/admin"])
def test_a_named_location_judges_what_it_forwards(stack, path):
    """nginx matches the decoded path there and forwards the raw one."""
    gate = stack(workers=1, server=NAMED)
    scene = gate.scene("named", api={"path": "/pub"}, plan={"apis": [
        {"api": "named", "allow": [{"path": "/open/**"}]}]})
    assert gate.request("GET", "/pub/open/y", scene.headers()).status == 200
    reply = gate.request("GET", path, scene.headers())
    assert reply.status in (400, 403), reply
    assert [s.target for s in scene.stack.backend.seen("/pub/")
            ] == ["/pub/open/y"]
