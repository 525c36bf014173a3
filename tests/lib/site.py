# SPDX-License-Identifier: Apache-2.0
"""A gate with gatehouse-idp and an API that wants a login."""
from . import raw
from .browser import Browser
from .process import wait_for
from .stack import CONTROL_UID, GATE_GID, GATE_UID

COOKIE = "__Host-gatehouse"
SECRET = "the-client-secret-of-fake"


class Site:
    """A gate with gatehouse-idp, one API that wants a login, one provider."""

    def __init__(self, stack, provider, item, name):
        self.stack, self.provider, self.idp = stack, provider, name
        self.origin = "https://localhost:%d" % stack.gate.tls_port
        stack.add({"idps": [item]})
        self.wait_discovered()
        self.scene = stack.scene(
            "api-" + name, key=False,
            api={"credentials": {"login": name}, "roles": ["staff", "users"],
                 "claim_headers": {"email": "X-User-Email"}},
            app={"clients": [{"idp": name, "client_id": "gatehouse"}]})
        self.page = self.origin + self.scene.path + "/page?x=1"

    def wait_discovered(self):
        def good():
            for p in status(self.stack)["providers"]:
                if p["name"] == self.idp and p["good"]:
                    return True
            raise AssertionError(status(self.stack))
        wait_for("the provider is discovered", good, 15, 0.05)

    def browser(self):
        return Browser(self.stack.ca)

    def login(self, browser=None):
        """All the way in; the browser, which has a session."""
        browser = browser or self.browser()
        reply = browser.go(self.page)
        assert reply.status == 200, reply
        return browser

    def callback(self, browser):
        """Up to the callback's URL, which is not yet visited."""
        reply = browser.go(self.page, until=self.origin + "/gatehouse/callback/")
        return reply.stopped_at

    def sessions(self):
        return sorted(self.stack.redis.client().keys("gh:{s:*"))


def ask_idp(stack, method, path, body=None, uid=0):
    data = raw.request(method, path, [("Connection", "close")],
                       body.encode() if body is not None else None)
    return raw.exchange(str(stack.dir / "sock/idp.sock"), data, timeout=20)


def status(stack):
    return ask_idp(stack, "GET", "/internal/status").json()


def start_idp(stack, *more):
    return stack.start_idp("--gate-uid", GATE_UID, "--control-uid", CONTROL_UID,
                           "--group", GATE_GID, "--redis",
                           "unix:" + stack.redis.sock, "--refresh-after", "1s",
                           *more)


def fake_item(provider, origin, name):
    return {"name": name, "issuer": provider.issuer, "algs": ["RS256"],
            "client_id": "gatehouse", "client_secret": SECRET,
            "scopes": "openid profile email", "origin": origin,
            "roles_claim": "roles"}
