"""What is measured: the servers and the scenarios. Nothing here runs anything."""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class Server:
    """A program and how it is started; `protocol` is what the generator speaks with it."""

    name: str
    package: str
    binary: str
    arguments: tuple = ()
    protocol: str = "rfc6455"
    broadcasts: bool = False
    sends_by_id: bool = False
    # What it may run on; the generator has core 1.
    cores: str = "0"

    @property
    def is_raw(self):
        return self.protocol == "raw"


def ours(runtime, protocol="rfc6455"):
    name = f"ours-{runtime}" + ("" if protocol == "rfc6455" else f"-{protocol}")
    return Server(name, "servers", f"ours-{runtime}", (), protocol, True, True)


def ours_on_both_cores(how, **what):
    name = f"ours-tokio-{how}"
    return Server(name, "two-threads", name, cores="0,1", **what)


def peer(binary, batch=False, broadcasts=False):
    name = binary + ("-batch" if batch else "")
    return Server(name, "peers", binary, ("--batch",) if batch else (), "rfc6455", broadcasts)


def deflate(binary, package, batch=False):
    name = binary + ("-batch" if batch else "")
    return Server(name, package, binary, ("--batch",) if batch else (), "deflate")


SERVERS = [
    Server("raw-tokio", "servers", "raw-tokio", (), "raw", broadcasts=True),
    Server("raw-smol", "servers", "raw-smol", (), "raw"),
    Server("raw-async-std", "servers", "raw-async-std", (), "raw"),
    # io_uring: what another runtime could win.
    Server("raw-tokio-uring", "peers", "raw-tokio-uring", (), "raw"),
    Server("raw-monoio", "peers", "raw-monoio", (), "raw"),
    ours("tokio"),
    ours("smol"),
    ours("async-std"),
    ours("tokio", "draft76"),
    ours("tokio", "draft75"),
    ours_on_both_cores("2-workers", broadcasts=True, sends_by_id=True),
    ours_on_both_cores("2-servers"),
    Server("uwebsockets", "uwebsockets", "uwebsockets", broadcasts=True),
    deflate("ours-tokio-deflate", "deflate"),
    deflate("uwebsockets-deflate", "uwebsockets"),
    deflate("yawc-deflate", "deflate-peers"),
    deflate("yawc-deflate", "deflate-peers", batch=True),
    peer("tokio-tungstenite", broadcasts=True),
    peer("tokio-tungstenite", batch=True, broadcasts=True),
    peer("fastwebsockets", broadcasts=True),
    peer("fastwebsockets", batch=True),
    peer("tokio-websockets", broadcasts=True),
    peer("tokio-websockets", batch=True, broadcasts=True),
    peer("yawc"),
    peer("yawc", batch=True),
    peer("soketto"),
    peer("soketto", batch=True),
    peer("async-tungstenite"),
    peer("async-tungstenite", batch=True),
]

# What every ratio is to, in the same run.
CEILING = "raw-tokio"

# So that a process with its own few files stays within its limit.
SPARE_FILES = 64
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@dataclass(frozen=True)
class Scenario:
    """A load of the generator, and which servers can carry it."""

    name: str
    about: str
    load: tuple
    connections: int
    size: int = 16
    mode: str = "echo"
    script: str = "ascii"
    # Measured to count system calls and allocations; None where only time or memory is measured.
    messages: int | None = 4000
    # Longer than the default where a message takes long.
    window: int = 1000
    unit: str = "message"
    is_memory: bool = False

    def suits(self, server):
        if server.protocol == "deflate" and self.script != "records":
            return False
        if self.mode == "broadcast":
            return server.broadcasts
        if self.mode == "by-id":
            return server.sends_by_id
        if self.load[0] == "handshakes":
            return not server.is_raw
        return True

    def arguments(self, server):
        return [
            "--protocol", server.protocol,
            "--connections", str(min(self.connections, FILES - SPARE_FILES)),
            "--size", str(self.size),
            "--script", self.script,
        ]


def echo(in_flight):
    return ("echo", "--in-flight", str(in_flight))


def broadcast(in_flight):
    return ("broadcast", "--in-flight", str(in_flight))


PACE = ("paced", "--rate", "20000")

SCENARIOS = [
    Scenario("tiny", "16 B, 1 in flight, 64 connections", echo(1), 64),
    Scenario("pipelined", "16 B, 32 in flight, 64 connections", echo(32), 64, messages=64 * 32 * 20),
    Scenario("small", "1 KiB, 8 in flight, 64 connections", echo(8), 64, 1024, messages=64 * 8 * 20),
    Scenario("medium", "16 KiB of ASCII, 4 in flight, 16 connections", echo(4), 16, 16 << 10, messages=64 * 40),
    Scenario("medium-utf8", "16 KiB of mixed UTF-8, 4 in flight, 16 connections", echo(4), 16, 16 << 10,
             script="mixed", messages=64 * 40),
    Scenario("records", "4 KiB of JSON, 4 in flight, 64 connections", echo(4), 64, 4 << 10, script="records",
             messages=64 * 4 * 20),
    Scenario("large", "1 MiB, 1 in flight, 4 connections", echo(1), 4, 1 << 20, messages=200),
    Scenario("handshake", "opening handshakes, 16 at a time", ("handshakes",), 16, unit="handshake", messages=2000),
    Scenario("broadcast", "16 B to 500, 1 in flight", broadcast(1), 500, mode="broadcast", unit="delivery",
             messages=500 * 40),
    Scenario("broadcast16", "16 B to 500, 16 in flight", broadcast(16), 500, mode="broadcast", unit="delivery",
             messages=500 * 16 * 10),
    Scenario("by-id", "16 B to one of 20,000 connections by its id, 64 in flight", ("by-id",), 20_000, 18,
             mode="by-id"),
    Scenario("growth-100", "16 B, 20,000 messages a second over 100 connections", PACE, 100, messages=None),
    Scenario("growth-1000", "the same over 1,000", PACE, 1_000, messages=None),
    Scenario("growth-10000", "the same over 10,000", PACE, 10_000, messages=None),
    Scenario("idle", "5,000 connections after one 1 KiB echo", ("idle",), 5_000, 1024, messages=None, is_memory=True),
    Scenario("idle-20000", "20,000 connections after one 1 KiB echo", ("idle",), 20_000, 1024, messages=None,
             is_memory=True),
]

# What CI runs: ours and the ceiling, counts that do not depend on the machine, and a look at the time.
QUICK_SERVERS = ["raw-tokio", "ours-tokio", "ours-smol", "ours-async-std", "ours-tokio-draft76", "ours-tokio-deflate"]
QUICK_SCENARIOS = ["tiny", "pipelined", "small", "medium", "records", "large", "handshake", "broadcast16", "idle"]


def pick(kind, things, names):
    """Returns the things with these names, and says which name is wrong."""
    if names is None:
        return things
    by_name = {thing.name: thing for thing in things}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"no such {kind}: {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]
