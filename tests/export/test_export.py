"""Exported models: the same labels as their run, any size, refused when spoilt, none left when worse than allowed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import maskwright as mw
from maskwright.data.geometry import View, sides_of
from maskwright.data.record import read_split
from maskwright.export.card import plain_lines
from maskwright.export.quantise import calibration_tiles
from maskwright.prediction.bundle import is_bundle
from maskwright.prediction.network import open_network
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run
from support import TINY, Outcome, copy_of, data, disc_data, finished, leftovers, maskwright, noise, session_folder

FORMATS = ("onnx", "openvino", "torch")
SIZES = ((32, 40), (1, 1), (1, 77), (51, 33), (130, 97))
CLOSE = 1e-5  # two probabilities nearer than this are a tie: either label is right


@functools.cache
def exported(format: str, *flags: str) -> Outcome:
    """What `maskwright export --json` said of a bundle of `finished()`, in `bundle(format, *flags)`."""
    return maskwright("export", finished(), "--format", format, *flags, "--out", place(format, *flags), "--json")


def place(format: str, *flags: str) -> Path:
    return session_folder() / "bundles" / "-".join([format, *(flag.strip("-") for flag in flags)])


def bundle(format: str, *flags: str) -> Path:
    """A bundle of `finished()`. Not to be changed."""
    assert exported(format, *flags).code == 0, exported(format, *flags).err
    return place(format, *flags)


def clear(probabilities: np.ndarray) -> np.ndarray:
    """Where the two likeliest classes are no tie. K H W → H W bool"""
    highest = np.sort(probabilities, axis=0)[-2:]
    return highest[1] - highest[0] > CLOSE


@functools.cache
def cropped() -> Path:
    """A run of three classes, seen in windows at half the size, with tiles smaller than its images. Not to be
    changed.
    """
    root = session_folder() / "cropped"
    made = session_folder() / "landcover"
    mw.make_data("landcover", made, count=6, size=(96, 120))
    words = ("--data", made, *TINY[:-2], "--data.view", "crop", "--data.scale", "0.5", "--epochs", 1, "--out", root,
             "--data.tiles.side", 32, "--data.tiles.overlap", 8, "--data.tiles.whole", 1024)  # fmt: skip
    done = maskwright("train", *words)
    assert done.code == 0, done.err
    return root


@pytest.mark.parametrize("format", FORMATS)
def test_the_labels_of_any_size_are_those_of_the_run(format):
    """Batch, height and width are open: an image of one pixel, one of a row, and images larger than trained on."""
    found = mw.load_bundle(bundle(format))
    predictor = Predictor.from_run(Run.open(finished()))
    for height, width in SIZES:
        image = noise(height, width)
        ours, own = found.predict(image), predictor.predict(image)
        sure = clear(own.probabilities)
        assert ours.labels.shape == (height, width) and ours.labels.dtype == np.uint8
        assert (ours.labels == own.labels)[sure].all() and sure.mean() > 0.9
        assert np.allclose(ours.probabilities.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("format", FORMATS)
def test_the_model_takes_any_batch_and_a_neighbour_changes_nothing(format):
    forward = mw.load_bundle(bundle(format)).forward
    tiles = np.stack([noise(45, 62, seed) for seed in range(3)])
    together = forward(tiles)
    assert together.shape == (3, 2, 45, 62) and together.dtype == np.float32
    for tile, found in zip(tiles, together, strict=True):
        assert np.allclose(forward(tile[None])[0], found, atol=1e-5)


@functools.cache
def of_cropped(format: str) -> tuple[Path, Outcome]:
    """A bundle of `cropped()`, not to be changed, and what was said of it."""
    out = session_folder() / "bundles" / f"cropped-{format}"
    done = maskwright("export", cropped(), "--format", format, "--out", out, "--json")
    assert done.code == 0, done.err
    return out, done


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_windows_at_another_scale_in_tiles_are_the_runs(format):
    folder, done = of_cropped(format)
    assert done.json["view"]["tiling"] == {"side": 32, "overlap": 8, "whole": 1024}
    assert done.json["verification"]["largest_difference"] < 1e-4
    image = cv2.resize(np.asarray(Image.open(next((session_folder() / "landcover" / "images").iterdir()))), (211, 150))
    ours, own = (
        mw.load_bundle(folder).predict(image),
        Predictor.from_run(Run.open(cropped())).predict(image),
    )
    sure = clear(own.probabilities)
    assert (ours.labels == own.labels)[sure].all() and sure.mean() > 0.9
    assert np.allclose(ours.probabilities, own.probabilities, atol=1e-4)


@pytest.mark.parametrize("format", FORMATS)
def test_verification_is_stored_and_told(format):
    told = exported(format).json
    check = told["verification"]
    assert check["images"] == 2 and 0 <= check["largest_difference"] < 1e-4
    assert check["other_labels"] == 0 and check["iou"] == check["iou_run"] and check["iou_drop"] == 0
    assert told["scores"]["val"]["metrics"]["iou"] == check["iou"] and told["scores"]["val"]["intervals"]["iou"]
    stored = json.loads((bundle(format) / "bundle.json").read_text())
    assert {**stored, "bundle": str(bundle(format))} == told


def test_a_loss_above_the_allowed_leaves_nothing_and_is_exit_1(tmp_path):
    """Of a run whose quantised form labels otherwise: no loss at all is allowed, and its masks are what the run
    says.
    """
    run, made = spoilt_by_int8(tmp_path)
    out = tmp_path / "bundle"
    done = maskwright("export", run, "--data", made, "--int8", "--max-iou-drop", 0, "--out", out)
    assert done.code == 1 and "must lose at most 0 IoU on val; it lost 0." in done.sentence
    assert not out.exists() and not leftovers(tmp_path)
    allowed = maskwright("export", run, "--data", made, "--int8", "--max-iou-drop", 1, "--out", out)
    told = json.loads((out / "bundle.json").read_text())["verification"]
    assert allowed.code == 0 and told["iou_drop"] > 0
    assert f"IoU on val {told['iou']:.4f}, the run's {told['iou_run']:.4f}" in allowed.out
    assert f"largest difference of a probability {told['largest_difference']:.2g}" in allowed.out


def spoilt_by_int8(tmp_path: Path) -> tuple[Path, Path]:
    """A run whose val masks are its own predictions, so that any other label costs IoU."""
    made = disc_data(tmp_path / "discs", [(40, 48)] * 6, ["train"] * 3 + ["val"] * 2 + ["test"])
    run = tmp_path / "run"
    words = ("--data", made, *TINY, "--epochs", 1, "--out", run)
    assert maskwright("train", *words).code == 0
    predictor = Predictor.from_run(Run.open(run))
    document = json.loads((run / "data.json").read_text())
    for entry in document["splits"]["val"]:
        mask = made / entry["mask"]
        probabilities = predictor.predict(made / entry["image"]).probabilities
        # half of the pixels, so that both classes are there whatever one epoch came to
        high = probabilities[1] > np.median(probabilities[1])
        Image.fromarray((high * 255).astype(np.uint8)).save(mask)
        entry["mask_sha256"] = hashlib.sha256(mask.read_bytes()).hexdigest()
        threshold = float(np.median(probabilities[1]))
    (run / "data.json").write_text(json.dumps(document))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(re.sub(r"mask_threshold: \S+", f"mask_threshold: {threshold:.6f}", config))
    return run, made


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_weighs_less_and_says_what_it_was_calibrated_on(format):
    told = exported(format, "--int8", "--max-iou-drop", "1").json
    document = Run.open(finished()).data
    train = {entry["id"] for entry in document["splits"]["train"]}
    assert told["int8"]["calibrated_on"] == "train" and set(told["int8"]["images"]) <= train
    assert told["verification"]["largest_difference"] > 0
    content = b"".join(path.read_bytes() for path in bundle(format, "--int8", "--max-iou-drop", "1").glob("model.*"))
    assert b"QuantizeLinear" in content or b"FakeQuantize" in content


def test_ranges_are_measured_on_training_images_alone(tmp_path):
    """With every other file gone, the tiles are the same: nothing else is opened."""
    run = Run.open(finished())
    document, view = run.data, Predictor.from_run(run).view
    tiles, names = calibration_tiles(document, view)
    moved = shutil.copytree(data(), tmp_path / "data")
    for split in ("val", "test"):
        for entry in document["splits"][split]:
            (moved / entry["image"]).unlink()
            (moved / entry["mask"]).unlink()
    again, _ = calibration_tiles(document, view, moved)
    assert len(tiles) == len(names) == 4 and all((one == two).all() for one, two in zip(tiles, again, strict=True))
    with pytest.raises(mw.MaskwrightError, match=r"must be"):
        list(read_split(document, "val", moved))


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_byte_is_refused(format, tmp_path):
    for name in sorted(path.name for path in bundle(format).iterdir()):
        spoilt = copy_of(bundle(format), tmp_path / name)
        content = bytearray((spoilt / name).read_bytes())
        content[len(content) // 2] ^= 1
        (spoilt / name).write_bytes(bytes(content))
        done = maskwright("predict", spoilt, data() / "images", "--out", tmp_path / "out")
        assert done.code == 2 and ("changed" in done.sentence or "as it was written" in done.sentence), name
        (spoilt / name).unlink()
        assert maskwright("predict", spoilt, data() / "images", "--out", tmp_path / "out").code == 2, name
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_predict_writes_the_runs_files_without_torch(format, tmp_path):
    """In a process of its own, where torch cannot even be imported."""
    images = data() / "images"
    assert maskwright("predict", finished(), images, "--out", tmp_path / "run").code == 0
    hidden = tmp_path / "hidden" / "torch"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('there is no torch')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(hidden.parent)!r}); from maskwright.cli import main\n"
        f"try: main(['predict', {str(bundle(format))!r}, {str(images)!r}, '--out', {str(tmp_path / 'bundle')!r}])\n"
        "finally: assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "run").rglob("*.png")}
    assert names and names == {path.name for path in (tmp_path / "bundle").rglob("*.png")}
    for name in names:
        ours, own = (np.asarray(Image.open(tmp_path / kind / name)) for kind in ("bundle", "run"))
        assert (ours == own).all()


def test_a_bundle_is_served_without_torch(tmp_path):
    """In a process of its own; and what it answers are the run's labels."""
    code = (
        "import sys, threading, time, httpx, uvicorn\n"
        "from maskwright.prediction.network import open_network\n"
        "from maskwright.serving.server import Settings, create_app, listen\n"
        f"opened = listen('127.0.0.1', 0); app = create_app(open_network({str(bundle('onnx'))!r}), Settings())\n"
        "server = uvicorn.Server(uvicorn.Config(app, log_level='error'))\n"
        "threading.Thread(target=server.run, kwargs={'sockets': [opened]}).start()\n"
        "try:\n"
        "    while not server.started: time.sleep(0.01)\n"
        "    url = f'http://127.0.0.1:{opened.getsockname()[1]}/predict'\n"
        "    sys.stdout.buffer.write(httpx.post(url, content=open(sys.argv[1], 'rb').read(), "
        "trust_env=False).content)\n"
        "finally: server.should_exit = True\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules"
    )
    Image.fromarray(noise(51, 33)).save(tmp_path / "x.png")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.png")], capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr.decode()
    expected = Predictor.from_run(Run.open(finished())).predict(noise(51, 33))
    same = np.asarray(Image.open(io.BytesIO(done.stdout))) == expected.labels
    assert same[clear(expected.probabilities)].all()


