"""predictions.csv: what was written into a folder; and which images of a call that did not end are done."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from maskwright.errors import UsageError, listed
from maskwright.files import UNHARMED, file_digest, write_atomically, write_text, writing
from maskwright.runs import refuse_used

LEDGER = "predictions.csv"
UNFINISHED = "unfinished.jsonl"  # there until a call has ended with every image predicted
_COLUMNS = ("file", "image", "sha256")
_State = list[int]
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


class Ledger:
    """predictions.csv: every file written, of which image, and its hash; a file it does not list is not replaced."""

    def __init__(self, out: Path) -> None:
        self.out, self.path, self._unfinished = out, out / LEDGER, out / UNFINISHED
        self.rows = _read_ledger(out) or []
        self._key, self._done = _read_unfinished(self._unfinished)

    def __enter__(self) -> Ledger:
        self._write_all(self.rows)
        self._stream = self.path.open("a", **_TEXT)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stream.close()
        if not self.rows:  # nothing was written: no trace of it stays
            self.path.unlink(missing_ok=True)
            self._unfinished.unlink(missing_ok=True)
        elif kind is None:
            # the last of each
            self._write_all({file: (file, image, digest) for file, image, digest in self.rows}.values())

    def refuse_changed(self, names: Iterable[str]) -> None:
        """Stop where one of these files is somebody else's, or was changed since it was written.

        Of what an unfinished call noted size and time tell; else a file is read, for its hash.
        """
        known = {(file, digest) for file, _, digest in self.rows}
        states = {file: state for _, files in self._done.values() for file, state in files.items()}
        there = [name for name in names if os.path.lexists(self.out / name)]
        others = {name for name in there if not (self.out / name).is_file()}
        others |= {
            name for name in there
            if name not in others and states.get(name) != _state(self.out / name)
            and (name, file_digest(self.out / name)) not in known
        }  # fmt: skip
        if others:
            fix = "Choose another, or move them away."
            raise UsageError(
                f"`--out` must be a folder where no work is lost; {self.out} holds {listed(sorted(others))}, which "
                f"predict did not write or somebody has changed since. {fix}")  # fmt: skip

    def write(self, file: str, image: Path | str, content: bytes | Path) -> bool:
        """Write a file (or rename one of this folder), listed before it is there; whether it was there before."""
        digest = file_digest(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        row = (file, str(image), digest)
        place = self.out / file
        replaced = os.path.lexists(place)
        with writing(self.path, "write", UNHARMED):
            csv.writer(self._stream).writerow(row)
            self._stream.flush()
        if isinstance(content, Path):
            write_atomically(place, lambda temporary: content.replace(temporary))
        else:
            write_atomically(place, lambda temporary: temporary.write_bytes(content))
        self.rows.append(row)
        return replaced

    def go_on(self, key: str) -> set[str]:
        """The images an earlier call with this key, which did not end, has done; what is done now is noted, too."""
        kept = {}
        for image, (state, files) in self._done.items() if self._key == key else ():
            with contextlib.suppress(OSError):  # it is there no more
                if _state(image) == state and all((self.out / file).is_file() for file in files):
                    kept[image] = (state, files)
        lines = [json.dumps({"key": key}), *(json.dumps([image, *values]) for image, values in kept.items())]
        write_text(self._unfinished, "\n".join(lines) + "\n")
        return set(kept)

    def note_done(self, image: Path, files: Iterable[str]) -> None:
        """An image whose files are all there."""
        done = [str(image), _state(image), {file: _state(self.out / file) for file in files}]
        with writing(self._unfinished, "write", UNHARMED), self._unfinished.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(done) + "\n")

    def end(self) -> None:
        """Every image is done: the next call begins anew."""
        self._unfinished.unlink(missing_ok=True)

    def _write_all(self, rows: Iterable[tuple[str, str, str]]) -> None:
        def write(path: Path) -> None:
            with path.open("w", **_TEXT) as stream:
                csv.writer(stream).writerows([_COLUMNS, *rows])

        write_atomically(self.path, write)


def _read_ledger(out: Path) -> list[tuple[str, str, str]] | None:
    """File, image and hash of all that was written into a folder; None where it is no folder of predictions."""
    try:
        with (out / LEDGER).open(**_TEXT) as stream:
            head, *rows = csv.reader(stream)
    except (OSError, ValueError, csv.Error):
        return None
    return [(row[0], row[1], row[2]) for row in rows if len(row) == len(_COLUMNS)] if tuple(head) == _COLUMNS else None


def _read_unfinished(path: Path) -> tuple[str | None, dict[str, tuple[_State, dict[str, _State]]]]:
    """The key of a call that did not end, and the images it has done: their state, and that of each file."""
    key, done = None, {}
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        key = json.loads(head)["key"]
        for line in lines:  # the last may have been cut by what ended the call
            image, state, files = json.loads(line)
            done[str(image)] = (state, {**files})
    return key, done


def _state(path: Path | str) -> _State:
    """What changes when somebody replaces a file."""
    found = Path(path).stat()
    return [found.st_size, found.st_mtime_ns]


def refuse_used_folder(out: Path) -> None:
    """Predictions go into a new or empty folder, or to those of earlier calls."""
    if _read_ledger(out) is None:
        refuse_used(out)
