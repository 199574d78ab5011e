"""The table of a comparison as terminal text, Markdown and CSV, the failures beneath; `latex` has the fourth form.

CSV holds every number in full; the others round for a reader. All of them read one `Standings`.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import fields

from maskwright.comparison.columns import Column, cost_columns, interval_columns, marks, outline_columns, score_columns
from maskwright.comparison.entries import Cost
from maskwright.comparison.standings import SCORES, Standings
from maskwright.errors import one_line

WIDTH = 100  # columns of a terminal that text keeps to
_NAME = 20  # room for names where one of them is too long for the line, and gets a line of its own


def as_text(standings: Standings) -> str:
    """Blocks for a terminal, at most 100 columns wide: scores, outlines, differences and costs; then the words."""
    blocks = []
    if standings.rows:
        columns = (score_columns(standings), outline_columns(standings), cost_columns(standings))
        blocks = [_block(each) for each in columns if len(each) > 1]
    words = [textwrap.fill(text, WIDTH) for text in (*standings.sentences, *marks(standings))]
    if standings.failures:
        lines = [_wrapped(f"{failure.name}: {one_line(failure.reason)}") for failure in standings.failures]
        words.append("\n".join(["Failed, and not in the table:", *lines]))
    return "\n\n".join([*blocks, "\n".join(words)]) + "\n"


def as_markdown(standings: Standings) -> str:
    """One table with the interval of the ranking score, one with those of all scores, then the words."""
    parts = []
    if standings.rows:
        columns = [*score_columns(standings, is_marked=True), *cost_columns(standings)[1:]]
        parts += [_markdown_table(columns), _markdown_table(interval_columns(standings))]
    parts += [_markdown(text) for text in (*standings.sentences, *marks(standings))]
    if standings.failures:
        lines = [f"- {_markdown(failure.name)}: {_markdown(one_line(failure.reason))}" for failure in standings.failures]
        parts.append("\n".join(["Failed, and not in the table:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def as_csv(standings: Standings) -> str:
    """A row an entry with every number in full; what is undefined is empty, a failure is a row with its reason."""
    bounds = [f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")]
    costs = [cost.name for cost in fields(Cost)]
    head = ["name", "seeds", *bounds, "metric", "difference", "difference_low", "difference_high", "verdict", standings.monitor,
            "chosen_on_validation", "on_front", *costs, "failure"]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in standings.rows:
        scores = [value for name in SCORES for value in (row.metrics[name], *row.intervals[name])]
        spent = [getattr(row.cost, name) for name in costs]
        differences = [row.difference, *row.difference_interval]
        writer.writerow(
            [row.name, row.num_seeds, *map(_full, scores), standings.metric, *map(_full, differences), row.verdict,
             _full(row.val), int(row.chosen), int(row.on_front), *map(_full, spent), ""]
        )  # fmt: skip
    for failure in standings.failures:
        writer.writerow(
            [failure.name, *[""] * (head.index("verdict") - 1), "failed", *[""] * (3 + len(costs)), one_line(failure.reason)]
        )
    return out.getvalue()


def _block(columns: Sequence[Column]) -> str:
    """Aligned lines; a name too long for its column stands above its figures."""
    names, figures = columns[0].cells, columns[1:]
    widths = [max(len(cell) for cell in (*column.head, *column.cells)) for column in figures]
    left = WIDTH - sum(widths) - 2 * len(widths)
    longest = max(len(name) for name in [*names, *columns[0].head])
    room = longest if longest <= left else min(_NAME, left)
    height = max(len(column.head) for column in columns)

    def line(name: str, cells: Sequence[str]) -> str:
        laid = [cell.ljust(width) if column.is_left else cell.rjust(width)
                for cell, width, column in zip(cells, widths, figures, strict=True)]  # fmt: skip
        return "  ".join([name.ljust(room), *laid]).rstrip()

    lines = []
    for level in range(-height, 0):
        cells = [column.head[level] if len(column.head) >= -level else "" for column in columns]
        lines.append(line(cells[0], cells[1:]))
    lines.append("─" * max(room + sum(widths) + 2 * len(widths), *(len(text) for text in lines)))
    for number, name in enumerate(names):
        is_long = len(name) > room
        lines += textwrap.wrap(name, WIDTH, break_on_hyphens=False) if is_long else []
        lines.append(line("" if is_long else name, [column.cells[number] for column in figures]))
    return "\n".join(lines)


def _markdown_table(columns: Sequence[Column]) -> str:
    lines = [" | ".join(_markdown(column.title) for column in columns)]
    lines.append(" | ".join(":---" if column.is_left else "---:" for column in columns))
    lines += [
        " | ".join(_markdown(column.cells[number].strip()) for column in columns) for number in range(len(columns[0].cells))
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _markdown(text: str) -> str:
    """Text whose marks mean nothing to Markdown.

    >>> print(_markdown("a_b|c"))
    a\\_b\\|c
    """
    return re.sub(r"([\\`*_|<>$\[\]])", r"\\\1", one_line(text))


def _full(value: float) -> str:
    """A number that reads back as itself; empty where undefined."""
    if not math.isfinite(value):
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))
