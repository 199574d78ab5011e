"""Groups guessed from names: what names plainly show is found, what they don't is left alone."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maskwright.data.dataset import Record
from maskwright.data.grouping import groups_of
from maskwright.data.groups import guess_groups, torn

SHOWN: dict[str, tuple[list[str], Callable[[str], str]]] = {
    "videos by id and frame": (
        [f"{split}/{video}_{mark}{n:05d}" for split, video, mark in (("train", "0016E5", ""), ("train", "Seq05VD", "f"),
                                                                     ("val", "0006R0", "f"))
         for n in range(0, 900, 90)],
        lambda name: re.search(r"0016E5|Seq05VD|0006R0", name).group(),  # type: ignore[union-attr]
    ),
    "frames of numbered videos": (
        [f"images/vid{v:02d}_f{n:04d}" for v in range(6) for n in range(1, 40, 7)], lambda name: name[7:12],
    ),
    "lettered clips": ([f"clip{v}_{n}" for v in "ABC" for n in range(9)], lambda name: name[:5]),
    "slices of patients": (
        [f"images/patient{p}_slice{n}" for p in range(1, 14) for n in range(4)], lambda name: name.split("_")[0][7:],
    ),
    "a folder a patient": ([f"images/patient{p}/{n}" for p in range(6) for n in range(5)],
                           lambda name: name.split("/")[1]),
    "patients in folders of visits": (
        [f"sub-{p:02d}/ses-{v}/slice_{n}" for p in range(5) for v in range(2) for n in range(3)], lambda name: name[:6],
    ),
    "a patient's two eyes stay together": (
        [f"site{s}_patient{p}_eye{e}_{n}" for s in range(2) for p in range(4) for e in range(2) for n in range(3)],
        lambda name: name[: name.index("_eye")],
    ),
    "ids, slices, and a date in the id": (
        [f"TCGA_{p}_1996{m:02d}09_{n}"
         for m, p in ((1, "CS_4941"), (4, "DU_5849"), (9, "HT_7605")) for n in range(1, 20)],
        lambda name: name.rpartition("_")[0],
    ),
    "tiles of scenes": (
        [f"scene_{s}_{y}_{x}" for s in range(3) for y in (0, 512) for x in (0, 512, 1024)], lambda name: name[:7],
    ),
    "one row of tiles of each scene": ([f"town{s}_0_{x}" for s in range(4) for x in (0, 256, 512)],
                                       lambda name: name[:5]),
    "tiles by both corners": (
        [f"P{s:04d}_{x}_{x + 800}_{y}_{y + 800}" for s in range(5) for y in (0, 600) for x in (0, 600)],
        lambda name: name[:5],
    ),
    "rows and columns": ([f"farm_ab{s}_r{r}_c{c}" for s in range(3) for r in range(3) for c in range(3)],
                         lambda name: name[:8]),
    "crops": ([f"P{s:04d}_crop_{n}" for s in range(8) for n in range(3)], lambda name: name[:5]),
    "slices by two numbers": ([f"{p}_{n}" for p in range(1, 9) for n in range(1, 7)], lambda name: name.split("_")[0]),
    "two numbers before an ending": (
        [f"{p}_{n}_leftImg8bit" for p in range(1, 9) for n in range(1, 7)], lambda name: name.split("_")[0],
    ),
    "changed copies": (
        [f"{n}" for n in range(20)] + [f"{n}_augmented" for n in range(4)],
        lambda name: name.removesuffix("_augmented"),
    ),
    "changed copies of many kinds": (
        [f"x/{n}{end}" for n in range(12) for end in ("", "_flip", "-rot90", "_aug_3")],
        lambda name: re.split("[_-]", name[2:])[0],
    ),
}  # fmt: skip

HEX = random.Random(0)
NOT_SHOWN: dict[str, list[str]] = {
    "running numbers": [f"image-{n}" for n in range(18)],
    "padded numbers": [f"images/{n:03d}" for n in range(40)],
    "numbers and one word": [f"{n}_training" for n in range(21, 41)],
    "numbers and the split": [f"{split}/images/{n}_{split}" for split in ("training", "test") for n in range(20)],
    "splits as folders": [f"{split}/images/{n}" for split in ("train", "val", "test") for n in range(9)],
    "breeds": [f"images/{breed}_{n}" for breed in ("Abyssinian", "yorkshire_terrier", "pug") for n in range(1, 30)],
    "classes": [f"class{label}_{n}" for label in range(5) for n in range(9)],
    "a word and running numbers": [f"ISIC_{n:07d}" for n in range(0, 900, 37)],
    "hashes": ["".join(HEX.choice("abcdef0123456789") for _ in range(20)) for _ in range(40)],
    "tiles of one scene": [f"x{x}_y{y}" for x in range(5) for y in range(5)],
    "frames of one video": [f"frame_{n}" for n in range(30)],
    "one video in so many words": [f"video1_frame_{n}" for n in range(30)],
    "one frame each": [f"video{n}_frame_0" for n in range(30)],
    "nearly all in one group": [f"vid01_f{n}" for n in range(40)] + ["vid02_f0"],
    "patterns that some names break": [f"vid{v}_f{n}" for v in range(4) for n in range(5)] + ["cover"],
    "each twice": [f"{n}_{side}" for n in range(20) for side in "ab"],
    "too few": ["vid1_f1", "vid1_f2", "vid2_f1"],
    "no names": [],
}
WEAK: dict[str, list[str]] = {
    "days": [f"IMG_202001{day:02d}_{n:03d}" for day in range(1, 9) for n in range(5)],
    "days and times": [f"2020-01-{day:02d}_12-{minute:02d}-05" for day in range(1, 8) for minute in range(10, 50, 7)],
    "years": [f"{year}_{n:06d}" for year in (2007, 2008, 2009) for n in range(0, 9000, 700)],
    "folders without a name that tells": [f"images/ab{folder}/{n}" for folder in range(6) for n in range(5)],
    "numbers that go on": [f"{p}_{p * 10 + n}" for p in range(1, 9) for n in range(1, 8)],
}


@pytest.mark.parametrize("case", SHOWN)
def test_groups_that_names_show_are_found(case: str) -> None:
    names, truth = SHOWN[case]
    guess = guess_groups(names)
    assert guess is not None and guess.strength == "strong"
    assert len(set(guess.groups)) == guess.num_groups == len({truth(name) for name in names})
    assert len({(group, truth(name)) for group, name in zip(guess.groups, names, strict=True)}) == guess.num_groups
    assert any(repr(name) in guess.evidence for name in names) and f"{guess.num_groups} groups of" in guess.evidence


@pytest.mark.parametrize("case", [*SHOWN, *WEAK])
def test_the_pattern_does_in_a_configuration_what_was_guessed(case: str) -> None:
    names = SHOWN[case][0] if case in SHOWN else WEAK[case]
    guess = guess_groups(names)
    assert guess is not None
    assert groups_of([Record(name, Path(), Path()) for name in names], guess.pattern) == guess.groups


@pytest.mark.parametrize("case", NOT_SHOWN)
def test_names_that_show_no_groups_are_left_alone(case: str) -> None:
    assert guess_groups(NOT_SHOWN[case]) is None


@pytest.mark.parametrize("case", WEAK)
def test_weak_hints_are_told_as_such(case: str) -> None:
    guess = guess_groups(WEAK[case])
    assert guess is not None and guess.strength == "weak"


@pytest.mark.parametrize("case", SHOWN)
def test_the_order_of_names_changes_nothing(case: str) -> None:
    names = SHOWN[case][0]
    shuffled = random.Random(1).sample(names, len(names))
    one, two = guess_groups(names), guess_groups(shuffled)
    assert one is not None and two is not None
    assert (one.pattern, one.evidence) == (two.pattern, two.evidence)
    assert dict(zip(names, one.groups, strict=True)) == dict(zip(shuffled, two.groups, strict=True))


def test_long_names_without_groups_take_no_time() -> None:
    """Patterns must not try every way of cutting a name: 10,000 long names, measured at a second."""
    names = ["_".join("".join(HEX.choice("abc0123") for _ in range(6)) for _ in range(12)) for _ in range(5000)]
    start = time.perf_counter()
    guess_groups(names)
    guess_groups(["a1_" * 30 + f"{n}b" for n in range(5000)])
    assert time.perf_counter() - start < 5


def test_groups_in_several_splits_are_torn() -> None:
    assert torn(["a", "a", "b", "b", "c"], ["train", "val", "test", "test", None]) == {"a": {"train": 1, "val": 1}}
