"""Pascal VOC: lists, palettes, void and names; what is missing or listed twice is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.layouts import VOC_NAMES, VOC_PALETTE, blocks, coded, make_voc, noise, save, voc_colour
from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, Listing, PartialListing
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.readers import list_records
from maskwright.data.readers.voc import NAMES, VOID_COLOUR
from maskwright.errors import DataError

FOUR = ("2007_000032", "2007_000039", "2007_000063", "2008_000002")


def read(root: Path, **options: object) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def opened(root: Path, **options: object) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), "split": {"group": None}, **options}))


def build(root: Path, num_classes: int = 21, names: tuple[str, ...] = FOUR, **lists: str) -> Path:
    """Palette masks of so many classes, with void; each list's names with commas between."""
    for index, name in enumerate(names):
        labels = blocks(index, num_classes, ignored=True)
        save(root / "JPEGImages" / f"{name}.jpg", noise(index, labels.shape))
        save(root / "SegmentationClass" / f"{name}.png", labels, VOC_PALETTE)
    for list_, text in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{list_}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in text.split(",") if name), encoding="utf-8")
    return root


def splits(listing: Listing) -> dict[str, str | None]:
    return {record.image.stem: record.split for record in listing.records}


def test_names_and_void_are_vocs() -> None:
    assert NAMES == VOC_NAMES
    assert len(NAMES) == 21
    assert voc_colour(1) == (128, 0, 0) and voc_colour(15) == (192, 128, 128) and voc_colour(20) == (0, 64, 128)
    assert voc_colour(255) == ((VOID_COLOUR >> 16) & 255, (VOID_COLOUR >> 8) & 255, VOID_COLOUR & 255)


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2012", "VOCdevkit/VOC2007", "VOC2012", "."])
def test_found_at_any_depth_people_unpack_it(place: str, tmp_path: Path) -> None:
    build(tmp_path / place, train=",".join(FOUR[:3]), val=FOUR[3])
    listing = read(tmp_path)
    assert listing.reader == "voc"
    assert (
        listing.reason
        == f"{'' if place == '.' else f'{place}/'}JPEGImages/ beside SegmentationClass/, by train.txt and val.txt"
    )
    assert len(listing.records) == 4
    assert opened(tmp_path).dataset.classes.names == VOC_NAMES


def test_two_years_are_a_question(tmp_path: Path) -> None:
    for year in ("2007", "2012"):
        build(tmp_path / "VOCdevkit" / f"VOC{year}")
    with pytest.raises(DataError, match=r"got VOCdevkit/VOC2007 and VOCdevkit/VOC2012\. Point --data at one of them"):
        read(tmp_path)


def test_palette_masks_are_read_by_index_and_255_is_void(tmp_path: Path) -> None:
    found = opened(build(tmp_path), ignore_index=None)
    for index, item in enumerate(found.dataset.items):
        truth = blocks(FOUR.index(item.record.image.stem), 21, ignored=True)
        assert (found.store.get(index)[1] == truth).all()
        assert item.ignored_pixels == (truth == IGNORE).sum() > 0


LISTS: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "train, val and their union": (
        {"train": ",".join(FOUR[:2]), "val": ",".join(FOUR[2:]), "trainval": ",".join(FOUR)},
        dict(zip(FOUR, ["train", "train", "val", "val"], strict=True)),
    ),
    "trainval alone": ({"trainval": ",".join(FOUR)}, dict.fromkeys(FOUR, "train")),
    "trainval and test": (
        {"trainval": ",".join(FOUR[:3]), "test": FOUR[3]},
        dict(zip(FOUR, ["train", "train", "train", "test"], strict=True)),
    ),
    "all four": (
        {"train": ",".join(FOUR[:2]), "val": FOUR[2], "trainval": ",".join(FOUR[:3]), "test": FOUR[3]},
        dict(zip(FOUR, ["train", "train", "val", "test"], strict=True)),
    ),
    "an empty test": (
        {"train": ",".join(FOUR[:3]), "val": FOUR[3], "test": ""},
        dict(zip(FOUR, ["train", "train", "train", "val"], strict=True)),
    ),
    "names with suffixes": ({"train": ",".join(f"{name}.jpg" for name in FOUR)}, dict.fromkeys(FOUR, "train")),
    "lists of other names": ({"default": ",".join(FOUR)}, dict.fromkeys(FOUR)),
    "no lists": ({}, dict.fromkeys(FOUR)),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_lists_give_the_splits(case: str, tmp_path: Path) -> None:
    lists, expected = LISTS[case]
    listing = read(build(tmp_path, **lists))
    assert splits(listing) == expected
    assert listing.notes == ()


