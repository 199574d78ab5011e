"""COCO: outlines and run lengths against pycocotools, crowds, overlaps, ids, layouts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as oracle

from data.layouts import runs, save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, Listing
from maskwright.data.forms import coco
from maskwright.data.forms.outlines import cropped, disc, fill, joined
from maskwright.data.masks import decide_classes
from maskwright.data.opening import open_dataset
from maskwright.data.raw import code_labels, read_record
from maskwright.data.readers import list_records
from maskwright.errors import DataError

SIZE = (20, 30)


def box(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def thing(category: int, outline: Any, image: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": more.pop("id", 1),
        "image_id": image,
        "category_id": category,
        "segmentation": outline,
        "iscrowd": 0,
        **more,
    }


def document(things: list[dict[str, Any]], count: int = 1, categories: dict[int, str] | None = None) -> dict[str, Any]:
    names = {3: "cat", 9: "dog"} if categories is None else categories
    images = [{"id": index, "file_name": f"{index}.png", "height": SIZE[0], "width": SIZE[1]} for index in range(count)]
    return {
        "images": images,
        "annotations": things,
        "categories": [{"id": i, "name": name} for i, name in names.items()],
    }


def write(root: Path, tree: Any, name: str = "annotations/instances.json", images: str = "images") -> Path:
    for image in tree["images"]:
        save(root / images / image["file_name"], np.zeros((*SIZE, 3), np.uint8))
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def listed(root: Path, **options: Any) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def values(root: Path, place: int = 0) -> np.ndarray:
    """The raw values of one record's mask."""
    raw = read_record(listed(root).records[place])
    return np.array(raw.values)[raw.codes]


def polygon(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A star-shaped outline with corners anywhere, a little outside of the picture too."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    radius = rng.uniform(3, 0.6 * min(size), len(angles))
    centre = rng.uniform(0, 1, 2) * (size[1], size[0])
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None] + centre


def border(inside: np.ndarray) -> np.ndarray:
    """Pixels within one of an edge."""
    wide = np.pad(inside, 1, mode="edge")
    around = np.stack(
        [wide[1 + y : 1 + y + inside.shape[0], 1 + x : 1 + x + inside.shape[1]] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    )
    return around.any(0) & ~around.all(0)


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    inside = np.zeros(size, bool)
    patch = fill(points, *size)
    inside[patch.place] = patch.inside
    return inside


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # numpy's word to pycocotools 2.0.11
@pytest.mark.parametrize("seed", range(40))
def test_outlines_agree_with_pycocotools_but_for_their_border(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(20, 60)), int(rng.integers(20, 60)))
    points = polygon(rng, size)
    ours = filled(points, size)
    packed = oracle.merge(oracle.frPyObjects([points.ravel().tolist()], *size))
    theirs = oracle.decode(packed).astype(bool)
    assert not ((ours != theirs) & ~(border(ours) | border(theirs))).any()


@pytest.mark.parametrize("seed", range(20))
def test_outlines_hold_the_pixels_whose_centre_they_enclose(seed: int) -> None:
    """Each centre asked by itself: how many edges a ray to its right crosses."""
    rng = np.random.default_rng(seed)
    points = polygon(rng, SIZE)
    ends = np.roll(points, -1, axis=0)
    truth = np.zeros(SIZE, bool)
    for row, column in np.ndindex(*SIZE):
        x, y = column + 0.5, row + 0.5
        across = (points[:, 1] > y) != (ends[:, 1] > y)
        at = (
            points[across, 0]
            + (y - points[across, 1]) * (ends[across] - points[across])[:, 0] / (ends[across] - points[across])[:, 1]
        )
        truth[row, column] = (at > x).sum() % 2
    assert (filled(points, SIZE) == truth).all()


def test_neighbours_along_an_edge_share_no_pixel_and_leave_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        middle, top, bottom = rng.uniform(3, 17, 2), rng.uniform(0, 30), rng.uniform(0, 30)
        corners = {
            "left": [[0, 0], [top, 0], middle, [bottom, 20], [0, 20]],
            "right": [[top, 0], [30, 0], [30, 20], [bottom, 20], middle],
        }
        left, right = (filled(np.array(points, float), SIZE) for points in corners.values())
        assert (left ^ right).all()


