"""Runs a cluster of one kind of server, each node a process, under one load: what a message costs each node and Redis."""

import contextlib
import json
import time
from pathlib import Path

from . import measure
from .redis import Redis, wait_until

REST = 0.5  # seconds in which nodes put their buffers away


def run(folders, server, scenario, window):
    """Returns what the generator measured, with the time on a CPU of every process."""
    window *= scenario.windows
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis()) if server.needs_redis else None
        nodes = [start_node(stack, folders, server, scenario, redis) for _ in range(nodes_of(server, scenario))]
        generator = stack.enter_context(start_generator(folders, server, scenario, nodes, window))
        last, _ = nodes[-1]
        measure.expect_mark(generator)
        before = rested_bytes(last)
        generator.tell("go")
        measure.expect_mark(generator)
        outcome = {"joined_bytes": rested_bytes(last) - before}
        if scenario.restarts_redis and server.subscribes:
            outcome |= restart(redis, scenario.channels, last)
        generator.tell("go")
        processes = [process.pid for process, _ in nodes] + ([redis.pid] if redis else [])
        measure.expect_mark(generator)
        begun = [cpu_ns(pid) for pid in processes]
        generator.tell("go")
        measure.expect_mark(generator)
        spent = [cpu_ns(pid) - begin for pid, begin in zip(processes, begun)]
        generator.tell("go")
        outcome |= {"nodes_ns": spent[:len(nodes)], "redis_ns": spent[-1] if redis else None}
        return json.loads(generator.line()) | outcome


def nodes_of(server, scenario):
    return scenario.nodes if server.needs_redis else 1


def start_node(stack, folders, server, scenario, redis):
    arguments = (*server.arguments, "--redis", redis.url) if redis else server.arguments
    command = [folders["plain"] / server.binary, "--mode", scenario.mode, *arguments]
    process = stack.enter_context(measure.Process(server.cores, command))
    return process, process.line().removeprefix("listening on ")


def start_generator(folders, server, scenario, nodes, window):
    (first, addr), *others = nodes
    fixed = ["--connect", addr, "--pid", first.pid, "--marks", "--warm-up", window // 3, "--window", window]
    kind, *load = scenario.load
    elsewhere = [word for _, other in others for word in ("--node", other)]
    return measure.Process(measure.GENERATOR_CORE, [
        folders["generator"], *fixed, *scenario.arguments(server), kind, *elsewhere, *load])


def restart(redis, channels, node):
    """Restarts Redis; returns how long it took until it had all subscriptions again, and the time on a CPU for them."""
    redis.restart()
    begin, of_node, of_redis = time.monotonic(), cpu_ns(node.pid), cpu_ns(redis.pid)
    wait_until(lambda: redis.channels() > 0, "no node has come back to Redis", 0.002)
    first = time.monotonic()
    wait_until(lambda: redis.channels() >= channels, "the nodes have not subscribed again")
    end = time.monotonic()
    spent = {"back_node_ns": cpu_ns(node.pid) - of_node, "back_redis_ns": cpu_ns(redis.pid) - of_redis}
    # Nothing is published before the nodes have found each other.
    time.sleep(2 * REST)
    return {"back_ms": 1000 * (end - begin), "subscribing_ms": 1000 * (end - first)} | spent


def rested_bytes(process):
    time.sleep(REST)
    line = next(line for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


def cpu_ns(pid):
    """Returns for how long its threads were on a CPU."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
