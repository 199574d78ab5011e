"""Lightning, as all of this package imports it: after matplotlib and torchvision, which it would import unguarded."""

from maskwright import runtime

runtime.ensure_matplotlib()  # before torchmetrics
runtime.ensure_torchvision()  # before Lightning, which imports it by way of torchmetrics

import lightning.pytorch as pl  # noqa: E402
from lightning.pytorch.plugins.io import TorchCheckpointIO  # noqa: E402

__all__ = ["TorchCheckpointIO", "pl"]
