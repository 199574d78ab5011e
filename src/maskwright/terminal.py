"""What a terminal is given: every text by way of `printable`, so that no name can move its cursor or turn a line round.

What takes long has one live line there, and in a line every half a minute where output is piped or kept in a
file.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from maskwright.errors import printable

PULSE = 30.0  # seconds after which something is said where nothing else was
WIDE = 200  # columns of a line that no terminal cuts
DASH = "–"  # what is undefined
_SHORTEST_BAR, _LONGEST_BAR = 8, 40


class PrintableConsole(Console):
    """A console that escapes control characters in what it is asked to print."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

    def on_broken_pipe(self) -> None:
        if self.stderr:
            super().on_broken_pipe()
        raise BrokenPipeError  # whoever read the result has enough, as in `… | head`: no failure


def stderr() -> Console:
    """The console for progress and remarks."""
    return _console(stderr=True)


def stdout() -> Console:
    """The console for a result that breaks between words in a terminal."""
    return _console(stderr=False)


def _console(stderr: bool) -> Console:
    # a path may hold [brackets] or :colons:
    return PrintableConsole(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_on_stderr(sentence: str) -> None:
    """Where there is no console: a line on stderr."""
    print(printable(sentence), file=sys.stderr)


class Progress:
    """What is being done just now, in one line: live in a terminal, elsewhere a line whenever nothing was said for a
    while.

    `line` gives the text for so many columns. What `tell` prints stays. Whatever still runs when a command ends
    is ended by `end_progress`, so that no error is drawn into a live line.
    """

    _running: ClassVar[set[Progress]] = set()

    def __init__(self, console: Console, line: Callable[[int], str]) -> None:
        self.console, self.line = console, line
        self.is_live = (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter
        self._live: Live | None = None
        self._ended = threading.Event()
        self._printed_at = 0.0

    def start(self) -> None:
        if self in self._running:
            return
        self._running.add(self)
        self._printed_at = time.monotonic()
        if self.is_live:
            # stdout may be a file or a pipe that is read as JSON: only what goes to stderr is drawn around the line
            self._live = Live(get_renderable=self._drawn, console=self.console, refresh_per_second=5, transient=True,
                              redirect_stdout=False)  # fmt: skip
            self._live.start()
        else:
            self._ended.clear()
            threading.Thread(target=self._pulse, daemon=True).start()

    def print_line(self, text: str) -> None:
        """A line that stays."""
        self._printed_at = time.monotonic()
        self.console.print(text, soft_wrap=True)

    def stop(self) -> None:
        self._running.discard(self)
        self._ended.set()
        if self._live:
            self._live.stop()  # a terminal whose line is left running has no cursor afterwards
            self._live = None

    def _drawn(self) -> Text:
        text = Text(printable(self.line(self.console.width)), no_wrap=True, overflow="crop")
        text.highlight_regex("━+", "green")
        text.highlight_regex(r"\d+/\d+", "cyan")
        return text

    def _pulse(self) -> None:
        while not self._ended.wait(min(1.0, PULSE / 2)):
            if time.monotonic() - self._printed_at >= PULSE:
                self.print_line(self.line(WIDE))


def end_progress() -> None:
    """Take away every line that is still being drawn."""
    for one in list(Progress._running):
        one.stop()


class Counter:
    """Counts what passes: 12 of 300, and how long the rest will take; from the start, for as long as the first one
    takes too.

    >>> with Counter(stderr(), "reading") as tell:  # doctest: +SKIP
    ...     tell(1, 300)
    """

    def __init__(self, console: Console, label: str, then: str = "", unit: str = "") -> None:
        self.label, self.then, self.unit = label, then, unit
        self.done, self.total = 0, 0
        self._began = time.monotonic()
        self._is_estimated = False
        self.progress = Progress(console, self.line)
        self.progress.start()

    def __call__(self, done: int, total: int) -> None:
        if done <= self.done:  # another pass
            self._began, self._is_estimated = time.monotonic(), False
        self.done, self.total = done, total
        if done == total and not self.then:
            self.progress.stop()
            return
        self.progress.start()
        left = self._left()
        if not self.progress.is_live and not self._is_estimated and time.monotonic() - self._began > 3 and left > PULSE:
            self._is_estimated = True
            self.progress.print_line(self.line(WIDE))

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def _left(self) -> float:
        return (time.monotonic() - self._began) / self.done * (self.total - self.done) if self.done else 0.0

    def line(self, width: int) -> str:
        """The count at a width, with a bar where there is room for one."""
        if not self.done or (self.done == self.total and self.then):
            label = self.then if self.done else self.label
            return fitted([(f"{label}, {duration(time.monotonic() - self._began)}", 0)], width)
        rate = f"{self.done / max(1e-9, time.monotonic() - self._began):.3g} {self.unit}/s" if self.unit else ""
        pieces = [(f"{self.label} {self.done}/{self.total}", 0), (f"{duration(self._left())} left", 1), (rate, 2)]
        return fitted(pieces, width, self.done / self.total if self.progress.is_live else None)


@contextmanager
def goes_on_with(command: str, begun: Path, saved: Path | None = None) -> Iterator[None]:
    """What an interrupt tells: the command that goes on from there, once the file `begun` is written.

    Without the file `saved` there is nothing to go on from, and the command begins anew.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        anew = saved is not None and not saved.is_file()
        hint = f"nothing was saved yet; begin anew with: {command}" if anew else f"go on with: {command}"
        raise KeyboardInterrupt(hint if begun.is_file() else "") from interrupt


def fitted(pieces: Sequence[tuple[str, int]], width: int, share: float | None = None) -> str:
    """The pieces that fit into a line, those of the highest number left out first; then a bar where there is room.

    >>> fitted([("epoch 3/30", 0), ("images/s 35", 2), ("12 s left", 1)], 24)
    'epoch 3/30  12 s left'
    >>> fitted([("reading 1/2", 0), ("4 s left", 1)], 40, 0.5)
    'reading 1/2  ━━━━━━━━           4 s left'
    """
    kept = [piece for piece in pieces if piece[0]]
    while len(kept) > 1 and sum(len(text) + 2 for text, _ in kept) - 2 > width:
        kept.remove(max(kept, key=lambda piece: piece[1]))
    texts = [text for text, _ in kept]
    room = min(width - sum(len(text) + 2 for text in texts), _LONGEST_BAR)
    if share is not None and room >= _SHORTEST_BAR:
        done = round(share * room)
        texts.insert(1, "━" * done + " " * (room - done))
    return "  ".join(texts)[:width]


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(75)
    '1 min 15 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def score(value: float | None, digits: int = 3) -> str:
    """A score, or a dash when it is undefined.

    >>> score(0.80499), score(None)
    ('0.805', '–')
    """
    return DASH if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, a true minus.

    >>> signed(-0.0214), signed(0.003), signed(0)
    ('−0.021', '+0.003', '0.000')
    """
    text = score(abs(value), digits)
    return text if text == DASH or float(text) == 0 else f"{'−' if value < 0 else '+'}{text}"


def format_number(value: float) -> str:
    """A large number in thousands, millions or thousands of millions.

    >>> format_number(23_400_000), format_number(999_970), format_number(812), format_number(float("nan"))
    ('23.4 M', '1.0 M', '812', '–')
    """
    if not math.isfinite(value):
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.99995 * size:
            return f"{value / size:.1f} {letter}"
    return f"{value:.0f}"
