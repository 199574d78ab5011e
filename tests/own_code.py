"""Code as a person might write it for themselves: what the contract tests and others name as FILE.py:NAME."""

import numpy as np
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """Ten lines, with the parts that can be frozen."""

    def __init__(self, num_channels=3, num_classes=2, width=4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(num_channels, width, 8, 8), nn.BatchNorm2d(width), nn.ReLU())
        self.decoder = nn.Sequential(nn.ConvTranspose2d(width, width, 8, 8), nn.ReLU())
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x):
        return self.head(self.decoder(self.encoder(x)))


def loss(logits, masks):
    total = functional.cross_entropy(logits, masks, ignore_index=255, reduction="sum")
    return total / (masks != 255).sum().clamp_min(1)


def jitter(image, mask, amount=20):
    shift = np.random.randint(-amount, amount + 1)
    return np.clip(image.astype(int) + shift, 0, 255).astype(np.uint8), mask
