# SPDX-License-Identifier: Apache-2.0
"""Logins: with a real LemonLDAP::NG, and with a provider that misbehaves."""
import concurrent.futures
import json
import re
import signal
import time
import urllib.parse

import pytest
from lib import fake_idp, llng, raw
from lib.fake_idp import DROP, FakeIdp, Key
from lib.process import wait_for
from lib.site import COOKIE, SECRET, Site, ask_idp, fake_item, start_idp
from lib.stack import Stack


@pytest.fixture(scope="module")
def installation():
    with Stack(workers=2) as stack:
        start_idp(stack)
        yield stack


@pytest.fixture(scope="module")
def module_site(installation):
    with FakeIdp() as provider:
        origin = "https://localhost:%d" % installation.gate.tls_port
        yield Site(installation, provider, fake_item(provider, origin, "fake"),
                   "fake")


@pytest.fixture
def site(module_site):
    module_site.provider.reset()
    yield module_site
    faults = module_site.stack.faults_in_logs()
    module_site.stack.expected.clear()
    assert not faults, faults


# ---- with a real provider

@pytest.fixture(scope="module")
def lemon_site(installation):
    if reason := llng.missing():
        pytest.skip(reason)
    origin = "https://localhost:%d" % installation.gate.tls_port
    with llng.Lemon(installation.dir / "lemon", origin) as lemon:
        yield Site(installation, lemon, lemon.item(origin), "lemon")


def lemon_login(site, user="dwho"):
    browser = site.browser()
    form = browser.go(site.page)
    assert form.status == 200 and site.provider.issuer in form.url, form
    reply = browser.submit(form, user=user, password=user)
    return browser, reply


def test_a_person_logs_in_at_lemonldap_and_returns(lemon_site):
    browser, reply = lemon_login(lemon_site)
    assert reply.status == 200
    assert reply.url == lemon_site.page
    seen = lemon_site.scene.seen()[-1]
    assert seen.all("X-Gatehouse-User") == ["dwho"]
    assert seen.all("X-Gatehouse-Application") == [lemon_site.scene.name]
    assert seen.all("X-User-Email") == ["dwho@badwolf.org"]
    assert COOKIE not in seen.head.decode("latin-1")


def test_a_wrong_password_stays_outside(lemon_site):
    browser = lemon_site.browser()
    form = browser.go(lemon_site.page)
    reply = browser.submit(form, user="dwho", password="wrong")
    assert lemon_site.provider.issuer in reply.url
    assert browser.cookie(COOKIE) is None


def test_logout_ends_both_sessions(lemon_site):
    browser, _ = lemon_login(lemon_site, "rtyler")
    page = browser.go(lemon_site.origin + "/gatehouse/logout")
    assert page.status == 200 and b"Log out" in page.body
    assert browser.cookie(COOKIE)
    done = browser.submit(page)
    assert done.url == lemon_site.origin + "/gatehouse/logout/done"
    assert browser.cookie(COOKIE) is None
    assert any("/oauth2/logout?id_token_hint=" in t[1] for t in browser.trail)
    form = browser.go(lemon_site.page)
    assert lemon_site.provider.issuer in form.url, "the portal still knows us"


def test_a_key_rotated_at_lemonldap_works_without_a_restart(lemon_site):
    lemon_login(lemon_site, "msmith")
    lemon_site.provider.new_key()
    _, reply = lemon_login(lemon_site, "msmith")
    assert reply.status == 200, lemon_site.stack.idp.text()[-2000:]
    assert reply.url == lemon_site.page


def test_a_key_rotated_a_moment_ago_delays_a_login_and_no_more(site):
    with FakeIdp() as provider:
        fresh = Site(site.stack, provider,
                     fake_item(provider, site.origin, "fresh"), "fresh")
        for _ in range(3):
            provider.rotate()
            fresh.login()


# ---- the way in

def test_the_session_cookie_is_a_host_cookie(site):
    browser = site.login()
    cookie = browser.cookie(COOKIE)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie.value)
    assert cookie.attributes == {"path": "/", "secure": "", "httponly": "",
                                 "samesite": "Lax"}
    assert [c.name for c in browser.cookies.values()] == [COOKIE], \
        "the login's own cookie is taken back"


def test_roles_and_claims_of_userinfo_reach_the_backend(site):
    site.login()
    seen = site.scene.seen()[-1]
    assert seen.all("X-User-Email") == ["alice@example.org"]
    assert seen.all("X-Gatehouse-User") == ["alice"]
    assert COOKIE not in seen.head.decode("latin-1")


