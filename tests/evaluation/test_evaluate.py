"""Scores of a run: their document, an independent recount, and what they must not depend on."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label
from sklearn import metrics as sk

import maskwright as mw
from maskwright.errors import DataError
from maskwright.evaluation import costs
from maskwright.metrics.counts import Counts, count_image
from maskwright.metrics.scores import summary
from maskwright.models.sizing import measure
from support import TINY, copy_of, disc_data, discs, evaluated, finished, leftovers, maskwright, picture

SIZES = [(32, 40)] * 4 + [(24, 24), (40, 31), (33, 47), (7, 50), (64, 30), (32, 32)]
SPLITS = ["train"] * 4 + ["val"] * 2 + ["test"] * 4
BOUNDARIES = {"boundary_iou", "boundary_precision", "boundary_recall", "boundary_f"}
NAMES = {"accuracy", "precision", "recall", "f1", "iou", "dice", *BOUNDARIES, "hd95"}


@pytest.fixture(scope="module", params=["whole", "crop", "letterbox"])
def sizes_run(request, tmp_path_factory) -> mw.TrainedRun:
    """A run on images of several sizes, in each way of looking at an image."""
    root = tmp_path_factory.mktemp(request.param)
    view = {
        "whole": (),
        "crop": ("--data.view", "crop"),
        "letterbox": ("--data.view", "whole", "--data.letterbox", "true"),
    }
    words = (
        "--data",
        disc_data(root / "data", SIZES, SPLITS),
        *TINY,
        "--epochs",
        2,
        *view[request.param],
        "--out",
        root / "run",
    )
    assert maskwright("train", *words).code == 0
    return mw.load_run(root / "run")


@pytest.fixture(scope="module")
def scores(sizes_run) -> mw.Evaluation:
    """Its scores on test, for tests that need no file of them."""
    return sizes_run.evaluate()


def predictions(run: mw.TrainedRun, split: str = "test") -> dict[str, np.ndarray]:
    folder = run.root / "evaluation" / "predictions" / split
    entries = run.data["splits"][split]
    assert len(list(folder.rglob("*.png"))) == len(entries)
    return {entry["id"]: np.asarray(Image.open(folder / f"{entry['id']}.png")) for entry in entries}


def truths(run: mw.TrainedRun, split: str = "test") -> dict[str, np.ndarray]:
    root = Path(run.data["root"])
    return {
        e["id"]: (np.asarray(Image.open(root / e["mask"])) == 255).astype(np.uint8) for e in run.data["splits"][split]
    }


def without_clock(document: dict[str, Any]) -> dict[str, Any]:
    """A document less what a clock and the machine's memory decide."""
    cost = {
        key: value for key, value in document["cost"].items() if not key.startswith(("milliseconds", "peak_memory"))
    }
    return {**document, "cost": cost}


# ------------------------------------------------------------------ the document


def test_the_document_has_exactly_the_keys_that_were_promised():
    told = evaluated().json
    keys = ["run", "split", "images", "classes", "policy", "metrics", "per_class", "averages", "intervals", "loss"]
    assert list(told) == [*keys, "units", "spread", "boundary", "objects", "calibration", "threshold", "cost"]
    assert set(told["metrics"]) == set(told["intervals"]) == NAMES
    assert set(told["per_class"]) == {"background", "foreground"}
    assert all(set(row) == NAMES for row in told["per_class"].values())
    assert set(told["averages"]) == {"micro", "macro", "imagewise", "imagewise_micro"}
    assert all(set(row) == NAMES for row in told["averages"].values())
    assert told["boundary"] == {"iou_width": 0.02, "f_width": 3}
    assert (told["units"], told["spread"]) == (2, "95 % intervals from resampling 2 images 2,000 times")
    assert list(told["objects"]) == ["foreground"]
    assert [(row["size"], row["from"], row["to"]) for row in told["objects"]["foreground"]] == [
        ("small", 0, 1024), ("medium", 1024, 9216), ("large", 9216, None)
    ]  # fmt: skip
    assert (told["run"], told["split"], told["images"]) == ("run", "test", 2)
    assert "null" in told["policy"]


