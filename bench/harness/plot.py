"""Draws the ratios to the ceiling: a panel of bars for each scenario, the best server first."""

from xml.sax.saxutils import escape

from .plan import SHORT, SHORT_SCENARIOS
from .report import ratio_of_least, timed

COLUMNS = 3
PANEL_WIDTH, LABEL_WIDTH, BAR_WIDTH, ROW_HEIGHT, GAP, TOP = 400, 170, 170, 18, 24, 84
# Bars beyond are cut: some peers take thirty times as long, and the rest would be a hair's breadth.
CUT = 4.0
OURS, PEER, RAW, INK, FAINT = "#0b6e4f", "#9aa5b1", "#d9822b", "#1f2933", "#616e7c"


def write(path, results):
    panels = [(one, rows(results, one)) for one in timed(results)]
    panels = [(one, bars) for one, bars in panels if bars]
    if panels:
        path.write_text(draw(results, panels))


def write_short(path, results):
    """Draws those whom people compare, each in the better of its forms."""
    panels = [(one, short_rows(results, one)) for one in timed(results) if one.name in SHORT_SCENARIOS]
    panels = [(one, bars) for one, bars in panels if len(bars) > len(SHORT) / 2]
    if panels:
        path.write_text(draw(results, panels))


def short_rows(results, scenario):
    best = []
    for name, forms in SHORT.items():
        ratios = [ratio_of_least(results, scenario.name, form) for form in forms]
        best += [(min(ratio for ratio in ratios if ratio is not None), name)] if any(ratios) else []
    return sorted(best)


def rows(results, scenario):
    ratios = [(ratio_of_least(results, scenario.name, server), server) for server in results["servers"]]
    return sorted((ratio, server) for ratio, server in ratios if ratio is not None)


def draw(results, panels):
    return page(results, panels, 48, panel,
                "CPU time of the server per message, raw TCP echo on tokio = 1 (shorter is better)",
                f"least of {results['rounds']} rounds; bars beyond {CUT:g} are cut")


def page(results, panels, head_height, panel, title, note):
    """Draws panels of a scenario and its rows side by side, below a title and a note."""
    lines, y = [], TOP
    for start in range(0, len(panels), COLUMNS):
        line = panels[start:start + COLUMNS]
        for column, (scenario, rows) in enumerate(line):
            lines += panel(GAP + column * (PANEL_WIDTH + GAP), y, scenario, rows)
        y += head_height + max(len(rows) for _, rows in line) * ROW_HEIGHT + GAP
    width = GAP + min(COLUMNS, len(panels)) * (PANEL_WIDTH + GAP)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{width}" height="{y}" fill="#ffffff"/>',
        text(GAP, 30, title, INK, size=18),
        text(GAP, 50, f"{results['date']}; {results['machine']}", FAINT),
        text(GAP, 66, note, FAINT),
        *lines, "</svg>", ""])


def panel(x, y, scenario, bars):
    yield text(x, y + 14, scenario.name, INK, size=15)
    yield text(x, y + 31, scenario.about, FAINT, size=11)
    top, height = y + 40, len(bars) * ROW_HEIGHT
    ceiling = x + LABEL_WIDTH + BAR_WIDTH / CUT
    yield (f'<line x1="{ceiling}" x2="{ceiling}" y1="{top}" y2="{top + height}" stroke="{FAINT}" stroke-width="1" '
           'stroke-dasharray="2 3"/>')
    for row, (ratio, server) in enumerate(bars):
        middle = top + row * ROW_HEIGHT + 13
        length = min(ratio, CUT) / CUT * BAR_WIDTH
        ours = server.startswith("ours")
        colour = OURS if ours else RAW if server.startswith("raw") else PEER
        yield text(x + LABEL_WIDTH - 8, middle, server, INK, anchor="end", weight="bold" if ours else "normal")
        yield (f'<rect x="{x + LABEL_WIDTH}" y="{top + row * ROW_HEIGHT + 3}" width="{length:.1f}" '
               f'height="{ROW_HEIGHT - 5}" rx="2" fill="{colour}"/>')
        if ratio > CUT:
            cut = x + LABEL_WIDTH + BAR_WIDTH - 12
            yield (f'<path d="M{cut} {middle + 3} l5 -17 h4 l-5 17 z" fill="#ffffff"/>')
        yield text(x + LABEL_WIDTH + length + 6, middle, f"{ratio:.2f}", INK, weight="bold" if ours else "normal")


def text(x, y, content, colour, size=12, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(content)}</text>')
