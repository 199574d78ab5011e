"""For every finding code a data set that has it, and one near it that has not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from makers import (
    HEIGHT,
    SPLIT,
    VIDEOS,
    WIDTH,
    Maker,
    as_it_is,
    banded,
    brighter,
    coloured,
    copied,
    edited,
    either_palette,
    few,
    grey_as_rgb,
    large,
    listed,
    mask,
    masks_by,
    masks_renamed,
    named_like,
    nearly,
    one_colour,
    one_deep,
    one_grey,
    only_in_train,
    resized_mask,
    some_empty,
    sound,
    speck,
    stacked,
    truncated,
    turned_picture,
    two_writings,
    with_bytes_after,
    with_palette,
    with_value,
    without_a_mask,
    write,
)


@dataclass(frozen=True)
class Case:
    """`files`: some of the files the finding must name; `op`: of its proposal ("" for none); `asks`: it has a question."""

    code: str
    has: Maker
    near: Maker
    severity: str = "error"
    files: tuple[str, ...] = ()
    op: str = ""
    asks: bool = False
    name: str = ""


PETS = {"background": 0, "pet": 1}
CASES = (
    Case("unreadable", edited(truncated), edited(with_bytes_after), files=("images/cedar.png",), op="leave-out"),
    Case("unpaired", edited(without_a_mask), edited(masks_renamed), files=("images/birch.png",), op="leave-out"),
    Case("unlisted", edited(listed([*SPLIT[:-1], "hazel,trian"])), edited(listed([*SPLIT[:-1], "hazel,Testing"]))),
    Case(
        "listed-twice",
        edited(listed([*SPLIT, "apple,test"])),
        edited(listed(SPLIT)),
        files=("images/apple.png",),
        op="leave-out",
        asks=True,
    ),
    Case(
        "size-mismatch", edited(resized_mask(20, 28)), edited(resized_mask(40, 56)), files=("masks/daisy.png",), op="resize-mask"
    ),
    Case(
        "size-mismatch",
        edited(resized_mask(30, 30)),
        edited(resized_mask(41, 56)),
        files=("masks/daisy.png",),
        op="resize-mask",
        asks=True,
        name="other aspect",
    ),
    Case(
        "orientation",
        edited(turned_picture(6, lambda drawn: drawn)),
        edited(turned_picture(6, lambda drawn: np.rot90(drawn, -1))),
        files=("masks/elder.png",),
        op="turn-mask",
    ),
    Case(
        "orientation",
        edited(turned_picture(3, lambda drawn: drawn)),
        edited(turned_picture(3, lambda drawn: np.rot90(drawn, 2))),
        files=("masks/elder.png",),
        op="turn-mask",
        name="upside down",
    ),
    Case(
        "orientation",
        edited(lambda root: write(root / "masks" / "elder.png", mask(4).T) and None),
        edited(lambda root: write(root / "masks" / "elder.png", mask(4)[::-1].copy()) and None),
        files=("masks/elder.png",),
        op="turn-mask",
        asks=True,
        name="rows and columns exchanged",
    ),
    Case("offset", edited(resized_mask(39, 57)), edited(resized_mask(40, 56)), files=("masks/daisy.png",), op="fit-mask"),
    Case(
        "unknown-values",
        edited(with_value(7), classes=PETS),
        edited(with_value(7, ignore_index=7), classes=PETS),
        files=("masks/fig.png",),
        op="remap",
        asks=True,
    ),
    Case("unclear-classes", sound((0, 37, 190)), sound((0, 37, 190), classes={"a": 0, "b": 37, "c": 190}), op="remap", asks=True),
    Case("off-by-one", sound((1, 2, 3)), sound((0, 1, 2, 3)), files=("masks/apple.png",), op="remap", asks=True),
    Case(
        "off-by-one",
        sound((1, 2, 3), classes={"a": 0, "b": 1, "c": 2}),
        sound((1, 2, 3), classes={"a": 1, "b": 2, "c": 3}),
        files=("masks/apple.png",),
        op="remap",
        name="named",
    ),
    Case("void-after-last", masks_by(banded), masks_by(stacked), "warning", ("masks/apple.png",), "remap", asks=True),
    Case(
        "void-after-last",
        sound((0, 1, 2), classes=PETS),
        sound((0, 1, 255), classes=PETS),
        files=("masks/apple.png",),
        op="remap",
        asks=True,  # few pixels, but not along the borders of others: it may be a class nobody named
        name="named",
    ),
    Case(
        "smoothed",
        masks_by(lambda index: mask(index, (0, 255)), ".jpg", quality=80),
        sound((0, 255)),
        files=("masks/apple.jpg",),
        op="threshold",
    ),
    Case(
        "smoothed",
        masks_by(lambda index: cv2.GaussianBlur(mask(index, (0, 255)), (3, 3), 0)),
        sound((0, 128, 255)),
        files=("masks/apple.png",),
        op="threshold",
        name="anti-aliased",
    ),
    Case(
        "lossy-masks",
        masks_by(lambda index: mask(index, (0, 90)), ".jpg", quality=80),
        masks_by(lambda index: np.full((HEIGHT, WIDTH), 0 if index % 2 else 1, np.uint8), ".jpg", quality=100),
        files=("masks/apple.jpg",),
        op="threshold",
        asks=True,
    ),
    Case(
        "colour-masks",
        masks_by(coloured),
        lambda root: {**masks_by(coloured)(root), "classes": {"none": "#000000", "cat": "#dc143c", "dog": [0, 128, 0]}},
        files=("masks/apple.png",),
        op="colours",
        asks=True,
    ),
    Case("zero-255", sound((0, 255)), sound((0, 1)), "note"),
    Case(
        "zero-255",
        sound((0, 255), classes=PETS),
        sound((0, 255), classes={"background": 0, "pet": 255, "x": 1}),
        files=("masks/apple.png",),
        op="remap",
        name="against the class map",
    ),
    Case(
        "zero-255",
        masks_by(two_writings(False)),
        masks_by(two_writings(True)),
        "warning",
        ("masks/grape.png",),
        "remap",
        asks=True,
        name="in some masks",
    ),
    Case(
        "palette",
        masks_by(with_palette([(0, 0, 0), (200, 0, 0), (0, 200, 0)])),
        masks_by(with_palette([(index, index, index) for index in range(256)])),
        "note",
    ),
    Case(
        "palette",
        masks_by(either_palette),
        masks_by(lambda index: mask(index, (0, 1, 2))),
        "warning",
        ("masks/apple.png",),
        name="that disagree",
    ),
    Case("inverted", sound((1, 0)), sound((0, 1)), "warning", ("masks/apple.png",), "remap", asks=True),
    Case("empty-masks", masks_by(some_empty), sound((0, 1)), "warning", ("masks/cedar.png",)),
    Case(
        "one-class",
        masks_by(lambda index: np.zeros((HEIGHT, WIDTH), np.uint8)),
        masks_by(lambda index: mask(index, (0, 0, 1))),
        files=("masks/apple.png",),
    ),
    Case("mixed-channels", edited(one_grey), edited(grey_as_rgb), "note", ("images/grape.png",)),
    Case("mixed-depth", edited(one_deep()), edited(one_deep(tones=[0, 65535])), files=("images/grape.png",)),
    Case("constant-image", edited(one_colour(0)), edited(one_colour(1)), "warning", ("images/hazel.png",)),
    Case("no-split", few(2), few(8)),
    Case("class-missing", edited(only_in_train), edited(as_it_is), "warning"),
    Case("imbalance", masks_by(speck(2)), masks_by(speck(3)), "note"),
    Case(
        "groups",
        named_like(VIDEOS, ["train", "val", "test"] * 4),
        named_like(VIDEOS, ["train"] * 4 + ["val"] * 4 + ["test"] * 4),
        "warning",
    ),
    Case("exact-duplicates", edited(copied("birch")), edited(copied("birch", brighter)), "warning", ("images/apple.png",)),
    Case("exact-leak", edited(copied("hazel")), edited(copied("hazel", brighter)), "error", ("images/apple.png",)),
    Case("near-duplicates", large(nearly("birch")), large(as_it_is), "note", ("images/apple.png",)),
    Case("near-leak", large(nearly("hazel")), large(as_it_is), "warning", ("images/apple.png",)),
    Case("different-masks", edited(copied("birch", own_mask=False)), edited(copied("birch")), "warning", ("masks/apple.png",)),
)
