"""Builds the programs, and runs one server under one load: its time, or its system calls and allocations."""

import dataclasses
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import certificate, node, uwebsockets

BENCH = Path(__file__).resolve().parent.parent
GENERATOR_CORE = "1"
PATIENCE = 60  # seconds for one run of the generator, and for each answer of a program

# Runtimes that take their number of threads from the environment.
ENVIRONMENT = {"ASYNC_STD_THREAD_COUNT": "1", "SMOL_THREADS": "1"}


class Failure(Exception):
    """A run that did not come to its end."""


def build(servers, with_counts):
    """Builds the servers, without and with counted allocations, and returns where each kind is.

    Cargo puts both at the same place, so they are copied to a folder each.
    """
    target = Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target"))
    folders = {"generator": target / "release" / "generate"}
    if any(server.speaks_tls for server in servers):
        (target / "bench").mkdir(parents=True, exist_ok=True)
        folders["certificate"] = certificate.make(target / "bench")
    kinds = {"counting": ["--features", "count-allocations"]} if with_counts else {}
    for kind, features in (kinds | {"plain": []}).items():
        folder = folders[kind] = target / "bench" / kind
        folder.mkdir(parents=True, exist_ok=True)
        binaries = {}
        for server in servers:
            if kind == "plain" or server.counts:
                binaries.setdefault(server.package, set()).add(server.binary)
        for package, names in binaries.items():
            if package == "uwebsockets":
                for name in names:
                    program = folder / f"{name}.new"
                    uwebsockets.build(BENCH, program, kind == "counting", name.endswith("-deflate"), name.endswith("-tls"))
                    program.replace(folder / name)
                continue
            if package == "node":
                for name in names:
                    node.build(BENCH, folder / name)
                continue
            wanted = [word for name in sorted(names) for word in ("--bin", name)]
            cargo("--package", package, *features, *wanted)
            for name in names:
                copy(target / "release" / name, folder / name)
    cargo("--package", "generator")
    return folders


def cargo(*arguments):
    # One package at a time: what is built together shares its features.
    command = ["cargo", "build", "--release", "--locked", "--quiet", *arguments]
    subprocess.run(command, cwd=BENCH, check=True)


def copy(source, destination):
    """Replaces a program that may be running."""
    beside = destination.with_suffix(".new")
    shutil.copy2(source, beside)
    beside.replace(destination)


class Process:
    """A program on a core, with lines in both directions."""

    def __init__(self, core, command):
        self.stderr = tempfile.TemporaryFile()
        self.child = subprocess.Popen(
            ["taskset", "-c", core, *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr,
            env=os.environ | ENVIRONMENT,
        )
        self.pid = self.child.pid

    def line(self):
        """Returns the next line; a program writes each at once."""
        ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE)
        text = self.child.stdout.readline().decode().strip() if ready else ""
        if not text:
            raise Failure(self.complaint() or "no answer")
        return text

    def tell(self, text):
        self.child.stdin.write(f"{text}\n".encode())
        self.child.stdin.flush()

    def complaint(self):
        """Returns the last that it said on its standard error."""
        self.child.kill()
        self.child.wait()
        self.stderr.seek(0)
        lines = self.stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.child.returncode}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for file in (self.child.stdin, self.child.stdout, self.stderr):
            try:
                file.close()
            except BrokenPipeError:
                pass


def start_server(folders, kind, server, scenario):
    tls = []
    if server.speaks_tls:
        cert, key = folders["certificate"]
        tls = ["--cert", cert, "--key", key]
    command = [folders[kind] / server.binary, "--mode", scenario.mode, *server.arguments, *tls]
    process = Process(server.cores, command)
    try:
        return process, process.line().removeprefix("listening on ")
    except Failure:
        process.__exit__()
        raise


def start_generator(folders, server, scenario, process, addr, phases):
    fixed = ["--connect", addr, "--pid", process.pid]
    if server.speaks_tls:
        fixed += ["--tls", folders["certificate"][0]]
    return Process(GENERATOR_CORE, [folders["generator"], *fixed, *scenario.arguments(server), *phases, *scenario.load])


