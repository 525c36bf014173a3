# SPDX-License-Identifier: Apache-2.0
"""The backend of the tests: echoes what it saw, and keeps every byte of it.

It runs on a thread of its own. An answer is JSON {method, target, headers,
length}. A request may order misbehaviour by `X-Behave: a=b&c=d`:
status=N, size=N (bytes of body), delay=S (seconds before the answer), hang=1
(no answer), close=1 (close without an answer), fresh=1 (the same, unless it
is the first request of its connection), cut=1 (half an answer),
trickle=S (seconds between bytes), header=Name:Value, upgrade=1 (101, then
echo), wait=NAME (until Backend.release(NAME)).
"""
import asyncio
import collections
import json
import threading
import time
import urllib.parse

KEEP = 200_000          # requests remembered
KEEP_BODY = 64 * 1024   # bytes remembered of each body
MAX_HEAD = 256 * 1024


class Seen:
    """A request as the backend received it. `odd` says what a strict reader
    would reject in it: such bytes must never get here."""

    def __init__(self, connection, head):
        self.connection, self.head = connection, head
        self.time = time.time()
        self.body, self.length, self.odd = b"", 0, []
        lines = head.split(b"\r\n")
        if any(b"\n" in x or b"\r" in x for x in lines):
            self.odd.append("bare CR or LF")
        first = lines[0].split(b" ")
        if len(first) != 3 or not first[2].startswith(b"HTTP/1."):
            self.odd.append("request line %r" % lines[0])
        self.method = first[0].decode("latin-1")
        self.target = first[1].decode("latin-1") if len(first) > 1 else ""
        self.headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or name != name.strip() or not name:
                self.odd.append("header line %r" % line)
            self.headers.append((name.decode("latin-1"),
                                 value.strip(b" \t").decode("latin-1")))

    def all(self, name):
        name = name.lower()
        return [v for n, v in self.headers if n.lower() == name]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    @property
    def path(self):
        return self.target.partition("?")[0]

    def __repr__(self):
        return "<Seen %s %s>" % (self.method, self.target)


class Backend:
    """`requests` holds what was seen, oldest first; `count` never shrinks."""

    def __init__(self, port=0, path=None):
        self.port, self.path = port, path
        self.requests = collections.deque(maxlen=KEEP)
        self.count = self.connections = 0
        self.waiting = {}
        self._tasks = set()

    # ---- of the tests' thread

    def start(self):
        ready = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, args=(ready,),
                                       daemon=True)
        self.thread.start()
        ready.wait(10)
        return self

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def seen(self, token):
        """Requests whose target or headers hold `token`."""
        token = token.encode() if isinstance(token, str) else token
        return [r for r in list(self.requests) if token in r.head]

    def wait_seen(self, token, n=1, within=10.0):
        end = time.monotonic() + within
        while len(self.seen(token)) < n:
            if time.monotonic() > end:
                raise AssertionError("the backend never saw %s" % token)
            time.sleep(0.01)
        return self.seen(token)

    def release(self, name):
        def go():
            self.waiting.setdefault(name, asyncio.Event()).set()
        self.loop.call_soon_threadsafe(go)

    # ---- of the backend's own thread

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        if self.path:
            server = asyncio.start_unix_server(self._serve, self.path)
        else:
            server = asyncio.start_server(self._serve, "127.0.0.1", self.port,
                                          limit=MAX_HEAD, backlog=2048)
        self.server = self.loop.run_until_complete(server)
        if not self.path:
            self.port = self.server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader, writer):
        self.connections += 1
        connection, first = self.connections, True
        try:
            while await self._one(connection, first, reader, writer):
                first = False
        except (OSError, asyncio.IncompleteReadError,
                asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, connection, first, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        seen = Seen(connection, head[:-4])
        self.count += 1
        self.requests.append(seen)
        await self._body(seen, reader)
        orders = dict(urllib.parse.parse_qsl(seen.get("X-Behave", "")))
        if "fresh" in orders and not first:
            return False
        if not orders:
            writer.write(_answer(seen, {}))
        elif not await self._misbehave(seen, orders, reader, writer):
            return False
        await writer.drain()
        return "close" not in seen.get("Connection", "").lower() \
            and b"HTTP/1.0" not in head.split(b"\r\n")[0]

    async def _body(self, seen, reader):
        lengths = seen.all("Content-Length")
        codings = seen.all("Transfer-Encoding")
        if codings and lengths:
            seen.odd.append("length and transfer coding")
        if len(lengths) > 1 or (lengths and not lengths[0].isdigit()):
            seen.odd.append("lengths %r" % lengths)
        if codings:
            if codings != ["chunked"]:
                seen.odd.append("transfer codings %r" % codings)
            while True:
                size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
                await self._piece(seen, reader, size)
                await reader.readexactly(2)
                if size == 0:
                    return
        elif lengths and lengths[0].isdigit():
            await self._piece(seen, reader, int(lengths[0]))

    async def _piece(self, seen, reader, left):
        while left:
            data = await reader.read(min(left, 65536))
            if not data:
                raise ConnectionResetError
            left -= len(data)
            seen.length += len(data)
            if len(seen.body) < KEEP_BODY:
                seen.body += data

    async def _misbehave(self, seen, orders, reader, writer):
        if "wait" in orders:
            await self.waiting.setdefault(orders["wait"],
                                          asyncio.Event()).wait()
        if "delay" in orders:
            await asyncio.sleep(float(orders["delay"]))
        if "hang" in orders:
            await reader.read()
            return False
        if "close" in orders:
            return False
        if "upgrade" in orders:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n"
                         b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
            return False
        answer = _answer(seen, orders)
        if "cut" in orders:
            writer.write(answer[:len(answer) - len(answer) // 4])
            await writer.drain()
            return False
        if "trickle" in orders:
            for i in range(0, len(answer), 16):
                writer.write(answer[i:i + 16])
                await writer.drain()
                await asyncio.sleep(float(orders["trickle"]))
            return True
        writer.write(answer)
        return True


def _answer(seen, orders):
    body = json.dumps({"method": seen.method, "target": seen.target,
                       "headers": seen.headers,
                       "length": seen.length}).encode()
    if "size" in orders:
        body = b"x" * int(orders["size"])
    head = b"HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\n" \
           % int(orders.get("status", 200))
    if "header" in orders:
        head += orders["header"].replace(":", ": ", 1).encode() + b"\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    return head + (b"" if seen.method == "HEAD" else body)
