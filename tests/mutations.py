"""Damage for files of every kind: seeded, so that what is found is found again.

    for told, data in mutations(good, count=40, seed=0):
        ...                      # told says what was done, such as "word 4 at 16"

Bytes are flipped, cut, inserted and replaced; of JSON, values are replaced by absurd ones.
"""

from __future__ import annotations

import functools
import io
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tifffile
from PIL import Image

_HEADS = ("00000000", "ffffffff", "7fffffff", "ffffff7f", "80000000", "00000080", "0000ffff", "01000000")
_WORDS = [bytes.fromhex(word) for word in _HEADS]
# for numbers and values of texts; what JSON has no word for is written as Python's json does
ABSURD: list[Any] = [
    None, True, -1, 0, 1, 2.5, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 10**30, 10**400, 2**31, 2**62, 2**63,
    10**9, "", "x", "\0", "\ud800", "x" * 5000, "../../up", "/", "é\n\x1b[31m", [], {}, [[]], [None], {"": None},
    [1, 2, 3], ["1", "2"], [[1, 2], [3]], [1e308] * 6, [10**400] * 6,
]  # fmt: skip
_DEEP = "[" * 100_000


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many damaged versions of a file's bytes, each with a word on what was done."""
    rng = random.Random(f"{seed}-{len(data)}")
    tree = _json(data)
    textual = tree is None and not re.search(rb"[\x00-\x08\x0e-\x1f\x80-\xff]", data[:2000])
    yield "empty", b""
    if tree is not None:
        yield "nested deep", _DEEP.encode()
    for _ in range(count - 1 - (tree is not None)):
        if tree is not None and rng.random() < 0.85:
            yield _in_tree(data, rng)
        elif textual and rng.random() < 0.7:
            yield _in_text(data, rng)
        else:
            yield _in_bytes(data, rng)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _in_bytes(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    spoilt = bytearray(data)
    # heads are where sizes and types stand, and they are at either end
    near = int(rng.expovariate(1 / 60))
    at = min(rng.choice([rng.randrange(len(data)), near, max(0, len(data) - 1 - near)]), len(data) - 1)
    kind = rng.choice(["flip", "word", "cut", "insert", "remove", "repeat", "zero", "random"])
    length = rng.choice([1, 2, 4, 8, 64, 500])
    if kind == "flip":
        for _ in range(rng.choice([1, 1, 2, 8])):
            spoilt[(at + rng.randrange(16)) % len(data)] ^= 1 << rng.randrange(8)
    elif kind == "word":
        spoilt[at : at + 4] = rng.choice(_WORDS)
    elif kind == "cut":
        del spoilt[at:]
    elif kind == "insert":
        spoilt[at:at] = rng.randbytes(length)
    elif kind == "remove":
        del spoilt[at : at + length]
    elif kind == "repeat":
        spoilt[at:at] = spoilt[at : at + length] * rng.choice([1, 1, 50])
    else:
        spoilt[at : at + length] = bytes(length) if kind == "zero" else rng.randbytes(length)
    return f"{kind} {length} at {at}", bytes(spoilt)


def _in_text(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    tokens = re.split(rb"([\w.#-]+)", data)
    at = rng.randrange(1, len(tokens), 2) if len(tokens) > 1 else 0
    value = rng.choice(ABSURD)
    text = value if isinstance(value, str) else json.dumps(value)
    odd = [
        b"",
        tokens[at] * 2,
        b"9" * 5000,
        b":",
        b"- ",
        b"\n",
        b"{[(",
        b'"',
        b"&a *a",
        b"\0",
        b"\xff\xfe",
        _DEEP.encode(),
    ]
    tokens[at] = rng.choice([text.encode("utf-8", "surrogatepass"), *odd])
    return f"{tokens[at][:20]!r} for token {at}", b"".join(tokens)


def _in_tree(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    tree = json.loads(data)
    places: list[tuple[Any, Any]] = []
    _places(tree, places, rng)
    if not places:
        return _in_bytes(data, rng)
    parent, key = rng.choice(places)
    kind = rng.choice(["replace", "replace", "replace", "remove", "twice", "deep"])
    told = f"{kind} {key!r}"
    if kind == "remove":
        del parent[key]
    elif kind == "twice" and isinstance(parent, list):
        parent.append(parent[key])
    elif kind == "deep":
        parent[key] = "DEEP"
        return told, json.dumps(tree).replace('"DEEP"', _DEEP + "]" * rng.choice([0, len(_DEEP)])).encode()
    else:
        parent[key] = rng.choice(ABSURD)
        told += f" by {json.dumps(parent[key])[:30]}"
    return told, json.dumps(tree).encode()


def _places(tree: Any, found: list[tuple[Any, Any]], rng: random.Random) -> None:
    """Places of a tree where a value stands; of long lists some."""
    inner = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in rng.sample(inner, min(len(inner), 12)):
        found.append((tree, key))
        _places(value, found, rng)


def saved(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    """A picture's bytes as Pillow writes them."""
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """A TIFF's bytes as tifffile writes them."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


@functools.cache
def good_pictures() -> dict[str, bytes]:
    """One small picture of each kind that is read, by a name that ends in its suffix."""
    rng = np.random.default_rng(0)
    grey, rgb = rng.integers(0, 3, (20, 24)).astype(np.uint8), rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
    palette = Image.fromarray(grey)
    palette.putpalette(list(range(60)))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    many = rng.integers(0, 256, (20, 24, 7)).astype(np.uint8)
    bands = {"photometric": "minisblack", "planarconfig": "contig"}
    planes, deep = np.moveaxis(many, 2, 0), rgb.astype(np.uint16) * 200
    return {
        "grey.png": saved(grey, "PNG"), "rgb.png": saved(rgb, "PNG", exif=exif), "deep.png": saved(deep[..., 0], "PNG"),
        "palette.png": saved(palette, "PNG", transparency=1), "bilevel.png": saved(grey > 1, "PNG"),
        "rgb.jpg": saved(rgb, "JPEG", exif=exif), "progressive.jpg": saved(rgb, "JPEG", progressive=True),
        "grey.jpg": saved(grey, "JPEG"), "palette.gif": saved(palette, "GIF"), "rgb.bmp": saved(rgb, "BMP"),
        "palette.bmp": saved(palette, "BMP"), "lossy.webp": saved(rgb, "WEBP"),
        "lossless.webp": saved(rgb, "WEBP", lossless=True, exif=exif), "rgb.tif": tiff(rgb), "grey.tif": tiff(grey),
        "deep.tif": tiff(deep, photometric="rgb"), "float.tif": tiff(rgb[..., 0] / 3), "many.tif": tiff(many, **bands),
        "planes.tif": tiff(planes), "tiled.tif": tiff(deep, tile=(16, 16), photometric="rgb"),
        "big.tif": tiff(many, bigtiff=True, photometric="minisblack"), "ome.ome.tif": tiff(planes, ome=True),
        "deflate.tif": tiff(rgb.astype(np.float32), compression="zlib", photometric="rgb"),
        "imagej.tif": tiff(planes.astype(np.uint16), imagej=True), "pillow.tif": saved(rgb, "TIFF", exif=exif),
        "lzw.tif": saved(grey.astype(np.uint16), "TIFF", compression="tiff_lzw"),
        "jpeg.tif": saved(rgb, "TIFF", compression="jpeg"),
        "packbits.tif": saved(palette, "TIFF", compression="packbits"),
        "fax.tif": saved(grey > 1, "TIFF", compression="group4"),
    }  # fmt: skip


@functools.cache
def good_arrays() -> dict[str, bytes]:
    """One small mask of each kind of array file."""
    labels = np.random.default_rng(0).integers(0, 3, (20, 24)).astype(np.uint8)

    def written(write: Callable[[io.BytesIO], object]) -> bytes:
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(buffer)
        return buffer.getvalue()

    from scipy.io import savemat  # not needed for pictures

    names, scene = np.array(["sky", "road", "car"], dtype=object), np.zeros((20, 24, 3))
    struct = {"S": {"Segmentation": labels, "Categories": np.array([1, 2])}, "names": names}
    cells = np.array([[{"labels": labels}]], dtype=object)
    return {
        "labels.npy": written(lambda file: np.save(file, labels)),
        "fortran.npy": written(lambda file: np.save(file, np.asfortranarray(labels.astype(np.float64)))),
        "labels.npz": written(lambda file: np.savez(file, mask=labels, image=scene)),
        "packed.npz": written(lambda file: np.savez_compressed(file, mask=labels, names=np.array(["a", "b"]))),
        "plain.mat": written(lambda file: savemat(file, {"mask": labels, "image": scene})),
        "packed.mat": written(lambda file: savemat(file, {"mask": labels / 1, "names": names}, do_compression=True)),
        "old.mat": written(lambda file: savemat(file, {"mask": labels}, format="4")),
        "struct.mat": written(lambda file: savemat(file, struct)),
        "cells.mat": written(lambda file: savemat(file, {"gt": cells}, do_compression=True)),
    }
