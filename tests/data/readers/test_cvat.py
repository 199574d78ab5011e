"""CVAT's "Segmentation mask 1.1": labels by colour, images where people put them, lists of any name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.layouts import Expected, blocks, make_cvat, noise, save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.readers import list_records
from maskwright.errors import DataError


def read(root: Path, **options: object) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def opened(root: Path, **options: object) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), "split": {"group": None}, **options}))


@pytest.fixture
def made(tmp_path: Path) -> Expected:
    return make_cvat(tmp_path)


def labelmap(root: Path, *lines: str) -> None:
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


LINES = ("apple:250,50,83::", "background:0,0,0::", "leaf:51,221,255::")


@pytest.mark.parametrize("header", [
    ("# label:color_rgb:parts:actions",), ("# label : color (RGB) : 'body' parts : actions",), (), ("", "# exported"),
])  # fmt: skip
def test_any_labelmap_with_colours_is_cvats(header: tuple[str, ...], made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, *header, *LINES)
    listing = read(tmp_path)
    assert listing.reader == "cvat"
    assert listing.classes == {"background": 0x000000, "apple": 0xFA3253, "leaf": 0x33DDFF}
    assert listing.colours
    assert opened(tmp_path).dataset.classes.names == made.classes


def test_without_colours_it_is_vocs(made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, "apple", "background", "leaf")
    assert read(tmp_path).reader == "voc"
    with pytest.raises(
        DataError, match=r"labelmap\.txt` must give each class a colour for reader cvat; it holds names alone"
    ):
        read(tmp_path, reader="cvat")
    (tmp_path / "labelmap.txt").unlink()
    assert read(tmp_path).reader == "voc"
    with pytest.raises(DataError, match=r"must hold labelmap\.txt and SegmentationClass/ for reader cvat"):
        read(tmp_path, reader="cvat")


def test_a_header_alone_is_cvats_and_says_what_it_lacks(made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, "# label:color_rgb:parts:actions")
    with pytest.raises(DataError, match=r"labelmap\.txt` must name the classes"):
        read(tmp_path)


def test_labels_with_colons_spaces_and_parts(made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, "fruit: apple:250,50,83:core,skin:", "background:0,0,0::", "a leaf , dry : 51, 221, 255 : :")
    assert opened(tmp_path).dataset.classes.names == ("background", "fruit: apple", "a leaf , dry")


def test_two_labels_of_one_colour_are_refused(made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, *LINES, "pear:250,50,83::")
    with pytest.raises(DataError, match=r"`labelmap\.txt` must give each class its own value; #fa3253 stands twice"):
        opened(tmp_path)


def test_a_colour_no_label_has_is_refused(made: Expected, tmp_path: Path) -> None:
    labelmap(tmp_path, *LINES[:2])
    with pytest.raises(DataError, match=r"5 masks hold others.*#33ddff"):
        opened(tmp_path)


@pytest.mark.parametrize("name", ["images", "Images", "img"])
def test_images_beside_under_another_name(name: str, made: Expected, tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").rename(tmp_path / name)
    listing = read(tmp_path)
    assert listing.reader == "cvat"
    assert {record.image.parent.name for record in listing.records} == {name}
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"must hold one folder of images; got .*Put the images into JPEGImages/"):
        read(tmp_path)


@pytest.mark.parametrize("lists", [True, False])
def test_without_images_it_says_where_to_put_them(lists: bool, made: Expected, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "JPEGImages")
    if not lists:
        shutil.rmtree(tmp_path / "ImageSets")
    with pytest.raises(DataError) as refused:
        read(tmp_path)
    told = str(refused.value)
    assert told.startswith(f"`{tmp_path / 'JPEGImages'}` must hold the images; it is not there")
    assert "under the same names (frame 000000, frame 000001, frame 000002 and 2 more)" in told
    assert "or export again with “Save images”" in told


def test_subsets_are_splits(made: Expected, tmp_path: Path) -> None:
    lists = tmp_path / "ImageSets" / "Segmentation"
    (lists / "default.txt").unlink()
    names = [Path(name).name for name in made.labels]
    for subset, chosen in {"Train": names[:3], "Validation": names[3:4], "Test": names[4:]}.items():
        (lists / f"{subset}.txt").write_text("\n".join(chosen), encoding="utf-8")
    assert [record.split for record in read(tmp_path).records].count("train") == 3
    assert opened(tmp_path).dataset.sizes() == {"train": 3, "val": 1, "test": 1}
    (lists / "default.txt").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"got default\.txt too"):
        read(tmp_path)


def test_frames_in_subfolders(made: Expected, tmp_path: Path) -> None:
    for folder, suffix in (("JPEGImages", "png"), ("SegmentationClass", "png")):
        for place in ("day 1", "day 2"):
            (tmp_path / folder / place).mkdir()
            shutil.copy(tmp_path / folder / f"frame 000000.{suffix}", tmp_path / folder / place / f"a.{suffix}")
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text(
        "day 1/a\nday 2/a\nframe 000003\n", encoding="utf-8"
    )
    listing = read(tmp_path)
    assert {record.id for record in listing.records} == {
        "JPEGImages/day 1/a",
        "JPEGImages/day 2/a",
        "JPEGImages/frame 000003",
    }
    assert any(note.startswith("4 masks that belong to nothing were left aside") for note in listing.notes)


def test_instances_are_left_alone(made: Expected, tmp_path: Path) -> None:
    """SegmentationObject/ holds one colour an object: reading it as classes would be wrong, and it need not be
    there.
    """
    masks = {record.mask.parent.name for record in read(tmp_path).records}
    assert masks == {"SegmentationClass"}
    shutil.rmtree(tmp_path / "SegmentationObject")
    assert len(read(tmp_path).records) == 5


def test_a_palette_is_read_by_its_colours(tmp_path: Path, made: Expected) -> None:
    colours = [0, 0, 0, 51, 221, 255, 250, 50, 83]  # index 1 is leaf, index 2 apple: not the labels' order
    labels = blocks(0, 3)
    swapped = labels.copy()
    swapped[labels == 1], swapped[labels == 2] = 2, 1
    save(tmp_path / "SegmentationClass" / "frame 000000.png", swapped, colours)
    save(tmp_path / "JPEGImages" / "frame 000000.png", noise(0, labels.shape))
    found = opened(tmp_path)
    place = [item.record.image.stem for item in found.dataset.items].index("frame 000000")
    assert (found.store.get(place)[1] == labels).all()
