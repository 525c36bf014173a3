# SPDX-License-Identifier: Apache-2.0
"""A session that ends while it is asked for: the reply is older than the
message that it is over, and comes after it."""
import re
import socket
import threading

import pytest

from lib.fake_idp import FakeIdp
from lib.site import Site, fake_item, start_idp
from lib.stack import Stack


class Between:
    """Between a gate and Redis. When armed, the session that is asked for is
    deleted as soon as Redis answered, and the answer waits for the message."""

    def __init__(self, path, redis):
        self.redis, self.armed, self.turned = redis, False, 0
        self.message = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o777)
        self.listener.listen(8)
        self.sockets = [self.listener]
        self.run(self.accept)

    def run(self, what, *args):
        threading.Thread(target=what, args=args, daemon=True).start()

    def accept(self):
        while True:
            try:
                gate, _ = self.listener.accept()
            except OSError:
                return
            store = socket.socket(socket.AF_UNIX)
            store.connect(str(self.redis.sock))
            self.sockets += [gate, store]
            asked = []
            self.run(self.carry, gate, store, self.question, asked)
            self.run(self.carry, store, gate, self.answer, asked)

    def carry(self, source, to, look, asked):
        try:
            while data := source.recv(65536):
                look(data, asked)
                to.sendall(data)
                if b"gh:session-revoked" in data and b"message" in data:
                    self.message.set()
        except OSError:
            pass
        for s in (source, to):
            s.close()

    def question(self, data, asked):
        found = re.search(rb"GET\r\n\$\d+\r\n(gh:{s:([0-9a-f]+)})", data)
        if self.armed and found:
            asked.append(found.groups())

    def answer(self, data, asked):
        if not asked:
            return
        key, d = asked.pop()
        self.armed = False
        self.message.clear()
        client = self.redis.client()
        client.delete(key)
        client.publish("gh:session-revoked", d)
        self.turned += self.message.wait(1)

    def close(self):
        for s in self.sockets:
            s.close()


@pytest.fixture(scope="module")
def site():
    with Stack(workers=1) as stack, FakeIdp() as provider:
        start_idp(stack)
        origin = "https://localhost:%d" % stack.gate.tls_port
        yield Site(stack, provider, fake_item(provider, origin, "fake"),
                   "fake")


def test_a_session_that_ends_while_it_is_asked_for_is_not_kept(site):
    stack = site.stack
    between = Between(stack.dir / "sock/between.sock", stack.redis)
    gate = stack.add_gate(workers=1,
                          redis_sock=stack.dir / "sock/between.sock")
    stack.expect("redis .*(closed|timed out|no reply)")
    page = "https://localhost:%d%s/x" % (gate.tls_port, site.scene.path)
    came = 0
    for _ in range(20):     # the gate waits 20 ms for Redis, and no longer
        browser = site.login()
        between.armed = True
        first = browser.once("GET", page)
        assert first.status in (200, 302, 503), first
        second = browser.once("GET", page)
        assert second.status != 200, "a session that is over was kept"
        came += first.status == 200
        if came == 3:
            break
    between.close()
    assert came and between.turned, "no reply came in time"
