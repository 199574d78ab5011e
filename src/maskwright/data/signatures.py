"""What a picture is known by without its pixels: a check sum of them and a small grey thumbnail.

    signature(image).exact == signature(other).exact       # the same pixels

Alike ones are found in `near_duplicates`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 44  # of the thumbnail: the largest that stays below 2 KB
_WORDS = (512, 509)  # two row lengths without a common divisor: what is moved by one of them is not by the other


@dataclass(frozen=True, eq=False)
class Signature:
    """pixels: a check sum of the decoded pixels; small: a grey thumbnail, SIDE × SIDE uint8, whatever the shape.

    size: the picture's rows and columns.
    """

    pixels: str
    small: np.ndarray
    size: tuple[int, int]

    @property
    def blank(self) -> bool:
        """Whether there is nothing to see: one grey, noise aside."""
        return int(self.small.max()) - int(self.small.min()) < 2

    @property
    def exact(self) -> tuple[str, bytes]:
        """Equal when, and only when, the pixels are: check sum and thumbnail agree."""
        return self.pixels, self.small.tobytes()


def signature(image: np.ndarray) -> Signature:
    """The signature of a decoded picture. H W C uint8, any C

    >>> picture = np.zeros((60, 80, 3), np.uint8)
    >>> signature(picture).exact == signature(picture.copy()).exact
    True
    """
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    return Signature(check_sum(image), _shrunk(image), (height, width))


def _shrunk(image: np.ndarray) -> np.ndarray:
    """A picture as SIDE × SIDE greys: means of areas, interpolated along a side that is shorter than that."""
    image = _few_channels(image)
    while min(image.shape[:2]) >= 4 * SIDE:  # halving is so much quicker that it pays to begin with it
        height, width = image.shape[:2]
        image = cv2.resize(image, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_LINEAR)
    grey = (
        image
        if image.ndim == 2
        else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY if image.shape[2] == 3 else cv2.COLOR_RGBA2GRAY)
    )
    height, width = grey.shape
    grey = cv2.resize(grey, (min(width, SIDE), min(height, SIDE)), interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


def _few_channels(image: np.ndarray) -> np.ndarray:
    """Colours as they are, else one band: the middle one of many. H W C → H W 3, H W 4 or H W"""
    channels = image.shape[2]
    return image if channels in (3, 4) else np.ascontiguousarray(image[..., channels // 2])


def check_sum(image: np.ndarray) -> str:
    """A hash of the shape and of sums of eight-byte words, each word in one sum of each row length. Contiguous uint8

    Whatever moves or changes pixels changes sums; nobody forges pictures here. It takes about a tenth
    of SHA-1's time, which is a third of a JPEG's decoding.
    """
    flat = image.reshape(-1)
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    for length in _WORDS:
        whole = flat.size // (8 * length) * 8 * length
        digest.update(flat[:whole].view(np.uint64).reshape(-1, length).sum(0).tobytes())
        digest.update(flat[whole:].tobytes())
    return digest.hexdigest()
