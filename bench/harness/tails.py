"""Makes the tables of what a server does under strain: an open loop, a storm of reconnects, slow receivers."""

import statistics

from . import plan, report

MIB = 1 << 20


def tables(results):
    """Returns a table for each open loop and each slow tenth, and one for each storm."""
    makers = {"latency": latency, "storm": storm, "slow": slow}
    shown = [one for one in plan.SCENARIOS if one.shows in makers and one.name in results["times"]]
    return [*capacities(results), *(makers[one.shows](results, one) for one in shown)]


def capacities(results):
    for connections, runs in results["capacities"].items():
        yield table(f"What the servers can do over {int(connections):,} connections",
                    ["messages a second", "busy"],
                    {server: [f"{report.messages_a_second(run):,.0f}", percent(run["cpu_ns"] / run["wall_ns"])]
                     for server, run in runs.items()},
                    "A message in flight for each connection, and the next when it is back. A server that was not busy all "
                    "the time waited for the generator, which is one thread: it can do more than is said here.")


def latency(results, scenario):
    rows = {}
    for server, runs in rows_of(results, scenario):
        rows[server] = [*times(runs), percent(median(runs, lambda run: run["sent_late"] / run["due"])),
                        percent(median(runs, lambda run: run["busy_ns"] / run["wall_ns"])),
                        f"{median(runs, lambda run: run['cpu_ns'] / run['messages']) / 1000:.2f}"]
    return table(f"Latency: {scenario.about}: {report.rate(results, scenario):,} a second",
                 [*QUANTILES, "sent late", "generator busy", "CPU us a message"], rows,
                 "Microseconds from the moment when a message was due. Medians of the rounds; max is that of all rounds.")


def storm(results, scenario):
    rows = {}
    for server, runs in rows_of(results, scenario):
        rows[server] = [*(f"{median(runs, lambda run: run[key]) / 1e6:,.0f}" for key in ("p50_ns", "p99_ns", "max_ns")),
                        f"{median(runs, lambda run: run['begun_ns']) / 1e6:,.0f}",
                        f"{median(runs, lambda run: run['retries']):,.0f}",
                        f"{median(runs, lambda run: run['cpu_ns']) / 1e6:,.0f}",
                        f"{median(runs, lambda run: run['before_bytes']) / MIB:,.1f}",
                        f"{max(run['peak_bytes'] for run in runs) / MIB:,.1f}",
                        f"{results['backlogs'].get(server, '-')}"]
    return table(f"Storm: {scenario.about}",
                 ["p50 ms", "p99 ms", "all served ms", "all begun ms", "retries", "CPU ms", "MiB before", "MiB at most",
                  "backlog"], rows,
                 "Times from the reset of the old connections to the first message back on each new one; medians of the "
                 "rounds, memory the most of all. The generator has begun to connect with all at `all begun`, and reads "
                 "nothing before. A client that finds the backlog full tries again after a second.")


def slow(results, scenario):
    rows = {}
    for server, runs in rows_of(results, scenario):
        rows[server] = [*times(runs), percent(median(runs, lambda run: run["sent_late"] / run["due"])),
                        f"{median(runs, lambda run: run['cpu_ns'] / run['messages']) / 1000:.2f}",
                        f"{max(run['peak_bytes'] - run['before_bytes'] for run in runs) / MIB:,.1f}",
                        f"{median(runs, lambda run: run['slow'] - run['slow_closed']):,.0f}",
                        f"{median(runs, lambda run: run['slow_closed']):,.0f}",
                        percent(median(runs, lambda run: run["slow_missed"] / run["slow"] / run["published"]))]
    return table(f"Slow receivers: {scenario.about}",
                 [*QUANTILES, "sent late", "CPU us a delivery", "MiB more", "slow: open", "slow: closed", "slow: missed"], rows,
                 "Microseconds from the moment when a message was due until a receiver that reads has it. The last three "
                 "columns say what became of the others once they read again.")


QUANTILES = ["p50", "p99", "p99.9", "max"]


def times(runs):
    medians = [median(runs, lambda run: run[key]) for key in ("p50_ns", "p99_ns", "p999_ns")]
    return [f"{value / 1000:,.0f}" for value in [*medians, max(run["max_ns"] for run in runs)]]


def median(runs, of):
    return statistics.median(of(run) for run in runs)


def percent(share):
    return f"{share * 100:.1f} %"


def rows_of(results, scenario):
    """Returns the servers that have a result, in their order."""
    runs = results["times"][scenario.name]
    return [(server, runs[server]) for server in results["servers"] if server in runs]


def table(title, names, rows, words):
    head = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    return "\n".join([f"## {title}\n", *head, *(f"| {server} | {' | '.join(cells)} |" for server, cells in rows.items()),
                      "", words, ""])
