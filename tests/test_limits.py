"""No number and no file is without a limit: what nobody means is refused in a sentence, before work begins and in no
time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import annotated_types
import pytest

from maskwright.config import Config
from maskwright.config.augment import AugmentOp
from maskwright.config.keys import MODEL_SECTIONS, known_keys, sections_of
from maskwright.config.losses import LOSS_SECTIONS
from maskwright.config.yaml_text import flag_value, load_yaml
from maskwright.data.augment import OPERATIONS
from support import TINY, data, finished, in_no_time, maskwright

HUGE = ("1e30", "99999999999", "1e308", "-1", "9" * 400, "-1e30", ".nan", ".inf", "1e-30")
# any value above 0 can be computed with: what comes of it is a loss that is not finite, which ends a training with a
# sentence
FREE = {"optim.lr", "optim.weight_decay", "optim.clip", "optim.encoder_scale", "model.aux_weight", "data.tones"}
# limited by what reads them: values of masks, numbers of a loss, bands' mean and deviation, options of torch's
# optimisers
CHECKED = {"classes", "ignore_index", "loss", "augment", "mean", "std", "options", "freeze"}


def numbers(annotation: Any, metadata: list[Any]) -> list[tuple[type, list[Any]]]:
    """The numbers a key may hold, each with what limits it."""
    if annotation in (int, float):
        return [(annotation, metadata)]
    inner = getattr(annotation, "__metadata__", None)
    if inner is not None:
        own = [one for part in inner for one in (getattr(part, "metadata", None) or [part])]
        return numbers(annotation.__origin__, [*metadata, *own])
    return [found for part in get_args(annotation) for found in numbers(part, metadata)]


def test_every_number_of_the_configuration_has_both_limits():
    without = []
    sections = [Config, *MODEL_SECTIONS.values()]
    seen: dict[str, Any] = {}
    while sections:
        section = sections.pop()
        for name, field in section.model_fields.items():
            sections += sections_of(field.annotation)
            seen[f"{section.__name__}.{name}"] = field
    for key, field in seen.items():
        for kind, limits in numbers(field.annotation, list(field.metadata)):
            above = any(isinstance(one, annotated_types.Ge | annotated_types.Gt) for one in limits)
            below = any(isinstance(one, annotated_types.Le | annotated_types.Lt) for one in limits)
            if not (above and below):
                without.append(f"{key}: {kind.__name__}")
    names = {name.rpartition(".")[2] for name in FREE} | CHECKED
    assert [one for one in without if one.partition(":")[0].partition(".")[2] not in names] == []


@pytest.mark.parametrize("key", [key for key in known_keys() if key.rpartition(".")[2] in (
    "size", "scale", "window", "epochs", "minutes", "repeats", "batch_size", "accumulate", "seed", "workers",
    "early_stop", "width", "depth", "period", "patience", "every", "val", "folds", "fold", "grow", "crop_focus",
    "foreground_from", "power",
)])  # fmt: skip
@pytest.mark.parametrize("value", HUGE)
def test_a_number_that_nobody_means_is_refused(key, value):
    outcome = maskwright("config", "show", f"--{key}", value)
    if outcome.code == 0:  # small and above 0
        assert value == "1e-30" and key in ("data.split.val", "train.grow", "data.crop_focus", "optim.power")
        return
    assert outcome.code == 2 and len(outcome.err) < 600
    name = key.removesuffix(".fold")
    assert f"`{name}" in outcome.sentence or f"Unknown key '{name}'" in outcome.sentence  # model.size is of no U-Net


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_augmentation_is_no_stronger_than_makes_sense(name):
    for amount in (1e30, 1e9, 400):
        outcome = maskwright(
            "train", "--data", data(), *TINY, "--augment", json.dumps([{"name": name, "amount": amount}])
        )
        assert (
            outcome.code == 2
            and "`augment.0.amount` must be at most" in outcome.sentence
            and f"for {name}" in outcome.sentence
        )
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        AugmentOp(name=name, amount=-1)


@pytest.mark.parametrize("name", LOSS_SECTIONS)
def test_a_loss_whose_numbers_are_too_large_ends_in_a_sentence(tmp_path, name):
    fields = [key for key in LOSS_SECTIONS[name].model_fields if key not in ("name", "class_weights")]
    for key in fields:
        loss = json.dumps([{"name": name, key: 1e300}])
        outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--loss", loss, "--out", tmp_path / key)
        assert outcome.code == 2 and "unexpected" not in outcome.sentence, (key, outcome.err)


@pytest.mark.parametrize(
    "words",
    [
        ["data", "make", "puzzle", "OUT", "--count", "99999999999"],
        ["data", "make", "puzzle", "OUT", "--size", "999999999"],
        ["data", "make", "puzzle", "OUT", "--size", "32x" + "9" * 30],
        ["data", "make", "puzzle", "OUT", "--size", "9" * 5000],
        ["data", "make", "puzzle", "OUT", "--seed", str(2**64)],
        ["data", "make", "puzzle", "OUT", "--seed", "-1"],
        ["data", "preview", "DATA", "--count", "99999999999", "--out", "OUT"],
        ["data", "preview", "DATA", "--draws", "99999999999", "--out", "OUT"],
        ["demo", "--out", "OUT", "--budget", "99999999999d"],
        ["demo", "--out", "OUT", "--budget", "0s"],
        ["demo", "--out", "OUT", "--seed", str(2**64)],
        ["models", "--sizes", "--side", "99999999999"],
        ["encoders", "--match", "resnet18", "--side", "99999999999"],
        ["evaluate", "RUN", "--boundary-width", "99999999999999999999"],
        ["evaluate", "RUN", "--boundary-width", "-1"],
        ["evaluate", "RUN", "--mask-threshold", "nan"],
        ["predict", "RUN", "x.png", "--mask-threshold", "1e300"],
        ["search", "SPACE", "--trials", "99999999999"],
        ["search", "SPACE", "--minutes", "nan"],
        ["search", "SPACE", "--minutes", "inf"],
        ["data", "get", "oxford-pet", "OUT", "--tries", "99999999999999999999"],
    ],
    ids=lambda words: " ".join(words)[:80],
)
def test_flags_have_limits(tmp_path, words):
    space = tmp_path / "space.yaml"
    space.write_text("base: {data: {root: nowhere}}\nsearch: {lr: {low: 1e-4, high: 1e-1, log: true}}\n")
    places = {"OUT": tmp_path / "out", "RUN": finished(), "SPACE": space, "DATA": data()}
    outcome = maskwright(*(places.get(word, word) for word in words))
    assert outcome.code == 2 and outcome.sentence and "unexpected" not in outcome.sentence
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ files

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(12)
)


@pytest.fixture(autouse=True)
def _in_no_time() -> Iterator[None]:
    with in_no_time(60):
        yield


BOMBS = {
    "laughs": LAUGHS,
    "merged": "k0: &k0 {x: 1}\n"
    + "".join(f"k{n}: &k{n} {{{', '.join(f'{m}: *k{n - 1}' for m in 'abcdefgh')}}}\n" for n in range(1, 12)),
    "itself": "a: &a [*a]\n",
    "itself as a key": "? &a {*a : 1}\n: 1\n",
    "deep": "a: " + "[" * 5_000,
    "deep mappings": "{a: " * 20_000,
    "long": "a: " + "x" * 3_000_000,
    "digits": "train: {epochs: " + "9" * 100_000 + "}",
    "sixties": "train: {epochs: " + ":".join(["59"] * 20_000) + "}",
    "exponent": "train: {epochs: 1e999999999}",
    "tabs": "\t" * 1000,
    "nul": "data: {root: a\0b}",
    "utf-16": "data: {root: a}".encode("utf-16").decode("latin-1"),
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("place", ["train", "compare", "search", "config show", "dataset.yaml", "classes.yaml"])
def test_a_yaml_that_would_never_end_is_refused(tmp_path, bomb, place):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for path in sorted((data() / folder).iterdir())[:2]:
            (root / folder / path.name).symlink_to(path)
    path = root / place if place.endswith(".yaml") else tmp_path / "my.yaml"
    path.write_text(BOMBS[bomb], encoding="latin-1")
    words = ["check", root] if place.endswith(".yaml") else [*place.split(), path]
    outcome = maskwright(*words)
    if place == "dataset.yaml" and outcome.code in (0, 1):  # another program's, left aside
        assert "describes no data set" in outcome.out
        return
    assert outcome.code == 2 and len(outcome.err) < 2000
    assert "unexpected" not in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize("text", [LAUGHS, "[" * 5_000, "9" * 5000, "&a [*a]"])
def test_a_flag_that_would_never_end_is_refused(text):
    outcome = maskwright("config", "show", "--data.classes", text)
    assert outcome.code == 2 and "unexpected" not in outcome.sentence


def test_aliases_and_merges_a_person_writes_are_read():
    text = "base: &base {epochs: 3, seed: 1}\ntrain: {<<: *base, seed: 2}\n"
    assert load_yaml(text) == {"base": {"epochs": 3, "seed": 1}, "train": {"epochs": 3, "seed": 2}}
    many = {f"class {number}": number for number in range(2_000)}
    assert load_yaml(json.dumps(many)) == flag_value(json.dumps(many)) == many


IN_THE_DATA = (
    "pairs.csv",
    "dataset.yaml",
    "classes.yaml",
    "label_mapping.json",
    "_annotations.coco.json",
    "labelmap.txt",
)


@pytest.mark.parametrize(
    "place", [*IN_THE_DATA, "config", "weights.pth", "weights.safetensors", "--data", "comparison", "predict"]
)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, place):
    root = tmp_path / "data"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for path in sorted((data() / folder).iterdir())[:2]:
            (root / folder / path.name).symlink_to(path)
    pipe = (root if place in IN_THE_DATA else tmp_path) / place
    os.mkfifo(pipe)
    weights = ["train", "--data", data(), *TINY, "--out", tmp_path / "run", "--weights", pipe]
    words = {"config": ["train", pipe], "weights.pth": weights, "weights.safetensors": weights,
             "--data": ["check", pipe], "comparison": ["compare", pipe],
             "predict": ["predict", finished(), pipe]}  # fmt: skip
    outcome = maskwright(*words.get(place, ["check", root]))
    assert outcome.code in (0, 1, 2) and "unexpected" not in outcome.err
    assert outcome.code < 2 or Path(place).stem in outcome.err
