"""What val decides: temperature and foreground threshold, kept in settled.json; and attempts to let test have a say."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

import maskwright as mw
from maskwright import runtime
from maskwright.errors import DataError, RunError, UsageError
from maskwright.evaluation import settle as settling
from maskwright.evaluation.calibration import BINS, fit_temperature
from maskwright.evaluation.foreground import GRID, STEPS, best_threshold, foreground_counts, iou_curve
from maskwright.evaluation.settle import FILE, ValImages, settle, settled_on_val
from maskwright.prediction import Predictor
from maskwright.prediction.threshold import foreground, read_threshold
from support import TINY, copy_of, disc_data, discs, maskwright, picture

runtime.ensure_torchvision()  # torchmetrics imports it
from torchmetrics.functional.classification import multiclass_calibration_error  # noqa: E402

SIZES = [(32, 40)] * 3 + [(24, 24), (40, 31), (33, 47)] + [(32, 32), (20, 30), (25, 25)]
SPLITS = ["train"] * 3 + ["val"] * 3 + ["test"] * 3

_watched: list[set[str] | list[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        _watched[-1].append(str(arguments[0]))  # type: ignore[union-attr]


sys.addaudithook(_hook)  # sees every file this process opens; it cannot be taken away again, so it only looks when asked


@contextlib.contextmanager
def opened() -> Iterator[list[str]]:
    """Every path that is opened inside, in order."""
    paths: list[str] = []
    _watched.append(paths)
    try:
        yield paths
    finally:
        _watched.remove(paths)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run and its data. Not to be changed."""
    root = tmp_path_factory.mktemp("settle")
    words = ("--data", disc_data(root / "data", SIZES, SPLITS), *TINY, "--epochs", 2, "--out", root / "run")
    outcome = maskwright("train", *words)
    assert outcome.code == 0, outcome.err
    return root


@pytest.fixture
def own(trained, tmp_path) -> mw.TrainedRun:
    """A copy of the run whose data may be spoilt."""
    shutil.copytree(trained / "data", tmp_path / "data")
    run = mw.load_run(copy_of(trained / "run", tmp_path / "run"))
    run.write_json("data.json", {**run.data, "root": str(tmp_path / "data")})
    return run


def files(run: mw.TrainedRun, split: str) -> list[Path]:
    """Images and masks of a split."""
    return [Path(run.data["root"]) / entry[kind] for entry in run.data["splits"][split] for kind in ("image", "mask")]


def tuned(run: mw.TrainedRun) -> dict:
    """settled.json after tuning."""
    settled_on_val(run, Predictor.from_run(run), tune=True)
    return run.read_json(FILE)


def without(document: dict, *keys: str) -> dict:
    return {key: value for key, value in document.items() if key not in keys}


# ------------------------------------------------------------------ the curve


