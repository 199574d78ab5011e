"""LabelMe: shapes of every type, labels and their values, where images are looked for, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data.layouts import save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, Listing
from maskwright.data.forms.labelme import load
from maskwright.data.masks import decide_classes
from maskwright.data.opening import open_dataset
from maskwright.data.raw import code_labels, read_record
from maskwright.data.readers import list_records
from maskwright.errors import DataError

SIZE = (20, 30)
BOX = [[2, 3], [8, 3], [8, 7], [2, 7]]


def shape(label: str, points: list[Any], kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def write(root: Path, name: str, shapes: list[dict[str, Any]], image: str | None = None, **more: Any) -> Path:
    """A LabelMe file, with its image beside it unless that is named otherwise."""
    if image is None:
        save(root / f"{name}.png", np.zeros((*SIZE, 3), np.uint8))
    tree = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image or f"{Path(name).name}.png",
            "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1], **more}  # fmt: skip
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def listed(root: Path, **options: Any) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def labels(root: Path, place: int = 0, **options: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names, and the class numbers of one record."""
    listing = listed(root, **options)
    raws = [read_record(record) for record in listing.records]
    config = DataConfig.model_validate({"root": str(root), **options})
    classes = decide_classes(config, listing, {str(index): raw.counts for index, raw in enumerate(raws)})
    return classes.names, code_labels(classes, raws[place].values)[raws[place].codes]


def test_shapes_with_an_area_are_drawn(tmp_path: Path) -> None:
    picture = io.BytesIO()
    stamp = np.array([[0, 255, 255], [255, 0, 255]], np.uint8)
    Image.fromarray(stamp).convert("1").save(picture, "PNG")
    shapes = [
        shape("a", BOX, None),  # files of old don't name the type
        shape("b", [[20, 15], [14, 11]], "rectangle"),
        shape("c", [[25, 5], [27, 5]], "circle"),
        shape("d", [[1, 15], [3, 16]], "mask", mask=base64.b64encode(picture.getvalue()).decode()),
        shape("e", [[22, 10], [26, 10], [26, 12], [22, 12]], "oriented_rectangle"),
    ]
    write(tmp_path, "x", shapes)
    names, found = labels(tmp_path)
    assert names == ("background", "a", "b", "c", "d", "e")
    assert [int((found == label).sum()) for label in range(1, 6)] == [24, 24, 12, 4, 8]
    assert (found[3:7, 2:8] == 1).all() and (found[11:15, 14:20] == 2).all()
    assert (found[15:17, 1:4] == np.where(stamp, 4, 0)).all()


