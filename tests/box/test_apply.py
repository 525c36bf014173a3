# SPDX-License-Identifier: Apache-2.0
"""The admin's document through gatehouse-control: applied whole or not at all,
every fault told, what was acknowledged kept."""
import os
import pathlib
import random
import subprocess
import threading
import time

import pytest
import yaml

from lib.control import Control, Peer
from lib.process import wait_for
from lib.stack import Refused

GOOD = """\
gatehouse: 1
services:
  - name: back
    url: http://127.0.0.1:8081
  - name: many
    urls: ["http://[::1]:80", "unix:/run/x.sock"]
idps:
  - name: lemon
    issuer: http://127.0.0.1:19601/
    algs: [RS256, ES256]
    client_id: gatehouse
    origin: https://api.example.org
apis:
  - name: web
    hosts: [api.example.org]
    path: /web
    service: back
    credentials:
      api_key: {header: X-API-Key, query: key}
      jwt: [{idp: lemon, audience: web}]
      login: lemon
    metrics: [{name: search, parent: hits}]
    rules: [{methods: [GET], path: "/search/{q}", metric: search, cost: 2}]
    limits: [{period: second, value: 1000}]
plans:
  - name: basic
    apis: [web]
    limits:
      - {metric: hits, period: minute, value: 100}
      - {api: web, metric: search, period: day, value: 1000, mode: soft}
accounts:
  - name: acme
    description: |
      Two lines,
      "quoted": yes.
    labels: {tier: "1", on: "true"}
apps:
  - name: mobile
    account: acme
    plan: basic
    clients: [{idp: lemon, client_id: mobile-app}]
"""


@pytest.fixture
def control():
    with Control() as one:
        yield one


def refused(control, text):
    with pytest.raises(Refused) as e:
        control.apply(text)
    return e.value.reply


def many(n, state):
    """A document whose every application says the same `state`."""
    return yaml.safe_dump({
        "gatehouse": 1,
        "services": [{"name": "back", "url": "http://127.0.0.1:8081"}],
        "apis": [{"name": "web", "path": "/web", "service": "back"}],
        "plans": [{"name": "basic", "apis": ["web"]}],
        "accounts": [{"name": "acme"}],
        "apps": [{"name": "app-%d" % i, "account": "acme", "plan": "basic",
                  "state": state} for i in range(n)]})


def test_apply_makes_what_the_document_says(control):
    changes = control.apply(GOOD)["changes"]
    assert {(c["kind"], c["name"], c["change"]) for c in changes} == {
        ("service", "back", "add"), ("service", "many", "add"),
        ("idp", "lemon", "add"), ("api", "web", "add"),
        ("plan", "basic", "add"), ("account", "acme", "add"),
        ("app", "mobile", "add")}
    assert control.must("GET", "/v1/apps/mobile")["plan"] == "basic"


def test_apply_twice_changes_nothing(control):
    control.apply(GOOD)
    before = control.generation
    assert control.apply(GOOD)["changes"] == []
    assert control.generation == before


def test_every_fault_is_told_with_line_and_column(control):
    reply = refused(control, """\
gatehouse: 1
services: [{name: back, url: http://127.0.0.1:1}]
apis:
  - name: Web
    path: no-slash
    servcie: back
    service: bakc
plans:
  - name: basic
    apis: [web]
    limits: [{period: minuet, value: -1}]
""")
    assert reply.status == 422
    body = reply.json()
    assert reply.get("content-type") == "application/problem+json"
    places = {(f["line"], f["column"], f["path"]) for f in body["faults"]}
    assert {(4, 11, "apis[0].name"), (5, 11, "apis[0].path"),
            (6, 5, "apis[0].servcie"), (7, 14, "apis[0].service"),
            (10, 12, "plans[0].apis[0]"),
            (11, 23, "plans[0].limits[0].period"),
            (11, 38, "plans[0].limits[0].value")} <= places
    hints = {f["path"]: f.get("hint", "") for f in body["faults"]}
    assert '"service"' in hints["apis[0].servcie"]
    assert '"back"' in hints["apis[0].service"]
    assert '"minute"' in hints["plans[0].limits[0].period"]


@pytest.mark.parametrize("text", [
    "", "[]", "a: [", "gatehouse: 2\n", "gatehouse: 1\napps: *x\n",
    "gatehouse: 1\nxyz: []\n", "\x00", "[" * 1000,
    "gatehouse: 1\n---\ngatehouse: 1\n", b"\xff\xfe\x00g", "gatehouse: &a 1"])
def test_what_is_no_document_is_refused_and_changes_nothing(control, text):
    control.apply(GOOD)
    before = control.generation, control.export()
    assert refused(control, text).status == 422
    assert (control.generation, control.export()) == before