def test_a_caller_without_the_role_is_refused(site):
    site.provider.behave(userinfo={"roles": ["guest"]})
    reply = site.browser().go(site.page)
    assert reply.status == 403
    assert b"not_authorized" in reply.body


def test_each_login_has_a_new_session_and_ends_the_old(site):
    browser = site.login()
    first = browser.cookie(COOKIE).value
    browser.go(site.origin + "/gatehouse/login/fake?return=" +
               urllib.parse.quote(site.scene.path + "/again"))
    assert browser.cookie(COOKIE).value != first
    old = site.browser()
    reply = old.once("GET", site.page, [("Cookie", "%s=%s" % (COOKIE, first))])
    assert reply.status == 302, "the old session is over"


def test_the_secret_and_the_verifier_go_to_the_token_endpoint_only(site):
    browser = site.login()
    calls = [s for s in site.provider.seen if s[1].startswith("/token")]
    assert len(calls) == 1
    assert calls[0][2]["Authorization"].startswith("Basic ")
    assert "code_verifier=" in calls[0][3]
    assert SECRET not in str([s for s in site.provider.seen if s not in calls])
    for path in site.stack.logs():
        text = path.read_text(errors="replace")
        assert SECRET not in text, path
        assert "code_verifier" not in text, path
        assert "eyJ" not in text, "a token in " + path.name
        assert "code=" not in text or "error" in path.name, path
        assert browser.cookie(COOKIE).value not in text, path


def test_logins_in_two_tabs_do_not_meet(site):
    browser = site.browser()
    first, second = site.callback(browser), site.callback(browser)
    assert browser.go(second).status == 200
    assert browser.go(first).status == 200


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
def test_a_provider_may_sign_by_any_algorithm_that_is_pinned(site, alg):
    with FakeIdp(alg) as provider:
        name = "signs-" + alg.lower()
        item = {**fake_item(provider, site.origin, name), "algs": [alg]}
        Site(site.stack, provider, item, name).login()


# ---- state

def refused(site, reply, code, statuses=(400,)):
    assert reply.status in statuses, reply
    assert code in reply.body.decode(), reply.body
    assert not [c for c in reply.all("Set-Cookie") if c.startswith(COOKIE + "=")
                and "Max-Age=0" not in c]


def spent(site):
    return site.provider.fetches["token"]


def test_a_callback_without_its_cookie_spends_nothing(site):
    url = site.callback(site.browser())
    refused(site, site.browser().once("GET", url), "login_not_begun_here")
    assert spent(site) == 0


def test_a_callback_with_another_browsers_cookie_spends_nothing(site):
    victim, attacker = site.browser(), site.browser()
    url = site.callback(attacker)
    site.callback(victim)
    refused(site, victim.once("GET", url), "login_not_begun_here")
    # even under the name that the attacker's state asks for
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["state"][0]
    mine = next(c for c in victim.cookies.values())
    name = "__Secure-gatehouse-login-" + state[:8]
    refused(site, site.browser().once(
        "GET", url, [("Cookie", "%s=%s" % (name, mine.value))]),
        "login_wrong_state")
    assert spent(site) == 0


def test_a_state_serves_once(site):
    browser = site.browser()
    url = site.callback(browser)
    kept = list(browser.cookies.values())[0]
    assert browser.go(url).status == 200
    again = site.browser()
    reply = again.once("GET", url, [("Cookie", "%s=%s" % (kept.name, kept.value))])
    refused(site, reply, "login_used")
    assert spent(site) == 1


def test_a_state_at_once_from_two_places_serves_once(site):
    browser = site.browser()
    url = site.callback(browser)
    kept = list(browser.cookies.values())[0]

    def attempt(_):
        return site.browser().once("GET", url, [
            ("Cookie", "%s=%s" % (kept.name, kept.value))]).status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(attempt, range(8)))
    assert answers == [302] + [400] * 7
    assert spent(site) == 1


def test_a_tampered_state_cookie_is_none(site):
    browser = site.browser()
    url = site.callback(browser)
    cookie = list(browser.cookies.values())[0]
    middle = len(cookie.value) // 2
    cookie.value = cookie.value[:middle] + (
        "A" if cookie.value[middle] != "A" else "B") + cookie.value[middle + 1:]
    refused(site, browser.once("GET", url), "login_not_begun_here")
    assert spent(site) == 0


