"""dataset.yaml: laid under what is configured, wrong keys told with their line, other programs' files left aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.description import described
from maskwright.data.opening import open_dataset
from maskwright.errors import ConfigError


@pytest.fixture
def root(make_set) -> Path:
    return make_set(8, values=(3, 5))


def config(root: Path, **keys: Any) -> DataConfig:
    return DataConfig.model_validate({"root": str(root), **keys})


def test_it_fills_what_is_left_open(root):
    (root / "dataset.yaml").write_text("classes: {ground: 3, thing: 5}\nignore_index: 9\nsplit: {val: 0.3}\n")
    settled, notes = described(config(root))
    assert settled.classes == {"ground": 3, "thing": 5} and settled.ignore_index == 9 and settled.split.val == 0.3
    assert notes == ("dataset.yaml gives classes, ignore_index and split",)
    opened = open_dataset(config(root))
    assert opened.dataset.classes.names == ("ground", "thing") and opened.config.ignore_index == 9
    assert "dataset.yaml gives classes, ignore_index and split" in opened.dataset.notes


def test_what_is_configured_wins_key_by_key(root):
    (root / "dataset.yaml").write_text("classes: {ground: 3, thing: 5}\nignore_index: 9\nsplit: {val: 0.3, seed: 4}\n")
    settled, notes = described(config(root, ignore_index=None, split={"seed": 7}))
    assert settled.ignore_index is None and (settled.split.seed, settled.split.val) == (7, 0.3)
    assert settled.classes == {"ground": 3, "thing": 5}
    assert notes == ("dataset.yaml gives classes and split",)


def test_done_twice_it_changes_nothing_more(root):
    (root / "dataset.yaml").write_text("classes: {ground: 3, thing: 5}\n")
    once, _ = described(config(root))
    assert described(once) == (once, ())


def test_folders_are_told_by_one_of_the_two_alone(root):
    (root / "dataset.yaml").write_text("reader: csv\nimages: scans\nmasks: drawings\nclasses: {ground: 3, thing: 5}\n")
    settled, _ = described(config(root, images="images", masks="masks"))
    assert (settled.images, settled.masks, settled.reader) == ("images", "masks", "auto")
    assert settled.classes == {"ground": 3, "thing": 5}


def test_beside_a_csv_it_is_found_too(root):
    (root / "mine.csv").write_text(
        "image,mask\n" + "".join(f"images/{n:03d}.png,masks/{n:03d}.png\n" for n in range(8))
    )
    (root / "dataset.yaml").write_text("classes: {ground: 3, thing: 5}\n")
    assert described(config(root / "mine.csv"))[0].classes == {"ground": 3, "thing": 5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "reader: folders\nclases: [a, b]\n",
            "dataset.yaml, line 2: Unknown key 'clases'. Did you mean 'classes'?",
        ),
        ("reader: folders\nignore_index: many\n", "dataset.yaml, line 2: `ignore_index`"),
        ("classes: [a, b]\nsplit:\n  groups: x\n", "dataset.yaml, line 3: Unknown key 'split.groups'"),
        ("classes: [a, b]\nsize: 512\n", "dataset.yaml, line 2: `size` must stand in the configuration of a training"),
        ("classes: [a, b]\nroot: /elsewhere\n", "line 2: `root` must stand in the configuration"),
        ("classes: [a, b\n", "must be valid YAML"),
        ("<<: {clases: [a, b]}\nreader: folders\n", "dataset.yaml, line 1: Unknown key 'clases'"),
        ("tones: [200, 10]\n", "`tones` must be a lower and a higher value; got 200 and 10"),
    ],
)
def test_a_wrong_description_is_told_with_its_line(root, text, told):
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        described(config(root))
    assert told in str(refused.value)


def test_another_programs_file_is_left_aside_and_noted(root):
    (root / "dataset.yaml").write_text("path: ../x\nnc: 2\nnames: {0: a, 1: b}\n")
    settled, notes = described(config(root, classes={"a": 3, "b": 5}))
    assert settled == config(root, classes={"a": 3, "b": 5})
    assert notes == ("dataset.yaml describes no data set (path, nc and names) and was left aside",)


def test_without_one_nothing_happens(root):
    assert described(config(root)) == (config(root), ())
    assert described(DataConfig()) == (DataConfig(), ())
    (root / "dataset.yaml").write_text("# nothing yet\n")
    assert described(config(root)) == (config(root), ())
