"""What is measured: the servers and the scenarios. Nothing here runs anything."""

import fnmatch
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
    has_topics: bool = False
    # What it may run on; the generator has core 1.
    cores: str = "0"
    speaks_tls: bool = False
    # Whether there is a build that counts its allocations.
    counts: bool = True
    needs_redis: bool = False
    # Whether it subscribes to each topic that its clients have joined.
    subscribes: bool = False

    @property
    def is_node(self):
        return self.needs_redis or "--node" in self.arguments

    @property
    def is_raw(self):
        return self.protocol == "raw"

    @property
    def compresses(self):
        return self.protocol in ("deflate", "contexts")


def ours(runtime, protocol="rfc6455"):
    name = f"ours-{runtime}" + ("" if protocol == "rfc6455" else f"-{protocol}")
    return Server(name, "servers", f"ours-{runtime}", (), protocol, True, True, True)


def ours_on_both_cores(how, **what):
    name = f"ours-tokio-{how}"
    return Server(name, "two-threads", name, cores="0,1", **what)


def peer(binary, batch=False, broadcasts=False):
    name = binary + ("-batch" if batch else "")
    return Server(name, "peers", binary, ("--batch",) if batch else (), "rfc6455", broadcasts)


def deflate(binary, package, batch=False):
    name = binary + ("-batch" if batch else "")
    return Server(name, package, binary, ("--batch",) if batch else (), "deflate")


def contexts(name, package, binary, **what):
    return Server(name, package, binary, ("--contexts",), "contexts", **what)


def tls(name, package, binary, arguments=(), protocol="rfc6455", broadcasts=False):
    return Server(name, package, binary, arguments, protocol, broadcasts, speaks_tls=True)


def node(name, package, protocol="rfc6455", **what):
    return Server(name, package, name, (), protocol, counts=False, needs_redis=True, **what)


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
    Server("uwebsockets", "uwebsockets", "uwebsockets", broadcasts=True, has_topics=True),
    deflate("ours-tokio-deflate", "deflate"),
    deflate("uwebsockets-deflate", "uwebsockets"),
    deflate("yawc-deflate", "deflate-peers"),
    deflate("yawc-deflate", "deflate-peers", batch=True),
    contexts("ours-tokio-contexts", "deflate", "ours-tokio-deflate"),
    contexts("uwebsockets-contexts", "uwebsockets", "uwebsockets-deflate"),
    contexts("ws-contexts", "node", "ws-contexts", counts=False),
    tls("raw-tokio-tls", "tls", "raw-tokio-tls", protocol="raw"),
    tls("ours-tokio-tls", "tls", "ours-tokio-tls", broadcasts=True),
    tls("ours-smol-tls", "tls", "ours-smol-tls", broadcasts=True),
    tls("uwebsockets-tls", "uwebsockets", "uwebsockets-tls", broadcasts=True),
    tls("tokio-tungstenite-tls", "peers", "tokio-tungstenite", broadcasts=True),
    tls("tokio-tungstenite-tls-batch", "peers", "tokio-tungstenite", ("--batch",), broadcasts=True),
    tls("fastwebsockets-tls", "peers", "fastwebsockets", broadcasts=True),
    tls("fastwebsockets-tls-batch", "peers", "fastwebsockets", ("--batch",)),
    Server("ours-tokio-node", "servers", "ours-tokio", ("--node",)),
    node("raw-tokio-redis", "cluster", "raw"),
    node("ours-tokio-redis", "cluster", subscribes=True),
    node("socket-io-redis", "node", "socket-io"),
    peer("tokio-tungstenite", broadcasts=True),
    peer("tokio-tungstenite", batch=True, broadcasts=True),
    peer("fastwebsockets", broadcasts=True),
    peer("fastwebsockets", batch=True, broadcasts=True),
    peer("tokio-websockets", broadcasts=True),
    peer("tokio-websockets", batch=True, broadcasts=True),
    peer("yawc"),
    peer("yawc", batch=True),
    peer("soketto"),
    peer("soketto", batch=True),
    peer("async-tungstenite"),
    peer("async-tungstenite", batch=True),
]

