"""Files written whole or not at all, and read back only in the form they were written in.

    write_json(path, {"a": 1})
    read_json(path, "`a.json` must be there; it is not. Restore it.")

A file is written beside its place under a temporary name and renamed, so whatever happens a reader finds the old file
or the new one, whole.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import io
import itertools
import json
import math
import os
import platform
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.errors import RunError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

UNHARMED = "what was written before is unharmed"
MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"  # in names of temporaries, whose process only it knows
_TEMPORARY = re.compile(r"\.maskwright-([0-9a-f]{8})-(\d+)-")
_STALE_SECONDS = 86_400
_numbers = itertools.count()
_swept: set[Path] = set()

# of the system's refusals, those that more space would not help
_NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def write_atomically(path: Path, writer: Callable[[Path], object], safe: str = UNHARMED) -> None:
    """Fill a temporary file beside `path`, flush it to disk, rename it; on failure leave the old file."""
    with writing(path, "write", safe):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_beside(path)
        try:
            writer(temporary)
            with temporary.open("r+b") as file:  # Windows flushes no file that is open for reading alone
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name beside a path that is nobody else's, and short: one made of a long name would be too long.

    It keeps the suffix, because image writers choose the format by it. What dead processes left there is removed once.
    """
    folder = path.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        remove_stale(folder)
    return path.with_name(f".maskwright-{MACHINE}-{os.getpid()}-{next(_numbers)}{path.suffix}")


def remove_stale(folder: Path) -> None:
    """Remove the temporaries of dead processes in a folder."""
    with contextlib.suppress(OSError):  # a folder that may not be listed, or somebody else removes them too
        for path in folder.iterdir():
            if _is_stale(path) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif _is_stale(path):
                path.unlink(missing_ok=True)


def _is_stale(path: Path) -> bool:
    """Whether it is a temporary whose process is dead; those of other machines are so when they are a day old."""
    found = _TEMPORARY.match(path.name)
    if not found or (found[1] == MACHINE and not is_alive(int(found[2]))):
        return bool(found)
    return time.time() - path.lstat().st_mtime > _STALE_SECONDS


def is_alive(process: int) -> bool:
    if os.name == "nt":  # there, os.kill ends the process it asks for
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def file_digest(path: Path) -> str:
    """SHA-256 of a file, which need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str, safe: str = UNHARMED) -> Path:
    """Write a text file whole, or leave the old one; names of an old encoding, which are no text, are escaped."""
    write_atomically(path, lambda part: part.write_text(text, "utf-8", "backslashreplace", "\n"), safe)
    return path


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; None is an empty cell.

    >>> csv_text([("class", "iou"), ("a, b", 0.5), ("c", None)])
    'class,iou\\n"a, b",0.5\\nc,\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file and flush it to disk; one that a killed process left unfinished stays a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            file.write(b"\n")
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any, safe: str = UNHARMED) -> Path:
    """Write one JSON document whole."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", safe)


def read_json(path: Path, missing: str, form: Any = None) -> Any:
    """Read one JSON document, of a form of `schemas`; `missing` is the sentence for a file that is not there."""
    if not path.exists():
        raise RunError(missing)
    refuse_no_file(path)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"), parse_constant=read_number, parse_float=read_number)
    except json.JSONDecodeError as error:
        raise RunError(f"`{path}` must be valid JSON; line {error.lineno}: {error.msg}. Restore it.") from None
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8, thousands of digits, lists a thousand deep
        raise RunError(f"`{path}` must be valid JSON; {str(error)[:120]}. Restore it.") from None
    if form is not None:
        validate_document(path, tree, form)
    return tree


def validate_document(path: Path, tree: Any, form: Any) -> None:
    """Stop at what is not of the form; `path` is where it was read."""
    from pydantic import ValidationError  # late, as below: predicting with a bundle needs none of it

    try:
        _adapter(form).validate_python(tree)
    except ValidationError as error:
        raise RunError(f"`{path}` must be as it was written; {_first_wrong(error)}. Restore it.") from None


def refuse_no_file(path: Path) -> None:
    """Stop at what is there and no file, such as a folder, or a pipe that would be waited for."""
    if path.exists() and not path.is_file():
        raise RunError(f"`{path}` must be a file; it is {'a folder' if path.is_dir() else 'none'}. Restore it.")


@functools.cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(form)


def read_number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:30]} is no finite number")
    return float(text)


def _first_wrong(error: ValidationError) -> str:
    """What a document has first that it should not have: `splits.val.0.image` must be a string; got 5."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"`{key}` is missing"
    constraint = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"`{key}` must be {constraint}; got {first['input']!r:.60}"


def plain(value: Any) -> Any:
    """A value as JSON and YAML give it back: tuples as lists, keys as text, what is no finite number as None.

    >>> plain({1: (0.5, float("nan"))})
    {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class writing:
    """Turn the operating system's refusal to write into a sentence that says what is safe."""

    def __init__(self, path: Path, verb: str, safe: str = UNHARMED) -> None:
        self.path, self.verb, self.safe = path, verb, safe

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # torch and safetensors wrap the system's error in their own
        reason = os_reason(error)
        if reason:
            refused = isinstance(error, OSError) and error.errno in _NO_PLACE
            fix = "Choose another place" if refused else "Free some space or choose another place"
            raise RunError(f"could not {self.verb} {self.path}: {reason}. {fix}; {self.safe}.") from error


def os_reason(error: BaseException | None) -> str | None:
    """The system's reason behind an error while writing, or None when it is no such error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = str(error)
    known = ("No space left on device", "File too large", "Disk quota exceeded", "Read-only file system", "I/O error")
    found = next((reason for reason in known if reason.lower() in text.lower()), None)
    if found or not isinstance(error, RuntimeError):
        return found if error else None
    # torch's zip writer hides the errno behind such words
    hidden = ("unexpected pos", "file write failed", "PytorchStreamWriter", "iostream error")
    return "the disk took only a part of it (is it full?)" if any(words in text for words in hidden) else None
