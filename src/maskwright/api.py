"""The same from Python: few verbs, every result a small dataclass that prints well.

import maskwright as mw
run = mw.train("my_data", model="unet", epochs=20)
print(run.evaluate("test"))
run.predict("photo.jpg").labels
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from maskwright.config.files import Override, load_config
from maskwright.config.flags import SHORT
from maskwright.errors import UsageError, closest, must
from maskwright.runs import Run, default_out

if TYPE_CHECKING:
    from maskwright.evaluation import Evaluation
    from maskwright.prediction import Prediction, Predictor

_SHORT_NAMES = {flag[2:].replace("-", "_"): key for flag, key in SHORT.items()} | {"allow": "train.allow"}


class TrainedRun(Run):
    """A run folder with verbs: evaluate, predict, report."""

    def evaluate(self, split: str = "test", data: str | Path | None = None) -> Evaluation:
        """Score one of the run's splits."""
        from maskwright.evaluation import evaluate

        return evaluate(self, split, Path(data) if data else None)

    def predict(self, image: str | Path | np.ndarray, threshold: float | None = None) -> Prediction:
        """Predict one image of any size: a path, or height × width × 3 of uint8."""
        return _predictor(self.root.resolve()).predict(image, threshold)

    def report(self) -> Path:
        """Write report.html and return its path."""
        from maskwright.reports import write_report

        return write_report(self)

    def __str__(self) -> str:
        rows = self.history
        if not rows:
            return f"Run {self.root}: not trained yet"
        monitor = self.config.train.monitor
        scored = [row for row in rows if row[monitor] == row[monitor]] or rows
        best = (max if monitor == "val_iou" else min)(scored, key=lambda row: row[monitor])
        return f"Run {self.root}: {len(rows)} epochs, best {best['epoch'] + 1:.0f} with val IoU {best['val_iou']:.4f}"

    __repr__ = __str__


def train(
    data: str | Path | None = None, *, config: str | Path | None = None, out: str | Path | None = None, progress: bool = True,
    **keys: Any,
) -> TrainedRun:  # fmt: skip
    """Train a model and return its run.

    `keys` are the flags of `maskwright train` (model, epochs, lr, batch_size, …) or whole sections
    (`optim={"lr": 1e-3}`); dotted keys go into `**{"data.size": 256}`.

    >>> train("my_data", epoch=1)
    Traceback (most recent call last):
    maskwright.errors.UsageError: `train()` must be given a keyword that is known; got 'epoch'. Did you mean epochs?
    """
    overrides: list[Override] = [("data.root", str(data), "data")] if data is not None else []
    for name, value in keys.items():
        overrides += _overrides(name, value)
    settled = load_config(config, overrides)

    from maskwright.training import fit

    console = Console(stderr=True, highlight=False) if progress else None
    result = fit.train(settled, out or default_out(settled), console)
    return TrainedRun(result.run.root)


def resume(run: str | Path, *, progress: bool = True) -> TrainedRun:
    """Go on with a run that was stopped."""
    from maskwright.training import fit

    return TrainedRun(fit.resume(run, Console(stderr=True, highlight=False) if progress else None).run.root)


def load_run(run: str | Path) -> TrainedRun:
    """Open a run folder made before."""
    return TrainedRun(Run.open(run).root)


def _overrides(name: str, value: Any) -> list[Override]:
    if isinstance(value, Path):
        value = str(value)
    if name in _SHORT_NAMES:
        return [(_SHORT_NAMES[name], value, name)]
    if "." in name or name in ("loss", "augment", "log"):
        return [(name, value, name)]
    if name in ("data", "optim", "train") and isinstance(value, dict):
        return [(f"{name}.{key}", inner, f"{name}.{key}") for key, inner in value.items()]
    near = closest(name, [*_SHORT_NAMES, "optim", "augment", "log", "config", "out"], limit=1)
    raise UsageError(
        must("train()", "given a keyword that is known", repr(name), f"Did you mean {near[0]}?" if near else "See its docs.")
    )


@functools.lru_cache(maxsize=2)
def _predictor(root: Path) -> Predictor:
    """Loading weights takes longer than predicting, so the last two networks stay."""
    from maskwright.prediction import Predictor

    return Predictor.from_run(Run.open(root))
