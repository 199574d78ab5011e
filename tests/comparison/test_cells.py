"""Cells of a comparison: trained as alone, killed and gone on with, failing without taking the rest along."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from compared import FAR, SEEDS, base, compared, outcome, states, written

from maskwright.comparison.cells import budgeted, compare_cells
from maskwright.comparison.folder import open_comparison
from maskwright.comparison.spec import Cell, read_matrix
from maskwright.config import Config
from maskwright.data import opening
from maskwright.data.dataset import Record
from maskwright.errors import ConfigError, MaskwrightError, RunError
from maskwright.folders import LOCK, lock_folder
from maskwright.runs import Run
from maskwright.training import fit, gate
from support import copy_of, data, leftovers, maskwright, noise, picture, rows, start, wait_until

pytestmark = pytest.mark.xdist_group("comparison")
UPS = ("transposed", "bilinear")


def test_every_cell_is_a_whole_run_with_the_same_split_and_budget():
    runs = [Run.open(compared() / "cells" / f"up-{up}_seed-{seed}") for up in UPS for seed in SEEDS]
    assert len({json.dumps(run.data["splits"], sort_keys=True) for run in runs}) == 1
    assert {(run.config.train.epochs, run.config.train.repeats, len(run.history)) for run in runs} == {(2, 2, 2)}
    assert [(run.config.model.up, run.config.train.seed) for run in runs] == [
        (up, seed) for up in UPS for seed in SEEDS
    ]
    assert {state["state"] for state in states(compared()).values()} == {"done"}
    assert leftovers(compared()) == []


def test_a_cell_is_trained_to_the_same_bits_as_alone(tmp_path):
    """The second seed of the second setting, after three others in the same process."""
    cell = compared() / "cells" / "up-bilinear_seed-1"
    text = json.dumps(base(model={"up": "bilinear"}, train={"seed": 1}))
    (tmp_path / "alone.yaml").write_text(text)
    assert maskwright("train", tmp_path / "alone.yaml", "--out", tmp_path / "alone").code == 0
    assert (cell / "model.safetensors").read_bytes() == (tmp_path / "alone" / "model.safetensors").read_bytes()


def test_progress_is_one_line_a_cell_and_tells_nothing_of_the_test():
    lines = [line for line in outcome().err.splitlines() if line[:2] in ("1/", "2/", "3/", "4/")]
    assert [line.split("  ")[:2] for line in lines] == [
        ["1/4", "up transposed · seed 0"], ["2/4", "up bilinear · seed 0"],
        ["3/4", "up transposed · seed 1"], ["4/4", "up bilinear · seed 1"],
    ]  # fmt: skip
    assert all("val IoU" in line and "test" not in line for line in lines)
    assert all(line.endswith(" left") for line in lines[:3]) and "left" not in lines[3]
    assert not any(line.startswith("epoch") for line in outcome().err.splitlines())


def test_going_on_with_a_finished_comparison_trains_nothing(tmp_path):
    root = tmp_path / "two"
    shutil.copytree(compared(), root)
    before = {path: path.stat().st_mtime_ns for path in (root / "cells").rglob("*") if path.is_file()}
    told = maskwright("compare", root)
    assert told.code == 0 and "4 of 4 cells are finished already" in told.err
    assert {path: path.stat().st_mtime_ns for path in (root / "cells").rglob("*") if path.is_file()} == before
    assert (root / "table.csv").read_text() == (compared() / "table.csv").read_text()


def test_all_cells_together_read_and_audit_the_data_once(tmp_path, monkeypatch):
    """Cells that use the pixels in unlike ways, in a new folder, and in one that is found and has a cell to train."""
    read, look, images, audits = opening.read_record, gate.judge, Counter[str](), []

    def reading(record: Record, *rest: Any, **options: Any) -> Any:
        images[record.id] += 1
        return read(record, *rest, **options)

    monkeypatch.setattr(opening, "read_record", reading)
    monkeypatch.setattr(gate, "judge", lambda *rest: (audits.append(1), look(*rest))[1])
    monkeypatch.chdir(tmp_path)
    mine = copy_of(data(), tmp_path / "data")
    (mine / "dataset.yaml").write_text("classes: {ground: 0, thing: 255}\n")
    config = written(tmp_path / "c.yaml", {"data.size": [32, 24, 16]}, data={"root": str(mine)})
    assert maskwright("compare", config).code == 0
    (root,) = (tmp_path / "runs").iterdir()
    first = Run.open(root / "cells/size-32").data
    train = [entry["id"] for entry in first["splits"]["train"]]
    assert first["classes"]["names"] == ["ground", "thing"]  # as dataset.yaml says
    assert [images[name] for name in train] == [1] * len(train) and len(audits) == 1
    cell = root / "cells" / "size-24"
    weights = (cell / "model.safetensors").read_bytes()
    (cell / "model.safetensors").unlink()  # as if it were killed before its end
    shutil.rmtree(root / "cells" / "size-16")
    images.clear()
    again = maskwright("compare", config)
    assert again.code == 0 and "1 of 3 cells are finished already" in again.err
    assert [images[name] for name in train] == [1] * len(train) and len(audits) == 2
    assert (cell / "model.safetensors").read_bytes() == weights
    assert leftovers(root) == [] and not (root / "cache").exists()


def test_killed_inside_a_cell_it_goes_on_to_the_same_bits(tmp_path):
    """Killed with SIGKILL in the second cell: the first is kept, the second resumed, the third trained."""
    long = {"epochs": 8, "repeats": 8}
    (tmp_path / "alone.yaml").write_text(json.dumps(base(train={**long, "seed": 1})))
    assert maskwright("train", tmp_path / "alone.yaml", "--out", tmp_path / "alone").code == 0
    root = tmp_path / "killed"
    child = start(
        tmp_path / "log", "compare", written(tmp_path / "c.yaml", {"seed": [0, 1, 2]}, train=long), "--out", root
    )
    first, second = root / "cells" / "unet_seed-0", root / "cells" / "unet_seed-1"
    wait_until(lambda: rows(second) >= 3, child.is_alive)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert [state["state"] for state in states(root).values()] == ["done", "running", "waiting"]
    written_at = (first / "model.safetensors").stat().st_mtime_ns
    told = maskwright("compare", root)
    assert told.code == 0 and "1 of 3 cells are finished already" in told.err
    assert (first / "model.safetensors").stat().st_mtime_ns == written_at
    assert (second / "model.safetensors").read_bytes() == (tmp_path / "alone" / "model.safetensors").read_bytes()
    assert [state["state"] for state in states(root).values()] == ["done"] * 3
    assert leftovers(root) == []


def test_a_failed_cell_is_told_with_its_reason_and_the_rest_goes_on(tmp_path):
    config = written(tmp_path / "c.yaml", {"lr": [FAR, 0.01]}, model={"norm": "none"})
    told = maskwright("compare", config, "--out", tmp_path / "out")
    assert told.code == 1
    found = states(tmp_path / "out")
    assert found["lr 1e+30"]["state"] == "failed" and found["lr 0.01"]["state"] == "done"
    assert (
        found["lr 1e+30"]["reason"].startswith("the loss must stay a finite number")
        and "trace" not in found["lr 1e+30"]
    )
    assert "1/2  lr 1e+30  failed: the loss must stay a finite number" in told.err
    assert "lr 0.01" in told.out and "Failed, and not in the table:" in told.out and "Traceback" not in told.err
    (failure,) = open_comparison(tmp_path / "out").failures
    assert failure.name == "lr 1e+30"
    again = maskwright("compare", tmp_path / "out")
    assert again.code == 1 and "1 of 2 cells are finished already" in again.err


def test_when_all_cells_fail_the_reasons_are_told(tmp_path):
    config = written(tmp_path / "c.yaml", {"lr": [FAR, 2 * FAR]}, model={"norm": "none"})
    told = maskwright("compare", config, "--out", tmp_path / "out", "--json")
    assert told.code == 1 and told.json["rows"] == []
    assert [failure["name"] for failure in told.json["failures"]] == ["lr 1e+30", "lr 2e+30"]


@pytest.mark.parametrize(
    ("error", "reason", "traced"),
    [
        (KeyError("nobody"), "an error nobody foresaw, KeyError: 'nobody'", True),
        (MemoryError(), "there was not enough memory (no reason given). Lower train.batch_size", False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"),
         "there was not enough memory (DefaultCPUAllocator", False),
    ],
)  # fmt: skip
def test_whatever_a_cell_raises_is_written_down(tmp_path, monkeypatch, error, reason, traced):
    """A mock of training that raises for one cell: errors nobody foresaw and a want of memory can't be made at will."""
    train = fit.train

    def failing(config: Config, *rest: object, **options: object):
        if config.train.seed == 1:
            raise error
        return train(config, *rest, **options)

    monkeypatch.setattr(fit, "train", failing)
    matrix = read_matrix(written(tmp_path / "c.yaml", {"seed": [1, 0]}))
    compare_cells(matrix, tmp_path / "out")
    found = states(tmp_path / "out")
    assert found["unet · seed 1"]["state"] == "failed" and found["unet · seed 0"]["state"] == "done"
    assert found["unet · seed 1"]["reason"].startswith(reason)
    assert ("trace" in found["unet · seed 1"]) == traced
    monkeypatch.undo()
    compare_cells(matrix, tmp_path / "out")  # what failed is tried again
    assert [state["state"] for state in states(tmp_path / "out").values()] == ["done", "done"]
    assert "reason" not in states(tmp_path / "out")["unet · seed 1"]


