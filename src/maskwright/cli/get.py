"""maskwright data get"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from maskwright.cli.types import Flag
from maskwright.errors import printable

if TYPE_CHECKING:
    from maskwright.data.download import Download

_LINE_EVERY = 10.0  # seconds between plain lines
_DRAW_EVERY = 0.1


def get(
    name: str, out: str, /, *, url: str | None = None, keep_archives: Flag = False, tries: int = 5, json: Flag = False
) -> None:
    """Download a public data set: fetched, verified, unpacked.

    maskwright data get oxford-pet pets
    maskwright data get oxford-pet pets --url https://mirror.example/pets

    After a cut, a stall or Ctrl-C the same command goes on where it stopped. Without network, put the archives
    into OUT by hand; the same command then verifies and unpacks them.

    Parameters
    ----------
    name
        oxford-pet (Oxford-IIIT Pet: 7,390 images of cats and dogs with trimaps, 0.8 GB, CC BY-SA 4.0).
    out
        The new folder.
    url
        The http, https or file address of a folder that holds the same archives.
    keep_archives
        Keep the archives when they have been unpacked.
    tries
        How often in a row a failing transfer is tried before it is given up.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import say, say_json
    from maskwright.data.download import LICENCE_FILE
    from maskwright.data.download import get as get_set
    from maskwright.data.transfer import Patience, Watch
    from maskwright.errors import UsageError, as_typed, counted, must

    if not 1 <= tries <= 1000:
        wish = "at least 1" if tries < 1 else "at most 1000"
        raise UsageError(must("--tries", wish, tries, "Leave it out for the default of 5."))
    meter = Meter(sys.stderr)
    try:
        got = get_set(name, out, url, keep_archives, Patience(tries=tries), Watch(meter.count, meter.remark))
    finally:
        meter.clear()
    if json:
        say_json(document(got))
        return
    files = " and ".join(f"{counted(count, 'file')} in {folder}/" for folder, count in got.files.items())
    what = "is already there and complete" if got.already else "is complete"
    say(f"{got.source.title} {what}: {files}, every one as its archive has it")
    say(f"licence {got.source.licence}, see {got.root / LICENCE_FILE}; next: maskwright check {as_typed(got.root)}")


def document(got: Download) -> dict[str, object]:
    """What --json prints."""
    return {
        "name": got.name,
        "title": got.source.title,
        "root": str(got.root),
        "already": got.already,
        "files": got.files,
        "archives": {
            archive.name: {"bytes": archive.size, "sha256": archive.sha256, "from": got.fetched.get(archive.name)}
            for archive in got.source.archives
        },
        "licence": got.source.licence,
        "homepage": got.source.homepage,
    }


class Meter:
    """Done, rate and time left: one line that is drawn over in a terminal, a plain line now and then elsewhere."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.live, self.clock = stream, stream.isatty(), clock
        self.every = _DRAW_EVERY if self.live else _LINE_EVERY
        self._what, self._recent = "", deque[tuple[float, int]]()
        self._told = 0.0
        self._drawn = False

    def count(self, what: str, done: int, total: int) -> None:
        now = self.clock()
        if what != self._what or not self._recent or done < self._recent[-1][1]:
            self._what, self._told, self._recent = what, now, deque([(now, done)])
        self._recent.append((now, done))
        while len(self._recent) > 2 and now - self._recent[0][0] > 2 * _LINE_EVERY:
            self._recent.popleft()
        if done < total and now - self._told < self.every:
            return
        self._told = now
        line = printable(self._line(done, total, now))
        if not self.live:
            print(line, file=self.stream, flush=True)
        elif done == total:
            self.clear()
            print(line, file=self.stream, flush=True)
        else:
            self._drawn = True
            print(f"\r{line}\x1b[K", end="", file=self.stream, flush=True)

    def remark(self, sentence: str) -> None:
        """A line of its own."""
        self.clear()
        print(printable(sentence), file=self.stream, flush=True)

    def clear(self) -> None:
        """Take the drawn line away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=self.stream, flush=True)
            self._drawn = False

    def _line(self, done: int, total: int, now: float) -> str:
        from maskwright.data.transfer import amount

        bytes_counted = not self._what.startswith("verifying")
        head = f"{amount(done)} of {amount(total)}" if bytes_counted else f"{done} of {total}"
        line = f"{self._what}  {head} ({100 * done // total} %)"
        since, had = self._recent[0]
        if not bytes_counted or now <= since or done <= had:
            return line
        rate = (done - had) / (now - since)
        left = f"  {_duration((total - done) / rate)} left" if done < total else ""
        return f"{line}  {amount(round(rate))}/s{left}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
