# SPDX-License-Identifier: Apache-2.0
"""What `make run` shows: real calls, and what must come back. Each function is
one step of the story: it says what it did and raises Problem when an answer is
not what the product promises."""
import base64
import html.parser
import json
import os
import signal
import urllib.parse

import yaml

from demo_stage import read
from demo_talk import Problem, expect, until

DEMO_USER = DEMO_PASSWORD = "dwho"  # LemonLDAP::NG's own demonstration user
APP, SMALL_APP = "mobile", "trial"
SERVICES = ("redis", "httpbin", "lemon", "prometheus", "intruder")
KEY_LABEL = "make-run"


def apply(stage, say):
    """The demo's document, put beside what a person added."""
    path = str(stage.dir / "gatehouse.yaml")
    stage.gatehouse("check", path)
    mine = yaml.safe_load(stage.gatehouse("export")) or {}
    theirs = yaml.safe_load((stage.dir / "gatehouse.yaml").read_text())
    for kind, items in theirs.items():
        if isinstance(items, list):
            named = {item["name"] for item in items}
            items += [item for item in mine.get(kind) or []
                      if item["name"] not in named]
    out = stage.gatehouse("apply", "-", text=json.dumps(theirs))
    stage.keys = {app: fresh_key(stage, app) for app in (APP, SMALL_APP)}
    return out.strip().splitlines()[-1] if out.strip() else ""


def fresh_key(stage, app):
    """A new key; those of earlier runs are revoked."""
    for key in stage.ask("key", "list", app):
        if key.get("label") == KEY_LABEL and not key.get("revoked"):
            stage.gatehouse("key", "revoke", app, key["id"])
    return stage.ask("key", "create", app, "--label", KEY_LABEL)["key"]


def services(stage, say):
    for name in SERVICES:
        if name != "intruder":
            stage.service_up(name)
    return ", ".join(SERVICES)


def gate_open(stage, say):
    """The first call through everything."""
    url = stage.url("/httpbin/status/204")

    def answers():
        return stage.client.ask("GET", url, key(stage)).status == 204
    until(15, "an answer of httpbin", answers,
          f"look into {stage.dir}/log/nginx-error.log")
    # After a change of Redis the gate asks for nothing new for a moment.
    def settled():
        state = gate(stage)
        return state.get("redis_up") and not state.get("degraded") and not any(
            stage.client.ask("GET", url, key(stage)).get("Gatehouse-Degraded")
            for _ in range(4))
    until(15, "the gate's Redis", settled, "gatehouse status")
    return f"{stage.url('/')} and {stage.url('/', scheme='https')}"


def provider_known(stage, say):
    """gatehouse-idp has fetched what the provider says of itself."""
    def known():
        found = stage.ask("status").get("idp", {}).get("detail", {})
        return [p for p in found.get("providers", []) if p.get("good")]
    found = until(30, "discovery of the provider", known,
                  f"look into {stage.dir}/log/idp.log", pause=0.1)
    return f"{stage.issuer}, {found[0].get('keys')} key(s)"


def key(stage, app=APP):
    return {"X-API-Key": stage.keys[app]}


def no_key(stage, say):
    answer = stage.client.ask("GET", stage.url("/httpbin/get"))
    say(answer.text())
    expect(answer, 401, "WWW-Authenticate")
    return "401, and why"


def good_key(stage, say):
    answer = stage.client.ask("GET", stage.url("/httpbin/get"), key(stage))
    say(answer.text() + told(answer))
    expect(answer, 200, "RateLimit", "RateLimit-Policy")
    seen = {n.lower(): v for n, v in answer.json().get("headers", {}).items()}
    if "x-api-key" in seen:
        raise Problem("the backend saw the key")
    if seen.get("x-gatehouse-application") != APP:
        raise Problem("the backend was not told who called")
    return "200; the backend is told who called and never sees the key"


def burst(stage, say):
    url, admitted, answer = stage.url("/httpbin/get"), 0, None

    def refused():
        nonlocal admitted, answer
        answer = stage.client.ask("GET", url, key(stage, SMALL_APP))
        admitted += answer.status == 200
        # 503 with Retry-After: the limiter just lost its Redis, come back.
        return answer.status not in (200, 503) or admitted > 40
    until(15, "the end of the quota", refused, pause=0.01)
    say(answer.text())
    expect(answer, 429, "Retry-After")
    stage.decision = answer.json().get("decision", "")
    used = "" if admitted else "; an earlier run used this minute's calls"
    return f"{admitted} admitted, then 429 with Retry-After{used}"