def test_the_curve_by_hand():
    """Foreground at 0.9, 0.6 and 0.3, background at 0.7 and 0.1."""
    probability = torch.tensor([[0.9, 0.6, 0.3, 0.7, 0.1]])
    counts = foreground_counts(probability, np.array([[1, 1, 1, 0, 0]], np.uint8))
    curve = dict(zip(GRID, iou_curve(counts), strict=True))
    assert curve[1 / 256] == 3 / 5  # all five
    assert curve[0.25] == 3 / 4
    assert curve[0.5] == 2 / 4
    assert curve[0.65625] == 1 / 4
    assert curve[0.75] == 1 / 3
    assert curve[255 / 256] == 0
    best = best_threshold(counts[None], [None])
    assert best is not None and (best.iou, best.iou_at_half) == (0.75, 0.5)
    assert 0.1 < best.value <= 0.3 and best.value == 76 / 256  # of equals the nearest to a half
    assert all(math.isnan(end) for end in best.interval)  # one image


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_is_that_of_the_labels_at_every_threshold(seed):
    """Beside scikit-learn's Jaccard score of probability >= threshold, pixel for pixel."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 2, 20, 30, generator=generator) * 2
    truth = torch.randint(0, 3, (20, 30), generator=generator).numpy().astype(np.uint8)
    truth[truth == 2] = 255
    probability, valid = foreground(logits), truth != 255
    curve = iou_curve(foreground_counts(probability, truth))
    for threshold, found in zip(GRID.tolist(), curve, strict=True):
        labels = (probability >= threshold).numpy()
        assert found == pytest.approx(jaccard_score(truth[valid], labels[valid]), abs=1e-12)


def test_probabilities_on_a_step_and_at_the_ends_are_counted_above_it():
    steps = torch.arange(STEPS + 1, dtype=torch.float32)[None] / STEPS
    counts = foreground_counts(steps, np.ones((1, STEPS + 1), np.uint8))
    assert counts[0].sum() == 0 and counts[1].tolist() == [1] * (STEPS - 1) + [2]
    assert foreground_counts(torch.full((1, 3), math.nan), np.zeros((1, 3), np.uint8)).sum() == 3


def test_images_add_up_and_groups_are_drawn_together():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 50, (6, 2, STEPS))
    np.testing.assert_array_equal(iou_curve(counts.sum(0)), iou_curve(counts[:3].sum(0) + counts[3:].sum(0)))
    apart, grouped = best_threshold(counts, [None] * 6), best_threshold(counts, ["a"] * 3 + ["b"] * 3)
    assert apart is not None and grouped is not None
    assert apart.value == grouped.value and apart.curve == grouped.curve
    assert apart.interval[0] <= apart.value <= apart.interval[1] and apart.interval != grouped.interval


def test_the_interval_covers_where_the_best_threshold_is():
    """Masks drawn so that IoU is best at one threshold for all images: nothing is left to chance, and there is no spread."""
    one = foreground_counts(torch.tensor([[0.8, 0.31, 0.29, 0.1]]), np.array([[1, 1, 0, 0]], np.uint8))
    best = best_threshold(np.stack([one] * 8), [None] * 8)
    assert best is not None and best.iou == 1.0 and best.interval == (best.value, best.value) and 0.29 < best.value <= 0.31


def test_without_foreground_there_is_no_best_threshold():
    assert best_threshold(np.zeros((2, 2, STEPS), np.int64), [None, None]) is None


# ------------------------------------------------------------------ the words


@pytest.mark.parametrize(("wish", "read"), [(None, None), ("fixed", None), ("tuned", "tuned"), ("0.25", 0.25), (0.25, 0.25)])
def test_thresholds_that_can_be_wished_for(wish, read):
    assert read_threshold(wish, 2) == read


@pytest.mark.parametrize("wish", ["0", "1", 0, 1.0, "-0.1", "7", "nan", "inf", "", "half"])
def test_a_threshold_that_is_none_is_refused(wish):
    with pytest.raises(UsageError, match="between 0 and 1, or the word fixed or tuned"):
        read_threshold(wish, 2)


def test_a_mistyped_word_is_guessed():
    with pytest.raises(UsageError, match=r"got 'tunned'\. Did you mean tuned\?"):
        read_threshold("tunned", 2)


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.parametrize("wish", ["0.4", "tuned"])
def test_more_than_two_classes_have_no_threshold(three_classes, command, wish, tmp_path):
    words = (data_image(three_classes), "--out", tmp_path / "out") if command == "predict" else ()
    outcome = maskwright(command, three_classes, *words, "--mask-threshold", wish)
    assert outcome.code == 2 and outcome.out == ""
    assert f"left out of a run with more than two classes; got {wish} and 3" in outcome.sentence
    assert not (tmp_path / "out").exists()


def test_more_than_two_classes_are_calibrated(three_classes):
    told = maskwright("evaluate", three_classes, "--json", "--mask-threshold", "fixed").json
    assert told["threshold"] is None
    assert 0 <= told["calibration"]["ece"] <= 1 and told["calibration"]["temperature"] > 0
    assert 0 <= told["calibration"]["ece_after"] <= 1 and told["calibration"]["fitted_on"] == "val"


@pytest.fixture(scope="module")
def three_classes(make_set, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("three") / "run"
    outcome = maskwright("train", "--data", make_set(6, values=(0, 1, 2)), *TINY, "--epochs", 4, "--out", out)
    assert outcome.code == 0, outcome.err
    return out


def data_image(run: Path) -> Path:
    opened_run = mw.load_run(run)
    return Path(opened_run.data["root"]) / opened_run.data["splits"]["test"][0]["image"]


# ------------------------------------------------------------------ evaluating with what val decided


def test_the_tuned_threshold_has_the_iou_it_promised_on_val(own):
    best = tuned(own)["threshold"]
    assert own.evaluate("val", threshold=best["value"]).metrics["iou"] == pytest.approx(best["iou"], abs=1e-12)
    assert own.evaluate("val", threshold=0.5).metrics["iou"] == pytest.approx(best["iou_at_half"], abs=1e-12)
    assert best["iou"] == max(best["curve"]) >= best["iou_at_half"]
    place = best["grid"].index(best["value"])
    assert best["curve"][place] == best["iou"] and len(best["grid"]) == len(best["curve"]) == STEPS - 1
    for other in (0.125, 0.75):
        expected = best["curve"][best["grid"].index(other)]
        assert own.evaluate("val", threshold=other).metrics["iou"] == pytest.approx(expected, abs=1e-12)


def test_evaluate_tuned_scores_and_tells_it(own):
    told = maskwright("evaluate", own.root, "--mask-threshold", "tuned", "--json").json
    best = own.read_json(FILE)["threshold"]
    assert told["threshold"] == {
        "value": best["value"], "how": "tuned", "on": "val", "val_iou": best["iou"],
        "val_iou_at_half": best["iou_at_half"], "interval": best["interval"],
    }  # fmt: skip
    assert told["metrics"] == own.evaluate("test", threshold=best["value"]).to_json()["metrics"]
    fixed = own.evaluate().to_json()
    assert fixed["threshold"] == {"value": 0.5, "how": "fixed", "on": None}
    assert fixed["calibration"] == told["calibration"]  # probabilities don't depend on where they are cut
    assert "tuned: IoU on val" in maskwright("evaluate", own.root, "--mask_threshold", "tuned").out
    again = own.evaluate("test", threshold="fixed").to_json()
    assert without(again, "cost") == without(fixed, "cost")  # which a clock decides


def test_the_calibration_error_is_torchmetrics_and_the_temperature_that_of_val(own):
    """Over all pixels of the splits, predicted anew."""
    predictor = Predictor.from_run(own)
    flat: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for split in ("val", "test"):
        logits, masks = [], []
        for entry in own.data["splits"][split]:
            image = np.array(Image.open(Path(own.data["root"]) / entry["image"]))
            logits.append(predictor.logits(image)[0].flatten(1).T)
            masks.append(torch.from_numpy(np.asarray(Image.open(Path(own.data["root"]) / entry["mask"])).ravel() == 255).long())
        flat[split] = torch.cat(logits), torch.cat(masks)
    temperature = fit_temperature(flat["val"][0].numpy(), flat["val"][1].numpy())
    assert temperature is not None
    told = own.evaluate().to_json()["calibration"]
    assert told["temperature"] == pytest.approx(temperature, rel=1e-5) and told["reason"] is None
    for key, at in (("ece", 1.0), ("ece_after", temperature)):
        theirs = multiclass_calibration_error((flat["test"][0] / at).softmax(1), flat["test"][1], 2, n_bins=BINS, norm="l1")
        assert told[key] == pytest.approx(float(theirs), abs=1e-4)
    assert sum(each["pixels"] for each in told["bins"]) == len(flat["test"][1])
    evidence = own.read_json(FILE)["temperature"]
    assert evidence["pixels"] == len(flat["val"][1]) and evidence["images"] == 3
    reference = torch.nn.functional.cross_entropy(flat["val"][0].double() / temperature, flat["val"][1])
    assert evidence["loss_after"] == pytest.approx(float(reference), abs=1e-6) and evidence["loss_after"] <= evidence["loss"]


def test_the_sample_is_bounded_even_and_the_same_every_time(own, monkeypatch):
    """Fewer pixels and images than there are, as on large sets; the constants are made small for it."""
    monkeypatch.setattr(settling, "PIXELS", 500)
    monkeypatch.setattr(settling, "IMAGES", 2)
    predictor = Predictor.from_run(own)
    with opened() as paths:
        first = settle(ValImages(own), predictor).temperature
    assert first.images == 2 and 490 <= first.pixels <= 500
    assert sum(str(path) in paths for path in files(own, "val")) == 4  # the third image is not even read
    assert settle(ValImages(own), predictor).temperature == first
    assert settle(ValImages(own), predictor, tune=True).temperature == first


def test_settled_once_and_read_ever_after(own):
    with opened() as paths:
        own.evaluate()
    assert {str(path) for path in files(own, "val")} <= set(paths)
    before = (own.root / FILE).read_bytes()
    with opened() as paths:
        own.evaluate()
    assert not {str(path) for path in files(own, "val")} & set(paths)
    assert (own.root / FILE).read_bytes() == before
    own.evaluate(threshold="tuned")
    first, then = json.loads(before), own.read_json(FILE)
    assert first["threshold"] is None and then["threshold"]["value"] > 0
    assert without(first, "threshold") == without(then, "threshold")


def test_other_val_images_or_weights_are_settled_anew(own):
    first = tuned(own)
    weights = own.weights.read_bytes()
    own.weights.write_bytes(weights)
    assert tuned(own) == first  # the same bytes
    document = own.data
    document["splits"]["val"].pop()
    own.write_json("data.json", document)
    fewer = tuned(own)
    assert len(fewer["images"]) == 2 and fewer["fingerprint"] != first["fingerprint"]
    changed = bytearray(weights)
    changed[-3] ^= 1
    own.weights.write_bytes(bytes(changed))
    assert tuned(own)["weights_sha256"] != fewer["weights_sha256"]


# ------------------------------------------------------------------ test has no say


def test_what_is_settled_is_the_same_whatever_the_test_masks_are(own):
    """A twin of the run with the test masks inside out, and data.json saying so: test scores differ, val's say does not."""
    honest = own.evaluate(threshold="tuned").to_json()
    settled = (own.root / FILE).read_bytes()
    (own.root / FILE).unlink()
    document = own.data
    for entry in document["splits"]["test"]:
        path = Path(document["root"]) / entry["mask"]
        turned = picture(path, 255 - np.asarray(Image.open(path)))
        entry["mask_sha256"] = content_hash(turned)
    own.write_json("data.json", document)
    twin = own.evaluate(threshold="tuned").to_json()
    assert (own.root / FILE).read_bytes() == settled
    assert twin["threshold"] == honest["threshold"]
    assert twin["calibration"]["temperature"] == honest["calibration"]["temperature"]
    assert twin["metrics"]["iou"] != honest["metrics"]["iou"] and twin["calibration"]["ece"] != honest["calibration"]["ece"]