def test_what_no_list_names_is_noted(tmp_path: Path) -> None:
    build(tmp_path, train=",".join(FOUR[:2]), trainval=",".join(FOUR[:3]))
    save(tmp_path / "JPEGImages" / "photo.jpg", noise(0, (8, 8)))
    (tmp_path / "SegmentationClass" / "a.npy").write_bytes(b"")
    assert read(tmp_path).notes == (
        "1 names in trainval.txt that no other list has were left aside: 2007_000063",
        "1 files that are no images were left aside: a.npy",
        "2 masks that belong to nothing were left aside: 2007_000063 and 2008_000002",
        "1 images that belong to nothing were left aside: photo",
    )


def test_without_lists_images_without_masks_are_noted_and_masks_without_images_refused(tmp_path: Path) -> None:
    build(tmp_path)
    save(tmp_path / "JPEGImages" / "photo.jpg", noise(0, (8, 8)))
    assert read(tmp_path).notes == ("1 images that belong to nothing were left aside: photo",)
    (tmp_path / "JPEGImages" / f"{FOUR[1]}.jpg").unlink()
    with pytest.raises(
        DataError, match=r"`SegmentationClass` must name files that are there; JPEGImages lacks 2007_000039\."
    ):
        read(tmp_path)


def test_listed_names_without_files_are_all_named(tmp_path: Path) -> None:
    build(tmp_path, train=f"{FOUR[0]},{FOUR[1]},ghost", val=f"{FOUR[2]},{FOUR[3]}")
    (tmp_path / "SegmentationClass" / f"{FOUR[1]}.png").unlink()
    (tmp_path / "JPEGImages" / f"{FOUR[3]}.jpg").unlink()
    with pytest.raises(PartialListing) as refused:
        read(tmp_path)
    told = str(refused.value)
    assert "`ImageSets/Segmentation/train.txt` must name files that are there; JPEGImages lacks ghost and " in told
    assert f" and SegmentationClass lacks {FOUR[1]} and ghost." in told
    assert f"`ImageSets/Segmentation/val.txt` must name files that are there; JPEGImages lacks {FOUR[3]}." in told
    assert splits(refused.value.listing) == {FOUR[0]: "train", FOUR[2]: "val"}


def test_a_test_whose_masks_are_kept_back_is_noted(tmp_path: Path) -> None:
    build(tmp_path, train=",".join(FOUR[:3]), test=FOUR[3])
    (tmp_path / "SegmentationClass" / f"{FOUR[3]}.png").unlink()
    listing = read(tmp_path)
    assert splits(listing) == dict.fromkeys(FOUR[:3], "train")
    assert listing.notes == ("test.txt names 1 images and none has a mask: they were left aside and cannot be scored",)
    (tmp_path / "JPEGImages" / f"{FOUR[3]}.jpg").unlink()
    with pytest.raises(DataError, match=r"test\.txt` must name files that are there; JPEGImages lacks 2008_000002"):
        read(tmp_path)


@pytest.mark.parametrize(("lists", "where"), [
    ({"train": "A,B", "val": "B,C"}, "in train.txt and val.txt"),
    ({"train": "A,C", "test": "B,A", "val": "B"}, "in test.txt and val.txt"),
    ({"train": "A,B,B", "val": "C"}, "twice in train.txt"),
    ({"trainval": "A,B,C", "val": "B"}, "in trainval.txt and val.txt"),
])  # fmt: skip
def test_a_name_in_two_lists_is_refused(lists: dict[str, str], where: str, tmp_path: Path) -> None:
    letters = dict(zip("ABC", FOUR[:3], strict=True))
    build(tmp_path, **{name: ",".join(letters[one] for one in text.split(",")) for name, text in lists.items()})
    with pytest.raises(PartialListing) as refused:
        read(tmp_path)
    assert f"`ImageSets/Segmentation` must list each name once; {letters['B']} is {where}." in str(refused.value)
    assert "listed-twice" in {gap.code for gap in refused.value.gaps}


def test_lists_that_are_no_splits_beside_those_that_are(tmp_path: Path) -> None:
    build(tmp_path, train=",".join(FOUR[:2]), animals=",".join(FOUR[2:]))
    with pytest.raises(DataError, match=r"or none of them; got animals\.txt too"):
        read(tmp_path)