# Whose versions a result names.
LIBRARIES = ["tokio-tungstenite", "fastwebsockets", "tokio-websockets", "yawc", "soketto", "async-tungstenite",
             "libuwebsockets-sys"]

# Whom people compare, each in the better of its forms: the short picture.
SHORT = {"raw TCP": ["raw-tokio"], "ours on tokio": ["ours-tokio"], "ours on smol": ["ours-smol"], "uWebSockets": ["uwebsockets"],
         "tokio-tungstenite": ["tokio-tungstenite", "tokio-tungstenite-batch"],
         "fastwebsockets": ["fastwebsockets", "fastwebsockets-batch"],
         "tokio-websockets": ["tokio-websockets", "tokio-websockets-batch"], "yawc": ["yawc", "yawc-batch"]}
SHORT_SCENARIOS = ["tiny", "pipelined", "small", "medium", "large", "broadcast16"]

# What every ratio is to, in the same run; and where all is inside of TLS.
CEILING = "raw-tokio"
CEILING_TLS = "raw-tokio-tls"

# Whose latency is shown side by side; the others would only make the run longer.
COMPARED = ["raw-tokio", "ours-tokio", "ours-smol", "uwebsockets", "tokio-tungstenite", "fastwebsockets", "tokio-websockets"]

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
    # How many windows it lasts: more where rare things are looked for.
    windows: int = 1
    unit: str = "message"
    is_memory: bool = False
    # What its result is: what a message costs, or a table of its own.
    shows: str = "cost"
    # The rate of an open loop, as a percentage of what the slowest server can do.
    share: int | None = None
    # A storm opens new connections before the server has closed the old ones.
    generations: int = 1

    # The nodes of a cluster; the generator publishes on the first one.
    nodes: int = 0
    # Those that have one member each; 0 where all are members of one topic.
    topics: int = 0
    # The names of the servers that it is for, where the rules below do not say it.
    only: tuple = ()

    is_tls: bool = False
    # Whether clients ask as a browser does, with all of its headers.
    is_browser: bool = False

    @property
    def ceiling(self):
        return CEILING_TLS if self.is_tls else CEILING

    @property
    def restarts_redis(self):
        return self.topics > 0

    @property
    def channels(self):
        """What Redis knows when all nodes have subscribed: each topic, one channel for each node, and one for all."""
        return self.topics + self.nodes + 1

    def suits(self, server):
        if self.only or server.is_node:
            return server.name in self.only
        if self.shows != "cost" and server.name not in COMPARED:
            return False
        if self.is_browser and server.protocol != "rfc6455":
            return False
        if server.speaks_tls != self.is_tls or server.compresses and self.script != "records":
            return False
        if self.mode == "broadcast":
            return server.broadcasts
        if self.mode == "by-id":
            return server.sends_by_id
        if self.mode == "topics":
            return server.has_topics
        if self.load[0] == "handshakes":
            return not server.is_raw
        return True

    def arguments(self, server):
        return [
            "--protocol", "browser" if self.is_browser else server.protocol,
            "--connections", str(min(self.connections, (FILES - SPARE_FILES) // self.generations)),
            "--size", str(self.size),
            "--script", self.script,
        ]


def echo(in_flight):
    return ("echo", "--in-flight", str(in_flight))


def broadcast(in_flight):
    return ("broadcast", "--in-flight", str(in_flight))


def crowd(count):
    """A row of the cost of a broadcast against the number of receivers."""
    return Scenario(f"broadcast-{count}", f"16 B to {count:,}, 1 in flight", broadcast(1), count, mode="broadcast",
                    unit="delivery", messages=None)


def open_loop(connections, share):
    return Scenario(f"latency-{connections}-{share}", f"16 B over {connections:,} connections, at {share} % of what the "
                    "slowest can do", ("open-loop",), connections, messages=None, windows=3, shows="latency", share=share)


def slow_tenth(receivers, size, rate, burst):
    name = f"slow-{receivers}" + ("" if burst == 1 else f"x{burst}")
    sizes = f"{size} B" + ("" if burst == 1 else f" x {burst}")
    return Scenario(name, f"{sizes} to {receivers:,}, {rate} times a second; every tenth reads nothing",
                    ("slow-broadcast", "--rate", str(rate), "--burst", str(burst)), receivers, size, mode="broadcast",
                    unit="delivery", messages=None, windows=5, shows="slow")


def capacity(connections):
    """The load that tells what an open loop can ask for: as many under way as there are connections."""
    return Scenario(f"capacity-{connections}", "", echo(1), connections, messages=None)


def cluster(nodes, members, rate):
    """A row of the cost of a message against the number of nodes."""
    crowd = "" if members == 1 else "-crowd"
    on_each = f"1 member on each of {nodes}" if members == 1 else f"{members} members on each of {nodes}"
    alone = ("ours-tokio",) if nodes == 1 else ()
    return Scenario(f"cluster{crowd}-{nodes}", f"128 B, {rate:,} times a second to one topic, {on_each}",
                    ("cluster", "--rate", str(rate)), members, 128, mode="cluster-topics", messages=None, windows=3,
                    shows="cluster", nodes=nodes, only=CLUSTERS + alone)


def many_topics(count):
    """A row of the cost of topics: each has a member on the second node. A client is in fifty of them, or in fewer."""
    return Scenario(f"cluster-topics-{count}", f"128 B, 5,000 times a second to one of {count:,} topics",
                    ("cluster", "--rate", "5000", "--topics", str(count)), -(-count // 50), 128, mode="cluster-topics",
                    messages=None, windows=3, shows="topics", nodes=2, topics=count,
                    only=("ours-tokio", "ours-tokio-redis", "socket-io-redis"))


CLUSTERS = ("raw-tokio-redis", "ours-tokio-redis", "socket-io-redis")

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
    Scenario("records-100", "100 B of JSON, 8 in flight, 64 connections", echo(8), 64, 100, script="records",
             messages=64 * 8 * 20),
    Scenario("large", "1 MiB, 1 in flight, 4 connections", echo(1), 4, 1 << 20, messages=200),
    Scenario("handshake", "opening handshakes, 16 at a time", ("handshakes",), 16, unit="handshake", messages=2000),
    Scenario("broadcast", "16 B to 500, 1 in flight", broadcast(1), 500, mode="broadcast", unit="delivery",
             messages=500 * 40),
    Scenario("broadcast16", "16 B to 500, 16 in flight", broadcast(16), 500, mode="broadcast", unit="delivery",
             messages=500 * 16 * 10),
    Scenario("pipelined-125", "125 B, 32 in flight, 64 connections", echo(32), 64, 125, messages=64 * 32 * 20),
    Scenario("broadcast16-1k", "1 KiB to 500, 16 in flight", broadcast(16), 500, 1024, mode="broadcast", unit="delivery",
             messages=500 * 16 * 10),
    Scenario("by-id", "16 B to one of 20,000 connections by its id, 64 in flight", ("by-id",), 20_000, 18,
             mode="by-id"),
    Scenario("growth-100", "16 B, 20,000 messages a second over 100 connections", PACE, 100, messages=None),
    Scenario("growth-1000", "the same over 1,000", PACE, 1_000, messages=None),
    Scenario("growth-10000", "the same over 10,000", PACE, 10_000, messages=None),
    Scenario("idle", "5,000 connections after one 1 KiB echo", ("idle",), 5_000, 1024, messages=None, is_memory=True),
    Scenario("idle-20000", "20,000 connections after one 1 KiB echo", ("idle",), 20_000, 1024, messages=None,
             is_memory=True),
    Scenario("idle-browser", "5,000 connections with the headers of a browser, 480 bytes, after one 1 KiB echo", ("idle",), 5_000,
             1024, messages=None, is_memory=True, is_browser=True),
    *(crowd(count) for count in (10, 100, 1_000, 10_000, 20_000)),
    Scenario("topics", "18 B to the 10 members of one of 10,000 topics, 64 in flight", ("topics", "--members", "10"), 10_000,
             18, mode="topics", unit="delivery", messages=None),
    *(open_loop(connections, share) for connections in (100, 10_000) for share in (30, 60, 90)),
    Scenario("storm", "10,000 connections are reset at once, and connect anew", ("storm",), 10_000, messages=None,
             unit="connection", shows="storm", generations=2),
    # Rates that the slowest of them can keep to, by a wide margin.
    slow_tenth(500, 16, 10, 16),
    slow_tenth(500, 1024, 50, 1),
    slow_tenth(5_000, 16, 1, 16),
    slow_tenth(5_000, 1024, 5, 1),
    Scenario("idle-records", "2,000 connections after one echo of 4 KiB of JSON", ("idle",), 2_000, 4 << 10,
             script="records", messages=None, is_memory=True),
    *(cluster(nodes, *load) for load in ((1, 5_000), (100, 100)) for nodes in (1, 2, 4)),
    *(many_topics(count) for count in (1, 100, 10_000, 100_000)),
    Scenario("node-clients", "16 B to the 2 clients of a node that is alone, 1 in flight", broadcast(1), 2, mode="broadcast",
             unit="delivery", only=("ours-tokio", "ours-tokio-node")),
    Scenario("node-cluster", "16 B to the cluster of a node that is alone, with 2 clients, 1 in flight", broadcast(1), 2,
             mode="cluster-broadcast", unit="delivery", only=("ours-tokio", "ours-tokio-node")),
    Scenario("tls-tiny", "TLS, 16 B, 1 in flight, 64 connections", echo(1), 64, is_tls=True),
    Scenario("tls-pipelined", "TLS, 16 B, 32 in flight, 64 connections", echo(32), 64, messages=64 * 32 * 20, is_tls=True),
    Scenario("tls-small", "TLS, 1 KiB, 8 in flight, 64 connections", echo(8), 64, 1024, messages=64 * 8 * 20, is_tls=True),
    Scenario("tls-medium", "TLS, 16 KiB of ASCII, 4 in flight, 16 connections", echo(4), 16, 16 << 10, messages=64 * 40,
             is_tls=True),
    Scenario("tls-broadcast", "TLS, 16 B to 500, 1 in flight", broadcast(1), 500, mode="broadcast", unit="delivery",
             messages=500 * 40, is_tls=True),
    Scenario("tls-broadcast16", "TLS, 16 B to 500, 16 in flight", broadcast(16), 500, mode="broadcast", unit="delivery",
             messages=500 * 16 * 10, is_tls=True),
    Scenario("tls-handshake", "opening handshakes in TLS, 16 at a time", ("handshakes",), 16, unit="handshake",
             messages=2000, is_tls=True),
    Scenario("tls-resumption", "the same, and TLS resumes an earlier session", ("handshakes", "--resume"), 16,
             unit="handshake", messages=2000, is_tls=True),
    Scenario("tls-idle", "TLS, 2,000 connections after one 1 KiB echo", ("idle",), 2_000, 1024, messages=None,
             is_memory=True, is_tls=True),
]

# What CI runs: ours and the ceiling, counts that do not depend on the machine, and a look at the time.
QUICK_SERVERS = ["raw-tokio", "ours-tokio", "ours-smol", "ours-async-std", "ours-tokio-draft76", "ours-tokio-deflate",
                 "ours-tokio-node"]
QUICK_SCENARIOS = ["tiny", "pipelined", "small", "medium", "records", "large", "handshake", "broadcast16", "idle",
                   "node-clients", "node-cluster"]


def expand(names, things):
    """Returns the names with patterns such as latency-* replaced by what they stand for."""
    return [found for name in names
            for found in (fnmatch.filter([thing.name for thing in things], name) or [name])]


def pick(kind, things, names):
    """Returns the things with these names, and says which name is wrong."""
    if names is None:
        return things
    names = expand(names, things)
    by_name = {thing.name: thing for thing in things}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"no such {kind}: {', '.join(unknown)}; there are {', '.join(by_name)}")
    return [by_name[name] for name in names]
