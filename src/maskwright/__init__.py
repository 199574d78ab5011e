"""Maskwright: from a folder of images and masks to a segmentation model you can trust.

    import maskwright as mw
    run = mw.train("my_data", model="unet", epochs=20)
    run.evaluate("test")
    run.predict("photo.jpg")

The names below are all that is public; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.api import (
        TrainedRun,
        check,
        compare,
        cross_validate,
        load_run,
        make_data,
        open,
        resume,
        search,
        train,
    )
    from maskwright.comparison import Comparison
    from maskwright.comparison.search_result import SearchResult
    from maskwright.config import Config
    from maskwright.data.checks.findings import Audit
    from maskwright.errors import MaskwrightError
    from maskwright.evaluation import Evaluation
    from maskwright.evaluation.cross_validation import CrossValidation
    from maskwright.prediction import Prediction
    from maskwright.prediction.bundle import Bundle, load_bundle

__all__ = [
    "Audit", "Bundle", "Comparison", "Config", "CrossValidation", "Evaluation", "MaskwrightError", "Prediction",
    "SearchResult", "TrainedRun", "check", "compare", "cross_validate", "load_bundle", "load_run", "make_data", "open",
    "resume", "search", "train",
]  # fmt: skip
_HOMES = {
    "Audit": "data.checks.findings",
    "Bundle": "prediction.bundle",
    "Comparison": "comparison",
    "Config": "config",
    "CrossValidation": "evaluation.cross_validation",
    "Evaluation": "evaluation",
    "MaskwrightError": "errors",
    "Prediction": "prediction",
    "SearchResult": "comparison.search_result",
    "load_bundle": "prediction.bundle",
}  # all others are of the api


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'maskwright' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"maskwright.{_HOMES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return __all__
