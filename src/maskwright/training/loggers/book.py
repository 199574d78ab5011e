"""The open loggers of a run: each is given what it lacks, and one that fails is told of once and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from maskwright.config.log import LogEntry, entry_name
from maskwright.errors import MaskwrightError
from maskwright.runs import Run
from maskwright.terminal import tell_on_stderr
from maskwright.training.loggers import LOGGERS, TITLES
from maskwright.training.loggers.choice import without_addresses
from maskwright.training.loggers.epochs import Ending, Epoch, Logger
from maskwright.training.loggers.ledger import note, read_ledger
from maskwright.training.loggers.surroundings import first_line, quiet
from maskwright.training.loggers.tables import Scored

Tell = Callable[[str], None]


class LogBook:
    """A run's loggers, opened one after the other and closed together.

    with LogBook(run, tell) as book:
        book.open(first_epoch=0, rows=[])
        book.epoch(Epoch(row, panels))
        book.best(scores)
    """

    def __init__(
        self, run: Run, tell: Tell = tell_on_stderr, names: tuple[str, ...] = tuple(LOGGERS),
        goes_on: str = "training goes on without it, and maskwright evaluate adds what it lacks",
        log: Sequence[LogEntry] | None = None,
    ) -> None:  # fmt: skip
        """`log` is what this call's own configuration asks for; without one the run's is used, less the places it names."""
        self.run, self.config, self.tell, self.goes_on = run, run.config, tell, goes_on
        unnamed = ""
        if log is None:
            log, unnamed = without_addresses(self.config.log, read_ledger(run))
        self.entries = [entry for entry in log if entry_name(entry) in names]
        if unnamed:
            tell(
                f"note    nothing goes to the places that {run.root} itself would log to; {unnamed} before the command allows it"
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
                    self._told(name, error)
                    continue
            if logger is None:
                continue
            self._open[name] = logger
            if logger.astray or (name != "tensorboard" and first_epoch is not None):
                self.tell(f"log     {TITLES[name]}: {logger.place}")
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
            entry = read_ledger(self.run).get(name, {})
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

    def __enter__(self) -> LogBook:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ending: Ending = "finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed"
        self._each(lambda logger: logger.close(ending))

    def _each(self, act: Callable[[Logger], None], names: tuple[str, ...] | None = None) -> None:
        for name, logger in list(self._open.items()):
            if names is not None and name not in names:
                continue
            with quiet():
                try:
                    act(logger)
                except MaskwrightError:  # a disk that is full, told as for any other file of the run
                    raise
                except Exception as error:  # noqa: BLE001 - a logger's packages raise whatever they like
                    del self._open[name]
                    self._told(name, error)
                    with suppress(Exception):
                        logger.close("failed")

    def _told(self, name: str, error: Exception) -> None:
        self.tell(f"warning {TITLES[name]} failed: {first_line(error)}; {self.goes_on}")
