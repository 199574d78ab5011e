"""The table of a comparison as terminal text, Markdown, CSV and LaTeX, the failures beneath.

CSV holds every number in full; the others round for a reader. All of them read one `Standings`.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from maskwright.comparison.pareto import COSTS
from maskwright.comparison.standings import SCORES, Standing, Standings

WIDTH = 100  # columns of a terminal that text keeps to
DASH = "–"
_NAME = 20  # a longer name gets a line of its own


@dataclass(frozen=True)
class _Column:
    """A heading, in lines, and a cell for each row; names and words stand left, numbers right."""

    head: tuple[str, ...]
    cells: tuple[str, ...]
    is_left: bool = False

    @property
    def title(self) -> str:
        """The heading in one line."""
        return " ".join(self.head).replace("- ", "-")


def as_text(standings: Standings) -> str:
    """Two blocks for a terminal, scores and then differences and costs, at most 100 columns wide."""
    parts = []
    if standings.rows:
        parts += [_block(_score_columns(standings)), _block(_cost_columns(standings))]
    parts += [textwrap.fill(text, WIDTH) for text in (*standings.sentences, *_marks(standings))]
    if standings.failures:
        lines = [_wrapped(f"{failure.name}: {_one_line(failure.reason)}") for failure in standings.failures]
        parts.append("\n".join(["Failed, and not in the table:", *lines]))
    blocks = 2 if standings.rows else 0
    return "\n\n".join([*parts[:blocks], "\n".join(parts[blocks:])]) + "\n"


def as_markdown(standings: Standings) -> str:
    """One table with the interval of the ranking score, one with those of all scores, then the words."""
    parts = []
    if standings.rows:
        columns = [*_score_columns(standings, is_marked=True), *_cost_columns(standings)[1:]]
        parts += [_markdown_table(columns), _markdown_table(_interval_columns(standings))]
    parts += [_markdown(text) for text in (*standings.sentences, *_marks(standings))]
    if standings.failures:
        lines = [f"- {_markdown(failure.name)}: {_markdown(_one_line(failure.reason))}" for failure in standings.failures]
        parts.append("\n".join(["Failed, and not in the table:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def as_csv(standings: Standings) -> str:
    """A row an entry with every number in full; what is undefined is empty, a failure is a row with its reason."""
    bounds = [f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")]
    head = ["name", "seeds", *bounds, "metric", "difference", "difference_low", "difference_high", "verdict", standings.monitor,
            "chosen_on_validation", "on_front", *COSTS, "failure"]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    for row in standings.rows:
        scores = [value for name in SCORES for value in (row.metrics[name], *row.intervals[name])]
        costs = [getattr(row.cost, name) for name in COSTS]
        differences = [row.difference, *row.difference_interval]
        writer.writerow(
            [row.name, row.num_seeds, *map(_full, scores), standings.metric, *map(_full, differences), row.verdict,
             _full(row.val), int(row.chosen), int(row.on_front), *map(_full, costs), ""]
        )  # fmt: skip
    for failure in standings.failures:
        writer.writerow([failure.name, *[""] * (head.index("verdict") - 1), "failed", *[""] * 7, _one_line(failure.reason)])
    return out.getvalue()


def as_latex(standings: Standings) -> str:
    """A booktabs table, its words as the caption, failures beneath; bold is what can't be told apart from the best."""
    words = " ".join(_latex(text) for text in (*standings.sentences, *_marks(standings)))
    failures = [f"{_latex(failure.name)}: {_latex(_one_line(failure.reason))}" for failure in standings.failures]
    lines = [
        r"% needs \usepackage{booktabs} and \usepackage{graphicx}",
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{words}}}",
        *(_latex_rows(standings) if standings.rows else []),
        *(rf"\par\footnotesize Failed: {text}" for text in failures),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_rows(standings: Standings) -> list[str]:
    columns = [*_score_columns(standings, is_marked=True), *_cost_columns(standings)[1:]]
    bold = [row.verdict in ("best", "tie") and len(standings.rows) > 1 for row in standings.rows]
    ranked = next(index for index, column in enumerate(columns) if column.title == SCORES[standings.metric])
    body = []
    for number in range(len(standings.rows)):
        cells = [_latex(column.cells[number]) for column in columns]
        if bold[number]:
            cells[ranked] = rf"\textbf{{{cells[ranked]}}}"
        body.append(" & ".join(cells) + r" \\")
    return [
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{''.join('l' if column.is_left else 'r' for column in columns)}}}",
        r"\toprule",
        " & ".join(_latex(column.title) for column in columns) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def _score_columns(standings: Standings, is_marked: bool = False) -> list[_Column]:
    """Name, scores, interval of the ranking score, validation and verdict; `is_marked` puts the star beside the name."""
    rows = standings.rows
    stars = [" *" if row.chosen and len(rows) > 1 else "" for row in rows]
    names = tuple(row.name + (star if is_marked else "") for row, star in zip(rows, stars, strict=True))
    columns = [_Column(("model",), names, True)]
    for name, words in SCORES.items():
        if name == "boundary_iou" != standings.metric:
            continue  # the terminal has no room for it; CSV and the intervals of Markdown do
        columns.append(_Column(tuple(words.split()), tuple(_score(row.metrics[name]) for row in rows)))
        if name == standings.metric:
            columns.append(_Column(("95 %", "interval"), tuple(_interval(row.intervals[name]) for row in rows)))
    monitor = {"val_iou": "IoU", "val_loss": "loss"}.get(standings.monitor, standings.monitor)
    vals = tuple(_score(row.val) + ("" if is_marked else star or "  ") for row, star in zip(rows, stars, strict=True))
    return [*columns, _Column(("val", monitor), vals), _Column(("verdict",), tuple(row.verdict for row in rows), True)]


