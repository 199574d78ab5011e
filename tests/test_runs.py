"""The run folder: atomic writes, refusals, provenance, and that it needs nothing but itself."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import maskwright as mw
from maskwright import files
from maskwright.config import Config
from maskwright.errors import RunError
from maskwright.files import os_reason, write_atomically, write_text, writing
from maskwright.runs import PACKAGES, Run, default_out, git_state, provenance
from support import EPOCHS, TINY, copy_of, data, disc_data, evaluated, finished, leftovers, maskwright, noise, picture

# ------------------------------------------------------------------ writing


def test_a_file_is_written_whole_and_folders_are_made(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_atomically(target, lambda path: path.write_text("new"))
    assert target.read_text() == "new"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_writer_that_raises_leaves_the_old_file_and_no_temporary(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def writer(path: Path) -> None:
        path.write_text("half")
        raise error

    with pytest.raises((ValueError, KeyboardInterrupt, RunError)):
        write_atomically(target, writer)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    seen = []

    def writer(path: Path) -> None:
        path.write_text("half")
        seen.append(target.read_text())
        path.write_text("new")

    write_atomically(target, writer)
    assert seen == ["old"] and target.read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="it tells not how a file was opened")
def test_what_is_flushed_to_disk_is_open_for_writing(tmp_path, monkeypatch):
    """As Windows asks: there, a file that is open for reading alone is not flushed but refused."""
    import fcntl

    modes = []
    monkeypatch.setattr(os, "fsync", lambda file: modes.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE))
    write_text(tmp_path / "x.txt", "whole")
    assert modes == [os.O_RDWR] and (tmp_path / "x.txt").read_text() == "whole"
    flushing = [path.name for path in Path(files.__file__).parent.rglob("*.py") if "fsync(" in path.read_text()]
    assert flushing == ["files.py"], "files are written whole in one place"


def test_the_temporary_name_keeps_the_suffix_that_image_writers_go_by(tmp_path):
    names = []
    write_atomically(tmp_path / "a.png", lambda path: (names.append(path), path.write_bytes(b"x")))
    assert names[0].suffix == ".png" and names[0].parent == tmp_path


def test_a_refusal_of_the_system_is_one_sentence_that_says_what_is_safe(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"could not write .*file/a\.txt: .*unharmed\.$"):
        write_atomically(tmp_path / "file" / "a.txt", lambda path: path.write_text(""))
    with pytest.raises(RunError, match=r"could not write .*file/a\.txt: .*unharmed.*--resume"):
        Run(tmp_path / "file").write_text("a.txt", "")


def test_room_is_asked_for_only_where_room_would_help(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Choose another place"):
        write_atomically(tmp_path / "file" / "a.txt", lambda path: path.write_text(""))
    with pytest.raises(RunError, match="Free some space or choose another place"), writing(tmp_path, "write"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError("... I/O error: No space left on device (os error 28)"), "No space left on device"),
        (
            RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0"),
            "the disk took only a part of it (is it full?)",
        ),
        (RuntimeError("basic_ios::clear: iostream error"), "the disk took only a part of it (is it full?)"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("file write failed"), None),
        (None, None),
    ],
)
def test_the_systems_reason_is_found_behind_what_libraries_wrap_around_it(error, reason):
    assert os_reason(error) == reason


def test_rows_become_a_csv_that_reads_back_exactly(tmp_path):
    run = Run(tmp_path)
    row = dict.fromkeys(("val_loss", "train_iou", "lr", "seconds", "images_per_second"), 0.5)
    rows = [
        {"epoch": 0, "train_loss": 0.1 + 0.2, "val_iou": None, **row},
        {"epoch": 1, "train_loss": 1e-17, "val_iou": 1.0, **row},
    ]
    run.write_rows("history.csv", rows)
    first, second = run.history
    assert first["train_loss"] == 0.1 + 0.2 and first["val_iou"] != first["val_iou"]
    assert second == rows[1]


def test_what_has_commas_quotes_and_breaks_stays_one_cell(tmp_path):
    row = {"a,b": "x,y", 'c"d': 'say "x"', "e": "two\nlines"}
    Run(tmp_path).write_rows("any.csv", [row])
    with (tmp_path / "any.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [row]


# ------------------------------------------------------------------ making and opening


@pytest.mark.parametrize("name", ["data.json", "environment.json", "cache/mine", "checkpoints/mine", "notes.txt"])
def test_a_folder_that_holds_something_is_refused(tmp_path, name):
    """Whatever it is called: nothing but the lock of a killed process tells its leftovers from somebody's files."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--out", tmp_path)
    assert outcome.code == 2
    assert outcome.sentence.endswith(
        f"new or empty folder; got {tmp_path}, which holds {name.split('/')[0]}. Choose another."
    )
    assert "a file" in maskwright("train", "--data", data(), *TINY, "--out", tmp_path / name).sentence
    (tmp_path / "config.yaml").write_text("")
    assert f"--resume {tmp_path}" in maskwright("train", "--data", data(), *TINY, "--out", tmp_path).sentence
    assert (tmp_path / name).read_text() == "mine" and leftovers(tmp_path) == []


