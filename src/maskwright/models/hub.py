"""The hub of pretrained weights, asked so that a machine without network answers at once and in one sentence.

    with asking_hub():
        build()         # whatever library it is that asks

Without network the hub's own client tries for half a minute a file and prints each try; even weights that lie in its
cache would wait for that.
"""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit


@contextlib.contextmanager
def asking_hub() -> Iterator[None]:
    """In here the hub's client prints no warnings, and looks into its cache alone where the hub can't be found."""
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    verbosity, offline = logging.get_verbosity(), constants.HF_HUB_OFFLINE
    logging.set_verbosity_error()
    constants.HF_HUB_OFFLINE = offline or not is_found(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)


def is_found(address: str) -> bool:
    """Whether a host has an address in the network; where a proxy stands between, it is the one who knows.

    >>> is_found("https://weights.invalid")  # a name that never leads anywhere
    False
    """
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(address).hostname, None)
    except OSError:
        return False
    return True


def answers(address: str, seconds: float = 3.0) -> bool:
    """Whether a file of the hub can be asked for now; nothing is fetched, and no answer in time is a no.

    >>> answers("https://weights.invalid/model.safetensors")
    False
    """
    if not is_found(address):
        return False
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds):
            return True
    except (OSError, ValueError):
        return False


def why(error: Exception, longest: int = 160) -> str:
    """An error's first sentence, cut between words where it is long.

    >>> why(ValueError("It is not there. Look elsewhere.")), why(KeyError()), why(OSError("a b " * 9), 8)
    ('It is not there', 'KeyError', 'a b a …')
    """
    lines = str(error).strip().splitlines()
    text = lines[0].partition(". ")[0].strip().rstrip(".") if lines else type(error).__name__
    return text if len(text) <= longest else text[: longest - 1].rpartition(" ")[0] + " …"