def test_an_interrupt_stops_everything(tmp_path, monkeypatch):
    """A mock of training that is interrupted, as by Ctrl-C."""

    def interrupted(*_: object, **__: object):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_cells(read_matrix(written(tmp_path / "c.yaml", {"seed": [0, 1]})), tmp_path / "out")
    assert [state["state"] for state in states(tmp_path / "out").values()] == ["running", "waiting"]


def test_data_that_change_on_the_way_fail_the_cells_after(tmp_path):
    root = copy_of(data(), tmp_path / "data")
    matrix = read_matrix(written(tmp_path / "c.yaml", {"seed": [0, 1]}, data={"size": 32, "root": str(root)}))
    test = next(line.split(",")[0] for line in (root / "pairs.csv").read_text().splitlines() if ",test" in line)

    def change(line: str) -> None:
        if line.startswith("1/2"):
            picture(root / test, noise(32, 40))

    compare_cells(matrix, tmp_path / "out", say=change)
    first, second = states(tmp_path / "out").values()
    assert first["state"] == "done" and second["state"] == "failed"
    assert second["reason"].startswith(f"`{root / test}` must be the file the run was made with; its content changed.")


# ------------------------------------------------------------------ what is refused before anything starts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda tree: tree["base"]["train"].update(epochs=3),
            "up transposed · seed 0 differs: train.epochs was 2 and is 3",
        ),
        (lambda tree: tree["matrix"].update(seed=[0, 1, 2]), "up transposed · seed 2 is new"),
        (lambda tree: tree["matrix"].update({"model.up": ["transposed"]}), "up transposed · seed 0 is gone"),
    ],
    ids=["budget", "seeds", "models"],
)
def test_a_changed_config_is_refused(tmp_path, change, told):
    tree = {"base": base(), "matrix": {"model.up": list(UPS), "seed": list(SEEDS)}}
    change(tree)
    (tmp_path / "c.yaml").write_text(json.dumps(tree))
    before = {path: path.read_bytes() for path in compared().rglob("*") if path.is_file()}
    outcome = maskwright("compare", tmp_path / "c.yaml", "--out", compared())
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.sentence.startswith(
        f"`CONFIG` must be what {compared()} was begun with; {told}. Choose another --out"
    )
    assert {path: path.read_bytes() for path in compared().rglob("*") if path.is_file()} == before


