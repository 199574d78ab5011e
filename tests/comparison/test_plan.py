"""The plan of a comparison: measured, true to what is trained afterwards, and written nowhere."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from compared import base, compared, written

from maskwright.comparison import plan as plans
from maskwright.comparison.measuring import Measured, Task, measure, measure_in_subprocess
from maskwright.comparison.plan import CellPlan, ComparisonPlan, make_plan, size_name
from maskwright.comparison.spec import read_matrix
from maskwright.errors import is_out_of_memory
from maskwright.runs import Run
from support import PROGRAM, Outcome, environment, maskwright, session_folder

pytestmark = pytest.mark.xdist_group("comparison")


@functools.cache
def planned() -> tuple[Outcome, list[str]]:
    """What `compare --plan --json` said, of two networks that can be trained and two that can't; and the files there
    after.

    The last but one would need more memory than any machine has: it must not take the ones after it along.
    """
    folder = session_folder() / "planned"
    models = [{"name": "unet", "width": 2, "depth": 2}, {"name": "unet", "weights": "gone.safetensors"},
              {"name": "unet", "width": 4096, "depth": 5}, {"name": "unet", "width": 32, "depth": 3}]  # fmt: skip
    config = written(folder / "c.yaml", {"model": models, "seed": [0, 1]})
    told = maskwright("compare", config, "--plan", "--json", "--out", folder / "out")
    return told, sorted(path.name for path in folder.iterdir())


def cells() -> dict[str, dict[str, Any]]:
    return {cell["name"]: cell for cell in planned()[0].json["cells"]}


WHAT = ("width 2, depth 2", "weights gone.safetensors", "width 4096, depth 5", "width 32, depth 3")
SMALL, GONE, HUGE, LARGE = (f"unet ({what}) · seed" for what in WHAT)


def test_nothing_is_written():
    assert planned()[1] == ["c.yaml"]


def test_cells_are_those_that_would_be_trained():
    assert list(cells()) == [f"{name} {seed}" for seed in (0, 1) for name in (SMALL, GONE, HUGE, LARGE)]
    assert {cell["epochs"] for cell in cells().values() if "epochs" in cell} == {2}
    assert {key: v for key, v in cells()[f"{SMALL} 0"].items() if key != "name"} == {
        key: v for key, v in cells()[f"{SMALL} 1"].items() if key != "name"
    }


def test_what_cannot_be_built_is_told_and_the_answer_is_no():
    told = planned()[0]
    assert told.code == 1 and "Traceback" not in told.err
    assert "memory" in cells()[f"{HUGE} 0"]["problem"]
    assert "gone.safetensors" in cells()[f"{GONE} 0"]["problem"] and "parameters" not in cells()[f"{GONE} 0"]


def test_parameters_and_multiply_adds_are_those_of_the_trained_run():
    run = Run.open(compared() / "cells" / "up-transposed_seed-0")
    small, cost = cells()[f"{SMALL} 0"], run.read_json("evaluation/test.json")["cost"]
    assert (small["parameters"], small["multiply_adds"]) == (cost["parameters"], cost["multiply_adds"])


PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_disk_and_memory_are_what_a_trained_run_takes(tmp_path):
    """Trained in a process of its own, whose peak of memory the system tells.

    A process's peak begins with that of the one it was started from, which may have run many tests: a small one starts
    it.
    """
    words = [PROGRAM, "train", str(_large(tmp_path / "run.yaml")), "--out", str(tmp_path / "run")]
    started = subprocess.run(
        [sys.executable, "-c", PEAK, *words], capture_output=True, text=True, env=environment(), check=True
    )
    run, planned_cell = Run.open(tmp_path / "run"), cells()[f"{LARGE} 0"]
    files = [run.weights, *run.checkpoints.iterdir()]
    assert planned_cell["disk"] == pytest.approx(sum(path.stat().st_size for path in files), rel=0.05)
    assert planned_cell["memory"] == pytest.approx(
        int(started.stdout) * (1 if sys.platform == "darwin" else 1024), rel=0.25
    )


def _large(path: Path) -> Path:
    path.write_text(json.dumps(base(model={"width": 32, "depth": 3}, train={"epochs": 1})))
    return path


def test_more_channels_take_more_of_everything():
    small, large = cells()[f"{SMALL} 0"], cells()[f"{LARGE} 0"]
    for key in ("parameters", "multiply_adds", "disk"):
        assert large[key] > 10 * small[key]
    assert large["step"] > small["step"]
    assert small["memory"] > 50 << 20 and small["step"] > 0 and small["seconds"] > 0


def test_totals_add_up():
    total, known = planned()[0].json["total"], [cell for cell in cells().values() if "problem" not in cell]
    assert total["cells"] == 8
    assert total["disk"] == sum(cell["disk"] for cell in known) and total["memory"] == max(
        cell["memory"] for cell in known
    )
    assert total["seconds"] == pytest.approx(sum(cell["seconds"] for cell in known), abs=0.1)


def measured(**changes: float) -> Measured:
    return Measured(**{"parameters": 10, "multiply_adds": 5e6, "step": 0.5, "epochs": 3, "memory": 1 << 30,
                       "disk": 3 << 20, "seconds": 90.0, **changes})  # pyright: ignore[reportArgumentType]  # fmt: skip


def test_the_table_of_a_plan():
    cells = (CellPlan("a", measured()), CellPlan("b", measured(multiply_adds=float("nan"))),
             CellPlan("c", None, "why."), CellPlan("d", None, "why."))  # fmt: skip
    plan = ComparisonPlan(cells, {"epochs": 3}, 1 << 29, 5 << 20)
    columns, rows = plan.rows()
    assert columns == ["cell", "parameters", "multiply-adds", "a step", "epochs", "memory", "disk", "time"]
    assert rows[0] == ["a", "10", "5.0 M", "0.500 s", "3", "1.0 GiB", "3.0 MiB", "1 min 30 s"]
    assert rows[1][2] == "-" and rows[2] == ["c", *["-"] * 7]
    assert (
        plan.total() == "2 cells one after the other: about 3 min 0 s, 6.0 MiB on disk, 1.0 GiB of memory at the most"
    )
    assert plan.problems == ["c and d cannot be trained: why."]
    assert plan.warnings() == [
        "the disk has 5.0 MiB free, and 6.0 MiB are needed",
        "a needs more memory than the 0.5 GiB that are free", "b needs more memory than the 0.5 GiB that are free",
    ]  # fmt: skip
    assert plan.to_json()["cells"][1]["multiply_adds"] is None
    assert size_name(5 << 29) == "2.5 GiB"


def test_a_budget_is_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "measure_in_subprocess", measure)
    matrix = read_matrix(written(tmp_path / "c.yaml", {"seed": [0]}, train={"epochs": "auto", "budget": "30s"}))
    plan = make_plan(matrix, tmp_path / "out")
    (cell,) = plan.cells
    assert plan.budget == {"budget": "30s"} and cell.measured is not None
    assert cell.measured.epochs > 3 and cell.measured.seconds == pytest.approx(33)


class Ended:
    """Ends the process that unpickles it, as the system does where memory runs out."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return os._exit, (1,)


def test_a_process_that_is_ended_is_an_answer():
    assert "ended by the system" in str(measure_in_subprocess(Task(Ended(), 1)))  # pyright: ignore[reportArgumentType]


def test_errors_that_say_that_memory_ran_out():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Default folders of comparisons are made, if at all, where they are seen."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield
    assert list(folder.iterdir()) == []
    shutil.rmtree(folder)
