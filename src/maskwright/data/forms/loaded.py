"""What every mask form gives, and reading a file's bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LoadedMask:
    """raw H W: the values as the file has them; digest: SHA-256 of what they were read from.

    claimed_twice: pixels that several objects claim (`CLAIMS` says which of them has them)
    valid: H W bool, where the mask's own file says that it tells something (None: everywhere)
    """

    raw: np.ndarray
    digest: str
    claimed_twice: int = 0
    valid: np.ndarray | None = None


# for forms that draw objects: what becomes of pixels that several of them claim
CLAIMS = {
    "coco": "objects of different classes: the smaller object has them",
    "labelme": "shapes of different classes: the later shape has them",
    "instances": "several instances: they are foreground",
}
