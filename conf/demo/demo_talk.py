# SPDX-License-Identifier: Apache-2.0
"""What the demo says: steps with their time, requests with their answers, and
problems with what to try."""
import http.client
import json
import socket
import ssl
import sys
import time
import traceback
import urllib.parse

BODY_LINES = 14
SHOWN_HEADERS = ("www-authenticate", "ratelimit", "ratelimit-policy",
                 "retry-after", "location", "gatehouse-over",
                 "gatehouse-degraded")


class Problem(Exception):
    """What is wrong, and what a person may try."""

    def __init__(self, what, *remedies):
        super().__init__(what)
        self.what, self.remedies = what, remedies


def bold(text):
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def line(text=""):
    print(text, flush=True)


class Steps:
    """Runs steps one by one, a line each; remembers whether all went well."""

    def __init__(self):
        self.start = time.monotonic()
        self.count = self.failed = 0

    def __call__(self, title, function, *args):
        start, self.count = time.monotonic(), self.count + 1
        later = []
        try:
            note = function(*args, later.append) or ""
            word = "ok"
        except Problem as problem:
            word, note = "FAILED", problem.what
            later += ["try: " + r for r in problem.remedies]
            self.failed += 1
        except Exception as error:  # of ours: said, and the story goes on
            word, note = "FAILED", f"{type(error).__name__}: {error}"
            later += traceback.format_exc().splitlines()[-4:]
            self.failed += 1
        seconds = time.monotonic() - start
        line(f"{bold(f'{word:<6}')} {seconds:6.2f} s  {title}"
             + (f": {note}" if note else ""))
        for text in later:
            for part in str(text).splitlines():
                line("                 " + part)
        return word == "ok"

    def seconds(self):
        return time.monotonic() - self.start


class Answer:
    def __init__(self, method, url, sent, response, body):
        self.method, self.url, self.sent = method, url, sent
        self.status, self.reason = response.status, response.reason
        self.headers = response.headers
        self.body = body
        self.cookies = response.headers.get_all("Set-Cookie") or []

    def get(self, name, default=""):
        return self.headers.get(name, default)

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def text(self):
        """The exchange as a person reads it; credentials are shortened."""
        out = [f"{self.method} {self.url}"]
        out += [f"  {n}: {shorten(v)}" for n, v in self.sent.items()]
        out.append(f"{self.status} {self.reason}")
        out += [f"  {n}: {v}" for n, v in self.headers.items()
                if n.lower() in SHOWN_HEADERS]
        if self.status >= 300 and "json" in self.get("Content-Type"):
            out += ["  " + x for x in fold(self.json())]
        return "\n".join(out)


def shorten(value):
    return value if len(value) <= 40 else value[:24] + "..." + value[-4:]


def fold(value):
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= 100:
        return [text]
    lines = json.dumps(value, indent=2, ensure_ascii=False).splitlines()
    return lines if len(lines) <= BODY_LINES else \
        lines[:BODY_LINES] + [f"  ... {len(lines) - BODY_LINES} lines more"]


class Client:
    """Speaks to the private system: any host name, always on loopback."""

    def __init__(self, http_port, https_port, certificate):
        self.ports = {"http": http_port, "https": https_port}
        self.certificate = certificate

    def connect(self, scheme, host, seconds):
        port = self.ports[scheme]
        if scheme == "http":
            return http.client.HTTPConnection("127.0.0.1", port,
                                              timeout=seconds)
        tls = ssl.create_default_context(cafile=self.certificate)
        raw = socket.create_connection(("127.0.0.1", port), seconds)
        connection = http.client.HTTPSConnection(host, port, timeout=seconds)
        connection.sock = tls.wrap_socket(raw, server_hostname=host)
        return connection

    def ask(self, method, url, headers=None, body=None, seconds=10):
        """One request, one Answer; Problem when nobody answers."""
        parts = urllib.parse.urlsplit(url)
        sent = dict(headers or {})
        target = parts.path or "/"
        if parts.query:
            target += "?" + parts.query
        try:
            connection = self.connect(parts.scheme, parts.hostname, seconds)
            try:
                connection.request(method, target, body,
                                   {"Host": parts.netloc, **sent})
                response = connection.getresponse()
                data = response.read().decode("utf-8", "replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Problem(f"{method} {url}: {error or type(error).__name__}",
                          "look at log/nginx-error.log") from None
        return Answer(method, url, sent, response, data)


def until(seconds, what, function, remedies=(), pause=0.05):
    """Asks again and again until the answer is true; Problem when late, with
    the remedies as they are then."""
    end = time.monotonic() + seconds
    last = ""
    while True:
        try:
            value = function()
            if value:
                return value
        except Problem as problem:
            last = f" ({problem.what})"
        if time.monotonic() > end:
            raise Problem(f"{what}: not within {seconds:g} s{last}",
                          *([remedies] if isinstance(remedies, str)
                            else remedies))
        time.sleep(pause)


def expect(answer, status, *names):
    """Problem unless the answer has the status and the named headers."""
    if answer.status != status:
        raise Problem(f"{answer.status} instead of {status}\n{answer.text()}"
                      f"\n{answer.body[:600]}")
    for name in names:
        if not answer.get(name):
            raise Problem(f"no {name} header\n{answer.text()}")
    return answer
