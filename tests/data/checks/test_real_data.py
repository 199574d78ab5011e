"""The audit on real data sets, where MASKWRIGHT_REAL_DATA names the folder that holds them: what is known, and no false
error.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.findings import Audit, Finding

REAL = Path(os.environ.get("MASKWRIGHT_REAL_DATA", ""))
pytestmark = pytest.mark.skipif("MASKWRIGHT_REAL_DATA" not in os.environ, reason="MASKWRIGHT_REAL_DATA names no folder")


@cache
def audited(name: str) -> Audit:
    return audit(DataConfig(root=str(REAL / name)))


def answered(name: str, **keys: Any) -> Audit:
    return audit(DataConfig.model_validate({"root": str(REAL / name), **keys}))


def grave(found: Audit) -> dict[str, Finding]:
    """Errors and warnings by code."""
    return {one.code: one for one in found.findings if one.severity != "note"}


@pytest.mark.parametrize("name", ["puzzle", "retina"])
def test_sound_sets_are_quiet(name: str) -> None:
    assert not grave(audited(name))


@pytest.mark.parametrize("name", ["puzzle", "retina", "camvid", "pets128"])
def test_there_is_no_false_error(name: str) -> None:
    assert audited(name).clean


def test_street_scenes_with_void_after_the_last_class() -> None:
    found = audited("camvid")
    assert grave(found)["void-after-last"].details["value"] == 11
    assert {"groups", "class-missing"} <= grave(found).keys()
    assert {"imbalance", "near-duplicates"} <= {one.code for one in found.findings}
    told = answered("camvid", ignore_index=11)
    assert len(told.classes) == 11 and "void-after-last" not in grave(told)


def test_pets_as_an_inverted_trimap() -> None:
    found = grave(audited("pets128"))
    assert found["void-after-last"].details["value"] == 2
    assert found["inverted"].details["value"] == 0
    assert "listed-twice" not in found and "exact-leak" not in found  # equal names in two splits are no equal items
    told = answered("pets128", ignore_index=2, classes={"background": 1, "pet": 0})
    assert grave(told).keys() == {"empty-masks"}  # three pets nobody drew
    assert told.classes == ("background", "pet")


def test_people_whose_masks_are_smaller_than_their_images() -> None:
    found = audited("people")
    assert [one.code for one in found.errors] == ["size-mismatch"]
    assert found.errors[0].details["same_aspect"] and len(found.errors[0].files) == 21


def test_polyps_whose_masks_went_through_jpeg() -> None:
    found = audited("polyps")
    assert [one.code for one in found.errors] == ["smoothed"] and len(found.errors[0].files) == 5
    assert found.errors[0].proposal is not None and found.errors[0].proposal.op == "threshold"