def _cost_columns(standings: Standings) -> list[_Column]:
    """Name, seeds, difference to the best with its interval, and what each costs."""
    rows, costs = standings.rows, [row.cost for row in standings.rows]
    digits = _digits(rows)
    return [
        _Column(("model",), tuple(row.name for row in rows), True),
        _Column(("seeds",), tuple(str(row.num_seeds) for row in rows)),
        _Column(("to the best",), tuple(_difference(row, digits) for row in rows)),
        _Column(("parameters",), tuple(_large(cost.parameters) for cost in costs)),
        _Column(("multiply-", "adds"), tuple(_large(cost.multiply_adds) for cost in costs)),
        _Column(("train", "seconds"), tuple(_figures(cost.train_seconds) for cost in costs)),
        _Column(("ms an", "image"), tuple(_figures(cost.milliseconds_an_image) for cost in costs)),
    ]


def _interval_columns(standings: Standings) -> list[_Column]:
    """The interval of every score."""
    found = [_Column(("95 % intervals",), tuple(row.name for row in standings.rows), True)]
    for name, words in SCORES.items():
        cells = tuple(f"{_score(row.metrics[name])} ({_interval(row.intervals[name])})" for row in standings.rows)
        found.append(_Column((words,), cells))
    return found


def _marks(standings: Standings) -> list[str]:
    return ["* chosen on validation."] if standings.chosen and len(standings.rows) > 1 else []


def _block(columns: Sequence[_Column]) -> str:
    """Aligned lines; a name too long for its column stands above its figures."""
    names, figures = columns[0].cells, columns[1:]
    widths = [max(len(cell) for cell in (*column.head, *column.cells)) for column in figures]
    left = WIDTH - sum(widths) - 2 * len(widths)
    room = min(_NAME, left, max(len(name) for name in [*names, *columns[0].head]))
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


def _markdown_table(columns: Sequence[_Column]) -> str:
    lines = [" | ".join(_markdown(column.title) for column in columns)]
    lines.append(" | ".join(":---" if column.is_left else "---:" for column in columns))
    lines += [" | ".join(_markdown(column.cells[number]) for column in columns) for number in range(len(columns[0].cells))]
    return "\n".join(f"| {line} |" for line in lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _markdown(text: str) -> str:
    """Text whose marks mean nothing to Markdown.

    >>> print(_markdown("a_b|c"))
    a\\_b\\|c
    """
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


# a row that begins with [ or * would be read as an argument of the \\ before it
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "]": "{]}", "*": "{*}", '"': "''", "–": "--", "…": r"\ldots{}", "\u00a0": "~",
    "−": r"\ensuremath{-}", "·": r"\ensuremath{\cdot}", "×": r"\ensuremath{\times}",
}  # fmt: skip


def _latex(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(_latex("lr_1e-3 & 50%"))
    lr\_1e-3 \& 50\%
    """
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _score(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else DASH


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:.3f}{DASH}{high:.3f}" if math.isfinite(high - low) else DASH


def _digits(rows: Sequence[Standing]) -> int:
    """Three digits, four where a difference would be lost in three."""
    return 4 if any(0 < abs(row.difference) < 0.001 for row in rows) else 3


def _difference(row: Standing, digits: int) -> str:
    """The difference with its interval, signed; the best has none."""
    if row.verdict in ("best", "undefined"):
        return DASH
    low, high = row.difference_interval
    around = f" ({_signed(low, digits)} to {_signed(high, digits)})" if math.isfinite(high - low) else ""
    return _signed(row.difference, digits) + around


def _signed(value: float, digits: int) -> str:
    told = f"{abs(value):.{digits}f}"
    return told if value == 0 or float(told) == 0 else f"{'−' if value < 0 else '+'}{told}"


def _large(value: float) -> str:
    """A large number in thousands, millions or thousands of millions.

    >>> _large(23_400_000), _large(812), _large(float("nan"))
    ('23.4 M', '812', '–')
    """
    if not math.isfinite(value):
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {letter}"
    return f"{value:.0f}"


def _figures(value: float) -> str:
    """Three figures, whole from a hundred on."""
    if not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _full(value: float) -> str:
    """A number that reads back as itself; empty where undefined."""
    if not math.isfinite(value):
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))
