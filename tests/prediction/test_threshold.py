"""Thresholds in words and numbers, as they are wished for."""

from __future__ import annotations

import pytest

from maskwright.errors import UsageError
from maskwright.prediction.threshold import read_threshold


@pytest.mark.parametrize(
    ("wish", "read"), [(None, None), ("fixed", None), ("tuned", "tuned"), ("0.25", 0.25), (0.25, 0.25)]
)
def test_thresholds_that_can_be_wished_for(wish, read):
    assert read_threshold(wish, 2) == read


@pytest.mark.parametrize("wish", ["0", "1", 0, 1.0, "-0.1", "7", "nan", "inf", "", "half"])
def test_a_threshold_that_is_none_is_refused(wish):
    with pytest.raises(UsageError, match="between 0 and 1, or the word fixed or tuned"):
        read_threshold(wish, 2)


def test_a_mistyped_word_is_guessed():
    with pytest.raises(UsageError, match=r"got 'tunned'\. Did you mean 'tuned'\?"):
        read_threshold("tunned", 2)
