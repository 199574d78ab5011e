"""maskwright data get"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.data.download import Download
    from maskwright.terminal import Counter


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
    from maskwright.data.transfer import Retries
    from maskwright.errors import UsageError, as_typed, counted, must

    if not 1 <= tries <= 1000:
        wish = "at least 1" if tries < 1 else "at most 1000"
        raise UsageError(must("--tries", wish, tries, "Leave it out for the default of 5."))
    progress = _Progress()
    got = get_set(name, out, url, keep_archives, Retries(tries=tries), progress.count, progress.message)
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


class _Progress:
    """A counter for each thing that passes, of archives in MB, from where it began: what was there is no speed."""

    def __init__(self) -> None:
        from maskwright.terminal import Counter, stderr

        self.console, self.new = stderr(), Counter
        self.counter: Counter | None = None
        self.what, self.first, self.last = "", 0, -1

    def count(self, what: str, done: int, total: int) -> None:
        unit = "" if what == "verifying files" else "MB"
        if unit:
            done, total = -(-done // 10**6), -(-total // 10**6)
        if what != self.what or done < self.last or self.counter is None:
            self.stop()
            self.what, self.first, self.last = what, done - 1, -1
            self.counter = self.new(self.console, f"{what}{unit and ', MB'}", unit=unit)
        if done != self.last:
            self.last = done
            self.counter(done - self.first, total - self.first)

    def message(self, text: str) -> None:
        """A line of its own."""
        self.stop()
        self.what = ""
        self.console.print(text, soft_wrap=True)

    def stop(self) -> None:
        if self.counter:
            self.counter.progress.stop()