@pytest.mark.parametrize("query", [
    "", "?", "?code=x", "?state=x", "?code=x&state=" + "A" * 43,
    "?code=x&state=%00", "?code=x&state=" + "A" * 9000,
    "?state=A&state=B&code=x", "?code=%zz&state=x"])
def test_garbage_at_the_callback_is_a_bad_request(site, query):
    reply = site.browser().once(
        "GET", site.origin + "/gatehouse/callback/fake" + query)
    assert reply.status in (400, 414), reply
    assert spent(site) == 0


@pytest.mark.parametrize("iss", ["https://evil.example/", "", DROP])
def test_the_issuer_parameter_is_checked(site, iss):
    site.provider.behave(iss=iss)
    browser = site.browser()
    refused(site, browser.once("GET", site.callback(browser)),
            "login_wrong_provider")
    assert spent(site) == 0


def test_a_person_may_be_refused_by_the_provider(site):
    site.provider.behave(back={"error": "access_denied", "code": DROP})
    browser = site.browser()
    refused(site, browser.once("GET", site.callback(browser)),
            "login_refused", (403,))
    assert spent(site) == 0


@pytest.mark.parametrize("path", [
    "//e.example/", "/\\e.example", "https:e.example", "https://e.example/",
    "e@e.example", "/a\r\nSet-Cookie: x=y", "/a%0d%0aX: y", "/\te", "/%2e%2e/x",
    "/gatehouse/logout", "/" + "a" * 10000, "javascript:alert(1)", "\x01/"])
def test_nobody_is_sent_elsewhere(site, path):
    browser = site.browser()
    reply = browser.go(site.origin + "/gatehouse/login/fake?return=" +
                       urllib.parse.quote(path, safe=""),
                       until=site.origin + "/gatehouse/callback/")
    if reply.status in (400, 414):      # nginx would not even read it
        return
    answer = browser.once("GET", reply.stopped_at)
    assert answer.status == 302
    assert answer.get("Location") == "/"
    assert "X" not in dict(answer.headers)


# ---- what the provider says

def sign_none(claims):
    return fake_idp.b64('{"alg":"none"}') + "." + fake_idp.b64(
        json.dumps(claims)) + "."