def run_time(folders, server, scenario, window, rate=None):
    """Returns what the generator measured, at a rate if its load needs one."""
    if rate is not None:
        scenario = dataclasses.replace(scenario, load=(*scenario.load, "--rate", str(rate)))
    window *= scenario.windows
    process, addr = start_server(folders, "plain", server, scenario)
    with process:
        phases = ["--warm-up", window // 3, "--window", window]
        with start_generator(folders, server, scenario, process, addr, phases) as generator:
            return json.loads(generator.line())


def run_counts(folders, server, scenario):
    """Returns system calls (in all, and by name) and allocations, each per message.

    Each kind has a run of its own, because strace makes a system call take ten times as long: a poll that is bounded
    in time ends early then, and what it leaves is moved, which allocates.
    """
    allocated, messages = count_between_marks(folders, server, scenario, CountedAllocations)
    calls, _ = count_between_marks(folders, server, scenario, CountedCalls)
    return {
        "messages": messages,
        "syscalls": sum(calls.values()) / messages,
        "allocations": allocated[0] / messages,
        "allocated_bytes": allocated[1] / messages,
        "syscalls_by_name": {name: count / messages for name, count in calls.items()},
    }


def count_between_marks(folders, server, scenario, counted):
    """Returns what was counted while no message was under way at the begin and at the end, and the messages."""
    process, addr = start_server(folders, "counting", server, scenario)
    with process:
        phases = ["--messages", scenario.messages]
        with start_generator(folders, server, scenario, process, addr, phases) as generator:
            expect_mark(generator)
            with counted(process) as count:
                generator.tell("go")
                expect_mark(generator)
            generator.tell("go")
            return count.result, json.loads(generator.line())["messages"]


class CountedAllocations:
    """Allocations and allocated bytes."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        self.before = allocations(self.process)
        return self

    def __exit__(self, *_):
        after = allocations(self.process)
        self.result = [after[0] - self.before[0], after[1] - self.before[1]]


class CountedCalls:
    """System calls by name."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        self.report = tempfile.NamedTemporaryFile("r")
        self.strace = attach(self.process.pid, self.report.name)
        return self

    def __exit__(self, *_):
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(PATIENCE)
        with self.report:
            self.result = system_calls(self.report.read())


def backlog(folders, server):
    """Returns how many connections may wait to be accepted, as the server asks for and as the kernel allows."""
    with tempfile.NamedTemporaryFile("r") as trace:
        command = ["strace", "--follow-forks", "--trace=listen", "--output", trace.name, folders["plain"] / server.binary]
        with Process(server.cores, [*command, "--mode", "echo", *server.arguments]) as process:
            process.line()
            process.child.stdin.close()
            process.child.wait(PATIENCE)
        asked = re.search(r"listen\(\d+, (-?\d+)\)", trace.read())
    if not asked:
        raise Failure("strace saw no listen")
    allowed = int(Path("/proc/sys/net/core/somaxconn").read_text())
    # The kernel reads it without a sign.
    return min(int(asked[1]) % 2**32, allowed)


def expect_mark(generator):
    text = generator.line()
    if text != "mark":
        raise Failure(text)


def allocations(process):
    process.tell("allocations")
    word, count, size = process.line().split()
    if word != "allocations":
        raise Failure("the server does not count allocations")
    return int(count), int(size)


def attach(pid, report):
    """Starts to count system calls of all threads, and returns once it does."""
    command = ["strace", "--summary-only", "--summary-columns=calls,name", "--follow-forks",
               "--output", report, "--attach", str(pid)]
    strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + PATIENCE
    while not all(is_traced(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > end or strace.poll() is not None:
            strace.kill()
            raise Failure("strace cannot attach to the server")
        time.sleep(0.01)
    return strace


def is_traced(task):
    return "TracerPid:\t0\n" not in (task / "status").read_text()


def system_calls(report):
    """Reads strace's table of calls and names; what stands for an interrupted call is none of the server's."""
    calls = {}
    for line in report.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[0].isdigit() and fields[1] not in ("total", "restart_syscall"):
            calls[fields[1]] = int(fields[0])
    return calls