def test_a_new_or_empty_folder_is_taken(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / ".gitkeep").touch()
    for folder in (tmp_path / "kept", tmp_path / "new" / "deeper"):
        Run.refuse_taken(folder)
        assert Run.create(folder).checkpoints.is_dir()


def test_opening_what_is_no_run_says_what_it_is(tmp_path):
    (tmp_path / "file").write_text("")
    for path, told in (
        (tmp_path, "holds no config.yaml"),
        (tmp_path / "none", "is not there"),
        (tmp_path / "file", "is a file"),
    ):
        with pytest.raises(RunError, match=told):
            Run.open(path)


def test_opening_a_comparison_a_search_or_a_folder_of_runs_names_the_way_on(tmp_path):
    held = ["two/comparison.yaml", "two/cells/unet/config.yaml", "s/search.yaml", "s/best.yaml",
            "s/trials/003/model.safetensors", "runs/a/config.yaml", "runs/b/config.yaml",
            "runs/two/comparison.yaml"]  # fmt: skip
    for path in (tmp_path / name for name in held):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    ways = {
        "two": f"is a comparison. To see or go on with it: maskwright compare {tmp_path}/two, or name one of its runs, "
        "such as",
        "s": f"is a search. To train its best setting: maskwright train {tmp_path}/s/best.yaml, or name the run it "
        "came from,",
        "runs": f"is a folder of runs. Name one, such as {tmp_path}/runs/a or {tmp_path}/runs/b.",
    }
    for name, told in ways.items():
        for command in ("evaluate", "diagnose") if name != "two" else ("evaluate",):
            assert f"got {tmp_path}/{name}, which {told}" in maskwright(command, tmp_path / name).sentence


def test_a_json_that_is_missing_or_broken_is_told(tmp_path):
    with pytest.raises(RunError, match=r"holds no data\.json"):
        _ = Run(tmp_path).data
    (tmp_path / "data.json").write_text("{\n'a': 1}")
    with pytest.raises(RunError, match="line 2"):
        _ = Run(tmp_path).data


def test_the_default_folder_is_the_first_free_number(tmp_path):
    config = Config().replace({"data.root": "sets/my_data", "model": {"name": "smp", "encoder": "tu-a/b"}})
    assert default_out(config, tmp_path).name == "my_data-unet-tu-a-b-1"
    (tmp_path / "my_data-unet-tu-a-b-1").mkdir()
    assert default_out(config, tmp_path).name == "my_data-unet-tu-a-b-2"


# ------------------------------------------------------------------ what a trained run tells