def test_discs_and_patches() -> None:
    patch = disc((5.0, 4.0), 2.0, 20, 30)
    assert patch.inside.sum() == 12 and patch.place == (slice(2, 6), slice(3, 7))
    assert disc((0.0, 0.0), 1.0, 20, 30).inside.tolist() == [[True]]
    both = joined(
        [fill(np.array(box(2, 2, 4, 4)).reshape(-1, 2), *SIZE), fill(np.array(box(6, 5, 7, 6)).reshape(-1, 2), *SIZE)]
    )
    assert (both.place, int(both.inside.sum())) == ((slice(2, 6), slice(2, 7)), 5)
    assert cropped(np.zeros((4, 4), bool)).inside.size == 0
    assert fill(np.array([[1, 1], [2, 1], [3, 1]]), 9, 9).inside.size == 0


@pytest.mark.parametrize("seed", range(30))
def test_run_lengths_agree_with_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(1, 300)), int(rng.integers(1, 300)))
    inside = rng.random(size) < rng.choice([0.001, 0.1, 0.5, 0.99])
    packed = oracle.encode(np.asfortranarray(inside.astype(np.uint8)))
    assert (coco.pixels_of(packed["counts"].decode(), *size) == inside).all()
    assert (coco.pixels_of(runs(inside)["counts"], *size) == inside).all()
    assert coco.unpack(packed["counts"].decode()).tolist() == runs(inside)["counts"]


HUGE = {
    "wraps": [2**62] * 4 + [6], "beyond 64 bits": [10**30], "one too long": [2**63],
    "packed for ever": "P" * 3_000_000 + "0", "cut": "P" * 3_000_000,
}  # fmt: skip


@pytest.mark.parametrize("case", HUGE)
def test_absurd_run_lengths_are_refused(case: str) -> None:
    """Lengths whose sum wraps around to the picture's size wrote past the end of a buffer."""
    with pytest.raises(ValueError, match=r"longer than|cut off"):
        coco.pixels_of(HUGE[case], 2, 3)


def test_absurd_run_lengths_in_a_file_are_one_sentence(tmp_path: Path) -> None:
    wraps = {"size": list(SIZE), "counts": [2**62] * 4 + [SIZE[0] * SIZE[1]]}
    write(tmp_path, document([{**thing(3, box(1, 1, 2, 2)), "segmentation": wraps}]))
    with pytest.raises(DataError, match=r"must hold whole run lengths for .*; a run is longer than the picture"):
        values(tmp_path)


@pytest.mark.parametrize("counts", ["6", "P", "é", [3, -1, 4], "0" * 5, []])
def test_run_lengths_that_do_not_fill_the_picture_are_refused(counts: Any) -> None:
    with pytest.raises(ValueError):
        coco.pixels_of(counts, 2, 3) if counts != "6" else coco.pixels_of(counts, 2, 4)


def test_values_are_category_ids_and_small_objects_lie_on_large_ones(tmp_path: Path) -> None:
    large, small = thing(3, box(2, 2, 12, 12)), thing(9, box(5, 5, 8, 8))
    for order in ([large, small], [small, large]):
        write(tmp_path, document(order))
        found = values(tmp_path)
        assert (found == 3).sum() == 100 - 9 and (found == 9).sum() == 9 and (found == 0).sum() == 600 - 100
        assert (found[5:8, 5:8] == 9).all()
    raw = read_record(listed(tmp_path).records[0])
    assert raw.claimed_twice == 9


def test_several_outlines_of_one_object_are_joined(tmp_path: Path) -> None:
    write(tmp_path, document([thing(3, [*box(1, 1, 3, 3), *box(10, 10, 12, 11)])]))
    assert (values(tmp_path) == 3).sum() == 6


def test_crowds_lie_beneath_and_are_ignored(tmp_path: Path) -> None:
    crowd = np.zeros(SIZE, bool)
    crowd[:10] = True
    packed = oracle.encode(np.asfortranarray(crowd.astype(np.uint8)))["counts"].decode()
    things = [thing(3, box(0, 8, 5, 12)), thing(3, {"size": list(SIZE), "counts": packed}, iscrowd=1)]
    write(tmp_path, document(things))
    listing = listed(tmp_path)
    raw = read_record(listing.records[0])
    classes = decide_classes(DataConfig(root=str(tmp_path)), listing, {"a": raw.counts})
    labels = code_labels(classes, raw.values)[raw.codes]
    assert classes.names == ("background", "cat", "dog")
    assert (labels == IGNORE).sum() == 10 * 30 - 10
    assert (labels[8:12, :5] == 1).all()
    assert raw.claimed_twice == 0


