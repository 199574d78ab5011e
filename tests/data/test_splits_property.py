"""Whatever the images, groups and shares: each image on one side, no group torn, the same seed the same split."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.config.data import SplitConfig
from maskwright.data.dataset import SPLITS, Item, Record
from maskwright.data.splits import SplitAssignment, assign_splits
from maskwright.errors import DataError

BOUNDED = settings(
    max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
IMAGES = st.lists(
    st.tuples(st.integers(0, 12) | st.none(), st.tuples(*[st.integers(0, 1000) | st.just(0)] * 3)),
    min_size=1,
    max_size=40,
)
SHARES = st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.45]), st.sampled_from([0.0, 0.1, 0.2, 0.45]))


def items_of(images: list[tuple[int | None, tuple[int, ...]]]) -> list[Item]:
    return [
        Item(
            Record(f"image-{n}", Path(), Path(), group=None if group is None else f"p{group}"), 9, 9, "", "", pixels, 0
        )
        for n, (group, pixels) in enumerate(images)
    ]


def splits_of(dealt: SplitAssignment) -> dict[str, str | None]:
    return {item.record.id: item.record.split for item in dealt.items}


@BOUNDED
@given(IMAGES, SHARES, st.integers(0, 9), st.booleans(), st.randoms(use_true_random=False))
def test_each_image_on_one_side_no_group_torn_and_all_by_the_seed(images, shares, seed, stratify, shuffler) -> None:
    items = items_of(images)
    config = SplitConfig(val=shares[0], test=shares[1], seed=seed, stratify=stratify)
    sides = {"train"} | {name for name, share in zip(("val", "test"), shares, strict=True) if share}
    groups = {item.record.group or item.record.id for item in items}
    if len(groups) < len(sides):
        with pytest.raises(DataError, match=f"at least {len(sides)} (groups|images); got {len(groups)}"):
            assign_splits(items, config)
        return
    dealt = assign_splits(items, config)
    splits = splits_of(dealt)
    assert [item.record.id for item in dealt.items] == [item.record.id for item in items]
    assert set(splits.values()) == sides <= set(SPLITS)
    places = defaultdict(set)
    for item in items:
        places[item.record.group or item.record.id].add(splits[item.record.id])
    assert all(len(found) == 1 for found in places.values())
    shuffled = list(items)
    shuffler.shuffle(shuffled)
    assert splits_of(assign_splits(shuffled, config)) == splits


@BOUNDED
@given(IMAGES, st.integers(2, 5), st.sampled_from([0.0, 0.2]), st.integers(0, 3))
def test_folds_part_all_that_is_not_test(images, folds, test, seed) -> None:
    items = items_of(images)
    if len({item.record.group or item.record.id for item in items}) < folds + (test > 0):
        return
    found = [
        splits_of(assign_splits(items, SplitConfig(folds=folds, fold=fold, test=test, seed=seed)))
        for fold in range(folds)
    ]
    for item in items:
        sides = [splits[item.record.id] for splits in found]
        assert sides == ["test"] * folds or (sides.count("val"), sides.count("train")) == (1, folds - 1)
    assert all("val" in splits.values() and "train" in splits.values() for splits in found)


@BOUNDED
@given(
    st.lists(st.lists(st.integers(0, 500), min_size=2, max_size=2), min_size=12, max_size=40),
    st.lists(st.sets(st.integers(0, 11), min_size=2, max_size=3), max_size=2),
    st.integers(0, 5),
)
def test_images_that_are_nearly_the_same_stay_together_and_counts_near(pixels, near, seed) -> None:
    """At most six of twelve images or more are tied, so that every side can have its share."""
    items = items_of([(None, tuple(found)) for found in pixels])
    dealt = assign_splits(items, SplitConfig(seed=seed), near=[sorted(alike) for alike in near])
    for alike in near:
        assert len({dealt.items[index].record.split for index in alike}) == 1
    sizes = [sum(item.record.split == split for item in dealt.items) for split in ("val", "test")]
    tied = max([0, *map(len, near)]) if not (len(near) == 2 and near[0] & near[1]) else len(near[0] | near[1])
    assert all(abs(size - 0.2 * len(items)) <= max(1, tied) for size in sizes)


@BOUNDED
@given(st.integers(3, 60), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 5))
def test_single_images_are_dealt_in_exactly_the_numbers_asked(num, val, test, seed) -> None:
    items = items_of([(None, (n * 7919 % 101, n % 3)) for n in range(num)])
    splits = list(splits_of(assign_splits(items, SplitConfig(val=val, test=test, seed=seed))).values())
    assert splits.count("test") == max(1, min(round(test * num), num - 2))
    assert splits.count("val") == max(1, min(round(val * num), num - splits.count("test") - 1))
