"""Frozen parts: their weights and statistics stand still, in training, in settling and in the average; thawing;
resume.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_resume import assert_same, kill, resumed
from torch import nn

import maskwright as mw
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.models import HfConfig, SmpConfig, TorchvisionConfig, UnetConfig
from maskwright.config.optim import OptimConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ConfigError
from maskwright.models import Segmenter, build_model
from maskwright.training.average import update_bn_stats
from maskwright.training.freeze import ALWAYS, Freezer, frozen_until, notes, random_parts, validate_freeze
from support import TINY, data, maskwright, rows

pytestmark = pytest.mark.xdist_group("resume")

BINARY = ClassMap(("background", "foreground"), (0, 255))
PARTS = {"encoder": ("net.encoder.",), "decoder": ("net.decoder.", "net.ups."), "head": ("net.head.",)}


def network() -> Segmenter:
    torch.manual_seed(0)
    return build_model(UnetConfig(width=2, depth=2), BINARY).train()


def named(tree: Any, part: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in tree.items() if name.startswith(PARTS[part])}


def learning(model: Segmenter) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


# ------------------------------------------------------------------ what is frozen when


@pytest.mark.parametrize(
    ("written", "until"),
    [
        ("[encoder]", {"encoder": ALWAYS}),
        ("encoder", {"encoder": ALWAYS}),
        ("[encoder, head, encoder]", {"encoder": ALWAYS, "head": ALWAYS}),
        ("{encoder: 5}", {"encoder": 5}),
        ("{encoder: 5 epochs, head: 1 epoch}", {"encoder": 5, "head": 1}),
        ("{encoder: always, decoder: 2}", {"encoder": ALWAYS, "decoder": 2}),
        ("{encoder: always, decoder: never}", {"encoder": ALWAYS}),
        ("{head: never}", {}),
        ("[]", {}),
    ],
)
def test_how_it_is_written(written: str, until: dict[str, int]) -> None:
    config = load_config(None, [("optim.freeze", written, "--optim.freeze")])
    assert frozen_until(config.optim) == until
    assert frozen_until(config.replace({"train.epochs": 3}).optim) == until


@pytest.mark.parametrize(
    "written", ["{encoder: 0}", "{encoder: soon}", "{encodr: 5}", "{encoder: 1.5}", "[5]", "{encoder: 5 days}"]
)
def test_what_it_cannot_be_is_one_sentence(written: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(None, [("optim.freeze", written, "--optim.freeze")])
    assert len(refused.value.problems) == 1
    assert "encoder, decoder or head" in str(
        refused.value
    ) or "epoch to thaw after (5, or 5 epochs), always or never" in str(refused.value)


def test_flags_join_what_is_named_by_dots() -> None:
    outcome = maskwright("config", "show", "--freeze_encoder", "--optim.freeze.head", 5, "--json")
    assert outcome.json["optim"]["freeze"] == {"encoder": "always", "head": 5}


@pytest.mark.parametrize(
    ("written", "words", "freeze"),
    [
        ("[encoder]", ["--freeze-head"], ["encoder", "head"]),  # a flag adds to the file, it doesn't take its place
        ("encoder", ["--freeze-head"], ["encoder", "head"]),
        ("[encoder]", ["--freeze-encoder", "false"], []),
        ("{encoder: 5 epochs, head: always}", ["--freeze-encoder=false"], ["head"]),
        ("{encoder: 5 epochs}", ["--freeze-encoder"], ["encoder"]),
        ("{encoder: 5 epochs}", ["--freeze-head"], {"encoder": 5, "head": "always"}),
        ("[encoder]", ["--optim.freeze", "[decoder]", "--freeze-head"], ["decoder", "head"]),
    ],
)
def test_flags_and_the_file_are_of_one_mind(tmp_path: Path, written: str, words: list[str], freeze: object) -> None:
    (tmp_path / "my.yaml").write_text(f"optim: {{freeze: {written}}}\n")
    assert maskwright("config", "show", tmp_path / "my.yaml", *words, "--json").json["optim"]["freeze"] == freeze


@pytest.mark.parametrize("part", PARTS)
def test_gradients_reach_what_is_not_frozen_and_nothing_else(part: str) -> None:
    model = network()
    Freezer(model, OptimConfig(freeze=[part])).at(0)
    model(torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)).square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith(PARTS[part]):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_parts_thaw_one_after_the_other() -> None:
    model = network()
    everything = learning(model)
    freezer = Freezer(model, OptimConfig(freeze={"encoder": 2, "decoder": 1, "head": "always"}))
    for epoch, frozen in (
        (0, ("encoder", "decoder", "head")),
        (1, ("encoder", "head")),
        (2, ("head",)),
        (99, ("head",)),
    ):
        freezer.at(epoch)
        held = {name for part in frozen for name in named(dict(model.named_parameters()), part)}
        assert learning(model) == everything - held
        assert {name for name, module in model.named_modules() if not module.training} == {
            name for name, module in model.named_modules() if any(f"{name}.".startswith(PARTS[part]) for part in frozen)
        }
    freezer.at(0)  # as a resume before the thaw does
    assert learning(model) == set()


def test_a_thaw_does_not_wake_what_the_network_holds_still() -> None:
    model = network()
    fixed = next(iter(model.part("encoder")[0].parameters())).requires_grad_(False)
    freezer = Freezer(model, OptimConfig(freeze={"encoder": 1}))
    freezer.at(0)
    freezer.at(1)
    assert not fixed.requires_grad and len(learning(model)) == len(list(model.parameters())) - 1


# ------------------------------------------------------------------ in training


def history_of(
    tmp_path: Path, *words: object
) -> tuple[mw.TrainedRun, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--log", "[csv]", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    run = mw.load_run(tmp_path / "run")
    torch.manual_seed(run.config.train.seed)
    start = build_model(run.config.model, BINARY).state_dict()
    last = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    return run, start, {name.removeprefix("model."): value for name, value in last.items() if name.startswith("model.")}


@pytest.mark.parametrize("average", ["ema", "none"])
@pytest.mark.parametrize("part", PARTS)
def test_weights_and_statistics_of_a_frozen_part_stand_still(tmp_path: Path, part: str, average: str) -> None:
    """In what is trained on, and in the averaged, settled weights that are used."""
    run, start, last = history_of(tmp_path, "--epochs", 2, f"--freeze-{part}", "--train.average", average)
    used = load_file(run.weights)
    assert any("running_mean" in name for name in start)
    for name, value in start.items():
        if name.startswith(PARTS[part]):
            assert torch.equal(value, last[name]) and torch.equal(value, used[name]), name
        elif name.endswith(("weight", "running_mean")):
            assert not torch.equal(value, last[name]), name


def test_settling_leaves_norms_without_weights_alone_too() -> None:
    """Such a norm has no parameter that could say that it is frozen."""
    norm = nn.BatchNorm2d(3, affine=False)
    batches = [torch.full((2, 3, 4, 4), 5.0)]
    update_bn_stats(norm, batches, still={norm})
    assert torch.equal(norm.running_mean, torch.zeros(3)) and norm.num_batches_tracked == 0
    update_bn_stats(norm, batches)
    assert torch.equal(norm.running_mean, torch.full((3,), 5.0))


def test_a_thawed_part_learns_from_its_epoch_on(tmp_path: Path) -> None:
    """Thawed for the last of three epochs; until then as if it were frozen for good."""
    words = ("--train.average", "none", "--optim.schedule", "constant", "--train.grow", 0)
    _, start, before = history_of(tmp_path / "two", "--epochs", 2, "--optim.freeze", "{encoder: 2}", *words)
    assert all(torch.equal(value, start[name]) for name, value in named(before, "encoder").items())
    run, _, after = history_of(tmp_path / "three", "--epochs", 3, "--optim.freeze", "{encoder: 2}", *words)
    moved = [name for name, value in named(after, "encoder").items() if not torch.equal(value, start[name])]
    assert moved == list(named(after, "encoder"))  # weights and statistics
    state = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["optimizer_states"][0]
    steps = sorted({int(one["step"]) for one in state["state"].values() if "step" in one})
    assert steps == [2, 6]  # two steps an epoch: the encoder's own state begins at the thaw
    assert len(state["state"]) == len(list(build_model(run.config.model, BINARY).parameters()))


def command(out: Path) -> list[object]:
    words = ("--train.repeats", 8, "--epochs", 12, "--train.accumulate", 2, "--optim.encoder_scale", 0.5)
    return ["train", "--data", data(), *TINY, *words, "--optim.freeze", "{encoder: 6, head: 3 epochs}", "--out", out]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("thawing") / "whole"
    assert maskwright(*command(out)).code == 0
    return out


@pytest.mark.parametrize("killed_at", [(2,), (5, 6), (7, 9)], ids=["before the thaw", "around it", "after it"])
def test_a_run_killed_near_a_thaw_goes_on_to_the_same_bits(
    tmp_path: Path, whole: Path, killed_at: tuple[int, ...]
) -> None:
    run, words = tmp_path / "run", command(tmp_path / "run")
    for row in killed_at:
        kill(run, lambda row=row: rows(run) >= row, random.Random(row).uniform(0, 0.05), *words)
        words = ["train", "--resume", run]
    assert_same(resumed(run), whole)


# ------------------------------------------------------------------ what is refused, and what is noted


def test_everything_frozen_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for words in (
        ("--freeze-encoder", "--freeze-decoder", "--freeze-head"),
        ("--optim.freeze", "{encoder: 2, decoder: 2, head: 2}"),
    ):
        outcome = maskwright("train", "--data", data(), *TINY, *words, "--out", tmp_path / "run")
        assert outcome.code == 2 and not (tmp_path / "run").exists()
        assert outcome.sentence.startswith(
            "`optim.freeze` must be such that something learns from the start; got encoder, decoder"
        )


def test_a_part_without_weights_is_refused() -> None:
    model = network()
    model.net.parts = {**model.net.parts, "decoder": []}
    with pytest.raises(
        ConfigError, match=r"`optim.freeze` must be about a part with weights; got decoder, and .* encoder and head"
    ):
        validate_freeze(model, OptimConfig(freeze=["decoder"]))
    validate_freeze(model, OptimConfig(freeze=["encoder"], encoder_scale=0.5))


@pytest.mark.parametrize(
    ("model", "random"),
    [
        (UnetConfig(), {"encoder", "decoder", "head"}),
        (SmpConfig(weights="none"), {"encoder", "decoder", "head"}),
        (SmpConfig(weights="imagenet"), {"decoder", "head"}),
        (UnetConfig(weights="mine.safetensors"), set()),
        (TorchvisionConfig(), {"head"}),
        (TorchvisionConfig(weights="imagenet-backbone"), {"decoder", "head"}),
        (HfConfig(weights="nvidia/segformer-b0-finetuned-ade-512-512"), {"head"}),
        (HfConfig(), {"encoder", "decoder", "head"}),
    ],
)
def test_which_parts_begin_at_random(model: Any, random: set[str]) -> None:
    assert random_parts(Config(model=model)) == random


def test_what_a_person_who_freezes_is_told() -> None:
    def told(**optim: Any) -> list[str]:
        return notes(Config(model=SmpConfig(), optim=OptimConfig(**optim)).replace({"train.epochs": 4}))

    assert told() == told(freeze=["encoder"]) == told(freeze={"encoder": 3}) == []
    assert told(freeze=["decoder"]) == ["optim.freeze holds decoder at random weights, as model.weights is imagenet"]
    assert told(freeze={"encoder": 4}) == ["optim.freeze encoder: 4 epochs: it never thaws, training has 4"]
    once = Config(model=SmpConfig(), optim=OptimConfig(freeze={"encoder": 1})).replace({"train.epochs": 1})
    assert notes(once) == ["optim.freeze encoder: 1 epoch: it never thaws, training has 1"]
    assert told(freeze=["encoder"], encoder_scale=0.1) == ["optim.encoder_scale has no effect: the encoder is frozen"]
    assert told(freeze={"encoder": 2}, encoder_scale=0.1) == []


def test_a_plan_refuses_what_training_refuses() -> None:
    outcome = maskwright(
        "train", "--data", data(), *TINY, "--epochs", 1, "--optim.freeze", "[encoder, decoder, head]", "--plan"
    )
    assert outcome.code == 2 and "`optim.freeze` must be such that something learns from the start" in outcome.sentence
