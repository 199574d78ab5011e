"""Lightning, as all of this package imports it: after matplotlib and torchvision, which it would import unguarded."""

from maskwright import runtime

runtime.ensure_matplotlib()  # before torchmetrics
runtime.ensure_torchvision()  # before Lightning, which imports it by way of torchmetrics

with runtime.deferred("transformers", "scipy.signal"):  # torchmetrics' texts and sounds
    import lightning.pytorch as pl
    from lightning.pytorch.plugins.io import TorchCheckpointIO

__all__ = ["TorchCheckpointIO", "pl"]
