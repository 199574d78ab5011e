"""The table of a comparison for LaTeX: booktabs, the verdict as its caption, what else is to be said beneath."""

from __future__ import annotations

import re
from collections.abc import Sequence

from maskwright.comparison.columns import Column, cost_columns, marks, outline_columns, score_columns
from maskwright.comparison.standings import SCORES, Standings
from maskwright.errors import one_line

_HEAD = r"% needs \usepackage[T1]{fontenc}, \usepackage{booktabs} and \usepackage{graphicx}"
# a row that begins with [ or * would be read as an argument of the \\ before it; -- and ` would be drawn as other signs
_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "[": "{[}", "]": "{]}", "*": "{*}", '"': "''", "`": r"\textasciigrave{}",
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
    blocks += [_tabular(columns) for columns in (outline_columns(standings), cost_columns(standings)) if len(columns) > 1]
    return "\n\\par\\medskip\n".join(blocks).splitlines()


def _tabular(columns: Sequence[Column], ranked: int = 0, bold: Sequence[bool] = ()) -> str:
    """Rows in a box, which is made smaller where it is wider than the line, and never larger."""
    rows = []
    for number in range(len(columns[0].cells)):
        cells = [escaped(column.cells[number].strip()) for column in columns]
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
