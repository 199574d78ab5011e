"""What a library's network holds and never uses is found, and taken out.

SMP builds whole encoders: PSPNet asks for three of a ResNet's five maps, and of an EfficientNet nobody asks for the
convolution before its classifier. Left in, such parameters would be counted, saved and averaged, and never learn.

    idle = find_unused(net, torch.rand(1, 3, 32, 32))
    names = prune_unused(net, idle)          # ("encoder.layer3.0.conv1.weight", …)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Unused:
    """Names of the largest modules of whose parameters no answer depends, and of such single parameters elsewhere."""

    modules: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


class Passing(nn.Module):
    """Hands its first input on, in the place of a module that was taken out.

    >>> Passing()(1, "what the module was given beside it")
    1
    """

    def forward(self, x: Any, *_: Any) -> Any:
        return x


def find_unused(net: nn.Module, x: torch.Tensor) -> Unused:
    """What the answer to `x` does not depend on; the network is left as it was.

    Where it would answer otherwise without the modules, their parameters are named one by one instead.
    """
    was_training = net.training
    net.eval()  # nothing random, and batch-norm's statistics stay
    try:
        with torch.enable_grad():
            answer = net(x)
        if answer.grad_fn is None:  # in inference mode nothing is known
            return Unused()
        used = _reached(answer)
        idle = {
            id(parameter) for parameter in net.parameters() if parameter.requires_grad and id(parameter) not in used
        }
        modules = tuple(_outermost(net, idle))
        kept = _replaced(net, modules)
        modules = modules if not modules or _same(net, x, answer) else ()
        within = {id(parameter) for name in modules for parameter in kept[name].parameters()}
        for name, module in kept.items():
            net.set_submodule(name, module)
    finally:
        net.train(was_training)
    return Unused(modules, tuple(name for name, one in net.named_parameters() if id(one) in idle - within))


def prune_unused(net: nn.Module, idle: Unused) -> tuple[str, ...]:
    """Take the modules out and hold the single parameters still; the names of the tensors that went."""
    gone = [f"{name}.{inner}" for name, module in _replaced(net, idle.modules).items() for inner in module.state_dict()]
    for name in idle.parameters:
        net.get_parameter(name).requires_grad_(False)
    return tuple(gone)


def _replaced(net: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """Put stand-ins in the places of modules; what stood there, by name."""
    stood = {name: net.get_submodule(name) for name in names}
    for name in names:
        net.set_submodule(name, Passing())
    return stood


def _reached(answer: torch.Tensor) -> set[int]:
    """The parameters an answer depends on, read from autograd's graph: no gradient is computed."""
    found: set[int] = set()
    seen: set[Any] = set()
    left: list[Any] = [answer.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        left += [following for following, _ in node.next_functions]
    return found


def _outermost(module: nn.Module, idle: set[int], prefix: str = "") -> Iterator[str]:
    """The largest modules with parameters, all of them idle."""
    for name, child in module.named_children():
        inside = [id(parameter) for parameter in child.parameters()]
        if inside and idle.issuperset(inside):
            yield prefix + name
        else:
            yield from _outermost(child, idle, f"{prefix}{name}.")


@torch.no_grad()
def _same(net: nn.Module, x: torch.Tensor, answer: torch.Tensor) -> bool:
    try:
        return torch.equal(net(x), answer)
    except Exception:  # noqa: BLE001 - a module may be asked for more than its answer, each in its own way
        return False
