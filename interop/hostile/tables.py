#!/usr/bin/env python3
"""Runs the tables of opening handshakes and frames (interop/handshakes, interop/frames) against a server.

    tables.py HOST:PORT [TABLE…]     an echo server with its defaults; without names, all tables
        --strict HOST:PORT           one that allows http://good.example only and speaks the subprotocol echo.v1
        --modern HOST:PORT           one that speaks RFC 6455 only
        --small HOST:PORT            one that takes messages of 65 536 bytes and 16 fragments at most
        --handshake-timeout SECONDS  how long the servers wait for a handshake; without it, cases that wait are left out
        --lenient                    for servers of others: any refusal will do, and what may be refused may be
        --seed N                     for the random split; printed with each failure

Each case is sent whole, byte by byte and split in two at a random place; after each, a client that does everything
right must find the server well. The format is in docs/handshake-tables.md. Prints a line for each table and way, and
one for each case that failed; the exit status says the same. Needs Python 3.11 and nothing else.
"""

import argparse
import concurrent.futures
import itertools
import pathlib
import random
import sys
import time
import tomllib

import wire
from wire import Stream, Wrong, show

FOLDER = pathlib.Path(__file__).resolve().parent.parent
WAYS = ("whole", "bytes", "split")
# How many cases are run at once. Those that wait for a deadline would take long one by one.
AT_ONCE = 16
# Beyond it a part is not sent byte by byte, but in pieces of this length: a megabyte would take minutes.
PIECE_FROM, PIECE = 4096, 61
MARK = b"still here?"
FIELDS = {
    "name", "rules", "version", "send", "later", "half_close", "server", "limit", "after", "status", "statuses",
    "answer", "headers", "absent", "challenge", "receive", "then", "may_refuse", "may_tolerate",
}  # fmt: skip


