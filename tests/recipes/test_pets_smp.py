"""Lightning and segmentation-models-pytorch on pets: each requirement of the document, held by the recipe run at its
smallest.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_lab import ROOT, module, said, whole

from maskwright.comparison.spec import read_matrix
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.config.models import SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import UsageError
from maskwright.losses import build_loss
from maskwright.models import build_model
from maskwright.runs import Run
from maskwright.training.module import SegmentationTraining
from maskwright.training.optim import build_optimizer
from maskwright.training.schedules import learning_rate_factor, resolve_schedule_keys
from support import maskwright

pytestmark = pytest.mark.xdist_group("pets-smp")
RECIPE = ROOT / "recipes" / "pets-smp"
SMALL = "tu-mobilenetv3_small_050"
PLAIN = ("--precision", "fp32", "--devices", "cpu")
BINARY = ClassMap(("background", "pet"), (0, 1))


told, done = functools.partial(said, "pets-smp"), functools.partial(whole, "pets-smp")


def runs(name: str) -> dict[str, Run]:
    """The runs of a comparison of the recipe, by their settings' names."""
    places = json.loads((done() / name / "plan.json").read_text())["cells"]
    return {place["name"]: Run.open(done() / name / place["run"]) for place in places}


def config(*words: str):
    """The recipe's configuration with flags over it."""
    return load_config(RECIPE / "train.yaml", parse_overrides(words))


def configs(name: str):
    return [cell.config for cell in read_matrix(RECIPE / f"{name}.yaml").cells]


def small(arch: str = "unet", encoder: str = SMALL):
    return build_model(SmpConfig(arch=arch, encoder=encoder, weights="none", outputs="sigmoid"), BINARY, 3)


# ---------------------------------------------------------------- from beginning to end


def test_the_recipe_runs_from_check_to_prediction():
    verbs = [line.split()[2] for line in (done(), told().out)[1].splitlines() if line.startswith("$ maskwright")]
    assert list(dict.fromkeys(verbs)) == [
        "data",
        "check",
        "train",
        "evaluate",
        "compare",
        "diagnose",
        "report",
        "predict",
    ]
    assert "all of it in" in told().out.splitlines()[-1]


def test_pets_are_segmented_from_the_background():
    data = runs("freezing")["freeze none"].data
    assert data["reader"] == "oxford-pet" and data["classes"]["names"] == ["background", "pet"]
    assert config().data.boundary == "foreground"


def test_report_and_masks_of_the_test_images_are_written():
    names = {Path(entry["image"]).stem for entry in runs("freezing")["freeze none"].data["splits"]["test"]}
    assert {path.stem for path in (done() / "predictions").glob("*.png")} == names
    (page,) = (done() / "freezing" / "cells").glob("*/report.html")
    assert page.stat().st_size > 10_000


def test_lightning_trains():
    import lightning.pytorch as pl  # ours before it: on a torch without CUDA it needs torchvision mended

    assert issubclass(SegmentationTraining, pl.LightningModule)
    kept = torch.load(runs("freezing")["freeze none"].checkpoints / "last.ckpt", map_location="cpu", weights_only=True)
    assert kept["pytorch-lightning_version"] == pl.__version__


# ---------------------------------------------------------------- any architecture, any encoder


def test_arch_and_encoder_are_flags():
    model = config("--arch", "FPN", "--encoder", "efficientnet-b0").model
    assert (model.arch.lower(), model.encoder, model.weights, model.outputs) == (
        "fpn",
        "efficientnet-b0",
        "imagenet",
        "sigmoid",
    )
    assert (config().model.arch, config().model.encoder) == ("unet", "resnet34")


def test_the_four_architectures_the_document_names_were_trained():
    made = {run.config.model.arch for run in runs("architectures").values()}
    assert made == {"unet", "linknet", "pspnet", "fpn"} == {one.model.arch for one in configs("architectures")}
    rows = json.loads((done() / "architectures" / "standings.json").read_text())["rows"]
    assert len(rows) == 4 and all(row["cost"]["parameters"] > 0 and 0 <= row["metrics"]["iou"] <= 1 for row in rows)


@pytest.mark.parametrize(
    ("arch", "encoder"), [("unetplusplus", "mobilenet_v2"), ("manet", "resnet18"), ("deeplabv3plus", SMALL)]
)
def test_others_of_smp_and_timm_can_be_named(arch, encoder):
    model = small(arch, encoder).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 40, 50, dtype=torch.uint8)).shape == (1, 2, 40, 50)
    assert all(
        any(True for part in model.part(name) for _ in part.parameters()) for name in ("encoder", "decoder", "head")
    )