def test_one_fault_among_many_items_changes_nothing(control):
    control.apply(many(50, "live"))
    before = control.generation, control.export()
    document = yaml.safe_load(many(50, "suspended"))
    document["apps"][49]["plan"] = "none"
    assert refused(control, yaml.safe_dump(document)).status == 422
    assert (control.generation, control.export()) == before


def test_an_export_applies_as_a_no_op(control):
    control.apply(GOOD)
    text = control.export()
    assert control.must("POST", "/v1/document/diff", text)["changes"] == []
    assert control.apply(text)["changes"] == []
    with Control() as other:
        other.apply(text)
        assert other.export() == text


def test_a_document_may_be_json(control):
    document = yaml.safe_load(GOOD)
    document["accounts"][0]["description"] = "\U0001f600"
    changes = control.must("PUT", "/v1/document", document)["changes"]
    assert len(changes) == 7
    assert control.must("GET", "/v1/document?format=json")["accounts"][0][
        "description"] == "\U0001f600"
    assert control.apply(control.export())["changes"] == []
    reply = control.call("PUT", "/v1/document", {"gatehouse": 1, "apps": [
        {"name": "x", "account": "acme", "plan": "none"}]})
    assert reply.json()["faults"][0]["path"] == "apps[0].plan"


def test_kinds_not_named_stay_and_missing_items_go(control):
    control.apply(GOOD)
    changes = control.apply("gatehouse: 1\nservices:\n"
                            "  - {name: back, url: 'http://127.0.0.1:9'}\n"
                            )["changes"]
    assert [(c["name"], c["change"]) for c in changes] == [
        ("back", "change"), ("many", "remove")]
    assert control.call("GET", "/v1/apps/mobile").status == 200


def test_what_is_in_use_is_not_removed(control):
    control.apply(GOOD)
    reply = refused(control, "gatehouse: 1\nplans: []\n")
    fault = reply.json()["faults"][0]
    assert fault["path"] == "app.mobile.plan"
    assert "still in use" in fault["message"]


def test_a_diff_names_fields_and_changes_nothing(control):
    control.apply(GOOD)
    before = control.generation
    changes = control.must("POST", "/v1/document/diff", GOOD.replace(
        "value: 100}", "value: 200}"))["changes"]
    assert changes == [{"kind": "plan", "name": "basic", "change": "change",
                        "fields": [{"path": "limits[0].value", "from": 100,
                                    "to": 200}]}]
    assert control.generation == before


def test_a_document_made_of_an_older_state_is_refused(control):
    first = control.call("PUT", "/v1/document", GOOD)
    control.apply(many(1, "live"))
    reply = control.call("PUT", "/v1/document", GOOD,
                         {"If-Match": first.get("etag")})
    assert reply.status == 412


def test_it_survives_restart_and_kill(control):
    control.apply(GOOD)
    key = control.must("POST", "/v1/apps/mobile/keys", {"label": "x"})
    before = control.generation, control.export()
    control.restart()
    assert (control.generation, control.export()) == before
    control.process.kill()
    control.start()
    assert (control.generation, control.export()) == before
    assert [k["id"] for k in control.must("GET", "/v1/apps/mobile/keys")[
        "items"]] == [key["id"]]


def test_kill_in_the_middle_of_an_apply_leaves_old_or_new(control):
    documents = {s: many(2000, s) for s in ("live", "suspended")}
    control.apply(documents["live"])
    state, chance = "live", random.Random(7)
    killed_early = 0
    for _ in range(8):
        other = "suspended" if state == "live" else "live"
        acknowledged = []

        def send():
            try:
                acknowledged.append(control.apply(documents[other]))
            except Exception:
                pass
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(chance.uniform(0.0, 0.15))
        control.process.kill()
        thread.join()
        control.start()
        states = {a.get("state", "live") for a in
                  control.must("GET", "/v1/apps")["items"]}
        assert len(states) == 1, "half an apply"
        found = states.pop()
        assert found in (state, other)
        if acknowledged:
            assert found == other, "an acknowledged apply is lost"
        killed_early += not acknowledged
        state = found
    assert killed_early, "no kill came early enough to mean anything"


def test_a_full_catalog_says_so_and_changes_nothing():
    with Control("--map-size", "1m") as control:
        control.apply(GOOD)
        before = control.generation, control.export()
        reply = refused(control, many(5000, "live"))
        assert reply.status == 507
        assert "full" in reply.json()["detail"]
        assert (control.generation, control.export()) == before
        control.apply(GOOD.replace("value: 100}", "value: 200}"))
        control.restart()
        assert control.generation == before[0] + 1


