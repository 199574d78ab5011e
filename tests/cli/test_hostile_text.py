"""Names with what a terminal obeys, plots take for formulas, or line breaks: shown escaped, drawn as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from maskwright.errors import UNPRINTABLE
from maskwright.runs import Run
from support import EPOCHS, TINY, Outcome, disc_data, finished, maskwright

EVIL = "\x1b[2J\x1b]0;x\x07\x9b1m\u202eb\r"
RUN = r"a$\frac$b_^{x $$ \ % <i>&" + "\x1b[31m训"


def plain(outcome: Outcome) -> Outcome:
    """What a terminal is given holds nothing it would obey."""
    said = outcome.out + outcome.err
    assert not UNPRINTABLE.search(said), repr(said)
    return outcome


@pytest.fixture(scope="module")
def evil(tmp_path_factory) -> Path:
    """A data set whose images bear such names, and a run of it, with such a name and such classes."""
    root = tmp_path_factory.mktemp("evil")
    folder = disc_data(root / f"data{EVIL}", [(32, 40)] * 8, ["train"] * 4 + ["val"] * 2 + ["test"] * 2)
    for kind in ("images", "masks"):
        for path in (folder / kind).iterdir():
            path.rename(path.with_name(f"{EVIL}{path.name}"))
    with (folder / "pairs.csv").open(newline="") as file:
        rows = [[cell.replace("/", f"/{EVIL}") for cell in row] for row in csv.reader(file)]
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    classes = json.dumps({f"no{EVIL}": 0, f"disc$\\x${EVIL}": 255})
    words = ("--data", folder, "--data.classes", classes, *TINY, "--epochs", EPOCHS - 2)
    assert plain(maskwright("train", *words, "--out", root / RUN)).code == 0
    assert plain(maskwright("train", *words, "--seed", 1, "--out", root / f"{RUN}2")).code == 0
    return root


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["table", "json"])
@pytest.mark.parametrize("command", ["evaluate", "report", "diagnose", "predict", "compare", "check"])
def test_no_command_gives_a_terminal_what_it_would_obey(evil, tmp_path, command, json):
    folder = evil / f"data{EVIL}"
    words = {"predict": [evil / RUN, folder / "images", "--out", tmp_path / "out"],
             "compare": [evil / RUN, evil / f"{RUN}2", "--out", tmp_path / "out"],
             "check": [folder, "--html", tmp_path / "page.html"]}  # fmt: skip
    outcome = plain(maskwright(command, *words.get(command, [evil / RUN]), *json))
    assert outcome.code in (0, 1), outcome.err
    if json:
        assert outcome.json


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", f"/none{EVIL}"],
        ["evaluate", f"none{EVIL}"],
        ["predict", finished, f"none{EVIL}.png"],
        ["train", f"none{EVIL}.yaml"],
        ["train", f"--{EVIL}", "1"],
        ["config", "show", "--loss", f"dice{EVIL}"],
        ["config", "show", "--model.weights", f"a{EVIL}.pth"],
        [f"evaluate{EVIL}"],
    ],
    ids=["data", "run", "image", "config", "flag", "value", "shown", "command"],
)
def test_errors_repeat_what_was_typed_in_a_form_that_is_safe(words):
    plain(maskwright(*(word() if callable(word) else word for word in words)))


def test_a_break_in_a_name_adds_no_line_to_the_configuration(tmp_path):
    """The reasons of what was `auto` stand in comments."""
    from safetensors.numpy import load_file, save_file

    weights = tmp_path / "w\ntrain: {epochs: 99}\r\u2028\x85.safetensors"
    save_file(load_file(finished() / "model.safetensors"), weights)
    config = yaml.safe_load((finished() / "config.yaml").read_text())
    words = ("--data", config["data"]["root"], "--weights", weights, *TINY, "--epochs", 1, "--out", tmp_path / "run")
    assert maskwright("train", *words).code == 0
    run = Run.open(tmp_path / "run")
    assert run.config.train.epochs == 1 and run.config.model.weights == str(weights)
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert text.count("\ntrain:") == 1


def test_the_folder_of_a_run_is_named_in_plain_letters(tmp_path, monkeypatch):
    from maskwright.config.files import load_config
    from maskwright.runs import default_out

    monkeypatch.chdir(tmp_path)
    config = load_config(None, [("data.root", f"a\nb/c{EVIL}d", "--data")])
    assert str(default_out(config)) == "runs/c-2J-0-x-1m-b-d-auto-1"
