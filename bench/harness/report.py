"""Makes tables of the results."""

import json
import statistics

from . import clusters, plan, tails


def tables(results):
    """Returns the Markdown: what a message costs, as a ratio to the ceiling and in nanoseconds, and counts."""
    sections = [head(results), ratios(results), nanoseconds(results), rates(results), latencies(results),
                *tails.tables(results), *clusters.tables(results), counts(results, "syscalls"), counts(results, "allocations"), memory(results), legend(results)]
    return "\n".join(section for section in sections if section)


def write(folder, name, results):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{name}.md").write_text(tables(results))


def merge(base, part):
    """Puts the rows of a later run in place of those of an earlier one, and says so."""
    for what in ("times", "counts"):
        base[what].update(part[what])
    names = set(base["scenarios"]) | set(part["scenarios"])
    base["scenarios"] = [one.name for one in plan.SCENARIOS if one.name in names]
    base["servers"] += [name for name in part["servers"] if name not in base["servers"]]
    base.setdefault("parts", []).append({key: part[key] for key in
                                         ("date", "rounds", "window_ms", "seconds", "load", "version", "scenarios")})
    return base


def failures(results):
    return [f"failed: {what}: {why}" for what, why in results["failures"].items()]


def head(results):
    version = f"This library at {results['version']}, beside {results['peers']}.\n" if "version" in results else ""
    return (f"# Measured {results['date']}\n\n{results['machine']}.\n{version}{results['rounds']} rounds of "
            f"{results['window_ms']} ms in {results['seconds']} s; load averages before and after: "
            f"{' and '.join(results['load'])}.\n" + "".join(map(part_of_head, results.get("parts", []))))


def part_of_head(part):
    return (f"\nOf a later run, {part['date']}, at {part['version']}: {', '.join(part['scenarios'])}; {part['rounds']} rounds of "
            f"{part['window_ms']} ms in {part['seconds']} s; load averages {' and '.join(part['load'])}.\n")


def timed(results):
    return [one for one in plan.SCENARIOS
            if one.name in results["times"] and not one.is_memory and one.shows == "cost"]


def latency_rows(results):
    return [one for one in plan.SCENARIOS if one.name in results["times"] and one.shows == "latency"]


def rate(results, scenario):
    """Returns the messages a second of an open loop: the same for all servers, by the slowest one."""
    capacities = results["capacities"].get(str(scenario.connections), {})
    if not scenario.share or not capacities:
        return None
    slowest = min(messages_a_second(run) for run in capacities.values())
    return max(1, int(slowest * scenario.share / 100))


def messages_a_second(run):
    return run["messages"] / run["wall_ns"] * 1e9


def cpu_per_message(results, scenario, server):
    """Returns the nanoseconds on a CPU for each message, one for each round."""
    runs = results["times"].get(scenario, {}).get(server, [])
    return [run["cpu_ns"] / run["messages"] for run in runs]


def ratio_per_round(results, scenario, server):
    """Returns the ratios to the ceiling in the same round."""
    pairs = zip(cpu_per_message(results, scenario, server), cpu_per_message(results, scenario, ceiling_of(scenario)))
    return [cost / ceiling for cost, ceiling in pairs]


def ratio_of_least(results, scenario, server):
    """Returns the ratio of the least disturbed rounds, which is the figure that counts."""
    cost, ceiling = (cpu_per_message(results, scenario, name) for name in (server, ceiling_of(scenario)))
    return min(cost) / min(ceiling) if cost and ceiling else None


def is_confirmed(results, scenario, server):
    """Tells whether the least of a server and that of the ceiling are not those of one lucky round."""
    costs = [sorted(cpu_per_message(results, scenario, name)) for name in (server, ceiling_of(scenario))]
    return all(len(cost) > 1 and cost[1] <= 1.1 * cost[0] for cost in costs)


def ceiling_of(scenario):
    return next(one.ceiling for one in plan.SCENARIOS if one.name == scenario)


def ratios(results):
    def cell(scenario, server):
        least = ratio_of_least(results, scenario.name, server)
        return least and f"{least:.2f}{'' if is_confirmed(results, scenario.name, server) else '~'}"
    return table(results, "CPU time of the server per message, as a ratio to raw-tokio (raw-tokio-tls inside of TLS): the "
                 "least of all rounds to the least of all rounds; ~ where no second round of the two comes within 10 % of the least",
                 [one for one in timed(results) if one.ceiling in results["times"][one.name]], cell)


def nanoseconds(results):
    def cell(scenario, server):
        costs = cpu_per_message(results, scenario.name, server)
        if not costs:
            return None
        least, median = min(costs), statistics.median(costs)
        spread = f"{100 * (max(costs) - least) / least:.0f} %" if len(costs) > 1 else "-"
        return f"{least:,.0f} / {median:,.0f} / {spread}"
    return table(results, "CPU nanoseconds per message: least / median / spread (by how much the greatest is above the least)",
                 timed(results), cell)


def rates(results):
    def cell(scenario, server):
        runs = results["times"].get(scenario.name, {}).get(server, [])
        return runs and f"{max(run['messages'] / run['wall_ns'] for run in runs) * 1e6:,.1f}"
    return table(results, "Thousands of messages per second, the most of all rounds: the generator may be the limit",
                 timed(results), cell)


def latencies(results):
    def cell(scenario, server):
        runs = results["times"].get(scenario.name, {}).get(server, [])
        if not runs:
            return None
        p50, p99 = (statistics.median(run[key] for run in runs) / 1000 for key in ("p50_ns", "p99_ns"))
        return f"{p50:,.0f} / {p99:,.0f}"
    return table(results, "Microseconds until a window is back: p50 / p99, medians of the rounds", timed(results), cell)


def counts(results, what):
    def cell(scenario, server):
        run = results["counts"].get(scenario.name, {}).get(server)
        return run and f"{run[what]:.3f}"
    title = {"syscalls": "System calls per message", "allocations": "Allocations and reallocations per message"}[what]
    return table(results, title, [one for one in plan.SCENARIOS if one.name in results["counts"]], cell)


def bytes_per_connection(results, scenario, server):
    runs = results["times"].get(scenario, {}).get(server, [])
    return min((run["rss_bytes"] / run["messages"] for run in runs if "rss_bytes" in run), default=None)


def memory(results):
    def cell(scenario, server):
        size = bytes_per_connection(results, scenario.name, server)
        return size and f"{size:,.0f}"
    scenarios = [one for one in plan.SCENARIOS if one.name in results["times"] and one.is_memory]
    return table(results, "Resident bytes per idle connection", scenarios, cell)


def table(results, title, scenarios, cell):
    """Returns a table with a row for each server, or nothing if it would be empty."""
    rows = []
    for server in results["servers"]:
        cells = [cell(scenario, server) or failed(results, scenario, server) for scenario in scenarios]
        if any(cells):
            rows.append(f"| {server} | {' | '.join(text or '-' for text in cells)} |")
    if not rows:
        return ""
    names = " | ".join(scenario.name for scenario in scenarios)
    return "\n".join([f"## {title}\n", f"| | {names} |", "|---|" + "---|" * len(scenarios), *rows, ""])


def failed(results, scenario, server):
    return "failed" if f"{server} {scenario.name}" in results["failures"] else None


def legend(results):
    scenarios = [f"- {one.name}: {one.about} (per {'connection' if one.is_memory else one.unit})" for one in plan.SCENARIOS
                 if one.name in results["scenarios"]]
    lines = [f"- {line}" for line in failures(results)]
    return "\n".join(["## Scenarios\n", *scenarios, "", *(["## Failures\n", *lines, ""] if lines else [])])
