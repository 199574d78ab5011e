"""What val decides: temperature and foreground threshold, kept in settled.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from settled import files, opened, tuned, without

from maskwright import runtime
from maskwright.errors import DataError
from maskwright.evaluation import tuning
from maskwright.evaluation.calibration import BINS, fit_temperature
from maskwright.evaluation.tuning import STEPS, ValImages, fit_on_val
from maskwright.prediction import Predictor
from maskwright.prediction.threshold import SETTLED
from support import TINY, disc_data, discs, maskwright, picture

runtime.ensure_torchvision()  # torchmetrics imports it
from torchmetrics.functional.classification import multiclass_calibration_error  # noqa: E402

pytestmark = pytest.mark.xdist_group("settle")


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
    best = own.read_json(SETTLED)["threshold"]
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
            masks.append(
                torch.from_numpy(np.asarray(Image.open(Path(own.data["root"]) / entry["mask"])).ravel() == 255).long()
            )
        flat[split] = torch.cat(logits), torch.cat(masks)
    temperature = fit_temperature(flat["val"][0].numpy(), flat["val"][1].numpy())
    assert temperature is not None
    told = own.evaluate().to_json()["calibration"]
    assert told["temperature"] == pytest.approx(temperature, rel=1e-5) and told["reason"] is None
    for key, at in (("ece", 1.0), ("ece_after", temperature)):
        theirs = multiclass_calibration_error(
            (flat["test"][0] / at).softmax(1), flat["test"][1], 2, n_bins=BINS, norm="l1"
        )
        assert told[key] == pytest.approx(float(theirs), abs=1e-4)
    assert sum(each["pixels"] for each in told["bins"]) == len(flat["test"][1])
    evidence = own.read_json(SETTLED)["temperature"]
    assert evidence["pixels"] == len(flat["val"][1]) and evidence["images"] == 3
    reference = torch.nn.functional.cross_entropy(flat["val"][0].double() / temperature, flat["val"][1])
    assert (
        evidence["loss_after"] == pytest.approx(float(reference), abs=1e-6)
        and evidence["loss_after"] <= evidence["loss"]
    )


def test_the_sample_is_bounded_even_and_the_same_every_time(own, monkeypatch):
    """Fewer pixels and images than there are, as on large sets; the constants are made small for it."""
    monkeypatch.setattr(tuning, "PIXELS", 500)
    monkeypatch.setattr(tuning, "IMAGES", 2)
    predictor = Predictor.from_run(own)
    with opened() as paths:
        first = fit_on_val(ValImages(own), predictor).temperature
    assert first.images == 2 and 490 <= first.pixels <= 500
    assert sum(str(path) in paths for path in files(own, "val")) == 4  # the third image is not even read
    assert fit_on_val(ValImages(own), predictor).temperature == first
    assert fit_on_val(ValImages(own), predictor, tune=True).temperature == first


def test_settled_once_and_read_ever_after(own):
    with opened() as paths:
        own.evaluate()
    assert {str(path) for path in files(own, "val")} <= set(paths)
    before = (own.root / SETTLED).read_bytes()
    with opened() as paths:
        own.evaluate()
    assert not {str(path) for path in files(own, "val")} & set(paths)
    assert (own.root / SETTLED).read_bytes() == before
    own.evaluate(threshold="tuned")
    first, then = json.loads(before), own.read_json(SETTLED)
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
    outcome = maskwright(
        "train", "--data", root, *TINY, "--epochs", 1, "--out", tmp_path / "run", "--train.monitor", "val_loss"
    )
    assert outcome.code == 0, outcome.err
    outcome = maskwright("evaluate", tmp_path / "run", "--mask-threshold", "tuned")
    assert outcome.code == 2 and "val masks that hold foreground; got 1 without any" in outcome.sentence
    assert not (tmp_path / "run" / "evaluation").exists()


def test_a_val_file_that_is_gone_costs_the_temperature_but_not_the_scores(own):
    files(own, "val")[1].unlink()
    told = own.evaluate().to_json()
    assert told["calibration"]["temperature"] is None and told["metrics"]["iou"] is not None
    assert "val could not be read" in told["calibration"]["reason"] and "it is missing" in told["calibration"]["reason"]
    assert not (own.root / SETTLED).exists()
    with pytest.raises(DataError, match="it is missing"):
        own.evaluate(threshold="tuned")


def test_a_changed_val_mask_settles_nothing(own):
    picture(files(own, "val")[1], discs(24, 24, seed=99)[1])
    outcome = maskwright("evaluate", own.root, "--mask-threshold", "tuned")
    assert outcome.code == 2 and "content changed" in outcome.sentence
    assert not (own.root / "evaluation").exists()


def test_data_that_has_moved_is_settled_where_it_is_now(own, tmp_path):
    expected = tuned(own)
    (own.root / SETTLED).unlink()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    outcome = maskwright("evaluate", own.root, "--mask-threshold", "tuned", "--data", tmp_path / "elsewhere")
    assert outcome.code == 0, outcome.err
    assert own.read_json(SETTLED) == expected