def test_what_is_printed_is_what_is_written():
    assert json.loads((finished() / "evaluation" / "test.json").read_text()) == evaluated().json
    assert leftovers(finished()) == []


def test_intervals_hold_the_score_and_come_out_the_same_every_time(sizes_run):
    first, again = (without_clock(sizes_run.evaluate().to_json()) for _ in range(2))
    assert first == again
    for name, (low, high) in first["intervals"].items():
        most = 100 if name == "hd95" else 1
        assert 0 <= low <= first["metrics"][name] <= high <= most, name


def test_counts_survive_the_file(sizes_run):
    result = sizes_run.evaluate()
    read = Counts.load(sizes_run.root / "evaluation" / "test-counts.npz")
    assert read.images == result.counts.images == tuple(entry["id"] for entry in sizes_run.data["splits"]["test"])
    for name in ("matrix", "boundary_overlap", "boundary_union", "boundary_near", "boundary_edge", "objects"):
        assert (getattr(read, name) == getattr(result.counts, name)).all()
        assert getattr(read, name).dtype == np.int64
    assert np.array_equal(read.hd95, result.counts.hd95, equal_nan=True) and read.boundary_width == 3
    assert read.matrix.sum((1, 2)).tolist() == [height * width for height, width in SIZES[-4:]]


# ------------------------------------------------------------------ an independent recount


def test_scores_are_scikit_learns_on_the_written_predictions(sizes_run):
    told = sizes_run.evaluate().to_json()
    predicted, truth = predictions(sizes_run), truths(sizes_run)
    y_pred, y_true = (np.concatenate([images[name].ravel() for name in truth]) for images in (predicted, truth))
    oracle = {
        "accuracy": sk.accuracy_score(y_true, y_pred),
        "precision": sk.precision_score(y_true, y_pred, zero_division=np.nan),
        "recall": sk.recall_score(y_true, y_pred, zero_division=np.nan),
        "f1": sk.f1_score(y_true, y_pred),
        "dice": sk.f1_score(y_true, y_pred),
        "iou": sk.jaccard_score(y_true, y_pred),
    }
    for name, value in oracle.items():
        assert told["metrics"][name] == pytest.approx(value, abs=1e-12), name
    assert told["per_class"]["background"]["iou"] == pytest.approx(sk.jaccard_score(1 - y_true, 1 - y_pred), abs=1e-12)
    assert told["averages"]["macro"]["iou"] == told["averages"]["micro"]["iou"] == told["metrics"]["iou"]
    each = [sk.jaccard_score(truth[name].ravel(), predicted[name].ravel()) for name in truth]
    assert told["averages"]["imagewise"]["iou"] == pytest.approx(np.mean(each), abs=1e-12)


def test_multi_class_scores_are_scikit_learns(tmp_path):
    maskwright("data", "make", "landcover", tmp_path / "set", "--count", 8, "--size", "32x40")
    run = mw.train(
        tmp_path / "set",
        out=tmp_path / "run",
        epochs=2,
        progress=False,
        **{"model.width": 2, "data.size": 32, "train.repeats": 2},
    )
    told = run.evaluate().to_json()
    root = Path(run.data["root"])
    y_true = np.concatenate(
        [np.asarray(Image.open(root / entry["mask"])).ravel() for entry in run.data["splits"]["test"]]
    )
    y_pred = np.concatenate([labels.ravel() for labels in predictions(run).values()])
    present = sorted(set(y_true) | set(y_pred))
    ious = dict(
        zip(present, sk.jaccard_score(y_true, y_pred, labels=present, average=None, zero_division=0), strict=True)
    )
    for number, name in enumerate(told["classes"]):
        expected = ious.get(number)
        assert told["per_class"][name]["iou"] == (pytest.approx(expected, abs=1e-12) if expected is not None else None)
    assert told["metrics"]["iou"] == pytest.approx(np.mean(list(ious.values())), abs=1e-12)
    assert told["metrics"]["accuracy"] == pytest.approx(sk.accuracy_score(y_true, y_pred), abs=1e-12)


