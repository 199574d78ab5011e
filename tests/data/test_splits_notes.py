"""What a split tells of itself: guessed groups, near-duplicates, scarce classes, uneven sides, options without
effect.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from maskwright.config.data import SplitConfig
from maskwright.data.dataset import Item, Record
from maskwright.data.splits import SplitAssignment, assign_splits
from maskwright.errors import DataError


def item(name: str, split: str | None = None, group: str | None = None, pixels: tuple[int, ...] = (50, 50)) -> Item:
    return Item(Record(name, Path(f"{name}.png"), Path(f"{name}_m.png"), split, group), 10, 10, "", "", pixels, 0)


def deal(
    found: list[Item], near: list[list[int]] | None = None, names: tuple[str, ...] = ("ground", "crack"), **options
) -> SplitAssignment:
    return assign_splits(found, SplitConfig.model_validate(options), near or [], names)


def side(dealt: SplitAssignment, index: int) -> str | None:
    return dealt.items[index].record.split


VIDEOS = [item(f"images/vid{v:02d}_f{n:04d}") for v in range(10) for n in range(4)]
PLAIN = [item(f"image-{n}") for n in range(30)]


def test_guessed_groups_are_kept_whole_and_told() -> None:
    dealt = deal(VIDEOS)
    assert all(len({side(dealt, 4 * v + n) for n in range(4)}) == 1 for v in range(10))
    assert dealt.split_info.reason == "dealt with seed 0, 10 groups, by the file names"
    assert len(dealt.notes) == 1
    assert dealt.notes[0].startswith("groups were guessed from names such as 'images/vid00_f0000'")
    assert dealt.notes[0].endswith("; if they are none, say --data.split.group '.+'")
    assert dealt.split_info.group is not None and "vid" in dealt.split_info.group
    again = deal(VIDEOS, group=dealt.split_info.group)  # what was guessed can be written down
    assert [one.record.split for one in again.items] == [one.record.split for one in dealt.items]
    assert again.notes == ()


def test_with_null_images_are_dealt_one_by_one() -> None:
    dealt = deal(VIDEOS, group=None)
    assert dealt.notes == () and dealt.split_info.reason == "dealt with seed 0"
    assert any(len({side(dealt, 4 * v + n) for n in range(4)}) > 1 for v in range(10))


def test_groups_the_data_set_names_go_before_its_names() -> None:
    found = [item(f"vid{v:02d}_f{n}", group=f"camera{n}") for v in range(10) for n in range(5)]
    dealt = deal(found)
    assert all(len({side(dealt, 5 * v + n) for v in range(10)}) == 1 for n in range(5))
    assert dealt.split_info.reason == "dealt with seed 0, 5 groups" and dealt.split_info.group is None


def test_weak_hints_are_told_and_not_followed() -> None:
    found = [item(f"IMG_202001{day:02d}_{n:03d}") for day in range(1, 9) for n in range(5)]
    dealt = deal(found)
    assert dealt.split_info.reason == "dealt with seed 0"
    assert len(dealt.notes) == 1 and "hold a date that several share" in dealt.notes[0]
    assert "; to keep them whole, say --data.split.group '" in dealt.notes[0]


def test_too_few_guessed_groups_are_torn_with_a_warning() -> None:
    dealt = deal([item(f"vid{v}_f{n:02d}") for v in range(2) for n in range(20)])
    assert dealt.split_info.reason == "dealt with seed 0"
    assert sum(one.record.split == "val" for one in dealt.items) == 8
    assert len(dealt.notes) == 1 and "so they were torn apart: scores on val and test will be better" in dealt.notes[0]


def test_near_duplicates_stay_together_and_are_counted() -> None:
    near = [[0, 11, 22], [5, 6]]
    for seed in range(10):
        dealt = deal(PLAIN, near, seed=seed)
        assert side(dealt, 0) == side(dealt, 11) == side(dealt, 22)
        assert side(dealt, 5) == side(dealt, 6)
        told = "5 images were kept together because they are nearly the same (image-0, image-11 and image-22)"
        assert dealt.notes == (told,)
        assert dealt.items[11].record.group == dealt.items[0].record.group == "image-0"
        assert dealt.items[7].record.group is None


def test_near_duplicates_join_groups_too() -> None:
    dealt = deal(VIDEOS, [[3, 4]])  # the last frame of the first video and the first of the second
    assert len({side(dealt, index) for index in range(8)}) == 1
    assert any(note.startswith("2 images were kept together") for note in dealt.notes)
    inside = deal(VIDEOS, [[0, 1]])  # one video holds both: nothing to tell
    assert not any("nearly the same" in note for note in inside.notes)
    by_pattern = deal(VIDEOS, [[3, 4]], group=r"vid\d+")
    assert len({side(by_pattern, index) for index in range(8)}) == 1


EXPOSED = [item(f"images/exp{e}_num_{10 * tile + e}") for tile in range(19) for e in range(1, 7)]
TILES = [list(range(6 * tile, 6 * tile + 6)) for tile in range(19)]


def test_names_that_likeness_contradicts_are_not_followed() -> None:
    """Six exposures of nineteen tiles: by their names they might be six films, by their looks they are nineteen
    things.
    """
    dealt = deal(EXPOSED, TILES)
    assert dealt.split_info.reason == "dealt with seed 0" and dealt.split_info.group is None
    assert {len({side(dealt, index) for index in tile}) for tile in TILES} == {1}
    assert len({one.record.group for one in dealt.items}) == 19
    first, kept = dealt.notes
    assert first.startswith("groups seem to show in names such as 'images/exp1_num_1'")
    assert first.endswith("but 114 images are nearly the same as one of another of them: the names were not followed")
    assert kept.startswith("114 images were kept together because they are nearly the same")
    assert deal(EXPOSED).split_info.reason.endswith("6 groups, by the file names")  # where nothing speaks against them


@pytest.mark.parametrize("found", [VIDEOS, EXPOSED, PLAIN], ids=["videos", "exposures", "running numbers"])
@pytest.mark.parametrize("near", [[], [[0, 1], [2, 3]], [[0, 11], [5, 20]]], ids=["none", "neighbours", "others"])
@pytest.mark.parametrize("group", ["auto", None])
def test_what_notes_advise_leads_nowhere_back(found: list[Item], near: list[list[int]], group: str | None) -> None:
    for note in deal(found, near, group=group).notes:
        if " say " in note:
            flag, pattern = shlex.split(note.partition(" say ")[2])
            assert flag == "--data.split.group"
            assert not any(
                " say " in told or "another split" in told for told in deal(found, near, group=pattern).notes
            )


@pytest.mark.parametrize("num_groups", range(1, 6))
@pytest.mark.parametrize("options", [{}, {"test": 0}, {"folds": 3}, {"folds": 5, "test": 0}], ids=str)
def test_whatever_is_advised_where_groups_are_too_few_works(num_groups: int, options: dict[str, Any]) -> None:
    found = [item(f"image-{n}", group=f"p{n % num_groups}") for n in range(15)]
    try:
        deal(found, **options)
    except DataError as error:
        told = str(error)
        ways = re.findall(r"--data\.split\.(\w+) ('[^']+'|\d+)", told)
        assert ways and told.startswith("a split needs at least") and f"got {num_groups}, for " in told
        for key, value in ways:
            deal(found, **{**options, key: yaml.safe_load(value)})


def test_near_duplicates_join_groups_the_data_set_names() -> None:
    found = [item(f"image-{n}", group=f"p{n // 3}") for n in range(30)]
    dealt = deal(found, [[0, 5], [4, 9]])
    assert {one.record.group for one in dealt.items[:12]} == {"p0", "p2"}  # p0, p1 and p3 are one now, p2 is not
    assert len({side(dealt, index) for index in (*range(6), 9, 10, 11)}) == 1


def test_with_null_torn_near_duplicates_are_told() -> None:
    dealt = deal(PLAIN, [[n, n + 15] for n in range(15)], group=None)
    torn = sum(side(dealt, n) != side(dealt, n + 15) for n in range(15))
    assert torn > 0
    note = f"{2 * torn} images are nearly the same as one in another split"
    assert dealt.notes[0].startswith(note) and dealt.notes[0].endswith(
        "To keep them together, say --data.split.group '.+'"
    )


def test_too_many_near_duplicates_are_told_and_not_kept() -> None:
    dealt = deal(PLAIN, [list(range(29))])
    assert [sum(one.record.split == name for one in dealt.items) for name in ("train", "val", "test")] == [18, 6, 6]
    assert len(dealt.notes) == 1
    assert dealt.notes[0].startswith("29 images are nearly the same as one in another split")
    assert "kept together they would leave a side too few images" in dealt.notes[0]


def test_near_duplicates_outside_what_is_dealt_are_left_aside() -> None:
    """The first two are the data set's own test; of the pair across, one alone is dealt."""
    found = [item(f"image-{n}", "test" if n < 2 else "train") for n in range(20)]
    dealt = deal(found, [[0, 7], [8, 9]])
    assert side(dealt, 0) == side(dealt, 1) == "test" and side(dealt, 8) == side(dealt, 9)
    assert dealt.notes == ("2 images were kept together because they are nearly the same (image-8 and image-9)",)


