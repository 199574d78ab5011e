"""What the values in masks mean: settled once over all of them, and never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, ClassMap, Listing, MaskForm, Record
from maskwright.data.forms import load_mask
from maskwright.data.masks import decide_classes, labels_of
from maskwright.data.raw import NO_DATA, code_labels, compact
from maskwright.errors import DataError

Named = dict[str, int] | None


def decide(*masks: list[int] | np.ndarray, named: Named = None, **options: object) -> ClassMap:
    values = {f"m{place}.png": count_values(np.asarray(mask)) for place, mask in enumerate(masks)}
    return decide_classes(DataConfig.model_validate(options), Listing((), "folders", "", named), values)


def count_values(raw: np.ndarray) -> dict[int, int]:
    _, values, pixels = compact(raw, None, HERE)
    return {value: count for value, count in zip(values, pixels, strict=True) if count}


def apply_classes(raw: np.ndarray, classes: ClassMap) -> np.ndarray:
    codes, values, _ = compact(raw, None, HERE)
    return code_labels(classes, values)[codes]


HERE = Record("a", Path("a.png"), Path("a_mask.png"))
BINARY = ("background", "foreground")


def test_values_are_counted() -> None:
    assert count_values(np.array([[0, 7], [7, 300]], np.uint16)) == {0: 1, 7: 2, 300: 1}


# masks, options, names, values, ignored values
UNDERSTOOD: dict[str, tuple[list[list[int]], dict[str, object], tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "0 and 1": ([[0, 1], [0]], {}, BINARY, (0, 1), (255,)),
    "0 and 255": ([[0, 255], [0]], {}, BINARY, (0, 255), ()),
    "only foreground": ([[255, 255]], {}, BINARY, (0, 255), ()),
    "0, 1 and ignored 255": ([[0, 1, 255]], {}, BINARY, (0, 1), (255,)),
    "0, 1 and nothing ignored": ([[0, 1]], {"ignore_index": None}, BINARY, (0, 1), ()),
    "0, 255 and 2 ignored": ([[0, 255]], {"ignore_index": 2}, BINARY, (0, 255), ()),
    "three classes": ([[0, 1], [2]], {}, ("class_0", "class_1", "class_2"), (0, 1, 2), (255,)),
    "three classes and ignored": ([[0, 1, 2, 255]], {}, ("class_0", "class_1", "class_2"), (0, 1, 2), (255,)),
    "a class that occurs nowhere": ([[0, 3]], {}, ("class_0", "class_1", "class_2", "class_3"), (0, 1, 2, 3), (255,)),
    "three ignored": ([[0, 1, 2, 3]], {"ignore_index": 3}, ("class_0", "class_1", "class_2"), (0, 1, 2), (3,)),
    "0 ignored": ([[0, 1, 2]], {"ignore_index": 0}, ("class_1", "class_2"), (1, 2), (0,)),
    "1 ignored": ([[0, 1, 2]], {"ignore_index": 1}, ("class_0", "class_2"), (0, 2), (1,)),
    "0 and 255 ignored": ([[0, 1, 2, 255]], {"ignore_index": [0, 255]}, ("class_1", "class_2"), (1, 2), (0, 255)),
    "three ignored, small as a colour": ([[0, 1, 2, 5, 6]], {"ignore_index": [2, 5, 6]}, BINARY, (0, 1), (2, 5, 6)),
    "2 ignored": ([[0, 1, 2]], {"ignore_index": 2}, BINARY, (0, 1), (2,)),
    "list of names": ([[0, 1, 2]], {"classes": ["a", "b", "c"]}, ("a", "b", "c"), (0, 1, 2), (255,)),
    "names and values": ([[0, 10, 300]], {"classes": {"a": 300, "b": 10, "c": 0}}, ("a", "b", "c"), (300, 10, 0),
                         (255,)),
    "a class at 255": ([[0, 255]], {"classes": {"a": 0, "b": 255}}, ("a", "b"), (0, 255), ()),
    "pets": ([[1, 2, 3]], {"classes": {"bg": 2, "pet": 1}, "ignore_index": 3}, ("bg", "pet"), (2, 1), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_masks_are_understood(case: str) -> None:
    masks, options, names, values, ignored = UNDERSTOOD[case]
    classes = decide(*masks, **options)
    assert (classes.names, classes.values, classes.ignore_values) == (names, values, ignored)
    assert classes.reason
    for mask in masks:
        expected = [IGNORE if value in ignored else values.index(value) for value in mask]
        assert apply_classes(np.asarray(mask, np.uint16), classes).tolist() == expected


def test_the_last_of_many_classes_ignored() -> None:
    """As camvid has it: 11 classes and the value 11 for what nobody labelled."""
    classes = decide(list(range(12)), ignore_index=11)
    assert (classes.values, classes.ignore_values) == (tuple(range(11)), (11,))


def test_a_classes_file_names_the_values() -> None:
    classes = decide([0, 4], named={"sky": 0, "road": 4, "tree": 9})
    assert (classes.names, classes.values, classes.reason) == (("sky", "road", "tree"), (0, 4, 9), "as in classes.yaml")


def test_the_configuration_overrules_a_classes_file() -> None:
    assert decide([0, 1], named={"x": 0, "y": 1}, classes=["a", "b"]).names == ("a", "b")


def test_foreground_from_reads_every_value() -> None:
    classes = decide([0, 3, 127, 128, 250, 255], foreground_from=128)
    assert classes.names == BINARY
    assert apply_classes(np.array([0, 3, 127, 128, 250, 255], np.uint8), classes).tolist() == [0, 0, 0, 1, 1, 1]
    assert decide([0, 9], foreground_from=5, classes=["bg", "piece"]).names == ("bg", "piece")


def test_sixteen_bit_labels() -> None:
    classes = decide(np.array([0, 1000, 65535], np.uint16), classes={"a": 0, "b": 1000}, ignore_index=65535)
    assert apply_classes(np.array([65535, 1000, 0], np.uint16), classes).tolist() == [IGNORE, 1, 0]


def test_labels_of_values() -> None:
    classes = ClassMap(("a", "b"), (0, 7), (9,))
    assert labels_of(classes, [0, 7, 9, NO_DATA, 5]).tolist() == [0, 1, IGNORE, IGNORE, IGNORE]
    assert labels_of(ClassMap(("a", "b"), (0, 5), foreground_from=5), [0, 4, 5, NO_DATA]).tolist() == [0, 0, 1, IGNORE]


def test_codes_stand_for_any_values() -> None:
    raw = np.array([[0xFF0000, 0xFF0000, 7], [7, 0, 0xFF0000]], np.uint32)
    codes, values, pixels = compact(raw, None, HERE)
    assert (np.array(values)[codes] == raw).all()
    assert dict(zip(values, pixels, strict=True)) == {0: 1, 7: 2, 0xFF0000: 3}
    valid = np.array([[True, False, True], [True, True, True]])
    codes, values, pixels = compact(raw.astype(np.uint8), valid, HERE)
    assert np.array(values)[codes].tolist() == [[0, NO_DATA, 7], [7, 0, 0]]
    with pytest.raises(DataError, match="at most 256 different values; got 300"):
        compact(np.arange(300, dtype=np.uint16).reshape(10, 30), None, HERE)


def test_colours_are_classes() -> None:
    classes = decide(
        np.array([0xFF0000, 0, 0x00FF00]), classes={"sky": [0, 0, 0], "road": "#ff0000", "tree": "#00FF00"}
    )
    assert (classes.values, classes.ignore_values, classes.colours) == ((0, 0xFF0000, 0x00FF00), (), True)
    with pytest.raises(DataError, match="#0000ff"):
        decide(np.array([0xFF0000, 0, 255]), classes={"sky": "#000000", "road": "#ff0000"})
    ignoring = decide(np.array([0xFF0000, 0, 255]), classes={"a": "#000000", "b": "#ff0000"}, ignore_index="#0000ff")
    assert ignoring.ignore_values == (255,)
    several = {"#0000ff": (255,), (0, 0, 255): (255,), ("#0000ff", "#000001"): (255, 1), ((0, 0, 255), 7): (255,)}
    for given, values in several.items():
        found = decide(np.array([0xFF0000, 0, 255, 1]), classes={"a": "#000000", "b": "#ff0000", "c": "#000001"}
                       if 1 not in values else {"a": "#000000", "b": "#ff0000"}, ignore_index=given)  # fmt: skip
        assert found.ignore_values == values
    with pytest.raises(DataError, match="a number or every class a colour"):
        decide([0, 1], classes={"a": 0, "b": "#000001"})


def test_a_class_map_survives_json() -> None:
    classes = ClassMap(("a", "b"), (0, 300), (255, 7), 128, "because")
    assert ClassMap.from_json(classes.to_json()) == classes


def ramp() -> np.ndarray:
    """A 0/255 mask with a few pixels of smoothed edge."""
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 255
    mask[:4, 20] = [3, 90, 200, 250]
    return mask


def test_smoothed_masks_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"m0\.png.*look smoothed.*--data\.foreground_from 128"):
        decide(ramp())
    labels = apply_classes(ramp(), decide(ramp(), foreground_from=128))
    assert labels.mean() == pytest.approx(0.5, abs=0.01)


# masks, options, words of the sentence
REFUSED: dict[str, tuple[list[list[int]], dict[str, object], str]] = {
    "only background": ([[0, 0], [0]], {}, "at least two classes; all 2 of them hold only 0"),
    "only background and ignored": ([[0, 255, 1]], {"ignore_index": 1, "classes": ["a"]},
                                    "name 2 to 255 classes; got 1"),
    "0 and 255 ignored of 0 and 255": ([[0, 255]], {"ignore_index": [0, 255]}, "at least two classes"),
    "only ignored": ([[7, 7]], {"ignore_index": 7}, "hold only 7"),
    "a value with no name": ([[0, 1], [0, 5, 5]], {"classes": ["a", "b"]},
                             r"1 masks hold others, 2 pixels.*: m1\.png \(5\)"),
    "an unnamed colour": (
        [[0, 1, 0x9B9B9B]],
        {"classes": {"a": "#000000", "b": "#000001"}},
        "add --data\\.ignore_index '#9b9b9b'",
    ),
    "an unnamed ignore value": ([[0, 1, 2, 2]], {"classes": ["a", "b"]}, r"add --data\.ignore_index 2"),
    "several values with no name": ([[0, 1, 4, 6]], {"classes": ["a", "b"]}, r"4 and 6.*Name them in data\.classes"),
    "a map that does not fit": ([[0, 1]], {"classes": {"a": 7, "b": 9}},
                                r"must fit the masks; none of its values \(7 and 9\)"),
    "one value for two": ([[0, 1]], {"classes": {"a": 1, "b": 1}}, "1 stands twice"),
    "scattered values": ([[0, 40, 90, 200]], {}, r"class numbers 0, 1, 2, …; got 0, 40, 90 and 200"),
    "more classes than a byte": ([[0, 256, 300]], {}, "class numbers"),
    "three names and a threshold": ([[0, 9]], {"classes": ["a", "b", "c"], "foreground_from": 5},
                                    "must name two classes"),
    "a file's 255 unnamed": ([[0, 1, 2, 3, 255]], {"ignore_index": None}, "class numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_doubtful_masks_are_refused(case: str) -> None:
    masks, options, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        decide(*masks, **options)


@pytest.mark.parametrize("largest", [2, 3, 20])
def test_class_numbers_with_ignored_outlines_are_no_smoothed_masks(largest: int) -> None:
    """As in Pascal VOC: mostly background, some classes, 5 % of unlabelled outline at 255."""
    mask = np.zeros(1000, np.uint8)
    mask[: 10 * largest] = np.repeat(np.arange(1, largest + 1), 10)
    mask[-50:] = 255
    classes = decide(mask)
    assert classes.values == tuple(range(largest + 1))
    assert classes.ignore_values == (255,)


def test_what_is_left_beside_the_ignored_is_told() -> None:
    with pytest.raises(DataError, match="hold only 0 beside the ignored 1"):
        decide([0, 1], ignore_index=1)


@pytest.mark.parametrize("named", [True, False], ids=["configured", "in the folder"])
def test_a_name_that_cannot_be_written_is_refused(named: bool) -> None:
    """JSON and YAML can escape half of a pair of surrogates: a copy's record of repairs was lost over it."""
    names = {"sky": 0, "\ud800": 1}
    with pytest.raises(DataError, match=r"names of classes must be text that can be written; got \\ud800"):
        decide([0, 1], **({"classes": names} if named else {"named": names}))