BAD_ID_TOKENS = {
    "nonce-wrong": {"claims": {"nonce": "wrong"}},
    "nonce-missing": {"claims": {"nonce": DROP}},
    "iss-wrong": {"claims": {"iss": "https://evil.example/"}},
    "iss-missing": {"claims": {"iss": DROP}},
    "aud-wrong": {"claims": {"aud": "somebody-else"}},
    "aud-missing": {"claims": {"aud": DROP}},
    "aud-several-azp-missing": {"claims": {"aud": ["gatehouse", "x"], "azp": DROP}},
    "azp-wrong": {"claims": {"azp": "somebody-else"}},
    "exp-past": {"claims": {"exp": 1000000000}},
    "exp-missing": {"claims": {"exp": DROP}},
    "exp-negative": {"claims": {"exp": -1}},
    "exp-string": {"claims": {"exp": "2000000000"}},
    "exp-huge": {"claims": {"exp": 1e300}},
    "iat-future": {"claims": {"iat": 4000000000}},
    "iat-missing": {"claims": {"iat": DROP}},
    "nbf-future": {"claims": {"nbf": 4000000000}},
    "at-hash-wrong": {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
    "sub-missing": {"claims": {"sub": DROP}},
    "sub-not-text": {"claims": {"sub": 7}},
    "alg-none": {"sign": sign_none},
    "alg-not-pinned": {"alg": "RS512"},
    "crit": {"header": {"crit": ["exp"]}},
    "other-key": {"key": Key("RS256", kid="not-in-the-set")},
}


@pytest.mark.parametrize("how", BAD_ID_TOKENS.values(), ids=BAD_ID_TOKENS)
def test_an_id_token_that_is_not_ours_makes_no_session(site, how):
    before = site.sessions()
    site.provider.behave(**how)
    browser = site.browser()
    reply = browser.once("GET", site.callback(browser))
    refused(site, reply, "", (502,))
    assert site.sessions() == before
    assert browser.cookie(COOKIE) is None


BAD_ANSWERS = {
    "html": {"token_answer": b"<html>"},
    "empty": {"token_answer": b""},
    "array": {"token_answer": b"[]"},
    "no-id-token": {"tokens": {"id_token": 7}},
    "mac": {"tokens": {"token_type": "mac"}},
    "redirect": {"token_answer": fake_idp.redirect("/token")},
    "error": {"token_answer": fake_idp.status(500)},
    "cut": {"token_answer": fake_idp.cut},
    "endless": {"token_answer": fake_idp.endless},
    "endless-header": {"token_answer": fake_idp.endless_header},
    "userinfo-other-person": {"userinfo": {"sub": "mallory"}},
    "userinfo-html": {"userinfo_answer": b"<html>"},
    "userinfo-error": {"userinfo_answer": fake_idp.status(500)},
}


@pytest.mark.parametrize("how", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_is_no_answer_is_a_bounded_failure(site, how):
    before = site.sessions()
    site.provider.behave(**how)
    browser = site.browser()
    url = site.callback(browser)
    start = time.monotonic()
    reply = browser.once("GET", url)
    assert time.monotonic() - start < 8
    refused(site, reply, "", (502, 503))
    assert site.sessions() == before
    if "redirect" in str(how):
        assert spent(site) == 1, "no redirect was followed"


def test_a_provider_that_hangs_holds_nobody_else(site):
    # the second provider is well; the first says nothing to 16 logins
    with FakeIdp() as well:
        other = Site(site.stack, well, fake_item(well, site.origin, "well"),
                     "well")
        site.provider.behave(token_answer=fake_idp.hang(20))
        browsers = [site.browser() for _ in range(20)]
        urls = [site.callback(b) for b in browsers]
        start = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            hanging = [pool.submit(b.once, "GET", u)
                       for b, u in zip(browsers, urls)]
            wait_for("logins hang", lambda: site.provider.fetches["token"] >= 16)
            begun = time.monotonic()
            other.login()
            assert time.monotonic() - begun < 2
            replies = [h.result() for h in hanging]
        assert time.monotonic() - start < 15
        assert {r.status for r in replies} == {503}
        busy = [r for r in replies if b"provider_busy" in r.body]
        assert len(busy) == 4, "16 at one provider, no more"


def test_a_name_no_client_may_choose_cannot_split_a_header(site):
    site.provider.behave(userinfo={
        "email": "a@b\r\nX-Gatehouse-Plan: gold", "roles": ["staff,admin", "staff"]})
    site.login()
    seen = site.scene.seen()[-1]
    assert seen.all("X-User-Email") == ["a@b%0D%0AX-Gatehouse-Plan: gold"]
    assert seen.all("X-Gatehouse-Plan") == [site.scene.name]


# ---- who is not a browser

@pytest.mark.parametrize("kind", ["xhr", "json", "post", "websocket", "fetch"])
def test_a_caller_that_is_no_browser_gets_a_401(site, kind):
    headers, method, body = [], "GET", None
    if kind == "xhr":
        headers = [("Accept", "text/html"), ("X-Requested-With", "XMLHttpRequest")]
    elif kind == "json":
        headers = [("Accept", "application/json")]
    elif kind == "fetch":
        headers = [("Accept", "text/html"), ("Sec-Fetch-Mode", "cors")]
    elif kind == "post":
        headers, method, body = [("Accept", "text/html")], "POST", b"x"
    else:
        headers = [("Accept", "text/html"), ("Connection", "Upgrade"),
                   ("Upgrade", "websocket")]
    reply = site.stack.gate.send(raw.request(
        method, site.scene.path + "/x", headers + [("Connection", "close")]
        if kind != "websocket" else headers, body), tls=True, method=method)
    assert reply.status == 401, reply
    assert reply.get("WWW-Authenticate")
    assert reply.get("Content-Type") == "application/problem+json"
    assert b"credential_missing" in reply.body
    assert not reply.all("Set-Cookie") and not reply.all("Location")


# ---- the store, and who may ask

def test_with_redis_away_sessions_go_on_and_nobody_loops():
    with FakeIdp() as provider, Stack(workers=1) as stack:
        start_idp(stack)
        origin = "https://localhost:%d" % stack.gate.tls_port
        site = Site(stack, provider, fake_item(provider, origin, "fake"), "fake")
        known = site.login()
        waiting = site.browser()
        url = site.callback(waiting)
        before = provider.fetches["token"]
        # Redis hangs: bounded, and no code is spent
        hung = site.browser()
        hung_url = site.callback(hung)
        stack.redis.process.send(signal.SIGSTOP)
        start = time.monotonic()
        assert hung.once("GET", hung_url).status == 503
        assert known.once("GET", site.page).status == 200
        assert time.monotonic() - start < 5
        stack.redis.process.send(signal.SIGCONT)
        stack.redis.kill()
        assert known.once("GET", site.page).status == 200
        reply = site.browser().once("GET", site.page, [
            ("Cookie", COOKIE + "=" + "A" * 43)])
        assert reply.status == 503, "no redirect: it could only loop"
        late = waiting.once("GET", url)
        assert late.status == 503 and provider.fetches["token"] == before, \
            "the code is not spent"
        # the same login ends well once Redis is back
        stack.redis.start()
        assert waiting.once("GET", url).status == 302
        wait_for("the gate sees Redis again", lambda: waiting.once(
            "GET", site.page).status == 200, 5)


def test_strangers_are_not_told_internals(site):
    for path in ("/internal/status", "/gatehouse/../internal/status",
                 "/gatehouse/..%2finternal/status", "/gatehouse/internal/status"):
        for tls in (False, True):
            reply = site.stack.request("GET", path, tls=tls)
            assert reply.status in (400, 401, 404), (path, reply)
            assert b"providers" not in reply.body


def test_a_get_from_another_site_logs_nobody_out(site):
    browser = site.login()
    reply = browser.once("GET", site.origin + "/gatehouse/logout",
                         [("Sec-Fetch-Site", "cross-site")])
    assert reply.status == 200 and b"<form" in reply.body
    reply = browser.once("POST", site.origin + "/gatehouse/logout",
                         [("Origin", "https://evil.example")], form={})
    assert reply.status == 403
    assert browser.once("GET", site.page).status == 200


def test_after_logout_every_worker_refuses_within_a_second(site):
    browser = site.login()
    cookie = [("Cookie", "%s=%s" % (COOKIE, browser.cookie(COOKIE).value))]
    for _ in range(8):      # both workers know it
        assert site.browser().once("GET", site.page, cookie).status == 200
    browser.once("POST", site.origin + "/gatehouse/logout", form={})
    wait_for("it is forgotten", lambda: all(
        site.browser().once("GET", site.page, cookie).status == 302
        for _ in range(8)), 1.0)


def test_many_who_ask_for_fresh_keys_share_one_fetch(site):
    before, start = site.provider.fetches["jwks"], time.monotonic()

    def ask(_):
        return ask_idp(site.stack, "POST", "/internal/refresh/fake").status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(1000))) == {200}
    # one each second (--refresh-after), and one that was due when we began
    most = 2 + int(time.monotonic() - start)
    assert 1 <= site.provider.fetches["jwks"] - before <= most