def test_a_category_with_the_id_0_keeps_it(tmp_path: Path) -> None:
    write(tmp_path, document([thing(0, box(1, 1, 3, 3))], categories={0: "cat", 1: "dog"}))
    listing = listed(tmp_path)
    raw = read_record(listing.records[0])
    classes = decide_classes(DataConfig(root=str(tmp_path)), listing, {"a": raw.counts})
    assert classes.names == ("background", "cat", "dog")
    labels = code_labels(classes, raw.values)[raw.codes]
    assert ((labels == 1).sum(), (labels == 0).sum()) == (4, 596)


def test_a_category_that_only_groups_the_others_is_left_out_and_noted(tmp_path: Path) -> None:
    tree = document([thing(1, box(1, 1, 3, 3))], categories={0: "pets", 1: "cat"})
    for category in tree["categories"]:
        category["supercategory"] = "none" if category["id"] == 0 else "pets"
    write(tmp_path, tree)
    listing = listed(tmp_path)
    assert listing.classes == {"background": 0, "cat": 1}
    assert any("pets (id 0)" in note for note in listing.notes)
    tree["categories"][0]["supercategory"] = "pets"  # its own parent says nothing
    tree["categories"][1]["supercategory"] = "cat"
    write(tmp_path, tree)
    assert list(listed(tmp_path).classes or {}) == ["background", "pets", "cat"]


def test_a_category_named_background_is_it(tmp_path: Path) -> None:
    write(tmp_path, document([thing(7, box(1, 1, 3, 3))], categories={4: "background", 7: "cat"}))
    assert listed(tmp_path).classes == {"background": 4, "cat": 7}
    assert (values(tmp_path) == 4).sum() == 596


def test_images_without_annotations_are_background_and_counted(tmp_path: Path) -> None:
    write(tmp_path, document([thing(3, box(1, 1, 3, 3), 1)], count=3))
    listing = listed(tmp_path)
    assert any(note.startswith("2 images have no annotations") for note in listing.notes)
    assert (values(tmp_path, 0) == 0).all()


@pytest.mark.parametrize(
    ("name", "images", "split"),
    [
        ("annotations/instances_train2017.json", "train2017", "train"),
        ("annotations/instances_val2017.json", "images/val2017", "val"),
        ("train/_annotations.coco.json", "train", "train"),
        ("valid/_annotations.coco.json", "valid", "val"),
        ("train.json", "train/images", "train"),
        ("annotations/test.json", "images", "test"),
        ("annotations/instances_default.json", "images/default", None),
        ("labels.json", "data", None),
        ("coco.json", ".", None),
    ],
)
def test_layouts_people_have(tmp_path: Path, name: str, images: str, split: str | None) -> None:
    write(tmp_path, document([thing(3, box(1, 1, 3, 3))]), name, images)
    (tmp_path / "masks").mkdir()
    listing = listed(tmp_path)
    assert listing.reader == "coco"
    assert [(record.split, record.image) for record in listing.records] == [(split, tmp_path / images / "0.png")]


def test_a_split_takes_the_images_of_its_own_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write(tmp_path, document([thing(3, box(1, 1, 3, 3))]), f"annotations/{split}.json", f"images/{split}")
    assert {record.image.parent.name: record.split for record in listed(tmp_path).records} == {
        "train": "train",
        "val": "val",
    }


def test_one_file_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, document([thing(3, box(1, 1, 3, 3))]), "annotations/val.json")
    write(tmp_path, document([thing(3, box(1, 1, 3, 3))]), "annotations/all.json")
    with pytest.raises(DataError, match=r"images/0 \(all.json and val.json\)"):
        listed(tmp_path)
    assert [record.mask for record in listed(path).records] == [path]


def test_a_file_is_parsed_once(tmp_path: Path) -> None:
    path = write(tmp_path, document([thing(3, box(1, 1, 3, 3))], count=3))
    first = coco.parse(path)
    for place in range(3):
        values(tmp_path, place)
    assert coco.parse(path) is first
    write(tmp_path, document([thing(9, box(1, 1, 3, 3))], count=3))
    assert coco.parse(path) is not first
    assert (values(tmp_path) == 9).sum() == 4


def test_the_digest_is_of_an_images_own_annotations(tmp_path: Path) -> None:
    def digests(things: list[dict[str, Any]], **more: Any) -> list[str]:
        write(tmp_path, document(things, count=2, **more))
        return [read_record(record).hashes[1] for record in listed(tmp_path).records]

    one, two, other = thing(3, box(1, 1, 3, 3)), thing(9, box(5, 5, 9, 9)), thing(3, box(1, 1, 3, 4), 1)
    before = digests([one, two])
    assert digests([two, {**one, "id": 77, "area": 4.0}]) == before  # neither order nor what draws nothing
    assert digests([one, two, other])[0] == before[0]
    assert digests([one, two, other])[1] != before[1]
    assert digests([one, thing(9, box(5, 5, 9, 8))])[0] != before[0]
    assert digests([one, two], categories={3: "cat", 9: "cow"})[0] != before[0]


