"""Flags as overrides: our spellings, the seeds' spellings, dotted keys, and near names."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.config.files import load_config
from maskwright.config.flags import FREEZE, SHORT, parse_overrides
from maskwright.config.keys import known_keys
from maskwright.errors import UsageError
from support import maskwright


def test_every_short_flag_leads_to_a_known_key():
    assert set(SHORT.values()) <= set(known_keys())
    assert set(FREEZE.values()) == {"encoder", "decoder", "head"}


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("--batch_size", "7"), "train.batch_size", 7),
        (("--batch-size", "7"), "train.batch_size", 7),
        (("--batch_size=7",), "train.batch_size", 7),
        (("--weight_decay", "0.5"), "optim.weight_decay", 0.5),
        (("--wd", "0.5"), "optim.weight_decay", 0.5),
        (("--data_path", "here"), "data.root", str(Path.cwd() / "here")),
        (("--data", "here"), "data.root", str(Path.cwd() / "here")),
        (("--lr", "1e-3"), "optim.lr", 0.001),
        (("--learning_rate", "1e-3"), "optim.lr", 0.001),
        (("--freeze_encoder",), "optim.freeze", ["encoder"]),
        (("--freeze-encoder", "--freeze_head"), "optim.freeze", ["encoder", "head"]),
        (("--epochs", "5"), "train.epochs", 5),
        (("--seed", "5"), "train.seed", 5),
        (("--loss", "bce"), "loss", load_config(None, [("loss", [{"name": "bce"}], "here")]).model_dump()["loss"]),
        (("--precision", "bf16"), "train.precision", "bf16"),
        (("--devices", "cpu"), "train.devices", "cpu"),
        (("--model.width", "8"), "model.width", 8),
        (("--data.split.val=0.3",), "data.split.val", 0.3),
        (("--data.ignore_index", "null"), "data.ignore_index", None),
        (("--train.early_stop", "4"), "train.early_stop", 4),
        (("--train.early-stop", "4"), "train.early_stop", 4),
        (("--data.classes", "{a: 0, b: 7}"), "data.classes", {"a": 0, "b": 7}),
        (("--log", "[csv]"), "log", ["csv"]),
        (("--data.root=a=b",), "data.root", str(Path.cwd() / "a=b")),
    ],
)
def test_a_flag_reaches_its_key(words, key, value):
    outcome = maskwright("config", "show", *words, "--json")
    assert outcome.code == 0, outcome.err
    node = outcome.json
    for part in key.split("."):
        node = node[part]
    assert node == value


def test_save_dir_is_out(tmp_path):
    """Said by the refusal of a taken folder, which comes before any work."""
    (tmp_path / "file").write_text("")
    for flag in ("--save_dir", "--save-dir", "--out"):
        assert f"got {tmp_path}" in maskwright("train", "--data", "x", flag, tmp_path).sentence


def test_a_negative_number_is_a_value():
    assert "must be greater than 0" in maskwright("config", "show", "--lr", "-1").sentence


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--lrr", "3"], "Unknown flag '--lrr'. Did you mean '--lr'?"),
        (["--batchsize", "3"], "Did you mean '--batch-size'?"),
        (["--imgsz", "64"], "Unknown flag '--imgsz'. Did you mean '--size'?"),
        (["--img_size", "64"], "Did you mean '--size'?"),
        (["--image-size", "64"], "Did you mean '--size'?"),
        (["--batch", "8"], "Unknown flag '--batch'. Did you mean '--batch-size'?"),
        (["--freeze-encodr"], "Did you mean '--freeze-encoder'?"),
        (["--lr"], "`--lr` must be followed by a value; got nothing. Write --lr VALUE."),
        (["--lr", "--epochs", "3"], "`--lr` must be followed by a value"),
        (["my_data"], "Did you mean --data my_data?"),
        (["--width", "8"], "Unknown flag '--width'. Did you mean '--model.width'?"),
        (["--modle.width", "32"], "Unknown flag '--modle.width'. Did you mean '--model.width'?"),
        (["--data.spilt.val=0.3"], "Unknown flag '--data.spilt.val'. Did you mean '--data.split.val'?"),
        (["--qqqqqqqq", "3"], "See maskwright train --help."),
    ],
)
def test_a_flag_that_is_wrong_is_told_with_the_nearest(words, told):
    with pytest.raises(UsageError) as caught:
        parse_overrides(words)
    assert told in str(caught.value)


def test_unknown_flags_are_told_together():
    with pytest.raises(UsageError) as caught:
        parse_overrides(["--lrr", "3", "--depth=4", "--epochs", "3", "--freeze-encodr"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 flags are not known:" and len(lines) == 4
    assert "--model.depth" in lines[2] and lines[3].endswith("Did you mean '--freeze-encoder'?")


def test_an_unknown_dotted_key_is_told_by_the_configuration():
    sentence = maskwright("config", "show", "--optim.lrr", "3").sentence
    assert sentence == "--optim.lrr: Unknown key 'optim.lrr'. Did you mean 'optim.lr'?"


def test_a_short_flag_given_twice_takes_the_last():
    assert maskwright("config", "show", "--lr", "1", "--lr", "2", "--json").json["optim"]["lr"] == 2


@pytest.mark.parametrize(
    "name",
    ["2024", "2024-01-05", "set #2", "a: b", "[x]", "*x", "@home", "no", "1e3", "Übung 🙂", "it's", '"', "a\\b", " x"],
)
def test_a_folder_may_have_any_name(name):
    """Text is taken as it stands: read as YAML, `set #2` would be another folder, and 2024 none."""
    for key in ("data.root", "data.images", "model.weights"):
        both = [("data.masks", "m", "--data.masks")] if key == "data.images" else []
        config = load_config(None, [(key, name, f"--{key}"), *both])
        section, _, last = key.partition(".")
        assert getattr(getattr(config, section), last) == name


@pytest.mark.parametrize(
    ("text", "group"), [("[a-z]+_", "[a-z]+_"), ("null", None), ("~", "~"), ("'null'", "null"), ("auto", "auto")]
)
def test_text_that_may_be_null(text, group):
    """A pattern is taken as it stands too; null is nothing, and quoted as in YAML it is text."""
    assert load_config(None, [("data.split.group", text, "--data.split.group")]).data.split.group == group


def test_an_empty_text_is_no_folder():
    """As from `--data "$UNSET"`: not the folder one stands in."""
    assert "`data.root` must be named" in maskwright("config", "check", "--data", "").sentence


def test_a_date_is_text(tmp_path):
    (tmp_path / "my.yaml").write_text("data:\n  root: 2024-13-45\n")
    assert maskwright("config", "show", tmp_path / "my.yaml", "--json").json["data"]["root"] == str(
        tmp_path / "2024-13-45"
    )
    assert "a whole number; got '2024-13-45'" in maskwright("config", "show", "--train.seed", "2024-13-45").sentence


@pytest.mark.parametrize(
    "text", ["#9b9b9b", "# x", "1 # x", "~", "", " ", "no", "0x10", "1:30", "!!int 3", "2024-01-05", ":"]
)
def test_what_yaml_reads_as_something_else_is_refused_as_it_was_typed(text):
    """A comment, a number to base 16 or 60, nothing at all: none of them becomes a value without a word."""
    outcome = maskwright("config", "show", "--train.early_stop", text)
    assert outcome.code == 2 and "train.early_stop" in outcome.sentence and "YAML" not in outcome.sentence


def test_a_number_is_decimal():
    assert maskwright("config", "show", "--train.early_stop", "010", "--json").json["train"]["early_stop"] == 10


def test_a_name_is_no_truth_value_and_no_number():
    names = ["no", "on", "0x10", "1e3", "2024-01-05", "null", "a b"]
    typed = "[no, on, 0x10, 1e3, 2024-01-05, 'null', a b]"
    assert load_config(None, [("data.classes", typed, "--data.classes")]).data.classes == names
    meant = {"no": 0, "yes": 1, "1": 2, "08": 3}
    assert load_config(None, [("data.classes", "{no: 0, yes: 1, 1: 2, 08: 3}", "--data.classes")]).data.classes == meant


def test_a_name_that_stands_twice_is_told_with_both_values():
    problem = maskwright("config", "show", "--data.classes", "{name: 0, road: 1, name: 32}").sentence
    assert problem == "--data.classes: `name` must stand once; it stands with 0 and with 32. Give each its own name."


def test_colours_without_quotes_in_a_list_are_told_how_to_be_quoted():
    problem = maskwright("config", "show", "--data.ignore_index", "[#9b9b9b, #000000]").sentence
    assert problem.endswith("""Quote colours, as in '["#rrggbb"]'.""")
