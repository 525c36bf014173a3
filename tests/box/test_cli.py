# SPDX-License-Identifier: Apache-2.0
"""The gatehouse command: what it prints, and what it exits with."""
import json
import os
import re
import subprocess

import pytest

from lib import clock
from lib.control import Control, Peer
from lib.stack import BUILD

OK, FAILED, DIFFERS, INVALID, UNREACHABLE = range(5)

BASE = """\
gatehouse: 1
services: [{name: back, url: "http://127.0.0.1:8081"}]
apis: [{name: web, path: /web, service: back}]
plans: [{name: basic, apis: [web], limits: [{period: minute, value: 10}]}]
accounts: [{name: acme}]
apps: [{name: mobile, account: acme, plan: basic}]
"""


@pytest.fixture(scope="module")
def shared():
    with Control() as one:
        yield one


@pytest.fixture
def control(shared):
    """One control for all: each test begins with the same catalog."""
    shared.apply("gatehouse: 1\n" + "".join(
        k + ": []\n" for k in ("services", "idps", "apis", "plans",
                               "accounts", "apps")))
    shared.apply(BASE)
    yield shared
    assert shared.process.running


def commands():
    done = subprocess.run([BUILD / "gatehouse", "help", "--markdown"],
                          capture_output=True, text=True, check=True)
    return [x.split() for x in re.findall(r"^## gatehouse (.+)$", done.stdout,
                                          re.M)]


# ---- documents

def test_apply_tells_what_changed(control):
    path = control.file("a.yaml", BASE.replace("value: 10", "value: 20")
                        + "  # the end\n")
    done = control.cli("apply", path)
    assert (done.returncode, done.stderr) == (OK, "")
    assert done.stdout == ("~ plan basic\n"
                           "0 added, 1 changed, 0 removed\n")
    assert control.cli("apply", path).stdout == "no change\n"


def test_apply_reads_standard_input(control):
    done = control.cli("apply", "-", text=BASE)
    assert (done.returncode, done.stdout) == (OK, "no change\n")


def test_a_fault_shows_file_line_column_and_a_caret(control):
    path = control.file("bad.yaml", BASE.replace("period: minute",
                                                 "period: minuet"))
    done = control.cli("apply", path)
    assert done.returncode == INVALID and done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("%s:4:54: plans[0].limits[0].period: " % path)
    source, caret = lines[1], lines[2]
    assert source.endswith(path.read_text().splitlines()[3])
    assert source[caret.index("^"):].startswith("minuet")
    assert lines[3] == '  try: did you mean "minute"?'
    assert "1 fault; nothing was changed" in lines[-1]


def test_diff_exits_with_2_when_something_differs(control):
    path = control.file("d.yaml", BASE.replace("value: 10", "value: 20"))
    done = control.cli("diff", path)
    assert done.returncode == DIFFERS
    assert "limits[0].value\n      - 10\n      + 20\n" in done.stdout
    assert control.cli("diff", control.file("s.yaml", BASE)).returncode == OK
    assert control.cli("diff", control.file("b.yaml", "x")).returncode == \
        INVALID


def test_check_judges_and_changes_nothing(control):
    before = control.generation
    path = control.file("c.yaml", BASE.replace("value: 10", "value: 20"))
    done = control.cli("check", path)
    assert done.returncode == OK and "1 changes" in done.stdout
    assert control.cli("check", text="gatehouse: 3").returncode == INVALID
    assert control.generation == before


def test_export_applies_as_a_no_op(control):
    text = control.cli("export").stdout
    assert control.cli("apply", "-", text=text).stdout == "no change\n"
    assert control.cli_json("export")["gatehouse"] == 1


# ---- items

def test_set_changes_single_fields(control):
    assert control.cli("app", "set", "mobile", "state=suspended",
                       "labels.team=blue").returncode == OK
    item = control.cli_json("app", "show", "mobile")
    assert item["state"] == "suspended" and item["labels"] == {"team": "blue"}
    assert control.cli("app", "set", "mobile", "state=",
                       "labels=").returncode == OK
    assert "state" not in control.cli_json("app", "show", "mobile")


