"""Run lengths of COCO files, plain and packed into text, to pixels.

Runs go down the columns, first of zeros, then of ones, in turn. Packed, each number is cut into five bits a character,
lowest first, character 48 + bits, with 32 added where more follow and the sign kept in the last one's highest bit; from
the fourth number on it is the difference from the number two before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CHARACTERS = 7  # of one number: 35 bits, more pixels than any picture has


def unpack(text: str) -> np.ndarray:
    """Packed run lengths as numbers; ValueError where the text is none.

    >>> unpack("61").tolist()
    [6, 1]
    """
    bits = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if ((bits < 0) | (bits >= 64)).any():
        raise ValueError("a character stands for no run")
    last = np.flatnonzero(bits < 32)  # of each number
    if len(bits) and (not len(last) or last[-1] < len(bits) - 1):
        raise ValueError("the last run is cut off")
    first = np.concatenate([[0], last[:-1] + 1])[: len(last)]
    if (last - first >= _CHARACTERS).any():
        raise ValueError("a run is longer than any picture")
    place = np.arange(len(bits)) - np.repeat(first, last - first + 1)
    counts = np.add.reduceat((bits & 31) << 5 * place, first) if len(first) else bits
    counts[(bits[last] & 16) > 0] -= 1 << 5 * (last - first + 1)[(bits[last] & 16) > 0]
    counts[1::2], counts[2::2] = np.cumsum(counts[1::2]), np.cumsum(counts[2::2])
    return counts


def pixels_of(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """Run lengths, plain or packed, as pixels; ValueError where they do not fill the picture. → H W bool

    >>> pixels_of([1, 2, 1], 2, 2).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    total = height * width
    if not isinstance(counts, str) and not all(-total <= run <= total for run in counts):
        raise ValueError("a run is longer than the picture")
    runs = unpack(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    if (runs < 0).any():
        raise ValueError("a run has a negative length")
    if (runs > total).any():  # before they are added up: a sum that wraps around would fit, and pixels be written beyond the end
        raise ValueError("a run is longer than the picture")
    if runs.sum() != total:
        raise ValueError(f"the runs have {runs.sum()} pixels, the image {total}")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(width, height).T
