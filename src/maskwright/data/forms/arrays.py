"""Masks kept as arrays: .npy, .npz and .mat files with one label a pixel."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.images import whole_numbers
from maskwright.errors import DataError, install_command, listed

NAMES = ("mask", "masks", "label", "labels", "gt", "ground_truth", "groundtruth", "seg", "segmentation", "annotation",
         "target", "inst_map", "type_map", "instance_map", "class_map", "label_map", "labelmap", "semantic")  # fmt: skip


def decode_array(data: bytes, path: Path, size: tuple[int, int]) -> np.ndarray:
    """Bytes of an array file → H W raw values (uint8 or uint16). `size` is the image's, to tell a mask from tables beside it."""
    suffix = path.suffix.lower()
    arrays = _npy(data, path) if suffix == ".npy" else _npz(data, path) if suffix == ".npz" else _mat(data, path)
    return _labels(_chosen(arrays, size, path), path)


def _chosen(arrays: dict[str, np.ndarray], size: tuple[int, int], path: Path) -> np.ndarray:
    """The one array that is the mask: of the image's size, or by its name."""
    flat = {name: _squeezed(array) for name, array in arrays.items() if array.dtype.kind in "buif"}
    fitting = {name: array for name, array in flat.items() if array.ndim == 2 and array.shape == size}
    pictures = {name: array for name, array in flat.items() if array.ndim in (2, 3)}
    for found in (fitting, pictures):
        named = {name: array for name, array in found.items() if name.lower() in NAMES}
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
    try:
        return {"mask": np.load(io.BytesIO(data), allow_pickle=False)}
    except (ValueError, OSError, EOFError) as error:
        raise DataError(_unreadable(path, error)) from None


def _npz(data: bytes, path: Path) -> dict[str, np.ndarray]:
    import zipfile
    import zlib

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise DataError(_unreadable(path, error)) from None


def _mat(data: bytes, path: Path) -> dict[str, np.ndarray]:
    try:
        from scipy.io import loadmat  # late: no other mask needs it
    except ImportError:
        raise DataError(f"`{path}` must be read with scipy; it is not installed. Run: {install_command('mat')}") from None
    if data[:128].startswith(b"MATLAB 7.3") or data[:8] == b"\x89HDF\r\n\x1a\n":
        fix = "Save it in MATLAB with save(name, 'mask', '-v7')."
        raise DataError(f"`{path}` must be a MATLAB file of version 7 or older; got version 7.3. {fix}")
    try:
        tree: dict[str, Any] = loadmat(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - scipy raises whatever it stumbles over in a broken file
        raise DataError(_unreadable(path, error)) from None
    return {name: value for name, value in tree.items() if not name.startswith("__") and isinstance(value, np.ndarray)}


def _unreadable(path: Path, error: Exception) -> str:
    if "pickle" in str(error).lower():
        fix = "Save it with numpy.save as an array of whole numbers."
        return f"`{path}` must hold plain numbers; got Python objects, which could run anything when opened. {fix}"
    return f"`{path}` must be a whole, readable array file; got {str(error) or type(error).__name__}. Replace or remove it."
