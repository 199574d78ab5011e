"""A listing that is not whole: training refuses it as any other mistake, an audit looks at what is certain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.data.dataset import Listing
from maskwright.errors import DataError


@dataclass(frozen=True)
class Gap:
    """One thing a listing lacks or holds too much of; `code` is a finding's, such as unpaired."""

    code: str
    files: tuple[Path, ...]
    told: str


class PartialListing(DataError):
    """Raised by a reader that is sure of some records and not of others; `listing` holds those it is sure of."""

    def __init__(self, message: str, listing: Listing, gaps: Sequence[Gap]) -> None:
        super().__init__(message)
        self.listing, self.gaps = listing, tuple(gaps)
