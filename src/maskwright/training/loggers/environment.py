"""How loggers' packages are called: their remarks held back, their own reporting off, their places set."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit


class Environment:
    """Environment variables set for a while; what the user has set stays as it is."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self._set = {name: value for name, value in wanted.items() if name not in os.environ}
        os.environ.update(self._set)

    def restore(self) -> None:
        for name, value in self._set.items():
            if os.environ.get(name) == value:
                del os.environ[name]


@contextmanager
def quiet() -> Iterator[None]:
    """Neither warnings nor remarks of these packages: what a user must know is reported by us, once."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # whatever levels a package gives its own loggers while it is imported
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def without_password(uri: str) -> str:
    """The address without user and password, to be shown and kept.

    >>> without_password("https://me:secret@mlflow.example.org/x")
    'https://mlflow.example.org/x'
    """
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def first_line(error: BaseException) -> str:
    """The first line of an error's words, or its kind where it has none.

    >>> first_line(ValueError("no such place\\nand more")), first_line(TimeoutError())
    ('no such place', 'TimeoutError')
    """
    words = str(error).strip()
    return words.splitlines()[0][:200] if words else type(error).__name__
