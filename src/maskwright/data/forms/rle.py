"""Run lengths of COCO files, plain and packed into text, to pixels.

Runs go down the columns, first of zeros, then of ones, in turn. Packed, each number is cut into five bits a character,
lowest first, character 48 + bits, with 32 added where more follow and the sign kept in the last one's highest bit; from
the fourth number on it is the difference from the number two before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def unpack(text: str) -> list[int]:
    """Packed run lengths as numbers; ValueError where the text is none.

    >>> unpack("61")
    [6, 1]
    """
    counts: list[int] = []
    number = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {char!r} stands for no run")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the last run is cut off")
    return counts


def pixels_of(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """Run lengths, plain or packed, as pixels; ValueError where they do not fill the picture. → H W bool

    >>> pixels_of([1, 2, 1], 2, 2).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    runs = np.array(unpack(counts) if isinstance(counts, str) else list(counts), np.int64)
    if (runs < 0).any():
        raise ValueError("a run has a negative length")
    if runs.sum() != height * width:
        raise ValueError(f"the runs have {runs.sum()} pixels, the image {height * width}")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(width, height).T