def test_a_client_proves_itself_in_the_form_where_the_provider_wants_that(site):
    with FakeIdp() as provider:
        provider.behave(metadata={"token_endpoint_auth_methods_supported":
                                  ["client_secret_post"]})
        form = Site(site.stack, provider,
                    fake_item(provider, site.origin, "form"), "form")
        form.login()
        call = next(s for s in provider.seen if s[1].startswith("/token"))
        assert "Authorization" not in call[2]
        fields = urllib.parse.parse_qs(call[3])
        assert fields["client_secret"] == [SECRET]
        assert fields["client_id"] == ["gatehouse"]


# ---- sessions end

def test_a_cookie_that_is_not_exactly_ours_is_no_session(site):
    good = site.login().cookie(COOKIE).value
    flipped = ("A" if good[20] != "A" else "B").join([good[:20], good[21:]])
    for value in (flipped, good[:-1], good + "A", good + "=", "", "A" * 4000,
                  good[:-1] + "!", good + "; %s=%s" % (COOKIE, flipped)):
        reply = site.browser().once("GET", site.page, [
            ("Cookie", "%s=%s" % (COOKIE, value))])
        assert reply.status in (302, 400), value[:50]
        assert "user" not in str(reply.headers).lower()


def test_a_session_lives_its_idle_time_and_never_past_its_end(site):
    with FakeIdp() as provider:
        item = {**fake_item(provider, site.origin, "short"),
                "session": {"idle": "10s", "max": "11s"}}
        short = Site(site.stack, provider, item, "short")
        before = set(site.sessions())
        start = time.monotonic()
        browser = short.login()
        mine = (set(site.sessions()) - before).pop()
        left = site.stack.redis.client().pttl(mine)
        assert 8000 < left <= 10000
        # in use all the time, and over all the same
        wait_for("it is over", lambda: browser.once(
            "GET", short.page).status == 302, 15, 0.5)
        assert 10.5 < time.monotonic() - start < 13
        assert not site.stack.redis.client().exists(mine)
