"""MATLAB's .mat files of versions 4 to 7: arrays, texts, structs and cells, and nothing that is a program.

    read_mat(data)["S"]["labels"]        # a struct is a dict, a cell or an array of structs a list, a text a str

SciPy's compiled reader ends the process over some damaged files; this one stays within its bytes. The format:
MathWorks, "MAT-File Format", https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from maskwright.runtime import free_memory

# how values are stored, and what they are
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OLD_NUMBERS = ("f8", "f4", "i4", "i2", "u2", "u1")
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _TEXT = 1, 2, 4
_LOGICAL, _COMPLEX = 0x200, 0x800


def read_mat(data: bytes) -> dict[str, Any]:
    """The variables of a file by their names, None for what is of another kind; ValueError where the bytes are no such file."""
    if 0 in data[:4]:  # since version 5 a text begins the file
        return dict(_old_variables(memoryview(data)))
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no head of a MATLAB file")
    variables = (_matrix(content, order) for kind, content in _elements(memoryview(data)[128:], order) if kind == _MATRIX)
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
        fields = [packed[at : at + length].partition(b"\0")[0].decode("utf-8", "replace") for at in range(0, len(packed), length)]
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
        yield name, np.frombuffer(data, dtype, rows * columns, start).reshape(rows, columns, order="F") if plain else None