def test_thresholds_mean_what_they_mean_for_a_run(tmp_path):
    found = mw.load_bundle(bundle("onnx"))
    image = noise(40, 50)
    uncalibrated = dataclasses.replace(found, temperature=None)  # thresholds go by these
    probabilities = uncalibrated.predict(image).probabilities
    middle = float(np.median(probabilities[1]))
    assert (found.predict(image, middle).labels == (probabilities[1] > middle)).all()
    with pytest.raises(mw.MaskwrightError, match="tuned before the export"):
        found.predict(image, "tuned")
    run = copy_of(finished(), tmp_path / "run")
    assert maskwright("evaluate", run, "--mask-threshold", "tuned").code == 0
    done = maskwright("export", run, "--out", tmp_path / "tuned", "--json")
    tuned = json.loads((run / "evaluation" / "settled.json").read_text())["threshold"]["value"]
    assert done.json["threshold"] == {"default": 0.5, "tuned": tuned} and done.json["temperature"]
    labels = mw.load_bundle(tmp_path / "tuned").predict(image, "tuned").labels
    assert (labels == (probabilities[1] > tuned)).all()
    assert "test, the run" in (tmp_path / "tuned" / "README.md").read_text()


@pytest.mark.parametrize("format", ["onnx", "openvino", pytest.param("torch", marks=pytest.mark.slow)])
def test_the_cards_ten_lines_run(format, tmp_path):
    folder = shutil.copytree(bundle(format), tmp_path / "bundle")
    lines = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(lines) == 1 and lines[0].count("\n") == 10
    image = cv2.GaussianBlur(noise(90, 70), (0, 0), 3)
    Image.fromarray(image).save(folder / "photo.jpg", "PNG")  # whatever its name, no tone is lost
    done = subprocess.run([sys.executable, "-c", lines[0]], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = mw.load_bundle(folder).predict(image)
    labels = np.asarray(Image.open(folder / "labels.png"))
    assert (labels == found.labels)[clear(found.probabilities)].all()


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("size", [[24, 48], [48, 24], 32])
def test_the_cards_lines_see_whole_images_as_the_program_does(size, letterbox):
    """Sizes of two sides are height × width in bundle.json, and the other way round for OpenCV."""
    document = json.loads((bundle("onnx") / "bundle.json").read_text())
    document["view"] |= {"kind": "whole", "size": size, "letterbox": letterbox}
    (line,) = [one for one in plain_lines(document).split("\n") if one.startswith("tile")]
    for height, width in ((100, 100), (30, 90), (70, 20)):
        image = np.zeros((height, width, 3), np.uint8)
        names = {"cv2": cv2, "np": np, "image": image, "height": height, "width": width, "how": cv2.INTER_AREA}
        exec(line, names)
        assert names["tile"].shape[2:] == View("whole", tuple(sides_of(size)), 1.0, letterbox).inner_size(height, width)


def test_the_card_says_what_a_reader_must_know():
    card = (bundle("onnx") / "README.md").read_text()
    told = exported("onnx").json
    for words in (
        told["data"]["fingerprint"],
        "95 % intervals",
        "Weakest images",
        "licence",
        "qgis.onnx",
        "4 train, 2 val",
    ):
        assert words in card, words


def test_metadata_are_what_deepness_reads():
    """Read as QGIS's plugin does, and run as it does: numbers from 0 to 1, standardized, a square tile."""
    import onnxruntime

    folder = bundle("onnx")
    for name in ("model.onnx", "qgis.onnx"):
        session = onnxruntime.InferenceSession(folder / name)
        meta: dict[str, Any] = {
            key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()
        }
        assert meta["model_type"] == "Segmentor" and meta["class_names"] == {"0": "background", "1": "foreground"}
        assert meta["tile_size"] == 32 and meta["tiles_overlap"] == 0 and meta["seg_thresh"] == 0.5
    (tiles,), (output,) = session.get_inputs(), session.get_outputs()
    assert (
        tiles.shape == ["batch", 3, 32, 32] and tiles.type == "tensor(float)" and output.shape == ["batch", 1, 32, 32]
    )
    pixels = np.arange(3 * 32 * 32, dtype=np.int64).reshape(1, 32, 32, 3).astype(np.uint8)  # every tone there is
    given = (np.float32(pixels * 1.0 / 255.0) - np.float32(meta["standardization_mean"])) / np.float32(
        meta["standardization_std"]
    )
    found = session.run(None, {tiles.name: given.transpose(0, 3, 1, 2)})[0]
    assert np.allclose(found[:, 0], mw.load_bundle(folder).forward(pixels)[:, 1], atol=1e-6)


def test_the_input_is_bytes_with_named_open_axes():
    import onnxruntime

    session = onnxruntime.InferenceSession(bundle("onnx") / "model.onnx")
    (images,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape, images.type) == ("images", ["batch", 3, "height", "width"], "tensor(uint8)")
    assert (probabilities.name, probabilities.shape) == ("probabilities", ["batch", 2, "height", "width"])


def test_what_cannot_be_exported_is_a_sentence(tmp_path):
    out = ("--out", tmp_path / "bundle")
    assert "Did you mean 'onnx'?" in maskwright("export", finished(), "--format", "onx", *out).sentence
    assert (
        "`--int8` must go with onnx or openvino"
        in maskwright("export", finished(), "--format", "torch", "--int8", *out).sentence
    )
    assert "from 0 to 1" in maskwright("export", finished(), "--max-iou-drop", -1, *out).sentence
    used = maskwright("export", finished(), "--out", data())
    assert used.code == 2 and "new or empty folder" in used.sentence
    assert not (tmp_path / "bundle").exists() and not is_bundle(data())
    assert maskwright("predict", data(), data() / "images", *out).code == 2


def test_a_bundle_of_three_classes_predicts_as_its_run(tmp_path):
    """They have no threshold: the likeliest class is taken."""
    folder, image = of_cropped("onnx")[0], tmp_path / "x.png"
    Image.fromarray(noise(90, 121)).save(image)
    for name, model in (("run", cropped()), ("bundle", folder)):
        done = maskwright("predict", model, image, "--out", tmp_path / f"of-{name}")
        assert done.code == 0, done.err
    ours, own = (np.asarray(Image.open(tmp_path / f"of-{name}" / "x.png")) for name in ("bundle", "run"))
    assert (ours == own)[clear(Predictor.from_run(Run.open(cropped())).predict(image).probabilities)].all()
    refused = maskwright("predict", folder, image, "--out", tmp_path / "no", "--mask-threshold", 0.4)
    assert refused.code == 2 and "more than two classes" in refused.sentence


def with_threshold(folder: Path, threshold: float) -> Path:
    config = (copy_of(finished(), folder) / "config.yaml").read_text()
    assert "mask_threshold: 0.5" in config
    (folder / "config.yaml").write_text(config.replace("mask_threshold: 0.5", f"mask_threshold: {threshold}"))
    return folder


def test_what_predicts_together_has_one_threshold(tmp_path):
    """A run's own counts as much as one that is named, and a bundle's is that of its run."""
    image = tmp_path / "x.png"
    Image.fromarray(noise(33, 47)).save(image)
    done = maskwright("predict", finished(), bundle("onnx"), image, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    other = with_threshold(tmp_path / "other", 0.3)
    refused = maskwright("predict", finished(), other, image, "--out", tmp_path / "none")
    assert refused.code == 2 and "one for all runs that predict together; got 0.3 and 0.5" in refused.sentence
    assert maskwright("predict", finished(), other, image, "--out", tmp_path / "one", "--mask-threshold", 0.4).code == 0
    twins = [with_threshold(tmp_path / f"twin-{number}", 0.001) for number in range(2)]
    assert maskwright("predict", *twins, image, "--out", tmp_path / "twins").code == 0
    assert (np.asarray(Image.open(tmp_path / "twins" / "x.png")) == 1).all()


def test_a_bundle_is_served_under_the_name_of_its_run(tmp_path):
    """Its folder is called after a format."""
    assert open_network(bundle("onnx")).name == open_network(finished()).name == "run"


def test_predicting_an_image_with_a_bundle_imports_little(tmp_path):
    """What takes long to import and is not needed: the command starts in half a second."""
    Image.fromarray(noise(51, 33)).save(tmp_path / "x.png")
    late = ("torch", "lightning", "pydantic", "rich", "numpy.ma", "scipy", "yaml", "jinja2", "rasterio", "matplotlib",
            "tifffile", "maskwright.config", "maskwright.data.readers", "maskwright.schemas")  # fmt: skip
    code = (
        "import sys; from maskwright.cli import main\n"
        f"try: main(['predict', {str(bundle('onnx'))!r}, {str(tmp_path / 'x.png')!r}, '--out', "
        f"{str(tmp_path / 'out')!r}])\n"
        f"finally: print([name for name in {late!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"1 image predicted into {tmp_path / 'out'}", "[]"]