def content_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("spoil", ["garbage", "deleted"])
def test_val_is_settled_though_test_is_spoilt(own, spoil):
    expected = tuned(own)
    (own.root / FILE).unlink()
    for path in files(own, "test"):
        path.write_bytes(b"garbage") if spoil == "garbage" else path.unlink()
    assert tuned(own) == expected
    (own.root / FILE).unlink()
    assert maskwright("evaluate", own.root, "--mask-threshold", "tuned").code == 2  # test is read only now
    assert own.read_json(FILE) == expected


@pytest.mark.parametrize("split", ["test", "train"])
def test_settling_opens_val_files_alone_and_is_over_before_the_split_is_opened(own, split):
    with opened() as paths:
        settled_on_val(own, Predictor.from_run(own), tune=True)
    read = set(paths)
    assert {str(path) for path in files(own, "val")} <= read
    assert not {str(path) for other in ("test", "train") for path in files(own, other)} & read
    (own.root / FILE).unlink()
    with opened() as paths:
        own.evaluate(split, threshold="tuned")
    kept = min(place for place, path in enumerate(paths) if path.endswith("settled.json"))
    first = min(paths.index(str(path)) for path in files(own, split))
    assert max(paths.index(str(path)) for path in files(own, "val")) < kept < first


def test_no_way_in_for_another_split(own):
    """`settle` names no split; `ValImages` holds val's entries alone, whatever it is asked."""
    names = {"split", "splits", "test", "entries", "images", "masks"}
    for function in (settle, settled_on_val, ValImages.__init__, ValImages.read):
        assert not names & set(inspect.signature(function).parameters), function
    val = ValImages(own)
    held = json.dumps([vars(val)[name] for name in vars(val)], default=str)
    for entry in own.data["splits"]["test"] + own.data["splits"]["train"]:
        assert entry["image_sha256"] not in held and entry["mask"] not in held
    with pytest.raises(IndexError):
        list(val.read([len(val.entries)]))
    assert [name for name, _, _ in val.read([2, 0])] == [val.entries[2]["id"], val.entries[0]["id"]]


