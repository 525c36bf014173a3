# SPDX-License-Identifier: Apache-2.0
"""Load from many connections, with every single answer counted.

    with Load(gate.address, [request], connections=64) as load:
        ...                       # faults happen here
    assert load.statuses == {200: load.total}

A connection that the server closes is opened again; what was lost with it is
counted in `errors`, by kind. Nothing is sent twice.
"""
import asyncio
import collections
import threading
import time

TIMEOUT = 20.0


class Load:
    def __init__(self, address, requests, connections=16, total=None,
                 pause=0.0, keepalive=True):
        self.address, self.requests = address, requests
        self.connections, self.limit = connections, total
        self.pause, self.keepalive = pause, keepalive
        self.statuses = collections.Counter()
        self.codes = collections.Counter()
        self.errors = collections.Counter()
        self.sent = 0
        self.slowest = 0.0
        self.answers = []       # (time, status), in order of arrival
        self.stopping = False

    @property
    def total(self):
        return sum(self.statuses.values())

    def run(self):
        """Until `total` requests are answered or lost; returns self."""
        asyncio.run(self._all())
        return self

    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self.stopping = True
        self.thread.join(TIMEOUT + 5)
        assert not self.thread.is_alive(), "the load does not end"

    def wait(self, n, within=20.0):
        """Until n more answers have arrived."""
        goal, end = self.total + n, time.monotonic() + within
        while self.total < goal:
            assert time.monotonic() < end, "no answers: %r" % self
            time.sleep(0.005)

    def since(self, when):
        """Statuses of the answers after a time.time()."""
        return collections.Counter(s for t, s in list(self.answers)
                                   if t >= when)

    async def _all(self):
        await asyncio.gather(*(self._worker(i)
                               for i in range(self.connections)))

    def _next(self, i):
        if self.stopping or (self.limit and self.sent >= self.limit):
            return None
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]

    async def _worker(self, i):
        link = None
        while (data := self._next(i)) is not None:
            try:
                if link is None:
                    link = await asyncio.wait_for(self._connect(), TIMEOUT)
                began = time.monotonic()
                open_ = await asyncio.wait_for(self._exchange(link, data),
                                               TIMEOUT)
                self.slowest = max(self.slowest, time.monotonic() - began)
                if not (open_ and self.keepalive):
                    link[1].close()
                    link = None
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self.errors[type(e).__name__] += 1
                if link:
                    link[1].close()
                    link = None
                await asyncio.sleep(0.01)
            if self.pause:
                await asyncio.sleep(self.pause)
        if link:
            link[1].close()

    async def _connect(self):
        if isinstance(self.address, str):
            return await asyncio.open_unix_connection(self.address)
        return await asyncio.open_connection(*self.address)

    async def _exchange(self, link, data):
        reader, writer = link
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:")
        body = b""
        if at >= 0:
            body = await reader.readexactly(int(lower[at + 15:].split()[0]))
        elif b"chunked" in lower:
            raise OSError("chunked answer")
        status = int(head[9:12])
        self.statuses[status] += 1
        self.answers.append((time.time(), status))
        if status >= 400:
            code = body.partition(b'"code"')[2].split(b'"', 2)
            self.codes[code[1].decode() if len(code) > 1 else ""] += 1
        return at >= 0 and b"connection: close" not in lower

    def __repr__(self):
        return "<Load %s codes %s errors %s>" % (
            dict(self.statuses), dict(self.codes), dict(self.errors))
