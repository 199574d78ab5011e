"""label_mapping.json: every form people write says the same; every wrong form is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.data.readers.workshop import LabelMapping, read_label_mapping
from maskwright.errors import DataError

IDS = {"background": 0, "water": 1, "road": 2}
COLOURS = {"background": 0x000000, "water": 0x0000FF, "road": 0x804080}
TRIPLES = {"background": [0, 0, 0], "water": [0, 0, 255], "road": [128, 64, 128]}
HEX = {"background": "#000000", "water": "#0000ff", "road": "#804080"}


def read(folder: Path, tree: object) -> LabelMapping:
    path = folder / "label_mapping.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return read_label_mapping(path)


FORMS_OF_IDS: dict[str, object] = {
    "name: id": IDS,
    "name: id, unordered": {"road": 2, "background": 0, "water": 1},
    "name: id as text": {name: str(value) for name, value in IDS.items()},
    "id: name": {str(value): name for name, value in IDS.items()},
    "id: name, unordered": {"2": "road", "0": "background", "1": "water"},
    "list of names": list(IDS),
    "name: object": {name: {"id": value} for name, value in IDS.items()},
    "id: object": {str(value): {"name": name} for name, value in IDS.items()},
    **{
        f"objects of {name_key} and {id_key}": [{name_key: name, id_key: value} for name, value in IDS.items()]
        for name_key in ("name", "label", "class", "class_name", "Name")
        for id_key in ("id", "value", "index", "class_id", "ID")
    },
    "objects whose label is a number": [{"name": name, "label": value} for name, value in IDS.items()],
    "objects whose class is a number": [{"name": name, "class": value} for name, value in IDS.items()],
}
FORMS_OF_COLOURS: dict[str, object] = {
    "name: [r, g, b]": TRIPLES,
    "name: #hex": HEX,
    "name: #HEX": {name: text.upper() for name, text in HEX.items()},
    "name: r,g,b": {name: ",".join(map(str, parts)) for name, parts in TRIPLES.items()},
    "r,g,b: name": {",".join(map(str, parts)): name for name, parts in TRIPLES.items()},
    "[r, g, b]: name": {str(parts): name for name, parts in TRIPLES.items()},
    "(r, g, b): name": {str(tuple(parts)): name for name, parts in TRIPLES.items()},
    "#hex: name": {text: name for name, text in HEX.items()},
    "name: object": {name: {"color": parts} for name, parts in TRIPLES.items()},
    "name: {r, g, b}": {name: dict(zip("rgb", parts, strict=True)) for name, parts in TRIPLES.items()},
    "#hex: object": {text: {"name": name} for name, text in HEX.items()},
    "background last": {name: TRIPLES[name] for name in ("water", "road", "background")},
    **{
        f"objects of name and {key}": [
            {"name": name, key: (HEX if key == "hex" else TRIPLES)[name]} for name in TRIPLES
        ]
        for key in ("color", "colour", "rgb", "hex", "color_rgb")
    },
}
FORMS_OF_BOTH: dict[str, object] = {
    "objects": [{"name": name, "id": IDS[name], "color": TRIPLES[name]} for name in IDS],
    "name: object": {name: {"id": IDS[name], "rgb": HEX[name]} for name in IDS},
    "id: object": {str(IDS[name]): {"label": name, "colour": TRIPLES[name]} for name in IDS},
}


@pytest.mark.parametrize("form", FORMS_OF_IDS)
def test_ids(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, FORMS_OF_IDS[form])
    assert found.ids == IDS and found.colours is None
    assert list(found.ids) == list(IDS)  # in the order of their ids


@pytest.mark.parametrize("form", FORMS_OF_COLOURS)
def test_colours(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, FORMS_OF_COLOURS[form])
    assert found.colours == COLOURS and found.ids is None
    assert list(found.colours) == list(COLOURS)  # background first, the others as they stand


@pytest.mark.parametrize("form", FORMS_OF_BOTH)
def test_ids_and_colours(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, FORMS_OF_BOTH[form])
    assert (found.ids, found.colours) == (IDS, COLOURS)


@pytest.mark.parametrize("nest", ["classes", "labels", "label_mapping", "mapping", "Classes"])
@pytest.mark.parametrize("tree", [IDS, TRIPLES, list(IDS), FORMS_OF_BOTH["objects"]])
def test_nested_under_one_key(nest: str, tree: object, tmp_path: Path) -> None:
    assert read(tmp_path, {nest: tree}) == read(tmp_path, tree)
    found = read(tmp_path, {"version": 2, nest: tree, "author": "somebody"})
    assert found.unused == ("version", "author")
    assert (found.ids, found.colours) == (read(tmp_path, tree).ids, read(tmp_path, tree).colours)


def test_nested_twice(tmp_path: Path) -> None:
    assert read(tmp_path, {"mapping": {"classes": IDS}}).ids == IDS


@pytest.mark.parametrize(
    "tree",
    [
        {"labels": [255, 0, 0], "other": [0, 0, 0]},
        {"labels": 1, "other": 0},
        {"labels": {"color": "#ff0000"}, "other": "#000000"},
    ],
)
def test_a_class_may_be_called_labels(tree: object, tmp_path: Path) -> None:
    found = read(tmp_path, tree)
    assert set(found.ids or found.colours or {}) == {"labels", "other"}


def test_colours_of_ids_without_names(tmp_path: Path) -> None:
    found = read(tmp_path, {"0": [0, 0, 0], "1": "#ff0000"})
    assert found == LabelMapping({"class_0": 0, "class_1": 1}, {"class_0": 0, "class_1": 0xFF0000})


def test_byte_order_mark_and_words_of_other_languages(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + json.dumps({"Straße": 1, "水": 2}, ensure_ascii=False)).ids == {
        "Straße": 1,
        "水": 2,
    }


# the file's text, and words of the sentence
WRONG: dict[str, tuple[str, str]] = {
    "no JSON": ('{"water": 1,\n "road" 2}', "must be JSON; Expecting ':' delimiter on line 2"),
    "nothing": ("", "must be JSON; Expecting value on line 1"),
    "empty table": ("{}", "must name the classes; it names none"),
    "empty list": ("[]", "must name the classes; it names none"),
    "empty nest": ('{"classes": {}}', "must name the classes; it names none"),
    "a number": ("7", "must hold a table or a list of classes; got 7"),
    "text": ('"water"', 'must hold a table or a list of classes; got "water"'),
    "null": ('{"water": null}', 'an id from 0 to 65535, or a colour; got "water": null'),
    "true": ('{"water": true}', 'got "water": true'),
    "a fraction": ('{"water": 0.5}', 'got "water": 0.5'),
    "negative": ('{"water": -1}', 'got "water": -1'),
    "too large": ('{"water": 70000}', 'got "water": 70000'),
    "two numbers": ('{"water": [0, 0]}', r"colours as \[r, g, b\].*got \[0, 0\]"),
    "four numbers": ('{"water": [0, 0, 255, 255]}', r"got \[0, 0, 255, 255\]"),
    "shares": ('{"water": [0.0, 0.0, 1.0]}', r"got \[0.0, 0.0, 1.0\]"),
    "over 255": ('{"water": [0, 0, 256]}', r"whole numbers from 0 to 255.*got \[0, 0, 256\]"),
    "over 255 as a key": ('{"0,0,256": "water"}', "whole numbers from 0 to 255.*got"),
    "a colour's name": ('{"water": "blue"}', 'got "blue"'),
    "short hex": ('{"water": "#00f"}', 'got "#00f"'),
    "colour: id": ('{"#0000ff": 1}', 'must give a colour a name; got "#0000ff": 1'),
    "id: id": ('{"0": 0, "1": 1}', 'must have a name for each id; got "0": 0'),
    "id: id as text": ('{"0": "1"}', 'got "0": "1", where it is not clear which is which'),
    "an empty name": ('{"": 1}', 'names that are not empty; got "": 1'),
    "an empty name for an id": ('{"1": " "}', "names that are not empty"),
    "a name twice": ('{"1": "water", "2": "water"}', "must name each class once; got 'water' more than once"),
    "a name twice in a list": ('["water", "water"]', "got 'water' more than once"),
    "a key twice": ('{"water": 1, "water": 2}', "must have each key once; got 'water' more than once"),
    "ids and colours mixed": ('{"water": 1, "road": [1, 2, 3]}',
                              "an id or every class a colour; got no colour for 'water'"),
    "names and objects mixed": ('["water", {"name": "road", "id": 1}]', 'a list; entry 1 is "water"'),
    "lists in a list": ('[["water", 1]]', r'entry 1 is \["water", 1\]'),
    "numbers in a list": ("[0, 1]", "entry 1 is 0"),
    "objects without a name": ('[{"id": 1}]', "entry 1 has no name"),
    "objects with a name alone": ('[{"name": "water"}]', "entry 1 has no id or a colour"),
    "objects with a wrong id": ('[{"name": "water", "id": 1.5}]', "got 1.5 in entry 1"),
    "objects with a wrong colour": ('[{"name": "water", "color": "blue"}]', 'got "blue"'),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence_with_file_finding_and_remedy(case: str, tmp_path: Path) -> None:
    text, words = WRONG[case]
    with pytest.raises(DataError, match=words) as refused:
        read(tmp_path, text)
    told = str(refused.value)
    assert told.startswith(f"`{tmp_path / 'label_mapping.json'}` must ")
    assert "\n" not in told
    assert any(remedy in told for remedy in ('Write {"water": 1', "Fix that line.", "Keep one of them."))


def test_other_encodings_and_absurd_depths_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "label_mapping.json"
    path.write_bytes(b'{"Stra\xdfe": 1}')
    with pytest.raises(DataError, match="must be text in UTF-8"):
        read_label_mapping(path)
    with pytest.raises(DataError, match=r"label_mapping\.json` must"):
        read(tmp_path, "[" * 100_000)


TEXTS = st.sampled_from(["water", "road", "", "0", "7", "70000", "9" * 5000, "#0000ff", "1,2,3", "[1, 2, 300]",
                         "labels", "classes", "id", "name", "color"])  # fmt: skip
LEAVES = TEXTS | st.none() | st.booleans() | st.integers(-2, 300) | st.floats(allow_nan=True) | st.just(10**9)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_whatever_json_holds_it_is_read_or_refused_in_a_sentence(tree: object, tmp_path: Path) -> None:
    refusal = ""
    try:
        found = read(tmp_path, tree)
    except DataError as refused:
        refusal, found = str(refused), None
    assert bool(found) == (" must " not in refusal)
    assert "\n" not in refusal
    if found is None:
        return
    for table, largest in ((found.ids, 65535), (found.colours, 0xFFFFFF)):
        assert table is None or all(name and 0 <= value <= largest for name, value in table.items())
    assert found.ids or found.colours
