#!/usr/bin/env python3
"""Peers that mean harm or are broken, against an echo server whose process can be looked at.

    peers.py --echo HOST:PORT --echo-pid PID --broadcast HOST:PORT --broadcast-pid PID [--only TEXT]

Both servers have --handshake-timeout, --keepalive-interval, --pong-timeout, --stall-timeout and --close-timeout 2, and
their limits as they are by default. After each check the server must be well: clients of every version work, no connection is left
over, and its memory is within a bound with a name. Prints a line for each check, with what was measured; the exit
status says the same. Needs Python 3.11 and nothing else.
"""

import argparse
import contextlib
import sys
import threading
import time

import wire
from wire import VERSIONS, Process, Stream, Wrong, frame, open_as, show

# What each of the five waits of the servers is, in seconds.
WAIT = 2.0
# How much later than that an end may come: the machine may be busy.
SLACK = 4.0
MESSAGE_LIMIT = 1 << 20
# What the process may grow by because of one hostile peer, in bytes: a message at its limit, which is copied as it
# grows and once more as its echo, both queues of 256 KiB, one write of 256 KiB, 64 KiB for each thread to read into,
# and what an allocator keeps of all that.
PEER_BOUND = 12 << 20
# And because of a crowd: the bytes that each of them may cost while it is silent.
SILENT_BOUND = 16 << 10
CROWD = 500
ENDLESS = 200 << 20

checks = []


def check(name):
    """Registers a check under its name; it takes the servers, returns what it measured, and fails by an exception."""

    def register(body):
        checks.append((name, body))
        return body

    return register


class Server:
    def __init__(self, addr, pid):
        self.addr = wire.address(addr)
        self.process = Process(pid)
        for version in VERSIONS:
            wire.visit(self.addr, version)
        self.process.settles(0, WAIT)

    @contextlib.contextmanager
    def grows_by(self, bound):
        """Memory at its peak must not exceed what it is now, or was at its peak, by more."""
        before = max(self.process.memory(), self.process.memory("VmHWM") - bound)
        growth = Growth()
        yield growth
        growth.bytes = self.process.memory("VmHWM") - before
        if growth.bytes > bound:
            raise Wrong(f"the server grew by {growth}, more than {bound >> 20} MiB")

    def is_well(self):
        # All that are not gone by now are left over: no wait of the server is longer.
        self.process.settles(0, 3 * WAIT)
        for version in VERSIONS:
            wire.visit(self.addr, version)


class Growth:
    bytes = 0

    def __str__(self):
        return f"{max(self.bytes, 0) / (1 << 20):.1f} MiB"


def within(begin, wait, what):
    took = time.monotonic() - begin
    if not wait * 0.5 <= took <= wait + SLACK:
        raise Wrong(f"{what} after {took:.1f} s, not about {wait:.1f} s")
    return f"{took:.1f} s"


# ---- the opening handshake ---------------------------------------------------------------------------------------


@check(f"X11: {CROWD} streams that say nothing are told so and gone at the deadline")
def _(echo, _):
    with contextlib.ExitStack() as stack, echo.grows_by(CROWD * SILENT_BOUND + PEER_BOUND) as growth:
        begin = time.monotonic()
        streams = [stack.enter_context(Stream(echo.addr)) for _ in range(CROWD)]
        # Others come in meanwhile.
        for version in VERSIONS:
            wire.visit(echo.addr, version)
        for stream in streams:
            stream.allow(WAIT)
            if stream.take_head()[0] != 408:
                raise Wrong("a silent stream got something else than 408")
            if b"HTTP" in stream.take_all():
                raise Wrong("there is more than one answer")
        took = within(begin, WAIT, "the last one is gone")
    return f"{took}, {growth}"


@check("X11: heads that come byte by byte are gone at the deadline, however lively they are")
def _(echo, _):
    begin, gone = time.monotonic(), []
    with contextlib.ExitStack() as stack:
        heads = {stack.enter_context(Stream(echo.addr)): wire.UPGRADE[VERSIONS[n % 3]] for n in range(30)}
        for at in range(10_000):
            for stream, head in list(heads.items()):
                if stream.is_readable():
                    status = stream.take_head()[0]
                    if status != 408:
                        raise Wrong(f"a slow head got {status}")
                    gone.append(within(begin, WAIT, "a slow head is gone"))
                    del heads[stream]
                # The head never ends: one more header line for each byte that is left.
                stream.send(head[at : at + 1] if at < 40 else b"a")
            if not heads:
                break
            time.sleep(0.1)
    if len(gone) != 30:
        raise Wrong(f"{len(heads)} slow heads are still there")
    return f"after {gone[0]} to {gone[-1]}"


@check("X11, K8: a key3 that comes byte by byte does not move the deadline")
def _(echo, _):
    begin = time.monotonic()
    with Stream(echo.addr) as stream:
        stream.send(wire.UPGRADE["draft76"][:-8])
        stream.take_head()
        for _ in range(7):
            stream.send(b"a")
            time.sleep(WAIT / 8)
        if stream.take_all():
            raise Wrong("there was an answer to seven bytes of key3")
        return within(begin, WAIT, "the stream ended")


