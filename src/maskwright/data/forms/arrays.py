"""Masks kept as arrays: .npy, .npz and .mat files with one label a pixel."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskwright.data.decoding import decoding, refuse_beyond_memory
from maskwright.data.forms.matlab import read_mat
from maskwright.data.images import whole_numbers
from maskwright.errors import DataError, listed

NAMES = ("mask", "masks", "label", "labels", "gt", "ground_truth", "groundtruth", "seg", "segmentation", "annotation",
         "target", "inst_map", "type_map", "instance_map", "class_map", "label_map", "labelmap", "semantic")  # fmt: skip


def decode_array(data: bytes, path: Path, size: tuple[int, int]) -> np.ndarray:
    """Bytes of an array file → H W raw values (uint8 or uint16). `size` is the image's, to tell a mask from tables beside it."""
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
            told = listed([f"{name} {'x'.join(map(str, array.shape))}" for name, array in candidates.items()])
            fix = "Save a file with the one you mean, under the name mask."
            raise DataError(f"`{path}` must hold one array that is the mask; got {told}. {fix}")
    inside = listed([f"{name} ({array.dtype}, {array.ndim} axes)" for name, array in arrays.items()]) if arrays else "nothing"
    raise DataError(f"`{path}` must hold a mask as an array of height × width; it holds {inside}. Save it as one.")


def _squeezed(array: np.ndarray) -> np.ndarray:
    """An axis of length one beside height and width means nothing."""
    if array.ndim != 3 or 1 not in (array.shape[0], array.shape[2]):
        return array
    return array[0] if array.shape[0] == 1 else array[..., 0]


def _labels(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 3:
        axis = 0 if array.shape[0] < array.shape[2] else 2
        fix = f"If each plane is a class, save array.argmax(axis={axis}) (a class for pixels that are in none needs a plane too)."
        raise DataError(f"`{path}` must hold one label a pixel; got {'x'.join(map(str, array.shape))} values. {fix}")
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(f"`{path}` must hold height × width labels; got the shape {array.shape}. Save it as one array.")
    return whole_numbers(array.astype(np.uint8) if array.dtype == bool else array, path)


def _npy(data: bytes, path: Path) -> dict[str, np.ndarray]:
    return {"mask": _array(io.BytesIO(data), len(data), path)}


def _npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        refuse_beyond_memory(path, (sum(member.file_size for member in members),), 1)
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
        raise DataError(f"`{path}` must hold plain numbers; got Python objects, which could run anything when opened. {fix}")
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
