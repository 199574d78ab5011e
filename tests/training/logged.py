"""A run logged to TensorBoard, W&B (offline) and MLflow at once, evaluated; made once, and not to be changed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from support import EPOCHS, TINY, Outcome, data, maskwright, session_folder

WANDB = str(Path(sys.executable).with_name("wandb"))


@contextlib.contextmanager
def elsewhere(folder: Path, **variables: str) -> Iterator[Path]:
    """An empty home and working folder, and no setting of these packages but the ones given."""
    kept, here = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith(("WANDB", "MLFLOW"))]:
        del os.environ[name]
    for name in ("home", "here"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    os.environ.update({"HOME": str(folder / "home"), "NETRC": str(folder / "home" / "netrc"), **variables})
    os.chdir(folder / "here")
    try:
        yield folder
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(kept)


@functools.cache
def trained() -> tuple[Path, Outcome, Outcome, list[str]]:
    """The run, what training and evaluating said, and what they left running."""
    with elsewhere(session_folder() / "logged") as folder:
        before = {thread.name for thread in threading.enumerate()}
        run = folder / "run"
        words = ("--data", data(), *TINY, "--epochs", EPOCHS, "--log", "tensorboard,wandb", "--log", "mlflow")
        training = maskwright("train", *words, "--out", run)
        assert training.code in (0, None), training.err
        evaluation = maskwright("evaluate", run)
        left = [thread.name for thread in threading.enumerate() if thread.name not in before]
        left += [child.name() for child in psutil.Process().children(recursive=True) if "wandb" in child.name()]
        return run, training, evaluation, left


def logged() -> Path:
    return trained()[0]


@functools.cache
def inspected(run: Path) -> list[list[dict[str, Any]]]:
    """The records of each of the run's W&B files, as W&B's own reader tells them; asked for once the run is as it will
    be.
    """
    found = []
    for segment in sorted((run / "wandb").glob("*run-*")):
        if not segment.is_symlink() and segment.is_dir():
            words = [WANDB, "leet", "inspect", "--json", str(segment)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found.append([json.loads(line) for line in done.stdout.splitlines()])
    return found


def histories(run: Path) -> list[dict[str, Any]]:
    """The rows of all files, one after the other."""
    return [
        record["history"]["item"] for records in inspected(run) for record in records if record["type"] == "history"
    ]


def epochs_of(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["epoch"]) for row in rows if "epoch" in row]
