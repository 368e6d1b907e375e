"""What the scripts in Python share: checks that are told of as they end, and a client that goes nowhere else."""

import asyncio

from websockets.asyncio.client import connect

# The longest that one check may take, in seconds.
PATIENCE = 20

checks = []


def check(name, needs=None):
    """Registers a check under its name; a check fails by an exception. It is left out where the server that it needs
    was not named."""

    def register(body):
        checks.append((name, needs, body))
        return body

    return register


def client(url, **options):
    # proxy=None: nothing in the environment may send us anywhere but to the server under test.
    # ping_interval=None: no ping but ours. max_size=None: the limits under test are the server's.
    options = {"proxy": None, "ping_interval": None, "max_size": None, "compression": None} | options
    return connect(url.replace("http:", "ws:"), **options)


async def run(suite, urls):
    """Runs the checks, each with the URLs; returns the exit status."""
    failed = False
    for name, needs, body in checks:
        if needs and getattr(urls, needs) is None:
            continue
        try:
            async with asyncio.timeout(PATIENCE):
                await body(urls)
            print(f"ok - {suite}: {name}", flush=True)
        except Exception as error:  # any failure is this check's, and the others still count
            why = " ".join(f"{type(error).__name__} {error}".split())
            print(f"not ok - {suite}: {name}: {why}", flush=True)
            failed = True
    return 1 if failed else 0
