"""The same from Python: few verbs, every result a small dataclass that prints well.

import maskwright as mw
run = mw.train("my_data", model="unet", epochs=20)
print(run.evaluate("test"))
run.predict("photo.jpg").labels
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from maskwright import custom
from maskwright.config.base import best_index
from maskwright.config.files import Override, load_config
from maskwright.config.flags import SHORT_NAMES
from maskwright.custom import is_source
from maskwright.errors import UsageError, closest, counted, must, unknown
from maskwright.folders import out_folder
from maskwright.runs import PREDICTS, Run, ShownInNotebook, default_out, is_cross_validation
from maskwright.terminal import stderr

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console

    from maskwright.comparison import Comparison
    from maskwright.comparison.search_result import SearchResult
    from maskwright.data.checks.findings import Audit
    from maskwright.data.synthetic import SyntheticSet
    from maskwright.evaluation import Evaluation
    from maskwright.evaluation.cross_validation import CrossValidation
    from maskwright.metrics.counts import Counts
    from maskwright.prediction import Prediction, Predictor
    from maskwright.prediction.network import Picture
    from maskwright.training.diagnose import Diagnosis
    from maskwright.training.fit import TrainResult

_SHORT_NAMES = SHORT_NAMES | {"allow": "train.allow"}


def _html_of(result: object) -> str:
    from maskwright.reports.notebook import html_of

    return html_of(result)


ShownInNotebook.html_of = staticmethod(_html_of)


class TrainedRun(Run, ShownInNotebook):
    """A run folder with verbs: evaluate, predict, diagnose, report."""

    def __dir__(self) -> list[str]:
        return ["checkpoints", "config", "counts", "data", "diagnose", "environment", "evaluate", "evaluation",
                "history", "name", "predict", "report", "root", "to_pandas", "weights"]  # fmt: skip

    def evaluate(
        self, split: str = "test", data: str | Path | None = None, threshold: str | float | None = None,
        boundary_width: int = 3, device: str | None = None,
    ) -> Evaluation:  # fmt: skip
        """Score one of the run's splits; `threshold` is the foreground's of two classes, "tuned" the best on val.

        `boundary_width` is how many pixels two outlines may be apart for boundary F; `device` is cpu or gpu.
        """
        from maskwright.data.record import moved_data
        from maskwright.evaluation import evaluate

        return evaluate(self, split, moved_data(data), threshold, boundary_width=boundary_width, device=device)

    @overload
    def predict(self, image: Picture, threshold: str | float | None = None) -> Prediction: ...
    @overload
    def predict(self, image: Iterable[Picture], threshold: str | float | None = None) -> Iterator[Prediction]: ...
    def predict(self, image: Any, threshold: str | float | None = None) -> Prediction | Iterator[Prediction]:
        """Predict an image of any size: a path, a PIL image, an array H W C or a tensor C H W of uint8.

        Of an iterable of such each is predicted when it is asked for. `threshold` is as for `evaluate`. Once the run
        was evaluated, probabilities are calibrated by the temperature fitted on val.
        """
        return _predictor(self.root.resolve(), _stamps(self)).predict(image, threshold)

    def diagnose(self) -> tuple[Diagnosis, ...]:
        """What the run's curves and counts show, worst first; more after `evaluate("val")`. Test scores aren't read."""
        from maskwright.training.diagnose import diagnose

        return diagnose(self)

    def report(self, split: str = "test", data: str | Path | None = None) -> Path:
        """Write report.html about one of the run's splits and return its path."""
        from maskwright.data.record import moved_data
        from maskwright.reports import write_report

        return write_report(self, split, moved_data(data))

    def to_pandas(self) -> DataFrame:
        """The history as a pandas DataFrame, a row an epoch; `history` is the same as a list of dicts."""
        try:
            import pandas
        except ImportError:
            raise UsageError("`to_pandas()` needs pandas, which is not installed. Run: pip install pandas") from None
        return pandas.DataFrame(self.history)

    def counts(self, split: str = "test") -> Counts:
        """The pixel counts that scores are read from; `.matrix` is image × truth × prediction. After `evaluate`."""
        from maskwright.metrics.counts import Counts

        path = self.root / "evaluation" / f"{split}-counts.npz"
        if not path.is_file():
            fix = f"Call run.evaluate({split!r})."
            raise UsageError(f"`counts()` needs a split that was evaluated; {self.root} has no {path.name}. {fix}")
        return Counts.load(path)

    def __str__(self) -> str:
        rows = self.history
        if not rows:
            return f"Run {self.root}: not trained yet"
        monitor = self.config.train.monitor
        best = rows[best_index([row[monitor] for row in rows], monitor) or 0]
        epochs, number = counted(len(rows), "epoch"), f"{best['epoch'] + 1:.0f}"
        return f"Run {self.root}: {epochs}, best {number} with val IoU {best['val_iou']:.4f}"

    __repr__ = __str__