def main():
    options = arguments()
    servers = {"plain": wire.address(options.server)}
    for name in ("strict", "modern", "small"):
        if getattr(options, name):
            servers[name] = wire.address(getattr(options, name))
    paths = options.table or sorted(FOLDER.glob("handshakes/*.toml")) + sorted(FOLDER.glob("frames/*.toml"))
    failed = False
    for path in map(pathlib.Path, paths):
        cases = load(path)
        for way in WAYS:
            failed |= run_table(f"{path.parent.name}/{path.stem}", way, cases, servers, options)
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("table", nargs="*")
    for name in ("strict", "modern", "small"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--handshake-timeout", type=float)
    parser.add_argument("--lenient", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_intermixed_args()


def load(path):
    """Reads a table, and refuses what it does not know: a typo would be a check that is not made."""
    cases = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    names = set()
    for case in cases:
        case["is_frames"] = path.parent.name == "frames"
        unknown = case.keys() - FIELDS - {"is_frames"}
        if unknown or case["name"] in names:
            raise SystemExit(f"{path}: {case['name']}: {unknown or 'there twice'}")
        if not case["is_frames"] and "status" not in case and "statuses" not in case:
            raise SystemExit(f"{path}: {case['name']}: nothing is expected")
        names.add(case["name"])
    return cases


def run_table(table, way, cases, servers, options):
    begin, left_out, failures = time.monotonic(), 0, []
    versions = itertools.cycle(wire.VERSIONS)
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        running = {}
        for case in cases:
            server = servers.get(case.get("server", "plain"))
            of_ours = options.lenient and "limit" in case
            if server is None or of_ours or ("after" in case and options.handshake_timeout is None):
                left_out += 1
                continue
            # How a case that only waits is cut changes nothing.
            if "after" in case and way == "split":
                continue
            fresh = "rfc6455" if case.get("server") == "modern" else next(versions)
            running[pool.submit(run_case, case, server, way, fresh, options)] = case
        for done in concurrent.futures.as_completed(running):
            if error := done.exception():
                if not isinstance(error, (Wrong, OSError)):
                    raise error
                failures.append(f"{running[done]['name']} ({', '.join(running[done]['rules'])}): {error}")
    for failure in failures:
        print(f"not ok - tables: {table}, {way}, seed {options.seed}: {failure}")
    if not failures and running:
        skipped = f", {left_out} left out" if left_out else ""
        seconds = time.monotonic() - begin
        print(f"ok - tables: {table}, {way}: {len(running)} cases{skipped} in {seconds:.1f} s", flush=True)
    return bool(failures)


def run_case(case, server, way, fresh, options):
    rng = random.Random(f"{options.seed} {case['name']}")
    wait = options.handshake_timeout or 0
    with Stream(server) as stream:
        if case["is_frames"]:
            open_for(stream, case)
        stream.allow(wait if "after" in case else 0)
        begin = time.monotonic()
        send(stream, octets(case["send"]), way, rng, "statuses" in case)
        if case.get("half_close"):
            stream.finish()
        judge(stream, case, options)
        if "after" in case and (took := time.monotonic() - begin) < wait / 2:
            raise Wrong(f"it ended after {took:.1f} s, long before the deadline of {wait:.1f} s")
    # Whatever that was, it must not hurt others.
    with wire.open_as(server, fresh) as stream:
        # The small server takes this, too; which subprotocol is spoken does not matter.
        wire.echoes(stream, fresh, b"fresh")
        wire.close(stream, fresh)


def open_for(stream, case):
    version = case["version"]
    stream.send(wire.UPGRADE[version])
    status, _, head = stream.take_head()
    if status != 101 or (version == "draft76" and stream.take(16) != wire.CHALLENGE_RESPONSE):
        raise Wrong(f"the handshake failed: {show(head)}")


def octets(parts):
    """The bytes of an array: each character is the byte of that number."""
    whole = b""
    for part in parts:
        repeated = isinstance(part, dict)
        text, times = (part["repeat"], part["times"]) if repeated else (part, 1)
        whole += text.encode("latin-1") * times
    return whole


def send(stream, data, way, rng, through):
    """Sends in pieces, but no more once it was refused, unless it is to go `through`, or the server is gone."""
    if way == "whole" or len(data) < 2:
        cuts = [len(data)]
    elif way == "split":
        cuts = [rng.randrange(1, len(data)), len(data)]
    elif len(data) < PIECE_FROM:
        cuts = range(1, len(data) + 1)
    else:
        cuts = [*range(PIECE, len(data), PIECE), len(data)]
    begin = 0
    for end in cuts:
        if not stream.send(data[begin:end]):
            return
        begin = end
        if way == "split" and end < len(data):
            # So that the server reads the first piece alone.
            time.sleep(0.01)
        # An answer before the end is a refusal, or the 101 before key3 and frames, where more must follow.
        if through or not stream.is_readable():
            continue
        if not stream.fill():
            return
        if stream.received.startswith(b"HTTP/1.1 ") and not stream.received.startswith(b"HTTP/1.1 101"):
            return


# ---- judging -----------------------------------------------------------------------------------------------------


def judge(stream, case, options):
    if case["is_frames"]:
        return judge_frames(stream, case, options)
    statuses = case.get("statuses") or [case["status"]]
    if statuses == ["closed"]:
        if (seen := stream.take_all()) and not options.lenient:
            raise Wrong(f"instead of the end there was {show(seen)}")
        return None
    for count, status in enumerate(statuses, 1):
        if not judge_answer(stream, case, status, count == len(statuses), options):
            return None
    return None


def judge_answer(stream, case, status, is_last, options):
    """Judges one answer; False if what follows does not matter."""
    refusal_will_do = options.lenient and (status != 101 or case.get("may_refuse"))
    if refusal_will_do and not stream.received and not stream.fill():
        return False
    seen, headers, head = stream.take_head()
    if b"injected" in head.lower():
        raise Wrong(f"the answer was split: {show(head)}")
    if seen != status:
        if refusal_will_do and 400 <= seen < 600:
            return False
        raise Wrong(f"the status is {seen}, not {status}: {show(head)}")
    if status != 101:
        return judge_refusal(stream, case, headers, is_last, options)
    if (answer := case.get("answer")) and head != octets(answer) and not options.lenient:
        raise Wrong(f"the answer is {show(head, 400)}, not {show(octets(answer), 400)}")
    check_headers(case, headers)
    if "content-length" in headers or "transfer-encoding" in headers:
        raise Wrong("a 101 has no body")
    if later := case.get("later"):
        stream.send(octets(later))
    if challenge := case.get("challenge"):
        if (response := stream.take(16)) != challenge.encode("latin-1"):
            raise Wrong(f"the answer to the challenge is {show(response)}")
    judge_frames(stream, {"then": "open", **case}, options)
    return False


def judge_refusal(stream, case, headers, is_last, options):
    if not options.lenient:
        check_headers(case, headers)
    if not octets(case["send"]).startswith(b"HEAD "):
        stream.take(int(headers.get("content-length", ["0"])[0]))
    if not is_last:
        return True
    if "close" not in ", ".join(headers.get("connection", [])).lower():
        stream.finish()
    if rest := stream.take_all():
        raise Wrong(f"after the answer there was {show(rest)}")
    if stream.was_reset and not options.lenient:
        raise Wrong("the stream was reset after the answer")
    return False


def check_headers(case, headers):
    for name, value in case.get("headers", {}).items():
        seen = headers.get(name.lower(), [])
        if len(seen) != 1 or seen[0].lower() != value.lower() or (name.endswith("Accept") and seen != [value]):
            raise Wrong(f"header {name} is {seen}, not {value}")
    for name in case.get("absent", []):
        if name.lower() in headers:
            raise Wrong(f"there is a header {name}")


def judge_frames(stream, case, options):
    version = case["version"] if case["version"] != "http" else "rfc6455"
    expected = octets(case.get("receive", []))
    if case["then"] == "open":
        seen = stream.take(len(expected))
        if seen != expected:
            raise Wrong(f"the server sent {show(seen)}, not {show(expected)}")
        wire.echoes(stream, version, MARK)
        return
    seen = stream.take_all()
    if seen == expected or (options.lenient and case.get("may_tolerate")):
        return
    if options.lenient and expected.startswith(seen):
        return
    raise Wrong(f"the server sent {show(seen)} to the end, not {show(expected)}")


if __name__ == "__main__":
    sys.exit(main())
