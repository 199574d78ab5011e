"""Any optimiser of torch.optim by name, its groups and arguments, and what is refused before anything begins."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
import torch

from maskwright.config.files import load_config
from maskwright.config.models import UnetConfig
from maskwright.config.optim import OptimConfig, Schedule
from maskwright.data.dataset import ClassMap
from maskwright.errors import ConfigError
from maskwright.losses import build_loss
from maskwright.models import Segmenter, build_model
from maskwright.models.unet import build_unet
from maskwright.training.optim import (
    build_optimizer,
    ignored_by_optimizer,
    optimizer_class,
    rates,
    validate_optimizer,
    why_unfit,
)
from maskwright.training.schedules import learning_rate_factor, resolve_schedule_keys
from support import TINY, data, maskwright

USABLE = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type)
    and issubclass(kind, torch.optim.Optimizer)
    and name != "Optimizer"
    and not why_unfit(kind)
)
BINARY = ClassMap(("background", "foreground"), (0, 255))


def network() -> Segmenter:
    torch.manual_seed(0)
    return build_model(UnetConfig(width=2, depth=1), BINARY).train()


def step(model: Segmenter, optimizer: torch.optim.Optimizer, seed: int = 0) -> float:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=generator)
    loss = build_loss("ce")(model(images), (images[:, 0] > 127).to(torch.uint8))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# ------------------------------------------------------------------ every optimiser with every schedule


@pytest.mark.parametrize("schedule", get_args(Schedule))
@pytest.mark.parametrize("name", USABLE)
def test_three_steps_move_every_weight_and_stay_finite(name: str, schedule: Any) -> None:
    changes, _ = resolve_schedule_keys(OptimConfig(schedule=schedule), 3)
    config = OptimConfig(
        name=name, schedule=schedule, lr=0.01, **{key.split(".")[1]: value for key, value in changes.items()}
    )
    validate_optimizer(config)
    model = network()
    optimizer = build_optimizer(model, config)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: learning_rate_factor(at, 3, config))
    before = copy.deepcopy(list(model.parameters()))
    for seed in range(3):
        step(model, optimizer, seed)
        scheduler.step()
    for was, now in zip(before, model.parameters(), strict=True):
        assert torch.isfinite(now).all()
        # a convolution before a batch-norm has directions without gradient, but no tensor has none at all
        assert not torch.equal(was, now)


def test_all_of_torch_but_those_that_cannot_are_usable() -> None:
    assert {
        "Adam",
        "AdamW",
        "SGD",
        "RAdam",
        "RMSprop",
        "NAdam",
        "Adagrad",
        "Adamax",
        "Adadelta",
        "ASGD",
        "Rprop",
    } <= set(USABLE)
    assert not {"LBFGS", "SparseAdam"} & set(USABLE)


@pytest.mark.parametrize("name", ["AdamW", "adamw", "ADAMW", "RAdam", "radam", "rmsprop"])
def test_a_name_is_known_in_any_case(name: str) -> None:
    assert optimizer_class(name).__name__.lower() == name.lower()


# ------------------------------------------------------------------ groups and arguments


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "nadam"])
def test_weight_decay_goes_to_matrices_alone(name: str) -> None:
    model = build_unet(UnetConfig(width=2, depth=1), 3, 2)
    optimizer = build_optimizer(model, OptimConfig(name=name, lr=0.25, weight_decay=0.125))
    assert type(optimizer) is optimizer_class(name)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {group["lr"] for group in optimizer.param_groups} == {0.25}
    assert len(decay) == len(list(model.parameters()))
    for key, parameter in model.named_parameters():
        assert decay[id(parameter)] == (0.125 if parameter.ndim >= 2 else 0.0), key


def test_frozen_parameters_are_not_in_the_optimiser() -> None:
    model = build_unet(UnetConfig(width=2, depth=1), 3, 2)
    model.encoder.requires_grad_(False)
    held = {id(p) for group in build_optimizer(model, OptimConfig()).param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}


def test_the_encoder_learns_at_its_own_rate() -> None:
    """Plain gradient steps with equal gradients: the encoder's weights move a tenth as far."""
    model = network()
    config = OptimConfig(name="sgd", lr=0.5, encoder_scale=0.1, momentum=0, weight_decay=0)
    optimizer = build_optimizer(model, config)
    assert rates(optimizer) == {"lr": 0.5, "encoder_lr": pytest.approx(0.05)}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, value in model.named_parameters():
        moved = 0.05 if name.startswith("net.encoder.") else 0.5
        torch.testing.assert_close(before[name] - value, torch.full_like(value, moved), msg=name)
    assert rates(build_optimizer(network(), OptimConfig())) == {"lr": 2e-3}


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        (
            OptimConfig(name="sgd", lr=0.1),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0),
        ),
        (OptimConfig(name="sgd", lr=0.1, momentum=0), lambda p: torch.optim.SGD(p, lr=0.1)),
        (
            OptimConfig(name="SGD", lr=0.1, nesterov=False, momentum=0.5),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5),
        ),
        (
            OptimConfig(name="radam", lr=0.1, options={"betas": [0.8, 0.9], "eps": "1e-3"}),
            lambda p: torch.optim.RAdam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3),
        ),
        (
            OptimConfig(name="rmsprop", lr=0.1, options={"momentum": 0.5}),
            lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.5),
        ),
        (OptimConfig(name="adagrad", lr=0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
    ],
    ids=["sgd", "plain sgd", "heavy ball", "radam", "rmsprop", "adagrad"],
)
def test_steps_are_those_of_torch(config: OptimConfig, plain: Any) -> None:
    """The oracle is the same optimiser made by hand, without groups and without fused kernels."""
    config = config.model_copy(update={"weight_decay": 0.0})
    mine, theirs = network(), network()
    optimizers = build_optimizer(mine, config), plain(theirs.parameters())
    for seed in range(3):
        for model, optimizer in zip((mine, theirs), optimizers, strict=True):
            step(model, optimizer, seed)
    for one, two in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "adagrad"])
