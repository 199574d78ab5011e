"""The lab's notebooks: kept as text and as .ipynb with the outputs of a real run, in step, and run from top to
bottom.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import jupytext
import nbformat
import pytest
from tiny_lab import RECIPE, lab

from support import session_folder

pytestmark = pytest.mark.xdist_group("puzzle-lab")
TEXTS = sorted((RECIPE / "notebooks").glob("[0-9]*.py"))
PICTURES = {"1-baseline": 4, "2-overfitting": 3, "3-comparison": 1, "4-findings": 0}
in_ci = pytest.mark.slow  # whatever takes `executed`, two minutes of kernels; .ci/run runs it after the others


def test_there_are_four_of_them():
    assert [path.stem for path in TEXTS] == list(PICTURES)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_text_and_notebook_are_in_step_and_hold_the_outputs_of_a_real_run(text):
    written, notebook = jupytext.read(text), nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    cells = [[(cell.cell_type, cell.source) for cell in one.cells] for one in (written, notebook)]
    assert cells[0] == cells[1], "write it anew: python recipes/puzzle-lab/notebooks/make.py"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == PICTURES[text.stem]
    said = text.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert "settings: laptop" in said or text.stem == "4-findings"
    assert not re.search(r"(?<![\w.>])/(?:home|root|tmp|work|Users)/", said) and "\\u001b" not in said


def test_notebooks_with_their_outputs_are_small():
    assert sum(text.with_suffix(".ipynb").stat().st_size for text in TEXTS) < 1_500_000


@pytest.fixture(scope="module")
def executed():
    """The notebooks after nbmake ran them, in copies beside the recipe's files; the six are those the recipe
    trained.
    """
    root = session_folder() / "notebooks"
    recipe, runs = root / "recipes" / "puzzle-lab", root / "runs"
    shutil.copytree(RECIPE, recipe, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    runs.mkdir()
    (runs / "backbones").symlink_to(lab() / "backbones", target_is_directory=True)
    paths = sorted((recipe / "notebooks").glob("*.ipynb"))
    environment = {
        **os.environ,
        "MASKWRIGHT_DATA": str(lab() / "data"),
        "MASKWRIGHT_RUNS": str(runs),
        "MASKWRIGHT_SIZE": "tiny",
        "MASKWRIGHT_FLAGS": "--precision fp32 --devices cpu",
        "IPYTHONDIR": str(root / "ipython"),
    }
    words = f"-n 0 -q -p no:cacheprovider -o addopts= -o filterwarnings= --rootdir {root}".split()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "--nbmake-timeout=300", *words, *map(str, paths)],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


@in_ci
@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_and_shows_its_plots(executed, name):
    outputs = [output for cell in executed[name].cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES[name]
    said = "".join(output.get("text", "") for output in outputs)
    assert "settings: tiny" in said and "Traceback" not in said


def printed(executed, name: str) -> str:
    """All text a notebook's cells put out, Markdown included."""
    outputs = [output for cell in executed[name].cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/markdown", "") for output in outputs)


@in_ci
def test_the_baseline_tells_figure_1_and_both_variants(executed):
    said = printed(executed, "1-baseline")
    assert "ConvTranspose2d(1024, 512, kernel_size=(2, 2), stride=(2, 2))" in said and "parameters: 31,0" in said
    first, last = re.search(r"loss: (\d\.\d+),.*… (\d\.\d+)", said).groups()
    assert float(last) < float(first)
    assert "| down 4 | 1024 | 32 |" in said and "| up 3 | 64 | 512 |" in said
    assert "sums to one:           True" in said and "softmax = sigmoid:     True" in said
    two, binary = re.findall(r"cross-entropy(?: of two)?: +(\d\.\d+)", said)
    assert float(two) == pytest.approx(float(binary), abs=2e-6)
    assert "up transposed" in said and "up bilinear" in said and "On 4 test images" in said


@in_ci
def test_overfitting_is_read_in_all_eight(executed):
    said = printed(executed, "2-overfitting")
    assert said.count("── ") == 8 and said.count("Next: ") >= 8
    assert said.count("not logged to W&B") == 8


@in_ci
def test_the_comparison_has_a_row_for_each_of_eight(executed):
    said = printed(executed, "3-comparison")
    table = said[said.rindex("| model") :]
    assert len([line for line in table.splitlines()[2:] if line.startswith("| ")][:8]) == 8


@in_ci
def test_the_findings_answer_each_point_with_figures(executed):
    said = printed(executed, "4-findings")
    assert "encoders start from: none" in said
    assert "On 4 test images" in said and "test IoU 0." in said
    assert "of the wrong pixels lie within" in said and "nearer to the background's mean colour" in said
    assert len([line for line in said.splitlines() if "overfitting" in line]) == 8
