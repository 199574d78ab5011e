"""Folders that commands write into: one process at a time, nothing of anybody else's lost, nothing half-made left
behind.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import maskwright as mw
from maskwright.cli import main
from maskwright.config import Config
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.repair import fix
from maskwright.data.opening import list_data
from maskwright.data.synthetic import make
from maskwright.errors import DataError, RunError
from maskwright.files import temporary_beside, write_text
from maskwright.folders import LOCK, lock_folder, out_folder, worker_of
from maskwright.runs import Run
from maskwright.training import fit
from maskwright.training.plan import Plan
from support import (
    PROGRAM,
    TINY,
    copy_of,
    data,
    disc_data,
    environment,
    finished,
    kill,
    leftovers,
    maskwright,
    noise,
    opened,
    picture,
    rows,
    start,
    start_call,
    wait_until,
)

pytestmark = pytest.mark.xdist_group("resume")  # which keeps a process ready that children are forked from


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def endless(out: Path, *words: object) -> list[object]:
    return ["train", "--data", data(), *TINY, "--epochs", 5000, "--out", out, *words]


# ------------------------------------------------------------------ one process at a time


def run_in(folder: Path, *words: object) -> None:
    os.chdir(folder)
    main([str(word) for word in words])


def test_two_trainings_at_once_without_a_folder_take_one_each(tmp_path: Path) -> None:
    words = ("train", "--data", data(), *TINY, "--epochs", 1)
    children = [start_call(run_in, tmp_path, *words, "--seed", seed) for seed in (1, 2)]
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0]
    runs = [Run.open(path) for path in sorted((tmp_path / "runs").iterdir())]
    assert [run.name for run in runs] == ["puzzle-unet-1", "puzzle-unet-2"]
    assert {run.config.train.seed for run in runs} == {1, 2} and all(run.weights.is_file() for run in runs)


def test_a_live_run_is_left_alone_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    """With loader workers, which live a little longer than a process that is killed and must not keep its lock.

    A process as a person starts it: the workers of those that tests fork off have another parent, and would stay for
    ever.
    """
    run = tmp_path / "run"
    words = [PROGRAM, *endless(run, "--train.workers", 2)]
    child = subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL, env=environment())
    try:
        wait_until(lambda: rows(run) >= 1, lambda: child.poll() is None, 300)
        for words, flag in ((["train", "--resume", run], "--resume"), (endless(run), "--out")):
            outcome = maskwright(*words)
            assert outcome.code == 2
            told = f"`{flag}` must be worked on by one process at a time; another is at work in {run}"
            assert outcome.sentence.startswith(told)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
    with lock_folder(run):
        pass
    assert not (run / LOCK).exists()


@pytest.mark.parametrize("command", ["train", "train --folds 2", "compare", "search", "train --resume"])
def test_the_second_in_a_folder_is_refused_before_it_reads_the_data(command: str, tmp_path: Path) -> None:
    base = f"base: {{data: {{root: '{data()}', size: 32}}, train: {{epochs: 1}}}}\n"
    (tmp_path / "compare.yaml").write_text(base + "matrix: {seed: [0, 1]}\n")
    (tmp_path / "search.yaml").write_text(base + "search: {lr: [0.1, 0.01]}\n")
    out = copy_of(finished(), tmp_path / "out") if "--resume" in command else tmp_path / "out"
    (out / "model.safetensors").unlink(missing_ok=True)
    words = [*command.split(), *([out] if "--resume" in command else [*endless(out)[1:]])]
    if command in ("compare", "search"):
        words = [command, tmp_path / f"{command}.yaml", "--out", out]
    with lock_folder(out), opened() as paths:
        outcome = maskwright(*words)
    assert outcome.code == 2 and f"another is at work in {out}. Wait until it is done" in outcome.sentence
    assert paths and not [path for path in paths if Path(path).is_relative_to(data())]
    assert out.exists() == ("--resume" in command)


def test_a_lock_is_held_by_one_and_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    with lock_folder(root, task="this") as before:
        assert before is None
        with (
            pytest.raises(RunError, match="`OUT` must be worked on by one process at a time"),
            lock_folder(root, "OUT"),
        ):
            pass
        assert (root / LOCK).read_text().splitlines()[0] == "this"
        assert worker_of(root) == os.getpid()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with lock_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir(), "it was there before"


def test_a_lock_is_no_way_to_somebody_elses_file(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "mine.txt")
    with pytest.raises(RunError, match="could not make the folder"), lock_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_number_is_taken_by_one_alone(tmp_path: Path) -> None:
    free = tmp_path / "runs" / "pets-unet-1"
    with out_folder(None, free) as first, out_folder(None, free) as second:
        assert (first.name, second.name) == ("pets-unet-1", "pets-unet-2")
        (second / "config.yaml").touch()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["pets-unet-2"]


def stuck_repair(root: Path, out: Path) -> None:
    config = DataConfig(root=str(root))
    fix(audit(config), config, out, lambda done, total: time.sleep(60) if done == total - 1 else None)


def stuck_making(out: Path) -> None:
    make("puzzle", out, 5, (32, 32), on_progress=lambda done, total: time.sleep(60) if done == 3 else None)


def rests(folder: Path) -> bool:
    """Whether nothing comes or goes for half a second."""
    before = set(folder.rglob("*"))
    time.sleep(0.5)
    return set(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["check", "data make"])
def test_a_folder_that_is_being_filled_is_left_alone_and_a_killed_one_filled_anew(tmp_path: Path, command: str) -> None:
    root, out = disc_data(tmp_path / "data", [(16, 16)] * 3), tmp_path / "out"
    call = (stuck_repair, root, out) if command == "check" else (stuck_making, out)
    words = (
        ("check", root, "--fix", out)
        if command == "check"
        else ("data", "make", "puzzle", out, "--count", 4, "--size", 32)
    )
    child = start_call(*call)
    wait_until(lambda: len(list(out.glob(".maskwright-*/masks/*"))) == 3 and rests(out), child.is_alive)
    held = contents(out).keys()
    outcome = maskwright(*words)
    assert outcome.code == 2 and f"one process at a time; another is at work in {out}" in outcome.sentence
    assert contents(out).keys() == held
    kill(child)
    with pytest.raises(DataError):  # what is left is no data set
        list_data(DataConfig(root=str(out)))
    assert maskwright(*words).code == 0
    assert leftovers(out) == [] and len(list((out / "masks").iterdir())) == (3 if command == "check" else 4)


def test_predictions_that_were_killed_are_gone_on_with(tmp_path: Path) -> None:
    for index in range(40):
        picture(tmp_path / "photos" / f"{index}.png", noise(300, 300, index))
    words = ("predict", finished(), tmp_path / "photos", "--out", tmp_path / "out")
    child = start(tmp_path / "log", *words)
    wait_until(lambda: len(list((tmp_path / "out").glob("*.png"))) >= 3, child.is_alive)
    outcome = maskwright(*words)
    assert outcome.code == 2 and "by one process at a time" in outcome.sentence
    kill(child)
    assert len(list((tmp_path / "out").glob("*.png"))) < 40, "it was too quick to be killed"
    assert maskwright(*words).code == 0
    assert len(list((tmp_path / "out").iterdir())) == 81 and leftovers(tmp_path / "out") == []


# ------------------------------------------------------------------ temporaries


def abandoned(folder: Path) -> Path:
    """A temporary of a process that has ended since."""
    child = start_call(leave_temporary, folder)
    child.join()
    (found,) = folder.glob(".maskwright-*")
    return found


def leave_temporary(folder: Path) -> None:
    temporary_beside(folder / "a.png").write_text("half")


def test_temporaries_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    dead = abandoned(tmp_path)
    live = temporary_beside(tmp_path / ("n" * 250 + ".png"))
    live.write_text("half")
    others = [tmp_path / name for name in (".maskwright-00000000-1-1.txt", ".123-mine.txt", ".maskwright")]
    for path in others:
        path.write_text("of another machine, or somebody's own")
    temporary_beside(tmp_path / "b.txt")  # the folder is known by now
    assert live.suffix == ".png" and len(live.name) < 60
    with lock_folder(tmp_path):
        assert not dead.exists() and live.exists() and all(path.exists() for path in others)
    os.utime(others[0], (0, 0))
    with lock_folder(tmp_path):
        assert not others[0].exists()


def test_the_next_write_into_a_folder_sweeps_it(tmp_path: Path) -> None:
    abandoned(tmp_path)
    write_text(tmp_path / "a.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


# ------------------------------------------------------------------ nothing half-made


def test_leftovers_of_a_killed_start_are_told_by_its_lock(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for task, code in (("comparison.yaml", 2), ("config.yaml", 0)):
        run.mkdir(exist_ok=True)
        (run / "data.json").write_text("of a start that was killed")
        (run / LOCK).write_text(task)
        assert maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--out", run).code == code
    assert Run.open(run).data["fingerprint"] and leftovers(run) == []


def settings(root: Path) -> Config:
    model = {"name": "unet", "width": 2, "depth": 1}
    keys: dict[str, Any] = {"data.root": str(root), "data.size": 32, "model": model, "train.devices": "cpu"}
    return Config().replace(keys)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["--devices", "gpu"], marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
        ),
        ["--model.width", 0],
        ["--optim.name", "adamm"],
        ["--model.weights", "nowhere.pth"],
        ["--train.mask_threshold", 2],
    ],
    ids=lambda words: words[0],
)
def test_what_is_refused_leaves_no_folder(tmp_path: Path, words: list[object]) -> None:
    outcome = maskwright("train", "--data", data(), *TINY, "--out", tmp_path / "runs" / "a", *words)
    assert outcome.code == 2 and list(tmp_path.iterdir()) == []


def test_a_training_that_takes_no_step_leaves_no_folder(tmp_path: Path) -> None:
    root = copy_of(data(), tmp_path / "data")
    config = settings(root).replace({"data.cache": "none"})

    def spoil(plan: Plan) -> None:
        for image in (root / "images").iterdir():
            image.unlink()

    with pytest.raises(DataError):
        fit.train(config, tmp_path / "run", on_plan=spoil)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ apart from the data


@pytest.mark.parametrize("place", ["images/run1", "masks", "masks/a/b", "labels/run"])
@pytest.mark.parametrize("command", ["train", "compare", "search", "predict", "data preview"])
def test_nothing_is_written_among_images_and_masks(tmp_path: Path, command: str, place: str) -> None:
    root = disc_data(tmp_path / "data", [(32, 32)] * 6)
    out = root / place
    if command == "search":
        pytest.importorskip("optuna")
    matrix = tmp_path / "c.yaml"
    matrix.write_text(f"base: {{data: {{root: {root}, size: 32}}}}\n"
                      + ("search: {lr: [0.1, 0.01]}" if command == "search" else "matrix: {seed: [0, 1]}"))  # fmt: skip
    run = copy_of(finished(), tmp_path / "run") if command == "predict" else None
    if run:
        text = (run / "data.json").read_text()
        (run / "data.json").write_text(
            text.replace(str(data().resolve()), str(root)).replace("image-", "").replace("mask-", "")
        )
    words = {
        "train": ["train", "--data", root, *TINY, "--out", out],
        "compare": ["compare", matrix, "--out", out],
        "search": ["search", matrix, "--out", out],
        "predict": ["predict", run, picture(tmp_path / "x.png", noise(9, 9)), "--out", out],
        "data preview": ["data", "preview", root, "--size", 32, "--out", out / "sheet.png"],
    }[command]
    before = contents(root)
    outcome = maskwright(*words)
    assert outcome.code == 2
    told = (
        "a folder apart from the images and masks",
        "must be a new or empty folder",
        "must hold one folder of masks; got labels",
    )
    assert any(words in outcome.sentence for words in told)
    assert contents(root) == before and (root / place.split("/")[0]).exists() == (place[0] != "l")


def test_a_project_folder_that_is_the_data_set_takes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(disc_data(tmp_path / "data", [(32, 32)] * 6))
    assert maskwright("train", "--data", ".", *TINY, "--epochs", 1).code == 0
    assert maskwright("predict", "runs/data-unet-1", "images", "--out", "predictions").code == 0
    assert maskwright("train", "--data", ".", *TINY, "--epochs", 1).code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["data-unet-1", "data-unet-2"]


# ------------------------------------------------------------------ long names


def test_names_as_long_as_a_file_system_takes_are_trained_scored_and_told(tmp_path: Path) -> None:
    root, name = disc_data(tmp_path / "data", [(32, 32)] * 6, ["train"] * 3 + ["val", "test", "test"]), "n" * 251
    for kind in ("images", "masks"):
        (root / kind / "5.png").rename(root / kind / f"{name}.png")
    (root / "pairs.csv").write_text((root / "pairs.csv").read_text().replace("/5.png", f"/{name}.png"))
    run = mw.train(
        root, out=tmp_path / "run", epochs=1, progress=False, size=32, **{"model.width": 2, "model.depth": 1}
    )
    assert maskwright("evaluate", run.root, "--pictures").code == 0
    with Image.open(next((run.root / "evaluation" / "predictions").rglob(f"{name}.png"))) as labels:
        assert np.asarray(labels).shape == (32, 32)
    outcome = maskwright("predict", run.root, root / "images", "--out", tmp_path / "out")
    assert outcome.code == 1 and "must have a name that leaves room for -overlay.jpg; it is too long" in outcome.err
    assert len(list((tmp_path / "out").glob("*.png"))) == 5 and leftovers(tmp_path / "out") == []
    shutil.move(root / "images" / f"{name}.png", root / "images" / f"{'n' * 243}.png")
    assert maskwright("predict", run.root, root / "images", "--out", tmp_path / "out").code == 0


# ------------------------------------------------------------------ odd names


ODD_NAMES = ["~", "a::b", "memory:", "-out", os.fsdecode(b"r\xff"), "a\nb"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_folder_of_any_name_is_worked_in(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that a library takes for an address, or our own next command for an option."""
    monkeypatch.chdir(tmp_path)
    train = ("train", "--data", data(), *TINY, "--epochs")
    outcome = maskwright(*train, 2, f"--out={name}")
    assert outcome.code == 0, outcome.err
    shutil.copytree(name, f"{name}2")
    (tmp_path / f"{name}2" / "model.safetensors").unlink()
    proposed = outcome.out.partition("next: ")[2]
    if "\udcff" not in name:  # no terminal shows it so that it can be pasted
        assert maskwright(*shlex.split(proposed)[1:]).code == 0, proposed
    for words in (["train", f"--resume={name}2"], ["predict", f"./{name}", data() / "images", f"--out={name}/p"]):
        outcome = maskwright(*words)
        assert outcome.code == 0, outcome.err
    outcome = maskwright("compare", f"./{name}", f"./{name}2", f"--out={name}3")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}2", f"{name}3"}
