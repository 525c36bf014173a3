# SPDX-License-Identifier: Apache-2.0
"""An OpenID Connect provider that misbehaves on command.

    with FakeIdp() as idp:
        idp.behave(claims={"nonce": "wrong"})      # of ID tokens from now on
        idp.behave(token_answer=b"<html>")         # instead of JSON
        idp.token(aud="httpbin")                   # a JWT as a client gets it

Without commands it is a correct provider that lets everybody in at once: its
authorization endpoint redirects straight back with a code.
"""
import base64
import hashlib
import http.server
import json
import secrets
import socket
import ssl
import threading
import time
import urllib.parse

from jwcrypto import jwk, jws

from .process import free_port

DROP = object()         # as a claim's value: leave the claim out


def b64(data):
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Key:
    """A signing key: "RS256", "PS256", "ES256", "ES384", "EdDSA"."""

    def __init__(self, alg="RS256", kid=None, bits=2048):
        kind = {"R": ("RSA", None), "P": ("RSA", None)}.get(alg[0])
        kind = kind or {"ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"),
                        "EdDSA": ("OKP", "Ed25519")}[alg]
        self.alg, self.kid = alg, kid or secrets.token_hex(8)
        args = {"size": bits} if kind[0] == "RSA" else {"crv": kind[1]}
        self.jwk = jwk.JWK.generate(kty=kind[0], kid=self.kid, use="sig", **args)

    def public(self):
        return self.jwk.export_public(as_dict=True)

    def sign(self, claims, header=None, alg=None):
        """A compact JWS. `claims` may be bytes, so that any text is signed;
        `header` members are added, or left out when DROP."""
        head = {"alg": alg or self.alg, "kid": self.kid, **(header or {})}
        head = {k: v for k, v in head.items() if v is not DROP}
        body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return self.sign_raw(json.dumps(head).encode(), body, alg)

    def sign_raw(self, head, body, alg=None):
        text = b64(head) + "." + b64(body)
        signer = jws.JWSCore(alg or self.alg, self.jwk, {"alg": alg or self.alg},
                             b"", ["RS256", "PS256", "ES256", "ES384", "EdDSA",
                                   "RS512", "HS256"])
        return text + "." + b64(signer.engine.sign(self.jwk, text.encode()))


