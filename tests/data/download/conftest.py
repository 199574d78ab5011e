"""A server of the small pets, and a listener to what a download says."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from downloading import ARCHIVES, Told

from maskwright.data.download import DOWNLOADS
from petserver import Web, serving, source_of


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    """A server of the small pets, which `oxford-pet` stands for as long."""
    with serving(ARCHIVES) as web:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base))
        yield web


@pytest.fixture
def told() -> Told:
    return Told()