# ------------------------------------------------------------------ what scores must not depend on


def test_each_image_alone_is_predicted_as_among_others(sizes_run):
    sizes_run.evaluate()
    root = Path(sizes_run.data["root"])
    for entry in sizes_run.data["splits"]["test"]:
        alone = mw.load_run(sizes_run.root).predict(root / entry["image"]).labels
        assert alone.shape == tuple(entry["size"])
        assert (alone == predictions(sizes_run)[entry["id"]]).all()


def test_neither_order_nor_company_changes_an_images_counts(sizes_run, tmp_path):
    whole = sizes_run.evaluate()
    copy = mw.load_run(copy_of(sizes_run.root, tmp_path / "run"))
    document = copy.data
    for chosen in (slice(None, None, -1), slice(2, 3)):
        changed = {**document, "splits": {**document["splits"], "test": document["splits"]["test"][chosen]}}
        copy.write_json("data.json", changed)
        result = copy.evaluate()
        for name, matrix in zip(result.counts.images, result.counts.matrix, strict=True):
            assert (matrix == whole.counts.matrix[whole.counts.images.index(name)]).all()
    assert len(result.counts.images) == 1


def test_batch_size_and_workers_of_training_do_not_reach_evaluation(sizes_run, tmp_path):
    copy = copy_of(sizes_run.root, tmp_path / sizes_run.name)
    text = (copy / "config.yaml").read_text()
    assert "batch_size: 4" in text and "workers: 0" in text
    (copy / "config.yaml").write_text(
        text.replace("batch_size: 4", "batch_size: 1").replace("workers: 0", "workers: 2")
    )
    again, first = mw.load_run(copy).evaluate(), sizes_run.evaluate()
    assert without_clock(again.to_json()) == without_clock(first.to_json())


# ------------------------------------------------------------------ the undefined


def test_what_is_not_defined_is_null_and_left_out(tmp_path):
    """No foreground in the test masks, and none predicted at such a threshold."""
    root = disc_data(tmp_path / "data", [(32, 32)] * 7, ["train"] * 4 + ["val"] + ["test"] * 2)
    for number in (5, 6):
        picture(root / "masks" / f"{number}.png", np.zeros((32, 32), np.uint8))
    assert maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", tmp_path / "run").code == 0
    outcome = maskwright("evaluate", tmp_path / "run", "--json", "--mask_threshold", "0.999999")
    told = outcome.json
    assert "NaN" not in outcome.out and "Infinity" not in outcome.out
    for name in NAMES - {"accuracy"}:
        assert told["metrics"][name] is None and told["intervals"][name] == [None, None]
        assert told["per_class"]["background"][name] == (0.0 if name == "hd95" else 1.0)
    assert all(row["recall"] is None and row["objects"] == 0 for row in told["objects"]["foreground"])
    assert told["metrics"]["accuracy"] == 1.0
    assert told["averages"]["imagewise"]["iou"] is None
    assert maskwright("evaluate", tmp_path / "run", "--mask_threshold", "0.999999").code == 0
    assert math.isnan(mw.load_run(tmp_path / "run").evaluate("train").metrics["iou"]) is False


# ------------------------------------------------------------------ refusals


@pytest.fixture(scope="module")
def spare(tmp_path_factory) -> Path:
    """A run on five images and its data, to be copied."""
    root = tmp_path_factory.mktemp("spare")
    made = disc_data(root / "data", [(32, 32)] * 5, ["train"] * 2 + ["val"] + ["test"] * 2)
    assert maskwright("train", "--data", made, *TINY, "--epochs", 1, "--out", root / "run").code == 0
    return root


