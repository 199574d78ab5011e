"""maskwright doctor: what it says of a busy machine, and of packages that are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata

import pytest
import torch

from maskwright.errors import install_command
from support import maskwright


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def loaded(monkeypatch: pytest.MonkeyPatch, load: float, cores: int) -> None:
    """What the system tells of its load is replaced: a test can't ask for a busy machine."""
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("load", "cores", "busy"), [(3.0, 2, True), (2.9, 2, False), (20.0, 64, False), (0.0, 1, False)]
)
def test_spinning_threads_are_told_where_others_want_the_cores_and_only_there(
    load: float, cores: int, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(monkeypatch, load, cores)
    told = maskwright("doctor", "--json").json
    assert ("load" in told) == busy
    if busy:
        assert told["load"].startswith("3.0 over the last minute on 2 cores: torch's 2 threads wait for each other")
        assert "OMP_NUM_THREADS=1" in told["load"] and "OMP_NUM_THREADS=1" in maskwright("doctor").out


def test_one_thread_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, 9.0, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert "load" not in maskwright("doctor", "--json").json
    finally:
        torch.set_num_threads(before)


def test_a_package_that_is_missing_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """That two are missing is pretended; pytest is for developers alone."""
    version = metadata.version

    def without(name: str) -> str:
        if name in ("transformers", "timm", "pytest"):
            raise metadata.PackageNotFoundError(name)
        return version(name)

    assert "nothing" in maskwright("doctor", "--json").json["missing"]
    monkeypatch.setattr(metadata, "version", without)
    told = maskwright("doctor", "--json").json["missing"]
    assert told == f"timm ({install_command()}); transformers ({install_command('hf')})"
