"""Opening files nobody has vouched for: regular files, pictures of a few formats, one sentence for all else.

data = read_bytes(path)
with open_picture(data, path, "mask") as picture:
    values = np.asarray(picture)
with decoding(path, "array"):        # whatever a decoder raises over a damaged file is a DataError here
    loadmat(io.BytesIO(data))
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, UnidentifiedImageError

from maskwright.errors import DataError, MaskwrightError, is_out_of_memory
from maskwright.runs import size_name, usable_cores
from maskwright.runtime import free_memory

# Pillow knows some forty more, and runs Ghostscript for one of them, whatever a file's name is
PICTURE_FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP")
_COPIES = 2  # of the decoded pixels in memory at once, at least
_LARGE = 1 << 26  # decoded bytes from which it is worth asking how much memory is free
# values a byte may stand for: more than an empty picture has in PNG (8,256), GIF, JPEG; than in fax or missing tiles of
# TIFF
_MOST, MOST_IN_TIFF = 10_000, 200_000
_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}  # fmt: skip
AHEAD = 2  # files a core that are read, or wait to be
Result = TypeVar("Result")
_one_at_a_time = threading.Lock()


def validate_is_file(path: Path) -> None:
    """Stop where a path is no regular file: reading from a pipe or a device may never end."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError) as error:
        raise _unopened(path, error) from None
    if kind != stat.S_IFREG:
        raise DataError(f"`{path}` must be a file; it is {_KINDS.get(kind, 'something else')}. Replace or remove it.")


def read_bytes(path: Path, most: int = -1) -> bytes:
    """A file's bytes (the first so many of them), or the sentence why not."""
    validate_is_file(path)
    try:
        if most < 0:
            validate_fits_memory(path, (path.stat().st_size,), 1)
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise _unopened(path, error) from None


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without its mark."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"`{path}` must be text in UTF-8; byte {error.start} is not. Save it again as UTF-8.") from None


def load_json(path: Path, fix: str) -> Any:
    """A JSON file's contents. It may nest too deep, or hold numbers of thousands of digits: `decoding` says so."""
    data = read_bytes(path)
    with decoding(path, "JSON file", fix):
        return json.loads(data)


def is_file(path: Path) -> bool:
    """Whether a name that stands in a file leads to one. Path's own raises where it is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def _unopened(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"`{path}` must be there; it is missing. Put it back, or check the path.")
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return DataError(f"`{path}` must be readable; {reason}. Check its name and permissions.")


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's remarks on odd EXIF and palettes change nothing here.

    Filters belong to the process, and threads that set and restore them leave each other's behind
    (https://docs.python.org/3.11/library/warnings.html#temporarily-suppressing-warnings): only the main thread does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def map_ahead(pool: Executor, function: Callable[..., Result], *columns: Iterable[Any]) -> Iterator[Result]:
    """`pool.map`, at most so far ahead of what was taken: what is decoded must not pile up behind a slow file."""
    waiting: deque[Future[Result]] = deque()
    try:
        for row in zip(*columns, strict=True):
            if len(waiting) == AHEAD * usable_cores():
                yield waiting.popleft().result()
            waiting.append(pool.submit(function, *row))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def decoding(path: Path, kind: str, fix: str = "Replace or remove it.") -> Iterator[None]:
    """Turn whatever a decoder raises into one sentence: over a damaged file they stumble in every way there is."""
    try:
        with quiet():
            yield
    except MaskwrightError:
        raise
    except UnidentifiedImageError as error:
        found = "an empty file" if path.is_file() and path.stat().st_size == 0 else "something else under that name"
        raise DataError(f"`{path}` must be a readable {kind}; got {found}. {fix}") from error
    except Exception as error:
        if is_out_of_memory(error):
            detail = f"it asks for more than the {size_name(free_memory())} that are free: it is too large, or damaged"
            raise DataError(f"`{path}` must be a readable {kind} that fits into memory; {detail}. {fix}") from error
        reason = "values nested too deep" if isinstance(error, RecursionError) else (str(error).splitlines() or [""])[0]
        detail = reason.rstrip(".")[:200] or type(error).__name__
        raise DataError(f"`{path}` must be a whole, readable {kind}; got {detail}. {fix}") from error


@contextmanager
def open_picture(source: bytes | Path, path: Path, kind: str = "image") -> Iterator[Image.Image]:
    """A picture file's bytes (or the file), opened by Pillow: the one place of the package that does.

    Pillow's own limit of pixels is one for all machines, and a warning at first; ours is what fits into memory.
    """
    if isinstance(source, Path):
        validate_is_file(source)
    with decoding(path, kind):
        with _one_at_a_time:  # the limit belongs to the process
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                picture = Image.open(
                    io.BytesIO(source) if isinstance(source, bytes) else source, formats=PICTURE_FORMATS
                )
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        with picture:
            stored = len(source) if isinstance(source, bytes) else source.stat().st_size
            # an even WebP is 30 bytes, of any size
            most = {"TIFF": MOST_IN_TIFF, "WEBP": 2**63}.get(picture.format or "", _MOST)
            validate_decoded_size(path, (picture.height, picture.width, len(picture.getbands())), 1, stored, most)
            yield picture


def validate_decoded_size(path: Path, shape: Sequence[int], bytes_a_value: int, stored: int, most: int = _MOST) -> None:
    """Stop before decoding what a file of so many bytes cannot hold, or what this machine's memory cannot."""
    validate_claimed_size(path, shape, stored, most)
    validate_fits_memory(path, shape, bytes_a_value)


def validate_claimed_size(path: Path, shape: Sequence[int], stored: int, most: int = _MOST) -> None:
    """Stop at a head that tells of more than a file of so many bytes can hold."""
    if math.prod(shape) > most * stored:
        got = f"its head tells of {_format_shape(shape)} values in {stored} bytes"
        raise DataError(f"`{path}` must be a whole, readable file; {got}. Replace or remove it.")


def validate_fits_memory(path: Path | str, shape: Sequence[int], bytes_a_value: int) -> None:
    """Stop before reading or computing so many values where this machine's memory cannot hold them."""
    needed = _COPIES * math.prod(shape) * bytes_a_value
    if needed > _LARGE and needed > (free := free_memory()):
        got = f"its {_format_shape(shape)} values take {size_name(needed)}, and {size_name(free)} are free"
        raise DataError(f"`{path}` must fit into memory; {got}. Cut it into parts, or use a machine with more.")


def _format_shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
