"""A machine without network: answered at once, in one sentence, and from the cache where that holds what is wanted."""

from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
from huggingface_hub.utils import logging

from maskwright.config.models import SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import build_model
from maskwright.models.hub import asking_hub, is_found, why

TWO = ClassMap(("a", "b"), (0, 1))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's address leads nowhere, by its reserved ending, and its cache is empty."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.usefixtures("nowhere")
def test_the_cache_alone_is_asked_where_the_hub_cannot_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    verbosity = logging.get_verbosity()
    with asking_hub():
        assert constants.HF_HUB_OFFLINE and logging.get_verbosity() == logging.ERROR
    assert not constants.HF_HUB_OFFLINE and logging.get_verbosity() == verbosity
    monkeypatch.setattr(constants, "ENDPOINT", "https://localhost")
    with asking_hub():
        assert not constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("nowhere")
def test_what_was_asked_for_stays_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", "https://localhost")
    with asking_hub():
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("nowhere")
def test_a_proxy_is_trusted_to_know_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_found("https://hub.invalid")
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    assert is_found("https://hub.invalid")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("encoder", ["mobilenet_v2", "tu-test_resnet"])
def test_weights_out_of_reach_are_told_at_once_and_without_the_clients_remarks(
    encoder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Left to itself, the client tries five times, for 23 seconds."""
    build_model(SmpConfig(encoder=encoder, weights="none"), TWO)  # imports aside
    began = time.monotonic()
    with pytest.raises(ModelError, match="must be at hand or within reach") as refused:
        build_model(SmpConfig(encoder=encoder, weights="imagenet"), TWO)
    assert time.monotonic() - began < 15
    assert len(str(refused.value).splitlines()) == 1
    told = capfd.readouterr()
    assert told.out == told.err == ""


def test_an_error_is_cut_between_words() -> None:
    long = "words " * 50
    told = why(OSError(long), 60)
    assert len(told) <= 60 and told.endswith("words …")
    assert why(OSError("two. Sentences.\nand lines")) == "two"
