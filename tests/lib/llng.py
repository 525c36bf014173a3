# SPDX-License-Identifier: Apache-2.0
"""A real LemonLDAP::NG for tests: conf/llng/start.py on a port of its own."""
import json
import os
import subprocess
import urllib.parse

from . import raw
from .process import Process, free_port, wait_for
from .stack import ROOT

FOLDER = ROOT / "conf/llng"
NEEDS = ("/usr/bin/starman", "/usr/share/perl5/Lemonldap/NG/Portal/Main.pm")


class Lemon:
    """`directory` is its state. Users are dwho, rtyler, msmith; the password
    is the name."""

    def __init__(self, directory, origin, name="lemon"):
        self.directory, self.port = directory, free_port()
        # a name, as the portal's cookie wants a domain
        self.issuer = "http://auth.localhost:%d" % self.port
        self.clients = {
            "gatehouse": {
                "secret": "gate-secret-1",
                "redirect": ["%s/gatehouse/callback/%s" % (origin, name)],
                "logout": [origin + "/gatehouse/logout/done"]},
            "mobile-app": {
                "secret": "mobile-secret-1", "audiences": ["httpbin"],
                "password": True, "client_credentials": True}}
        self.process = None

    def item(self, origin, name="lemon"):
        """The idp of the document that fits."""
        return {"name": name, "issuer": self.issuer, "algs": ["RS256"],
                "client_id": "gatehouse", "client_secret": "gate-secret-1",
                "scopes": "openid profile email", "origin": origin,
                "user_claim": "sub", "client_claim": "client_id",
                "roles_claim": "roles"}

    def command(self, *more):
        return ["/usr/bin/python3", FOLDER / "start.py", "--state",
                self.directory / "llng", "--portal", self.issuer, "--clients",
                self.directory / "clients.json", *more]

    def start(self):
        self.directory.mkdir(exist_ok=True)
        (self.directory / "clients.json").write_text(json.dumps(self.clients))
        self.process = Process(
            self.command("--listen", "127.0.0.1:%d" % self.port),
            self.directory / "llng.log")
        wait_for("LemonLDAP::NG answers", self.answers, 40, 0.1)
        return self

    def answers(self):
        assert self.process.running, self.process.text()[-2000:]
        try:
            return raw.exchange(
                ("127.0.0.1", self.port), raw.request(
                    "GET", "/.well-known/openid-configuration",
                    [("Host", urllib.parse.urlsplit(self.issuer).netloc),
                     ("Connection", "close")])).status == 200
        except raw.Broken as e:
            raise OSError(e) from e

    def new_key(self):
        """Rotates the signing key: the portal is started again with it."""
        self.stop()
        subprocess.run([str(x) for x in self.command("--new-key")], check=True)
        return self.start()

    def token(self, *options):
        """An access token, as a script gets it."""
        done = subprocess.run(
            ["/usr/bin/python3", FOLDER / "get_token.py", "--issuer", self.issuer,
             "--secret", "mobile-secret-1", *options], text=True,
            capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def stop(self):
        if self.process:
            self.process.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *a):
        self.stop()


def missing():
    """Why it cannot run here, or None."""
    gone = [p for p in NEEDS if not os.path.exists(p)]
    return "LemonLDAP::NG is not installed: %s" % gone if gone else None