def test_the_same_command_goes_on(tmp_path):
    config = written(tmp_path / "same.yaml", {"model.up": list(UPS), "seed": list(SEEDS)})
    shutil.copytree(compared(), tmp_path / "two")
    told = maskwright("compare", config, "--out", tmp_path / "two")
    assert told.code == 0 and "4 of 4 cells are finished already" in told.err


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    told = maskwright("compare", written(tmp_path / "c.yaml", {"seed": [0, 1]}), "--out", tmp_path / "out")
    assert told.code == 2 and told.sentence.endswith("which holds notes.txt. Choose another.")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_leftovers_of_a_killed_start_are_no_obstacle_and_somebody_elses_files_are_one(tmp_path):
    """comparison.yaml is written last: without it, the lock of the killed process tells whose the others are."""
    root = tmp_path / "out"
    shutil.copytree(
        compared(),
        root,
        ignore=shutil.ignore_patterns("cells", "comparison.yaml", "table*", "report*", "plots", "stand*"),
    )
    config = written(tmp_path / "c.yaml", {"seed": [0]}, train={"epochs": 1})
    before = {path: path.read_bytes() for path in root.iterdir()}
    told = maskwright("compare", config, "--out", root)
    assert told.code == 2 and told.sentence.endswith(
        "which holds cells.json, environment.json and plan.json. Choose another."
    )
    assert {path: path.read_bytes() for path in root.iterdir()} == before
    (root / LOCK).write_text("comparison.yaml")
    assert maskwright("compare", config, "--out", root).code == 0