def test_a_class_in_one_image_only_is_told() -> None:
    found = [item(f"image-{n}", pixels=(90, 10 * (n == 4))) for n in range(20)]
    dealt = deal(found)
    assert side(dealt, 4) == "train"  # where it can at least be learned
    assert dealt.notes == ("crack is in 1 image only, in train: val and test cannot be scored on it",)
    assert dealt.explained == {("val", 1), ("test", 1)}


def test_what_is_to_be_said_of_several_classes_is_said_once() -> None:
    """Two hundred classes had two hundred notes."""
    found = [item(f"image-{n}", pixels=(90, *[10 * (n == 4)] * 5)) for n in range(20)]
    (note,) = assign_splits(found, SplitConfig(), (), ("wall", "a", "b", "c", "d", "e")).notes
    assert (
        note
        == "5 classes (a, b, c and 2 more) are each in 1 image only, in train: val and test cannot be scored on them"
    )


def test_a_class_in_one_group_only_is_told_with_its_images() -> None:
    found = [item(f"image-{n}", group=f"p{n // 4}", pixels=(90, 10 * (n in (4, 5)))) for n in range(40)]
    assert deal(found).notes == ("crack is in 2 images of 1 group only, in train: val and test cannot be scored on it",)


def test_a_class_in_two_images_only_is_told() -> None:
    found = [item(f"image-{n}", pixels=(90, 10 * (n in (4, 9)))) for n in range(20)]
    (note,) = deal(found).notes
    assert note.startswith("crack is in 2 images only, in train and ") and note.endswith(" cannot be scored on it")
    assert deal(found, test=0).notes == ()  # two sides, two images: nothing to tell


