"""The optimiser and the learning rate over time, as pure functions of the configuration."""

from __future__ import annotations

import math

import torch
from torch import nn

from maskwright.config import OptimConfig


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """Weight decay goes to matrices and kernels only: on biases and norms it only does harm."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, fused=True)


def learning_rate_factor(step: int, total_steps: int, config: OptimConfig) -> float:
    """Share of the highest rate at a step: rise over the warm-up, then hold or fall as a cosine to the end.

    >>> learning_rate_factor(100, 100, OptimConfig())
    0.0
    """
    warm = config.warmup * total_steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (step - warm) / max(1.0, total_steps - warm))
    return 0.5 * (1 + math.cos(math.pi * done))
