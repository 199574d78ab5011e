"""loggers.json: the names of a run in other programs, so that a resume and an evaluation find it again."""

from __future__ import annotations

import secrets
import string
from typing import Any

from maskwright.runs import Run
from maskwright.schemas import Ledger

FILE = "loggers.json"


def read_run_ids(run: Run) -> dict[str, dict[str, Any]]:
    """What each logger noted; empty before the first did."""
    return run.read_json(FILE, Ledger) if (run.root / FILE).exists() else {}


def note(run: Run, logger: str, entry: dict[str, Any]) -> None:
    """Write a logger's entry, before it does anything under these names: a process killed later finds them."""
    ledger = read_run_ids(run)
    if ledger.get(logger) != entry:
        run.write_json(FILE, {**ledger, logger: entry})


def new_run_id() -> str:
    """A name no other run has, which no seed decides.

    >>> len(new_run_id())
    12
    """
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
