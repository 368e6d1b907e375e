"""Makes the tables of clusters: what a message costs each node and Redis, and what topics cost."""

from . import plan, tails

FLOOR = "raw-tokio-redis"


def tables(results):
    """Returns a table for each load of a cluster, and one for all numbers of topics."""
    shown = [one for one in plan.SCENARIOS if one.name in results["times"]]
    topics = [one for one in shown if one.shows == "topics"]
    return [*(costs(results, one) for one in shown if one.shows == "cluster"), *([by_topics(results, topics)] if topics else [])]


def costs(results, scenario):
    floor = spent(results["times"][scenario.name].get(FLOOR, []))
    rows = {}
    for server, runs in tails.rows_of(results, scenario):
        run = steadiest(runs)
        cells = [f"{cost / 1000:,.1f}{ratio(cost, base)}" if cost is not None else "-"
                 for cost, base in zip(spent(runs), floor or [None] * 4)]
        times = [f"{run[key] / 1000:,.0f}" for key in ("here_p50_ns", "here_p99_ns")]
        elsewhere = [f"{run[key] / 1000:,.0f}" for key in ("p50_ns", "p99_ns")] if run["nodes_ns"][1:] else ["-", "-"]
        rows[server] = [*cells, *times, *elsewhere, tails.percent(lateness(run))]
    return tails.table(f"Cluster: {scenario.about}",
                       ["publishing node", "each other node", "Redis", "all", "p50 here", "p99 here", "p50 elsewhere",
                        "p99 elsewhere", "sent late"], rows,
                       f"CPU microseconds for a message that was published, and in brackets the ratio to {FLOOR}. Times in "
                       "microseconds from the moment when a message was due until a member has it, on the node of its author and "
                       "on the others. All of the cheapest round in which the generator was late with 1 % of the messages at most, or of "
                       "the least late one: messages that come late come together, which makes them cheaper. Do not compare "
                       "rows that were late unequally often.")


# The share of messages that come late in a round which counts.
STEADY = 0.01


def steadiest(runs):
    """Returns the cheapest of the steady rounds; of others, the one that was the least late."""
    steady = [run for run in runs if lateness(run) <= STEADY]
    return min(steady, key=of_all) if steady else min(runs, key=lateness)


def of_all(run):
    return (sum(run["nodes_ns"]) + (run["redis_ns"] or 0)) / run["messages"]


def lateness(run):
    return run["sent_late"] / run["due"]


def spent(runs):
    """Returns the nanoseconds for a message in the steadiest round: of the first node, of each other one, of Redis, and of all."""
    if not runs:
        return None
    run = steadiest(runs)
    (first, *others), redis = run["nodes_ns"], run["redis_ns"]
    costs = [first, sum(others) / len(others) if others else None, redis]
    return [None if cost is None else cost / run["messages"] for cost in costs] + [of_all(run)]


def ratio(cost, base):
    return f" ({cost / base:.2f})" if base else ""


def by_topics(results, scenarios):
    rows = {}
    for scenario in scenarios:
        for server, runs in tails.rows_of(results, scenario):
            bytes_each = min(run["joined_bytes"] for run in runs) / scenario.topics
            rows[f"{server}, {scenario.topics:,}"] = [
                f"{bytes_each:,.0f}" if scenario.topics >= COUNTABLE else "-",
                *(f"{cost / 1000:,.1f}" if cost is not None else "-" for cost in spent(runs)[:3]),
                *restarts(runs, scenario.topics), tails.percent(lateness(steadiest(runs)))]
    return tails.table("Topics with one member each, on the second of two nodes",
                       ["bytes a topic", "publishing node", "other node", "Redis", "ms until back", "ms to subscribe",
                        "Redis: CPU ms", "Redis: CPU us a topic", "node: CPU ms", "node: CPU us a topic", "sent late"], rows,
                       "Bytes are what the resident set of the node grew by when its clients joined. CPU microseconds are for a "
                       "message to a random topic, in the round that counts. The rest is after a restart of Redis: the time "
                       "since it answers until it knows all topics again, and of that since it knew the first, and the time "
                       "on a CPU meanwhile, that of the questions of the harness included: the least of the rounds. A server "
                       "without a backplane has all on one node. Socket.IO subscribes to one pattern for all rooms.")


# Fewer topics are less than the pages that a heap grows by.
COUNTABLE = 10_000


def restarts(runs, topics):
    if "back_ms" not in runs[0]:
        return ["-"] * 6
    def least(key):
        return min(run[key] for run in runs)
    cells = [f"{least(key):,.0f}" for key in ("back_ms", "subscribing_ms")]
    for key in ("back_redis_ns", "back_node_ns"):
        cells += [f"{least(key) / 1e6:,.1f}", f"{least(key) / 1e3 / topics:,.1f}"]
    return cells