def test_outlines_without_area_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, document([thing(3, [[1, 1, 2, 2], *box(4, 4, 6, 6)])]))
    assert any(note.startswith("1 outlines of fewer than three points") for note in listed(tmp_path).notes)
    assert (values(tmp_path) == 3).sum() == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (thing(3, []), "have a box but no outline"),
        (thing(3, None), "have a box but no outline"),
        (thing(4, box(0, 0, 2, 2)), "have a category that is not listed"),
        (thing(3, box(0, 0, 2, 2), 5), "belong to an image that is not listed"),
        (thing(3, [[1, 2, 3]]), "no list of x, y"),
        (thing(3, [[1, 2, 3, 4, 5, float("nan")]]), "no list of x, y"),
        (thing(3, {"size": [20], "counts": [600]}), "without counts or size"),
        (thing(3, "words"), "neither outlines nor run lengths"),
    ],
)
def test_annotations_that_say_nothing_clear_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    write(tmp_path, document([thing(3, box(0, 0, 9, 9)), {**change, "id": 41}]))
    with pytest.raises(DataError, match=rf"{words}.*\(1: 41\)"):
        listed(tmp_path)


@pytest.mark.parametrize("counts", [[599], "0"])
def test_run_lengths_of_another_size_are_one_sentence(tmp_path: Path, counts: Any) -> None:
    write(tmp_path, document([thing(3, {"size": list(SIZE), "counts": counts})]))
    with pytest.raises(DataError, match=r"whole run lengths for 0\.png; the runs have"):
        values(tmp_path)
    write(tmp_path, document([thing(3, {"size": [30, 20], "counts": [600]})]))
    with pytest.raises(DataError, match="they are for 20x30 pixels, not 30x20"):
        values(tmp_path)


def test_other_mistakes_are_sentences(tmp_path: Path) -> None:
    tree = document([thing(3, box(0, 0, 2, 2))], count=3)
    path = write(tmp_path, tree)
    for name in ("0.png", "2.png"):
        (tmp_path / "images" / name).unlink()
    with pytest.raises(DataError, match=r"2 of 3 are missing from images/.*: 0\.png and 2\.png"):
        listed(tmp_path)
    write(tmp_path, {**tree, "images": [{**tree["images"][0], "width": 31}]})
    with pytest.raises(DataError, match="it tells 31x20; the image is 30x20"):
        values(tmp_path)
    path.write_text(json.dumps(tree)[:-40], encoding="utf-8")
    with pytest.raises(DataError, match="must be a whole, readable JSON file"):
        listed(path, reader="coco")
    write(tmp_path, {**tree, "categories": [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}]})
    with pytest.raises(DataError, match=r"dog \(id 3\) shares its name or id"):
        listed(tmp_path)
    write(tmp_path, {**tree, "images": [tree["images"][0], tree["images"][0]]})
    with pytest.raises(DataError, match="two images have the id 0"):
        listed(tmp_path)
    write(tmp_path, {**tree, "annotations": []})
    with pytest.raises(DataError, match="must hold annotations"):
        listed(tmp_path)


def test_categories_must_agree_between_files_and_with_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, document([thing(3, box(0, 0, 2, 2))]), "train.json", "train")
    write(tmp_path, document([thing(3, box(0, 0, 2, 2))], categories={3: "cow"}), "val.json", "val")
    with pytest.raises(DataError, match=r"3 is cat and, in val\.json, cow"):
        listed(tmp_path)
    (tmp_path / "val.json").unlink()
    with pytest.raises(DataError, match="cat is given 1, and the category cat has the id 3"):
        listed(tmp_path, classes=["background", "cat", "dog"])
    assert listed(tmp_path, classes={"background": 0, "cat": 3, "hound": 9}).reader == "coco"


def test_opening_tells_what_was_claimed_twice(tmp_path: Path) -> None:
    things = [thing(3, box(2, 2, 12, 12), index) for index in range(5)] + [
        thing(9, box(5, 5, 8, 8), index) for index in range(3)
    ]
    write(tmp_path, document(things, count=5))
    found = open_dataset(DataConfig(root=str(tmp_path)))
    assert (
        "27 pixels in 3 masks are claimed by objects of different classes: the smaller object has them"
        in found.dataset.notes
    )
    assert sum(item.class_pixels[1] for item in found.dataset.items) == 5 * 100 - 27
