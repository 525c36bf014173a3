# SPDX-License-Identifier: Apache-2.0
"""gatehouse-idp as a process: whom it trusts, how it starts and ends."""
import concurrent.futures
import os
import subprocess

import pytest
from lib import fake_idp
from lib.fake_idp import FakeIdp
from lib.process import wait_for
from lib.site import Site, fake_item, start_idp, status
from lib.stack import BUILD, Stack


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


# ---- discovery

NOT_DISCOVERED = {
    "other-issuer": {"metadata": {"issuer": "https://evil.example/"}},
    "plain-endpoint": {"metadata": {"token_endpoint": "http://e.example/t"}},
    "file-endpoint": {"metadata": {"jwks_uri": "file:///etc/passwd"}},
    "no-code-flow": {"metadata": {"response_types_supported": ["id_token"]}},
    "html": {"discovery": b"<html>"},
    "redirect": {"discovery": fake_idp.redirect("/elsewhere")},
    "error": {"discovery": fake_idp.status(500)},
    "endless": {"discovery": fake_idp.endless},
    "cut": {"discovery": fake_idp.cut},
    "no-keys": {"jwks_answer": b'{"keys":[]}'},
    "symmetric-keys": {"jwks_answer": b'{"keys":[{"kty":"oct","k":"AAAA"}]}'},
    "keys-redirect": {"jwks_answer": fake_idp.redirect("/elsewhere")},
}


@pytest.mark.parametrize("how", NOT_DISCOVERED.values(), ids=NOT_DISCOVERED)
def test_a_provider_that_is_not_what_it_says_is_not_used(site, how):
    name = "bad-%d" % next(site.stack.numbers)
    with FakeIdp() as provider:
        provider.behave(**how)
        site.stack.add({"idps": [fake_item(provider, site.origin, name)]})

        def problem():
            return next((p["problem"] for p in status(site.stack)["providers"]
                         if p["name"] == name), "")
        wait_for("the provider is refused", problem, 10, 0.05)
        reply = site.browser().once(
            "GET", site.origin + "/gatehouse/login/" + name)
        assert reply.status == 503
        assert reply.get("Retry-After") and not reply.all("Set-Cookie")
        assert provider.fetches["stray"] == 0, "no redirect was followed"
        # nobody keeps it: another edit takes it away
        site.stack.document["idps"] = [
            x for x in site.stack.document["idps"] if x["name"] != name]
        site.stack.add({})
        wait_for("its keeper ends", lambda: name not in [
            p["name"] for p in status(site.stack)["providers"]], 10, 0.05)
    site.login()


@pytest.mark.parametrize("trusted", [False, True], ids=["unknown", "trusted"])
def test_the_certificate_of_a_provider_is_verified(trusted):
    with Stack(workers=1) as stack:
        tls = (stack.ca, stack.dir / "tls/key.pem")
        start_idp(stack, *(["--ca-file", stack.ca] if trusted else []))
        origin = "https://localhost:%d" % stack.gate.tls_port
        with FakeIdp(tls=tls) as provider:
            item = fake_item(provider, origin, "fake")
            if trusted:
                Site(stack, provider, item, "fake").login()
                return
            stack.add({"idps": [item]})
            wait_for("it is refused", lambda: any(
                "certificate" in p["problem"]
                for p in status(stack)["providers"]), 10, 0.05)
            assert not provider.seen


# ---- the process

def test_gatehouse_idp_may_be_killed_at_any_time(site):
    with Stack(workers=1) as stack, FakeIdp() as provider:
        idp = start_idp(stack)
        origin = "https://localhost:%d" % stack.gate.tls_port
        mine = Site(stack, provider, fake_item(provider, origin, "fake"), "fake")
        browser, waiting = mine.login(), mine.browser()
        url = mine.callback(waiting)
        idp.kill()
        assert browser.once("GET", mine.page).status == 200
        assert waiting.once("GET", url).status == 503
        start_idp(stack)
        wait_for("it answers", lambda: waiting.once("GET", url).status == 302)
        assert waiting.once("GET", mine.page).status == 200


def test_it_ends_soon_when_told_to_though_a_provider_hangs(site):
    with Stack(workers=1) as stack, FakeIdp() as provider:
        idp = start_idp(stack)
        origin = "https://localhost:%d" % stack.gate.tls_port
        mine = Site(stack, provider, fake_item(provider, origin, "fake"), "fake")
        provider.behave(token_answer=fake_idp.hang(20))
        browser = mine.browser()
        url = mine.callback(browser)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(browser.once, "GET", url)
            wait_for("the login hangs", lambda: provider.fetches["token"])
            idp.stop(within=4)
            assert idp.child.returncode == 0
            assert hanging.result().status == 503


@pytest.mark.parametrize("options, code, words", [
    (["--help"], 0, "usage: gatehouse-idp"),
    (["--frob"], 3, "no such option"),
    (["--dir"], 3, "needs an argument"),
    ([], 3, "--dir"),
    (["--dir", "/nonexistent"], 3, "root"),
    (["--dir", "/nonexistent", "--allow-root", "--gate-uid", "no body"], 3,
     "no such user"),
    (["--dir", "/nonexistent", "--allow-root"], 1, "secret"),
])
def test_it_says_what_is_wrong_with_its_start(options, code, words):
    env = {k: v for k, v in os.environ.items() if k != "GATEHOUSE_DIR"}
    done = subprocess.run([BUILD / "gatehouse-idp", *options], env=env, text=True,
                          capture_output=True, timeout=20)
    assert done.returncode == code, done
    assert words in done.stdout + done.stderr


def test_it_keeps_no_right_that_it_does_not_need(site):
    text = open("/proc/%d/status" % site.stack.idp.pid).read()
    told = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert told["NoNewPrivs"] == "1"
    assert told["Seccomp"] == "2"
    assert int(told["CapEff"], 16) == 0
    assert told["Uid"].split()[1] != "0"


def test_an_edited_issuer_is_discovered_anew(site):
    with FakeIdp() as first, FakeIdp() as second:
        moved = Site(site.stack, first, fake_item(first, site.origin, "moved"),
                     "moved")
        moved.login()
        site.stack.edit("idps", "moved", issuer=second.issuer)
        wait_for("the new issuer is used", lambda: second.fetches["jwks"], 10)
        moved.wait_discovered()
        reply = wait_for("logins go there", lambda: (
            lambda r: r if second.issuer in r.get("Location", "") else None)(
                moved.browser().once(
                    "GET", site.origin + "/gatehouse/login/moved")))
        assert reply.status == 302
        moved.provider = second
        moved.login()


def test_providers_come_and_go_together(site):
    names = ["many-%d" % n for n in range(8)]
    with FakeIdp() as provider:
        before = list(site.stack.document["idps"])
        site.stack.add({"idps": [fake_item(provider, site.origin, n)
                                 for n in names]})

        def known():
            return {p["name"] for p in status(site.stack)["providers"]
                    if p["good"]}
        wait_for("all are discovered", lambda: set(names) <= known(), 10, 0.05)
        site.stack.document["idps"] = before
        site.stack.add({})
        wait_for("all are gone", lambda: not set(names) & known(), 10, 0.05)
