"""SplitInfo splits: seeded, whole groups, the shares asked for, classes alike on every side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from maskwright.config.data import SplitConfig
from maskwright.data import grouping
from maskwright.data.dataset import Item, Record
from maskwright.data.grouping import groups_of
from maskwright.data.splits import assign_splits
from maskwright.errors import DataError


def item(name: str, split: str | None = None, group: str | None = None, pixels: tuple[int, ...] = (50, 50)) -> Item:
    return Item(Record(name, Path(f"{name}.png"), Path(f"{name}_m.png"), split, group), 10, 10, "", "", pixels, 0)


def items(count: int) -> list[Item]:
    return [item(f"image-{index}") for index in range(count)]


def deal(found: Sequence[Item], **options: object) -> dict[str, str]:
    dealt = assign_splits(found, SplitConfig.model_validate(options)).items
    assert [one.record.id for one in dealt] == [one.record.id for one in found]
    return {one.record.id: str(one.record.split) for one in dealt}


def sizes(splits: dict[str, str]) -> dict[str, int]:
    return {name: list(splits.values()).count(name) for name in ("train", "val", "test")}


def test_shares_are_kept() -> None:
    assert sizes(deal(items(20))) == {"train": 12, "val": 4, "test": 4}
    assert sizes(deal(items(18), val=0.22, test=0.22)) == {"train": 10, "val": 4, "test": 4}
    assert sizes(deal(items(10), val=0.3, test=0)) == {"train": 7, "val": 3, "test": 0}
    assert sizes(deal(items(4), val=0.01, test=0.01)) == {"train": 2, "val": 1, "test": 1}  # asked for is never none


@pytest.mark.parametrize("stratify", [True, False])
def test_the_same_seed_and_files_give_the_same_split(stratify: bool) -> None:
    found = [item(f"image-{n}", pixels=(n, 100 - n)) for n in range(20)]
    first = deal(found, seed=3, stratify=stratify)
    assert deal(found[::-1], seed=3, stratify=stratify) == first  # in whatever order the files are listed
    assert deal(found, seed=4, stratify=stratify) != first


def test_groups_of_the_listing_stay_whole() -> None:
    found = [item(f"image-{n}", group=f"patient-{n // 4}") for n in range(40)]
    splits = deal(found)
    assert all(len({splits[f"image-{n}"] for n in range(4 * group, 4 * group + 4)}) == 1 for group in range(10))
    assert sizes(splits) == {"train": 24, "val": 8, "test": 8}


@pytest.mark.parametrize("pattern", [r"scene(\d+)", r"scene\d+", r"^(a|b)?_?scene(\d+)"])
def test_groups_by_a_pattern_stay_whole(pattern: str) -> None:
    found = [item(f"scene{n // 3}_frame{n}") for n in range(30)]
    splits = deal(found, group=pattern)
    for scene in range(10):
        assert len({split for name, split in splits.items() if name.startswith(f"scene{scene}_")}) == 1


def test_the_pattern_overrules_the_group_column_and_its_brackets_say_what_counts() -> None:
    records = [Record("s7_cam2", Path(), Path(), group="other"), Record("s8_cam\udc80", Path(), Path())]
    assert groups_of(records, None) == ("other", "s8_cam\udc80")
    assert groups_of(records, r"s\d+") == ("s7", "s8")
    assert groups_of(records, r"s(\d+)_cam(.)") == ("7|2", "8|\udc80")


def test_a_pattern_must_find_something_and_be_one() -> None:
    with pytest.raises(DataError, match="finds nothing in 'image-0'"):
        deal(items(9), group="scene")
    for pattern in ("(", "a{99999999999}", "(" * 500):
        with pytest.raises(DataError, match="must be a regular expression"):
            deal(items(9), group=pattern)


def test_a_pattern_that_tries_every_way_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "_PATIENCE", 0.5)
    with pytest.raises(
        DataError, match=r"'\(\?:a\+\)\+\$' was still searching 9 names after .* such as \(a\+\)\+, tries"
    ):
        deal([item(f"{'a' * 60}{n}") for n in range(9)], group="(?:a+)+$")


def test_splits_of_the_data_set_are_kept() -> None:
    found = [item("a", "train"), item("b", "val"), item("c", "test")]
    dealt = assign_splits(found, SplitConfig())
    assert [one.record.split for one in dealt.items] == ["train", "val", "test"]
    assert dealt.split_info.reason == "as the data set has it"


def test_val_is_dealt_from_train_where_test_is_given() -> None:
    found = [*(item(f"image-{n}", "train") for n in range(10)), item("t1", "test"), item("t2", "test")]
    splits = deal(found)
    assert sizes(splits) == {"train": 8, "val": 2, "test": 2}
    assert splits["t1"] == splits["t2"] == "test"
    assert sizes(deal(found, val=0)) == {"train": 10, "val": 0, "test": 2}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (items(2), "at least 3 images; got 2"),
        ([item("a", group="x"), item("b", group="x"), item("c", group="x")], "at least 3 groups; got 1"),
        ([item("a", "train"), item("b", "test")], "at least 2 images; got 1"),
        ([item("a", "train"), item("b")], "for all images or for none"),
        ([item("a", "val"), item("b", "test")], "must have images in train; it has only test, val"),
    ],
)
def test_too_little_to_split_is_refused(found: list[Item], words: str) -> None:
    with pytest.raises(DataError, match=words):
        deal(found)


def imbalance(found: Sequence[Item], splits: dict[str, str]) -> float:
    """Mean distance of each side's class shares from those of all."""
    pixels = np.array([one.class_pixels for one in found], float)
    overall = pixels.sum(0) / pixels.sum()
    sides = [np.array([splits[one.record.id] == name for one in found]) for name in ("train", "val", "test")]
    return float(np.mean([np.abs(pixels[side].sum(0) / pixels[side].sum() - overall).sum() for side in sides]))


def test_stratified_splits_are_more_alike_than_random_ones() -> None:
    """A class in two of thirty images, another in a quarter of them, grouped by threes."""
    rng = np.random.default_rng(0)
    shares = [(900, int(rng.integers(0, 300)) * (n % 4 == 0), 80 * (n in (3, 20))) for n in range(30)]
    found = [item(f"image-{n}", group=str(n // 3), pixels=pixels) for n, pixels in enumerate(shares)]
    random = [imbalance(found, deal(found, seed=seed, stratify=False)) for seed in range(20)]
    stratified = [imbalance(found, deal(found, seed=seed)) for seed in range(5)]
    assert max(stratified) < np.mean(random)
    assert np.mean(stratified) < 0.5 * np.mean(random)


def test_images_without_any_labelled_pixel_can_be_dealt() -> None:
    assert sizes(deal([item(f"image-{n}", pixels=(0, 0)) for n in range(10)])) == {"train": 6, "val": 2, "test": 2}
