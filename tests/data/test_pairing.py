"""Pairing: real names pair as people mean them, everything doubtful is refused with the files' names."""

from __future__ import annotations

import random
import time

import pytest

from maskwright.data.pairing import pair
from maskwright.errors import DataError

# images and masks are written in matching order; each case is tried with the masks turned round too
REAL = {
    "same stem": (["a", "b", "c"], ["a", "b", "c"]),
    "lab": (["image-0", "image-7", "image-12"], ["mask-0_2", "mask-7_2", "mask-12_2"]),
    "lab, varying second number": (["image-0", "image-1", "image-17"], ["mask-0_2", "mask-1_0", "mask-17_2"]),
    "drive": (["21_training", "22_training", "40_training"], ["21_manual1", "22_manual1", "40_manual1"]),
    "camvid": (["0001TP_006690", "0001TP_006720", "0006R0_f00930"],
               ["0001TP_006690_L", "0001TP_006720_L", "0006R0_f00930_L"]),
    "carvana": (["fff9b3_01", "fff9b3_16", "00087a_01"], ["fff9b3_01_mask", "fff9b3_16_mask", "00087a_01_mask"]),
    "zero padding": (["img_7", "img_8", "img_10"], ["img_007", "img_008", "img_010"]),
    "zero padding and words": (["frame1", "frame2", "frame10"], ["label_0001", "label_0002", "label_0010"]),
    "nested folders": (["a/1", "a/2", "b/1"], ["a/1", "a/2", "b/1"]),
    "nested folders, other words": (["a/img1", "a/img2", "b/img1"], ["a/lab1", "a/lab2", "b/lab1"]),
    "pets": (["Sphynx_1", "Sphynx_10", "beagle_1"], ["trimaps/Sphynx_1", "trimaps/Sphynx_10", "trimaps/beagle_1"]),
    "upper and lower case": (["IMG_A", "IMG_B"], ["img_a", "img_b"]),
    "case that matters": (["a", "A"], ["a", "A"]),
    "isic": (["ISIC_0000000", "ISIC_0000001"], ["ISIC_0000000_segmentation", "ISIC_0000001_segmentation"]),
    "cityscapes": (
        ["aachen_000000_000019_leftImg8bit", "aachen_000001_000019_leftImg8bit", "bochum_000000_000313_leftImg8bit"],
        ["aachen_000000_000019_gtFine_labelIds", "aachen_000001_000019_gtFine_labelIds",
         "bochum_000000_000313_gtFine_labelIds"],
    ),
    "umlauts": (["Gerät 1", "Gerät 2"], ["Gerät 1 Maske", "Gerät 2 Maske"]),
    "one of each": (["photo"], ["photo"]),
    "one of each, numbered": (["image-3"], ["mask-3_1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REAL)
def test_real_names_pair(case: str) -> None:
    images, masks = REAL[case]
    count = len(images)
    assert pair(images, masks).masks == tuple(range(count))
    assert pair(images, masks[::-1]).masks == tuple(reversed(range(count)))


def test_the_rule_is_told() -> None:
    assert pair(["a"], ["a"]).rule == "the same name"
    assert "'7' in 'x-7'" in pair(["x-7", "x-8"], ["y-7-3", "y-8-4"]).rule


# images, masks, what the sentence must name
REFUSED = {
    "a missing mask": (["image-1", "image-2", "image-3"], ["mask-1", "mask-3"], ["without a mask", "image-2"]),
    "a missing image": (["image-1", "image-3"], ["mask-1", "mask-2", "mask-3"], ["masks without an image", "mask-2"]),
    "one missing on each side": (["x1", "x2", "x3"], ["m1", "m2", "m4"],
                                 ["without a mask: x3", "without an image: m4"]),
    "a doubled mask": (["image-1", "image-2"], ["mask-1_a", "mask-1_b", "mask-2_a"],
                       ["several masks", "mask-1_a", "mask-1_b"]),
    "a doubled image": (["a_1", "b_1", "a_2"], ["1", "2", "3"], ["several images for one mask", "a_1", "b_1"]),
    "two readings": (["1_2", "2_1"], ["m_1_5_2", "m_2_5_1"], ["could belong to", "1_2"]),
    "nothing agrees": (["cat", "dog"], ["left", "right"], ["2 images and 2 masks", "cat"]),
    "one of each that differ": (["cat"], ["dog"], ["1 images and 1 masks"]),
    "one of each with other numbers": (["image-1"], ["mask-2"], ["image-1", "mask-2"]),
    "only signs": (["--", "__"], ["..", "++"], ["2 images and 2 masks"]),
    "numbers that are the same number": (["7", "07"], ["m7", "m007"], ["7", "07"]),
    "no masks": (["a", "b"], [], ["without a mask: a and b"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_doubt_is_refused_with_the_names(case: str) -> None:
    images, masks, told = REFUSED[case]
    with pytest.raises(DataError) as refused:
        pair(images, masks, " in here")
    sentence = str(refused.value)
    assert " in here" in sentence
    assert "pairs.csv" in sentence
    for words in told:
        assert words in sentence


def test_a_long_list_of_missing_files_is_cut_and_counted() -> None:
    with pytest.raises(DataError, match="and 42 more"):
        pair([f"image-{n}" for n in range(60)], [f"mask-{n}" for n in range(10)])


# A running number pairs the files, but another number of the names says that two of them are of other things.
CONTRADICTED = {
    "a mask of something else": (["0_scan17", "1_scan18", "2_scan19"], ["0_mask17", "1_mask18", "2_mask44"]),
    "a mask twice, another missing": (["0_scan17", "1_scan18", "2_scan19"], ["0_mask17", "1_mask17", "2_mask19"]),
    "shifted by one": (["0_17", "1_18", "2_19", "3_20"], ["0_m_18", "1_m_19", "2_m_20", "3_m_21"]),
    "an image twice": (["0_scan17", "1_scan17", "2_scan19"], ["0_mask17", "1_mask18", "2_mask19"]),
}


@pytest.mark.parametrize("case", CONTRADICTED)
def test_a_running_number_does_not_overrule_the_names(case: str) -> None:
    images, masks = CONTRADICTED[case]
    with pytest.raises(DataError):
        pair(images, masks)


def test_many_long_names_stay_quick() -> None:
    """Names of a dozen numbers, thousands of files: a look at all templates would take hours."""
    images = [
        f"s{n % 7}_{n}_20240{n % 9 + 1}{n % 28 + 1:02d}_{n * 37 % 1000}_{n % 13}_{n % 5}_cam{n % 3}"
        for n in range(1500)
    ]
    masks = [f"{name}_{index % 11}_mask" for index, name in enumerate(images)]
    assert pair(images, masks).masks == tuple(range(1500))


def test_names_of_a_hundred_parts_stay_quick() -> None:
    """Every part of an image's name beside every part of a mask's would be 15,000 readings, each of all files."""
    rng = random.Random(0)
    images = [
        "".join(f"{rng.choice('abcdef')}{rng.randrange(6)}" for _ in range(60)) + f"-{n}x" * (n % 2) for n in range(400)
    ]
    masks = [f"x{name}" if index % 2 else f"{name}_m" for index, name in enumerate(images)]
    started = time.process_time()
    with pytest.raises(DataError, match="400 images and 400 masks"):
        pair(images, masks)
    assert time.process_time() - started < 2
