# SPDX-License-Identifier: Apache-2.0
"""HTTP over a bare socket: what is sent is exactly the bytes of the test.

Client sends bytes (whole or in pieces) and reads answers by RFC 9112; it
corrects nothing, adds nothing and never retries.
"""
import json
import select
import socket
import ssl
import struct
import time

MAX_HEAD = 128 * 1024
MAX_BODY = 256 * 1024 * 1024


class Broken(Exception):
    """The peer closed, stalled or sent what is not an answer."""


class Reply:
    """One answer. `version` is None for an HTTP/0.9 answer (body only)."""

    def __init__(self, version, status, reason, headers, body, head):
        self.version, self.status, self.reason = version, status, reason
        self.headers, self.body, self.head = headers, body, head

    def all(self, name):
        name = name.lower()
        return [v for n, v in self.headers if n.lower() == name]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of a refusal, from its problem+json; None for others."""
        if "problem+json" not in self.get("Content-Type", ""):
            return None
        return self.json().get("code")

    def __repr__(self):
        return "<Reply %s %s %r>" % (self.status, self.code or "",
                                     self.body[:200])


class Client:
    """A connection to (host, port) or to a unix socket's path."""

    def __init__(self, address, tls=None, timeout=15.0, source=None):
        self.timeout = timeout
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(
                address, timeout, (source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            context = ssl.create_default_context(cafile=tls)
            context.check_hostname = False
            self.sock = context.wrap_socket(self.sock,
                                            server_hostname="localhost")
        self.buffer = b""

    def send(self, *pieces, pause=0.0):
        """Each piece is a send(2) of its own; `pause` seconds between them."""
        for i, piece in enumerate(pieces):
            if i and pause:
                time.sleep(pause)
            self.sock.sendall(piece)

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, socket.timeout) as e:
            raise Broken("reading: %s" % e) from e
        if not data:
            raise Broken("closed after %r" % self.buffer[-200:])
        self.buffer += data

    def _take(self, n):
        while len(self.buffer) < n:
            if n > MAX_BODY:
                raise Broken("body of %d bytes" % n)
            self._more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def _line(self):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > MAX_HEAD:
                raise Broken("endless line")
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _rest(self):
        try:
            while len(self.buffer) < MAX_BODY:
                self._more()
        except Broken:
            pass
        out, self.buffer = self.buffer, b""
        return out

    def _chunks(self):
        parts = []
        while True:
            size = int(self._line().split(b";")[0], 16)
            if size == 0:
                while self._line():
                    pass
                return b"".join(parts)
            parts.append(self._take(size))
            if self._take(2) != b"\r\n":
                raise Broken("chunk without its end")

    def read(self, method="GET", interim=False):
        """The next answer; interim (1xx) ones only where asked for."""
        while len(self.buffer) < 5:
            self._more()
        if not self.buffer.startswith(b"HTTP/"):
            return Reply(None, 0, "", [], self._rest(), b"")
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > MAX_HEAD:
                raise Broken("endless head")
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name, value.strip(" \t")))
        reply = Reply(version, int(status), "".join(reason), headers, b"",
                      head)
        if reply.status < 200 and reply.status != 101:
            return reply if interim else self.read(method)
        if method == "HEAD" or reply.status in (101, 204, 304):
            return reply
        if "chunked" in reply.get("Transfer-Encoding", "").lower():
            reply.body = self._chunks()
        elif reply.get("Content-Length") is not None:
            reply.body = self._take(int(reply.all("Content-Length")[0]))
        else:
            reply.body = self._rest()
        return reply

    def read_until_closed(self):
        """All answers until the server closes (or says nothing more)."""
        out = []
        try:
            while True:
                out.append(self.read())
        except Broken:
            return out

    def closed(self, within=5.0):
        """The server ends the connection within so many seconds."""
        end = time.monotonic() + within
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return False
            try:
                data = self.sock.recv(65536)
            except (ConnectionError, OSError):
                return True
            if not data:
                return True
            self.buffer += data

    def finish_sending(self):
        self.sock.shutdown(socket.SHUT_WR)

    def abort(self):
        """Closes with a reset, as a client that crashed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def request(method, target, headers=(), body=None, host="localhost",
            version="HTTP/1.1"):
    """The bytes of a well-formed request. `headers`: dict or pairs."""
    def raw(x):
        return x if isinstance(x, bytes) else str(x).encode("latin-1")

    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    names = {raw(n).lower() for n, _ in pairs}
    lines = [b"%s %s %s" % (raw(method), raw(target), raw(version))]
    if b"host" not in names and host is not None:
        lines.append(b"Host: " + raw(host))
    lines += [raw(n) + b": " + raw(v) for n, v in pairs]
    framed = b"content-length" in names or b"transfer-encoding" in names
    if body is not None and not framed:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def exchange(address, data, tls=None, timeout=15.0, method="GET"):
    """Sends bytes on a connection of their own; returns the one answer."""
    with Client(address, tls, timeout) as c:
        c.send(data)
        return c.read(method)
