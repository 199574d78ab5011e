"""Muon for convolutions: momentum whose matrices are made orthogonal, so that every direction learns at the same rate.

Kernels out × in × h × w are taken as matrices out × (in h w); everything that is no matrix, and small ones, go to
AdamW. After https://kellerjordan.github.io/posts/muon/; updates are scaled to AdamW's size
(https://arxiv.org/abs/2502.16982), so that one learning rate suits both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, as its author has them
_ROUNDS = 5
_LIKE_ADAM = 0.2  # root mean square of AdamW's updates, about
_LEAST = 8  # rows and columns of a matrix below which there is little to make orthogonal


class Muon(torch.optim.Optimizer):
    """Muon for matrices and kernels, AdamW for the rest, in one optimiser with one learning rate."""

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3, weight_decay: float = 0.02, momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    ) -> None:  # fmt: skip
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas, "eps": eps}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            learning = [one for one in group["params"] if one.grad is not None]
            if group["weight_decay"] and learning:
                torch._foreach_mul_(learning, 1 - group["lr"] * group["weight_decay"])
            for parameter in learning:
                if _is_matrix(parameter):
                    self._step_matrix(parameter, group)
            self._step_others([one for one in learning if not _is_matrix(one)], group)
        return loss

    def _step_matrix(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        moving = state["momentum"]
        moving.lerp_(grad, 1 - group["momentum"])
        ahead = torch.lerp(grad, moving, group["momentum"])  # Nesterov's
        # columns in the order kernels have in memory, so that nothing is copied; the order changes nothing
        ahead = ahead.movedim(1, -1)
        update = orthogonal(ahead.flatten(1)).view_as(ahead).movedim(-1, 1)
        size = _LIKE_ADAM * math.sqrt(max(len(ahead), ahead[0].numel()))
        parameter.add_(update, alpha=-group["lr"] * size)

    def _step_others(self, others: list[torch.Tensor], group: dict[str, Any]) -> None:
        if not others:
            return
        (first, second), states = group["betas"], [self.state[one] for one in others]
        grads = [one.grad for one in others if one.grad is not None]
        for parameter, state in zip(others, states, strict=True):
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
            state["step"] += 1
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1 - second)
        scales = torch._foreach_div(squares, [1 - second ** state["step"] for state in states])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, group["eps"])
        torch._foreach_addcdiv_(
            others, means, scales, [-group["lr"] / (1 - first ** state["step"]) for state in states]
        )


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix with its singular values brought near one, by Newton-Schulz steps on the smaller Gram matrix.

    >>> torch.manual_seed(0); values = torch.linalg.svdvals(orthogonal(torch.randn(16, 40)))
    <torch._C.Generator object at ...>
    >>> bool((values > 0.6).all() and (values < 1.3).all())
    True
    """
    rows, columns = matrix.shape
    wide = matrix if rows <= columns else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    product = None
    a, b, c = _COEFFICIENTS
    for _ in range(_ROUNDS):
        square = gram @ gram
        poly = b * gram + c * square
        poly.diagonal().add_(a)
        product = poly if product is None else poly @ product
        gram = poly @ gram @ poly
    assert product is not None
    found = product @ wide
    return found if rows <= columns else found.T


def _is_matrix(parameter: torch.Tensor) -> bool:
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter[0].numel()) >= _LEAST
