"""The command line in this process: help, JSON, exit codes, near names, and never a traceback for a mistake."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from maskwright.cli import COMMANDS, main
from maskwright.errors import ConfigError, RunError
from support import (
    EPOCHS,
    PROGRAM,
    SCORES,
    TINY,
    copy_of,
    data,
    evaluated,
    finished,
    maskwright,
    noise,
    picture,
    trained,
)

ALL = [tuple(name.split()) for name in COMMANDS]


def test_help_names_every_command_and_what_it_does():
    outcome = maskwright("--help")
    assert outcome.code == 0 and outcome.err == ""
    told = {name: about for name, (_, about) in COMMANDS.items()}
    for name, about in told.items():
        assert f"  {name}  " in outcome.out and about in outcome.out
    assert maskwright().out == maskwright("-h").out == outcome.out


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_commands_help_works(words):
    outcome = maskwright(*words, "--help")
    assert outcome.code == 0 and outcome.err == ""
    assert outcome.out.startswith(f"Usage: maskwright {' '.join(words)}")
    assert "``" not in outcome.out


def test_the_version_is_the_distributions():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert maskwright("--version").out.strip() == version("maskwright") == project["version"]


# ------------------------------------------------------------------ one JSON document and nothing else


@pytest.mark.parametrize(
    "words", [("models",), ("losses",), ("doctor",), ("config", "show"), ("config", "schema")], ids=" ".join
)
def test_lists_and_settings_as_json(words):
    outcome = maskwright(*words, "--json")
    assert outcome.code == 0
    assert outcome.json
    assert outcome.err == ""


def test_data_make_as_json(tmp_path):
    outcome = maskwright("data", "make", "landcover", tmp_path / "set", "--count", 5, "--size", "32x40", "--json")
    assert outcome.json["images"] == 5 and sum(outcome.json["splits"].values()) == 5
    assert len(outcome.json["classes"]) == 5 and outcome.json["root"] == str(tmp_path / "set")


def test_train_as_json():
    told = trained().json
    assert told.keys() == {"run", "best_epoch", "scores", "seconds", "stopped_early", "diagnosis"}
    assert {"code", "severity", "title", "evidence", "advice", "figures"} == told["diagnosis"][0].keys()
    assert told["run"] == str(finished()) and told["stopped_early"] is False and told["seconds"] > 0
    assert told["scores"].keys() == set(SCORES)
    assert "epoch 1/4" in trained().err


def test_training_tells_its_plan():
    lines = trained().err.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["data", "model", "plan"]
    assert lines[0].startswith("data    4 train, 2 val, 2 test; ")


def test_evaluate_and_predict_as_json(tmp_path):
    assert evaluated().json["images"] == 2
    image = picture(tmp_path / "x.png", noise(7, 5))
    told = maskwright("predict", finished(), image, "--out", tmp_path / "out", "--json").json
    assert told == {"out": str(tmp_path / "out"), "images": [str(image)], "problems": [], "replaced": 0}


def test_config_check_as_json():
    told = maskwright("config", "check", "--data", data(), *TINY, "--json").json
    assert told["images"] == {"train": 4, "val": 2, "test": 2}
    assert told["parameters"] > 100 and told["config"]["model"]["width"] == 2
    assert "optim.name" in told["reasons"]


def test_report_as_json(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    outcome = maskwright("report", copy, "--json")
    assert outcome.code == 0, outcome.err
    assert Path(outcome.json["report"]).is_file()


# ------------------------------------------------------------------ for people


def test_tables_are_plain_lines_where_there_is_no_terminal():
    out = maskwright("losses").out
    assert out.splitlines()[0].split() == ["loss", "what", "it", "is", "parameters", "(default)"]
    assert {"ce", "dice", "bce", "auto"} <= {line.split()[0] for line in out.splitlines()}
    assert "\x1b" not in out and "─" not in out
    assert "unet" in maskwright("models").out


def test_doctor_tells_the_environment():
    out = maskwright("doctor").out
    for part in ("processor", "memory", "device", "precision", "allocator", "torchvision", "packages", "missing"):
        assert f"\n{part} " in out


def test_train_and_evaluate_say_what_comes_next(tmp_path):
    out = maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--out", tmp_path / "run").out
    assert out.startswith("best epoch 1: val IoU 0.") and f"next: maskwright evaluate {tmp_path / 'run'}" in out
    assert f"next: maskwright report {tmp_path / 'run'}" in maskwright("evaluate", tmp_path / "run").out


def test_config_check_without_json(tmp_path):
    outcome = maskwright("config", "check", "--data", data(), *TINY)
    assert outcome.code == 0 and outcome.out.startswith("the configuration fits: ") and "8 images" in outcome.out
    assert "why     optim.name: " in outcome.err


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trian",), "Did you mean `train`?"),
        (("config", "shwo"), "Did you mean `show`?"),
        (("evaluate", "x", "--splt", "val"), "Did you mean --split?"),
        (("evaluate",), "RUN"),
        (("data", "make", "puzle", "x"), "Did you mean 'puzzle'?"),
        (("data", "make", "puzzle", "x", "--count", "many"), "--count"),
        (("data", "make", "puzzle", "x", "--size", "big"), "`--size` must be HEIGHTxWIDTH or one number; got 'big'"),
        (("train", "--epoch", "3"), "Did you mean '--epochs'?"),
        (
            ("train", "--resume", "x", "--lr", "1"),
            "--resume cannot be combined with --lr: a run goes on with the settings",
        ),
        (("predict", "x"), "`IMAGES` must name at least one file or folder"),
        (("evaluate", "x"), "`RUN` must be a run folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    outcome = maskwright(*words)
    assert outcome.code == 2
    assert told in outcome.sentence
    assert outcome.out == "" and outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_many_problems_stand_one_a_line(tmp_path):
    (tmp_path / "my.yaml").write_text("modle: a\ntrian: b\n")
    err = maskwright("config", "show", tmp_path / "my.yaml").err
    assert err.splitlines()[0] == "maskwright: 2 problems in the configuration:"
    assert len(err.splitlines()) == 3


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(RunError, match="RUN"):
        main(["evaluate", str(tmp_path), "--debug"])
    with pytest.raises(Exception, match="trian"):
        main(["--debug", "trian"])


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (lambda: {}["gone"], "KeyError: 'gone' (in "),
        (lambda: json.loads("[" * 100_000), "RecursionError: maximum recursion depth exceeded"),
        (lambda: nested(10**5), "RecursionError"),
        (lambda: ConfigError(1), "TypeError: 'int' object is not iterable (in errors.py:"),
        (lambda: Path("gone").read_text(), "FileNotFoundError: [Errno 2] No such file or directory: 'gone' (in "),
        (lambda: main(None) if 1 / 0 else None, "ZeroDivisionError: division by zero (in "),
    ],
)
def test_an_error_of_our_own_is_told_as_one_in_a_sentence(monkeypatch, fails, told):
    """A command is replaced by one that fails: not said to be the user's fault, its traceback for --debug alone."""
    monkeypatch.setattr("maskwright.cli.names.losses", lambda *, json=False: fails())
    outcome = maskwright("losses")
    assert outcome.code == 2 and outcome.sentence.startswith("unexpected error: ") and told in outcome.sentence
    assert "This is a fault of maskwright: run the command again with --debug" in outcome.sentence
    with pytest.raises((LookupError, RecursionError, TypeError, OSError, ZeroDivisionError)):
        main(["losses", "--debug"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8.00 TiB for an array with shape (1, 1) and data type uint8"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried 1"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore"),
        RuntimeError(
            "OpenCV(5.0) error: (-4:Insufficient memory) Failed to allocate 1 bytes in function 'OutOfMemoryError'"
        ),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_takes_less(monkeypatch, error):
    """A command is replaced by one that takes too much, in the words of each library."""

    def takes_too_much(*, json: bool = False) -> None:
        raise error

    monkeypatch.setattr("maskwright.cli.names.losses", takes_too_much)
    outcome = maskwright("losses")
    assert outcome.code == 2 and outcome.sentence.startswith("there must be enough memory")
    for key in ("--batch-size", "--size", "--model.width"):
        assert key in outcome.sentence


def test_what_the_system_refuses_is_a_sentence(monkeypatch):
    """A name no file system takes; then rights and a full disk, by a command that meets them (root reads anything)."""
    assert "File name too long. Choose another place." in maskwright("check", "a" * 300).sentence
    for number, fix in ((errno.EACCES, "Check its permissions."), (errno.ENOSPC, "Free some space.")):

        def refused(*, json: bool = False, number: int = number) -> None:
            raise OSError(number, os.strerror(number), "some/file")

        monkeypatch.setattr("maskwright.cli.names.losses", refused)
        outcome = maskwright("losses")
        assert outcome.code == 2 and outcome.sentence.startswith("`some/file` must be open to this program; got: ")
        assert outcome.sentence.endswith(fix)


def test_an_interrupt_exits_with_130(monkeypatch):
    """A command is replaced by one that is interrupted at once."""

    def interrupted(*, json: bool = False) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("maskwright.cli.names.losses", interrupted)
    outcome = maskwright("losses")
    assert outcome.code == 130 and outcome.sentence == "interrupted" and outcome.err.count("\n") == 1


def test_the_plan_of_a_finished_run_stays_as_it_was(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    outcome = maskwright("train", "--resume", copy)
    assert outcome.code == 0
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before
    assert any(word in (outcome.out + outcome.err).lower() for word in ("finished", "nothing left", "already"))
    assert maskwright("train", "--resume", copy, "--json").json["best_epoch"] in range(EPOCHS)
    assert (
        json.loads(json.dumps(trained().json["scores"]))
        == maskwright("train", "--resume", copy, "--json").json["scores"]
    )


def test_what_is_to_be_typed_next_can_be_pasted(tmp_path):
    """A folder with a space in its name is quoted as a shell wants it."""
    made = maskwright("data", "make", "puzzle", tmp_path / "my set", "--count", 5, "--size", "32").out
    assert made.endswith(f"next: maskwright train --data '{tmp_path}/my set'\n")
    assert maskwright("check", tmp_path / "my set").out.endswith(f"next: maskwright train --data '{tmp_path}/my set'\n")
    copy = copy_of(finished(), tmp_path / "my run")
    assert maskwright("evaluate", copy).out.endswith(f"next: maskwright report '{copy}'\n")
    sentence = maskwright("train", "--data", data(), "--out", copy).sentence
    assert sentence.endswith(f"--resume '{copy}'")


def test_names_in_an_old_encoding_are_told_in_json_that_can_be_read(tmp_path):
    """Such a name is no text; its bytes come back from the JSON."""
    name = os.fsdecode(b"M\xfcnze.png")
    picture(tmp_path / name, noise(9, 9))
    command = [PROGRAM, "predict", finished(), tmp_path / name, "--out", tmp_path / "out", "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == [str(tmp_path / name)]


@pytest.mark.parametrize(
    ("words", "help_of"),
    [(("evaluate", "x", "--epochs", "3"), "evaluate "), (("data", "make", "puzzle"), "data make "), (("evalute",), "")],
)
def test_a_mistyped_command_line_names_the_help_that_tells_more(words, help_of):
    assert maskwright(*words).sentence.endswith(f"See maskwright {help_of}--help.")


# ------------------------------------------------------------------ what a mistake is answered with


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_key_of_training_beside_a_run_says_that_a_run_has_its_own(command):
    outcome = maskwright(command, finished(), "--size", "288x384")
    assert outcome.code == 2 and "`--size` must stand beside a configuration or --weights; a run has its own." in (
        outcome.err
    )
    assert "Did you mean" not in outcome.err
    assert maskwright(command, finished(), "--size=288x384").err == outcome.err
    twice = maskwright(command, finished(), "--mask-threshold", "0.4", "--mask-threshold", "0.5")
    assert twice.code == 2 and "must stand beside" not in twice.err


@pytest.mark.parametrize(
    ("words", "near"),
    [(("train", "--data", "{}/pictres"), "pictures"), (("predict", "{}/pictres", "x.png"), "pictures"),
     (("evaluate", "{}/pictres"), "pictures"), (("train", "{}/modle.yaml"), "model.yaml")],
)  # fmt: skip
def test_a_misspelt_path_is_answered_with_the_name_that_is_near(words, near, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "model.yaml").write_text("{}")
    outcome = maskwright(*(word.format(tmp_path) for word in words))
    assert outcome.code == 2 and f"Did you mean '{tmp_path / near}'?" in outcome.err


def test_an_image_that_is_not_there_is_one_sentence_and_no_count(tmp_path):
    outcome = maskwright("predict", finished(), tmp_path / "photo.png", "--out", tmp_path / "out")
    assert outcome.code == 2 and outcome.out == "" and "photo.png` must be there; it is missing" in outcome.err