def test_a_full_disk_says_so_and_changes_nothing():
    def mount(directory):
        path = directory / "catalog"
        owner = path.stat()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k,mode=2750,uid=%d,gid=%d"
             % (owner.st_uid, owner.st_gid), "tmpfs", path],
            capture_output=True, text=True)
        if done.returncode:
            pytest.skip("no tmpfs can be mounted: " + done.stderr.strip())

    control = Control(prepare=mount)
    try:
        with control:
            control.apply(GOOD)
            before = control.generation, control.export()
            reply = refused(control, many(3000, "live"))
            assert reply.status == 507, reply.body
            assert (control.generation, control.export()) == before
            control.restart()
            assert (control.generation, control.export()) == before
    finally:
        subprocess.run(["umount", "-l", control.dir / "catalog"], check=True)
        subprocess.run(["rm", "-rf", control.dir], check=True)


def test_only_one_control_writes_a_catalog(control):
    control.apply(GOOD)
    second = Control(start=False)
    second_dir, second.dir = second.dir, control.dir
    try:
        process = second.launch()
        wait_for("the second one gives up", lambda: not process.running)
        assert control.must("GET", "/v1/apps/mobile")["name"] == "mobile"
    finally:
        subprocess.run(["rm", "-rf", second_dir], check=True)


def test_faults_of_a_service_have_their_lines(control):
    reply = refused(control, """\
gatehouse: 1
services:
  - name: x
    compose:
      command: [/bin/true]
      privileged: true
      comand: [y]
apps: [{name: a, account: none, plan: none}]
""")
    places = {(f["line"], f["path"]) for f in reply.json()["faults"]}
    assert {(6, "services[0].compose.privileged"),
            (7, "services[0].compose.comand"), (8, "apps[0].account"),
            (8, "apps[0].plan")} == places
    assert control.call("GET", "/v1/services/x").status == 404


# ---- secrets

SECRET = "s3cret-%s" % os.getpid()
WITH_SECRET = GOOD.replace("client_id: gatehouse",
                           "client_id: gatehouse\n    client_secret: "
                           + SECRET)


def holds(directory, text):
    return [str(p) for p in pathlib.Path(directory).rglob("*")
            if p.is_file() and text.encode() in p.read_bytes()]


def test_a_client_secret_goes_to_idp_alone(control):
    with Peer(control.dir / "sock/idp.sock") as idp:
        control.apply(WITH_SECRET)
        assert ("PUT", "/internal/secret/lemon",
                SECRET.encode()) in idp.seen
    assert SECRET not in control.export()
    assert SECRET not in control.call("GET", "/v1/idps/lemon").body.decode()
    control.process.stop()
    assert holds(control.dir, SECRET) == []


def test_without_idp_a_secret_changes_nothing(control):
    control.apply(GOOD)
    before = control.generation
    reply = refused(control, WITH_SECRET.replace("value: 100}",
                                                 "value: 200}"))
    assert reply.status == 503
    assert reply.get("retry-after")
    assert "gatehouse-idp" in reply.json()["detail"]
    assert control.generation == before


def test_a_changed_secret_shows_in_a_diff_unseen(control):
    with Peer(control.dir / "sock/idp.sock"):
        control.apply(WITH_SECRET)
        same = control.must("POST", "/v1/document/diff", WITH_SECRET)
        other = control.call("POST", "/v1/document/diff",
                             WITH_SECRET.replace(SECRET, "another"))
    assert same["changes"] == []
    assert [c["name"] for c in other.json()["changes"]] == ["lemon"]
    assert b"client_secret" in other.body and b'"another"' not in other.body


def test_a_removed_provider_takes_its_secret_along(control):
    with Peer(control.dir / "sock/idp.sock") as idp:
        control.apply(WITH_SECRET)
        control.apply("""\
gatehouse: 1
idps: []
apis: [{name: web, service: back, path: /web}]
plans: [{name: basic, apis: [web]}]
apps: [{name: mobile, account: acme, plan: basic}]
""")
        assert ("DELETE", "/internal/secret/lemon", b"") in idp.seen


def test_a_secret_is_read_from_a_file_that_others_cannot(control):
    path = control.file("secret.txt", SECRET + "\n")
    text = GOOD.replace("client_id: gatehouse",
                        "client_id: gatehouse\n    client_secret_file: %s"
                        % path)
    with Peer(control.dir / "sock/idp.sock") as idp:
        os.chmod(path, 0o644)
        assert refused(control, text).status == 422
        os.chmod(path, 0o640)
        os.chown(path, 0, 61112)
        control.apply(text)
        assert idp.seen[-1] == ("PUT", "/internal/secret/lemon",
                                SECRET.encode())
