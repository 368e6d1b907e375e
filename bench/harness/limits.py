"""Judges counts of ours, which do not depend on the machine, against limits.toml."""

import tomllib

from .measure import BENCH
from .report import bytes_per_connection


def check(results):
    """Returns a line for each limit that is exceeded, or that could not be judged though it was measured for."""
    limits = tomllib.loads((BENCH / "limits.toml").read_text())
    return [line for server, scenarios in limits.items() if server in results["servers"]
            for scenario, row in scenarios.items() if scenario in results["scenarios"]
            for line in check_row(results, server, scenario, row)]


def check_row(results, server, scenario, row):
    if "beside" in row:
        yield from check_beside(results, server, scenario, row)
        return
    counts = results["counts"].get(scenario, {}).get(server, {})
    seen = {
        "syscalls": counts.get("syscalls"),
        "allocations": counts.get("allocations"),
        "bytes": bytes_per_connection(results, scenario, server),
    }
    for what, limit in row.items():
        if seen[what] is None:
            yield f"{server} {scenario}: no {what} to judge"
        elif seen[what] > limit:
            yield f"{server} {scenario}: {seen[what]:.3f} {what}, and limits.toml allows {limit}"


def check_beside(results, server, scenario, row):
    """Judges by how much a server may be above another one in the same run."""
    other = row["beside"]
    counts = results["counts"].get(scenario, {})
    for what, limit in row["more"].items():
        both = [counts.get(name, {}).get(what) for name in (server, other)]
        if None in both:
            yield f"{server} {scenario}: no {what} to judge beside {other}"
        elif both[0] - both[1] > limit:
            yield f"{server} {scenario}: {both[0]:.3f} {what}, and limits.toml allows {limit} more than the {both[1]:.3f} of {other}"