@check("X12: endless heads are refused at the limit")
def _(echo, _):
    with echo.grows_by(PEER_BOUND) as growth:
        for start in (b"GET /", b"GET / HTTP/1.1\r\nHost: ", b"GET / HTTP/1.1\r\n"):
            with Stream(echo.addr) as stream:
                stream.send(start)
                stream.stuff(b"A: b\r\n" * 10_000 if start.endswith(b"\n") else b"a" * 65_536, 0.5)
                # The answer may be lost with the stream: what is unread when it is closed resets it.
                if (answer := stream.take_all()) and not answer.startswith(b"HTTP/1.1 431 "):
                    raise Wrong(f"the answer is {show(answer)}")
    return str(growth)


@check("X11: resets at every stage of every version")
def _(echo, _):
    count = 0
    for version in VERSIONS:
        head, hello = wire.UPGRADE[version], wire.text(version, b"hello" * 1000)
        close = {"draft75": b"", "draft76": b"\xff\0", "rfc6455": frame(0x88, b"\x03\xe8")}[version]
        stages = [b"", head[:1], head[: len(head) // 2], head[:-1], head, head + hello[:-1], head + hello,
                  head + hello + close, head[:-4], head + hello * 100]  # fmt: skip
        for _ in range(10):
            for stage in stages:
                for late in (False, True):
                    stream = Stream(echo.addr)
                    stream.send(stage)
                    if late and len(stage) >= len(head):
                        stream.take_until(b"\r\n\r\n")
                    stream.reset()
                    count += 1
    return f"{count} resets"


# ---- plain HTTP --------------------------------------------------------------------------------------------------

PLAIN = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@check("R-H5: 1000 pipelined requests get 1000 answers, and an upgrade behind them works")
def _(echo, _):
    with Stream(echo.addr) as stream:
        sending = threading.Thread(target=stream.send, args=(PLAIN * 1000 + wire.UPGRADE["rfc6455"],))
        sending.start()
        for at in range(1000):
            status, headers, _ = stream.take_head()
            if status != 426:
                raise Wrong(f"answer {at} is {status}")
            stream.take(int(headers["content-length"][0]))
        if stream.take_head()[0] != 101:
            raise Wrong("the upgrade was refused")
        sending.join()
        wire.echoes(stream, "rfc6455", b"behind 1000")
        wire.close(stream, "rfc6455")


@check("X11, X18: a client that asks and asks and never reads is bounded in memory, and gone")
def _(echo, _):
    with echo.grows_by(PEER_BOUND) as growth, Stream(echo.addr, 4096) as stream:
        sent = stream.stuff(PLAIN * 1000, 1.0)
        gone = is_gone(echo, WAIT)
    return f"{sent >> 10} KiB sent, gone after {gone:.1f} s, {growth}"


def is_gone(server, wait):
    """Waits until the server has no connection; returns how long that took."""
    begin = time.monotonic()
    while server.process.connections() > 0:
        if time.monotonic() - begin > wait + SLACK:
            raise Wrong("the connection is still there")
        time.sleep(0.05)
    return time.monotonic() - begin


# ---- messages ----------------------------------------------------------------------------------------------------


def endless(echo, version, begin, part, expected):
    """Sends `begin` and endlessly `part`; the server must refuse that, and be rid of it soon."""
    with echo.grows_by(PEER_BOUND) as growth, open_as(echo.addr, version) as stream:
        stream.send(begin)
        sent, start = 0, time.monotonic()
        while sent < ENDLESS and (more := stream.stuff(part, 0.25)):
            sent += more
            if time.monotonic() - start > WAIT + SLACK:
                raise Wrong("the server is not rid of it")
        stream.finish()
        # What it sent must be there even if the stream was reset in the end.
        seen = stream.take_all()
        if seen != expected:
            raise Wrong(f"the server sent {show(seen)}, not {show(expected)}")
    return f"{sent >> 20} MiB sent, {growth}"


TOO_BIG = b"\x88\x02\x03\xf1"
PART = b"a" * (1 << 20)


@check("X15: an endless text of draft-75 ends at the message limit")
def _(echo, _):
    return endless(echo, "draft75", b"\0", PART, b"")


@check("X15: an endless text of draft-76 ends at the message limit")
def _(echo, _):
    return endless(echo, "draft76", b"\0", PART, b"\xff\0")


@check("X14: a frame of 200 MB is refused at its header")
def _(echo, _):
    return endless(echo, "rfc6455", b"\x81\xff" + ENDLESS.to_bytes(8, "big") + bytes(4), PART, TOO_BIG)


@check("R-F17, X17: an endless message in fragments ends at the message limit")
def _(echo, _):
    return endless(echo, "rfc6455", frame(1, b"a"), frame(0, b"a" * 65_536), TOO_BIG)


@check("X17: endless empty fragments end at the fragment limit")
def _(echo, _):
    return endless(echo, "rfc6455", frame(1, b"a"), frame(0, b"") * 10_000, TOO_BIG)


@check("R-X11, D76-X2: a flood behind the close is discarded")
def _(echo, _):
    first = endless(echo, "rfc6455", frame(0x88, b"\x03\xe8"), PART, b"\x88\x02\x03\xe8")
    return first + "; " + endless(echo, "draft76", b"\xff\0", PART, b"\xff\0")


# ---- peers that do not read --------------------------------------------------------------------------------------


@check("R-F13: 20,000 pings of one who reads are answered, no more than once each, the last one too")
def _(echo, _):
    with echo.grows_by(PEER_BOUND) as growth, open_as(echo.addr, "rfc6455") as stream:
        pings = b"".join(frame(0x89, b"%05d" % n + b"x" * 100) for n in range(20_000))
        sending = threading.Thread(target=stream.send, args=(pings + frame(0x81, b"done"),))
        sending.start()
        last, count = b"", 0
        while (seen := wire.take_frame(stream))[0] == 0x8A:
            if seen[1] <= last:
                raise Wrong(f"{show(seen[1])} was answered after {show(last)}")
            last, count = seen[1], count + 1
        sending.join()
        if seen != (0x81, b"done"):
            raise Wrong(f"instead of the message there was {show(seen[1])}")
    return f"{count} pongs, {growth}"


def never_reads(echo, version, part):
    """Stuffs the server and reads nothing; it must be gone within its waits."""
    with echo.grows_by(PEER_BOUND) as growth, open_as(echo.addr, version, 4096) as stream:
        sent = stream.stuff(part, 1.0)
        # The ping, and its pong that does not come; what was still read before may begin them anew.
        gone = is_gone(echo, 4 * WAIT)
    return f"{sent >> 10} KiB sent, gone after {gone:.1f} s, {growth}"


@check("X18: who pings and never reads is bounded in memory, and gone")
def _(echo, _):
    return never_reads(echo, "rfc6455", frame(0x89, b"x" * 125) * 1000)


@check("X18: who sends messages and never reads the echoes is bounded in memory, and gone")
def _(echo, _):
    return never_reads(echo, "rfc6455", frame(0x81, b"x" * 60_000))


@check("X18: who does so in the drafts, which have no ping, is bounded in memory, and gone")
def _(echo, _):
    gone = []
    with echo.grows_by(PEER_BOUND) as growth:
        for version in ("draft75", "draft76"):
            with open_as(echo.addr, version, 4096) as stream:
                stream.stuff(b"\0" + b"x" * 60_000 + b"\xff", 1.0)
                # The stall timeout, and half as much more if something was still taken after it began.
                gone.append(is_gone(echo, 1.5 * WAIT))
    return f"gone after {gone[0]:.1f} and {gone[1]:.1f} s, {growth}"


@check("X18: who never reads and is never silent is gone")
def _(echo, _):
    ping = frame(0x89, b"x" * 125)
    with echo.grows_by(PEER_BOUND) as growth, open_as(echo.addr, "rfc6455", 4096) as stream:
        # All of it is read, as pongs that have no room are left out; those that have it fill the stream.
        stream.stuff(ping * 1000, 2.0)
        begin = time.monotonic()
        while echo.process.connections() > 0:
            if time.monotonic() - begin > 1.5 * WAIT + SLACK:
                raise Wrong("the connection is still there")
            stream.send(ping)
            time.sleep(0.05)
    return f"gone after {time.monotonic() - begin:.1f} s, {growth}"


@check("X18: a broadcast is rid of those who never read, and the others miss nothing")
def _(_, broadcast):
    text, count = b"y" * 60_000, 200
    with contextlib.ExitStack() as stack, broadcast.grows_by(4 * PEER_BOUND) as growth:
        for version in VERSIONS * 2:
            stack.enter_context(open_as(broadcast.addr, version, 4096))
        readers = [(stack.enter_context(open_as(broadcast.addr, version)), version) for version in VERSIONS]
        # They are in the server's list once they hear themselves; then each has heard all that came before.
        for stream, version in readers:
            stream.send(wire.text(version, b"in " + version.encode()))
            while wire.take_text(stream, version) != b"in " + version.encode():
                pass
        speaker, speaks = readers[0]
        for at in range(count):
            speaker.send(wire.text(speaks, b"%d " % at + text))
            for stream, version in readers:
                while (heard := wire.take_text(stream, version)).startswith(b"in "):
                    pass
                if heard != b"%d " % at + text:
                    raise Wrong(f"{version} heard {show(heard)} instead of message {at}")
        broadcast.process.settles(len(readers), 2 * WAIT)
    return str(growth)


# ------------------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("echo", "broadcast"):
        parser.add_argument(f"--{name}", required=True)
        parser.add_argument(f"--{name}-pid", required=True, type=int)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    echo = Server(options.echo, options.echo_pid)
    broadcast = Server(options.broadcast, options.broadcast_pid)
    failed = False
    for name, body in checks:
        if options.only not in name:
            continue
        begin = time.monotonic()
        try:
            measured = body(echo, broadcast)
            echo.is_well()
            broadcast.is_well()
        except (Wrong, OSError) as error:
            failed = True
            print(f"not ok - hostile: {name}: {error}", flush=True)
        else:
            print(f"ok - hostile: {name} ({measured or 'done'}; {time.monotonic() - begin:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