def test_a_second_process_is_refused(tmp_path):
    root = tmp_path / "two"
    shutil.copytree(compared(), root)
    with lock_folder(root):
        told = maskwright("compare", root)
    assert told.code == 2 and "by one process at a time; another is at work" in told.sentence
    assert leftovers(root) == []


def test_names_that_libraries_know_are_refused_before_anything_starts(tmp_path):
    text = """
base:
  optim: {name: adamm}
matrix:
  model:
  - unet
  - unet/resnet43
  - unett/resnet34
  augment:
  - [{name: hflipp}]
"""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        compare_cells(read_matrix(tmp_path / "c.yaml"), tmp_path / "out")
    told = [problem.replace(str(tmp_path / "c.yaml"), "c.yaml") for problem in caught.value.problems]
    assert len(told) == 4
    starts = (
        "base: Unknown optimizer 'adamm' in `optim.name`. Did you mean 'adam'",
        "c.yaml, line 7: Unknown encoder 'resnet43' in `model.encoder`. Did you mean 'resnet34'",
        "c.yaml, line 8: Unknown architecture 'unett' in `model.arch`. Did you mean 'unet'",
        "c.yaml, line 10: Unknown operation 'hflipp' in `augment.0.name`. Did you mean 'hflip'",
    )
    for start_of in starts:
        assert any(one.startswith(start_of) for one in told), told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sections", "words", "told"),
    [
        ({"data": {"root": "nowhere"}}, (), "nowhere"),
        ({}, ("--split", "tset"), "Unknown split 'tset'. Did you mean 'test'?"),
    ],
)
def test_what_no_cell_could_be_trained_with_is_refused(tmp_path, sections, words, told):
    outcome = maskwright(
        "compare", written(tmp_path / "c.yaml", {"seed": [0, 1]}, **sections), "--out", tmp_path / "out", *words
    )
    assert outcome.code == 2 and told in outcome.sentence
    assert not (tmp_path / "out").exists()


def test_a_split_without_images_is_refused(tmp_path):
    root = copy_of(data(), tmp_path / "data")
    (root / "pairs.csv").write_text((root / "pairs.csv").read_text().replace(",test", ",train"))
    config = written(tmp_path / "c.yaml", {"seed": [0, 1]}, data={"root": str(root), "size": 32})
    outcome = maskwright("compare", config, "--out", tmp_path / "out")
    assert outcome.code == 2 and outcome.sentence.startswith(
        "`--split` must be one that has images (train, val); got 'test'."
    )
    assert not (tmp_path / "out").exists()


def test_a_budget_of_time_leaves_epochs_to_each_cell():
    cell = Cell("a", "a", "a", {}, Config())
    assert budgeted(cell.config, {"epochs": "auto", "budget": "2m"}).train.epochs == "auto"
    assert budgeted(cell.config, {"epochs": "auto", "budget": "2m"}).train.budget == "2m"
    settled = budgeted(cell.config, {"epochs": 7, "repeats": 3}).train
    assert (settled.epochs, settled.repeats) == (7, 3)