@pytest.mark.parametrize("seed", range(15))
def test_polygons_agree_with_pillow_but_for_their_border(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    points = (np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(4, 9, (7, 1)) + (15, 10)).tolist()
    write(tmp_path, "x", [shape("a", points)])
    ours = labels(tmp_path)[1] == 1
    drawn = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(drawn).polygon([(x - 0.5, y - 0.5) for x, y in points], fill=1)
    wide = np.pad(np.asarray(drawn), 1, mode="edge")
    around = np.stack([wide[1 + y : 21 + y, 1 + x : 31 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    inner, outer = around.all(0), around.any(0)
    assert ours[inner].all() and not ours[~outer].any()


def test_later_shapes_lie_on_earlier_ones_and_background_cuts_holes(tmp_path: Path) -> None:
    write(tmp_path, "x", [
        shape("a", BOX), shape("b", [[4, 3], [8, 3], [8, 5], [4, 5]]),
        shape("_background_", [[2, 6], [4, 6], [4, 7], [2, 7]]),
        shape("__ignore__", [[20, 0], [30, 0], [30, 2], [20, 2]]), shape("a", [[28, 1], [30, 1], [30, 2], [28, 2]]),
    ])  # fmt: skip
    names, found = labels(tmp_path)
    assert names == ("background", "a", "b")
    assert ((found == 1).sum(), (found == 2).sum(), (found == IGNORE).sum()) == (24 - 8 - 2 + 2, 8, 18)
    assert read_record(listed(tmp_path).records[0]).claimed_twice == 8


def test_classes_are_alphabetical_or_as_told(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("dog", BOX), shape("cat", [[10, 10], [12, 10], [12, 12], [10, 12]])])
    assert listed(tmp_path).classes == {"background": 0, "cat": 1, "dog": 2}
    (tmp_path / "classes.yaml").write_text("dog: 4\ncat: 7\n", encoding="utf-8")
    assert listed(tmp_path).classes == {"background": 0, "dog": 4, "cat": 7}
    names, found = labels(tmp_path)
    assert names == ("background", "dog", "cat") and (found == 1).sum() == 24
    names, found = labels(tmp_path, classes=["_background_", "dog", "cat", "cow"])
    assert names == ("_background_", "dog", "cat", "cow") and (found == 1).sum() == 24
    names, found = labels(tmp_path, classes={"cat": 0, "dog": 1, "background": 2})
    assert (names, [int((found == label).sum()) for label in range(3)]) == (("cat", "dog", "background"), [4, 24, 572])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["background", "cat"]}, "`data.classes` must name every label; dog is not in it"),
        ({"classes": {"cat": 0, "dog": 1}}, "`data.classes` must leave 0 for background; cat has it"),
        ({"classes": {"cat": "#ff0000", "dog": "#00ff00"}}, "numbers; got colours"),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    write(tmp_path, "x", [shape("dog", BOX), shape("cat", BOX)])
    with pytest.raises(DataError, match=words):
        listed(tmp_path, **options)


def test_points_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX), shape("nose", [[4, 4]], "point"), shape("nose", [[5, 4]], "point")])
    listing = listed(tmp_path)
    assert listing.classes == {"background": 0, "a": 1}
    assert "2 points have no area and were left out (x.json)" in listing.notes


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (shape("road", [[1, 1], [9, 9]], "line"), "1 line has no area and was left out (x.json)"),
        (shape("road", [[1, 1], [9, 9]], "linestrip"), "1 linestrip has no area and was left out (x.json)"),
        (shape("a", [[1, 1], [9, 9]]), "1 polygon of 2 points has no area and was left out (x.json)"),
        (shape("a", [[1, 1]], "rectangle"), "1 rectangle of 1 point has no area and was left out (x.json)"),
        (shape("a", [[1, 1], [2, 2]], "mask"), "1 mask without its picture has no area and was left out (x.json)"),
        (shape("a", BOX, "cube"), "1 shape of the unknown type 'cube' was left out (x.json)"),
    ],
)
def test_one_odd_shape_is_left_out_and_told(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    write(tmp_path, "x", [shape("a", BOX), wrong])
    write(tmp_path, "y", [shape("a", BOX)])
    listing = listed(tmp_path)
    assert words in listing.notes and listing.classes == {"background": 0, "a": 1}
    (_, one), (_, other) = labels(tmp_path, 0), labels(tmp_path, 1)
    assert (one == other).all() and (one == 1).any()


def test_a_shape_without_a_label_is_ignored_where_it_lies(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX), {"label": None, "points": [[0, 0], [2, 0], [2, 2], [0, 2]]}])
    assert "1 shape without a label: neither learned nor scored there (x.json)" in listed(tmp_path).notes
    found = labels(tmp_path)[1]
    assert (found[:2, :2] == IGNORE).all() and (found == IGNORE).sum() == 4 and (found == 1).any()


@pytest.mark.parametrize(
    "points",
    [
        [[1, 1], [2, 2], [3]],
        [["1", "2"]] * 3,
        [1, 2, 3],
        None,
        [[1e308, 0]] * 3,
        [[float("nan"), 0]] * 3,
        [[10**400, 1]] * 3,
    ],
)
def test_points_that_are_none_are_refused(tmp_path: Path, points: Any) -> None:
    write(tmp_path, "x", [shape("a", BOX), shape("a", points)])
    with pytest.raises(
        DataError, match=r"x\.json` must be a sound LabelMe file; shape 2 has points that are no list of \[x, y\]"
    ):
        listed(tmp_path)