def check(data: Any, **keys: Any) -> Audit:
    """Audit a data set and change nothing; the result prints as `maskwright check` does. `data` and `keys` as in
    `train`.

    >>> print(check("my_data"))  # doctest: +SKIP
    """
    from maskwright.data.checks.audit import audit

    return audit(load_config(None, [*_data_root(data), *_overrides(keys)]).data)


def make_data(
    kind: str, out: str | Path, *, count: int | None = None, size: tuple[int, int] | None = None, seed: int = 0,
    layout: str = "folders",
) -> SyntheticSet:  # fmt: skip
    """Make a procedural data set, puzzle or landcover, in a new folder; `size` is (height, width).

    >>> make_data("puzzle", "my_puzzle").splits  # doctest: +SKIP
    {'train': 10, 'val': 4, 'test': 4}
    """
    from maskwright.data.synthetic import make

    return make(kind, Path(out), count, size, seed, layout=layout)


def train(
    data: Any = None, *, config: str | Path | None = None, out: str | Path | None = None, progress: bool = True,
    **keys: Any,
) -> TrainedRun:  # fmt: skip
    """Train a model and return its run.

    `data` is a folder or CSV, a list of (image, mask) or (image, mask, group), each a path or an array, or any torch
    Dataset of such pairs; arrays are kept without loss in a folder beside the run.

    `model` may be a name, `FILE.py:NAME`, or any nn.Module of image → logits, or a class or function that gives one;
    `loss` a function of (logits, masks); `augment` an Albumentations Compose or a function of (image, mask).

    `keys` are the flags of `maskwright train` (model, epochs, lr, batch_size, …) or whole sections
    (`optim={"lr": 1e-3}`); dotted keys go into `**{"data.size": 256}`.

    >>> train("my_data", epoch=1)
    Traceback (most recent call last):
    maskwright.errors.UsageError: Unknown keyword 'epoch'. Did you mean 'epochs'?
    """
    asked = load_config(config, [*_data_root(data, out), *_overrides(keys)])

    from maskwright.training import fit
    from maskwright.training.summary import print_plan

    console = stderr() if progress else None
    with out_folder(out, default_out(asked)) as root:
        return _trained(fit.train(asked, root, console, print_plan(console) if console else None), console)


def cross_validate(
    data: Any = None, *, folds: int = 5, config: str | Path | None = None, out: str | Path | None = None,
    progress: bool = True, **keys: Any,
) -> CrossValidation:  # fmt: skip
    """Train a run for each of `folds`, so that every image but the test's is judged by a network that has not seen it.

    `data` and `keys` as in `train`; a budget is that of all folds together. Called again with the same `out` it goes
    on.

    >>> print(cross_validate("my_data", folds=5, budget="20m"))  # doctest: +SKIP
    """
    from maskwright.evaluation import cross_validation as folded
    from maskwright.training.summary import print_plan

    console = stderr() if progress else None
    if out is not None and is_cross_validation(out):
        return folded.resume(out, console, next((Path(place) for _, place, _ in _data_root(data, out)), None))
    overrides = [*_data_root(data, out), *_overrides(keys), ("data.split.folds", folds, "folds")]
    asked = load_config(config, overrides)
    with out_folder(out, default_out(asked)) as root:
        return folded.cross_validate(asked, root, console, print_plan(console) if console else None)


def resume(
    run: str | Path, *, data: str | Path | None = None, budget: str | None = None, out: str | Path | None = None,
    progress: bool = True, model: Any = None, loss: Any = None, augment: Any = None,
) -> TrainedRun:  # fmt: skip
    """Go on with a run that was stopped; `data` says where the data set is now, when it has moved.

    `model`, `loss` and `augment` are as in `open`.

    With a `budget` ("10m") a finished run is continued: a new run, in `out`, that starts from its weights.
    """
    from maskwright.training import fit

    console = stderr() if progress else None
    open(run, model=model, loss=loss, augment=augment)
    if budget is not None:
        budget = load_config(None, [("train.budget", budget, "budget")]).train.budget
        asked = fit.continuation(run, str(budget), str(data) if data else None)
        with out_folder(out, default_out(asked)) as root:
            return _trained(fit.train(asked, root, console), console)
    if out is not None:
        raise UsageError("`out` must be left out where a run goes on in its own folder. Give it with a budget alone.")
    return _trained(fit.resume(run, console, Path(data) if data else None), console)


def _trained(result: TrainResult, console: Console | None) -> TrainedRun:
    from maskwright.training.summary import format_best

    if console:
        console.print(f"{format_best(result)}; run in {result.run.root}", soft_wrap=True)
    return TrainedRun(result.run.root)


def compare(
    *what: str | Path, out: str | Path | None = None, split: str | None = None, data: str | Path | None = None,
    progress: bool = True, **keys: Any,
) -> Comparison:  # fmt: skip
    """Compare a matrix of models and seeds (a YAML), go on with a comparison (its folder), or compare finished runs.

    `keys` override the YAML's base, as in `train`. Tables and report.html are written into the comparison's
    folder. Without `out` a YAML goes on where an earlier call with the same cells began in runs/.

    >>> print(compare("runs/a", "runs/b"))  # doctest: +SKIP
    """
    from maskwright.comparison.cells import compare
    from maskwright.comparison.tables import write_outcome
    from maskwright.reports.comparison_page import write_comparison_report

    overrides = [*_data_root(data), *_overrides(keys)]
    comparison = compare(what, overrides, out, split, stderr() if progress else None)
    write_outcome(comparison)
    write_comparison_report(comparison, Path(data) if data is not None else None)
    return comparison


