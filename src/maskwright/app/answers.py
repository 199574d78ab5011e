"""Pictures and bodies: PNG and JPEG bytes made once, ETags, and bodies no longer than they may be."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fastapi import HTTPException, Request, Response

from maskwright.data.dataset import IGNORE
from maskwright.data.decoding import open_picture
from maskwright.data.images import decode_mask
from maskwright.data.pictures import overlay, palette, shown

MOST_BYTES = 64 << 20
MOST_PIXELS = 100_000_000
LARGEST, SMALLER = 4096, 2048  # pixels a side that are shown as they are; of larger images a smaller picture
PART = 1024  # and these parts
_KEPT = 256 << 20  # bytes of answers
_AT_ONCE = 2  # pictures that are made at the same time: each may take a gigabyte
Pixels = tuple[bytes, dict[str, str]]  # what is sent, and headers of its own


class Cache:
    """Bytes (or arrays) that were made, the newest so many of them; what several ask for at once is made once."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[Hashable, tuple[Any, dict[str, str]]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock, self._room = threading.Lock(), threading.BoundedSemaphore(_AT_ONCE)

    def get(self, key: Hashable, make: Callable[[], Any]) -> tuple[Any, dict[str, str]]:
        """What stands under a key, made if it is not there."""
        with self._lock:
            found = self._found(key)
            making = self._making.setdefault(key, threading.Lock())
        if found:
            return found
        with making:
            with self._lock:
                found = self._found(key)
            if found is None:
                try:
                    with self._room:
                        made = make()
                finally:
                    with self._lock:
                        self._making.pop(key, None)
                found = made if isinstance(made, tuple) else (made, {})
                with self._lock:
                    self._keep(key, found)
        return found

    def _found(self, key: Hashable) -> tuple[Any, dict[str, str]] | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def _keep(self, key: Hashable, found: tuple[Any, dict[str, str]]) -> None:
        self._kept[key] = found
        self._size += memoryview(found[0]).nbytes
        while self._size > self._most and len(self._kept) > 1:
            self._size -= memoryview(self._kept.popitem(last=False)[1][0]).nbytes


def send(
    request: Request, cache: Cache, key: tuple[Any, ...], make: Callable[[], bytes | Pixels], forever: bool = True
) -> Response:
    """A picture (or JSON) under its ETag, which follows from `key`: what it is made of. `forever`: it never changes."""
    tag = f'"{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600" if forever else "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    data, own = cache.get(key, make)
    kind = {b"\x89P": "image/png", b"\xff\xd8": "image/jpeg"}.get(data[:2], "application/json")
    return Response(data, media_type=kind, headers={**headers, **own})


def png(values: np.ndarray) -> bytes:
    """H W or H W 3 uint8 → a PNG, made quickly rather than small."""
    values = np.ascontiguousarray(values[..., ::-1] if values.ndim == 3 else values)
    return cv2.imencode(".png", values, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes()


def jpeg(pixels: np.ndarray, quality: int = 85) -> bytes:
    """H W 3 uint8 → a JPEG."""
    return cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), (cv2.IMWRITE_JPEG_QUALITY, quality))[
        1
    ].tobytes()


def pixels_shown(image: np.ndarray, part: str = "") -> Pixels:
    """An image H W C for looking at, or its `part` ("column,row"); X-Scale tells by how much a large one was shrunk."""
    if part:
        column, row = (int(one) if one.isdecimal() and len(one) < 5 else -1 for one in (part + ",").split(",")[:2])
        cut = image[row * PART : (row + 1) * PART, column * PART : (column + 1) * PART]
        if min(column, row) < 0 or not cut.size:
            raise HTTPException(404, "a part must be a column and a row of the image's; got another. Reload the page.")
        return png(shown(cut)), {}
    image = shown(image)
    if max(image.shape[:2]) > LARGEST:
        scale = SMALLER / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        return jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 92), {"X-Scale": f"{scale:.6f}"}
    return png(image), {}


def thumb(image: np.ndarray, *labels: np.ndarray, num_classes: int = 2, longest: int = 256) -> bytes:
    """A small picture: the image with the first labels tinted and outlined, the second as outlines in white."""
    image = shown(image)
    factor = min(1.0, longest / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    maps = [cv2.resize(one, size, interpolation=cv2.INTER_NEAREST) for one in labels]
    if maps:
        small = overlay(np.ascontiguousarray(small), maps[0], palette(num_classes))
    for one in maps[1:]:
        edge = cv2.morphologyEx(
            np.where(one == IGNORE, 0, one).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)
        )
        small[edge > 0] = 255
    return jpeg(small)


async def read_body(request: Request, most: int = MOST_BYTES, sink: Callable[[bytes], object] | None = None) -> bytes:
    """A request's body no longer than `most`; with a `sink` it goes there part by part, and nothing is kept."""
    told = f"a request must have at most {most >> 20} MiB; this one has more. Send a smaller file."
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise HTTPException(413, told)
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, told)
        if sink:
            sink(part)
        else:
            body += part
    return bytes(body)


def refuse_pixels(source: bytes | Path) -> tuple[int, int]:
    """Stop at a picture of more pixels than are taken, before it is decoded. → height, width"""
    with open_picture(source, Path("the picture")) as picture:
        height, width = picture.height, picture.width
    if height * width > MOST_PIXELS:
        fix = "Use maskwright predict, which takes any size."
        raise HTTPException(
            413, f"a picture must have at most {MOST_PIXELS:,} pixels; this one has {width} × {height}. {fix}"
        )
    return height, width


def grey_labels(body: bytes) -> np.ndarray:
    """A grey PNG from a page as class numbers H W uint8."""
    refuse_pixels(body)
    labels = decode_mask(body, Path("the mask"))
    if labels.dtype != np.uint8:
        raise HTTPException(422, "the mask must be an 8-bit grey PNG of class numbers; it has 16 bits. Save it with 8.")
    return labels


def text_of(name: object) -> str:
    """A file's name as JSON can hold it, whatever encoding it is in."""
    return str(name).encode("utf-8", "backslashreplace").decode()