@pytest.fixture
def own_run(spare, tmp_path):
    """A run and data of its own, to be spoilt."""
    shutil.copytree(spare / "data", tmp_path / "data")
    run = mw.load_run(copy_of(spare / "run", tmp_path / "run"))
    run.write_json("data.json", {**run.data, "root": str(tmp_path / "data")})
    return run


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_changed_file_is_refused_by_name(own_run, kind):
    image, mask = discs(32, 32, seed=99)
    changed = picture(Path(own_run.data["root"]) / f"{kind}s" / "4.png", image if kind == "image" else mask)
    outcome = maskwright("evaluate", own_run.root)
    assert outcome.code == 2 and outcome.out == ""
    assert str(changed) in outcome.sentence and "content changed" in outcome.sentence
    assert not (own_run.root / "evaluation" / "test.json").exists()
    assert own_run.evaluate("val").to_json()["images"] == 1  # other splits are as they were


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_a_missing_file_is_refused_by_name(own_run, kind):
    gone = Path(own_run.data["root"]) / f"{kind}s" / "3.png"
    gone.unlink()
    with pytest.raises(DataError, match=f"`{gone}` must be there; it is missing"):
        own_run.evaluate()


def test_other_data_are_no_moved_data_and_are_scored_by_weights(own_run, tmp_path):
    other = tmp_path / "other"
    for number in range(6):
        image, mask = discs(32, 32, seed=number)
        picture(other / "images" / f"new{number}.png", image)
        picture(other / "masks" / f"new{number}.png", mask)
    refused = maskwright("evaluate", own_run.root, "--data", other)
    assert refused.code == 2 and "none of the test images is in it" in refused.sentence
    command = shlex.split(refused.sentence.partition("Score other data with ")[2])
    assert command[0] == "maskwright"
    scored = maskwright(*command[1:], "--out", tmp_path / "scored")
    assert scored.code == 0 and "iou" in scored.out


def test_a_split_that_is_not_known_or_empty_is_refused(own_run):
    assert "Did you mean 'test'?" in maskwright("evaluate", own_run.root, "--split", "tset").sentence
    document = own_run.data
    own_run.write_json("data.json", {**document, "splits": {**document["splits"], "test": []}})
    assert "one that has images (train, val); got 'test'" in maskwright("evaluate", own_run.root).sentence


@pytest.mark.parametrize("threshold", ["0", "7"])
def test_a_threshold_that_is_none_is_refused(own_run, threshold):
    assert "between 0 and 1" in maskwright("evaluate", own_run.root, "--mask-threshold", threshold).sentence
    assert not (own_run.root / "evaluation").exists()


def test_a_failed_evaluation_leaves_the_one_before(own_run):
    own_run.evaluate()
    before = {path: path.read_bytes() for path in (own_run.root / "evaluation").rglob("*") if path.is_file()}
    (Path(own_run.data["root"]) / "masks" / "4.png").unlink()
    with pytest.raises(DataError):
        own_run.evaluate()
    assert {path: path.read_bytes() for path in (own_run.root / "evaluation").rglob("*") if path.is_file()} == before


# ------------------------------------------------------------------ outlines, objects, intervals and cost


def test_outlines_and_objects_are_those_of_the_written_predictions(sizes_run):
    told = sizes_run.evaluate(boundary_width=2).to_json()
    predicted, truth = predictions(sizes_run), truths(sizes_run)
    images = [count_image(name, truth[name], predicted[name], 2, 2) for name in truth]
    expected = summary(Counts.join(images), ("background", "foreground"))
    assert told["metrics"] == pytest.approx(expected.metrics, abs=1e-12)
    assert told["boundary"]["f_width"] == 2
    rows = told["objects"]["foreground"]
    assert sum(row["objects"] for row in rows) == sum(label(mask, np.ones((3, 3)))[1] for mask in truth.values())
    hits = sum(int((truth[name] & predicted[name]).sum()) for name in truth)
    assert sum(round((row["recall"] or 0) * row["pixels"]) for row in rows) == hits


