"""What commands print: a short human table on stdout, or one JSON document; all else on stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maskwright.errors import UNPRINTABLE, one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

    from maskwright.terminal import Counter


def say(text: str) -> None:
    """A line for a person, on stdout, not wrapped: paths stay whole."""
    print(printable(text))


def say_wrapped(text: str, whole: bool = False) -> None:
    """A line on stdout, in a terminal wrapped between words with its rest indented; elsewhere, or `whole`, as it is."""
    columns = shutil.get_terminal_size().columns
    if not whole and sys.stdout.isatty():
        indent = " " * (len(text) - len(re.sub(r"^\s*([a-z]+ {2,})?", "", text)) or 2)
        text = textwrap.fill(text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    say(text.replace("\u00a0", " "))


def say_next(text: str, command: str) -> None:
    """A last line with a command, which in a terminal gets a line of its own where both are too long for one."""
    if sys.stdout.isatty() and len(f"{text} {command}") > shutil.get_terminal_size().columns:
        say_wrapped(text)
        say(f"  {command}")
    else:
        say(f"{text} {command}".rstrip())


def say_json(value: Any) -> None:
    """The one JSON document of --json."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    # JSON leaves some to a terminal that reads it
    print(UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns in a terminal with a rule under the head, plain aligned lines elsewhere."""
    from rich.console import Console  # late: most of what is said is plain lines
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    rows = [[one_line(cell) for cell in row] for row in rows]
    if not console.is_terminal:
        widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
        for row in [columns, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    drawn = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        drawn.add_column(column)
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def stderr() -> Console:
    """The console for progress and remarks."""
    from maskwright.terminal import stderr

    return stderr()


def counting(label: str, then: str = "", unit: str = "") -> Counter:
    """A count on stderr while images pass; with `then`, what is at work after them, until the count is left; in `unit`,
    so many a second, too."""
    from maskwright.terminal import Counter

    return Counter(stderr(), label, then, unit)
