"""`maskwright predict`: label PNGs and overlays, bad files among good ones, names that meet."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import maskwright as mw
from maskwright.data.pictures import css, palette
from maskwright.prediction.predictor import Predictor
from maskwright.prediction.writers import predict_files, write_labels
from maskwright.runs import Run
from support import data, finished, leftovers, maskwright, noise, picture


@pytest.mark.parametrize("size", [(33, 47), (7, 5)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_labels_are_an_indexed_png_of_class_numbers_and_an_overlay_is_beside(tmp_path, size):
    image = picture(tmp_path / "photo.png", noise(*size))
    outcome = maskwright("predict", finished(), image, "--out", tmp_path / "out")
    assert outcome.code == 0 and outcome.out == f"1 image predicted into {tmp_path / 'out'}\n" and outcome.err == ""
    prediction = mw.load_run(finished()).predict(image)
    with Image.open(tmp_path / "out" / "photo.png") as written:
        assert (written.mode, written.size) == ("P", (size[1], size[0]))
        assert (np.asarray(written) == prediction.labels).all()
        assert written.getpalette()[:6] == palette(2)[:2].ravel().tolist()
    with Image.open(tmp_path / "out" / "photo-overlay.jpg") as overlay:
        assert (overlay.format, overlay.mode, overlay.size) == ("JPEG", "RGB", (size[1], size[0]))
        assert np.abs(np.asarray(overlay).astype(int) - prediction.overlay()).mean() < 30
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "photo-overlay.jpg",
        "photo.png",
        "predictions.csv",
    ]


@pytest.mark.parametrize("num_classes", [2, 5, 250])
def test_every_class_number_survives_the_png(tmp_path, num_classes):
    labels = np.arange(num_classes, dtype=np.uint8).reshape(-1, 1).repeat(3, axis=1)
    write_labels(tmp_path / "x.png", labels, num_classes)
    with Image.open(tmp_path / "x.png") as written:
        assert written.mode == "P" and (np.asarray(written) == labels).all()


def test_bad_files_are_told_at_the_end_and_the_rest_is_done(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    good = [picture(tmp_path / name, noise(9, 9)) for name in ("b.png", "c.png")]
    words = (
        "predict",
        finished(),
        tmp_path / "a.png",
        good[0],
        tmp_path / "none.png",
        good[1],
        "--out",
        tmp_path / "out",
    )
    outcome = maskwright(*words)
    assert outcome.code == 1
    assert outcome.out == f"2 images predicted into {tmp_path / 'out'}; 2 could not be predicted\n"
    head, *lines = outcome.err.splitlines()
    assert head == "maskwright: 2 of 4 images could not be predicted:"
    assert len(lines) == 2 and "a.png" in lines[0] and "none.png" in lines[1]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["b.png", "c.png"]
    assert leftovers(tmp_path / "out") == []
    told = maskwright(*words, "--json").json
    assert told["images"] == [str(path) for path in good] and len(told["problems"]) == 2


def test_what_is_replaced_is_counted(tmp_path):
    images = [picture(tmp_path / name, noise(9, 9)) for name in ("a.png", "b.png")]
    words = ("predict", finished(), "--out", tmp_path / "out")
    assert maskwright(*words, images[0]).out == f"1 image predicted into {tmp_path / 'out'}\n"
    assert maskwright(*words, *images).out == f"2 images predicted into {tmp_path / 'out'}, 2 files there replaced\n"
    assert maskwright(*words, *images, "--json").json["replaced"] == 4


def test_a_folder_stands_for_its_images(tmp_path):
    picture(tmp_path / "in" / "x.PNG", noise(9, 9))
    picture(tmp_path / "in" / "y.jpg", noise(9, 9))
    (tmp_path / "in" / "notes.txt").write_text("left alone")
    assert maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out").code == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["x.png", "y.png"]


@pytest.mark.parametrize(
    "layout", ["images/{}.jpg masks/{}.png", "{}.jpg {}_mask.png", "train/{}/image.png train/{}/mask.png"]
)
def test_of_a_data_set_the_images_alone_are_predicted(layout, tmp_path):
    places = [[tmp_path / "in" / part.format(index) for part in layout.split()] for index in range(4)]
    for index, (image, mask) in enumerate(places):
        picture(image, noise(32, 32, index))
        picture(mask, np.kron(np.eye(4, dtype=np.uint8), np.full((8, 8), 255, np.uint8)))
    outcome = maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.code == 0 and outcome.out.startswith("4 images predicted"), outcome.err
    assert f"note    {tmp_path / 'in'} is a data set: 4 masks in it left aside" in outcome.err.splitlines()
    assert maskwright("predict", finished(), places[0][1], "--out", tmp_path / "one").out.startswith(
        "1 image predicted"
    )


def test_a_legend_tells_the_colours_of_more_than_two_classes(tmp_path):
    predictor = Predictor.from_run(Run.open(finished()))
    names = ("ground", "a < b & c", "sky")
    three = replace(predictor, classes=replace(predictor.classes, names=names))
    image = picture(tmp_path / "x.png", noise(9, 9))
    for _ in range(2):  # again, into the same folder
        predict_files(three, [image], tmp_path / "out")
    drawn = ElementTree.parse(tmp_path / "out" / "legend.svg").getroot()
    assert [text.text for text in drawn if text.tag.endswith("text")] == [
        f"{index} {name}" for index, name in enumerate(names)
    ]
    swatches = [rect.get("fill") for rect in drawn if rect.tag.endswith("rect")][1:]
    assert swatches == [css(colour) for colour in palette(3)[:3]]
    predict_files(predictor, [image], tmp_path / "two")
    assert not (tmp_path / "two" / "legend.svg").exists()


def test_sub_folders_are_kept(tmp_path):
    """Two images of one name in two of them, a link to one, and what an editor left."""
    sizes = {"a/x": (9, 9), "b/x": (11, 9), "b/deep/x": (7, 9), "y": (5, 9), "linked/z": (6, 9)}
    for name, size in sizes.items():
        picture(tmp_path / ("in" if "linked" not in name else "disk") / f"{name}.png", noise(*size))
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "disk" / "linked")
    picture(tmp_path / "in" / ".cache" / "x.png", noise(3, 3))
    outcome = maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.code == 0 and outcome.out.startswith("5 images predicted"), outcome.err
    written = {
        path.relative_to(tmp_path / "out").with_suffix("").as_posix(): path
        for path in (tmp_path / "out").rglob("*.png")
    }
    assert {name: np.asarray(Image.open(path)).shape for name, path in written.items()} == sizes
    assert (tmp_path / "out" / "b" / "deep" / "x-overlay.jpg").is_file()


def test_names_that_meet_in_sub_folders_of_several_folders_are_all_written(tmp_path):
    places = ["one/s/t/u/x.png", "two/s/t/u/x.png", "two/s/t/u/x.bmp", "two/s/t/u/X.bmp"]
    for index, place in enumerate(places):
        picture(tmp_path / place, noise(5 + index, 9))
    assert maskwright("predict", finished(), tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out").code == 0
    written = list((tmp_path / "out").rglob("*.png"))
    assert sorted(np.asarray(Image.open(path)).shape[0] for path in written) == [5, 6, 7, 8]


@pytest.mark.parametrize("place", ["in", "in/../in"])
def test_nothing_is_written_outside_the_folder_for_predictions(tmp_path, monkeypatch, place):
    """`..` in a path of an image led out of it, into a folder of images beside."""
    picture(tmp_path / "in" / "x.jpg", noise(9, 9))
    picture(tmp_path / "other" / "x.jpg", noise(11, 9))
    (tmp_path / "in" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    before = sorted(path for name in ("in", "other") for path in (tmp_path / name).rglob("*"))
    for index, folders in enumerate(
        ([".", "../other"], [tmp_path / place, tmp_path / place / "deep" / ".." / ".." / "other"])
    ):
        outcome = maskwright("predict", finished(), *folders, "--out", f"../out/{index}")
        assert outcome.code == 0, outcome.err
        assert len(list((tmp_path / "out" / str(index)).rglob("*.png"))) == 2
        again = maskwright(
            "predict", finished(), folders[0], tmp_path / "other" / ".." / "in", "--out", tmp_path / "again"
        )
        assert again.code == 2 and "would be written twice. Name each once" in again.sentence
    assert sorted(path for name in ("in", "other") for path in (tmp_path / name).rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "other", "out"]


@pytest.mark.parametrize("folder", ["a.png", "a-overlay.jpg", "a.tif", "predictions.csv"])
def test_a_folder_called_like_a_file_that_is_written_is_no_obstacle(tmp_path, folder):
    for place in ("a.jpg", f"{folder}/x.png", "z.png"):
        picture(tmp_path / "in" / place, noise(9, 9))
    outcome = maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    written = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sum(name.endswith(".png") for name in written) == sum(name.endswith("-overlay.jpg") for name in written) == 3


def test_an_image_wider_than_a_jpeg_may_be_has_a_smaller_overlay(tmp_path):
    """libjpeg ends at 65,500 pixels a side, and the rest of the folder was never predicted."""
    for name, size in {"a": (9, 9), "wide": (2, 65_600), "z": (9, 9)}.items():
        picture(tmp_path / "in" / f"{name}.png", noise(*size))
    outcome = maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.code == 0 and outcome.out.startswith("3 images predicted"), outcome.err
    with (
        Image.open(tmp_path / "out" / "wide.png") as labels,
        Image.open(tmp_path / "out" / "wide-overlay.jpg") as overlay,
    ):
        assert labels.size == (65_600, 2) and overlay.size == (65_500, 2)


def test_links_that_lead_nowhere_are_told_and_the_rest_is_done(tmp_path):
    """One to itself hid every file of its folder that happened to be listed after it."""
    for name in "abcdefgh":
        picture(tmp_path / "in" / f"{name}.png", noise(9, 9))
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere")
    outcome = maskwright("predict", finished(), tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.code == 0 and outcome.out.startswith("8 images predicted"), outcome.err
    assert (
        "gone.png (a link that leads nowhere)" in outcome.err
        and "loop.png (Too many levels of symbolic links)" in outcome.err
    )
    named = maskwright(
        "predict", finished(), tmp_path / "in" / "loop.png", tmp_path / "in" / "a.png", "--out", tmp_path / "two"
    )
    assert named.code == 1 and "1 of 2 images could not be predicted" in named.err and "loop.png`" in named.err


def test_the_same_stems_do_not_overwrite_each_other(tmp_path):
    first, second = noise(9, 9, 1), noise(11, 9, 2)
    picture(tmp_path / "one" / "x.png", first)
    picture(tmp_path / "two" / "x.png", second)
    outcome = maskwright("predict", finished(), tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    written = sorted((tmp_path / "out").glob("*.png"))
    assert len(written) == 2
    assert {np.asarray(Image.open(path)).shape for path in written} == {(9, 9), (11, 9)}
    picture(tmp_path / "three" / "x.png", first)
    picture(tmp_path / "three" / "x.bmp", second)
    assert maskwright("predict", finished(), tmp_path / "three", "--out", tmp_path / "more").code == 0
    assert sorted(path.name for path in (tmp_path / "more").glob("*.png")) == ["x-bmp.png", "x-png.png"]


def test_an_image_named_like_anothers_overlay_does_not_overwrite_it(tmp_path):
    """`x` writes x-overlay.jpg, and `x-overlay` writes x-overlay.png: four files."""
    images = [picture(tmp_path / name, noise(9, 9)) for name in ("x.png", "x-overlay.png")]
    assert maskwright("predict", finished(), *images, "--out", tmp_path / "out").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "predictions.csv", "x-overlay-overlay.jpg", "x-overlay.jpg", "x-overlay.png", "x.png"
    ]  # fmt: skip


def test_the_same_file_twice_is_refused_before_anything_is_written(tmp_path):
    image = picture(tmp_path / "x.png", noise(9, 9))
    outcome = maskwright("predict", finished(), image, image, "--out", tmp_path / "out")
    assert outcome.code == 2 and "would be written twice" in outcome.sentence and not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["photos", "photos/predictions", "."])
@pytest.mark.parametrize("listed", [True, False], ids=["made by predict", "somebody's"])
def test_predictions_lie_apart_from_the_images(tmp_path, out, listed):
    """Not where the images are, nor in or around their folder: the next call would predict its own outputs."""
    image = picture(tmp_path / "photos" / "x.png", noise(9, 9))
    (tmp_path / out).mkdir(exist_ok=True)
    if listed:
        (tmp_path / out / "predictions.csv").write_text("file,image,sha256\n")
    before = sorted(tmp_path.rglob("*")), image.read_bytes()
    for given in [tmp_path / "photos", *([image] if out != "photos/predictions" else [])]:
        outcome = maskwright("predict", finished(), given, "--out", tmp_path / out)
        assert outcome.code == 2 and f"must be a folder apart from the images; got {tmp_path / out}" in outcome.sentence
    assert (sorted(tmp_path.rglob("*")), image.read_bytes()) == before


@pytest.mark.parametrize("name", ["notes.txt", "x.png", "predictions.csv"])
def test_a_folder_that_predict_did_not_make_is_left_alone(tmp_path, name):
    image = picture(tmp_path / "x.png", noise(9, 9))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("a,b\nmine,too\n")
    outcome = maskwright("predict", finished(), image, "--out", tmp_path / "out")
    assert (
        outcome.code == 2
        and f"must be a new or empty folder; got {tmp_path / 'out'}, which holds {name}" in outcome.sentence
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_only_what_predict_wrote_is_replaced(tmp_path):
    """Neither a mask that somebody has corrected since, nor a file that somebody put there."""
    images, out = [picture(tmp_path / name, noise(9, 9)) for name in ("a.png", "b.png")], tmp_path / "out"
    assert maskwright("predict", finished(), images[0], "--out", out).code == 0
    (out / "b-overlay.jpg").write_text("mine")
    labels = (out / "a.png").read_bytes()
    picture(out / "a.png", np.ones((9, 9), np.uint8))
    for image, name in zip(images, ("a.png", "b-overlay.jpg"), strict=True):
        before = (out / name).read_bytes()
        outcome = maskwright("predict", finished(), image, "--out", out)
        assert (
            outcome.code == 2
            and f"holds {name}, which predict did not write or somebody has changed since" in outcome.sentence
        )
        assert (out / name).read_bytes() == before
    (out / "a.png").write_bytes(labels)
    assert maskwright("predict", finished(), images[0], "--out", out).out.endswith(", 2 files there replaced\n")


def test_predictions_csv_tells_every_file_and_its_image(tmp_path):
    image = picture(tmp_path / "x, y.png", noise(9, 9))
    for size in ((9, 9), (5, 6)):
        picture(image, noise(*size))
        assert maskwright("predict", finished(), image, "--out", tmp_path / "out").code == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        told = {row["file"]: row for row in csv.DictReader(file)}
    written = [path for path in (tmp_path / "out").iterdir() if path.name != "predictions.csv"]
    assert told.keys() == {path.name for path in written}
    for path in written:
        assert told[path.name]["image"] == str(image)
        assert told[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_threshold(tmp_path):
    words = ("predict", finished(), data() / "images" / "image-0.png", "--out", tmp_path / "out")
    assert maskwright(*words, "--mask_threshold", "0.001").code == 0
    assert (np.asarray(Image.open(tmp_path / "out" / "image-0.png")) == 1).all()


def test_a_threshold_that_is_none_is_told_once_and_nothing_is_written(tmp_path):
    outcome = maskwright("predict", finished(), data() / "images", "--out", tmp_path / "out", "--mask-threshold", "7")
    assert outcome.code == 2 and outcome.out == "" and "between 0 and 1" in outcome.sentence
    assert not (tmp_path / "out").exists()


def test_predicting_again_into_the_same_folder_replaces_what_was_there(tmp_path):
    image = picture(tmp_path / "x.png", noise(9, 9))
    for size in ((9, 9), (5, 6)):
        picture(image, noise(*size))
        assert maskwright("predict", finished(), image, "--out", tmp_path / "out").code == 0
        assert np.asarray(Image.open(tmp_path / "out" / "x.png")).shape == size
