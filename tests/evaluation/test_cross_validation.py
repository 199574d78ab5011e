"""Cross-validation: whole runs, each image judged once by a network that has not seen it, and folds that go on when
stopped.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskwright as mw
from maskwright.config.files import load_config
from maskwright.evaluation.cross_validation import of_fold
from maskwright.metrics.counts import Counts
from support import TINY, data, maskwright

WORDS = ("--data", data(), "--model", "unet", *TINY, "--epochs", 1, "--log", "csv")


@pytest.fixture(scope="module")
def folded(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("folded") / "cv"
    told = maskwright("train", *WORDS, "--folds", 3, "--out", root)
    assert told.code == 0, told.err
    assert "each judged by a network that has not seen it" in told.out
    return root


def ids(run: mw.TrainedRun, split: str) -> set[str]:
    return {entry["id"] for entry in run.data["splits"][split]}


def test_every_image_but_the_tests_is_judged_once_and_by_a_network_that_has_not_seen_it(folded):
    runs = [mw.load_run(folded / f"fold-{fold}") for fold in range(3)]
    judged = [one for run in runs for one in ids(run, "val")]
    assert len(judged) == len(set(judged)) == 6
    for run in runs:
        assert ids(run, "train") == set(judged) - ids(run, "val")
        assert ids(run, "test") == ids(runs[0], "test")
        assert not ids(run, "test") & set(judged)


def test_the_score_is_that_of_all_held_out_pixels_counted_anew(folded):
    both = either = 0
    for fold in range(3):
        run = mw.load_run(folded / f"fold-{fold}")
        for entry in run.data["splits"]["val"]:
            truth = np.asarray(Image.open(Path(run.data["root"]) / entry["mask"])) == 255
            found = np.asarray(Image.open(run.root / "evaluation" / "predictions" / "val" / f"{entry['id']}.png")) == 1
            both, either = both + (truth & found).sum(), either + (truth | found).sum()
    document = json.loads((folded / "cross-validation.json").read_text())
    assert document["metrics"]["iou"] == pytest.approx(both / either)
    assert document["images"] == 6
    low, high = document["intervals"]["iou"]
    assert low <= document["metrics"]["iou"] <= high
    assert sum(fold["images"] for fold in document["folds"]) == 6


def test_what_was_stopped_goes_on_and_what_is_done_stays(folded, tmp_path):
    root = shutil.copytree(folded, tmp_path / "cv")
    shutil.rmtree(root / "fold-2")
    shutil.rmtree(root / "fold-1" / "evaluation")
    (root / "cross-validation.json").unlink()
    before = (root / "fold-0" / "model.safetensors").stat().st_mtime_ns
    assert maskwright("train", "--resume", root).code == 0
    assert (root / "fold-0" / "model.safetensors").stat().st_mtime_ns == before
    old, new = (json.loads((one / "cross-validation.json").read_text()) for one in (folded, root))
    assert new == old


def test_the_folds_predict_together(folded, tmp_path):
    image = next((data() / "images").iterdir())
    together = maskwright("predict", folded, image, "--out", tmp_path / "together", "--write", "labels")
    assert together.code == 0, together.err
    runs = [folded / f"fold-{fold}" for fold in range(3)]
    assert maskwright("predict", *runs, image, "--out", tmp_path / "named", "--write", "labels").code == 0
    names = [tmp_path / one / f"{image.stem}.png" for one in ("together", "named")]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert (
        len({str(mw.load_run(run).config.data.model_dump(include={"view", "size", "scale", "tiles"})) for run in runs})
        == 1
    )


def test_folds_that_are_not_finished_are_told(folded, tmp_path):
    """Two of three networks are another ensemble, and nobody would know."""
    root = shutil.copytree(folded, tmp_path / "cv")
    image = next((data() / "images").iterdir())
    assert "folds" not in maskwright("predict", root, image, "--out", tmp_path / "all").err
    (root / "fold-1" / "model.safetensors").unlink()
    some = maskwright("predict", root, image, "--out", tmp_path / "some")
    assert some.code == 0 and f"2 of 3 folds of {root} are finished" in some.err
    assert f"maskwright train --resume {root}" in some.err
    for fold in range(3):
        (root / f"fold-{fold}" / "model.safetensors").unlink(missing_ok=True)
    none = maskwright("predict", root, image, "--out", tmp_path / "none")
    assert none.code == 2 and "is a cross-validation" in none.sentence


def test_from_python_and_again_into_the_same_folder(folded, tmp_path):
    root = shutil.copytree(folded, tmp_path / "cv")
    result = mw.cross_validate(out=root, progress=False)
    assert result.metrics["iou"] == json.loads((folded / "cross-validation.json").read_text())["metrics"]["iou"]
    assert len(result.runs) == 3


def test_a_budget_is_that_of_all_folds():
    config = load_config(None, [("train.budget", "10m", "--budget"), ("data.split.folds", 5, "--folds")])
    assert of_fold(config, 3).train.budget == "120s"
    assert of_fold(config, 3).data.split.fold == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--folds", 1), "folds"),
        (("--folds", 60), "folds"),
        (("--folds", "many"), "folds"),
        (("--folds", 3, "--data.mask_suffix", "x", "--epochs", 0), "epochs"),
    ],
)
def test_what_cannot_be_leaves_nothing(words, said, tmp_path):
    told = maskwright("train", *WORDS, *words, "--out", tmp_path / "cv")
    assert told.code == 2
    assert said in told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "cv").exists()


def test_a_finished_cross_validation_is_evaluated_as_a_whole(folded, tmp_path):
    told = maskwright("evaluate", folded)
    assert told.code == 0, told.err
    document = json.loads((folded / "cross-validation.json").read_text())
    assert f"iou {document['metrics']['iou']:.4f}" in told.out and "fold-2  val IoU" in told.out
    assert maskwright("evaluate", folded, "--json").json == document
    told = maskwright("evaluate", folded, "--split", "test")
    assert told.code == 2 and "--split" in told.sentence and f"maskwright evaluate {folded / 'fold-0'}" in told.sentence
    part = shutil.copytree(folded, tmp_path / "cv")
    shutil.rmtree(part / "fold-1" / "evaluation")
    told = maskwright("evaluate", part)
    assert (
        told.code == 2 and "2 of its 3 folds" in told.sentence and f"maskwright train --resume {part}" in told.sentence
    )


def test_the_folder_of_the_folds_says_what_it_is_where_a_run_is_wanted(folded):
    told = maskwright("export", folded, "--format", "torch")
    assert told.code == 2
    assert "cross-validation" in told.sentence
    assert "fold-0" in told.sentence


def test_folds_that_learned_nothing_are_named_in_a_line(folded, tmp_path):
    root = shutil.copytree(folded, tmp_path / "cv")
    assert "learned nothing" not in maskwright("evaluate", root).out
    for fold, predicted in ((0, 0), (2, None)):  # one class everywhere, and the wrong one of the two
        path = root / f"fold-{fold}" / "evaluation" / "val-counts.npz"
        counts = Counts.load(path)
        matrix = counts.matrix.copy()
        if predicted is None:
            matrix = matrix.sum(2, keepdims=True) * np.array([[[0, 1], [1, 0]]])
        else:
            matrix[..., 0], matrix[..., 1] = matrix.sum(2), 0
        replace(counts, matrix=matrix).save(path)
    told = maskwright("evaluate", root)
    lines = [line for line in told.out.splitlines() if "learned nothing" in line]
    assert len(lines) == 1 and "fold-1" not in lines[0], told.out
    assert "fold-0 (nearly all pixels are predicted as background) and fold-2 (IoU 0.00)" in lines[0]
    assert f"maskwright diagnose {root / 'fold-0'}" in lines[0]
    assert "learned nothing" in maskwright("evaluate", root, "--json").json["warning"]
