"""`maskwright predict` on what is large, odd or interrupted: rasters by windows, kinds of files, ensembles, going
on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import resource
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import tifffile
from PIL import Image
from pycocotools.coco import COCO

import maskwright as mw
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.data.dataset import IGNORE, Bands
from maskwright.prediction.combine import combine, entropy, uncertainty
from maskwright.prediction.network import FLIPS, open_network
from maskwright.prediction.outlines import outlines, without_small
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.sources import Raster, load_source
from maskwright.runs import Run
from support import (
    TINY,
    copy_of,
    data,
    disc_data,
    finished,
    kill,
    leftovers,
    maskwright,
    noise,
    opened,
    picture,
    start,
    wait_until,
)

TRANSFORM = rasterio.Affine(0.1, 0.03, 500_000.123456789, 0.02, -0.1, 4_000_000.987654321)


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that sees images at 0.8 of their size, those above 999 pixels in tiles of 32."""
    root = tmp_path_factory.mktemp("tiled")
    disc_data(root / "data", [(90, 121)] * 5, ["train", "train", "val", "val", "test"])
    tiny = [word for word in TINY if word not in ("--data.view", "whole")]
    words = ("--data.view", "crop", "--data.scale", 0.8, "--data.tiles.side", 32, "--data.tiles.overlap", 8)
    trained = maskwright("train", "--data", root / "data", *tiny, *words, "--data.tiles.whole", 999, "--epochs", 6,
                         "--out", root / "run")  # fmt: skip
    assert trained.code == 0, trained.err
    return root / "run"


