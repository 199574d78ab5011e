"""What the tests of settling share: which files were opened, a run's files, and settled.json after tuning."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import maskwright as mw
from maskwright.evaluation.settle import FILE, settled_on_val
from maskwright.prediction import Predictor

_watched: list[list[str]] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched:
        _watched[-1].append(str(arguments[0]))


sys.addaudithook(_hook)  # sees every file this process opens; it cannot be taken away again, so it only looks when asked


@contextlib.contextmanager
def opened() -> Iterator[list[str]]:
    """Every path that is opened inside, in order."""
    paths: list[str] = []
    _watched.append(paths)
    try:
        yield paths
    finally:
        _watched.remove(paths)


def files(run: mw.TrainedRun, split: str) -> list[Path]:
    """Images and masks of a split."""
    return [Path(run.data["root"]) / entry[kind] for entry in run.data["splits"][split] for kind in ("image", "mask")]


def tuned(run: mw.TrainedRun) -> dict:
    """settled.json after tuning."""
    settled_on_val(run, Predictor.from_run(run), tune=True)
    return run.read_json(FILE)


def without(document: dict, *keys: str) -> dict:
    return {key: value for key, value in document.items() if key not in keys}
