"""What every mask form gives, and reading a file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class LoadedMask:
    """raw H W: the values as the file has them; make_digest: gives the SHA-256 of what they were read from.

    claimed_twice: pixels that several objects claim (`CLAIMS` says which of them has them)
    valid: H W bool, where the mask's own file says that it tells something (None: everywhere)
    """

    raw: np.ndarray
    make_digest: Callable[[], str]
    claimed_twice: int = 0
    valid: np.ndarray | None = None

    @cached_property
    def digest(self) -> str:
        """Made where it is asked for: training that decodes its files anew at every access asks for none."""
        return self.make_digest()


# for forms that draw objects: what becomes of pixels that several of them claim
CLAIMS = {
    "coco": "objects of different classes: the smaller object has them",
    "labelme": "shapes of different classes: the later shape has them",
    "instances": "several instances: they are foreground",
}