def scene(path: Path, size: tuple[int, int] = (300, 420), **profile: Any) -> Path:
    """A georeferenced raster of three bands with a corner of no data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = cv2.GaussianBlur(noise(*size, 5), (0, 0), 5)
    pixels = np.clip(pixels, 1, 255)
    pixels[:20, :30] = 0
    settings = {"crs": "EPSG:32633", "transform": TRANSFORM, "nodata": 0, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", height=size[0], width=size[1], count=3, dtype="uint8", **settings
    ) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return path


def predicted(run: Path, image: Path | str, out: Path, *words: object) -> Any:
    outcome = maskwright("predict", run, image, "--out", out, *words)
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_raster_is_predicted_by_windows_as_it_is_whole_and_lies_where_it_did(tiled: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "in" / "x.tif", compress="zstd", tiled=True, blockxsize=128, blockysize=128)
    with rasterio.open(source, "r+") as file:
        file.build_overviews([2, 4])
    predicted(tiled, source, tmp_path / "out")
    whole = mw.load_run(tiled).predict(source)
    assert 0.02 < (whole.labels == 1).mean() < 0.98
    with rasterio.open(source) as one, rasterio.open(tmp_path / "out" / "x.tif") as two:
        assert (two.crs, two.transform, two.shape, two.nodata) == (one.crs, TRANSFORM, one.shape, IGNORE)
        assert two.profile["compress"] == one.profile["compress"] and two.block_shapes == [(128, 128)]
        assert two.overviews(1) == [2, 4]
        labels = two.read(1)
    assert (labels[:20, :30] == IGNORE).all() and ((labels == IGNORE) == (whole.labels == IGNORE)).all()
    sure = np.abs(whole.probabilities[1] - 0.5) > 0.01  # resized once in bands, once whole: a level of 255
    assert sure.mean() > 0.9 and (labels == whole.labels)[sure].all()


def test_a_raster_without_any_data_has_no_labels(tiled: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "in" / "x.tif", (70, 80))
    with rasterio.open(source, "r+") as file:
        file.write(np.zeros((3, 70, 80), np.uint8))
    predicted(tiled, source, tmp_path / "out", "--write", "labels,probabilities,contours,coco", "--uncertainty")
    for name in ("x.tif", "x-probabilities.tif", "x-uncertainty.tif"):
        with rasterio.open(tmp_path / "out" / name) as file:
            assert (file.read() == IGNORE).all(), name
    assert json.loads((tmp_path / "out" / "x-contours.geojson").read_text())["features"] == []


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools, with numpy 2
def test_every_kind_of_file_tells_the_same(tiled: Path, tmp_path: Path) -> None:
    source = scene(tmp_path / "in" / "x.tif")
    kinds = "labels,overlay,probabilities,contours,coco,polygons"
    predicted(tiled, source, tmp_path / "out", "--write", kinds, "--uncertainty")
    out = tmp_path / "out"
    with rasterio.open(out / "x.tif") as file:
        labels = file.read(1)
    with rasterio.open(out / "x-probabilities.tif") as file:
        assert (
            file.transform == TRANSFORM and file.descriptions == ("background", "foreground") and file.nodata == IGNORE
        )
        shares = file.read()
    valid = labels != IGNORE
    assert (shares[:, ~valid] == IGNORE).all() and np.abs(shares[:, valid].astype(int).sum(axis=0) - 254).max() <= 1
    assert ((shares[1] > shares[0]) == (labels == 1))[valid & (shares[0] != shares[1])].all()
    with rasterio.open(out / "x-uncertainty.tif") as file:
        unsure = file.read(1)
    assert np.abs(unsure[valid] - 254 * entropy(shares[:, valid] / 254)).max() < 6
    area = (labels == 1).sum() * abs(TRANSFORM.determinant)
    found = json.loads((out / "x-contours.geojson").read_text())
    assert found["crs"]["properties"]["name"] == "EPSG:32633"
    assert sum(map(polygon_area, (one["geometry"]["coordinates"] for one in found["features"]))) == pytest.approx(
        area, rel=1e-4
    )
    layer, _, shapes, fields = pyogrio.raw.read(out / "x-polygons.gpkg")
    assert layer["crs"] == "EPSG:32633" and len(shapes) == len(found["features"]) and set(fields[1]) == {"foreground"}
    coco = COCO.__new__(COCO)
    with io.StringIO() as said, contextlib.redirect_stdout(said):
        coco.__init__(str(out / "x-coco.json"))  # type: ignore[misc]
    assert (coco.annToMask(coco.anns[1]) == (labels == 1)).all() and coco.cats[1]["name"] == "foreground"


def polygon_area(rings: list[list[list[float]]]) -> float:
    """The outside less the holes."""
    areas = []
    for ring in rings:
        x, y = (np.array(ring) - ring[0]).T
        areas.append(abs(x[:-1] @ y[1:] - x[1:] @ y[:-1]) / 2)
    return areas[0] - sum(areas[1:])


def test_a_pictures_probabilities_are_a_tiff(tiled: Path, tmp_path: Path) -> None:
    image = picture(tmp_path / "x.png", noise(60, 70))
    predicted(tiled, image, tmp_path / "out", "--write", "probabilities-float", "--uncertainty")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "predictions.csv", "x-probabilities.tif", "x-uncertainty.png"
    ]  # fmt: skip
    found = tifffile.imread(tmp_path / "out" / "x-probabilities.tif")
    whole = mw.load_run(tiled).predict(image).probabilities
    assert found.shape == (2, 60, 70) and np.abs(found - whole).max() < 1e-5
    with Image.open(tmp_path / "out" / "x-uncertainty.png") as seen:
        assert np.abs(np.asarray(seen) - 254 * entropy(whole)).max() <= 1


@pytest.mark.parametrize(
    ("kind", "told"), [("lables", "Did you mean 'labels'?"), ("probabilities,probabilities-float", "got both")]
)
def test_kinds_that_are_none_are_refused(tmp_path: Path, kind: str, told: str) -> None:
    outcome = maskwright("predict", finished(), data() / "images", "--out", tmp_path / "out", "--write", kind)
    assert outcome.code == 2 and told in outcome.sentence and not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(5))
def test_outlines_run_along_pixels_edges(seed: int) -> None:
    """Filled again they are the regions: with holes, regions that touch at a corner, and single pixels."""
    labels = (np.random.default_rng(seed).random((14, 17)) > 0.5).astype(np.uint8)
    drawn, total = np.zeros_like(labels), 0.0
    for _, rings in outlines(labels, [1]):
        total += polygon_area([ring.tolist() for ring in rings])
        inside = np.zeros((14, 17), bool)
        for ring in rings:  # a pixel is inside where a ray to the left crosses edges an odd number of times
            for (x, y), (_, y2) in itertools.pairwise(ring):
                inside[min(y, y2) : max(y, y2), x:] ^= True
        assert not (drawn & inside).any()
        drawn |= inside
    assert (drawn == labels).all() and total == labels.sum()


def test_small_regions_take_the_class_of_what_is_near(tiled: Path, tmp_path: Path) -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[:, 12:], labels[3, 3], labels[10:12, 14:16], labels[5:11, 3:9], labels[19, 0] = 1, 2, 0, 2, IGNORE
    found = without_small(labels, 5)
    assert (
        found[3, 3] == 0
        and (found[10:12, 14:16] == 1).all()
        and (found[5:11, 3:9] == 2).all()
        and found[19, 0] == IGNORE
    )
    assert (without_small(labels, 1) == labels).all() and (without_small(labels[:2, :2], 99) == labels[:2, :2]).all()
    for name, image in {"x": picture(tmp_path / "x.png", noise(60, 70)), "y": scene(tmp_path / "in" / "y.tif")}.items():
        predicted(tiled, image, tmp_path / name / "plain")
        predicted(tiled, image, tmp_path / name / "few", "--min-area", 40)
        plain, few = (next((tmp_path / name / kind).glob(f"{name}.[pt]*")) for kind in ("plain", "few"))
        read = [tifffile.imread(one) if name == "y" else np.asarray(Image.open(one)) for one in (plain, few)]
        assert (without_small(read[0], 40) == read[1]).all()


def test_odd_images_are_predicted_or_told(tiled: Path, tmp_path: Path) -> None:
    """One file that is refused keeps none of the others back."""
    folder = tmp_path / "in"
    shapes = {"dot": (1, 1), "line": (1, 30_000), "column": (4000, 1)}
    for name, size in shapes.items():
        picture(folder / f"{name}.png", noise(*size))
    colours = Image.fromarray(noise(40, 50))
    colours.convert("RGBA").save(folder / "rgba.png")
    colours.convert("CMYK").save(folder / "cmyk.jpg")
    colours.save(folder / "moving.gif", save_all=True, append_images=[Image.fromarray(noise(40, 50, 3))])
    picture(folder / "deep.png", np.zeros((9, 9), np.uint16))
    (folder / "cut.png").write_bytes((folder / "rgba.png").read_bytes()[:900])
    outcome = maskwright("predict", tiled, folder, "--out", tmp_path / "out")
    assert outcome.code == 1 and "3 of 8 images could not be predicted" in outcome.err, outcome.err
    for name, told in {"moving.gif": "2 pages", "deep.png": "8-bit", "cut.png": "whole, readable"}.items():
        assert [line for line in outcome.err.splitlines() if name in line and told in line], name
    for name, size in {**shapes, "rgba": (40, 50), "cmyk": (40, 50)}.items():
        assert np.asarray(Image.open(tmp_path / "out" / f"{name}.png")).shape == size


def test_a_raster_whose_head_lies_is_refused(tiled: Path, tmp_path: Path) -> None:
    """A terabyte in a kilobyte: never written, it would be predicted for days."""
    path = tmp_path / "in" / "bomb.tif"
    path.parent.mkdir()
    profile = {"height": 600_000, "width": 600_000, "count": 3, "dtype": "uint8", "tiled": True, "blockxsize": 16384,
               "blockysize": 16384}  # fmt: skip
    with rasterio.open(
        path, "w", driver="GTiff", transform=TRANSFORM, crs="EPSG:32633", SPARSE_OK=True, BIGTIFF="YES", **profile
    ):
        pass
    outcome = maskwright("predict", tiled, path, "--out", tmp_path / "out")
    assert outcome.code == 2 and "its head tells of 600000 x 600000 x 3 values" in outcome.sentence
    assert leftovers(tmp_path / "out") == []


def test_a_large_tiff_that_lies_nowhere_is_read_by_windows(
    tiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "x.tif"
    path.parent.mkdir()
    pixels = noise(90, 130)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(32, 32))
    plain = mw.load_run(tiled).predict(path)
    monkeypatch.setattr("maskwright.prediction.sources._LARGE_TIFF", 1000)
    assert isinstance(load_source(path, Bands((0, 1, 2)), False), Raster)
    predicted(tiled, path, tmp_path / "out")
    labels = tifffile.imread(tmp_path / "out" / "x.tif")
    sure = np.abs(plain.probabilities[1] - 0.5) > 0.01
    assert (labels == plain.labels)[sure].all()


def test_patterns_and_a_list_on_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.png", "b.png", "deep/c.png", "note[1].png"):
        picture(tmp_path / "in" / name, noise(9, 9))
    monkeypatch.chdir(tmp_path)
    assert "4 images" in predicted(finished(), "in/**/*.png", tmp_path / "glob").out
    # a file of that name is that file
    assert "1 image " in predicted(finished(), "in/note[1].png", tmp_path / "odd").out
    monkeypatch.setattr("sys.stdin", io.StringIO("in/a.png\n\nin/deep\n"))
    assert "2 images" in predicted(finished(), "-", tmp_path / "list").out
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    for words, told in (("in/*.jpg", "nothing matches in/*.jpg"), ("-", "a path a line")):
        outcome = maskwright("predict", finished(), words, "--out", tmp_path / "none")
        assert outcome.code == 2 and told in outcome.sentence and not (tmp_path / "none").exists()


def mirrored(predictor: Predictor, pixels: np.ndarray) -> list[np.ndarray]:
    """Probabilities of an image and its mirror images, turned back."""
    ways: list[Any] = [lambda x: x, np.fliplr, np.flipud, lambda x: np.flipud(np.fliplr(x))]
    return [
        np.stack([way(plane) for plane in predictor.predict(np.ascontiguousarray(way(pixels))).probabilities])
        for way in ways
    ]


@pytest.mark.parametrize(("flips", "seen"), [(("hflip",), [0, 1]), (("vflip",), [0, 2]), (FLIPS, [0, 1, 2, 3])])
def test_flips_are_the_mean_of_the_mirror_images_that_training_saw(
    flips: tuple[str, ...], seen: list[int], tmp_path: Path
) -> None:
    predictor, pixels = Predictor.from_run(Run.open(copy_of(finished(), tmp_path / "run"))), noise(32, 32)
    found = combine([dataclasses.replace(predictor, flips=flips)], "flips").forward(pixels[np.newaxis])[0]
    expected = np.mean([mirrored(predictor, pixels)[way] for way in seen], axis=0)
    assert np.abs(found - expected).max() < 1e-5
    d4 = combine([predictor], "d4").forward
    turned = d4(np.ascontiguousarray(np.rot90(pixels))[np.newaxis])[0]
    assert np.abs(np.rot90(turned, -1, axes=(1, 2)) - d4(pixels[np.newaxis])[0]).max() < 1e-5  # turning changes nothing


@pytest.mark.parametrize(
    ("augment", "flips"),
    [
        ("[{name: hflip}, {name: rotate, amount: 10}]", ("hflip",)),
        ("[{name: hflip}, {name: vflip, p: 0}]", ("hflip",)),
        ("[{name: rot90}, {name: hflip}]", FLIPS),
        ("[{name: hflip}, {albumentations: {name: VerticalFlip}}]", FLIPS),
        ("standard", ("hflip",)),
        ("heavy", FLIPS),
        ("none", ()),
    ],
)
def test_a_run_knows_the_mirror_images_that_training_saw(augment: str, flips: tuple[str, ...], tmp_path: Path) -> None:
    assert open_network(augmented(tmp_path / "run", augment)).flips == flips


def test_a_bundle_knows_them_too(tmp_path: Path) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    trained = maskwright("train", "--data", data(), *TINY, "--augment", "[{name: hflip}]", "--epochs", 1, "--out", run)
    assert trained.code == 0, trained.err
    exported = maskwright("export", run, "--max-iou-drop", 1, "--out", bundle)
    assert exported.code == 0, exported.err
    assert open_network(bundle).flips == open_network(run).flips == ("hflip",)
    image = picture(tmp_path / "x.png", noise(9, 9))
    predicted(bundle, image, tmp_path / "out", "--tta", "flips")


def test_flips_of_a_run_that_saw_none_are_refused(tmp_path: Path) -> None:
    run, image = augmented(tmp_path / "run", "none"), picture(tmp_path / "x.png", noise(9, 9))
    refused = maskwright("predict", run, image, "--out", tmp_path / "out", "--tta", "flips")
    assert refused.code == 2 and refused.sentence.endswith(f"{run}, which saw none. Leave it out.")
    assert not (tmp_path / "out").exists()


def augmented(to: Path, augment: str) -> Path:
    """A run whose configuration is that of a training with these; to train each would take the seconds."""
    run = Run.open(copy_of(finished(), to))
    asked = load_config(None, parse_overrides(["--augment", augment])).model_dump()["augment"]
    run.write_config(run.config.replace({"augment": asked}), {})
    return to


def test_runs_predict_together_by_the_mean_and_tell_their_disagreement(tiled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    words = ("--data.view", "whole", "--seed", 7, "--epochs", 1, "--out", other)
    assert maskwright("train", "--data", data(), *TINY, *words).code == 0
    image = picture(tmp_path / "x.png", noise(32, 40))
    first = copy_of(finished(), tmp_path / "first")  # not evaluated: a mean has no temperature
    members = [mw.load_run(run).predict(image).probabilities for run in (first, other)]
    outcome = maskwright("predict", first, other, image, "--out", tmp_path / "out", "--write",
                         "labels,probabilities-float", "--uncertainty")  # fmt: skip
    assert outcome.code == 0, outcome.err
    mean = np.mean(members, axis=0)
    assert np.abs(tifffile.imread(tmp_path / "out" / "x-probabilities.tif") - mean).max() < 1e-4
    apart = entropy(mean) - np.mean([entropy(one) for one in members], axis=0)
    assert apart.max() > 0.01
    with Image.open(tmp_path / "out" / "x-uncertainty.png") as seen:
        seen_apart = np.asarray(seen) / 254  # it was taken before it was resized
    assert np.corrcoef(seen_apart.ravel(), apart.ravel())[0, 1] > 0.9
    one = Predictor.from_run(Run.open(finished()))
    same = combine([one, one], spread=True).forward(noise(32, 32)[np.newaxis])[0]
    assert uncertainty(same, 2).max() < 1e-5 < uncertainty(same[:2], 2).max()  # two that say the same are of one mind
    refused = maskwright("predict", finished(), tiled, image, "--out", tmp_path / "none")
    assert (
        refused.code == 2
        and "the view, size, scale and tiles of" in refused.sentence
        and not (tmp_path / "none").exists()
    )


def test_a_call_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    """What was done is not done again, and what is there in the end is what one call would have made."""
    count = 20
    for index in range(count):
        picture(tmp_path / "in" / f"{index:02d}.png", noise(100, 150, index))
    out = tmp_path / "out"
    words = ("predict", finished(), tmp_path / "in", "--out", out)
    child = start(tmp_path / "log", *words)
    wait_until(lambda: len(list(out.glob("*-overlay.jpg"))) >= 5, child.is_alive)
    kill(child)
    before = {path: path.stat().st_mtime_ns for path in out.glob("[0-9]*")}
    there = len(list(out.glob("*-overlay.jpg")))
    assert 5 <= there < count
    picture(tmp_path / "in" / "00.png", noise(20, 30))  # changed since: done again
    outcome = maskwright(*words)
    assert outcome.code == 0, outcome.err
    kept = sum(path.stat().st_mtime_ns == at for path, at in before.items())
    assert kept >= 2 * (there - 3) and f"{count} images predicted" in outcome.out and " of them before" in outcome.out
    assert np.asarray(Image.open(out / "00.png")).shape == (20, 30) and not (out / "unfinished.jsonl").exists()
    assert leftovers(out) == []
    assert maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "whole").code == 0
    for path in (tmp_path / "whole").glob("[0-9]*"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    again = maskwright(*words)  # a call that ended begins anew
    assert again.out.endswith(f", {2 * count} files there replaced\n")


def test_after_bad_files_only_they_are_done_again(tmp_path: Path) -> None:
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name, noise(9, 9))
    (tmp_path / "in" / "b.png").write_text("none")
    words = ("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert maskwright(*words).code == 1
    picture(tmp_path / "in" / "b.png", noise(9, 9))
    other = maskwright(*words, "--write", "labels", "--json")  # other files are meant: nothing is left out
    assert other.code == 0 and other.json["replaced"] == 2
    (tmp_path / "in" / "b.png").write_text("none")
    assert maskwright(*words).code == 1
    picture(tmp_path / "in" / "b.png", noise(9, 9))
    done = maskwright(*words)
    assert done.code == 0 and done.out.startswith(f"3 images predicted into {tmp_path / 'out'}, 2 of them before")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason=f"{sys.platform} cannot limit another process")
@pytest.mark.parametrize("kind", ["raster", "picture"])
def test_a_full_disk_is_a_sentence_and_leaves_no_parts(tiled: Path, tmp_path: Path, kind: str) -> None:
    """The kernel refuses what grows beyond a limit, as it would on a full disk."""
    out = tmp_path / "out"
    if kind == "raster":
        image = scene(tmp_path / "in" / "x.tif", (400, 600))
    else:
        image = picture(tmp_path / "in" / "x.png", noise(400, 600))
    code, said = limited(tmp_path / "log", "predict", tiled, image, "--out", out, "--write", "probabilities-float")
    assert code == 2 and "Traceback" not in said, said
    assert "could not write" in said and "unexpected" not in said
    assert leftovers(out) == [] and not list(out.glob("x*"))


def _limited(words: list[str], log: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    from support import _in_child

    _in_child(words, log)


def limited(log: Path, *words: object) -> tuple[int, str]:
    from support import start_call

    child = start_call(_limited, [str(word) for word in words], str(log))
    child.join(120)
    assert child.exitcode is not None, "it goes on"
    return child.exitcode, log.read_text()


def test_devices_and_batches_that_are_none(tmp_path: Path) -> None:
    image = picture(tmp_path / "x.png", noise(9, 9))
    for words, told in (
        (("--device", "tpu"), "cpu, gpu or mps"), (("--batch-size", "0"), "auto or a number"),
        (("--precision", "int4"), "bf16, fp16 or fp32"), (("--min-area", "-1"), "0 or more"), (("--tta", "d5"), "d4"),
    ):  # fmt: skip
        outcome = maskwright("predict", finished(), image, "--out", tmp_path / "out", *words)
        assert outcome.code == 2 and told in outcome.sentence, outcome.err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    predicted(
        finished(),
        image,
        tmp_path / "out",
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--batch-size",
        3,
        "--tta",
        "flips",
    )


@pytest.mark.parametrize("kind", ["contours", "coco", "polygons"])
def test_a_raster_whose_outlines_take_more_memory_than_there_is_is_told(
    tiled: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its labels alone would fit: outlines number the regions, four bytes a pixel."""
    monkeypatch.setattr("maskwright.data.decoding._LARGE", 0)
    monkeypatch.setattr("maskwright.data.decoding.free_memory", lambda: 2 * 2 * 300 * 420)
    source = scene(tmp_path / "in" / "x.tif")
    predicted(tiled, source, tmp_path / "labels", "--write", "labels")
    refused = maskwright("predict", tiled, source, "--out", tmp_path / "out", "--write", kind)
    assert refused.code == 2 and "must fit into memory" in refused.sentence


def test_what_is_finished_is_not_read_again(tmp_path: Path) -> None:
    """Where a call is gone on with, sizes and times tell that its files are as it left them."""
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name, noise(9, 9))
    (tmp_path / "in" / "b.png").write_text("none")
    words = ("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert maskwright(*words).code == 1
    with opened() as paths:
        assert maskwright(*words).code == 1
    assert not [path for path in paths if path.startswith(str(tmp_path / "out" / "a"))]
    picture(tmp_path / "out" / "a.png", np.ones((9, 9), np.uint8))  # somebody's work is seen all the same
    refused = maskwright(*words)
    assert refused.code == 2 and "a.png, which predict did not write or somebody has changed since" in refused.sentence
