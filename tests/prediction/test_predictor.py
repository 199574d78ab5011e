"""From a run and an image to labels and probabilities at the image's own size."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.data.dataset import Bands
from maskwright.errors import DataError, RunError, UsageError
from maskwright.prediction import Predictor
from maskwright.runs import Run
from support import TINY, copy_of, data, disc_data, finished, maskwright, noise, picture

SIZES = [(33, 47), (7, 5), (1, 1), (32, 40), (32, 32), (90, 20)]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    """Of a run that was not evaluated: its probabilities are the network's own, without a temperature."""
    return Predictor.from_run(Run.open(copy_of(finished(), tmp_path_factory.mktemp("unevaluated") / "run")))


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
    """An image that needs no resizing reaches torch as it was decoded; torch warns once a process unless told to warn
    always.
    """
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
        (tmp_path / "none.png", "must be there; it is missing"),
        (tmp_path, "must be a file; it is a folder"),
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


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr"])
def test_pictures_of_every_mode_are_seen_as_pillow_shows_them(predictor, tmp_path, mode):
    kind = {"CMYK": "tif", "YCbCr": "tif", "RGBX": "tif", "PA": "png"}.get(mode, "png")
    colours = Image.fromarray(noise(20, 30))
    converted = (colours.convert("P") if mode == "PA" else colours).convert(mode)
    path = tmp_path / f"x.{kind}"
    try:
        converted.save(path)
    except OSError:
        pytest.skip(f"Pillow writes no {kind} of mode {mode}")
    with Image.open(path) as picture_:
        plain = predictor.predict(np.array(picture_.convert("RGB"))).probabilities
    assert (predictor.predict(path).probabilities == plain).all()


def test_an_image_of_another_depth_than_the_runs_is_refused(predictor, tmp_path):
    """Tones settled on 16-bit files would make it black, without a word."""
    deep = dataclasses.replace(predictor, bands=Bands((0, 1, 2), (100.0,) * 3, (4000.0,) * 3))
    shallow = picture(tmp_path / "x.png", noise(8, 9))
    with pytest.raises(
        DataError, match="must be an image of more than 8 bits, as those the run was trained on; got uint8"
    ):
        deep.predict(shallow)
    # data.tones said what is meant
    assert dataclasses.replace(deep, any_depth=True).predict(shallow).labels.shape == (8, 9)


def test_a_colour_picture_is_refused_by_a_run_on_grey_ones(predictor, tmp_path):
    """Of three colours only the first would be seen, without a word."""
    grey = dataclasses.replace(predictor, bands=Bands((0, 0, 0)))
    with pytest.raises(DataError, match="must be a grey image, as those the run was trained on; got colours"):
        grey.predict(picture(tmp_path / "x.png", noise(8, 9)))
    same = picture(tmp_path / "y.png", np.repeat(noise(8, 9)[..., :1], 3, axis=2))
    plain = picture(tmp_path / "z.png", noise(8, 9)[..., 0])
    assert (grey.predict(same).probabilities == grey.predict(plain).probabilities).all()


def test_training_evaluation_and_prediction_see_the_same_tiles(tmp_path):
    """Of images that are no size of a tile, at a scale of their own."""
    root = disc_data(tmp_path / "data", [(90, 121)] * 5, ["train", "train", "val", "val", "test"])
    words = ("--data.view", "crop", "--data.scale", "0.8", "--data.tiles.side", "32", "--data.tiles.overlap", "8")
    tiny = [word for word in TINY if word not in ("--data.view", "whole")]
    trained = maskwright(
        "train", "--data", root, *tiny, *words, "--data.tiles.whole", 999, "--epochs", 2, "--out", tmp_path / "run"
    )
    assert trained.code == 0, trained.err
    run = Run.open(tmp_path / "run")
    assert run.config.data.tiles.model_dump() == {"side": 32, "overlap": 8, "whole": 999}
    own, seen = Predictor.from_run(run), set()
    own.model.net.register_forward_pre_hook(lambda _, inputs: seen.add(tuple(inputs[0].shape[-2:])))
    scores = maskwright("evaluate", run.root, "--split", "val", "--json").json
    best = max(run.history, key=lambda row: row["val_iou"])
    assert scores["metrics"]["iou"] == pytest.approx(best["val_iou"], abs=1e-6)
    assert scores["loss"] == pytest.approx(best["val_loss"], abs=1e-6)
    for entry in run.data["splits"]["val"]:
        written = np.asarray(Image.open(run.root / "evaluation" / "predictions" / "val" / f"{entry['id']}.png"))
        assert (own.predict(root / entry["image"]).labels == written).all()
    assert seen == {(32, 32)}


@pytest.mark.parametrize("kind", ["path", "text", "PIL", "turned", "grey", "array", "tensor"])
def test_an_image_is_given_in_many_ways(predictor, tmp_path, kind):
    pixels = noise(20, 30)
    path = picture(tmp_path / "x.png", pixels)
    turned = Image.fromarray(np.rot90(pixels).copy())
    turned.getexif()[0x0112] = 6
    grey = Image.fromarray(pixels[..., 0])
    given = {"path": path, "text": str(path), "PIL": Image.fromarray(pixels), "turned": turned, "grey": grey,
             "array": pixels, "tensor": torch.from_numpy(pixels).permute(2, 0, 1)}[kind]  # fmt: skip
    expected = predictor.predict(np.repeat(pixels[..., :1], 3, axis=2) if kind == "grey" else pixels)
    found = predictor.predict(given)
    assert (found.probabilities == expected.probabilities).all() and (found.labels == expected.labels).all()
    assert (found.image == expected.image).all()


@pytest.mark.parametrize("given", [
    np.zeros((3, 8, 9), np.uint8), torch.zeros(8, 9, 3, dtype=torch.uint8), torch.zeros(3, 8, 9), np.zeros((8, 9, 3)),
    np.array(3)
], ids=["planes", "a tensor of pixels", "floats", "doubles", "a number"])  # fmt: skip
def test_pixels_in_another_order_or_depth_are_refused(predictor, given):
    with pytest.raises(
        DataError, match=r"`image` must be height × width × 3 of uint8 \(RGB\), or a tensor 3 × height × width"
    ):
        predictor.predict(given)


def test_of_several_images_each_is_read_when_it_is_asked_for(predictor, tmp_path):
    read = []

    def images():
        for index in range(3):
            read.append(index)
            yield picture(tmp_path / f"{index}.png", noise(9 + index, 9))

    found = predictor.predict(images())
    assert read == []
    assert next(found).labels.shape == (9, 9) and read == [0]
    assert [one.labels.shape for one in found] == [(10, 9), (11, 9)] and read == [0, 1, 2]
    batch = np.stack([noise(8, 9, seed) for seed in range(2)])
    for several in (batch, torch.from_numpy(batch).permute(0, 3, 1, 2), list(batch)):
        for one, pixels in zip(predictor.predict(several), batch, strict=True):
            assert (one.labels == predictor.predict(pixels).labels).all()


def test_polygons_are_the_foregrounds_regions(predictor, tmp_path):
    found = predictor.predict(noise(33, 47), 0.5)
    assert 0 < (found.labels == 1).sum() < found.labels.size
    area = 0.0
    for feature in found.polygons():
        assert feature["properties"] == {"class": 1, "name": "foreground"}
        rings = [np.array(ring, float) for ring in feature["geometry"]["coordinates"]]
        areas = [abs(ring[:-1, 0] @ ring[1:, 1] - ring[1:, 0] @ ring[:-1, 1]) / 2 for ring in rings]
        area += areas[0] - sum(areas[1:])
    assert area == (found.labels == 1).sum()
