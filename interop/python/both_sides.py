"""Our client and a server of somebody else, and what both saw of a connection. What is checked is in servers.py."""

import asyncio
import contextlib
import functools
import hashlib
import itertools
import json
import random
from types import SimpleNamespace

PATIENCE = 10  # seconds for whatever another process is to do
LINE_LIMIT = 1 << 24  # a line holds a message of 1 MiB in hexadecimal


class Server:
    """A server of somebody else, and what it says of its connections."""

    def __init__(self, world, name, *command):
        self.world, self.name, self.command = world, name, command
        self.lines = {}
        self.has_ended = False

    async def start(self):
        self.process = await spawn(*self.command)
        self.ports = json.loads(await asyncio.wait_for(self.process.stdout.readline(), PATIENCE))
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        async for line in self.process.stdout:
            seen = json.loads(line)
            self.line(number_of(seen["path"])).set_result(seen)
        # Nobody shall wait for what it cannot say any more.
        self.has_ended = True
        for line in self.lines.values():
            if not line.done():
                line.set_exception(AssertionError(f"the server {self.name} has ended"))

    def line(self, number):
        assert not self.has_ended, f"the server {self.name} has ended"
        return self.lines.setdefault(number, asyncio.get_running_loop().create_future())

    async def stop(self):
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.reader.cancel()

    def url(self, what, setup="plain", host="127.0.0.1", port=None):
        """An address of its own for each connection."""
        scheme = "wss" if setup.startswith("tls") else "ws"
        mark = f"{'&' if '?' in what else '?'}n={next(self.world.numbers)}"
        return f"{scheme}://{host}:{port or self.ports[setup]}/{what}{mark}"

    async def talk(self, what, *steps, options=(), setup="plain", **where):
        """Has our client connect and take the steps; returns what both sides saw."""
        url = self.url(what, setup, **where)
        if setup.startswith("tls"):
            options = (*options, "--ca", self.world.cert)
        talk = await our_client(self.world, url, steps, options)
        assert talk.opened, f"our client does not connect: {talk.refused['said']}"
        talk.server = await self.saw(url)
        return talk

    async def refused(self, what, *options, setup="plain"):
        """Has our client not connect; returns what it says of that, and at which address."""
        return await no_connection(self.world, self.url(what, setup), *options)

    async def saw(self, url):
        try:
            return await asyncio.wait_for(self.line(number_of(url)), PATIENCE)
        except TimeoutError:
            raise AssertionError("the server says nothing of the connection") from None


def number_of(path):
    return path.rpartition("n=")[2]


async def spawn(*command):
    # setpriv: it ends with us even if we cannot say goodbye.
    pipe = asyncio.subprocess.PIPE
    command = ("setpriv", "--pdeathsig", "KILL", *map(str, command))
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=LINE_LIMIT)


async def our_client(world, url, steps, options):
    process = await spawn(world.client, url, "--runtime", world.runtime, *options)
    script = "".join(json.dumps(step) + "\n" for step in steps).encode()
    try:
        output, _ = await asyncio.wait_for(process.communicate(script), PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    talk = SimpleNamespace(opened=None, messages=[], unsent=[], closed=None, refused=None, server=None)
    for line in output.splitlines():
        [(what, value)] = json.loads(line).items()
        match what:
            case "open":
                talk.opened = value
            case "text":
                talk.messages.append(value)
            case "binary":
                talk.messages.append(bytes.fromhex(value))
            case "unsent":
                talk.unsent.append(value)
            case "closed" | "refused":
                setattr(talk, what, value)
            case _:
                raise AssertionError(f"our client printed {line}")
    assert talk.closed or talk.refused, "our client did not get to the end"
    return talk


async def no_connection(world, url, *options):
    talk = await our_client(world, url, (), options)
    assert not talk.opened, f"our client connects: {talk.opened}"
    return SimpleNamespace(url=url, **({"status": None} | talk.refused))


def send(message):
    return {"text": message} if isinstance(message, str) else {"binary": message.hex()}


@functools.cache
def binary_of(size):
    return bytes((n * 7 + n // 251) % 256 for n in range(size))


@functools.cache
def text_of(size):
    """ASCII that gets at least a third shorter."""
    return " ".join(str(n * 7) for n in range(size // 2 + 1))[:size]


@functools.cache
def noise(size):
    """Bytes that do not get shorter, the same each time."""
    return random.Random(1).randbytes(size)


def same(got, expected, what="got"):
    # As repr has it, which keeps control characters and new lines out of a report.
    assert got == expected, f"{what} {got!r:.120}, not {expected!r:.120}"


def same_messages(talk, *messages):
    """What came back is what was sent, by kind and content, and the server saw the same."""
    same(len(talk.messages), len(messages), f"{talk.closed['said']}; messages:")
    for got, message in zip(talk.messages, messages):
        same(type(got).__name__, type(message).__name__)
        same(got, message)
    same(talk.server["messages"], [digest(message) for message in messages], "the server saw")


def digest(message):
    kind, payload = ("text", message.encode()) if isinstance(message, str) else ("binary", message)
    return [kind, len(payload), hashlib.sha1(payload).hexdigest()]


def ended(talk, by, code, reason="", clean=True):
    end = talk.closed
    same((end["by"], end["code"], end["reason"], end["clean"]), (by, code, reason, clean), "our client ended with")


async def echoes(server, *messages, what="echo", **more):
    """Each comes back before the next is sent."""
    steps = itertools.chain.from_iterable((send(message), "recv") for message in messages)
    talk = await server.talk(what, *steps, **more)
    same_messages(talk, *messages)
    return talk


@contextlib.asynccontextmanager
async def counting(port):
    """A stream to a server and back, with the bytes behind the opening handshake counted each way."""
    relay = SimpleNamespace(counts=[0, 0], port=None)
    tasks = set()

    async def pump(reader, writer, way):
        head = b""
        while data := await reader.read(65_536):
            if b"\r\n\r\n" not in head:
                head += data
                relay.counts[way] = len(head.partition(b"\r\n\r\n")[2])
            else:
                relay.counts[way] += len(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def handle(reader, writer):
        tasks.add(asyncio.current_task())
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(pump(reader, to_writer, 0), pump(to_reader, writer, 1))
        finally:
            to_writer.close()
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
        for task in tasks:
            await asyncio.wait_for(task, PATIENCE)
    finally:
        server.close()
