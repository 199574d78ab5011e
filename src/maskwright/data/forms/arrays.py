"""Masks kept as arrays: .npy, .npz and .mat files with one label a pixel.

    read_mat(data)["S"]["labels"]        # a struct is a dict, a cell or an array of structs a list, a text a str

SciPy's compiled reader of MATLAB's files (versions 4 to 7) ends the process over some damaged ones; this one stays
within its bytes and runs nothing. The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskwright.data.decoding import decoding, validate_fits_memory
from maskwright.data.images import whole_numbers
from maskwright.errors import DataError, listed
from maskwright.runtime import free_memory

NAMES = ("mask", "masks", "label", "labels", "gt", "ground_truth", "groundtruth", "seg", "segmentation", "annotation",
         "target", "inst_map", "type_map", "instance_map", "class_map", "label_map", "labelmap",
         "semantic")  # fmt: skip


def decode_array(data: bytes, path: Path, size: tuple[int, int]) -> np.ndarray:
    """Bytes of an array file → H W raw values (uint8 or uint16). `size` is the image's, to tell a mask from tables."""
    with decoding(path, "array file"):
        arrays = {".npy": _npy, ".npz": _npz, ".mat": _mat}[path.suffix.lower()](data, path)
    return _labels(_chosen(arrays, size, path), path)


def _chosen(arrays: dict[str, np.ndarray], size: tuple[int, int], path: Path) -> np.ndarray:
    """The one array that is the mask: of the image's size, or by its name."""
    flat = {name: _squeezed(array) for name, array in arrays.items() if array.dtype.kind in "buif"}
    fitting = {name: array for name, array in flat.items() if array.ndim == 2 and array.shape == size}
    pictures = {name: array for name, array in flat.items() if array.ndim in (2, 3)}
    for found in (fitting, pictures):
        named = {name: array for name, array in found.items() if name.rpartition(".")[2].lower() in NAMES}
        for candidates in (named, found):
            if len(candidates) == 1:
                return next(iter(candidates.values()))
        if len(candidates := named or found) > 1:
            detail = listed([f"{name} {'x'.join(map(str, array.shape))}" for name, array in candidates.items()])
            fix = "Save a file with the one you mean, under the name mask."
            raise DataError(f"`{path}` must hold one array that is the mask; got {detail}. {fix}")
    inside = (
        listed([f"{name} ({array.dtype}, {array.ndim} axes)" for name, array in arrays.items()])
        if arrays
        else "nothing"
    )
    raise DataError(f"`{path}` must hold a mask as an array of height × width; it holds {inside}. Save it as one.")


def _squeezed(array: np.ndarray) -> np.ndarray:
    """An axis of length one beside height and width means nothing."""
    if array.ndim != 3 or 1 not in (array.shape[0], array.shape[2]):
        return array
    return array[0] if array.shape[0] == 1 else array[..., 0]


def _labels(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 3:
        axis = 0 if array.shape[0] < array.shape[2] else 2
        fix = (
            f"If each plane is a class, save array.argmax(axis={axis}) (a class for pixels that are in none needs a "
            "plane too)."
        )
        raise DataError(f"`{path}` must hold one label a pixel; got {'x'.join(map(str, array.shape))} values. {fix}")
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"`{path}` must hold height × width labels; got the shape {array.shape}. Save it as one array.")
    return whole_numbers(array.astype(np.uint8) if array.dtype == bool else array, path)


def _npy(data: bytes, path: Path) -> dict[str, np.ndarray]:
    return {"mask": _array(io.BytesIO(data), len(data), path)}


def _npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        validate_fits_memory(path, (sum(member.file_size for member in members),), 1)
        found: dict[str, np.ndarray] = {}
        for member in members:
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = _array(file, member.file_size, path)
        return found