def test_the_environment_tells_versions_machine_command_and_reasons():
    told = Run.open(finished()).environment
    assert told["packages"].keys() == set(PACKAGES)
    assert told["packages"]["torch"].count(".") >= 2
    assert told["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert told["machine"]["system"] and told["machine"]["processor"]
    assert told["command"] and isinstance(told["command"], list)
    assert told["started"][:2] == "20"
    assert {"data.scale", "data.reader", "loss"} <= told["auto"].keys()
    assert all(len(why) > 8 for why in told["auto"].values())


def test_the_git_state_is_that_of_the_folder_worked_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance({})["git"] is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first", "--no-verify"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert git_state(tmp_path) == {"commit": done.stdout.strip()}


@pytest.mark.parametrize("setting", ["core.fsmonitor", "filter.a.clean"])
def test_the_git_state_runs_no_program_that_the_repository_names(tmp_path, monkeypatch, setting):
    monkeypatch.chdir(tmp_path)
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\ncat\n")
    hook.chmod(0o755)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    (tmp_path / ".gitattributes").write_text("* filter=a\n")
    commit = ["commit", "-q", "-m", "first", "--no-verify"]
    for words in (["init", "-q"], ["add", ".gitattributes"], commit, ["config", setting, str(hook)]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    os.utime(tmp_path / ".gitattributes", (0, 0))  # touched: `git status` would read it through the filter
    assert provenance({})["git"] is not None
    assert not (tmp_path / "ran").exists()


def test_data_json_holds_the_split_as_files_with_their_hashes():
    document = json.loads((finished() / "data.json").read_text())
    splits = document["splits"]
    assert {name: len(entries) for name, entries in splits.items()} == {"train": 4, "val": 2, "test": 2}
    for entry in (entry for entries in splits.values() for entry in entries):
        for kind in ("image", "mask"):
            assert hashlib.sha256((data() / entry[kind]).read_bytes()).hexdigest() == entry[f"{kind}_sha256"]
        assert entry["size"] == [32, 40]
    assert Path(document["root"]) == data().resolve()
    assert document["classes"]["names"] == ["background", "foreground"]
    assert len(document["fingerprint"]) == 64


def autos(prefix, tree):
    """Dotted keys that are still auto."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from autos(f"{prefix}{key}.", value)
        elif value == "auto":
            yield prefix + key


def test_config_yaml_leaves_nothing_to_decide():
    text = (finished() / "config.yaml").read_text()
    left = [
        key
        for section, keys in yaml.safe_load(text).items()
        if isinstance(keys, dict)
        for key in autos(f"{section}.", keys)
    ]
    # how groups are found is a rule: what it came to stands in data.json, as lists; the others belong to schedules not
    # in use
    assert left == ["data.split.group", "optim.every", "optim.gamma", "optim.period"]
    config = Run.open(finished()).config
    assert (config.train.epochs, config.train.precision, config.train.devices) == (EPOCHS, "fp32", "cpu")
    assert "# data.scale was auto: " in text


def test_weights_are_readable_for_others():
    """A run is meant to be shared: every file has the permissions the umask gives."""
    modes = {path.name: path.stat().st_mode & 0o044 for path in finished().rglob("*") if path.is_file()}
    assert set(modes.values()) == {0o044}, modes


def test_no_temporary_is_left_in_a_finished_run():
    evaluated()
    assert leftovers(finished()) == []


# ------------------------------------------------------------------ moved elsewhere


def test_a_moved_run_evaluates_and_predicts_as_before(tmp_path):
    before = evaluated().json
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(copy_of(finished(), tmp_path / "run"), moved)
    again = maskwright("evaluate", moved, "--json").json
    measured = {"cost": again["cost"]}  # milliseconds differ from one time to the next
    assert again == {**before, "run": "renamed", **measured}
    image = picture(tmp_path / "x.png", noise(33, 47))
    ours, theirs = mw.load_run(moved).predict(image), mw.load_run(finished()).predict(image)
    assert (ours.probabilities == theirs.probabilities).all()


def test_run_and_data_may_both_move(tmp_path, monkeypatch):
    root = disc_data(tmp_path / "data", [(32, 32)] * 6)
    monkeypatch.chdir(tmp_path)
    run = mw.train("data", out="run", epochs=1, progress=False, size=32, **{"model.width": 2, "model.depth": 1})
    first = run.evaluate("test").to_json()
    moved = shutil.move(root, tmp_path / "moved")
    monkeypatch.chdir("/")
    run = mw.load_run(tmp_path / "run")
    with pytest.raises(mw.MaskwrightError, match="must be the folder of the run's data; it is not there"):
        run.evaluate("test")
    again = run.evaluate("test", data=moved).to_json()
    assert again == {**first, "cost": again["cost"]}  # milliseconds and memory differ from one time to the next