def test_settled_json_tells_what_it_was_settled_on(own):
    told = tuned(own)
    assert told["on"] == "val"
    entries = own.data["splits"]["val"]
    assert told["images"] == [{key: entry[key] for key in ("id", "image_sha256", "mask_sha256")} for entry in entries]
    assert told["temperature"]["seed"] == 0 and told["threshold"]["interval"][0] <= told["threshold"]["value"]


# ------------------------------------------------------------------ val that is empty, away or has nothing to say


@pytest.fixture
def no_val(own):
    document = own.data
    own.write_json("data.json", {**document, "splits": {**document["splits"], "val": []}})
    return own


def test_without_val_images_there_is_no_temperature_and_no_tuning(no_val):
    told = maskwright("evaluate", no_val.root, "--json").json["calibration"]
    assert told["ece"] >= 0 and (told["temperature"], told["ece_after"], told["fitted_on"]) == (None, None, None)
    assert told["reason"] == "the run has no val images"
    assert "no temperature: the run has no val images" in maskwright("evaluate", no_val.root).out
    before = (no_val.root / "evaluation" / "test.json").read_bytes()
    outcome = maskwright("evaluate", no_val.root, "--mask-threshold", "tuned")
    assert outcome.code == 2 and "tuned on val images; got a run without any" in outcome.sentence
    assert (no_val.root / "evaluation" / "test.json").read_bytes() == before


