"""The table in its four forms: what it says, that it fits, and that it reads back."""

from __future__ import annotations

import csv
import io
import math
import re

import numpy as np
import pytest
from standing_making import comparison, counts, simulated

from maskwright.comparison.entries import Comparison, Cost, Failure
from maskwright.comparison.standings import SCORES, standings
from maskwright.comparison.tables import as_csv, as_latex, as_markdown, as_text

FORMS = (as_text, as_markdown, as_csv, as_latex)
HARD = r"a_b & 50% of #1 {x} $y$ ~z ^t \w | <q> [i] *s* `c` – · é"


@pytest.fixture(scope="module")
def found():
    entries = simulated(np.random.default_rng(0), 60, [0, 0.02, -0.8], num_seeds=2)
    costs = [
        Cost(31_043_521, 54.7e9, 1234.5, 12.34),
        Cost(512, math.nan, 9.5, math.nan),
        Cost(4_600_000, 3.1e9, 86_400.0, 1234.5),
    ]
    failures = [Failure("pan & co", "`lr` must be finite;\n got nan. Lower it.")]
    return standings(comparison(entries, names=["unet/resnet34", HARD, "x" * 90], costs=costs, failures=failures))


@pytest.mark.parametrize("metric", list(SCORES))
def test_text_fits_a_terminal(found, metric):
    rng = np.random.default_rng(1)
    names = ["unet/resnet34", "deeplabv3plus/efficientnet-b3 · lr 0.001 · loss dice", "word " * 40]
    huge = Cost(999_999_999, 9.9e14, 999_999.0, 99_999.0)
    shown = standings(comparison(simulated(rng, 4, [0, 0.001, -1]), names=names, costs=[huge] * 3,
                                 failures=[Failure("n" * 30, "reason " * 60)]), metric)  # fmt: skip
    for table in (as_text(found), as_text(shown)):
        assert max(len(line) for line in table.splitlines()) <= 100


def test_text_tells_it_all(found):
    table = as_text(found)
    told = [
        "accuracy",
        "precision",
        "recall",
        "F1",
        "IoU",
        "interval",
        "verdict",
        "to the best",
        "parameters",
        "multiply-",
        "train",
    ]
    told += ["ms an", "31.0 M", "54.7 G", "1,234", "12.3", "best", "tie", "worse", "* chosen on validation"]
    for words in told:
        assert words in table, words
    assert "Failed, and not in the table:\n  pan & co: `lr` must be finite; got nan. Lower it." in table
    for row in found.rows:
        assert f"{row.metrics['iou']:.3f}" in table
    gap, (low, high) = found.rows[-1].difference, found.rows[-1].difference_interval
    digits = 4 if abs(found.rows[1].difference) < 0.001 else 3
    assert low < gap < high < 0
    assert f"−{-gap:.{digits}f} (−{-low:.{digits}f} to −{-high:.{digits}f})" in table
    assert found.sentences[0].split(";")[0][:60] in table.replace("\n", " ")


def test_a_small_difference_does_not_read_as_none():
    close = [(counts([8000] * 4, [1000] * 4, [1000] * 4),), (counts([8003] * 4, [997] * 4, [1000] * 4),)]
    table = as_text(standings(comparison(close)))
    assert "−0.0003 (−0.0003 to −0.0003)" in table


def test_csv_reads_back_to_the_same_numbers(found):
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["name"] for row in rows] == [row.name for row in found.rows] + ["pan & co"]
    for read, row in zip(rows, found.rows, strict=False):
        for name in SCORES:
            assert float(read[name]) == row.metrics[name]
            assert (float(read[f"{name}_low"]), float(read[f"{name}_high"])) == row.intervals[name]
        assert float(read["difference"]) == row.difference
        assert int(read["parameters"]) == row.cost.parameters
        assert (read["verdict"], int(read["seeds"]), read["metric"]) == (row.verdict, row.num_seeds, "iou")
        assert float(read["val_iou"]) == row.val and bool(int(read["chosen_on_validation"])) == row.chosen
    by_name = {row["name"]: row for row in rows}
    assert by_name[HARD]["multiply_adds"] == by_name[HARD]["milliseconds_an_image"] == ""
    assert rows[0]["difference_low"] == ""  # the best has no difference to itself
    failed = rows[-1]
    assert failed.pop("verdict") == "failed" and failed.pop("failure") == "`lr` must be finite; got nan. Lower it."
    assert set(failed.values()) == {"", "pan & co"}
    assert None not in failed


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def test_markdown_has_a_cell_for_each_column(found):
    lines = [line for line in as_markdown(found).splitlines() if line.startswith("|")]
    widths = [len(cells(line)) for line in lines]
    assert widths == [15] * 5 + [7] * 5
    assert r"a\_b" in lines[2] + lines[3] and r"\|" in lines[2] + lines[3]
    for row in found.rows:
        low, high = row.intervals["boundary_iou"]
        assert f"{row.metrics['boundary_iou']:.3f} ({low:.3f}–{high:.3f})" in as_markdown(found)
    assert r"- pan & co: \`lr\` must be finite; got nan. Lower it." in as_markdown(found)
    assert found.sentences[-1] in as_markdown(found)


def test_latex_is_balanced_and_escaped(found):
    text = as_latex(found)
    bare = re.sub(r"\\[\\{}_&%#$]", "", text.split("\n", 1)[1])  # without escapes and row ends
    assert bare.count("{") == bare.count("}")
    for sign in "#^~<>|–·":
        assert sign not in bare, sign
    assert re.findall(r"(?<!\\)%", bare) == ["%"]  # the one that hides the line's end before tabular
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + len(found.rows)
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    assert r"a\_b \& 50\% of \#1 \{x\} \$y\$ \textasciitilde{}z \textasciicircum{}t \textbackslash{}w" in text
    assert r"\par\footnotesize Failed: pan \& co: `lr` must be finite; got nan. Lower it." in text


def test_latex_marks_what_cannot_be_told_apart(found):
    bold = [r"\textbf" in line for line in as_latex(found).splitlines() if line.endswith(r" \\")]
    assert bold == [False, *(row.verdict in ("best", "tie") for row in found.rows)]


def test_a_name_that_begins_like_an_argument_is_text():
    made = comparison(simulated(np.random.default_rng(0), 4, [0, 0]), names=["[h]", "*s"])
    assert "\n{[}h{]}" in as_latex(standings(made)) and "\n{*}s" in as_latex(standings(made))


@pytest.mark.parametrize("form", FORMS)
def test_one_entry_one_image_or_none(form):
    for shifts, num_images in (([0], 3), ([0, 1], 1)):
        made = standings(comparison(simulated(np.random.default_rng(0), num_images, shifts)))
        assert made.rows[0].name in form(made) and "nan" not in form(made).lower()
    empty = standings(Comparison("test", (), (), (), (), (Failure("unet", "it broke."),)))
    assert "it broke." in form(empty) and "nan" not in form(empty)