def test_set_makes_what_is_not_there(control):
    done = control.cli("app", "set", "new", "account=acme", "plan=basic")
    assert (done.returncode, done.stdout) == (OK, "added app new\n")
    done = control.cli("plan", "set", "gold", "-",
                       text='{"apis": ["web"], "bounded_for": "1m"}')
    assert done.returncode == OK
    assert control.cli_json("plan", "show", "gold")["bounded_for"] == "1m"
    done = control.cli("api", "set", "two", 'hosts=["a.org","b.org"]',
                       "service=back", "classic_headers=true")
    assert done.returncode == OK
    assert control.cli_json("api", "show", "two")["hosts"] == ["a.org",
                                                               "b.org"]


def test_set_refuses_what_is_wrong(control):
    for args in (("app", "set", "x", "account=acme"),
                 ("app", "set", "x", "acount=acme", "plan=basic"),
                 ("app", "set", "BAD", "account=acme", "plan=basic"),
                 ("app", "set", "a/b", "account=acme"),
                 ("app", "set", "mobile", "/no/such/file"),
                 ("app", "set", "mobile", "state=dead")):
        done = control.cli(*args)
        assert done.returncode == INVALID, args
        assert done.stderr.startswith(("gatehouse: ", "plan", "acount",
                                       "name", "state", '"')), done.stderr