@pytest.mark.parametrize("flags", [("--arch", "unett"), ("--encoder", "resnet35")])
def test_a_name_that_is_not_known_is_told_with_the_nearest(tmp_path, flags):
    outcome = maskwright(
        "train",
        RECIPE / "train.yaml",
        "--data",
        done() / "data",
        *flags,
        "--weights",
        "none",
        *PLAIN,
        "--out",
        tmp_path / "run",
    )
    assert outcome.code == 2 and "Did you mean" in outcome.sentence and not (tmp_path / "run").exists()


def test_pretrained_weights_are_the_default():
    assert config().model.weights == "imagenet"
    assert {one.model.weights for name in ("architectures", "freezing", "schedules") for one in configs(name)} == {
        "imagenet"
    }


# ---------------------------------------------------------------- flags, losses, optimisers


def test_every_flag_of_the_document_arrives():
    words = "--lr 3e-4 --batch-size 8 --wd 1e-5 --freeze-encoder --freeze-decoder --freeze-head"
    found = config(*words.split())
    assert (found.optim.lr, found.train.batch_size, found.optim.weight_decay) == (3e-4, 8, 1e-5)
    assert found.optim.freeze == ["encoder", "decoder", "head"]
    written = words.replace("-s", "_s").replace("freeze-", "freeze_").split()  # as the document writes them
    shown = maskwright("config", "show", RECIPE / "train.yaml", "--data", "pets", *written)
    assert shown.code in (0, None) and "batch_size: 8" in shown.out and "weight_decay: 1.0e-05" in shown.out, shown.err


@pytest.mark.parametrize(
    ("words", "frozen"),
    [("--freeze-encoder", ["encoder"]), ("--freeze-encoder true", ["encoder"]), ("--freeze-encoder=True", ["encoder"]),
     ("--freeze-encoder False", []), ("--freeze-encoder --freeze-head 1 --freeze-decoder 0", ["encoder", "head"])],
)  # fmt: skip
def test_freeze_flags_stand_alone_or_say_true_or_false(words, frozen):
    assert config(*words.split(), "--lr", "1e-3").optim.freeze == frozen


def test_a_freeze_flag_that_says_something_else_is_refused():
    with pytest.raises(
        UsageError, match="`--freeze-encoder` must stand alone or be followed by true or false; got 'maybe'"
    ):
        parse_overrides(["--freeze-encoder=maybe"])


def test_freezing_everything_is_refused_in_a_sentence(tmp_path):
    words = ("--freeze_encoder", "--freeze_decoder", "--freeze_head", "--weights", "none", "--encoder", SMALL, *PLAIN)
    outcome = maskwright("train", RECIPE / "train.yaml", "--data", done() / "data", *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and "something learns" in outcome.sentence and not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["bce", "dice", "focal"])
def test_the_losses_the_document_names(loss):
    logits, truth = torch.randn(2, 2, 8, 8, requires_grad=True), torch.randint(0, 2, (2, 8, 8))
    value = build_loss(config("--loss", loss).loss)(logits, truth)
    value.backward()
    assert torch.isfinite(value) and logits.grad is not None and logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "rmsprop"])
def test_the_optimisers_the_document_names(name):
    made = build_optimizer(small(), config("--optim.name", name, "--wd", "1e-4").optim)
    assert type(made).__name__.lower() == name


# ---------------------------------------------------------------- freezing


def test_each_combination_of_the_documents_advice_is_compared():
    made = [list(one.optim.freeze) for one in configs("freezing")]
    # all; decoder and head; encoder and head; head alone
    assert made == [[], ["encoder"], ["decoder"], ["encoder", "decoder"]]


def test_what_is_frozen_keeps_its_first_weights_and_statistics():
    """The cells have one seed, so frozen parts of two cells are equal to the bit, and parts that learn are not."""
    held = {name: load_file(run.weights) for name, run in runs("freezing").items()}
    no_one, encoder, decoder, both = (
        held[f"freeze {name}"] for name in ("none", "encoder", "decoder", "encoder, decoder")
    )

    def same(one, other, part):
        names = [name for name in one if name.startswith(f"net.{part}.")]
        assert names
        return all(torch.equal(one[name], other[name]) for name in names)

    assert same(encoder, both, "encoder") and not same(encoder, no_one, "encoder")
    assert same(decoder, both, "decoder") and not same(decoder, no_one, "decoder")
    assert not same(no_one, both, "segmentation_head")
    torch.manual_seed(runs("freezing")["freeze none"].config.train.seed)
    first = small().state_dict()
    assert all(torch.equal(first[name], both[name]) for name in first if name.startswith("net.encoder."))