class FakeIdp:
    def __init__(self, alg="RS256", tls=None):
        """`tls`: certificate and key files, for an https issuer."""
        self.port, self.tls = free_port(), tls
        self.issuer = "https://localhost:%d" % self.port if tls else \
            "http://127.0.0.1:%d" % self.port
        self.keys = [Key(alg)]
        self.lock = threading.Lock()
        self.codes = {}
        self.subject = "alice"
        self.reset()

    def reset(self):
        """A correct provider again; what was counted is forgotten."""
        self.how = {}
        self.fetches = {"discovery": 0, "jwks": 0, "token": 0, "userinfo": 0,
                        "authorize": 0, "stray": 0}
        self.seen = []

    def behave(self, **how):
        """claims, header: of ID tokens. key: that signs them. sign(claims):
        makes the whole token. userinfo: its claims. iss: of the redirect
        (DROP: none). Answers: discovery, token_answer, userinfo_answer,
        jwks_answer: bytes, or a callable that is given the handler."""
        self.how = how

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self):
                outer.answer(self, "")

            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                outer.answer(self, self.rfile.read(size).decode())

            def log_message(self, *a):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *a):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *a):
        self.server.shutdown()
        self.server.server_close()

    # ---- tokens

    def claims(self, **changes):
        now = int(time.time())
        out = {"iss": self.issuer, "sub": self.subject, "aud": "httpbin",
               "azp": "mobile-app", "iat": now, "exp": now + 300, **changes}
        return {k: v for k, v in out.items() if v is not DROP}

    def token(self, header=None, key=None, alg=None, **changes):
        """An access token for the audience "httpbin"."""
        return (key or self.keys[0]).sign(self.claims(**changes), header, alg)

    def id_token(self, code, access):
        key = self.how.get("key", self.keys[0])
        digest = (hashlib.sha512 if key.alg == "EdDSA" else hashlib.sha256)(
            access.encode()).digest()
        at_hash = b64(digest[:len(digest) // 2])
        claims = self.claims(**{
            "aud": code["client_id"], "azp": code["client_id"],
            "nonce": code.get("nonce", DROP), "at_hash": at_hash,
            "auth_time": int(time.time()), "acr": "2", "sid": "s-1",
            **self.how.get("claims", {})})
        if "sign" in self.how:
            return self.how["sign"](claims)
        return key.sign(claims, self.how.get("header"), self.how.get("alg"))

    def rotate(self, alg="RS256", keep_old=False):
        """A new key; the old one is withdrawn unless it is kept."""
        self.keys = [Key(alg)] + (self.keys if keep_old else [])
        return self.keys[0]

    # ---- endpoints

    def answer(self, h, body):
        url = urllib.parse.urlsplit(h.path)
        kind = {"/.well-known/openid-configuration": "discovery",
                "/jwks": "jwks", "/token": "token", "/userinfo": "userinfo",
                "/authorize": "authorize"}.get(url.path, "stray")
        with self.lock:
            self.fetches[kind] += 1
            self.seen.append((h.command, h.path, dict(h.headers), body))
        special = self.how.get({"token": "token_answer"}.get(
            kind, kind + "_answer" if kind != "discovery" else kind))
        if callable(special):
            special(h)
        elif special is not None:
            self.send(h, 200, special)
        else:
            getattr(self, "on_" + kind)(h, url.query, body)

    @staticmethod
    def send(h, status, data, headers=()):
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        h.send_response(status)
        for name, value in headers:
            h.send_header(name, value)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def on_discovery(self, h, query, body):
        self.send(h, 200, {
            "issuer": self.issuer, "jwks_uri": self.issuer + "/jwks",
            "authorization_endpoint": self.issuer + "/authorize",
            "token_endpoint": self.issuer + "/token",
            "userinfo_endpoint": self.issuer + "/userinfo",
            "end_session_endpoint": self.issuer + "/logout",
            "response_types_supported": ["code"],
            "authorization_response_iss_parameter_supported": True,
            **self.how.get("metadata", {})})

    def on_jwks(self, h, query, body):
        self.send(h, 200, {"keys": [k.public() for k in self.keys]})

    def on_authorize(self, h, query, body):
        q = dict(urllib.parse.parse_qsl(query))
        code = secrets.token_urlsafe(16)
        with self.lock:
            self.codes[code] = q
        back = {"code": code, "state": q["state"], "iss": self.issuer}
        if "iss" in self.how:
            back["iss"] = self.how["iss"]
        back.update(self.how.get("back", {}))
        back = {k: v for k, v in back.items() if v is not DROP}
        self.send(h, 302, b"", [("Location", q["redirect_uri"] + "?" +
                                 urllib.parse.urlencode(back))])

    def on_token(self, h, query, body):
        form = dict(urllib.parse.parse_qsl(body))
        with self.lock:
            code = self.codes.pop(form.get("code"), None)
        if code is None or not self.proved(code, form):
            self.send(h, 400, {"error": "invalid_grant"})
            return
        access = self.token(jti=secrets.token_hex(8))
        with self.lock:
            self.access = access
        self.send(h, 200, {"token_type": "Bearer", "access_token": access,
                           "expires_in": 300,
                           "id_token": self.id_token(code, access),
                           **self.how.get("tokens", {})})

    @staticmethod
    def proved(code, form):
        """PKCE (RFC 7636) and the redirect URI, as the RFCs want it."""
        challenge = b64(hashlib.sha256(
            form.get("code_verifier", "").encode()).digest())
        return (challenge == code.get("code_challenge")
                and form.get("redirect_uri") == code.get("redirect_uri"))

    def on_userinfo(self, h, query, body):
        if h.headers.get("Authorization") != "Bearer " + getattr(self, "access", ""):
            self.send(h, 401, {"error": "invalid_token"})
            return
        self.send(h, 200, {"sub": self.subject, "roles": ["staff", "ops"],
                           "email": "alice@example.org",
                           **self.how.get("userinfo", {})})

    def on_stray(self, h, query, body):
        self.send(h, 404, {})


# ---- answers that no provider should give

def hang(seconds):
    """Accepts and says nothing."""
    def act(h):
        h.connection.settimeout(seconds)
        try:
            h.connection.recv(1)
        except OSError:
            pass
        h.close_connection = True
    return act


def endless(h):
    """A body without end."""
    h.send_response(200)
    h.send_header("Content-Type", "application/json")
    h.end_headers()
    try:
        for _ in range(100000):
            h.wfile.write(b" " * 65536)
    except OSError:
        pass
    h.close_connection = True


def endless_header(h):
    """Header lines without end."""
    h.wfile.write(b"HTTP/1.1 200 OK\r\n")
    try:
        for _ in range(1000000):
            h.wfile.write(b"X-A: " + b"a" * 8000 + b"\r\n")
    except OSError:
        pass
    h.close_connection = True


def redirect(to):
    def act(h):
        FakeIdp.send(h, 302, b"", [("Location", to)])
    return act


def status(code):
    def act(h):
        FakeIdp.send(h, code, {"error": "server_error"})
    return act


def cut(h):
    """Promises more than it sends."""
    h.send_response(200)
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(b'{"a":')
    h.connection.shutdown(socket.SHUT_RDWR)
    h.close_connection = True