def test_epochs_and_repeats_of_the_base_hold_for_all(tmp_path):
    """Without augmentation repeats would settle at 1, and a tenth of the budget."""
    config = written(tmp_path / "c.yaml", {"augment": ["none", "light"]}, train={"repeats": "auto", "epochs": 1})
    assert maskwright("compare", config, "--out", tmp_path / "out").code == 0
    runs = [Run.open(path) for path in sorted((tmp_path / "out" / "cells").iterdir())]
    assert [run.config.augment for run in runs] == ["light", "none"]
    assert {run.config.train.repeats for run in runs} == {16}  # 64 inputs from 4 images


def test_errors_of_a_folder_are_sentences(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "comparison.yaml").write_text("matrix: {seed: [0]}")
    with pytest.raises(RunError, match="holds no plan"):
        open_comparison(tmp_path / "broken")
    with pytest.raises(MaskwrightError, match="is not there"):
        open_comparison(tmp_path / "nowhere")


# ------------------------------------------------------------------ finished runs that join


def joining(path: Path, runs: list[Path], **sections: dict[str, Any]) -> Path:
    """A CONFIG of one cell, and finished runs beside it."""
    config = written(path, {"model.up": ["transposed"]}, **sections)
    config.write_text(config.read_text() + f"runs: {[str(run) for run in runs]}\n")
    return config


def test_finished_runs_join_the_cells(tmp_path):
    """One setting of two seeds, of which one was not yet scored: an entry beside the cell's, trained by nobody
    again.
    """
    for seed in SEEDS:
        shutil.copytree(compared() / "cells" / f"up-bilinear_seed-{seed}", tmp_path / f"old-{seed}")
    shutil.rmtree(tmp_path / "old-1" / "evaluation")
    weights = (tmp_path / "old-1" / "model.safetensors").stat().st_mtime_ns
    config = joining(tmp_path / "c.yaml", [tmp_path / "old-0", tmp_path / "old-1"])
    told = maskwright("compare", config, "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert told.err.startswith("comparing 1 cell and 2 finished runs in")
    found = open_comparison(tmp_path / "out")
    assert {entry.name: entry.num_seeds for entry in found.entries} == {"unet": 1, "old": 2}
    assert (tmp_path / "old-1" / "evaluation" / "test.json").is_file()
    assert (tmp_path / "old-1" / "model.safetensors").stat().st_mtime_ns == weights
    held = (tmp_path / "out" / "table.csv").read_text()
    again = maskwright("compare", tmp_path / "out")
    assert again.code == 0 and "1 of 1 cells are finished already" in again.err
    assert (tmp_path / "out" / "table.csv").read_text() == held
    assert list(states(tmp_path / "out")) == ["unet", "old · seed 0", "old · seed 1"]


def test_finished_runs_of_other_images_are_refused_before_anything_is_trained(tmp_path):
    shutil.copytree(compared() / "cells" / "up-bilinear_seed-0", tmp_path / "old")
    document = json.loads((tmp_path / "old" / "data.json").read_text())
    document["splits"]["test"].pop()
    (tmp_path / "old" / "data.json").write_text(json.dumps(document))
    told = maskwright("compare", joining(tmp_path / "c.yaml", [tmp_path / "old"]), "--out", tmp_path / "out")
    assert told.code == 2 and not (tmp_path / "out").exists()
    assert told.sentence.startswith(
        f"runs must have the same test images to be compared; base has 2 and {tmp_path / 'old'} 1"
    )


def test_a_folder_goes_on_with_the_runs_it_was_begun_with(tmp_path):
    for name in ("a", "b"):
        shutil.copytree(compared() / "cells" / "up-bilinear_seed-0", tmp_path / name)
    config = joining(tmp_path / "c.yaml", [tmp_path / "a"])
    assert maskwright("compare", config, "--out", tmp_path / "out").code == 0
    told = maskwright("compare", joining(tmp_path / "c.yaml", [tmp_path / "b"]), "--out", tmp_path / "out")
    assert told.code == 2 and f"{tmp_path / 'a'} is gone" in told.sentence
