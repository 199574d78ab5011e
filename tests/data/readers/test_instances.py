"""Instance masks, one picture each: three layouts, their union, overlaps, and what they must not be taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.layouts import save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.opening import open_dataset
from maskwright.data.raw import read_record
from maskwright.data.readers import list_records
from maskwright.errors import DataError

SIZE = (12, 16)


def image(path: Path) -> Path:
    return save(path, np.zeros((*SIZE, 3), np.uint8))


def instance(path: Path, part: Any, value: int = 255) -> Path:
    mask = np.zeros(SIZE, np.uint8)
    mask[part] = value
    return save(path, mask)


ONE, TWO = np.s_[1:4, 1:4], np.s_[3:6, 3:7]  # they share one pixel
UNION = 9 + 12 - 1


def bowl(root: Path) -> None:
    """ID/images with ID/masks, as the data science bowl has it."""
    for name in ("a1", "b2", "c3", "d4"):
        image(root / name / "images" / f"{name}.png")
        instance(root / name / "masks" / f"{name}x.png", ONE)
        instance(root / name / "masks" / f"{name}y.png", TWO)


def nested(root: Path) -> None:
    """masks/NAME/."""
    for name in ("a1", "b2", "c3", "d4"):
        image(root / "images" / f"{name}.png")
        instance(root / "masks" / name / "0.png", ONE, 1)
        instance(root / "masks" / name / "1.png", TWO, 7)
    instance(root / "masks" / "d4" / "2.png", np.s_[1:2, 1:2])


def numbered(root: Path) -> None:
    """masks/NAME_0.png, NAME_1.png, …"""
    for name in ("a_1", "b_2", "c_3", "a_11"):
        image(root / "images" / f"{name}.png")
        instance(root / "masks" / f"{name}_0.png", ONE)
        instance(root / "masks" / f"{name}_1.png", TWO)
    instance(root / "masks" / "c_3_2.png", np.s_[:0])


def listed(root: Path, **options: Any) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


@pytest.mark.parametrize(("make", "told"), [(bowl, "ID/images"), (nested, "masks/NAME/"), (numbered, "masks/NAME_0")])
def test_layouts(make: Any, told: str, tmp_path: Path) -> None:
    make(tmp_path)
    found = open_dataset(DataConfig(root=str(tmp_path)))
    assert found.dataset.reader == "instances" and told in found.dataset.reason
    assert found.dataset.classes.names == ("background", "foreground")
    for index, item in enumerate(found.dataset.items):
        assert item.class_pixels == (12 * 16 - UNION, UNION)
        mask = found.store.get(index)[1]
        assert mask[ONE].all() and mask[TWO].all()
    pixels = 5 if make is nested else 4
    assert f"{pixels} pixels in 4 masks are claimed by several instances: they are foreground" in found.dataset.notes


def test_the_same_masks_for_every_image_may_be_classes(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        image(tmp_path / "images" / f"{name}.png")
        instance(tmp_path / "masks" / name / "cat.png", ONE)
        instance(tmp_path / "masks" / name / "dog.png", TWO)
    with pytest.raises(
        DataError, match=r"each of the 3 images has the same masks \(cat and dog\).*--data\.reader instances"
    ):
        listed(tmp_path)
    assert len(listed(tmp_path, reader="instances").records) == 3


def test_splits_of_each_layout(tmp_path: Path) -> None:
    bowl(tmp_path / "bowl" / "stage1_train")
    image(tmp_path / "bowl" / "stage1_test" / "e5" / "images" / "e5.png")
    listing = listed(tmp_path / "bowl")
    assert {record.split for record in listing.records} == {"train"} and len(listing.records) == 4
    assert listing.notes == ("1 images have no folder of masks and were left aside: e5",)
    for split in ("train", "val"):
        nested(tmp_path / "nested" / split)
    assert {record.split for record in listed(tmp_path / "nested").records} == {"train", "val"}


def test_folders_may_be_named(tmp_path: Path) -> None:
    nested(tmp_path)
    (tmp_path / "images").rename(tmp_path / "scans")
    (tmp_path / "masks").rename(tmp_path / "cells")
    assert len(listed(tmp_path, images="scans", masks="cells").records) == 4


def test_one_mask_an_image_is_for_other_readers(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        image(tmp_path / "images" / f"{name}.png")
        instance(tmp_path / "masks" / f"{name}_1.png", ONE)
    assert listed(tmp_path).reader == "folders"
    for split in ("train", "val"):
        image(tmp_path / "outer" / split / "images" / "1.png")
        instance(tmp_path / "outer" / split / "masks" / "1.png", ONE)
    assert listed(tmp_path / "outer").reader == "folders"


def test_an_image_without_instances_is_background_and_noted(tmp_path: Path) -> None:
    numbered(tmp_path)
    image(tmp_path / "images" / "e_5.png")
    listing = listed(tmp_path)
    assert any("1 images have no instance" in note for note in listing.notes)
    assert read_record(listing.records[-1]).counts == {0: 12 * 16}


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    nested(tmp_path / "n")
    image(tmp_path / "n" / "images" / "e5.png")
    with pytest.raises(
        DataError, match="a folder of masks for each image; 1 images or folders of masks have no partner: e5"
    ):
        listed(tmp_path / "n")
    bowl(tmp_path / "b")
    image(tmp_path / "b" / "e5" / "images" / "e5.png")
    image(tmp_path / "b" / "a1" / "images" / "second.png")
    with pytest.raises(DataError, match=r"2 do not: a1 \(2 images\) and e5 \(no folder of masks\)"):
        listed(tmp_path / "b")


def test_masks_that_hold_more_than_one_instance_are_refused(tmp_path: Path) -> None:
    nested(tmp_path)
    mask = np.zeros(SIZE, np.uint8)
    mask[ONE], mask[TWO] = 1, 2
    save(tmp_path / "masks" / "a1" / "2.png", mask)
    with pytest.raises(DataError, match=r"2\.png` must hold one instance, as 0 and one other value; got 0, 1 and 2"):
        read_record(listed(tmp_path).records[0])
    save(tmp_path / "masks" / "a1" / "2.png", np.zeros((12, 15), np.uint8))
    with pytest.raises(DataError, match="image and mask are 16x12 and 15x12"):
        read_record(listed(tmp_path).records[0])


def test_the_digest_is_of_every_instance(tmp_path: Path) -> None:
    numbered(tmp_path)

    def digests() -> list[str]:
        return [read_record(record).hashes[1] for record in listed(tmp_path).records]

    before = digests()
    added = instance(tmp_path / "masks" / "a_1_2.png", np.s_[8:9, 8:9])
    after = digests()
    assert after[0] != before[0] and after[1:] == before[1:]
    added.unlink()
    assert digests() == before
