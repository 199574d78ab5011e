"""Networks put together: an image turned and mirrored (test-time augmentation), and several runs as an ensemble.

    network = combine([first, second], tta="flips")     # predicts as one of them does

A tile is seen by all before it is put beside the others, so memory stays a band's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from maskwright.data.tiles import Forward
from maskwright.errors import UsageError, listed, must
from maskwright.prediction.network import FLIPS, Network

Tta = Literal["flips", "d4"]


def combine(
    networks: Sequence[Network], tta: Tta | None = None, names: Sequence[str] = (), spread: bool = False
) -> Network:
    """One network of several, which must see images alike; with `spread` a further plane tells their disagreement."""
    first = networks[0]
    for network, name in zip(networks, names, strict=False):
        _refuse_other(first, network, names[0], name)
    if len(networks) == 1 and tta is None:
        return first
    positions = _positions(tta, networks, names) if tta else []
    turned = [_in_positions(network.forward, positions) if tta else network.forward for network in networks]
    return Network(
        forward=turned[0] if len(networks) == 1 else _mean(turned, spread),
        identity="\n".join([*(network.identity for network in networks), tta or ""]),
        threshold=first.threshold,
        view=first.view,
        classes=first.classes,
        bands=first.bands,
        any_depth=first.any_depth,
        on_gpu=any(network.on_gpu for network in networks),
        data=tuple(one for network in networks for one in network.data),
    )  # fmt: skip - no temperature: those of its parts were not fitted on their mean


def _refuse_other(one: Network, two: Network, name: str, other: str) -> None:
    parts = {
        "classes": "names",
        "bands and tones": "bands",
        "view, size, scale and tiles": "view",
        "depth": "any_depth",
    }
    for what, part in parts.items():
        got = [getattr(network.classes if part == "names" else network, part) for network in (one, two)]
        if got[0] != got[1]:
            fix = "Predict with runs that were trained alike, or with each of them alone."
            raise UsageError(f"`RUN RUN …` must be runs of the same classes that see images alike; the {what} of "
                             f"{listed([name, other], 'and')} differ. {fix}")  # fmt: skip


def _positions(tta: Tta, networks: Sequence[Network], names: Sequence[str]) -> list[tuple[int, bool]]:
    """Quarter turns, and whether mirrored. Of `flips` those that all learned from: no street stands upside down."""
    if tta == "d4":
        return [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
    seen = [flip for flip in FLIPS if all(flip in network.flips for network in networks)]
    if not seen:
        names = names or [network.name for network in networks]
        got = f"{listed(list(names), 'and')}, which {'have none in common' if len(names) > 1 else 'saw none'}"
        raise UsageError(must("--tta flips", "of runs whose training mirrored images", got, "Leave it out."))
    positions = [(0, False)]
    if "hflip" in seen:
        positions.append((0, True))
    if "vflip" in seen:
        positions.append((2, True))
    return [*positions, (2, False)] if len(seen) == 2 else positions


def _in_positions(forward: Forward, positions: Sequence[tuple[int, bool]]) -> Forward:
    """The mean over an image in several positions."""

    def seen(images: np.ndarray) -> np.ndarray:
        total: np.ndarray | None = None
        for turns, mirrored in positions:
            x = np.rot90(images, turns, axes=(1, 2))
            y = forward(np.ascontiguousarray(x[:, :, ::-1] if mirrored else x))
            y = np.rot90(y[..., ::-1] if mirrored else y, -turns, axes=(2, 3))
            total = np.array(y) if total is None else np.add(total, y, out=total)
        assert total is not None
        total /= len(positions)
        return total

    return seen


def _mean(forwards: Sequence[Forward], spread: bool) -> Forward:
    """The mean; with `spread`, and how much of its entropy is disagreement.

    The entropy of the mean less the mean of the entropies (the mutual information): 0 where all say the same, however
    undecided each of them is.
    """

    def seen(images: np.ndarray) -> np.ndarray:
        total = entropies = np.zeros(1, np.float32)
        for forward in forwards:
            found = forward(images)
            total = total + found
            entropies = entropies + entropy(found, 1) if spread else entropies
        total /= len(forwards)
        if not spread:
            return total
        apart = np.maximum(entropy(total, 1) - entropies / len(forwards), 0)
        return np.concatenate([total, apart[:, np.newaxis]], axis=1)

    return seen


def entropy(probabilities: np.ndarray, axis: int = 0) -> np.ndarray:
    """How undecided probabilities are along an axis: 0 where one class is certain, 1 where all are equally likely."""
    num = probabilities.shape[axis]
    terms = probabilities * np.log(np.maximum(probabilities, 1e-12))
    return np.clip(-terms.sum(axis=axis) / np.log(max(2, num)), 0, 1).astype(np.float32)


def uncertainty(planes: np.ndarray, num_classes: int) -> np.ndarray:
    """Entropy of the probabilities, K h w → h w; the further plane where an ensemble tells its disagreement."""
    return entropy(planes) if len(planes) == num_classes else np.clip(planes[num_classes], 0, 1)