def search(
    config: str | Path, *, out: str | Path | None = None, trials: int | None = None, minutes: float | None = None,
    data: str | Path | None = None, progress: bool = True, **keys: Any,
) -> SearchResult:  # fmt: skip
    """Search for a good setting by validation alone: a YAML with a base and ranges, as for `maskwright search`.

    `keys` override the YAML's base, as in `train`. Called again with the same `out` it goes on; `best_config` of
    the result is ready for `train(config=…)`.

    >>> print(search("search.yaml", trials=20))  # doctest: +SKIP
    """
    from maskwright.comparison.search import search as run
    from maskwright.comparison.search_space import read_space, search_out
    from maskwright.reports.search_plots import write_plots

    space = read_space(config, [*_data_root(data), *_overrides(keys)], trials, minutes)
    result = run(space, Path(out) if out else search_out(config), stderr() if progress else None)
    write_plots(result, space)
    return result


def open(run: str | Path, *, model: Any = None, loss: Any = None, augment: Any = None) -> TrainedRun:
    """Open a run folder made before.

    A run of code that no import finds again (or whose file has moved) is given it here: the same network, loss or
    augmentation as in `train`, a list where there were several.

    >>> open("runs/first", model=my_module).predict("photo.jpg")  # doctest: +SKIP
    """
    opened = TrainedRun(Run.open(run).root)
    code = opened.config.custom_code()
    for part, given in (("model", model), ("loss", loss), ("augment", augment)):
        if given is None:
            continue
        wanted, objects = [one for key, one in code.items() if key.partition(".")[0] == part], _several(given)
        if len(wanted) != len(objects):
            asks = f"needs {counted(len(wanted), 'object')} there" if wanted else "needs none there"
            constraint = f"as the run was trained; {opened.root} {asks}"
            raise UsageError(must(part, constraint, counted(len(objects), "object")))
        for named, value in zip(wanted, objects, strict=True):
            custom.receive({named.source: custom.load(part, value, named.options).value if is_source(value) else value})
        _predictor.cache_clear()
    return opened


def load_run(run: str | Path) -> TrainedRun:
    """Open a run folder made before, as `open` does."""
    return open(run)


def _data_root(data: Any, out: str | Path | None = None) -> list[Override]:
    """Where the data are; pairs that were handed over become files beside the run first."""
    if data is None:
        return []
    if not isinstance(data, str | Path):
        from maskwright.data.in_memory import pairs_folder

        data = pairs_folder(data, Path(out).absolute().parent if out else Path("runs"))
    return [("data.root", str(data), "data")]


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _with_objects(name: str, value: Any) -> Any:
    """A network, loss or step that was handed over, by the source that stands for it in a configuration."""
    if isinstance(value, list | tuple):
        return [_with_objects(name, one) for one in value]
    if value is None or isinstance(value, str | dict):
        return value
    if name == "model" and not callable(value):
        raise UsageError(must("model", "a name, an nn.Module, or what gives one", type(value).__name__))
    own = (
        {"weights": "given"} if name == "model" and not isinstance(value, type) and hasattr(value, "state_dict") else {}
    )
    found = {"source": custom.keep(value), **own}
    return found if name == "augment" else {"name": "custom", **found}


def _overrides(keys: dict[str, Any]) -> list[Override]:
    return [one for name, value in keys.items() for one in _override(name, value)]


def _override(name: str, value: Any) -> list[Override]:
    if isinstance(value, Path):
        value = str(value)
    if name in ("model", "loss", "augment"):
        value = _with_objects(name, value)
    if name in _SHORT_NAMES:
        return [(_SHORT_NAMES[name], value, name)]
    if "." in name or name in ("loss", "augment", "log"):
        return [(name, value, name)]
    if name in ("data", "optim", "train") and isinstance(value, dict):
        return [(f"{name}.{key}", inner, f"{name}.{key}") for key, inner in value.items()]
    near = closest(name, [*_SHORT_NAMES, "optim", "augment", "log", "config", "out"], limit=1)
    raise UsageError(unknown("keyword", name, near, "" if near else "See help(maskwright.train)."))


def _stamps(run: Run) -> tuple[object, ...]:
    """What differs when a file that a predictor is made of was written anew; of one that is not there None."""
    files = [path.stat() if path.is_file() else None for path in (run.root / name for name in PREDICTS)]
    return tuple(stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in files)


@functools.lru_cache(maxsize=2)
def _predictor(root: Path, stamps: tuple[object, ...]) -> Predictor:
    """Loading weights takes longer than predicting, so the last two networks stay while their runs are as they were."""
    from maskwright.prediction import Predictor

    return Predictor.from_run(Run.open(root))
