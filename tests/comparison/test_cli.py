"""`maskwright compare` and `maskwright.compare`: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from compared import SEEDS, base, compared, outcome, written
from PIL import Image

import maskwright as mw
from maskwright.errors import UsageError
from maskwright.runs import Run
from support import copy_of, data, finished, maskwright

pytestmark = pytest.mark.xdist_group("comparison")


def cell(up: str, seed: int) -> Path:
    return compared() / "cells" / f"up-{up}_seed-{seed}"


def test_the_table_is_printed_and_written():
    told = outcome()
    assert told.code == 0 and "up transposed" in told.out and "up bilinear" in told.out
    assert "2 test images" in told.out and told.out.rstrip().endswith(f"the page: {compared() / 'report.html'}")
    held = {path.name for path in compared().iterdir()}
    assert {"comparison.yaml", "plan.json", "environment.json", "cells", "cells.json", "standings.json", "table.md",
            "table.csv", "table.tex", "plots", "report.html"} == held  # fmt: skip
    rows = list(csv.DictReader((compared() / "table.csv").read_text().splitlines()))
    assert {row["name"] for row in rows} == {"up transposed", "up bilinear"}
    standings = json.loads((compared() / "standings.json").read_text())
    assert [row["num_seeds"] for row in standings["rows"]] == [2, 2]
    page = (compared() / "report.html").read_text()
    assert "up bilinear" in page and len(page) < 5_000_000


def test_the_plan_of_training_is_told_once():
    lines = outcome().err.splitlines()
    assert sum(line.startswith("data    4 train, 2 val, 2 test") for line in lines) == 1
    assert "comparing 4 cells" in lines[0]


def test_as_json(tmp_path):
    shutil.copytree(compared(), tmp_path / "two")
    told = maskwright("compare", tmp_path / "two", "--json")
    assert told.code == 0 and told.json["comparison"] == str(tmp_path / "two") and told.json["split"] == "test"
    assert {row["name"] for row in told.json["rows"]} == {"up transposed", "up bilinear"} and told.json[
        "failures"
    ] == []
    assert Path(told.json["report"]).is_file()


def test_flags_reach_the_base_and_relative_data_are_found_again(tmp_path, monkeypatch):
    copy_of(data(), tmp_path / "a" / "pictures")
    monkeypatch.chdir(tmp_path / "a")
    config = written(tmp_path / "c.yaml", {"seed": [0, 1]}, data={"root": "nowhere", "size": 32})
    told = maskwright(
        "compare", config, "--data", "pictures", "--epochs", "1", "--model.width", "4", "--out", tmp_path / "out"
    )
    assert told.code == 0, told.err
    run = Run.open(tmp_path / "out" / "cells" / "unet_seed-1")
    assert (run.config.train.epochs, run.config.model.width, len(run.history)) == (1, 4, 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "cells" / "unet_seed-1" / "model.safetensors").unlink()
    assert maskwright("compare", tmp_path / "out").code == 0
    assert run.weights.is_file()


def test_the_default_folder_is_named_after_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = maskwright("compare", written(tmp_path / "c.yaml", {"seed": [0]}, train={"epochs": 1}))
    assert told.code == 0 and (tmp_path / "runs" / "puzzle-compare-1" / "table.md").is_file()


def test_the_same_config_goes_on_and_another_begins_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = written(tmp_path / "c.yaml", {"seed": [0]}, train={"epochs": 1})
    assert maskwright("compare", config).code == 0
    began = next(Path("runs/puzzle-compare-1/cells").glob("*/model.safetensors"))
    trained = began.stat().st_mtime_ns
    told = maskwright("compare", config)
    assert told.code == 0 and "runs/puzzle-compare-1, begun by an earlier call with the same cells; --out" in told.err
    assert "1 of 1 cells are finished already" in told.err and began.stat().st_mtime_ns == trained
    assert str(mw.compare(config, progress=False).root) == str(Path("runs/puzzle-compare-1"))
    other = maskwright("compare", config, "--lr", "0.02")
    assert other.code == 0 and "earlier call" not in other.err
    assert sorted(path.name for path in Path("runs").iterdir()) == ["puzzle-compare-1", "puzzle-compare-2"]
    refused = maskwright("compare", config, "--lr", "0.03", "--out", "runs/puzzle-compare-1")
    assert refused.code == 2 and "optim.lr was 0.01 and is 0.03. Choose another --out" in refused.sentence


def test_changed_data_begin_anew(tmp_path, monkeypatch):
    """What was told of the old masks must not be told of the new ones."""
    monkeypatch.chdir(tmp_path)
    config = written(tmp_path / "c.yaml", {"seed": [0]}, train={"epochs": 1})
    base = yaml.safe_load(config.read_text())["base"]
    moved = shutil.copytree(base["data"]["root"], tmp_path / "puzzle")
    assert maskwright("compare", config, "--data", moved).code == 0
    mask = next(path for path in sorted(moved.rglob("*.png")) if "mask" in path.parent.name)
    Image.fromarray(np.asarray(Image.open(mask))[::-1].copy()).save(mask)
    told = maskwright("compare", config, "--data", moved)
    assert told.code == 0 and "earlier call" not in told.err
    assert sorted(path.name for path in Path("runs").iterdir()) == ["puzzle-compare-1", "puzzle-compare-2"]


def test_another_split_of_a_finished_comparison(tmp_path):
    shutil.copytree(compared(), tmp_path / "two")
    told = maskwright("compare", tmp_path / "two", "--split", "val", "--json")
    assert told.code == 0 and told.json["split"] == "val"
    assert (tmp_path / "two" / "cells" / "up-bilinear_seed-0" / "evaluation" / "val.json").is_file()
    assert mw.compare(tmp_path / "two", progress=False).split == "val"  # it is a comparison of val from now on


def test_finished_runs(tmp_path):
    told = maskwright(
        "compare", cell("transposed", 0), cell("transposed", 1), cell("bilinear", 0), "--out", tmp_path / "out"
    )
    assert told.code == 0 and "up-transposed" in told.out and "up-bilinear_seed-0" in told.out
    assert (tmp_path / "out" / "report.html").is_file() and not (tmp_path / "out" / "cells").exists()
    again = maskwright("report", tmp_path / "out", "--json")
    assert again.code == 0 and again.json["report"] == str(tmp_path / "out" / "report.html")


def test_finished_runs_whose_data_moved(tmp_path):
    root = copy_of(data(), tmp_path / "data")
    config = written(tmp_path / "c.yaml", {"seed": [0, 1]}, data={"root": str(root), "size": 32}, train={"epochs": 1})
    assert maskwright("compare", config, "--out", tmp_path / "first").code == 0
    root.rename(tmp_path / "moved")
    runs = [tmp_path / "first" / "cells" / f"unet_seed-{seed}" for seed in SEEDS]
    shutil.rmtree(runs[0] / "evaluation")
    told = maskwright("compare", *runs, "--out", tmp_path / "second")
    assert told.code == 2 and "--data" in told.sentence and not (tmp_path / "second").exists()
    assert maskwright("compare", *runs, "--out", tmp_path / "second", "--data", tmp_path / "moved").code == 0


def test_the_report_of_a_comparison(tmp_path):
    shutil.copytree(compared(), tmp_path / "two")
    (tmp_path / "two" / "report.html").unlink()
    assert maskwright("report", tmp_path / "two").code == 0
    assert (tmp_path / "two" / "report.html").is_file()
    told = maskwright("report", tmp_path / "two", "--split", "val")
    assert told.code == 2 and told.sentence.startswith("`--split` must be test, which")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "`compare` must be given a CONFIG, a comparison's folder or finished runs; got none."),
        (("nowhere.yaml",), "`CONFIG` must be a YAML file; got nowhere.yaml, which is not there. Check the path."),
        (("RUN",),
            "`compare` must be given a CONFIG, a comparison's folder or finished runs; got RUN, a run, and one run "
            "alone"),
        (("EMPTY",),
         "`compare` must be given a CONFIG, a comparison's folder or finished runs; got EMPTY, without comparison"),
        (("RUN", "RUN"), "`RUN RUN …` must be at least two runs, each named once; got RUN twice."),
        (("RUN", "EMPTY"), "`RUN` must be a run folder made by `maskwright train`; got EMPTY"),
        (("RUN", "CELL", "--plan"), "--plan cannot be combined with finished runs"),
        (("RUN", "CELL", "--epochs", "3"), "--epochs cannot be combined with finished runs, which stay as they are."),
        (("RUN", "CELL", "--out", "COMPARED"), "`--out` must be a new or empty folder; got COMPARED"),
        (("COMPARED", "--epochs", "3"), "COMPARED cannot be combined with --epochs: a comparison goes on as it began."),
        (("COMPARED", "--out", "x"), "COMPARED cannot be combined with --out: a comparison goes on as it began."),
        (("CONFIG", "--epoch", "3"), "Unknown flag '--epoch'. Did you mean '--epochs'?"),
        (("CONFIG", "--plan", "--split", "vall"), "Unknown split 'vall'. Did you mean 'val'?"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path, words, sentence):
    (tmp_path / "empty").mkdir()
    places = {"RUN": str(finished()), "CELL": str(cell("bilinear", 0)), "EMPTY": str(tmp_path / "empty"),
              "COMPARED": str(compared()), "CONFIG": str(written(tmp_path / "c.yaml", {"seed": [0, 1]}))}  # fmt: skip
    told = maskwright("compare", *(places.get(word, word) for word in words))
    assert told.code == 2 and told.out == ""
    for name, place in places.items():
        sentence = sentence.replace(name, place) if name in words else sentence
    found = told.sentence
    assert found.replace(places["RUN"], "RUN").startswith(sentence.replace(places["RUN"], "RUN"))


# ------------------------------------------------------------------ from Python


def test_from_python(tmp_path):
    config = written(tmp_path / "c.yaml", {"seed": list(SEEDS)})
    found = mw.compare(config, out=tmp_path / "out", data=data(), epochs=1, progress=False)
    assert isinstance(found, mw.Comparison) and [entry.num_seeds for entry in found.entries] == [2]
    assert "unet" in str(found) and (tmp_path / "out" / "report.html").is_file()
    assert Run.open(tmp_path / "out" / "cells" / "unet_seed-0").config.train.epochs == 1
    runs = [tmp_path / "out" / "cells" / f"unet_seed-{seed}" for seed in SEEDS]
    both = mw.compare(*runs, cell("bilinear", 0), out=tmp_path / "runs")
    assert [entry.num_seeds for entry in both.entries] == [2, 1]


def test_mistakes_from_python(tmp_path):
    with pytest.raises(UsageError, match="finished runs; got none"):
        mw.compare()
    with pytest.raises(UsageError, match="epochs cannot be combined with finished runs"):
        mw.compare(finished(), cell("bilinear", 0), epochs=3)
    with pytest.raises(UsageError, match="goes on as it began"):
        mw.compare(compared(), epochs=3)
    with pytest.raises(UsageError, match="Did you mean 'epochs'"):
        mw.compare(written(tmp_path / "c.yaml", {"seed": [0]}), epoch=3)


def test_the_base_of_these_tests_is_a_configuration():
    assert mw.Config.model_validate(base()).train.epochs == 2