def test_lists_are_tables_or_json(control):
    lines = control.cli("app", "list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "ACCOUNT", "PLAN", "STATE"]
    assert lines[1].split() == ["mobile", "acme", "basic", "live"]
    assert [x["name"] for x in control.cli_json("app", "list")] == ["mobile"]
    assert "10 hits/minute" in control.cli("plan", "list").stdout
    empty = control.cli("idp", "list")
    assert (empty.returncode, empty.stdout, empty.stderr) == (OK, "",
                                                              "no idps\n")


def test_remove_names_who_still_uses_it(control):
    done = control.cli("plan", "remove", "basic")
    assert done.returncode == FAILED
    assert "app.mobile.plan" in done.stderr and "in use" in done.stderr
    done = control.cli("app", "remove", "mobile", "none")
    assert done.returncode == FAILED
    assert done.stdout == "removed app mobile\n"
    assert 'no app "none"' in done.stderr


# ---- services

def test_a_compose_file_is_registered_or_told_what_is_wrong(control):
    path = control.file("compose.yaml", """\
services:
  sleeper:
    command: [/bin/sleep, infinity]
    x-gatehouse: {listen: none}
""")
    done = control.cli("service", "register", path)
    assert (done.returncode, done.stdout) == (OK, "added service sleeper\n")
    assert control.cli("service", "register", path).stdout == "no change\n"
    text = control.cli("export").stdout
    assert control.cli("apply", "-", text=text).stdout == "no change\n"
    plan = control.cli("service", "explain", "sleeper")
    assert plan.returncode == OK and "namespaces" in plan.stdout
    bad = control.file("bad-compose.yaml", path.read_text().replace(
        "command:", "comand:") + "    privileged: true\n")
    done = control.cli("service", "register", bad)
    assert done.returncode == INVALID
    assert "%s:3:5: services.sleeper.comand" % bad in done.stderr
    assert "%s:5:5: services.sleeper.privileged" % bad in done.stderr
    assert control.cli("service", "register", control.file(
        "doc.yaml", BASE)).returncode == INVALID
    done = control.cli("service", "remove", "sleeper", "--volumes")
    assert (done.returncode, done.stdout) == (OK, "removed service sleeper\n")


def test_a_plain_upstream_has_no_logs(control):
    done = control.cli("service", "logs", "back")
    assert done.returncode == FAILED and "plain upstream" in done.stderr


# ---- keys

def test_key_life(control):
    done = control.cli("key", "create", "mobile", "--label", "phone",
                       "--expires", "90d")
    key = done.stdout.strip()
    assert done.returncode == OK and key.startswith("gh_")
    assert "shown once" in done.stderr and key not in done.stderr
    ident = re.search(r"key (\w{12}) ", done.stderr)[1]
    row = control.cli("key", "list", "mobile").stdout.splitlines()[1].split()
    assert row[0] == ident and row[2:5] == ["live", "key", "phone"]
    rotated = control.cli("key", "rotate", "mobile", ident, "--overlap=1h",
                          "-q")
    assert rotated.stdout.strip() not in ("", key)
    done = control.cli("key", "revoke", "mobile", ident)
    assert done.returncode == OK
    assert control.cli("key", "revoke", "mobile", "none").returncode == FAILED
    assert control.cli("key", "create", "none").returncode == FAILED
    assert control.cli("key", "create", "mobile", "--expires",
                       "soon").returncode == INVALID


def test_quiet_and_json_keys(control):
    quiet = control.cli("key", "create", "mobile", "--quiet")
    assert re.fullmatch(r"gh_\S+\n", quiet.stdout) and quiet.stderr == ""
    made = control.cli_json("key", "create", "mobile", "--with-id")
    assert made["kind"] == "id_key" and made["key"].startswith("gh_")


# ---- the rest

def test_status_and_doctor(control):
    done = control.cli("status")
    assert done.returncode == OK
    assert re.search(r"^gate +down", done.stdout, re.M)
    done = control.cli("doctor")
    assert done.returncode == FAILED and "try: " in done.stdout


def test_explain_tells_the_story(control):
    key = control.cli_json("key", "create", "mobile", "--label", "phone")
    story = {"decision": "0" * 26, "time_ms": 1767323045678, "status": 429,
             "code": "quota_exceeded", "method": "GET", "path": "/web/x",
             "client": "127.0.0.1", "api": "web", "application": "mobile",
             "account": "acme", "plan": "basic", "credential": key["id"],
             "credential_kind": "api_key",
             "limits": [{"name": "hits-minute", "value": 10, "remaining": 0,
                         "reset_ms": 17500, "cost": 1, "refused": True}]}
    with Peer(control.dir / "sock/gate.sock",
              lambda m, p, b: (200, story) if p.endswith("0" * 26)
              else (404, {})):
        done = control.cli("explain", "0" * 26)
        assert done.returncode == OK
        for text in ("GET /web/x", "429 quota_exceeded", "mobile", '"phone"',
                     "hits-minute: 0 of 10 left", "come back in 18 s",
                     "raise the limit"):
            assert text in done.stdout, done.stdout
        assert control.cli("explain", "1" * 26).returncode == FAILED
    assert control.cli("explain", "short").returncode == INVALID
    assert control.cli("explain", "0" * 26).returncode == FAILED


def test_explain_of_a_real_refusal(gate):
    """Through the gate's own memory, not a stand-in."""
    clock.room("minute", 5)
    scene = gate.scene(limits=[{"period": "minute", "value": 1}])
    assert scene.get("/a").status == 200
    refused = scene.get("/b")
    assert refused.status == 429
    nobody = scene.get("/c", key="gh_wrong")

    def explain(reply, *more):
        return subprocess.run(
            [BUILD / "gatehouse", "--dir", gate.dir, "explain",
             reply.json()["decision"], *more], capture_output=True, text=True,
            timeout=20)
    done = explain(refused)
    assert done.returncode == OK, done.stderr
    for text in ("GET ", "/b", "429 quota_exceeded", scene.name, "0 of 1 left",
                 "come back in", "known by"):
        assert text in done.stdout, done.stdout
    assert scene.key not in done.stdout
    done = explain(nobody)
    assert "401 credential_invalid" in done.stdout
    assert json.loads(explain(refused, "-o", "json").stdout)["key"][
        "state"] == "live"
    doctor = subprocess.run([BUILD / "gatehouse", "--dir", gate.dir, "doctor"],
                            capture_output=True, text=True, timeout=20)
    assert re.search("^ok +gate +up", doctor.stdout, re.M), doctor.stdout
    assert "it reads generation" not in doctor.stdout


def test_what_a_stranger_wrote_cannot_move_the_cursor(control):
    with Peer(control.dir / "sock/gate.sock",
              lambda m, p, b: (404, {"x": "\x1b[2J"})):
        assert "\x1b" not in control.cli("explain", "1" * 26).stderr
    path = control.file("esc.yaml", BASE + "x: \"\\e[2J\"\n# \x1b[31m\n")
    assert "\x1b" not in control.cli("apply", path).stderr


def test_unreachable_is_4_and_says_what_to_try(tmp_path):
    for args in (("status",), ("apply", "-"), ("app", "list"),
                 ("key", "create", "x")):
        done = subprocess.run([BUILD / "gatehouse", "--dir", tmp_path, *args],
                              input="gatehouse: 1\n", capture_output=True,
                              text=True, timeout=20)
        assert done.returncode == UNREACHABLE
        assert "try: gatehouse --dir %s up" % tmp_path in done.stderr


def test_down_of_what_is_not_up_is_fine(tmp_path):
    (tmp_path / "gatehoused.pid").write_text("%d\n" % os.getpid())
    done = subprocess.run([BUILD / "gatehouse", "--dir", tmp_path, "down"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == OK and "not up" in done.stdout


@pytest.mark.parametrize("args, says", [
    (["frobnicate"], "unknown command"), (["app"], "Usage"),
    (["app", "lst"], "unknown command"), (["apply"], "argument is missing"),
    (["status", "x"], "too many"), (["status", "--nope"], "unknown option"),
    (["-o", "xml", "status"], "no output format"),
    (["key", "create", "a", "--label"], "needs a TEXT")])
def test_wrong_words_are_3(control, args, says):
    done = control.cli(*args)
    assert done.returncode == INVALID
    assert says in done.stderr + done.stdout


def test_options_may_stand_anywhere(control):
    for args in (["-o", "json", "app", "list"], ["app", "-ojson", "list"],
                 ["app", "list", "--output=json"],
                 ["--dir", control.dir, "app", "list", "-o", "json"]):
        assert json.loads(control.cli(*args).stdout)[0]["name"] == "mobile"


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_its_page(command):
    for args in ([*command, "--help"], ["help", *command]):
        done = subprocess.run([BUILD / "gatehouse", *args],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == OK
        for part in ("NAME\n", "SYNOPSIS\n", "OPTIONS\n", "EXIT STATUS\n",
                     "EXAMPLES\n", "gatehouse " + " ".join(command)):
            assert part in done.stdout


def test_examples_of_the_pages_are_understood():
    """Each begins with a command of the table; its words parse."""
    known = {" ".join(c) for c in commands()}
    for command in commands():
        page = subprocess.run([BUILD / "gatehouse", "help", *command],
                              capture_output=True, text=True).stdout
        for line in page.split("EXAMPLES\n")[1].splitlines():
            for call in re.findall(r"gatehouse ((?:[a-z]+ ?)+)", line):
                words = call.split()
                assert " ".join(words[:2]) in known or words[0] in known, line


def test_completion_is_bash(tmp_path):
    script = subprocess.run([BUILD / "gatehouse", "completion"],
                            capture_output=True, text=True, check=True).stdout
    done = subprocess.run(
        ["bash", "-c", script + "\nCOMP_WORDS=(gatehouse key cr);"
         "COMP_CWORD=2; _gatehouse; echo ${COMPREPLY[@]}"],
        capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "create\n")


def test_the_reference_page_comes_from_the_tables():
    page = subprocess.run([BUILD / "gatehouse-control", "--reference"],
                          capture_output=True, text=True, check=True).stdout
    for text in ("## apis", "## plans", "`limits[].period`",
                 "`credentials.jwt[].audience`", "second, minute"):
        assert text in page
    assert subprocess.run([BUILD / "gatehouse-control", "--help"],
                          capture_output=True).returncode == 0
    assert subprocess.run([BUILD / "gatehouse-control", "--nope"],
                          capture_output=True).returncode == 3
