"""recipes/run.py as a module, and the puzzle lab run once at its smallest; not to be changed."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import runpy
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from support import Outcome, session_folder

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "puzzle-lab"


def module(path: Path, name: str) -> ModuleType:
    """A file outside the package as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # where dataclasses look their module up
    spec.loader.exec_module(made)
    return made


@functools.cache
def runner() -> ModuleType:
    """recipes/run.py."""
    return module(ROOT / "recipes" / "run.py", "recipes_run")


def recipe(*words: object) -> Outcome:
    """What `python recipes/run.py …` comes to, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = runner().main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = stop.code
    return Outcome(code, out.getvalue(), err.getvalue())


@functools.cache
def said(name: str) -> Outcome:
    """What a recipe said at its smallest, on data it drew itself; its own scripts run in this process, too."""
    run = runner().run

    def here(command: list[str]) -> int:
        if command[0] != "python":
            return run(command)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr(sys, "argv", command[1:])
            warnings.simplefilter("ignore")  # as where a script runs alone: they are told, and end nothing
            try:
                runpy.run_path(command[1], run_name="__main__")
            except SystemExit as stop:
                return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner(), "run", here)
        return recipe(name, "--tiny", "--out", session_folder() / name, "--precision", "fp32", "--devices", "cpu")


def whole(name: str) -> Path:
    """A recipe's folder, all steps done; not to be changed."""
    assert said(name).code == 0, said(name).err[-3000:]
    return session_folder() / name


told, lab = functools.partial(said, "puzzle-lab"), functools.partial(whole, "puzzle-lab")