def test_parameters_that_learn_and_seconds_an_epoch_stand_beside_the_scores():
    told_ = (done() / "freezing" / "what-freezing-does.md").read_text()
    script = module(RECIPE / "what_freezing_does.py", "what_freezing_does")
    rows = {row.name: row for row in script.rows_of(done() / "freezing")}
    model = small()
    size = {
        part: sum(p.numel() for one in model.part(part) for p in one.parameters())
        for part in ("encoder", "decoder", "head")
    }
    assert rows["freeze none"].learning == rows["freeze none"].parameters == sum(size.values())
    assert rows["freeze encoder"].learning == size["decoder"] + size["head"]
    assert rows["freeze decoder"].learning == size["encoder"] + size["head"]
    assert rows["freeze encoder, decoder"].learning == size["head"]
    for name, row in rows.items():
        assert row.seconds > 0 and 0 <= row.interval[0] <= row.test_iou <= row.interval[1] <= 1
        assert f"| {name} | {row.parameters:,} | {row.learning:,} (" in told_


def test_the_table_of_freezing_is_refused_where_there_is_no_comparison(tmp_path, capsys):
    script = module(RECIPE / "what_freezing_does.py", "what_freezing_does")
    assert script.main([str(tmp_path)]) == 2 and script.main([]) == 2
    told_ = capsys.readouterr().err
    assert "made by `maskwright compare`" in told_ and "Traceback" not in told_


def test_frozen_random_weights_are_noted():
    assert "optim.freeze holds encoder at random weights, as model.weights is none" in (done(), told().err)[1]


# ---------------------------------------------------------------- schedules


def rates(schedule: str, epochs: int = 12) -> list[float]:
    """The rate in each epoch, a little after its middle, as a share of --lr."""
    optim = next(one.optim for one in configs("schedules") if one.optim.schedule == schedule)
    changes, _ = resolve_schedule_keys(optim, epochs)
    settled = optim.model_copy(update={key.removeprefix("optim."): value for key, value in changes.items()})
    return [learning_rate_factor(10 * epoch + 6, 10 * epochs, settled, 10) for epoch in range(epochs)]


def test_the_schedules_the_document_tells_of_were_trained():
    names = {"constant", "step", "exponential", "cyclic", "cosine"}
    assert {one.optim.schedule for one in configs("schedules")} == names
    assert {run.config.optim.schedule for run in runs("schedules").values()} == names
    assert all("lr" in run.history[0] for run in runs("schedules").values())


def test_step_drops_by_a_fixed_factor_after_a_fixed_number_of_epochs():
    assert rates("step") == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 4)


def test_exponential_falls_by_the_same_factor_each_epoch():
    found = rates("exponential")
    shares = [after / before for before, after in itertools.pairwise(found)]
    assert shares == pytest.approx([shares[0]] * 11) and 0 < shares[0] < 1


def test_cyclic_goes_up_and_down():
    found = rates("cyclic", epochs=40)
    turns = sum((b - a) * (c - b) < 0 for a, b, c in zip(found, found[1:], found[2:], strict=False))
    assert turns >= 6 and max(found) <= 1 and min(found) >= 0.1


def test_cosine_falls_along_a_cosine():
    found = rates("cosine")
    assert found == sorted(found, reverse=True) and found[0] > 0.98 and found[-1] < 0.01
    assert (found[5] + found[6]) / 2 == pytest.approx(0.5, abs=0.05)


def test_a_schedule_may_follow_the_validation_loss():
    found = config("--optim.schedule", "plateau", "--train.monitor", "val_loss")
    assert (found.optim.schedule, found.train.monitor) == ("plateau", "val_loss")


# ---------------------------------------------------------------- the README


def test_every_test_the_readme_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (RECIPE / "README.md").read_text(encoding="utf-8")))
    files = [Path(__file__), ROOT / "tests" / "models" / "test_smp.py"]
    here = {
        name
        for file in files
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named <= here and len(named) > 15