def test_broken_mask_shapes_are_sentences(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", [[1, 1], [2, 2]], "mask", mask="bm8=")])
    with pytest.raises(DataError, match="mask shapes as PNG; that of a is none"):
        labels(tmp_path)
    picture = io.BytesIO()
    Image.fromarray(np.full((5, 5), 255, np.uint8)).save(picture, "PNG")
    write(tmp_path, "x", [shape("a", [[28, 1], [32, 5]], "mask", mask=base64.b64encode(picture.getvalue()).decode())])
    with pytest.raises(DataError, match="lie in the image; that of a is 5x5 at 28, 1"):
        labels(tmp_path)


@pytest.mark.parametrize(
    ("file", "named", "image"),
    [
        ("labels/x", "..\\images\\x.png", "images/x.png"),
        ("labels/x", "x.png", "images/x.png"),
        ("x", "/home/ann/pictures/x.png", "x.png"),
        ("annotations/x", "other.jpg", "images/x.png"),
        ("train/x", "x.png", "train/x.png"),
    ],
)
def test_images_are_found_where_people_have_them(tmp_path: Path, file: str, named: str, image: str) -> None:
    save(tmp_path / image, np.zeros((*SIZE, 3), np.uint8))
    write(tmp_path, file, [shape("a", BOX)], named)
    listing = listed(tmp_path)
    assert listing.reader == "labelme"
    assert [record.image.resolve() for record in listing.records] == [tmp_path / image]
    assert listing.records[0].split == ("train" if "train" in file else None)


def test_a_picture_that_is_only_embedded_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX)], "gone.png", imageData="aGVsbG8=")
    with pytest.raises(
        DataError, match=r"gone\.png is not \(the picture embedded in it is not read.*save it from LabelMe\."
    ):
        listed(tmp_path)
    write(tmp_path, "x", [shape("a", BOX)], "gone.png")
    with pytest.raises(DataError, match=r"gone\.png is not\. Put it there\."):
        listed(tmp_path)


def test_images_without_a_file_are_refused_and_without_shapes_background(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX)])
    write(tmp_path, "y", [])
    assert "1 images have no shapes: all of them is background" in listed(tmp_path).notes
    assert not labels(tmp_path, 1)[1].any()
    save(tmp_path / "z.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(DataError, match=r"a LabelMe file for each image; 1 have none: z\.png\."):
        listed(tmp_path)


def test_everything_wrong_is_told_together(tmp_path: Path) -> None:
    write(tmp_path, "a", [shape("a", BOX)])
    write(tmp_path, "b", [shape("a", [[1]])])
    path = write(tmp_path, "c", [shape("a", BOX)])
    path.write_text(path.read_text()[:-20], encoding="utf-8")
    told = r"(?s)2 LabelMe files cannot be used.*b\.json.*c\.json` must be a whole, readable JSON file"
    with pytest.raises(DataError, match=told):
        listed(tmp_path)


def test_other_json_files_are_left_aside_and_one_image_has_one_file(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX)])
    (tmp_path / "meta.json").write_text("{}", encoding="utf-8")
    assert "1 JSON files are not LabelMe's and were left aside: meta.json" in listed(tmp_path).notes
    write(tmp_path, "copy", [shape("a", BOX)], "x.png")
    with pytest.raises(
        DataError, match=r"images must be listed once; 1 are listed twice: x \(copy\.json and x\.json\)"
    ):
        listed(tmp_path)


def test_a_size_that_is_not_the_images_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX)], imageWidth=20, imageHeight=30)
    with pytest.raises(DataError, match="it tells 20x30; the image is 30x20"):
        labels(tmp_path)


def test_a_label_that_came_later_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x", [shape("a", BOX)])
    record = listed(tmp_path).records[0]
    write(tmp_path, "x", [shape("b", BOX)])
    with pytest.raises(DataError, match="labels that are known; b are new"):
        load(record, SIZE)


def test_the_digest_is_of_shapes_and_values(tmp_path: Path) -> None:
    def digest(shapes: list[dict[str, Any]], **more: Any) -> str:
        write(tmp_path, "x", shapes, **more)
        return read_record(listed(tmp_path).records[0]).hashes[1]

    one, two = shape("a", BOX), shape("b", [[0, 0], [4, 0], [4, 4]])
    before = digest([one, two])
    assert digest([one, {**two, "flags": {"seen": True}}], imageData="aGVsbG8=") == before
    assert len({before, digest([two, one]), digest([one]), digest([one, shape("c", two["points"])])}) == 4


def test_opening_a_set(tmp_path: Path) -> None:
    for index in range(5):
        write(tmp_path, str(index), [shape("a", BOX), shape("b", BOX[:3])])
    found = open_dataset(DataConfig(root=str(tmp_path)))
    assert found.dataset.reader == "labelme"
    assert found.dataset.classes.names == ("background", "a", "b")
    assert any(
        "claimed by shapes of different classes: the later shape has them" in note for note in found.dataset.notes
    )
