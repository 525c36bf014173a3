# SPDX-License-Identifier: Apache-2.0
"""A browser as far as logins need one: cookies by host, path and Secure,
redirects followed (or not), forms filled in. All hosts are this host."""
import html.parser
import urllib.parse

from . import raw


class Cookie:
    def __init__(self, host, text):
        parts = [p.strip() for p in text.split(";")]
        self.name, self.value = parts[0].split("=", 1)
        self.attributes = {}
        for part in parts[1:]:
            name, _, value = part.partition("=")
            self.attributes[name.lower()] = value
        self.host = host
        self.path = self.attributes.get("path", "/")
        self.secure = "secure" in self.attributes
        self.gone = self.attributes.get("max-age") == "0" or \
            "1970" in self.attributes.get("expires", "")


class Form(html.parser.HTMLParser):
    """The first form of a page: its action, method and fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.method, self.fields = None, "GET", {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form" and self.action is None:
            self.action, self.method = a.get("action", ""), \
                a.get("method", "GET").upper()
        elif tag == "input" and self.action is not None and a.get("name"):
            self.fields.setdefault(a["name"], a.get("value") or "")


class Browser:
    ACCEPT = "text/html,application/xhtml+xml,*/*;q=0.8"

    def __init__(self, ca):
        self.ca = ca
        self.cookies = {}
        self.trail = []         # (method, url, Reply)

    def cookie(self, name):
        return next((c for c in self.cookies.values() if c.name == name), None)

    def _keep(self, host, reply):
        for text in reply.all("Set-Cookie"):
            c = Cookie(host, text)
            key = (c.host, c.path, c.name)
            if c.gone:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = c

    def _cookies_for(self, url):
        path = url.path or "/"
        return "; ".join(
            "%s=%s" % (c.name, c.value) for c in self.cookies.values()
            if c.host == url.hostname and (url.scheme == "https" or not c.secure)
            and (path == c.path or path.startswith(c.path.rstrip("/") + "/")))

    def once(self, method, url, headers=(), form=None):
        """One request; its Reply, with the URL it came from."""
        u = urllib.parse.urlsplit(url)
        tls = self.ca if u.scheme == "https" else None
        pairs = [("Host", u.netloc), ("Accept", self.ACCEPT), *headers]
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form).encode()
            pairs.append(("Content-Type", "application/x-www-form-urlencoded"))
        cookies = self._cookies_for(u)
        if cookies:
            pairs.append(("Cookie", cookies))
        pairs.append(("Connection", "close"))
        port = u.port or (443 if tls else 80)
        target = (u.path or "/") + ("?" + u.query if u.query else "")
        reply = raw.exchange(("127.0.0.1", port),
                             raw.request(method, target, pairs, body),
                             tls=tls, method=method, timeout=30)
        reply.url = url
        self._keep(u.hostname, reply)
        self.trail.append((method, url, reply))
        return reply

    def go(self, url, method="GET", headers=(), form=None, until=None, most=20):
        """Follows redirects; stops before a URL that starts with `until`."""
        for _ in range(most):
            reply = self.once(method, url, headers, form)
            to = reply.get("Location")
            if reply.status not in (301, 302, 303, 307) or not to:
                return reply
            url = urllib.parse.urljoin(url, to)
            method, form = "GET", None
            if until and url.startswith(until):
                reply.stopped_at = url
                return reply
        raise AssertionError("a redirect loop: %s" % [t[1][:80] for t in self.trail])

    def submit(self, page, **fields):
        form = Form(page.body.decode())
        assert form.action is not None, page.body[:500]
        action = page.url if form.action in ("", "#") else \
            urllib.parse.urljoin(page.url, form.action)
        return self.go(action, form.method, form={**form.fields, **fields})