def token(stage, say):
    """A token of the provider for a client that an application lists."""
    client = f"mobile-app:{stage.secrets()['CLIENT_SECRET']}"
    asked = stage.client.ask(
        "POST", stage.issuer + "/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded",
         "Authorization": "Basic " + base64.b64encode(client.encode())
         .decode()},
        "grant_type=password&username=dwho&password=dwho&scope=openid+profile",
        20)
    expect(asked, 200)
    jwt = asked.json().get("access_token", "")
    say(f"POST {asked.url}\n  {asked.status} {asked.reason}, a token of "
        f"{len(jwt)} bytes")
    answer = stage.client.ask("GET", stage.url("/httpbin/get"),
                              {"Authorization": f"Bearer {jwt}"})
    say(answer.text() + told(answer))
    expect(answer, 200, "RateLimit")
    return "200; the token's client is an application, with its limits"


def told(answer):
    """What the backend saw of ours: httpbin answers with its headers."""
    return "".join(f"\n  the backend saw {n}: {v}" for n, v in
                   answer.json().get("headers", {}).items()
                   if n.lower().startswith(("x-gatehouse", "x-user")))


# ---- login, as a browser does it

class Form(html.parser.HTMLParser):
    """The first form with a password: where it goes, what it sends."""

    def __init__(self, text):
        super().__init__()
        self.action, self.fields, self.inside, self.found = "", {}, 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if tag == "form" and not self.found:
            self.inside, self.action, self.fields = 1, a.get("action", ""), {}
        elif tag == "input" and self.inside and a.get("name"):
            self.fields[a["name"]] = a.get("value") or ""
            self.found |= a.get("type") == "password"

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = 0


class Browser:
    """Follows redirects, keeps cookies per host, fills in the login form."""

    def __init__(self, client):
        self.client, self.jar, self.trail = client, {}, []

    def go(self, method, url, body=None, headers=None):
        for _ in range(12):
            host = urllib.parse.urlsplit(url).hostname
            cookies = "; ".join(f"{n}={v}" for n, v in
                                self.jar.get(host, {}).items())
            sent = {"Accept": "text/html", **(headers or {})}
            if cookies:
                sent["Cookie"] = cookies
            answer = self.client.ask(method, url, sent, body, 20)
            self.trail.append(f"{method} {url.split('?')[0]}  "
                              f"{answer.status}")
            for cookie in answer.cookies:
                name, _, value = cookie.split(";")[0].partition("=")
                self.jar.setdefault(host, {})[name.strip()] = value.strip()
            if answer.status not in (301, 302, 303, 307):
                return answer
            url = urllib.parse.urljoin(url, answer.get("Location"))
            method, body, headers = "GET", None, None
        raise Problem("redirects without end\n" + "\n".join(self.trail))


def login(stage, say):
    """A page for people: the gate sends the browser to log in and back."""
    url = stage.url("/private/get", scheme="https")
    browser = Browser(stage.client)
    page = browser.go("GET", url)
    form = Form(page.body)
    if not form.found:
        say("\n".join(browser.trail))
        raise Problem(f"no login form, but {page.status}",
                      "gatehouse service logs lemon")
    form.fields.update(user=DEMO_USER, password=DEMO_PASSWORD)
    answer = browser.go(
        "POST", urllib.parse.urljoin(page.url, form.action or page.url),
        urllib.parse.urlencode(form.fields),
        {"Content-Type": "application/x-www-form-urlencoded",
         "Origin": origin(page.url), "Referer": page.url})
    say("\n".join(browser.trail))
    expect(answer, 200)
    seen = {n.lower(): v for n, v in answer.json().get("headers", {}).items()}
    if seen.get("x-gatehouse-user") != DEMO_USER:
        raise Problem(f"the backend was told {seen.get('x-gatehouse-user')} "
                      f"instead of {DEMO_USER}")
    return f"{url} as {DEMO_USER} / {DEMO_PASSWORD}"


