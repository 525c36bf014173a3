# SPDX-License-Identifier: Apache-2.0
"""Where nginx itself sends a request about: pages for errors, subrequests,
second tries; what `nginx -t` refuses; what the module shows of itself."""
import subprocess

import pytest

from lib.process import free_port, wait_for
from lib.stack import MODULE, Gate, sanitized

PAGES = """
location /own/ {
    gatehouse on;
    proxy_pass http://services;
    proxy_intercept_errors on;
    error_page 429 /gone.html;
    error_page 500 =200 /other;
}
location = /gone.html { return 200 "own page"; }
location /ssi/ { ssi on; ssi_types *; gatehouse on;
                 proxy_pass http://services; }
location /mirrored/ { mirror /guarded/mirror; proxy_pass @echo@; }
location /guarded/ { gatehouse on; proxy_pass http://services; }
location /first/ {
    gatehouse on;
    proxy_pass http://services;
    proxy_intercept_errors on;
    error_page 500 = /second/page;
    error_page 502 = /third/page;
}
location /second/ { internal; gatehouse on; proxy_pass http://services; }
location /third/ { internal; gatehouse on; gatehouse_api third;
                   proxy_pass http://services; }
location /told/ { gatehouse on; mirror /mirror; proxy_pass http://services; }
location /mirror { internal; log_subrequest on; proxy_pass @echo@/mirrored; }
location /asks/ { auth_request /guarded/; proxy_pass @echo@; }
location /open/ { proxy_pass @echo@; }
location /missing/ { error_page 404 /open/page; return 404; }
"""


@pytest.fixture(scope="module")
def inside(shared_stack):
    text = PAGES.replace("@echo@", shared_stack.echo_url)
    return shared_stack.add_gate(server=text, workers=1)


def test_an_administrators_page_stands_in_for_a_refusal(gate, inside):
    scene = gate.scene(api={"path": "/own"}, limits=[
        {"period": "day", "value": 1}])
    assert inside.request("GET", "/own/a", scene.headers()).status == 200
    reply = inside.request("GET", "/own/a", scene.headers())
    assert (reply.status, reply.body) == (429, b"own page")
    assert int(reply.get("Retry-After")) > 0
    assert "day" in reply.get("RateLimit")


def test_an_error_of_the_backend_is_charged_once(gate, inside):
    """Its page comes from the same API by an internal redirect."""
    scene = gate.scene(api={"path": "/own2", "hosts": ["*"]}, limits=[
        {"period": "day", "value": 100}])
    before = inside.request("GET", "/own2/a", scene.headers())
    reply = inside.request("GET", "/own2/b",
                           scene.headers({"X-Behave": "status=500"}))
    after = inside.request("GET", "/own2/c", scene.headers())
    assert reply.status in (200, 500)
    left = [int(x.get("RateLimit").split("r=")[1].split(";")[0])
            for x in (before, after)]
    assert left[0] - left[1] == 2


def test_identity_headers_do_not_reach_a_page_for_errors(gate, inside):
    inside.request("GET", "/missing/x", {"X-Gatehouse-User": "root",
                                         "Gatehouse-Over": "y"})
    seen = gate.backend.wait_seen("/open/page")
    assert seen and not any("gatehouse" in name.lower()
                            for name, _ in seen[-1].headers)


def test_the_second_backend_of_a_call_knows_who_calls(gate, inside):
    """error_page to another place of the same API."""
    scene = gate.scene(api={"path": "/first"})
    inside.request("GET", "/first/a", scene.headers({
        "X-Behave": "status=500", "X-Gatehouse-User": "root"}))
    first, second = gate.backend.wait_seen("/first/a")[-1], \
        gate.backend.wait_seen("/second/page")[-1]
    for seen in first, second:
        assert seen.all("X-Gatehouse-Application") == [scene.name]
        assert not seen.all("X-Gatehouse-User")
    assert first.all("X-Gatehouse-Decision") == \
        second.all("X-Gatehouse-Decision")


def test_another_api_is_not_told_of_the_first_ones_caller(gate, inside):
    """A page of another API, which everybody may see."""
    scene = gate.scene(api={"path": "/first/more"})
    other = gate.scene("third", key=False, api={
        "path": "/third", "credentials": {"anonymous": "third"}})
    inside.request("GET", "/first/more/a", scene.headers({"X-Behave": "status=502"}))
    seen = gate.backend.wait_seen("/third/page")[-1]
    assert seen.all("X-Gatehouse-Application") == [other.name], seen.headers
    assert len(seen.all("X-Gatehouse-Decision")) == 1


