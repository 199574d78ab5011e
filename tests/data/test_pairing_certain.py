"""What is certain among names that cannot all be paired: never a wrong pair, and most of the right ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.data.pairing import certain

SHAPES = (
    ("image-{n}", "mask-{n}_{k}"),
    ("{n}_training", "{n}_manual1"),
    ("IMG_{n:04d}", "label_{n}"),
    ("scene{k}_{n}", "scene{k}_{n}_gt"),
)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_pair_is_ever_wrong(data: st.DataObject) -> None:
    shape, theirs = data.draw(st.sampled_from(SHAPES))
    numbers = data.draw(st.lists(st.integers(0, 400), min_size=2, max_size=12, unique=True))
    kinds = data.draw(st.lists(st.integers(0, 3), min_size=len(numbers), max_size=len(numbers)))
    images = {shape.format(n=n, k=k): n for n, k in zip(numbers, kinds, strict=True)}
    masks = {theirs.format(n=n, k=k): n for n, k in zip(numbers, kinds, strict=True)}
    lost = data.draw(st.sets(st.sampled_from(numbers), max_size=len(numbers) // 3))
    side = data.draw(st.booleans())
    left = [name for name, n in images.items() if side or n not in lost]
    right = [name for name, n in masks.items() if not side or n not in lost]
    if left and right:
        assert all(images[left[image]] == masks[right[mask]] for image, mask in certain(left, right).items())


@pytest.mark.parametrize(
    ("images", "masks", "found"),
    [
        (["image-1", "image-2", "image-3"], ["mask-1", "mask-3"], {0: 0, 2: 1}),
        (["a", "b", "c"], ["a", "b", "c", "d"], {0: 0, 1: 1, 2: 2}),
        (["a_1", "b_1", "c_2", "d_3"], ["1", "2", "3"], {2: 1, 3: 2}),
        (["1_2", "2_1"], ["m_1_5_2", "m_2_5_1"], {}),
        (["cat", "dog"], ["left", "right"], {}),
        (["a", "b", "c", "d"], ["a", "x", "y", "z"], {}),
    ],
)
def test_what_is_certain_by_hand(images: list[str], masks: list[str], found: dict[int, int]) -> None:
    assert certain(images, masks) == found