def test_a_wider_boundary_forgives_more(sizes_run):
    narrow, wide = (sizes_run.evaluate(boundary_width=width).metrics for width in (1, 6))
    assert narrow["boundary_f"] < wide["boundary_f"]
    assert all(narrow[name] == wide[name] for name in ("iou", "boundary_iou", "hd95"))
    outcome = maskwright("evaluate", sizes_run.root, "--boundary-width", 6, "--json")
    assert outcome.json["metrics"]["boundary_f"] == wide["boundary_f"]
    assert "(within 6 px)" in maskwright("evaluate", sizes_run.root, "--boundary_width", 6).out


def test_a_boundary_of_no_width_is_refused(own_run):
    assert (
        "`--boundary-width` must be 1 pixel or more; got 0"
        in maskwright("evaluate", own_run.root, "--boundary-width", 0).sentence
    )
    assert not (own_run.root / "evaluation").exists()


def test_images_of_one_group_are_resampled_together(sizes_run, tmp_path):
    copy = mw.load_run(copy_of(sizes_run.root, tmp_path / "run"))
    document = copy.data
    found = {}
    for groups in (["a", "a", "b", "b"], ["a"] * 4, [None] * 4):
        entries = [{**entry, "group": group} for entry, group in zip(document["splits"]["test"], groups, strict=True)]
        copy.write_json("data.json", {**document, "splits": {**document["splits"], "test": entries}})
        found[str(groups)] = copy.evaluate().to_json()
    two, one, none = found.values()
    assert (two["units"], one["units"], none["units"]) == (2, 1, 4)
    assert two["spread"] == "95 % intervals from resampling 2 groups of images (4 images) 2,000 times"
    assert one["spread"] == "no intervals: one group (4 images) tells nothing of how far scores would lie with others"
    assert all(interval == [None, None] for interval in one["intervals"].values())
    assert two["metrics"] == one["metrics"] == none["metrics"]
    assert two["intervals"]["iou"] != none["intervals"]["iou"]
    assert "95 % interval " not in str(copy.evaluate()).splitlines()[0]


def test_one_image_has_no_interval_but_a_latency_and_prints(tmp_path):
    root = disc_data(tmp_path / "data", [(32, 32)] * 4, ["train"] * 2 + ["val", "test"])
    assert maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", tmp_path / "run").code == 0
    result = mw.load_run(tmp_path / "run").evaluate()
    told = result.to_json()
    assert told["units"] == 1 and told["intervals"]["iou"] == [None, None]
    assert 0 < told["cost"]["milliseconds_low"] <= told["cost"]["milliseconds_an_image"]
    assert "no intervals: one image" in str(result) and "nan" not in str(result).lower()


def test_a_network_worse_than_an_answer_without_looking_is_told_in_one_line(scores):
    counts = replace(scores.counts, matrix=np.tile([[30, 30], [15, 25]], (4, 1, 1)))
    line = "  only 55.0 % of the pixels are right; always answering background would get 60.0 % right"
    assert line in str(replace(scores, counts=counts, classes=("background", "disc"))).splitlines()
    assert "would get" not in str(
        replace(scores, counts=replace(counts, matrix=np.tile([[50, 10], [5, 35]], (4, 1, 1))))
    )


def test_the_interval_of_a_distance_keeps_to_the_images(scores):
    assert scores.intervals["hd95"][1] <= scores.counts.diagonal.max() < 100


def test_cost_is_of_this_run(sizes_run, scores):
    cost = scores.to_json()["cost"]
    size = measure(sizes_run.config.model, side=32)
    assert cost["parameters"] == size.parameters
    if sizes_run.config.data.view == "whole" and not sizes_run.config.data.letterbox:
        assert (cost["input"], cost["multiply_adds"]) == ([32, 32], size.multiply_adds)
    else:
        assert cost["multiply_adds"] > 0
    assert 0 < cost["milliseconds_low"] <= cost["milliseconds_an_image"] <= cost["milliseconds_high"] < 5000
    assert 50 < cost["peak_memory_mib"] < 50_000
    assert cost["device"].startswith("cpu: ") and cost["precision"] == "fp32"