def test_a_logged_subrequest_is_no_call(gate, inside):
    scene = gate.scene(api={"path": "/told"})

    def decided():
        text = inside.internal("GET", "/metrics").body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith("gatehouse_requests_total"))
    before = decided()
    assert inside.request("GET", "/told/a", scene.headers()).status == 200
    assert gate.backend.wait_seen("/mirrored")
    inside.request("GET", "/told/b", scene.headers())
    wait_for("two are counted", lambda: decided() >= before + 2)
    assert decided() == before + 2


def test_a_subrequest_is_no_way_past_the_gate(gate, inside):
    scene = gate.scene(api={"path": "/guarded"})
    gate.expect("a subrequest into a gated location")
    for path in ("/mirrored/x", "/asks/x"):
        inside.request("GET", path, scene.headers())
        inside.request("GET", path)
    assert inside.request("GET", "/asks/x", scene.headers()).status == 403
    assert not gate.backend.seen("/guarded")
    assert inside.request("GET", "/guarded/x", scene.headers()).status == 200


@pytest.mark.parametrize("where, text, word", [
    ("server", 'location /r/ { gatehouse on; return 200 "x"; }', "return"),
    ("http", "upstream u { gatehouse_endpoints; server 127.0.0.1; }",
     "gatehouse_endpoints"),
    ("http", "upstream u { server 127.0.0.1; gatehouse_endpoints; }",
     "server"),
    ("server", "location /n/ { gatehouse on; gatehouse_api No/Name; }",
     "gatehouse_api"),
    ("server", "location /m/ { gatehouse maybe; }", "on or off"),
    ("http", "gatehouse_secret /dev/null;", "duplicate"),
    ("http", "gatehouse_redis cluster://a;", "duplicate"),
])
def test_nginx_t_says_what_is_wrong(gate, where, text, word):
    other = Gate(gate, **{where: text})
    status, said = other.check()
    other.error_log.unlink(missing_ok=True)
    assert status != 0, said
    assert word in said, said


@pytest.mark.parametrize("gone", [
    "gatehouse_catalog", "gatehouse_secret", "gatehouse_zone"])
def test_nginx_t_says_what_is_missing(gate, gone):
    other = Gate(gate)
    other.write()
    lines = [x for x in other.conf.read_text().splitlines()
             if not x.strip().startswith(gone)]
    other.conf.write_text("\n".join(lines))
    done = subprocess.run([str(x) for x in other.command("-t")],
                          env=other.environment(), capture_output=True,
                          text=True)
    other.error_log.unlink(missing_ok=True)
    assert done.returncode != 0
    assert gone in done.stderr, done.stderr


def test_nothing_but_nginx_tables_is_exported():
    done = subprocess.run(["nm", "-D", "--defined-only", MODULE],
                          capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in done.stdout.splitlines()}
    if sanitized():
        names = {n for n in names if "asan" not in n and "ubsan" not in n}
    assert names == {"ngx_http_gatehouse_module", "ngx_modules",
                     "ngx_module_names", "ngx_module_order"}


def test_a_dead_endpoint_is_stepped_over(gate):
    """proxy_next_upstream over the endpoints of the catalog."""
    dead = free_port()
    scene = gate.scene(more={"services": [
        {"name": "half", "url": "http://127.0.0.1:%d" % dead}]},
        api={"service": "half"})
    gate.expect("connect.. failed")
    assert scene.get("/x").status in (502, 503)
    scene.edit("api", service="echo")
    assert scene.get("/y").status == 200


def test_an_unknown_decision_is_404(gate):
    assert gate.gate.internal("GET", "/decisions/" + "0" * 26).status == 404
    assert gate.gate.internal("GET", "/decisions/../x").status in (400, 404)
    assert gate.gate.internal("DELETE", "/status").status == 405
    assert gate.gate.internal("GET", "/nothing").status == 404


def test_a_limit_for_ever_has_a_retry_after_that_clients_can_read(gate):
    scene = gate.scene(limits=[{"period": "ever", "value": 1}],
                       api={"classic_headers": True})
    assert scene.get().status == 200
    reply = scene.get()
    assert reply.status == 429
    assert 10**8 < int(reply.get("Retry-After")) < 2**31
    assert "t=" not in reply.get("RateLimit")
