"""`--mask-threshold` of evaluate and predict: refused for more than two classes, and for what val has not tuned."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from settled import files, opened, tuned

import maskwright as mw
from maskwright.errors import RunError
from maskwright.prediction import Predictor
from support import TINY, maskwright

pytestmark = pytest.mark.xdist_group("settle")


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


# ------------------------------------------------------------------ predicting with it


def test_predict_uses_the_threshold_tuned_before(own, tmp_path):
    image = files(own, "test")[0]
    best = tuned(own)["threshold"]["value"]
    shutil.rmtree(own.data["root"] + "/masks")  # the run's folder is enough
    outcome = maskwright("predict", own.root, image, "--out", tmp_path / "out", "--mask-threshold", "tuned")
    assert outcome.code == 0, outcome.err
    prediction = own.predict(image, threshold="tuned")
    logits = Predictor.from_run(own).logits(np.array(Image.open(image).convert("RGB")))
    assert (prediction.labels == (logits.softmax(dim=1)[0, 1] > best).numpy()).all()
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


def test_probabilities_are_calibrated_once_the_run_was_evaluated_and_labels_stay(own, tmp_path):
    image = files(own, "test")[0]
    before = {wish: own.predict(image, wish) for wish in (None, 0.3, 0.8)}
    assert all(one.temperature is None for one in before.values())
    logits = Predictor.from_run(own).logits(np.array(Image.open(image).convert("RGB")))
    assert np.allclose(before[None].probabilities, logits.softmax(1)[0], atol=1e-6)
    temperature = own.evaluate().calibration.temperature
    assert temperature and abs(temperature - 1) > 0.01
    tuned(own)
    for wish, earlier in before.items():
        found = own.predict(image, wish)
        assert found.temperature == temperature and (found.labels == earlier.labels).all()
        assert np.allclose(found.probabilities, (logits / temperature).softmax(1)[0], atol=1e-6)
        assert not np.allclose(found.probabilities, earlier.probabilities, atol=1e-3)
    words = ("predict", own.root, image, "--out", tmp_path / "out", "--write", "probabilities-float")
    assert maskwright(*words).code == 0
    planes = tifffile.imread(next((tmp_path / "out").glob("*-probabilities.tif")))
    assert np.allclose(planes, own.predict(image).probabilities, atol=1e-5)
    changed = bytearray(own.weights.read_bytes())
    changed[-3] ^= 1
    own.weights.write_bytes(bytes(changed))
    assert own.predict(image).temperature is None, "it was fitted to other weights"


def test_predicting_from_python_again_opens_no_file_of_the_run(own):
    """data.json of a large set is read in a second."""
    tuned(own)
    pixels = np.array(Image.open(files(own, "test")[0]).convert("RGB"))
    wishes = (None, 0.3, "fixed", "tuned")
    first = [own.predict(pixels, wish).labels for wish in wishes]
    with opened() as paths:
        again = [own.predict(pixels, wish).labels for wish in wishes]
    assert paths == []
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