def test_multiply_adds_are_counted_once_a_run(sizes_run, tmp_path, monkeypatch):
    """An earlier evaluation tells them, of an input of the same size alone; a file that can't be read tells nothing."""
    root = shutil.copytree(sizes_run.root, tmp_path / "run")
    counted = []
    monkeypatch.setattr(costs, "multiply_adds", lambda *size: counted.append(size[-2:]) or 77)
    for path in root.glob("evaluation/*.json"):
        path.unlink()
    copy = mw.load_run(root)
    assert [copy.evaluate(split).to_json()["cost"]["multiply_adds"] for split in ("test", "test")] == [77, 77]
    assert len(counted) == 1
    document = json.loads((root / "evaluation/test.json").read_text())
    document["cost"]["input"] = [8, 8]
    (root / "evaluation/test.json").write_text(json.dumps(document))
    (root / "evaluation/other.json").write_text("{")
    copy.evaluate()
    assert len(counted) == 2


def test_latency_is_measured_once_a_run_and_machine(sizes_run, tmp_path, monkeypatch):
    """One of another machine or input is made again; a damaged one tells nothing."""
    root = shutil.copytree(sizes_run.root, tmp_path / "run")
    measured = []
    monkeypatch.setattr(costs, "measure_latency", lambda *given: measured.append(1) or (12.0, 11.0, 14.0))
    for path in root.glob("evaluation/*.json"):
        path.unlink()
    copy, path = mw.load_run(root), root / "evaluation/test.json"
    cost = copy.evaluate().to_json()["cost"]
    assert (cost["milliseconds_an_image"], cost["milliseconds_low"], cost["milliseconds_high"]) == (12, 11, 14)
    assert "12 ms (11–14) an image" in str(copy.evaluate()) and len(measured) == 1
    for change in ({"device": "cpu: another"}, {"input": [8, 8]}, {"milliseconds_low": None}):
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "cost": {**document["cost"], **change}}))
        before = len(measured)
        copy.evaluate()
        assert len(measured) == before + 1, change


def test_iou_is_printed_first_and_accuracy_last_beside_that_of_one_answer(scores):
    counts = replace(scores.counts, matrix=np.tile([[50, 10], [5, 35]], (4, 1, 1)))
    told = [line.split() for line in str(replace(scores, counts=counts, classes=("background", "disc"))).splitlines()]
    names = ["iou", "dice", "precision", "recall", "boundary_iou", "boundary_f", "hd95", "accuracy"]
    assert [words[0] for words in told[1:9]] == names
    assert told[8][-3:] == ["answering", "background:", "0.6000)"]


def test_a_class_that_is_predicted_where_there_is_none_is_told_to_count_as_0(scores):
    counts = replace(scores.counts, matrix=np.tile([[50, 3, 2], [5, 35, 0], [0, 0, 0]], (4, 1, 1)))
    made = replace(scores, counts=counts, classes=("background", "disc", "ring"))
    assert "  ring counts as 0: predicted where there is none" in str(made).splitlines()
    assert "counts as 0" not in str(scores)


def test_the_table_of_classes_holds_the_outlines(tmp_path):
    maskwright("data", "make", "landcover", tmp_path / "set", "--count", 6, "--size", "32x40")
    assert maskwright("train", "--data", tmp_path / "set", *TINY, "--epochs", 1, "--out", tmp_path / "run").code == 0
    lines = maskwright("evaluate", tmp_path / "run").out.splitlines()
    head = next(line for line in lines if line.startswith("class "))
    assert head.split() == ["class", "iou", "dice", "precision", "recall", "boundary_iou", "boundary_f", "hd95"]
    assert max(len(line) for line in lines if not line.startswith("written")) <= 130
    assert "imagewise micro" in "".join(lines)
