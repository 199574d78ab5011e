"""Whatever the names: `pair` returns the truth or refuses. It never returns a wrong pair.

Names are made around an id that is the truth, with constant words, running numbers, small random
numbers and tokens that only some files have, before and after it. Then the folder is damaged: a mask
belongs to something else, or stands twice while another is missing.

Left out as undecidable by names: an image and a mask that aren't partners but whose varying parts
are the same from first to last (`img_1_2` beside `mask_1_2` are partners for everyone who reads it);
and damaged folders in which the ids of one side are the running numbers of the other (`5_0`, `6_1`
beside `0`, `1`), so running and random numbers are drawn from other hundreds than ids there, and the
id is at one place when counted from one of the ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from maskwright.data.pairing import pair
from maskwright.errors import DataError

Parts = tuple[str, ...]
BOUNDED = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Form:
    """How a folder names its files: kinds of parts before and after the id, the sign between, zero padding."""

    before: Parts
    after: Parts
    sign: str
    digits: int


KINDS = ("word", "constant", "running", "small", "sometimes")
parts = st.lists(st.sampled_from(KINDS), max_size=2).map(tuple)
steady = st.lists(st.sampled_from(KINDS[:-1]), max_size=2).map(tuple)
signs, widths = st.sampled_from(["_", "-", " ", "/"]), st.sampled_from([0, 4])
forms = st.builds(Form, parts, parts, signs, widths)
# counted from one end at least, the id is always at the same place
orderly = st.builds(Form, steady, parts, signs, widths) | st.builds(Form, parts, steady, signs, widths)


@dataclass(frozen=True)
class Folder:
    """Names, the id each stands for, and each name's parts as words."""

    names: list[str]
    ids: list[int]
    words: list[Parts]


@st.composite
def folder(draw: st.DrawFn, form: Form, ids: Sequence[int], word: str, running: int = 0, small: int = 0) -> Folder:
    """`running` and `small`: where running numbers and small random ones begin."""
    rows: list[Parts] = []
    for place, number in enumerate(ids):
        made = {"word": word, "constant": "3", "running": str(running + place)}

        def write(kind: str, made: dict[str, str] = made) -> list[str]:
            if kind == "small":
                return [str(small + draw(st.integers(0, 5)))]
            if kind == "sometimes":
                return ["x"] if draw(st.booleans()) else []
            return [made[kind]]

        before = [text for kind in form.before for text in write(kind)]
        after = [text for kind in form.after for text in write(kind)]
        rows.append((*before, str(number).zfill(form.digits), *after))
    assume(len(set(rows)) == len(rows))
    return Folder([form.sign.join(row) for row in rows], list(ids), rows)


def varying(rows: Sequence[Parts]) -> list[Parts]:
    """The parts of each name that aren't the same in all, numbers as numbers."""
    plain = [tuple(text.lstrip("0") or "0" if text.isdigit() else text for text in row) for row in rows]
    if len({len(row) for row in plain}) > 1:
        return plain
    columns = [column for column in zip(*plain, strict=True) if len(set(column)) > 1]
    return list(zip(*columns, strict=True)) if columns else plain


def look_like_partners_but_are_not(images: Folder, masks: Folder) -> bool:
    ours = zip(varying(images.words), images.ids, strict=True)
    theirs = list(zip(varying(masks.words), masks.ids, strict=True))
    return any(one == two and number != other for one, number in ours for two, other in theirs)


@st.composite
def whole_folders(draw: st.DrawFn) -> tuple[Folder, Folder]:
    ids = draw(st.lists(st.integers(0, 40), min_size=1, max_size=7, unique=True))
    images = draw(folder(draw(forms), ids, "img"))
    masks = draw(folder(draw(forms), draw(st.permutations(ids)), "mask"))
    assume(not look_like_partners_but_are_not(images, masks))
    return images, masks


@st.composite
def damaged_folders(draw: st.DrawFn) -> tuple[Folder, Folder]:
    ids = draw(st.lists(st.integers(0, 40), min_size=3, max_size=7, unique=True))
    theirs = list(ids)
    victim = draw(st.integers(0, len(ids) - 1))
    theirs.pop(victim)
    theirs += draw(st.sampled_from([[], [99], [draw(st.sampled_from(theirs))]]))
    images_first = draw(st.booleans())  # the damage may be on either side
    one = draw(folder(draw(orderly), ids, "img", 500, 200))
    order = sorted(theirs) if draw(st.booleans()) else draw(st.permutations(theirs))
    two = draw(folder(draw(orderly), order, "mask", 500, 200))
    images, masks = (one, two) if images_first else (two, one)
    assume(not look_like_partners_but_are_not(images, masks))
    return images, masks


@BOUNDED
@given(whole_folders())
def test_a_whole_folder_gives_the_truth_or_a_refusal(folders: tuple[Folder, Folder]) -> None:
    images, masks = folders
    truth = tuple(masks.ids.index(number) for number in images.ids)
    try:
        found = pair(images.names, masks.names)
    except DataError:
        event("refused")
    else:
        event("paired")
        assert found.masks == truth, (found.rule, images.names, masks.names)


@BOUNDED
@given(damaged_folders())
def test_a_damaged_folder_is_refused(folders: tuple[Folder, Folder]) -> None:
    images, masks = folders
    with pytest.raises(DataError):
        pair(images.names, masks.names)


@BOUNDED
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=7, unique=True),
    st.sampled_from(["{}", "img_{}", "{}_training", "s3-{}"]),
    st.sampled_from(["{}", "mask_{}", "{}_manual1", "m{:08d}_L"]),
    st.randoms(use_true_random=False),
)
def test_constant_words_around_a_number_always_pair(ids: list[int], ours: str, theirs: str, random: object) -> None:
    """Refusing everything would pass the tests above; here there is no doubt, so no refusal either."""
    masks = list(ids)
    random.shuffle(masks)  # type: ignore[attr-defined]
    found = pair([ours.format(number) for number in ids], [theirs.format(number) for number in masks])
    assert [masks[place] for place in found.masks] == ids
