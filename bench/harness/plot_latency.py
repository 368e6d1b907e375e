"""Draws the latency in an open loop: a panel for each rate, and in it a line for each server from p50 to p99.9."""

import math

from . import tails
from .plot import FAINT, INK, LABEL_WIDTH, OURS, PEER, RAW, ROW_HEIGHT, page, text
from .report import latency_rows, rate

LINE_WIDTH = 200


def write(path, results):
    panels = [(one, lines(results, one)) for one in latency_rows(results)]
    panels = [(one, rows) for one, rows in panels if rows]
    if panels:
        path.write_text(draw(results, panels))


def lines(results, scenario):
    """Returns the percentiles of each server in microseconds, the shortest p99.9 first."""
    rows = [([tails.median(runs, lambda run: run[key]) / 1000 for key in ("p50_ns", "p99_ns", "p999_ns")], server)
            for server, runs in tails.rows_of(results, scenario)]
    return sorted(rows, key=lambda row: row[0][-1])


def draw(results, panels):
    every = [value for _, rows in panels for values, _ in rows for value in values]
    # Whole powers of ten, the same in all panels.
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)) + 1e-9)
    return page(results, panels, 64, lambda x, y, scenario, rows: panel(x, y, results, scenario, rows, low, high),
                "Latency at a fixed rate, from when a message was due: p50, p99, p99.9",
                f"medians of {results['rounds']} rounds; microseconds, each line is ten times the last")


def panel(x, y, results, scenario, rows, low, high):
    yield text(x, y + 14, f"{scenario.name}: {rate(results, scenario):,} a second", INK, size=15)
    top, bottom = y + 30, y + 30 + len(rows) * ROW_HEIGHT

    def at(value):
        return x + LABEL_WIDTH + (math.log10(value) - low) / (high - low) * LINE_WIDTH

    for power in range(low, high + 1):
        yield (f'<line x1="{at(10 ** power):.1f}" x2="{at(10 ** power):.1f}" y1="{top}" y2="{bottom}" stroke="{FAINT}" '
               'stroke-width="0.5" stroke-dasharray="2 3"/>')
        yield text(at(10 ** power), bottom + 14, f"{10 ** power:,}", FAINT, size=10, anchor="middle")
    for row, (values, server) in enumerate(rows):
        middle = top + row * ROW_HEIGHT + 9
        ours = server.startswith("ours")
        colour = OURS if ours else RAW if server.startswith("raw") else PEER
        yield text(x + LABEL_WIDTH - 8, middle + 4, server, INK, anchor="end", weight="bold" if ours else "normal")
        yield (f'<line x1="{at(values[0]):.1f}" x2="{at(values[-1]):.1f}" y1="{middle}" y2="{middle}" stroke="{colour}" '
               'stroke-width="3"/>')
        for value in values:
            yield f'<circle cx="{at(value):.1f}" cy="{middle}" r="4" fill="{colour}"/>'