def test_many_wrong_masks_are_listed_and_counted() -> None:
    with pytest.raises(DataError, match=r"9 masks hold others, 9 pixels in all: m1\.png.* and 5 more"):
        decide([0, 1], *([[0, 7]] * 9), classes=["a", "b"])


def test_a_records_own_remapping_may_lead_beyond_8_bits(write_image, tmp_path: Path) -> None:
    mask = write_image(tmp_path / "m.png", np.array([[1, 2], [3, 1]], np.uint8))
    record = Record("a", mask, mask, form=MaskForm(remap=((1, 700), (2, 1))))
    assert load_mask(record, (2, 2)).raw.tolist() == [[700, 1], [3, 700]]


def test_a_formats_usual_names_hold_where_the_values_fit() -> None:
    usual = {f"usual_{value}": value for value in range(5)}

    def names(*values: int, **options: object) -> tuple[str, ...]:
        listing = Listing((), "voc", "", ignore=(255,), classes_from="the format", usual_classes=usual)
        return decide_classes(DataConfig.model_validate(options), listing, {"m": dict.fromkeys(values, 9)}).names

    assert names(0, 2, 255) == names(0, 1, 4) == tuple(usual)
    assert names(0, 1, 5)[0] == "class_0"  # a value the format has not
    assert names(0, 1, 255) == BINARY  # nobody means the format's first two classes by that
    assert names(0, 1, 2, classes=["a", "b", "c"]) == ("a", "b", "c")


def test_one_class_beside_what_is_ignored_is_none() -> None:
    with pytest.raises(DataError, match="only 1 beside the ignored 0"):
        decide([0, 1], ignore_index=0)
