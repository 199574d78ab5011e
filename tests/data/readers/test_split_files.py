"""Splits in files beside the images: read where they name the images, said to lie unread where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.dataset import SPLITS, Listing
from maskwright.data.readers import list_records

TRUTH = {"a1": "train", "b 2": "train", "c3": "train", "d4": "val", "e5": "test"}


def listed(root: Path, **options: str) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five images, two of them in a sub-folder, and their masks."""
    for name in TRUTH:
        for folder, suffix in (("images", "jpg"), ("masks", "png")):
            path = tmp_path / "set" / folder / ("more" if name > "d" else "") / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path / "set"


def of(split: str) -> list[str]:
    return [name for name, one in TRUTH.items() if one == split]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


LISTS = {
    "names": {f"{split}.txt": "\n".join(of(split)) for split in ("train", "val", "test")},
    "names of files, a remark, Windows": {
        f"{split}_list.txt": "# names\r\n" + "\r\n".join(f"{n}.jpg" for n in of(split)) for split in SPLITS
    },
    "paths of another machine, and of masks": {
        f"lists/{split}.txt": "\n".join(
            f"/SegNet/images/{n}.jpg /SegNet/masks/{n}.png" for n in of(split) if " " not in n
        )
        + ("\nb 2.jpg" if split == "train" else "") for split in ("train", "val", "test")
    },
    "ImageSets": {f"ImageSets/Segmentation/{split}.txt": "\n".join(of(split)) for split in ("train", "val", "test")}
    | {"ImageSets/Segmentation/trainval.txt": "\n".join([*of("train"), *of("val")])},
    "a table": {"split.csv": "Filename;Set\n" + "\n".join(f"{name}.jpg;{split}" for name, split in TRUTH.items())},
    "a table a split": {f"{split}.csv": "image\n" + "\n".join(of(split)) for split in ("train", "val", "test")},
    "json": {"splits.json": str({split: of(split) for split in ("train", "val", "test")}).replace("'", '"')},
    "a json a split": {f"{split}.json": str(of(split)).replace("'", '"') for split in ("train", "val", "test")},
    "all but the training": {f"{split}.txt": "\n".join(of(split)) for split in ("valid", "val", "test") if of(split)},
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_lists_are_read_where_every_name_is_that_of_an_image(case: str, root: Path) -> None:
    write(root, LISTS[case])
    for options in ({}, {"images": "images", "masks": "masks"}):
        listing = listed(root, **options)
        assert {record.image.stem: record.split for record in listing.records} == TRUTH
        assert "split by" in listing.reason and not [note for note in listing.notes if "unread" in note]


def test_naming_the_folders_keeps_the_split_of_the_pairs(root: Path) -> None:
    rows = [f"images/{'more/' if name > 'd' else ''}{name}.jpg,masks/{'more/' if name > 'd' else ''}{name}.png,{split}"
            for name, split in TRUTH.items()]  # fmt: skip
    write(root, {"pairs.csv": "\n".join(["image,mask,split", *rows])})
    by_csv, named = listed(root), listed(root, images="images", masks="masks")
    assert (by_csv.reader, named.reader) == ("csv", "folders")
    for listing in (by_csv, named):
        assert {record.image.stem: record.split for record in listing.records} == TRUTH
    write(root, {"pairs.csv": "\n".join(["image,mask", *(row.rpartition(",")[0] for row in rows)])})
    assert listed(root, images="images", masks="masks").notes == ()


UNREAD = {
    "a name that is no image's": ({"train.txt": "a1\nzz", "val.txt": "d4"},
                                  "train.txt and val.txt lie unread: 1 of its names"),
    "a name twice": ({"train.txt": "a1\nc3", "val.txt": "c3"}, "c3 is in train and in val"),
    "folds": ({"splits_final.json": '[{"train": ["a1"], "val": ["c3"]}]'},
              "splits_final.json lies unread: it holds no list"),
    "broken": ({"train.json": "["}, "train.json lies unread"),
    "of different minds": (
        {"one/train.txt": "a1", "one/val.txt": "c3", "two/train.txt": "c3", "two/val.txt": "a1"},
        "they tell different splits"
    ),
    "no names": ({"train.csv": "id,pixels\n1,2\n"}, "train.csv lies unread: `"),
    "test alone": ({"test.txt": "\n".join(TRUTH)}, "test.txt lies unread: it leaves no image to train on"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_what_is_unclear_lies_unread_and_is_said(case: str, root: Path) -> None:
    files, words = UNREAD[case]
    write(root, files)
    listing = listed(root)
    assert {record.split for record in listing.records} == {None} and len(listing.records) == len(TRUTH)
    (note,) = listing.notes
    assert words in note


def test_images_that_no_list_names_are_left_aside_and_said(root: Path) -> None:
    write(root, {"train.txt": "a1\nc3", "val.txt": "d4", "test.txt": "not_given_away"})
    listing = listed(root)
    assert {record.image.stem: record.split for record in listing.records} == {
        "a1": "train",
        "c3": "train",
        "d4": "val",
    }
    assert listing.notes == ("2 images that no list names were left aside: images/b 2 and images/more/e5",)


def test_folders_that_tell_the_split_go_before_lists(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        for folder in ("images", "masks"):
            (tmp_path / split / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / split / folder / f"{name}.png").touch()
    write(tmp_path, {"train.txt": "a\nb", "val.txt": "c"})
    assert listed(tmp_path).notes == ()
    write(tmp_path, {"train.txt": "a", "val.txt": "b\nc"})
    listing = listed(tmp_path)
    assert {record.image.stem: record.split for record in listing.records} == {"a": "train", "b": "train", "c": "val"}
    assert listing.notes == ("train.txt and val.txt tell other splits than those that are read, and lie unread",)


def test_text_that_is_no_list_of_splits_is_nobodys_business(root: Path) -> None:
    write(root, {"README.txt": "train", "classes.txt": "sky", "labels/train_classes.txt": "sky", "dataset.json": "{}"})
    assert listed(root).notes == ()