def test_val_masks_without_foreground_tune_nothing(tmp_path):
    root = disc_data(tmp_path / "data", [(32, 32)] * 5, ["train"] * 3 + ["val", "test"])
    picture(root / "masks" / "3.png", np.zeros((32, 32), np.uint8))
    outcome = maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", tmp_path / "run", "--train.monitor", "val_loss")
    assert outcome.code == 0, outcome.err
    outcome = maskwright("evaluate", tmp_path / "run", "--mask-threshold", "tuned")
    assert outcome.code == 2 and "val masks that hold foreground; got 1 without any" in outcome.sentence
    assert not (tmp_path / "run" / "evaluation").exists()


def test_a_val_file_that_is_gone_costs_the_temperature_but_not_the_scores(own):
    files(own, "val")[1].unlink()
    told = own.evaluate().to_json()
    assert told["calibration"]["temperature"] is None and told["metrics"]["iou"] is not None
    assert "val could not be read" in told["calibration"]["reason"] and "it is missing" in told["calibration"]["reason"]
    assert not (own.root / FILE).exists()
    with pytest.raises(DataError, match="it is missing"):
        own.evaluate(threshold="tuned")


def test_a_changed_val_mask_settles_nothing(own):
    picture(files(own, "val")[1], discs(24, 24, seed=99)[1])
    outcome = maskwright("evaluate", own.root, "--mask-threshold", "tuned")
    assert outcome.code == 2 and "content changed" in outcome.sentence
    assert not (own.root / "evaluation").exists()


def test_data_that_has_moved_is_settled_where_it_is_now(own, tmp_path):
    expected = tuned(own)
    (own.root / FILE).unlink()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    outcome = maskwright("evaluate", own.root, "--mask-threshold", "tuned", "--data", tmp_path / "elsewhere")
    assert outcome.code == 0, outcome.err
    assert own.read_json(FILE) == expected


# ------------------------------------------------------------------ predicting with it


def test_predict_uses_the_threshold_tuned_before(own, tmp_path):
    image = files(own, "test")[0]
    best = tuned(own)["threshold"]["value"]
    shutil.rmtree(own.data["root"] + "/masks")  # the run's folder is enough
    outcome = maskwright("predict", own.root, image, "--out", tmp_path / "out", "--mask-threshold", "tuned")
    assert outcome.code == 0, outcome.err
    prediction = own.predict(image, threshold="tuned")
    assert (prediction.labels == (prediction.probabilities[1] >= best)).all()
    assert (np.asarray(Image.open(tmp_path / "out" / f"{image.stem}.png")) == prediction.labels).all()
    assert own.predict(image, threshold="fixed").shares == own.predict(image).shares


def test_predict_is_refused_where_nothing_was_tuned_for_these_weights(own, tmp_path):
    image = files(own, "test")[0]
    words = ("predict", own.root, image, "--out", tmp_path / "out", "--mask-threshold", "tuned")
    told = f"Tune it first: maskwright evaluate {own.root} --mask-threshold tuned"
    assert told in maskwright(*words).sentence
    own.evaluate()  # fits a temperature and no threshold
    outcome = maskwright(*words)
    assert outcome.code == 2 and told in outcome.sentence
    tuned(own)
    assert maskwright(*words).code == 0
    changed = bytearray(own.weights.read_bytes())
    changed[-3] ^= 1
    own.weights.write_bytes(bytes(changed))
    with pytest.raises(RunError, match="tuned on val before"):
        own.predict(image, threshold="tuned")
