"""Training on Lightning's Trainer. Nothing outside this package imports Lightning."""

from maskwright import runtime

runtime.ensure_matplotlib()  # before torchmetrics
runtime.ensure_torchvision()  # before Lightning, which imports it by way of torchmetrics
