"""Folds: the test stays the same, every other image is in val exactly once, groups and classes as in any split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from maskwright.config.data import DataConfig, SplitConfig
from maskwright.data.dataset import Item, Record
from maskwright.data.opening import open_dataset
from maskwright.data.record import data_document
from maskwright.data.splits import SplitAssignment, assign_splits
from maskwright.errors import DataError


def item(name: str, split: str | None = None, group: str | None = None, pixels: tuple[int, ...] = (50, 50)) -> Item:
    return Item(Record(name, Path(f"{name}.png"), Path(f"{name}_m.png"), split, group), 10, 10, "", "", pixels, 0)


def folds(found: list[Item], number: int, **options: object) -> list[SplitAssignment]:
    return [
        assign_splits(found, SplitConfig.model_validate({"folds": number, "fold": fold, **options}))
        for fold in range(number)
    ]


def names(dealt: SplitAssignment, split: str) -> set[str]:
    return {one.record.id for one in dealt.items if one.record.split == split}


def test_every_image_outside_the_test_is_in_val_once_and_the_test_stays() -> None:
    found = [item(f"image-{n}") for n in range(23)]
    dealt = folds(found, 4)
    assert {frozenset(names(one, "test")) for one in dealt} == {frozenset(names(dealt[0], "test"))}
    assert len(names(dealt[0], "test")) == 5  # a fifth of 23
    times = Counter(name for one in dealt for name in names(one, "val"))
    assert times == {one.record.id: 1 for one in found if one.record.id not in names(dealt[0], "test")}
    assert sorted(len(names(one, "val")) for one in dealt) == [4, 4, 5, 5]
    # and the same as without folds
    assert names(assign_splits(found, SplitConfig()), "test") == names(dealt[0], "test")
    assert names(assign_splits(found, SplitConfig(val=0.4)), "test") == names(dealt[0], "test")


def test_folds_keep_groups_whole_and_classes_alike() -> None:
    rng = np.random.default_rng(0)
    found = [
        item(f"image-{n}", group=f"p{n // 3}", pixels=(500, int(rng.integers(0, 100)) * (n % 5 == 0)))
        for n in range(90)
    ]
    total = sum(one.class_pixels[1] for one in found)
    for dealt in folds(found, 5, test=0):
        val = names(dealt, "val")
        assert len(val) == 18
        assert all(
            len({name in val for name in (f"image-{3 * group + k}" for k in range(3))}) == 1 for group in range(30)
        )
        assert 0.1 < sum(one.class_pixels[1] for one in found if one.record.id in val) / total < 0.3


def test_a_given_test_is_kept_and_a_given_val_dealt_anew() -> None:
    found = [item(f"image-{n}", "train") for n in range(8)] + [item("v1", "val"), item("v2", "val"), item("t1", "test")]
    dealt = folds(found, 5)
    assert all(names(one, "test") == {"t1"} for one in dealt)
    assert Counter(name for one in dealt for name in names(one, "val")) == {f"image-{n}": 1 for n in range(8)} | {
        "v1": 1,
        "v2": 1,
    }
    assert (
        dealt[3].split_info.reason
        == "test as the data set has it, train and val dealt into 5 folds with seed 0, val is fold 3"
    )


def test_what_has_no_effect_is_said() -> None:
    found = [item(f"image-{n}") for n in range(12)]
    assert assign_splits(found, SplitConfig(folds=3, val=0.4)).notes == (
        "data.split.val has no effect with data.split.folds: val is one of 3 folds",
    )
    assert assign_splits(found, SplitConfig(folds=3)).notes == ()
    assert assign_splits(found, SplitConfig(fold=2)).notes == (
        "data.split.fold has no effect without data.split.folds",
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [({"folds": 3, "fold": 3}, "fold must be below folds, 3; got 3"), ({"folds": 1}, "greater than or equal to 2")],
)
def test_folds_that_are_none_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SplitConfig.model_validate(options)
    SplitConfig(folds=2, val=0.9, test=0.5)  # val says nothing then, and cannot clash with test


def test_more_folds_than_groups_are_refused() -> None:
    found = [item(f"image-{n}", group=f"p{n // 4}") for n in range(16)]
    with pytest.raises(
        DataError, match=r"6 groups; got 4, for 5 folds and test\. .* --data\.split\.folds 3 or add groups\."
    ):
        assign_splits(found, SplitConfig(folds=5))
    assert len(folds(found, 4, test=0)) == 4


def test_a_class_in_fewer_images_than_folds_is_told() -> None:
    found = [item(f"image-{n}", pixels=(50, 9 * (n < 2))) for n in range(12)]
    notes = assign_splits(found, SplitConfig(folds=4, test=0), names=("ground", "crack")).notes
    assert any(
        note.startswith("crack is in 2 images only") and "of the 4 folds some cannot be scored on it" in note
        for note in notes
    )


def test_the_run_records_folds_and_fold(make_set) -> None:
    root = make_set(10)
    documents = []
    for fold in range(3):
        config = DataConfig.model_validate({"root": str(root), "split": {"folds": 3, "fold": fold, "seed": 4}})
        documents.append(data_document(open_dataset(config).dataset))
    assert [document["split"]["fold"] for document in documents] == [0, 1, 2]
    assert all(document["split"]["folds"] == 3 and document["split"]["seed"] == 4 for document in documents)
    vals = [entry["id"] for document in documents for entry in document["splits"]["val"]]
    tests = {entry["id"] for document in documents for entry in document["splits"]["test"]}
    assert sorted(vals) == sorted({f"images/{n:03d}" for n in range(10)} - tests) and len(tests) == 2
