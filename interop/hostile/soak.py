#!/usr/bin/env python3
"""A soak: good and bad peers, mixed by a seed, against an echo server whose process can be looked at.

    soak.py --echo HOST:PORT --echo-pid PID [--seconds 25] [--seed 1]

The server has --handshake-timeout, --keepalive-interval, --pong-timeout, --stall-timeout and --close-timeout 2. A
first part warms up; then all peers leave, and what the server holds is the measure for what it holds at the end, when they have left again:
memory, sockets, threads. Every message of every good peer must come back. Needs Python 3.11 and nothing else.
"""

import argparse
import collections
import pathlib
import random
import sys
import threading
import time

import tables
import wire
from wire import VERSIONS, Process, Stream, Wrong, frame, show

# What each of the five waits of the server is, in seconds.
WAIT = 2.0
WARM_UP = 0.3
GOOD, BAD = 8, 12
# The longest pause of a peer between two connections. Without one, a minute would use up the machine's ports.
PAUSE = 0.15
# What the server may hold more of at the end than after the warm-up: what an allocator keeps and not what a leak
# grows by, which is more with each of the thousands of peers.
MEMORY_BOUND = 8 << 20
THREAD_BOUND = 4
HOLDINGS = ("bytes", "sockets", "threads")
BOUNDS = (MEMORY_BOUND, 0, THREAD_BOUND)


class Soak:
    def __init__(self, addr, process, seed):
        self.addr, self.process, self.seed = addr, process, seed
        self.rounds = 0
        self.counts = collections.Counter()
        self.errors = []
        self.lock = threading.Lock()
        self.cases = []
        for path in sorted(tables.FOLDER.glob("handshakes/*.toml")) + sorted(tables.FOLDER.glob("frames/*.toml")):
            self.cases += tables.load(path)

    def run(self, seconds):
        """Lets all peers loose for so long, and waits until they are gone."""
        self.rounds += 1
        end = time.monotonic() + seconds
        bodies = [visitor] * GOOD + [vandal] * BAD + [resident(version) for version in VERSIONS]
        threads = []
        for number, body in enumerate(bodies):
            rng = random.Random(f"{self.seed} {self.rounds} {number}")
            threads.append(threading.Thread(target=self.loop, args=(body, rng, end), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0) + 3 * wire.PATIENCE)
            if thread.is_alive():
                raise Wrong("a peer does not end")
        self.process.settles(0, 3 * WAIT)
        if self.errors:
            raise Wrong(f"{len(self.errors)} good peers failed: {self.errors[0]}")

    def loop(self, body, rng, end):
        while time.monotonic() < end:
            try:
                done = body(self, rng, end)
            except (Wrong, OSError) as error:
                # What happens to a bad peer does not matter here; that it ends does.
                done = "bad"
                if body is not vandal:
                    self.errors.append(f"{type(error).__name__}: {error}")
                    return
            with self.lock:
                self.counts[done] += 1
            time.sleep(rng.uniform(0, PAUSE))

    def holds(self):
        process = self.process
        return process.memory(), process.sockets(), process.threads()


def payload(rng):
    size = rng.choice((0, 1, 125, 126, 1000, 65_535, 65_536, rng.randrange(200_000)))
    return "".join(rng.choices("abcdefgh ☃é👋", k=64)).encode() * (size // 64) + b"x" * (size % 64)


def visitor(soak, rng, _):
    """A good peer that comes, says a few things and goes."""
    wire.visit(soak.addr, rng.choice(VERSIONS), [payload(rng) for _ in range(rng.randrange(1, 5))])
    return "good"


def resident(version):
    """A good peer that stays all the time."""

    def stay(soak, rng, end):
        with wire.open_as(soak.addr, version) as stream:
            while time.monotonic() < end:
                stream.allow(0)
                wire.echoes(stream, version, payload(rng))
                time.sleep(rng.uniform(0, PAUSE))
            wire.close(stream, version)
        return "resident"

    return stay


def vandal(soak, rng, _):
    """A bad peer of some kind."""
    with Stream(soak.addr, rng.choice((None, 4096))) as stream:
        rng.choice(MISDEEDS)(soak, rng, stream)
        if rng.random() < 0.5:
            stream.reset()
    return "bad"


def break_a_table(soak, rng, stream):
    """Sends a case of the tables, perhaps cut off, perhaps after another, and may wait for what comes."""
    for case in rng.choices(soak.cases, k=rng.randrange(1, 3)):
        if case["is_frames"]:
            stream.send(wire.UPGRADE[case["version"]])
        data = tables.octets(case["send"])
        stream.send(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data)
    if rng.random() < 0.5:
        stream.finish()
        stream.take_all()


def send_noise(_, rng, stream):
    if rng.random() < 0.5:
        stream.send(wire.UPGRADE[rng.choice(VERSIONS)])
    stream.send(rng.randbytes(rng.randrange(1, 5000)))


def say_nothing(_, rng, stream):
    if rng.random() < 0.5:
        stream.send(wire.UPGRADE[rng.choice(VERSIONS)][: rng.randrange(20)])
    time.sleep(rng.choice((0, 0.5, 1.5 * WAIT)))


def flood_unread(_, rng, stream):
    version = rng.choice(VERSIONS)
    stream.send(wire.UPGRADE[version])
    parts = [wire.text(version, b"x" * 60_000), wire.text(version, b"") * 1000, b"GET / HTTP/1.1\r\n\r\n" * 100]
    if version == "rfc6455":
        parts += [frame(0x89, b"x" * 125) * 500, frame(1, b"")]
    stream.stuff(rng.choice(parts), rng.uniform(0, 0.3))


MISDEEDS = (break_a_table, break_a_table, send_noise, say_nothing, flood_unread)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--echo", required=True)
    parser.add_argument("--echo-pid", required=True, type=int)
    parser.add_argument("--seconds", type=float, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    soak = Soak(wire.address(options.echo), Process(options.echo_pid), options.seed)
    try:
        soak.run(options.seconds * WARM_UP)
        before = soak.holds()
        soak.run(options.seconds * (1 - WARM_UP))
        after = soak.holds()
        grown = [late - early for early, late in zip(before, after, strict=True)]
        for what, growth, bound in zip(HOLDINGS, grown, BOUNDS, strict=True):
            if growth > bound:
                raise Wrong(f"the server has {growth} {what} more than after the warm-up; {bound} may be")
    except (Wrong, OSError) as error:
        print(f"not ok - soak: seed {options.seed}: {show(str(error), 1000)}")
        return 1
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(soak.counts.items()))
    measured = f"{before[0] / (1 << 20):.1f} MiB after the warm-up, {after[0] / (1 << 20):.1f} MiB at the end"
    lasted = f"{options.seconds:.0f} s, seed {options.seed}"
    print(f"ok - soak: {lasted}: {counts}; {measured}; threads {before[2]}, {after[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
