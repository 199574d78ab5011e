"""The open loggers of a run: each is given what it lacks, and one that fails is reported once and left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from maskwright.config.log import LogEntry, entry_name
from maskwright.errors import MaskwrightError, RunError
from maskwright.files import refuse_no_file, validate_document
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from maskwright.schemas import BestEpoch
from maskwright.terminal import print_on_stderr
from maskwright.training.loggers import LOGGERS, TITLES
from maskwright.training.loggers.base import Ending, Epoch, Logger, Scored, scored
from maskwright.training.loggers.choice import without_addresses
from maskwright.training.loggers.environment import first_line, quiet
from maskwright.training.loggers.run_ids import note, read_run_ids

Print = Callable[[str], None]


class LoggerCollection:
    """A run's loggers, opened one after the other and closed together.

    with LoggerCollection(run, print_line) as loggers:
        loggers.open(first_epoch=0, rows=[])
        loggers.epoch(Epoch(row, panels))
        loggers.best(scores)
    """

    def __init__(
        self, run: Run, print_line: Print = print_on_stderr, names: tuple[str, ...] = tuple(LOGGERS),
        goes_on: str = "training goes on without it, and maskwright evaluate adds what it lacks",
        log: Sequence[LogEntry] | None = None,
    ) -> None:  # fmt: skip
        """`log` is what this call's configuration asks for; without one the run's is used, less the places it names."""
        self.run, self.config, self.print_line, self.goes_on = run, run.config, print_line, goes_on
        unnamed = ""
        if log is None:
            log, unnamed = without_addresses(self.config.log, read_run_ids(run))
        self.entries = [entry for entry in log if entry_name(entry) in names]
        if unnamed:
            print_line(
                f"note    nothing goes to the places that {run.root} itself would log to; {unnamed} before the command "
                "allows it"
            )
        self._open: dict[str, Logger] = {}

    def open(self, first_epoch: int | None, rows: list[dict[str, Any]]) -> None:
        """Open every logger and fill in the epochs it has not; `first_epoch` is None after training."""
        for entry in self.entries:
            name = entry_name(entry)
            with quiet():
                try:
                    logger = LOGGERS[name](self.run, self.config, entry, first_epoch)
                except MaskwrightError:
                    raise
                except Exception as error:  # noqa: BLE001 - a logger's packages raise whatever they like
                    self._print_failure(name, error)
                    continue
            if logger is None:
                continue
            self._open[name] = logger
            if logger.astray or (name != "tensorboard" and first_epoch is not None):
                self.print_line(f"log     {TITLES[name]}: {logger.place}")
        for row in rows:
            self.epoch(Epoch(row))

    def wants(self, number: int) -> bool:
        """Whether any logger has still to be given this epoch."""
        return any(number > logger.recorded for logger in self._open.values())

    def epoch(self, epoch: Epoch) -> None:
        """Give an epoch to the loggers that haven't got it."""

        def give(logger: Logger) -> None:
            if epoch.number > logger.recorded:
                logger.epoch(epoch)
                logger.recorded = epoch.number

        self._each(give)

    def best(self, scores: Mapping[str, float]) -> None:
        """Give the best epoch's scores to the loggers that haven't got them."""
        for name in list(self._open):
            entry = read_run_ids(self.run).get(name, {})
            if entry.get("finished"):
                continue
            self._each(lambda logger: logger.best(scores, self.run), (name,))
            if name in self._open and entry:
                note(self.run, name, {**entry, "finished": True})

    def evaluation(self, scored: Scored) -> None:
        """Give a split's scores and tables to all."""
        self._each(lambda logger: logger.evaluation(scored))

    def file(self, path: Path) -> None:
        """Give one of the run's files to all."""
        self._each(lambda logger: logger.file(path))

    def __enter__(self) -> LoggerCollection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending: Ending = "finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed"
        self._each(lambda logger: logger.close(ending))

    def _each(self, act: Callable[[Logger], None], names: tuple[str, ...] | None = None) -> None:
        for name, logger in list(self._open.items()):
            if names is not None and name not in names:
                continue
            with quiet():
                try:
                    act(logger)
                except MaskwrightError:  # a disk that is full, reported as for any other file of the run
                    raise
                except Exception as error:  # noqa: BLE001 - a logger's packages raise whatever they like
                    del self._open[name]
                    self._print_failure(name, error)
                    with suppress(Exception):
                        logger.close("failed")

    def _print_failure(self, name: str, error: Exception) -> None:
        self.print_line(f"warning {TITLES[name]} failed: {first_line(error)}; {self.goes_on}")


_LATER = ("wandb", "mlflow")  # TensorBoard has no place for what is no curve


@contextmanager
def _after_training(run: Run, log: Sequence[LogEntry] | None = None) -> Iterator[LoggerCollection]:
    """The loggers of a run trained before, given what they lack of it; nothing is imported where it has none."""
    goes_on = "the run folder holds it all, and the next maskwright evaluate tries again"
    with LoggerCollection(run, names=_LATER, goes_on=goes_on, log=log) as loggers:
        if loggers.entries:
            loggers.open(None, [dict(row) for row in run.history])
            if run.weights.is_file():
                loggers.best(best_scores(run))
        yield loggers


def log_evaluation(
    run: Run, document: Mapping[str, Any], counts: Counts, log: Sequence[LogEntry] | None = None
) -> None:
    """Give the scores and tables of a split to the run's loggers; one that fails is reported, the evaluation stands."""
    with _after_training(run, log) as loggers:
        loggers.evaluation(scored(document, counts))


def log_report(run: Run, path: Path) -> None:
    """Give report.html to the run's loggers."""
    with _after_training(run) as loggers:
        loggers.file(path)


def best_scores(run: Run) -> dict[str, float]:
    """The best epoch and its scores, as model.safetensors tells them."""
    from safetensors import SafetensorError, safe_open

    refuse_no_file(run.weights)
    try:
        with safe_open(run.weights, framework="numpy") as file:
            document = json.loads((file.metadata() or {})["maskwright"])
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        fix = "Restore it, or remove it: maskwright train --resume then writes it anew from the checkpoints."
        raise RunError(f"`{run.weights}` must be a whole weights file of a run; {error}. {fix}") from None
    validate_document(run.weights, document, BestEpoch)
    return {
        name: float(value) for name, value in document.items() if isinstance(value, int | float) and name != "score"
    }
