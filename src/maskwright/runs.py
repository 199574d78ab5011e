"""The run folder: its names, atomic writes and provenance.

    run = Run.open("runs/puzzle-1")
    run.config.model.name, run.history[-1]["val_iou"]

Every file is written beside its place under a temporary name and renamed, so whatever happens a
reader finds the old file or the new one, whole.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from maskwright.errors import RunError, as_typed, check_path, listed, one_line
from maskwright.files import csv_text, read_json, refuse_no_file, write_atomically, write_json, write_text, writing

if TYPE_CHECKING:  # late, where it is read: predicting with a bundle needs none
    from maskwright.config import Config

PACKAGES = ("maskwright", "torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm", "numpy",
            "opencv-python-headless", "pillow", "pydantic")  # fmt: skip
GOES_ON = "what was written before is unharmed, and a training goes on from it with --resume"
START = "start.safetensors"  # in checkpoints/ until the run is finished: the weights it began with, if not random
# what predicting reads of a run
PREDICTS = ("config.yaml", "data.json", "model.safetensors", "evaluation/settled.json")
# written while a run is begun, and by one that comes to nothing before its first step
MADE = ("environment.json", "data.json", "lr-range.csv", "lr-range.png", "config.yaml", "cache", "checkpoints",
        "pace.json", "loggers.json", "history.csv", "panels", "tensorboard", "wandb")  # fmt: skip
# what is `auto` no more after a run's first step
_RESOLVED = (("data", "view"), ("data", "size"), ("data", "scale"), ("data", "sampling"), ("model", "width"),
             ("optim", "lr"), ("train", "batch_size"), ("train", "repeats"), ("train", "grow"),
             ("train", "workers"))  # fmt: skip
# of history.csv
_COLUMNS = ("epoch", "train_loss", "val_loss", "train_iou", "val_iou", "lr", "seconds", "images_per_second")
_LARGEST = 1e100
COMPARISON, SEARCH, FOLDS = "comparison.yaml", "search.yaml", "folds.yaml"  # what makes a folder that of several runs


class ShownInNotebook:
    """A result that shows itself in a notebook; what draws it lies right of it in the layers and is set by the api."""

    html_of: ClassVar[Callable[[object], str] | None] = None

    def _repr_html_(self) -> str | None:
        draw = ShownInNotebook.html_of
        return draw(self) if draw else None


@dataclass(frozen=True)
class Run:
    """A folder that explains itself; loading a run needs this folder and nothing else."""

    root: Path

    @classmethod
    def create(cls, root: str | Path) -> Run:
        """Make a new run folder."""
        root = Path(root)
        with writing(root, "make the run folder"):
            (root / "checkpoints").mkdir(parents=True, exist_ok=True)
        return cls(root)

    @classmethod
    def refuse_taken(cls, root: Path) -> None:
        """Stop when a folder can't become a run because it holds something."""
        goes_on = f"Choose another, or go on with that run: --resume {as_typed(root)}"
        refuse_used(root, fix=goes_on if (root / "config.yaml").is_file() else "Choose another.")

    @classmethod
    def open(cls, root: str | Path) -> Run:
        """Open an existing run folder."""
        root = Path(root)
        if not (root / "config.yaml").is_file():
            what = f"got {root}, which {described(root)}"
            raise RunError(f"`RUN` must be a run folder made by `maskwright train`; {what}")
        _refuse_links_out(root)
        return cls(root)

    @property
    def name(self) -> str:
        """The folder's name as pages and plots can show it."""
        return one_line(self.root.resolve().name)

    @property
    def config(self) -> Config:
        from maskwright.config.files import load_config
        from maskwright.custom import is_handed_over

        path = self.root / "config.yaml"
        config = load_config(path)
        for key, code in config.custom_code().items():
            if code.hash is None and not is_handed_over(code.source):
                raise RunError(f"`{path}` must be as it was written; it leaves `{key}.hash` open. Restore it.")
        return config

    def resolved_config(self) -> Config:
        """The configuration, which must leave nothing open: for what builds the network or goes on training."""
        config = self.config
        for section, key in _RESOLVED:
            if getattr(getattr(config, section), key, None) == "auto":
                path = self.root / "config.yaml"
                raise RunError(f"`{path}` must be as it was written; it leaves `{section}.{key}` open. Restore it.")
        return config

    @property
    def data(self) -> dict[str, Any]:
        from maskwright import schemas  # late, as below: predicting with a bundle needs no pydantic

        return self.read_json("data.json", schemas.Data)

    @property
    def environment(self) -> dict[str, Any]:
        from maskwright import schemas

        return self.read_json("environment.json", schemas.Environment)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch, as in history.csv; empty before the first epoch ended."""
        path = self.root / "history.csv"
        return _read_history(path) if path.exists() else []

    def evaluation(self, split: str) -> dict[str, Any]:
        """evaluation/SPLIT.json, which must be of the run's own classes."""
        from maskwright import schemas

        name = f"evaluation/{split}.json"
        found, classes = self.read_json(name, schemas.Evaluation), self.data["classes"]["names"]
        if found["classes"] != classes or found["per_class"].keys() != set(classes):
            fix = f"Score it again: maskwright evaluate {as_typed(self.root)} --split {split}"
            what = f"must be of the run's classes, {listed(classes)}; it is of others"
            raise RunError(f"`{self.root / name}` {what}. {fix}")
        return found

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def weights(self) -> Path:
        return self.root / "model.safetensors"

    def read_json(self, name: str, form: Any = None) -> Any:
        """Read one of the run's JSON files, of the `form` pydantic knows."""
        missing = f"`RUN` must be complete; {self.root} holds no {name}. Train again, or --resume it."
        return read_json(self.root / name, missing, form)

    def write_config(self, config: Config, reasons: Mapping[str, str]) -> None:
        """Write the resolved configuration, each `auto` explained."""
        from maskwright.config.files import to_yaml

        self.write_text("config.yaml", to_yaml(config, reasons))

    def write_json(self, name: str, value: Any) -> Path:
        """Write one JSON document."""
        return write_json(self.root / name, value, GOES_ON)

    def write_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Write a CSV whose columns are the rows' keys; a row of an earlier version may lack some."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        return self.write_text(name, csv_text([columns, *([row.get(key) for key in columns] for row in rows)]))

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file."""
        return write_text(self.root / name, text, GOES_ON)

    def write(self, name: str, writer: Callable[[Path], object]) -> Path:
        """Let `writer` fill a temporary file, then rename it into place."""
        path = self.root / name
        write_atomically(path, writer, GOES_ON)
        return path


def _refuse_links_out(root: Path) -> None:
    """Stop at a folder that leads elsewhere: what is written into a run of anybody's must stay in it."""
    for folder, names, _ in os.walk(root):
        for path in (Path(folder) / name for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(root.resolve()):
                fix = "Put the folder itself there."
                raise RunError(f"`{path}` must be a folder of the run; it is a link to {path.resolve()}. {fix}")


def refuse_unfinished(run: Run) -> None:
    """Stop at a run whose training has not come to its end."""
    if not run.weights.is_file():
        fix = f"Finish it first: maskwright train --resume {as_typed(run.root)}"
        raise RunError(f"`RUN` must be a finished run; {run.root} has no {run.weights.name} yet. {fix}")


def described(root: Path) -> str:
    """What a path is that is no run, and what to do with it: the end of the sentence `got ROOT, which …`."""
    if not root.is_dir():
        return "is a file. Check the path." if root.exists() else f"is not there. {check_path(root)}"
    return of_other_kind(root) or "holds no config.yaml. Check the path."


def of_other_kind(root: Path) -> str:
    """What a folder is of ours that is no run, and what to do with it; empty where it is nothing of ours."""
    if (root / COMPARISON).is_file():
        cells = _within(root / "cells", "config.yaml")
        one = f", or name one of its runs, such as {cells[0]}" if cells else ""
        return f"is a comparison. To see or go on with it: maskwright compare {as_typed(root)}{one}"
    if is_cross_validation(root):
        runs = _within(root, "config.yaml")
        one = f" Name one of its runs, such as {runs[0]}, or go" if runs else " Go"
        return f"is a cross-validation.{one} on with it: maskwright train --resume {as_typed(root)}"
    if (root / SEARCH).is_file():
        if not (root / "best.yaml").is_file():
            return "is a search that has found nothing yet. Go on with it: maskwright search CONFIG"
        runs = _within(root / "trials", "model.safetensors")
        one = f", or name the run it came from, {runs[0]}" if len(runs) == 1 else ""
        return f"is a search. To train its best setting: maskwright train {as_typed(root / 'best.yaml')}{one}"
    for held, kind in (("config.yaml", "runs"), (COMPARISON, "comparisons"), (SEARCH, "searches")):
        if names := _within(root, held):
            return f"is a folder of {kind}. Name one, such as {listed(names[:3], 'or')}."
    return ""


def is_cross_validation(root: str | Path) -> bool:
    """Whether a folder was made by `cross_validate`."""
    return (Path(root) / FOLDS).is_file()


def folds_of(root: str | Path) -> tuple[list[str], int]:
    """The finished runs in a cross-validation's folder, and how many folds it is of."""
    from maskwright.config.files import load_config

    weights = sorted(Path(root).glob("fold-*/model.safetensors"))
    return [str(path.parent) for path in weights], load_config(Path(root) / FOLDS).data.split.folds or 0


def _within(root: Path, held: str) -> list[Path]:
    """The folders in a folder that hold a file."""
    return sorted(path.parent for path in root.glob(f"*/{held}"))


def refuse_used(root: Path, flag: str = "--out", fix: str = "Choose another.") -> None:
    """Stop when a folder that must be new or empty holds something; hidden files, such as .gitkeep, are no obstacle."""
    held = sorted(path.name for path in root.iterdir() if path.name[0] != ".") if root.is_dir() else []
    if held or (root.exists() and not root.is_dir()):
        what = f"which holds {listed(held, 'and', 3)}" if held else "a file"
        raise RunError(f"`{flag}` must be a new or empty folder; got {root}, {what}. {fix}")


def _read_history(path: Path) -> list[dict[str, float]]:
    refuse_no_file(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            written = list(csv.DictReader(file, strict=True))
        rows = [{str(key): float(value) if value else math.nan for key, value in row.items()} for row in written]
    except (OSError, ValueError, TypeError, csv.Error) as error:  # TypeError: more or fewer cells than columns
        raise RunError(f"`{path}` must hold a number a column; {error}. Restore it.") from None
    for number, row in enumerate(rows):
        strange = [key for key in _COLUMNS if key not in row]
        strange = strange or [key for key, value in row.items() if abs(value) > _LARGEST]
        strange += [key for key in ("seconds", "images_per_second") if not row.get(key, 0) >= 0]  # nor NaN
        strange += [key for key in row if key.endswith("_iou") and not (math.isnan(row[key]) or 0 <= row[key] <= 1)]
        if strange or row["epoch"] != number:
            what = f"epoch {number} has no such `{strange[0]}`" if strange else f"epoch {number} is missing"
            raise RunError(f"`{path}` must hold a row an epoch, as it was written; {what}. Restore it.")
    return rows


def provenance(reasons: Mapping[str, str]) -> dict[str, Any]:
    """Versions, machine, git state and command line, for environment.json."""
    return {
        "command": command_line(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "machine": {"system": platform.platform(), "processor": processor_name(), "cores": usable_cores()},
        "git": git_state(Path.cwd()),
        "auto": dict(reasons),
    }


def usable_cores() -> int:
    """Cores this process may use (fewer than the machine's inside a container)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def size_name(amount: float) -> str:
    """Bytes as a person says them.

    >>> size_name(3 << 20), size_name(5 << 29)
    ('3.0 MiB', '2.5 GiB')
    """
    if amount >= 2**29:
        return f"{amount / 2**30:.1f} GiB"
    return f"{amount / 2**20:.0f} MiB" if amount >= 10 * 2**20 else f"{amount / 2**20:.1f} MiB"


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit; None outside a repository. More, as `git status`, would run programs that the repository names."""
    words = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": done.stdout.strip()}


def _version(package: str) -> str | None:
    from importlib import metadata  # late: it takes long to import

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def command_line() -> list[str]:
    """The command as typed, for provenance."""
    name = Path(sys.argv[0]).name
    return ["maskwright" if name == "__main__.py" else name, *sys.argv[1:]]  # python -m maskwright


def plain_name(name: str) -> str:
    """A folder's name of letters, digits, dots and dashes.

    >>> plain_name("my set/unet")
    'my-set-unet'
    """
    return re.sub(r"[^\w.-]+", "-", name)


def default_out(config: Config, parent: Path = Path("runs")) -> Path:
    """runs/DATA-MODEL-NUMBER, the first number that is free."""
    parts = [getattr(config.model, key, None) for key in ("arch", "encoder", "size")]
    label = "-".join(part for part in parts if part) or config.model.name
    return first_free(parent, config, label)


def first_free(parent: Path, config: Config, label: str) -> Path:
    """PARENT/DATA-LABEL-NUMBER, the first number that is free."""
    base = plain_name(f"{Path(os.path.realpath(config.data.root or 'data')).stem[:100]}-{label}")
    return next(path for number in itertools.count(1) if not (path := parent / f"{base}-{number}").exists())