def test_files_other_systems_strew_about_are_no_lists(tmp_path: Path) -> None:
    build(tmp_path, train=",".join(FOUR))
    (tmp_path / "ImageSets" / "Segmentation" / "._train.txt").write_bytes(b"\0\5\x16\7\xff")
    assert splits(read(tmp_path)) == dict.fromkeys(FOUR, "train")


def test_empty_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must list at least one name; its 2 lists are empty"):
        read(build(tmp_path, train="", val=""))


def test_own_data_in_vocs_folders_is_not_given_vocs_names(tmp_path: Path) -> None:
    """Three classes of one's own in VOC2007/ are no aeroplanes: neither values nor folder make them so."""
    own = build(tmp_path / "own" / "VOC2007", 3, ("a", "b", "c", "d"))
    assert opened(own.parent).dataset.classes.names == ("class_0", "class_1", "class_2")
    two = build(tmp_path / "two" / "VOC2007", 2)
    assert opened(two.parent).dataset.classes.names == ("background", "foreground")
    more = build(tmp_path / "more" / "VOC2007", 22)
    assert opened(more.parent).dataset.classes.names == tuple(f"class_{value}" for value in range(22))
    few = build(tmp_path / "few" / "VOC2007", 5, ("000032", "000039", "000063", "000068"))
    assert opened(few.parent).dataset.classes.names == VOC_NAMES
    assert opened(few.parent).dataset.classes.reason == "as in Pascal VOC"


def test_labelmap_of_names(tmp_path: Path) -> None:
    build(tmp_path, 3)
    (tmp_path / "labelmap.txt").write_text("# mine\nsky\n\nold tree\nroad\n", encoding="utf-8")
    assert opened(tmp_path).dataset.classes.names == ("sky", "old tree", "road")


def test_labelmap_of_colours(tmp_path: Path) -> None:
    """Whatever is found below VOCdevkit is VOC's; with colours in its labelmap it is read by these, and void is a
    colour too.
    """
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for index, name in enumerate(FOUR):
        labels = blocks(index, 3, ignored=True)
        save(base / "JPEGImages" / f"{name}.jpg", noise(index, labels.shape))
        save(
            base / "SegmentationClass" / f"{name}.png",
            coded(labels, {**{i: voc_colour(i) for i in range(3)}, IGNORE: voc_colour(255)}),
        )
    text = "background:0,0,0::\naeroplane:128,0,0::\nbicycle:0,128,0:wheel,saddle:\n"
    (base / "labelmap.txt").write_text(text, encoding="utf-8")
    found = opened(tmp_path)
    assert found.dataset.reader == "voc"
    assert found.dataset.classes.names == ("background", "aeroplane", "bicycle")
    for index, item in enumerate(found.dataset.items):
        assert (found.store.get(index)[1] == blocks(FOUR.index(item.record.image.stem), 3, ignored=True)).all()


@pytest.mark.parametrize(("text", "words"), [
    ("", r"labelmap\.txt` must name the classes; it names none"),
    ("sky\nroad:0,0\n", "a colour on every line, or on none; got 'road:0,0' on line 2"),
    ("sky\nroad:1,2,3::\n", "got 'sky' on line 1"),
    ("sky:::\nroad:::\n", "got 'sky:::' on line 1"),
    ("sky\nroad\nsky\n", "must name each class once; 'sky' stands again on line 3"),
    ("sky:0,0,0::\nroad:0,0,300::\n", "three numbers from 0 to 255; got 0,0,300 on line 2"),
])  # fmt: skip
def test_labelmaps_that_are_wrong_are_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    build(tmp_path, 3)
    (tmp_path / "labelmap.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read(tmp_path, reader="voc")


def test_colour_masks_without_a_labelmap_are_refused(tmp_path: Path) -> None:
    build(tmp_path, 3)
    save(
        tmp_path / "SegmentationClass" / f"{FOUR[0]}.png",
        np.random.default_rng(0).integers(0, 9, (12, 16, 3), np.uint8),
    )
    with pytest.raises(DataError, match="one value a pixel; got a colour picture"):
        opened(tmp_path)


def test_without_folders_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="JPEGImages/ beside one SegmentationClass/ for reader voc; got no such folders"
    ):
        read(tmp_path, reader="voc")
    for name in ("JPEGImages", "SegmentationClass"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="JPEGImages` must hold at least one image file"):
        read(tmp_path)


def test_recognised_beside_cvats(tmp_path: Path) -> None:
    make_voc(tmp_path)
    assert read(tmp_path).reader == "voc"
