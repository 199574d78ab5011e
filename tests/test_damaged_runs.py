"""The folder of a run or comparison of which anything may have become: read, or refused in a sentence; no traceback, no
wait.

`test_…_by_the_hundred` do the same many times over; they are slow.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mutations import mutations
from support import TINY, Outcome, data, finished, in_no_time, maskwright, session_folder

FILES = ("config.yaml", "data.json", "environment.json", "history.csv", "loggers.json", "failure.json",
         "model.safetensors", "checkpoints/last.ckpt", "checkpoints/best.ckpt", "evaluation/test.json",
         "evaluation/val.json", "evaluation/settled.json", "evaluation/test-counts.npz",
         "evaluation/val-counts.npz")  # fmt: skip
COMPARED = ("comparison.yaml", "plan.json", "cells.json", "standings.json", "environment.json")


@pytest.fixture(autouse=True)
def _in_no_time() -> Iterator[None]:
    with in_no_time(240):
        yield


@functools.cache
def scored() -> Path:
    """A finished run with the scores of validation and test. Not to be changed."""
    root = session_folder() / "scored"
    shutil.copytree(finished(), root)
    for split in ("val", "test"):
        outcome = maskwright("evaluate", root, "--split", split)
        assert outcome.code == 0, outcome.err
    (root / "failure.json").write_text('{"reason": "the loss was not finite"}')
    (root / "loggers.json").write_text('{"wandb": {"id": "abc123", "project": "seg", "entity": null}}')
    return root


@functools.cache
def matrix() -> Path:
    """A comparison of two cells. Not to be changed."""
    root = session_folder() / "matrix"
    plan = session_folder() / "matrix.yaml"
    plan.write_text("matrix:\n  model.up: [bilinear, transposed]\n")
    outcome = maskwright("compare", plan, "--data", data(), *TINY, "--epochs", 1, "--out", root)
    assert outcome.code == 0, outcome.err
    return root


def commands(run: Path, name: str) -> list[Callable[[], Outcome]]:
    """What reads this file."""
    image = next(path for path in sorted((data() / "images").iterdir()))
    out = run.parent / "out"
    found: dict[str, tuple[object, ...]] = {
        "evaluate": ("evaluate", run),
        "predict": ("predict", run, image, "--out", out, "--force"),
        "report": ("report", run),
        "diagnose": ("diagnose", run),
        "compare": ("compare", run, finished(), "--out", run.parent / "compared"),
        "resume": ("train", "--resume", run),
    }
    readers = {
        "config.yaml": list(found), "data.json": list(found), "environment.json": ["report", "diagnose", "compare"],
        "history.csv": ["report", "diagnose", "compare", "resume"], "loggers.json": ["evaluate", "report"],
        "failure.json": ["diagnose", "report"], "model.safetensors": ["evaluate", "predict", "resume"],
    }  # fmt: skip
    chosen = readers.get(name, ["resume"] if name.endswith(".ckpt") else ["evaluate", "report", "diagnose", "compare"])
    return [functools.partial(maskwright, *found[one]) for one in chosen]


def read_or_refused(read: Callable[[], Outcome], done: str) -> None:
    outcome = read()
    assert outcome.code in (0, 1, 2), done
    assert "unexpected error" not in outcome.err and "Traceback" not in outcome.err, f"{done}: {outcome.err}"
    assert outcome.code != 2 or outcome.sentence, done


def spoil(
    folder: Path, name: str, to: Path, count: int, seed: int, read: Callable[[Path], list[Callable[[], Outcome]]]
) -> None:
    """Damage one file again and again and read the folder with everything that reads it, in turns."""
    good = (folder / name).read_bytes()
    for number, (done, spoilt) in enumerate(mutations(good, count, seed)):
        root = to / str(number)
        shutil.copytree(folder, root / folder.name)
        (root / folder.name / name).write_bytes(spoilt)
        if name.endswith("last.ckpt"):
            (root / folder.name / "model.safetensors").unlink()  # else the run is finished and nothing goes on from it
        readers = read(root / folder.name)
        for reader in readers if count < 5 else [readers[number % len(readers)]]:
            read_or_refused(reader, f"{name}, {done}")
        shutil.rmtree(root)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_a_run(name: str, tmp_path: Path) -> None:
    spoil(scored(), name, tmp_path, 8, 0, lambda run: commands(run, name))


@pytest.mark.parametrize("name", COMPARED)
def test_a_damaged_file_of_a_comparison(name: str, tmp_path: Path) -> None:
    spoil(matrix(), name, tmp_path, 8, 0, reading_a_comparison)


def reading_a_comparison(root: Path) -> list[Callable[[], Outcome]]:
    return [functools.partial(maskwright, "report", root), functools.partial(maskwright, "compare", root)]


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "no UTF-8", "gone"])
@pytest.mark.parametrize("name", [*FILES, *COMPARED])
def test_something_else_in_place_of_a_file(name: str, kind: str, tmp_path: Path) -> None:
    source = matrix() if name in COMPARED and name != "environment.json" else scored()
    root = tmp_path / "run"
    shutil.copytree(source, root)
    path = root / name
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "no UTF-8":
        path.write_bytes(b"\xff\xfe\x00" * 50)
    for reader in reading_a_comparison(root) if source == matrix() else commands(root, name)[:3]:
        read_or_refused(reader, f"{name}, {kind}")


HALF = "\\ud800"  # of a letter: JSON has it, and no file name or page
TOLD = {
    "data.json": [('"images/', f'"{HALF}images/', "`splits.train.0.id` must be a path|a string"),
                  ('"picture",\n     "",\n     []', '"picture", "", [[1, 70000]]',
                   "form.2.0.1` must be less than or equal")],
    "plan.json": [('"entry": "', f'"entry": "{HALF}', "`cells.0.entry` must be"),
                  ('"entry": "', '"entry": "\\udcff', "`cells.0.entry` must be text that can be shown")],
    "environment.json": [('"python": "', f'"python": "{HALF}', "`python` must be a string; got")],
    "history.csv": [("", "", "no such `seconds`")],
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in TOLD.items() for case in cases])
def test_values_that_nothing_can_show_or_count_are_refused(
    name: str, case: tuple[str, str, str], tmp_path: Path
) -> None:
    root = tmp_path / "run"
    shutil.copytree(matrix() if name == "plan.json" else scored(), root)
    text = (root / name).read_text()
    if name == "history.csv":
        head, first, *rest = text.splitlines()
        cells = first.split(",")
        cells[head.split(",").index("seconds")] = "nan"
        (root / name).write_text("\n".join([head, ",".join(cells), *rest]))
    else:
        assert case[0] in text
        (root / name).write_text(text.replace(*case[:2]))
    outcome = maskwright("report", root)
    assert outcome.code == 2 and re.search(case[2], outcome.sentence) and "Value error" not in outcome.err, outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_of_a_run_by_the_hundred(name: str, tmp_path: Path) -> None:
    signal.alarm(3000)
    spoil(scored(), name, tmp_path, 100, 1, lambda run: commands(run, name))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_damaged_files_of_a_comparison_by_the_hundred(name: str, tmp_path: Path) -> None:
    signal.alarm(3000)
    spoil(matrix(), name, tmp_path, 100, 1, reading_a_comparison)


def test_a_plan_of_other_names_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "matrix"
    shutil.copytree(matrix(), root)
    plan = (root / "plan.json").read_text()
    (root / "plan.json").write_text(plan.replace('"up bilinear"', '"another"'))
    outcome = maskwright("compare", root)
    assert (
        outcome.code == 2
        and "plan.json` must name the comparison's cells; up bilinear is not there." in outcome.sentence
    )
