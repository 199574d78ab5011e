"""A data set handed over in Python: pairs of paths, arrays or tensors, or any torch `Dataset` of them, as a folder that
is read.

Arrays are written without loss beside the runs, under a name that follows from their content: so everything that needs
the images later (a resume, an evaluation, a report) finds them, and the same arrays are written once.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.readers.pairs_csv import PAIRS_FILE
from maskwright.errors import DataError
from maskwright.files import csv_text, writing

_FORM = "pairs of (image, mask) or (image, mask, group)"


def pairs_folder(pairs: Any, parent: Path) -> Path:
    """The folder that holds these pairs as files, in `parent`."""
    with writing(parent, "keep the images"):
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".data-", dir=parent))
    try:
        digest = hashlib.sha256()
        rows = [["image", "mask", "group"]]
        for number, (image, mask, group) in enumerate(_pairs(pairs)):
            _reject_other_shape(number, image, mask)
            kept = [
                _kept(value, made, f"{kind}s", number, digest) for kind, value in (("image", image), ("mask", mask))
            ]
            rows.append([*kept, group])
        if len(rows) == 1:
            raise DataError("`data` must hold at least one pair of image and mask; it holds none.")
        text = csv_text(rows if any(row[2] for row in rows[1:]) else [row[:2] for row in rows])
        digest.update(text.encode())
        (made / PAIRS_FILE).write_text(text, encoding="utf-8", newline="")
        place = parent / f"data-{digest.hexdigest()[:12]}"
        if not place.exists():
            made.chmod(0o755)
            made.rename(place)
        return place
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _pairs(pairs: Any) -> Iterator[tuple[Any, Any, str]]:
    if not hasattr(pairs, "__len__") or not hasattr(pairs, "__getitem__"):
        raise DataError(
            f"`data` must be a folder, a list of {_FORM}, or a torch Dataset of them; got {type(pairs).__name__}."
        )
    for number in range(len(pairs)):
        pair = pairs[number]
        if isinstance(pair, dict) and {"image", "mask"} <= pair.keys():
            pair = (pair["image"], pair["mask"])
        if not isinstance(pair, tuple | list) or not 2 <= len(pair) <= 3:
            raise DataError(f"`data` must hold {_FORM}; number {number} is {type(pair).__name__}.")
        yield _value(pair[0], number, "image"), _value(pair[1], number, "mask"), str(pair[2]) if len(pair) == 3 else ""


def _value(value: Any, number: int, kind: str) -> Path | np.ndarray:
    """A path, or an array H W or H W C; of tensors the bands come first."""
    if isinstance(value, str | os.PathLike):
        return Path(value).absolute()
    if hasattr(value, "convert") and value.mode == "P" and kind == "image":  # Pillow's: of a mask the indices are meant
        value = value.convert("RGB")
    is_tensor = hasattr(value, "detach")
    array = np.asarray(value.detach().cpu() if is_tensor else value)
    if array.ndim == 3 and is_tensor:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "buif":
        raise DataError(f"{kind} {number} of `data` must be height × width or height × width × bands of numbers; "
                        f"got {array.dtype} of {' × '.join(map(str, array.shape)) or 'one value'}.")  # fmt: skip
    return _whole(array, number) if kind == "mask" else _image(array)


def _image(array: np.ndarray) -> np.ndarray:
    """Floats that are 8-bit tones by 255, as ToTensor makes them, become these again; others stay floats."""
    if array.dtype.kind == "f":
        tones = array.astype(np.float64) * 255
        if tones.min() >= 0 and tones.max() <= 255 and np.abs(tones - tones.round()).max() < 1e-3:
            return tones.round().astype(np.uint8)
    return array.astype(np.uint8) * 255 if array.dtype.kind == "b" else array


def _whole(array: np.ndarray, number: int) -> np.ndarray:
    """Labels as the smallest type that a mask file can have."""
    if (array != np.floor(array)).any() or array.min() < 0 or array.max() > 65535:
        got = f"{array.min():g} to {array.max():g}"
        raise DataError(
            f"mask {number} of `data` must hold whole numbers from 0 to 65535; got {got}. Write 255 where nothing is "
            "labelled."
        )
    return array.astype(np.uint8 if array.max() < 256 else np.uint16)


def _reject_other_shape(number: int, image: Path | np.ndarray, mask: Path | np.ndarray) -> None:
    if isinstance(image, np.ndarray) and isinstance(mask, np.ndarray) and image.shape[:2] != mask.shape[:2]:
        shapes = [" × ".join(map(str, array.shape)) for array in (image, mask)]
        raise DataError(
            f"image {number} of `data` is {shapes[0]} but its mask {shapes[1]}; both must be height × width, bands "
            "last."
        )


def _kept(value: Path | np.ndarray, folder: Path, kind: str, number: int, digest: Any) -> str:
    """The place of a file, which an array becomes first: a PNG, or a TIFF where it has other bands or depths."""
    if isinstance(value, Path):
        return str(value)
    plain = value.dtype == np.uint8 and (value.ndim == 2 or value.shape[2] == 3)
    is_png = plain or (value.dtype == np.uint16 and value.ndim == 2)
    path = folder / kind / f"{number:05d}.{'png' if is_png else 'tif'}"
    path.parent.mkdir(exist_ok=True)
    if is_png:
        data = cv2.imencode(".png", value[..., ::-1] if value.ndim == 3 else value)[1].tobytes()
    else:
        import tifffile

        out = io.BytesIO()
        kept = value if value.dtype.itemsize <= 4 else value.astype(np.float32 if value.dtype.kind == "f" else np.int32)
        tifffile.imwrite(
            out, kept, photometric="minisblack", planarconfig="contig" if value.ndim == 3 else None, metadata=None
        )
        data = out.getvalue()
    digest.update(data)
    with writing(path, "keep the images"):
        path.write_bytes(data)
    return path.relative_to(folder).as_posix()
