"""What a terminal is given: every text by way of `printable`, so that no name can move its cursor or turn a line round."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

from maskwright.errors import printable


class PrintableConsole(Console):
    """A console that escapes control characters in what it is asked to print."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)


def stderr() -> Console:
    """The console for progress and remarks."""
    return PrintableConsole(stderr=True, highlight=False, markup=False, emoji=False)  # a path may hold [brackets] or :colons:


def tell_on_stderr(sentence: str) -> None:
    """Where there is no console: a line on stderr."""
    print(printable(sentence), file=sys.stderr)
