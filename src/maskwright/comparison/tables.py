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
from dataclasses import dataclass, fields
from typing import Any

from maskwright.comparison.entries import DISTANCES, OUTLINES, SCORES, Comparison, Cost, Standing, Standings
from maskwright.comparison.standings import standings as stand
from maskwright.config.base import MONITORS
from maskwright.errors import one_line
from maskwright.evaluation.intervals import format_latency
from maskwright.files import write_json, write_text
from maskwright.terminal import DASH, format_number, score, signed

WIDTH = 100  # columns of a terminal that text keeps to
_NAME = 20  # room for names where one of them is too long for the line, and gets a line of its own


@dataclass(frozen=True)
class Column:
    """A heading, in lines, and a cell for each row; names and words stand left, numbers right."""

    head: tuple[str, ...]
    cells: tuple[str, ...]
    is_left: bool = False

    @property
    def title(self) -> str:
        """The heading in one line."""
        return " ".join(self.head).replace("- ", "-")


def score_columns(standings: Standings, is_marked: bool = False) -> list[Column]:
    """Name, scores of areas, interval of the ranking score, validation, verdict; `is_marked`: the star at the name."""
    rows, metric = standings.rows, standings.metric
    star = {row.name: " *" for row in rows if row.chosen and len(rows) > 1}
    columns = [_column("model", [row.name + (star.get(row.name, "") if is_marked else "") for row in rows], True)]
    for name in [name for name in SCORES if name == metric or name not in OUTLINES]:
        columns.append(_column(_head(name), [_score(name, row.metrics[name]) for row in rows]))
        if name == metric:
            columns.append(_column("95 %|interval", [_interval(name, row.intervals[name]) for row in rows]))
    vals = [score(row.val) + ("" if is_marked else star.get(row.name, "  ")) for row in rows]
    verdicts = [verdict_word(row, standings.top) for row in rows]
    return [*columns, _column(f"val|{MONITORS[standings.monitor]}", vals), _column("verdict", verdicts, True)]


def outline_columns(standings: Standings) -> list[Column]:
    """Name, and the scores of outlines that some entry has, each with its interval."""
    names = [name for name in OUTLINES if name in standings.known_scores and name != standings.metric]
    return _with_intervals("model", standings, names)


def interval_columns(standings: Standings) -> list[Column]:
    """Every score that some entry has, with its interval."""
    return _with_intervals("95 % intervals", standings, standings.known_scores)


def cost_columns(standings: Standings) -> list[Column]:
    """Name, seeds, difference to the best with its interval, and what each costs."""
    rows, costs = standings.rows, [row.cost for row in standings.rows]
    # as many digits as the scores have, one more where a difference would be lost in them
    digits = 1 if standings.is_lower_better else 3
    digits += any(0 < abs(row.difference) < 10**-digits for row in rows)
    return [
        _column("model", [row.name for row in rows], True),
        _column("seeds", [str(row.num_seeds) for row in rows]),
        _column("to the best", [_difference(row, digits) for row in rows]),
        _column("parameters", [format_number(cost.parameters) for cost in costs]),
        _column("multiply-|adds", [format_number(cost.multiply_adds) for cost in costs]),
        _column("train|seconds", [_three_figures(cost.train_seconds) for cost in costs]),
        _column("time an|image", [latency(cost) for cost in costs]),
    ]


def _column(head: str, cells: Sequence[str], is_left: bool = False) -> Column:
    return Column(tuple(head.split("|")), tuple(cells), is_left)


def latency(cost: Cost) -> str:
    """Milliseconds an image with their spread: 12 ms (11–14)."""
    return format_latency(cost.milliseconds_an_image, cost.milliseconds_low, cost.milliseconds_high)


def verdict_word(row: Standing, top: str) -> str:
    """A verdict as in tables: what is best is the highest (a distance the lowest), which says nothing of chance."""
    return {"best": top, "undefined": "no score"}.get(row.verdict, row.verdict)


def marks(standings: Standings) -> list[str]:
    """What a sign in the table means."""
    return ["* chosen on validation."] if standings.chosen and len(standings.rows) > 1 else []