def test_fused_kernels_are_used_where_torch_has_them(name: str) -> None:
    assert build_optimizer(network(), OptimConfig(name=name)).defaults["fused"] is True
    slow = build_optimizer(network(), OptimConfig(name=name, options={"foreach": False}))
    assert not slow.defaults["fused"]


def test_adagrad_is_fused_on_the_cpu_alone() -> None:
    """torch 2.6 has no such kernel for a GPU and fails at the first step; the meta device stands for another here."""
    model = build_unet(UnetConfig(width=2, depth=1), 3, 2).to("meta")
    assert not build_optimizer(model, OptimConfig(name="adagrad")).defaults["fused"]
    assert build_optimizer(model, OptimConfig(name="adamw")).defaults["fused"]


def test_rprop_heeds_the_rate_of_its_first_step_alone() -> None:
    """What the note about it says."""
    ends = []
    for later in (0.01, 1.0):
        model = network()
        optimizer = build_optimizer(model, OptimConfig(name="rprop", lr=0.01))
        for seed in range(3):
            step(model, optimizer, seed)
            for group in optimizer.param_groups:
                group["lr"] = later
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*ends)


# ------------------------------------------------------------------ what is refused, and what is noted


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"name": "adamx"}, r"Unknown optimizer 'adamx' in `optim.name`\. Did you mean .*adam"),
        (
            {"name": "lbfgs"},
            "`optim.name` must be one that steps by a batch's gradients; got lbfgs, which must compute the loss",
        ),
        ({"name": "SparseAdam"}, "takes sparse gradients alone"),
        (
            {"options": {"beta": [0.9, 0.98]}},
            "Unknown AdamW option 'beta' in `optim.options`. Did you mean 'betas'",
        ),
        ({"options": {"lr": 0.1}}, "`optim.options.lr` must be left out; it is a key of its own. Write optim.lr."),
        ({"name": "sgd", "options": {"momentum": 0.1}}, "Write optim.momentum"),
        ({"options": {"betas": [2, 3]}}, r"arguments that AdamW can work with; got betas: \[2, 3\] \(Invalid beta"),
        ({"options": {"betas": 3}}, "arguments that AdamW can work with"),
        ({"name": "sgd", "options": {"dampening": 0.5}}, "can work with; got dampening: 0.5"),
        (
            {"name": "ftrl"},
            "Unknown optimizer 'ftrl' in `optim.name`. Choose from adadelta, adafactor, adagrad, adam, ",
        ),
        (
            {"options": {"dampening": 0.1}},
            "Unknown AdamW option 'dampening' in `optim.options`. Choose from betas, eps, amsgrad, ",
        ),
        (
            {"name": "rprop", "lr": "auto"},
            "`optim.lr` must be a number where no range test can tell rates apart; got auto and Rprop",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_one_sentence(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        validate_optimizer(OptimConfig(**keys))
    assert len(refused.value.problems) == 1 and "\n" not in str(refused.value)


def test_the_command_line_refuses_before_it_reads(tmp_path: Any) -> None:
    for key, value, sentence in (
        ("--optim.name", "adamx", "Unknown optimizer 'adamx' in `optim.name`. "),
        ("--optim.options", "{bets: 1}", "Unknown AdamW option 'bets' in `optim.options`. "),
        ("--optim.name", "LBFGS", "`optim.name` must be "),
    ):
        outcome = maskwright("train", "--data", data(), *TINY, key, value, "--out", tmp_path / "run")
        assert outcome.code == 2 and outcome.sentence.startswith(sentence) and not (tmp_path / "run").exists()


def test_keys_without_effect_are_noted() -> None:
    assert ignored_by_optimizer(OptimConfig()) == []
    assert ignored_by_optimizer(OptimConfig(name="sgd", momentum=0.5)) == []
    assert ignored_by_optimizer(OptimConfig(momentum=0.5)) == ["optim.momentum has no effect with AdamW"]
    (note,) = ignored_by_optimizer(OptimConfig(name="rmsprop", momentum=0.5))
    assert note.endswith("write optim.options.momentum")
    (note, rate) = ignored_by_optimizer(OptimConfig(name="rprop", weight_decay=0.5))
    assert note == "optim.weight_decay has no effect with Rprop" and "heeds the rate of its first step alone" in rate
    assert ignored_by_optimizer(OptimConfig(name="rprop", schedule="constant", warmup=0)) == []


def test_numbers_in_options_may_be_written_as_people_do() -> None:
    config = load_config(None, [("optim.options", "{betas: [0.9, 0.98], eps: 1e-8, amsgrad: true}", "--x")])
    assert config.optim.options == {"betas": [0.9, 0.98], "eps": 1e-8, "amsgrad": True}
    validate_optimizer(config.optim)


def test_a_run_tells_both_rates_in_its_history(tmp_path: Any) -> None:
    words = (
        "--epochs",
        2,
        "--optim.name",
        "NAdam",
        "--optim.options",
        "{betas: [0.8, 0.9]}",
        "--optim.encoder_scale",
        0.5,
    )
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--log", "[csv]", "--out", tmp_path / "run")
    assert outcome.code == 0
    header, first, *_ = (tmp_path / "run" / "history.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert float(row["encoder_lr"]) == pytest.approx(0.5 * float(row["lr"])) and float(row["lr"]) > 0
    assert f"  lr {float(row['lr']):.2g}  " in outcome.err  # the encoder's is not told for the rate
