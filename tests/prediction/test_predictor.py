"""From a run and an image to labels and probabilities at the image's own size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.errors import DataError, RunError, UsageError
from maskwright.prediction import Predictor
from maskwright.runs import Run
from support import data, finished, noise, picture

SIZES = [(33, 47), (7, 5), (1, 1), (32, 40), (32, 32), (90, 20)]


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.from_run(Run.open(finished()))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_labels_and_probabilities_have_the_images_size(predictor, size):
    prediction = predictor.predict(noise(*size))
    assert prediction.labels.shape == size and prediction.labels.dtype == np.uint8
    assert prediction.probabilities.shape == (2, *size) and prediction.probabilities.dtype == np.float32
    np.testing.assert_allclose(prediction.probabilities.sum(0), 1, rtol=1e-5)
    assert prediction.overlay().shape == (*size, 3)


def test_labels_are_the_likelier_class(predictor):
    prediction = predictor.predict(noise(33, 47))
    sure = np.abs(prediction.probabilities[1] - 0.5) > 1e-6
    assert sure.mean() > 0.9
    assert ((prediction.probabilities[1] > 0.5) == (prediction.labels == 1))[sure].all()


def test_a_file_read_only_in_memory_gives_no_warning(predictor, tmp_path):
    """An image that needs no resizing reaches torch as it was decoded; torch warns once a process unless told to warn always."""
    path = picture(tmp_path / "x.png", noise(32, 32))
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        predictor.predict(path)
    finally:
        torch.set_warn_always(before)


def test_no_other_image_changes_a_prediction(predictor):
    first = predictor.predict(noise(33, 47)).probabilities
    predictor.predict(noise(200, 100, seed=1))
    assert (predictor.predict(noise(33, 47)).probabilities == first).all()


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_a_threshold_is_the_foregrounds(predictor, threshold):
    prediction = predictor.predict(noise(33, 47), threshold)
    sure = np.abs(prediction.probabilities[1] - threshold) > 1e-5
    assert ((prediction.probabilities[1] >= threshold) == (prediction.labels == 1))[sure].all()


def test_a_lower_threshold_finds_more(predictor):
    shares = [predictor.predict(noise(33, 47), threshold).shares["foreground"] for threshold in (0.001, 0.5, 0.999)]
    assert shares[0] == 1.0 and shares[2] == 0.0 and 0 <= shares[1] <= 1


@pytest.mark.parametrize("threshold", [0, 1, -1, 7])
def test_a_threshold_that_is_none_is_refused(predictor, threshold):
    with pytest.raises(UsageError, match="between 0 and 1"):
        predictor.predict(noise(8, 8), threshold)


def test_the_run_alone_is_needed(tmp_path, predictor):
    """Neither data.json's folder nor the checkpoints: the configuration, the classes and the weights."""
    for name in ("config.yaml", "data.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished() / name).read_bytes())
    again = Predictor.from_run(Run.open(tmp_path)).predict(noise(33, 47))
    assert (again.probabilities == predictor.predict(noise(33, 47)).probabilities).all()


def test_files_of_every_kind_are_read_as_people_see_them(predictor, tmp_path):
    pixels = noise(20, 30)
    plain = predictor.predict(pixels).probabilities
    for name in ("x.png", "x.bmp", "x.tif", "x.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        Image.fromarray(pixels).save(tmp_path / name, **options)
        assert (predictor.predict(tmp_path / name).probabilities == plain).all()
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    turned.save(tmp_path / "turned.png", exif=exif)
    assert (predictor.predict(tmp_path / "turned.png").probabilities == plain).all()


def test_what_is_no_image_is_refused(predictor, tmp_path):
    (tmp_path / "x.png").write_text("no picture")
    for path, told in (
        (tmp_path / "x.png", "something else"),
        (tmp_path / "none.png", "it is not there"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(DataError, match=told):
            predictor.predict(path)
    picture(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match="8-bit"):
        predictor.predict(tmp_path / "deep.png")


def test_weights_of_another_model_are_refused(tmp_path):
    for name in ("config.yaml", "data.json", "model.safetensors"):
        (tmp_path / name).write_bytes((finished() / name).read_bytes())
    text = (tmp_path / "config.yaml").read_text()
    assert "  width: 2" in text
    (tmp_path / "config.yaml").write_text(text.replace("  width: 2", "  width: 3"))
    with pytest.raises(RunError, match="must hold the weights of this run's model"):
        Predictor.from_run(Run.open(tmp_path))


def test_the_prediction_of_a_data_image_is_the_one_evaluation_wrote(predictor):
    from support import evaluated

    evaluated()
    for entry in Run.open(finished()).data["splits"]["test"]:
        written = np.asarray(Image.open(finished() / "evaluation" / "predictions" / "test" / f"{entry['id']}.png"))
        assert (written == predictor.predict(data() / entry["image"]).labels).all()
