"""The table in its four forms: what it says, that it fits, and that it reads back."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
from standing_making import comparison, counts, simulated

from maskwright.comparison.entries import DISTANCES, SCORES, Comparison, Cost, Failure
from maskwright.comparison.standings import standings
from maskwright.comparison.tables import as_csv, as_latex, as_markdown, as_text

FORMS = (as_text, as_markdown, as_csv, as_latex)
HARD = r"a_b & 50% of #1 {x} $y$ ~z ^t \w | <q> [i] *s* `c` – · é"
BEYOND = "训"  # a sign pdflatex does not know
HAS_LATEX = (
    bool(shutil.which("pdflatex")) and not subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode
)


@pytest.fixture(scope="module")
def found():
    entries = simulated(np.random.default_rng(0), 60, [0, 0.02, -0.8], num_seeds=2)
    costs = [
        Cost(31_043_521, 54.7e9, 1234.5, 12.34),
        Cost(512, math.nan, 9.5, math.nan),
        Cost(4_600_000, 3.1e9, 86_400.0, 1234.5),
    ]
    failures = [Failure("pan & co", "`lr` must be finite;\n got nan. Lower it.")]
    return standings(
        comparison(entries, names=["unet/resnet34", HARD, BEYOND + "x" * 90], costs=costs, failures=failures)
    )


def test_a_break_in_a_name_breaks_no_row():
    names = ["a\n\n| b |\r", "c\x1b[2J"]
    shown = standings(comparison(simulated(np.random.default_rng(0), 4, [0, 0.1]), names=names))
    plain = standings(comparison(simulated(np.random.default_rng(0), 4, [0, 0.1]), names=["a b", "c"]))
    for form in (as_markdown, as_latex):
        assert len(form(shown).splitlines()) == len(form(plain).splitlines())
        assert "\x1b" not in form(shown)
    assert {row["name"] for row in csv.DictReader(io.StringIO(as_csv(shown), newline=""))} == set(names)


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
    told += ["time an", "31.0 M", "54.7 G", "1,234", "12.3", "highest", "tie", "worse", "* chosen on validation"]
    told += ["lower is better"]
    for words in told:
        assert words in table, words
    assert "Failed, and not in the table:\n  pan & co: `lr` must be finite; got nan. Lower it." in table
    for row in found.rows:
        assert f"{row.metrics['iou']:.3f}" in table
        for name in ("boundary_iou", "boundary_f", "hd95"):
            digits, (low, high) = 1 if name in DISTANCES else 3, row.intervals[name]
            assert f"{row.metrics[name]:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})" in table
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
    assert widths == [15] * 5 + [9] * 5
    assert r"a\_b" in lines[2] + lines[3] and r"\|" in lines[2] + lines[3]
    for row in found.rows:
        low, high = row.intervals["boundary_iou"]
        assert f"{row.metrics['boundary_iou']:.3f} ({low:.3f}–{high:.3f})" in as_markdown(found)
    assert r"- pan & co: \`lr\` must be finite; got nan. Lower it." in as_markdown(found)
    assert found.sentences[-1] in as_markdown(found)


def test_latex_is_balanced_and_escaped(found):
    text = as_latex(found)
    shrunk = r"\ifdim\wd2>\linewidth"
    bare = re.sub(
        r"\\[\\{}_&%#$]", "", text.split("\n", 2)[2].replace(shrunk, "")
    )  # without remarks, escapes, row ends
    assert bare.count("{") == bare.count("}")
    for sign in "#^~<>|–·±`":
        assert sign not in bare, sign
    assert re.findall(r"(?<!\\)%", bare) == ["%"] * 3  # which hide the end of the line after each tabular
    assert re.findall(r"\\(?:begin|end)\{(\w+)\}", text) == ["table", *["tabular"] * 6, "minipage", "minipage", "table"]
    blocks = text.split(r"\begin{tabular}")[1:]
    assert len(blocks) == 3
    for block in blocks:
        columns = re.match(r"\{([lr]+)\}", block)[1]
        rows = [line for line in block.splitlines() if line.endswith(r" \\")]
        assert len(rows) == 1 + len(found.rows)
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}
        for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
            assert block.count(rule) == 1
    assert r"a\_b \& 50\% of \#1 \{x\} \$y\$ \textasciitilde{}z \textasciicircum{}t \textbackslash{}w" in text
    assert r"Failed: pan \& co: \textasciigrave{}lr\textasciigrave{} must be finite; got nan. Lower it." in text
    assert text.splitlines()[1].startswith("% compile it with lualatex") and text.splitlines()[1].endswith("训")


def test_signs_beyond_latin_are_remarked_where_there_are_some():
    made = standings(comparison(simulated(np.random.default_rng(0), 4, [0, 0]), names=["é ß ± µ → × –", "a"]))
    assert "lualatex" not in as_latex(made)


@pytest.mark.skipif(not HAS_LATEX, reason="pdflatex and booktabs are not installed")
@pytest.mark.parametrize("num_images", [60, 4])
def test_latex_compiles_and_prints_every_sign(tmp_path, num_images):
    """By pdflatex itself; what the page says is read back with pdftotext where that is there."""
    entries = simulated(np.random.default_rng(0), num_images, [0, 0.02, -0.8], num_seeds=2)
    names = [
        "up_bilinear & 50 % · lr 0.01",
        r"a_b #1 {x} $y$ ~z ^t \w | <q> [i] *s* `c` – · é ± µ " + '"k"',
        "[tie] --lr",
    ]
    failures = [Failure("pan & co", "`train.batch_size` must fit; got 8. Lower it with --batch-size 4.")]
    made = standings(comparison(entries, names=names, failures=failures))
    (tmp_path / "table.tex").write_text(as_latex(made))
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\usepackage{graphicx}\n"
        "\\begin{document}\n\\input{table.tex}\n\\end{document}\n"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert said.returncode == 0, said.stdout[-2000:]
    assert "Overfull" not in said.stdout and "Missing character" not in (tmp_path / "paper.log").read_text(
        errors="replace"
    )
    if shutil.which("pdftotext"):
        subprocess.run(["pdftotext", "-layout", "paper.pdf"], cwd=tmp_path, check=True)
        page = " ".join((tmp_path / "paper.txt").read_text().split())
        for words in (
            "up_bilinear & 50 % · lr 0.01",
            "a_b #1 {x} $y$",
            r"\w | <q> [i] *s*",
            "[tie] --lr",
            "--batch-size 4",
            "±",
        ):
            assert words in page, words
        for row in made.rows:
            assert f"{row.metrics['iou']:.3f}" in page


def test_latex_marks_what_cannot_be_told_apart(found):
    bold = [r"\textbf" in line for line in as_latex(found).splitlines() if line.endswith(r" \\")]
    ties = [row.verdict in ("best", "tie") for row in found.rows]
    assert bold == [False, *ties, *[False] * 2 * (1 + len(ties))]  # of the scores; outlines and costs have none


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