def test_a_class_nobody_shows_or_that_all_sides_have_is_not_told() -> None:
    assert deal([item(f"image-{n}", pixels=(90, 0)) for n in range(20)]).notes == ()
    assert deal([item(f"image-{n}", pixels=(90, 5 * (n < 3))) for n in range(20)]).notes == ()


def test_a_class_a_side_has_little_of_is_told() -> None:
    """Nearly all of the class lies in one image: two sides must do with the rest."""
    found = [item(f"image-{n}", pixels=(90, 10000 if n == 7 else 10 * (n < 7))) for n in range(20)]
    (note,) = deal(found).notes
    assert "of the pixels of crack and 20% of the images" in note and "rest on little" in note


def test_uneven_groups_are_told_with_counts() -> None:
    sizes = [30, 6, 6]
    found = [item(f"image-{g}-{n}", group=f"p{g}") for g, size in enumerate(sizes) for n in range(size)]
    dealt = deal(found)
    assert dealt.notes == ()  # 30, 6 and 6 of 42 are what was asked for, near enough
    lopsided = deal([item(f"image-{g}-{n}", group=f"p{g}") for g, size in enumerate((20, 20, 2)) for n in range(size)])
    (note,) = lopsided.notes
    assert note.startswith("groups are kept whole and of unequal size: ") and "20 images, 8 asked for" in note


@pytest.mark.parametrize(
    ("splits", "options", "reason", "notes"),
    [
        (["train", "val", "test"], {}, "as the data set has it", ()),
        (["train", "val"], {}, "as the data set has it", ()),
        (
            ["train", "val"],
            {"test": 0.3},
            "as the data set has it",
            ("data.split has no effect: the data set names its own splits",),
        ),
        (["train", "test"], {}, "test as the data set has it, val dealt from train with seed 0", ()),
        (
            ["train", "test"],
            {"test": 0.4, "seed": 2},
            "test as the data set has it, val dealt from train with seed 2",
            ("data.split.test has no effect: the data set names its own splits",),
        ),
        (["train", "test"], {"val": 0}, "as the data set has it", ()),
        (
            ["train"],
            {},
            "val dealt from train with seed 0",
            ("there is no test: the data set names train for every image",),
        ),
        ([None], {"test": 0}, "dealt with seed 0", ()),
        ([None], {"val": 0}, "dealt with seed 0", ()),
        ([None], {"val": 0, "test": 0}, "dealt with seed 0", ()),
    ],
)
def test_partial_splits(splits: list[str | None], options: dict[str, Any], reason: str, notes: tuple[str, ...]) -> None:
    found = [item(f"image-{n}", splits[n % len(splits)]) for n in range(30)]
    dealt = deal(found, **options)
    assert (dealt.split_info.reason, dealt.notes) == (reason, notes)
    sizes = {name: sum(one.record.split == name for one in dealt.items) for name in ("train", "val", "test")}
    assert sum(sizes.values()) == 30 and sizes["train"] > 0
    if splits == [None]:
        assert sizes == {name: round(30 * options.get(name, 0.2)) for name in ("val", "test")} | {
            "train": sizes["train"]
        }
    assert all(one.record.split == was.record.split for one, was in zip(dealt.items, found, strict=True)
               if was.record.split in ("val", "test"))  # fmt: skip