def _with_intervals(head: str, standings: Standings, names: Sequence[str]) -> list[Column]:
    columns = [_column(head, [row.name for row in standings.rows], True)]
    for name in names:
        pairs = [(_score(name, row.metrics[name]), _interval(name, row.intervals[name])) for row in standings.rows]
        columns.append(_column(_head(name), [f"{value} ({interval})" for value, interval in pairs]))
    return columns


def _head(name: str) -> str:
    return f"{SCORES[name]}, px,|lower is better" if name in DISTANCES else SCORES[name].replace(" ", "|")


def _score(name: str, value: float) -> str:
    return score(value, 1 if name in DISTANCES else 3)


def _interval(name: str, bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{_score(name, low)}{DASH}{_score(name, high)}" if math.isfinite(high - low) else DASH


def _difference(row: Standing, digits: int) -> str:
    """The difference with its interval, signed; the best has none."""
    if row.verdict in ("best", "undefined"):
        return DASH
    low, high = row.difference_interval
    around = f" ({signed(low, digits)} to {signed(high, digits)})" if math.isfinite(high - low) else ""
    return signed(row.difference, digits) + around


def _three_figures(value: float) -> str:
    """Whole from a hundred on."""
    return DASH if not math.isfinite(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_text(standings: Standings) -> str:
    """Blocks for a terminal, at most 100 columns wide: scores, outlines, differences and costs; then the words."""
    blocks = []
    if standings.rows:
        columns = (score_columns(standings), outline_columns(standings), cost_columns(standings))
        blocks = [_block(each) for each in columns if len(each) > 1]
    words = [textwrap.fill(text, WIDTH) for text in (*standings.sentences, *marks(standings))]
    if standings.failures:
        failed = [f"{failure.name}: {one_line(failure.reason)}" for failure in standings.failures]
        lines = [textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ") for text in failed]
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
        lines = [f"- {_markdown(f'{failure.name}: {failure.reason}')}" for failure in standings.failures]
        parts.append("\n".join(["Failed, and not in the table:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def as_csv(standings: Standings) -> str:
    """A row an entry with every number in full; what is undefined is empty, a failure is a row with its reason."""
    bounds = [f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")]
    costs = [cost.name for cost in fields(Cost)]
    head = ["name", "seeds", *bounds, "metric", "difference", "difference_low", "difference_high", "verdict",
            standings.monitor, "chosen_on_validation", "on_front", *costs, "failure"]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, head, restval="", lineterminator="\n")
    writer.writeheader()
    for row in standings.rows:
        low, high = row.difference_interval
        cells = {"name": row.name, "seeds": row.num_seeds, "metric": standings.metric, "difference": row.difference,
                 "difference_low": low, "difference_high": high, "verdict": row.verdict, standings.monitor: row.val,
                 "chosen_on_validation": int(row.chosen), "on_front": int(row.on_front), **vars(row.cost)}  # fmt: skip
        cells |= {name: row.metrics[name] for name in SCORES}
        cells |= {
            f"{name}{end}": row.intervals[name][at] for name in SCORES for at, end in enumerate(("_low", "_high"))
        }
        writer.writerow({key: _full(cell) for key, cell in cells.items()})
    for failure in standings.failures:
        writer.writerow({"name": failure.name, "verdict": "failed", "failure": one_line(failure.reason)})
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
        padded = [cell.ljust(width) if column.is_left else cell.rjust(width)
                for cell, width, column in zip(cells, widths, figures, strict=True)]  # fmt: skip
        return "  ".join([name.ljust(room), *padded]).rstrip()

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
    for cells in zip(*(column.cells for column in columns), strict=True):
        lines.append(" | ".join(_markdown(cell.strip()) for cell in cells))
    return "\n".join(f"| {line} |" for line in lines)


def _markdown(text: str) -> str:
    """Text whose marks mean nothing to Markdown.

    >>> print(_markdown("a_b|c"))
    a\\_b\\|c
    """
    return re.sub(r"([\\`*_|<>$\[\]])", r"\\\1", one_line(text))


def _full(value: Any) -> str:
    """A number that reads back as itself; empty where undefined."""
    if not isinstance(value, float):
        return str(value)
    return repr(float(value)) if math.isfinite(value) else ""


_HEAD = r"% needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{graphicx}"
# a row that begins with [ or * would be read as an argument of the \\ before it; -- and ` would be drawn as other signs
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", '"': "''", "`": r"\textasciigrave{}",
    "–": "--", "—": "---", "…": r"\ldots{}", "’": "'", "\u00a0": "~", "\u202f": r"\,", "−": r"\ensuremath{-}",
    "·": r"\ensuremath{\cdot}", "×": r"\ensuremath{\times}", "±": r"\ensuremath{\pm}", "→": r"\ensuremath{\rightarrow}",
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "µ": r"\ensuremath{\mu}", "μ": r"\ensuremath{\mu}",
    "°": r"\ensuremath{^\circ}", "²": r"\ensuremath{^2}", "³": r"\ensuremath{^3}",
}  # fmt: skip
_LAST_LETTER = "\u017f"  # of Latin's letters with accents, which pdflatex knows by itself


def as_latex(standings: Standings) -> str:
    """Three blocks as in the terminal; bold is what cannot be told apart from the best."""
    beneath = [*standings.sentences[len(standings.verdict) :], *marks(standings)]
    beneath += [f"Failed: {failure.name}: {one_line(failure.reason)}" for failure in standings.failures]
    body = [
        r"\begin{table}[htbp]",
        r"\centering",
        rf"\caption{{{' '.join(map(escaped, standings.verdict))}}}",
        r"\par\medskip\footnotesize\setlength{\tabcolsep}{4pt}",
        *_blocks(standings),
        *_notes(beneath),
        r"\end{table}",
    ]
    return "\n".join([_HEAD, *_beyond("\n".join(body)), *body]) + "\n"


def escaped(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(escaped("lr_1e-3 & 50% --lr"))
    lr\_1e-3 \& 50\% -{}-lr
    """
    return "".join(_SIGNS.get(sign, sign) for sign in re.sub("-(?=-)", "-\0", one_line(text))).replace("\0", "{}")


def _beyond(text: str) -> list[str]:
    """A remark on signs that are none of Latin's."""
    strange = sorted({sign for sign in text if sign > _LAST_LETTER})
    return [f"% compile it with lualatex or xelatex and a font that has {' '.join(strange)}"] if strange else []


def _blocks(standings: Standings) -> list[str]:
    if not standings.rows:
        return []
    bold = [row.verdict in ("best", "tie") and len(standings.rows) > 1 for row in standings.rows]
    scores = score_columns(standings, is_marked=True)
    ranked = next(index for index, column in enumerate(scores) if column.title.startswith(SCORES[standings.metric]))
    blocks = [_tabular(scores, ranked, bold)]
    blocks += [_tabular(each) for each in (outline_columns(standings), cost_columns(standings)) if len(each) > 1]
    return "\n\\par\\medskip\n".join(blocks).splitlines()


def _tabular(columns: Sequence[Column], ranked: int = 0, bold: Sequence[bool] = ()) -> str:
    """Rows in a box, which is made smaller where it is wider than the line, and never larger."""
    rows = []
    for number, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        cells = [escaped(cell.strip()) for cell in row]
        if bold and bold[number]:
            cells[ranked] = rf"\textbf{{{cells[ranked]}}}"
        rows.append(" & ".join(cells) + r" \\")
    return "\n".join([
        rf"\sbox2{{\begin{{tabular}}{{{''.join('l' if column.is_left else 'r' for column in columns)}}}",
        r"\toprule",
        " & ".join(map(_headed, columns)) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd2>\linewidth\resizebox{\linewidth}{!}{\usebox2}\else\usebox2\fi",
    ])  # fmt: skip


def _headed(column: Column) -> str:
    """A heading, its lines one above the other."""
    lines = [escaped(line) for line in column.head]
    side, stacked = "l" if column.is_left else "r", r"\\".join(lines)
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{{stacked}}}"


def _notes(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    return [r"\par\medskip", r"\begin{minipage}{\linewidth}", r" \par ".join(map(escaped, texts)), r"\end{minipage}"]


def write_outcome(comparison: Comparison) -> Standings:
    """Stand the entries, and write it into the comparison's folder: standings.json and the table in three forms."""
    assert comparison.root is not None
    found = stand(comparison)
    write_json(comparison.root / "standings.json", found.to_json())
    for name, text in (("table.md", as_markdown(found)), ("table.csv", as_csv(found)), ("table.tex", as_latex(found))):
        write_text(comparison.root / name, text)
    return found