def origin(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# ---- the house

def intruder(stage, say):
    """A service that tries what it must not: refused, and listed."""
    def listed():
        found = stage.ask("service", "violations", "intruder")
        kinds = {v.get("kind") for v in found.get("violations", [])}
        return found if {"file", "syscall"} <= kinds else None
    found = until(10, "the list of what was refused", listed)
    for row in found["violations"][:6]:
        say(f"{row.get('kind')}: {row.get('what')}  {row.get('comm', '')} "
            f"{row.get('count')} times")
    log = stage.gatehouse("service", "logs", "intruder")
    for text in log.strip().splitlines()[-6:]:
        say("its own log: " + text)
    if "root:" in log:
        raise Problem("it read a file of the host")
    return "refused and listed"


def redis_killed(stage, say):
    """kill -9 of Redis in its sandbox: calls go on with what is leased."""
    pid = redis_process(stage)
    os.kill(pid, signal.SIGKILL)
    calls, marked = 0, None
    while calls < 60 and marked is None:
        answer = still_200(stage, calls)
        calls += 1
        if answer.get("Gatehouse-Degraded"):
            marked = answer
    state = gate(stage)
    if marked is None and state.get("redis_up"):
        raise Problem(f"{calls} calls after the kill, none marked degraded")
    say(f"redis-server (pid {pid}) killed; gatehouse status: redis_up "
        f"{state.get('redis_up')}, degraded_calls "
        f"{state.get('degraded_calls')}")
    say((marked or answer).text())

    def recovered():
        nonlocal calls
        answer = still_200(stage, calls)
        calls += 1
        return gate(stage).get("redis_up") and \
            not answer.get("Gatehouse-Degraded")
    until(20, "Redis", recovered, "gatehouse service show redis")
    shown = stage.service("redis").get("run", {})
    say(f"redis again: {shown.get('state')}, restarts: {shown.get('restarts')}")
    return f"{calls} calls, all 200; marked degraded, then recovered"


def still_200(stage, calls):
    answer = stage.client.ask("GET", stage.url("/httpbin/get"), key(stage))
    if answer.status != 200:
        raise Problem(f"call {calls + 1} after the kill\n{answer.text()}")
    return answer


def redis_process(stage):
    """The pid, seen from here, of redis-server in its sandbox."""
    shown = stage.service("redis")
    for pid in pids_of(shown):
        for each in [pid, *children(pid)]:
            if read(f"/proc/{each}/comm").strip() == "redis-server":
                return each
    raise Problem("no redis-server in the service's sandbox",
                  "gatehouse service show redis")


def pids_of(shown):
    found = []

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("pid"), int):
                found.append(value["pid"])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)
    walk(shown)
    return found


def children(pid):
    out = []
    for task in read(f"/proc/{pid}/task/{pid}/children").split():
        out += [int(task), *children(int(task))]
    return out


def gate(stage):
    return stage.ask("status").get("gate", {}).get("detail", {})


def prometheus(stage, say):
    """Prometheus, a service too, has scraped the gate."""
    query = urllib.parse.quote('sum(gatehouse_requests_total)')
    url = stage.url(f"/prometheus/api/v1/query?query={query}")

    def scraped():
        answer = expect(stage.client.ask("GET", url), 200)
        result = answer.json().get("data", {}).get("result", [])
        return result[0]["value"][1] if result else None
    count = until(20, "figures in Prometheus", scraped,
                  stage.url("/prometheus/targets"))
    return f"{count} requests counted so far, {stage.url('/prometheus/')}"


def next_things(stage):
    tool = os.path.relpath(stage.build / "gatehouse")
    if "SUDO_UID" in os.environ:  # the control API knows root alone
        tool = "sudo " + tool
    where = os.path.relpath(stage.asked)
    return f"""
To try next:

  alias gatehouse='{tool} --dir {where}'
  gatehouse status
  gatehouse service list
  gatehouse service explain httpbin
  gatehouse explain {getattr(stage, 'decision', 'DECISION')}
  gatehouse usage {APP}
  curl -i -H 'X-API-Key: {stage.keys[APP]}' {stage.url('/httpbin/get')}
  curl -i -H "X-API-Key: $(gatehouse key create {APP} --quiet)" \
{stage.url('/httpbin/anything')}
  {stage.url('/private/get', scheme='https')} in a browser; user {DEMO_USER}, password {DEMO_PASSWORD}
  {stage.url('/prometheus/')} in a browser
  README.md: an API of your own in five minutes

State and logs are in {stage.dir}.
"""
