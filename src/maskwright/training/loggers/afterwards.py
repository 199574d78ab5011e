"""What comes after training: an evaluation's scores and tables, and the report, taken to the run's W&B and MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.config.log import LogEntry
from maskwright.errors import RunError
from maskwright.files import refuse_no_file, validate_document
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from maskwright.schemas import BestEpoch
from maskwright.terminal import tell_on_stderr
from maskwright.training.loggers.book import LogBook, Tell
from maskwright.training.loggers.tables import scored

_LATER = ("wandb", "mlflow")  # TensorBoard has no place for what is no curve


def log_evaluation(
    run: Run, document: Mapping[str, Any], counts: Counts, tell: Tell = tell_on_stderr, log: Sequence[LogEntry] | None = None
) -> None:
    """Give the scores and tables of a split to the run's loggers; nothing is imported when it has none of them.

    A logger that failed while the run was trained is given the epochs it lacks first. One that fails now is told of;
    the evaluation stands in the run folder either way.
    """
    book = _book(run, tell, log)
    if book:
        with book:
            _catch_up(book)
            book.evaluation(scored(document, counts))


def log_report(run: Run, path: Path, tell: Tell = tell_on_stderr) -> None:
    """Give report.html to the run's loggers."""
    book = _book(run, tell)
    if book:
        with book:
            _catch_up(book)
            book.file(path)


def _book(run: Run, tell: Tell, log: Sequence[LogEntry] | None = None) -> LogBook | None:
    book = LogBook(run, tell, _LATER, "the run folder holds it all, and the next maskwright evaluate tries again", log)
    return book if book.entries else None


def _catch_up(book: LogBook) -> None:
    book.open(None, [dict(row) for row in book.run.history])
    if book.run.weights.is_file():
        book.best(best_scores(book.run))


def best_scores(run: Run) -> dict[str, float]:
    """The best epoch and its scores, as model.safetensors tells them."""
    from safetensors import SafetensorError, safe_open

    refuse_no_file(run.weights)
    try:
        with safe_open(run.weights, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["maskwright"])
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        fix = "Restore it, or remove it: maskwright train --resume then writes it anew from the checkpoints."
        raise RunError(f"`{run.weights}` must be a whole weights file of a run; {error}. {fix}") from None
    validate_document(run.weights, told, BestEpoch)
    return {name: float(value) for name, value in told.items() if isinstance(value, int | float) and name != "score"}
