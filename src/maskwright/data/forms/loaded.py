"""What every mask form gives, and reading a file's bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.errors import DataError


@dataclass(frozen=True)
class LoadedMask:
    """raw H W: the values as the file has them; digest: SHA-256 of what they were read from."""

    raw: np.ndarray
    digest: str


def read_bytes(path: Path) -> bytes:
    """A file's bytes, or the sentence why not."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"`{path}` must be there; it is missing. Put it back, or remove its partner from the data set.") from None
    except OSError as error:
        raise DataError(f"`{path}` must be readable; {error.strerror}. Check its permissions.") from None