def _array(file: IO[bytes], size: int, path: Path) -> np.ndarray:
    """One array of so many bytes, whose head is compared with them before room is made for what it promises."""
    version = np.lib.format.read_magic(file)
    read_head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read_head(file)
    if dtype.hasobject:
        fix = "Save it with numpy.save as an array of whole numbers."
        raise DataError(
            f"`{path}` must hold plain numbers; got Python objects, which could run anything when opened. {fix}"
        )
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"a head of {' x '.join(map(str, shape))} values in {size} bytes")
    values = np.frombuffer(file.read(math.prod(shape) * dtype.itemsize), dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def _mat(data: bytes, path: Path) -> dict[str, np.ndarray]:
    if data[:128].startswith(b"MATLAB 7.3") or data[:8] == b"\x89HDF\r\n\x1a\n":
        fix = "Save it in MATLAB with save(name, 'mask', '-v7')."
        raise DataError(f"`{path}` must be a MATLAB file of version 7 or older; got version 7.3. {fix}")
    return dict(_leaves(read_mat(data), ""))


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a MATLAB file, called as MATLAB calls them: S.labels, groundTruth{1}.Segmentation."""
    if isinstance(tree, np.ndarray):
        yield name, tree
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree, start=1) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from _leaves(value, f"{name}{{{key}}}" if isinstance(tree, list) else f"{name}.{key}".lstrip("."))


# how values are stored, and what they are
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
    18: "u4",
}  # fmt: skip
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OLD_NUMBERS = ("f8", "f4", "i4", "i2", "u2", "u1")
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _TEXT = 1, 2, 4
_LOGICAL, _COMPLEX = 0x200, 0x800


def read_mat(data: bytes) -> dict[str, Any]:
    """The variables of a file by name, None for what is of another kind; ValueError where it is no such file."""
    if 0 in data[:4]:  # since version 5 a text begins the file
        return dict(_old_variables(memoryview(data)))
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no head of a MATLAB file")
    variables = (
        _matrix(content, order) for kind, content in _elements(memoryview(data)[128:], order) if kind == _MATRIX
    )
    return {name: value for name, value in variables if name}


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one element after the other, unpacked where it is compressed."""
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from(f"{order}II", data, at)
        start, padding = at + 8, -length % 8
        if kind >> 16:  # up to four bytes stand in the tag itself
            kind, length, start, padding = kind & 0xFFFF, min(kind >> 16, 4), at + 4, 4 - min(kind >> 16, 4)
        if start + length > len(data):
            raise ValueError("it ends before its content does")
        content = data[start : start + length]
        at = start + length + (0 if kind == _COMPRESSED else padding)
        if kind == _COMPRESSED:
            yield from _elements(memoryview(_unpacked(content)), order)
        else:
            yield kind, content


def _unpacked(content: memoryview) -> bytes:
    limit = free_memory() // 4
    unpacked = zlib.decompressobj().decompress(content, limit)
    if len(unpacked) == limit:
        raise MemoryError
    return unpacked


def _matrix(data: memoryview, order: str) -> tuple[str, Any]:
    """Name and value of a variable, a field or a cell."""
    if not data:
        return "", None
    parts = _elements(data, order)
    flags = int(_numbers(parts, order)[0])
    shape = tuple(_numbers(parts, order).tolist())
    name = _text(parts, order)
    kind = flags & 0xFF
    if kind == _STRUCT:
        length, packed = int(_numbers(parts, order)[0]), bytes(_content(parts)[1])
        if not 0 < length <= len(packed):
            raise ValueError("a struct without names of its fields")
        fields = [
            packed[at : at + length].partition(b"\0")[0].decode("utf-8", "replace")
            for at in range(0, len(packed), length)
        ]
        rows = [{field: _inner(parts, order) for field in fields} for _ in range(_count(shape, data))]
        return name, rows[0] if len(rows) == 1 else rows
    if kind == _CELL:
        return name, [_inner(parts, order) for _ in range(_count(shape, data))]
    if kind == _TEXT:
        return name, _text(parts, order)
    if kind not in _NUMBERS or flags & _COMPLEX:
        return name, None
    values = _numbers(parts, order)
    if min(shape, default=-1) < 0 or values.size != math.prod(shape):
        raise ValueError(f"{values.size} values for the shape {shape}")
    return name, values.reshape(shape, order="F").astype(bool if flags & _LOGICAL else _NUMBERS[kind])


def _inner(parts: Iterator[tuple[int, memoryview]], order: str) -> Any:
    kind, content = _content(parts)
    if kind != _MATRIX:
        raise ValueError("a cell or field of another kind")
    return _matrix(content, order)[1]


def _content(parts: Iterator[tuple[int, memoryview]]) -> tuple[int, memoryview]:
    found = next(parts, None)
    if found is None:
        raise ValueError("it ends before its content does")
    return found


def _numbers(parts: Iterator[tuple[int, memoryview]], order: str) -> np.ndarray:
    stored, content = _content(parts)
    if stored not in _STORED or (stored in (5, 6) and not content):
        raise ValueError(f"values stored as the unknown type {stored}")
    return np.frombuffer(content, f"{order}{_STORED[stored]}")


def _text(parts: Iterator[tuple[int, memoryview]], order: str) -> str:
    stored, content = _content(parts)
    wide = {4: "utf-16", 17: "utf-16", 18: "utf-32"}.get(stored)
    return bytes(content).decode(f"{wide}-{'l' if order == '<' else 'b'}e" if wide else "utf-8", "replace")


def _count(shape: tuple[int, ...], data: memoryview) -> int:
    """How many cells or structs there are; each takes eight bytes at least."""
    if min(shape, default=-1) < 0 or math.prod(shape) > len(data) // 8:
        raise ValueError(f"fewer cells than the shape {shape} promises")
    return math.prod(shape)


def _old_variables(data: memoryview) -> Iterator[tuple[str, Any]]:
    """The arrays of a file of version 4."""
    at = 0
    while at + 20 <= len(data):
        order = "<" if struct.unpack_from("<I", data, at)[0] < 1000 else ">"
        kind, rows, columns, imaginary, length = struct.unpack_from(f"{order}IIIII", data, at)
        kind %= 1000  # the thousands tell the order
        if kind >= 100 or kind // 10 >= len(_OLD_NUMBERS):
            raise ValueError("no head of a MATLAB file")
        dtype = np.dtype(f"{order}{_OLD_NUMBERS[kind // 10]}")
        start = at + 20 + length
        at = start + rows * columns * dtype.itemsize * (2 if imaginary else 1)
        if at > len(data):
            raise ValueError("it ends before its content does")
        name = bytes(data[start - length : start]).partition(b"\0")[0].decode("utf-8", "replace")
        plain = kind % 10 == 0 and not imaginary  # neither text nor sparse
        yield (
            name,
            np.frombuffer(data, dtype, rows * columns, start).reshape(rows, columns, order="F") if plain else None,
        )
