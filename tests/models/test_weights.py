"""What a network starts from: libraries' weights out of caches made here, files, own runs; told, recorded, and not
needed again.

The caches have the hub's own layout, and the weights in them are made by the test: all goes through the real loading
code.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from maskwright import runtime
from maskwright.config.models import SmpConfig, UnetConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import build_model
from maskwright.models.licences import licence_of
from maskwright.models.weights import bands_in_turn, own_weights
from maskwright.runs import Run
from support import TINY, data, finished, maskwright

TWO = ClassMap(("a", "b"), (0, 1))
FIVE = ClassMap(tuple("abcde"), tuple(range(5)))
MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]


def smp(**options: object) -> SmpConfig:
    return SmpConfig.model_validate({"encoder": "mobilenet_v2", **options})


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty hub cache, and no network: whatever isn't in the cache can't be had."""
    import huggingface_hub.constants as constants

    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return folder


def put(hub: Path, repository: str, revision: str, tensors: dict[str, torch.Tensor], settings: dict[str, Any]) -> Path:
    """A repository as the hub's cache keeps it."""
    root = hub / f"models--{repository.replace('/', '--')}"
    folder = root / "snapshots" / revision
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(revision)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def smp_hub(hub: Path, encoder: str = "mobilenet_v2", space: str = "RGB") -> dict[str, torch.Tensor]:
    """SMP's own mirror of an encoder, with weights of a seed."""
    runtime.ensure_torchvision()
    from segmentation_models_pytorch.encoders import encoders, get_encoder

    torch.manual_seed(3)
    tensors = get_encoder(encoder, weights=None).state_dict()
    entry = encoders[encoder]["pretrained_settings"]["imagenet"]
    put(
        hub,
        entry["repo_id"],
        entry["revision"],
        tensors,
        {"mean": MEAN, "std": STD, "input_range": [0, 1], "input_space": space},
    )
    return tensors


class TestFromTheHub:
    def test_the_encoder_is_the_file_s_and_sees_pixels_as_it_expects(self, hub: Path) -> None:
        tensors = smp_hub(hub)
        model = build_model(smp(weights="imagenet"), TWO)
        inside = model.net.get_submodule("encoder").state_dict()
        assert inside.keys() == tensors.keys()
        assert all(torch.equal(inside[name], tensors[name]) for name in tensors)
        expected = [(value / 255 - mean) / std for value, mean, std in zip([10, 20, 30], MEAN, STD, strict=True)]
        seen = model.normalise(torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1))
        assert seen.flatten().tolist() == pytest.approx(expected, abs=1e-6)

    def test_what_was_loaded_is_told(self, hub: Path) -> None:
        tensors = smp_hub(hub)
        loaded = build_model(smp(weights="imagenet"), TWO).loaded
        assert loaded is not None
        assert loaded.loaded == len(tensors) and loaded.skipped == ()
        assert loaded.fresh and all(name.startswith(("decoder.", "segmentation_head.")) for name in loaded.fresh)
        assert "imagenet of mobilenet_v2 (smp-hub/mobilenet_v2.imagenet)" in loaded.sentences()[0]
        assert "BSD-3-Clause" in loaded.licence

    def test_stages_that_pspnet_never_asks_are_told_as_skipped(self, hub: Path) -> None:
        tensors = smp_hub(hub)
        loaded = build_model(smp(arch="pspnet", weights="imagenet"), TWO).loaded
        assert loaded is not None and loaded.skipped
        assert loaded.loaded + len(loaded.skipped) == len(tensors)
        assert {name.removeprefix("encoder.") for name in loaded.skipped} < set(tensors)
        assert any(line == f"skipped, of no place here: encoder ({len(loaded.skipped)})" for line in loaded.sentences())

    @torch.no_grad()
    def test_weights_that_know_blue_first_give_the_same_on_red_first(self, hub: Path) -> None:
        tensors = smp_hub(hub, space="BGR")
        model = build_model(smp(weights="imagenet"), TWO).eval()
        first = next(name for name, value in tensors.items() if value.ndim == 4)
        pixels = image(1, 3, 64, 64)
        blue_first = pixels.flip(1).float() / 255
        theirs = (blue_first - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        one = torch.nn.functional.conv2d(theirs, tensors[first])
        ours = torch.nn.functional.conv2d(
            model.normalise(pixels), model.net.get_submodule("encoder").state_dict()[first]
        )
        assert torch.allclose(one, ours, atol=1e-5)

    def test_other_bands_take_the_three_in_turns(self, hub: Path) -> None:
        tensors = smp_hub(hub)
        model = build_model(smp(weights="imagenet"), TWO, num_channels=4)
        name, weight = next((name, value) for name, value in tensors.items() if value.ndim == 4)
        assert torch.allclose(model.net.get_submodule("encoder").state_dict()[name], bands_in_turn(weight, 4))
        assert model.loaded is not None and any(
            "3 bands in turns for the 4 here" in note for note in model.loaded.notes
        )
        assert model.mean.flatten().tolist() == pytest.approx([255 * 0.2] * 4)

    @pytest.mark.parametrize(
        "written",
        [("tu-test_resnet", "imagenet"), ("tu-test_resnet", "r160_in1k"), ("tu-test_resnet.r160_in1k", "imagenet")],
    )
    def test_timm_s_encoders_load_from_the_cache(self, hub: Path, written: tuple[str, str]) -> None:
        runtime.ensure_torchvision()
        import timm

        torch.manual_seed(4)
        classifier = timm.create_model("test_resnet")
        entry = classifier.pretrained_cfg
        put(hub, "timm/test_resnet.r160_in1k", "0" * 40, classifier.state_dict(), {"architecture": "test_resnet"})
        model = build_model(smp(encoder=written[0], weights=written[1]), TWO)
        theirs = list(classifier.state_dict().values())
        for name, value in model.net.get_submodule("encoder.model").state_dict().items():
            assert any(value.shape == one.shape and torch.equal(value, one) for one in theirs), name
        assert model.loaded is not None and model.loaded.licence == entry["license"] == "apache-2.0"
        assert model.mean.flatten().tolist() == pytest.approx([255 * value for value in entry["mean"]])

    @pytest.mark.parametrize(
        ("encoder", "files", "folder"),
        [
            ("mobilenet_v2", "config.json and model.safetensors", "smp-hub/mobilenet_v2.imagenet"),
            ("tu-test_resnet", "model.safetensors", "timm/test_resnet.r160_in1k"),
        ],
    )
    def test_out_of_reach_names_the_file_the_place_and_the_way_out(
        self, hub: Path, encoder: str, files: str, folder: str
    ) -> None:
        with pytest.raises(ModelError) as refused:
            build_model(smp(encoder=encoder, weights="imagenet"), TWO)
        told = str(refused.value)
        assert len(told.splitlines()) == 1
        assert f"Wanted: {files} of huggingface.co/{folder}." in told
        assert f"models--{folder.replace('/', '--')} of a machine that has it into {hub}" in told
        assert "weights: none" in told

    def test_a_spoilt_cache_is_one_sentence(self, hub: Path) -> None:
        smp_hub(hub)
        for path in hub.rglob("model.safetensors"):
            path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(ModelError, match=r"`model\.weights` must be at hand") as refused:
            build_model(smp(weights="imagenet"), TWO)
        assert len(str(refused.value).splitlines()) == 1


def test_training_needs_the_hub_once(hub: Path, tmp_path: Path) -> None:
    """Told in the plan, recorded in the run; resuming from nothing, predicting and evaluating fetch nothing."""
    tensors = smp_hub(hub)
    run = tmp_path / "run"
    words = ("--data", data(), "--model", "unet/mobilenet_v2", "--size", "32", "--batch-size", "4", "--precision",
             "fp32", "--devices", "cpu", "--train.repeats", "1", "--lr", "0.001", "--epochs", "1")  # fmt: skip
    outcome = maskwright("train", *words, "--out", run, "--verbose")
    assert outcome.code == 0, outcome.err
    assert (
        f"start   weights imagenet of mobilenet_v2 (smp-hub/mobilenet_v2.imagenet); {len(tensors)} tensors loaded, 0 "
        "skipped" in outcome.err
    )
    told = Run.open(run).environment["weights"]
    assert told["loaded"] == len(tensors) and "BSD-3-Clause" in told["licence"]
    pixels = Run.open(run).config.model.model_dump()["pixels"]
    assert pixels["mean"] == pytest.approx([255 * value for value in MEAN])
    assert "model.pixels was auto: as weights imagenet" in (run / "config.yaml").read_text()
    assert not (run / "checkpoints" / "start.safetensors").exists()
    weights = load_file(run / "model.safetensors")
    # killed before its first checkpoint: what it started from is there
    shutil.rmtree(hub)
    shutil.copytree(run, tmp_path / "killed")
    killed = Run.open(tmp_path / "killed")
    killed.weights.unlink()
    for left in killed.checkpoints.iterdir():
        left.unlink()
    outcome = maskwright("train", "--resume", killed.root)
    assert outcome.code == 2 and "first weights" in outcome.sentence
    assert maskwright("evaluate", run, "--split", "val", "--json").code == 0
    assert maskwright("report", run, "--split", "val").code == 0
    page = (run / "report.html").read_text()
    assert "Started from" in page and "smp-hub/mobilenet_v2.imagenet); licence BSD-3-Clause" in page
    assert maskwright("predict", run, *sorted((data() / "images").iterdir())[:1], "--out", tmp_path / "out").code == 0
    assert weights.keys() == load_file(run / "model.safetensors").keys()


def test_a_run_killed_before_its_first_checkpoint_starts_again_without_the_hub(hub: Path, tmp_path: Path) -> None:
    from maskwright.config.files import load_config
    from maskwright.training import fit

    smp_hub(hub)
    keys = {"data.root": str(data()), "model": "unet/mobilenet_v2", "data.size": 32, "train.batch_size": 4,
            "train.epochs": 1, "train.precision": "fp32", "train.devices": "cpu", "train.repeats": 1}  # fmt: skip
    config = load_config(None, [(key, value, "test") for key, value in keys.items()])

    class Killed(Exception):
        pass

    def kill(_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        fit.train(config, tmp_path / "run", on_plan=kill)
    assert (tmp_path / "run" / "checkpoints" / "start.safetensors").is_file()
    whole = fit.train(config, tmp_path / "whole").run
    shutil.rmtree(hub)
    resumed = fit.resume(tmp_path / "run").run
    mine, theirs = load_file(resumed.weights), load_file(whole.weights)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert not (resumed.checkpoints / "start.safetensors").exists()


class TestFromFilesAndRuns:
    def test_one_s_own_run_is_taken_whole(self) -> None:
        run = Run.open(finished())
        from maskwright.data.record import class_map

        model = build_model(run.config.model.model_copy(update={"weights": str(run.root)}), class_map(run.data))
        theirs = load_file(run.weights)
        assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
        loaded = model.loaded
        assert loaded is not None
        assert (loaded.loaded, loaded.skipped, loaded.fresh, loaded.adapted) == (len(theirs), (), (), ())
        assert loaded.source == f"run {run.root}" and loaded.licence.startswith("yours")

    @pytest.mark.parametrize("classes", [TWO, FIVE], ids=["other names", "other number"])
    def test_other_classes_get_a_new_head(self, classes: ClassMap) -> None:
        run = Run.open(finished())
        torch.manual_seed(5)
        fresh = build_model(run.config.model, classes).state_dict()
        torch.manual_seed(5)
        model = build_model(run.config.model.model_copy(update={"weights": str(run.root)}), classes)
        loaded, theirs = model.loaded, load_file(run.weights)
        assert loaded is not None
        assert set(loaded.fresh) == set(loaded.skipped) == {"net.head.weight", "net.head.bias"}
        assert "a new head" in loaded.notes[0] and "background" in loaded.notes[0]
        for name, value in model.state_dict().items():
            assert torch.equal(value, fresh[name] if name.startswith("net.head") else theirs[name]), name

    def test_other_bands_are_taken_in_turns_and_told(self) -> None:
        run = Run.open(finished())
        model = build_model(
            run.config.model.model_copy(update={"weights": str(run.root), "pixels": "auto"}), TWO, num_channels=5
        )
        first = "net.encoder.0.0.weight"
        theirs = load_file(run.weights)[first]
        assert torch.allclose(model.state_dict()[first], theirs[:, [0, 1, 2, 0, 1]] * 0.6)
        assert model.loaded is not None
        assert model.loaded.adapted == (f"{first}: 3 bands there, 5 here, taken in turns and scaled",)

    def test_another_network_is_refused_with_what_it_was(self, tmp_path: Path) -> None:
        run = Run.open(finished())
        with pytest.raises(
            ModelError, match=r"net\.encoder\.0\.0\.weight is 2×3×3×3.*trained as name unet.*width 2"
        ) as refused:
            build_model(UnetConfig(width=4, depth=2, weights=str(run.root)), TWO)
        assert len(str(refused.value).splitlines()) == 1
        with pytest.raises(ModelError, match=r"of the encoder's \d+ tensors are found; it was trained as name unet"):
            build_model(smp(weights=str(run.root)), TWO)

    @pytest.mark.parametrize("form", ["plain", "wrapped", "lightning", "parallel", "whole run"])
    def test_prefixes_and_wrappings_of_others_are_seen_through(self, tmp_path: Path, form: str) -> None:
        torch.manual_seed(6)
        net = build_model(smp(weights="none"), TWO).net
        plain = net.state_dict()
        path = tmp_path / "weights.pt"
        tree: Any = {
            "plain": plain,
            "wrapped": {"epoch": 3, "model_state_dict": plain},
            "lightning": {"state_dict": {f"model.{name}": value for name, value in plain.items()}, "epoch": 1},
            "parallel": {f"module.{name}": value for name, value in plain.items()},
            "whole run": {f"net.{name}": value for name, value in plain.items()},
        }[form]
        torch.save(tree, path)
        model = build_model(smp(weights=str(path)), TWO)
        assert all(torch.equal(value, plain[name]) for name, value in model.net.state_dict().items())
        assert model.loaded is not None and model.loaded.licence.startswith("unknown")

    def test_an_encoder_alone_fills_the_encoder(self, tmp_path: Path) -> None:
        """A classifier of torchvision: its features are the encoder's, its classifier has no place."""
        runtime.ensure_torchvision()
        import torchvision

        torch.manual_seed(7)
        theirs = torchvision.models.resnet18(weights=None).state_dict()
        save_file(theirs, tmp_path / "resnet18.safetensors")
        model = build_model(smp(encoder="resnet18", weights=str(tmp_path / "resnet18.safetensors")), TWO)
        inside = model.net.get_submodule("encoder").state_dict()
        assert inside and all(torch.equal(value, theirs[name]) for name, value in inside.items())
        assert model.loaded is not None
        assert set(model.loaded.skipped) == {"fc.weight", "fc.bias"}
        assert {name.split(".")[1] for name in model.loaded.fresh} == {"decoder", "segmentation_head"}

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("cut.safetensors", b"\x08\0\0\0\0\0\0\0{}", "a whole weights file"),
            ("text.pt", b"no weights at all", "a whole file of tensors alone"),
            ("none.safetensors", None, "which is not there"),
        ],
    )
    def test_spoilt_files_are_one_sentence(self, tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content[:9] if name.startswith("cut") else content)
        with pytest.raises(ModelError, match=words) as refused:
            build_model(UnetConfig(width=2, depth=1, weights=str(tmp_path / name)), TWO)
        assert len(str(refused.value).splitlines()) == 1

    @pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:.*uantized", "ignore:TypedStorage")
    @pytest.mark.parametrize("kind", ["sparse", "quantised", "complex", "empty"])
    def test_tensors_that_are_no_plain_numbers_are_told(self, kind: str, tmp_path: Path) -> None:
        state = build_model(UnetConfig(width=2, depth=1), TWO).state_dict()
        name, kernel = next((name, value) for name, value in state.items() if value.ndim == 4)
        kinds: dict[str, Callable[[], torch.Tensor]] = {
            "sparse": kernel.to_sparse, "quantised": lambda: torch.quantize_per_tensor(kernel, 0.1, 0, torch.qint8),
            "complex": lambda: kernel.to(torch.complex64), "empty": lambda: kernel.to("meta"),
        }  # fmt: skip
        torch.save({**state, name: kinds[kind]()}, tmp_path / "odd.pt")
        with pytest.raises(ModelError, match="must be a file of plain tensors"):
            build_model(UnetConfig(width=2, depth=1, weights=str(tmp_path / "odd.pt")), TWO)

    def test_pickled_objects_are_never_run(self, tmp_path: Path) -> None:
        torch.save(build_model(UnetConfig(width=2, depth=1), TWO), tmp_path / "object.pt")
        with pytest.raises(ModelError, match=r"tensors alone.*state_dict"):
            build_model(UnetConfig(width=2, depth=1, weights=str(tmp_path / "object.pt")), TWO)

    def test_a_name_unet_has_no_weights_by_is_told(self) -> None:
        with pytest.raises(
            ModelError, match=r"`model\.weights` must be none, a weights file or a run folder for unet; got 'imagenet'"
        ):
            build_model(UnetConfig(width=2, depth=1, weights="imagenet"), TWO)

    def test_an_unfinished_run_says_how_to_finish(self, tmp_path: Path) -> None:
        shutil.copytree(finished(), tmp_path / "run")
        (tmp_path / "run" / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"a finished run.*--resume"):
            build_model(UnetConfig(width=2, depth=2, weights=str(tmp_path / "run")), TWO)

    def test_the_command_line_starts_from_a_run(self, tmp_path: Path) -> None:
        out = tmp_path / "second"
        outcome = maskwright("train", "--data", data(), *TINY, "--epochs", "1", "--weights", finished(), "--out", out)
        assert outcome.code == 0, outcome.err
        assert f"from run {finished()}" in outcome.err
        assert Run.open(out).config.model.model_dump()["weights"] == str(finished())
        outcome = maskwright(
            "train", "--data", data(), *TINY, "--weights", tmp_path / "nothing.pt", "--out", tmp_path / "third"
        )
        assert outcome.code == 2 and "nothing.pt" in outcome.sentence
        assert not (tmp_path / "third").exists()

    def test_normalisation_comes_with_the_run(self, hub: Path, tmp_path: Path) -> None:
        smp_hub(hub)
        first = tmp_path / "first"
        words = ("--data", data(), "--model", "unet/mobilenet_v2", "--size", "32", "--batch-size", "4", "--precision",
                 "fp32", "--devices", "cpu", "--train.repeats", "1", "--epochs", "1")  # fmt: skip
        assert maskwright("train", *words, "--out", first).code == 0
        model = build_model(smp(weights=str(first)), TWO)
        assert model.mean.flatten().tolist() == pytest.approx([255 * value for value in MEAN])
        assert model.loaded is not None and "BSD-3-Clause" in model.loaded.licence


def test_a_first_convolution_keeps_its_sums() -> None:
    weight = torch.arange(12.0).view(2, 3, 1, 2)
    assert torch.equal(bands_in_turn(weight, 1), weight.sum(dim=1, keepdim=True))
    assert torch.equal(bands_in_turn(weight, 6), torch.cat([weight, weight], dim=1) / 2)
    assert torch.equal(bands_in_turn(weight, 2), weight[:, :2] * 1.5)


def test_names_of_sets_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    assert [own_weights(name) for name in ("none", "imagenet", "noisy-student", "nvidia/mit-b0")] == [None] * 4
    assert own_weights("x.pt") == Path("x.pt")


@pytest.mark.parametrize(
    ("encoder", "weights", "timm_name"),
    [
        ("resnet18", "imagenet", "resnet18.tv_in1k"),
        ("vgg11", "imagenet", "vgg11.tv_in1k"),
        ("resnet18", "ssl", "resnet18.fb_ssl_yfcc100m_ft_in1k"),
        ("resnet18", "swsl", "resnet18.fb_swsl_ig1b_ft_in1k"),
        ("resnext101_32x8d", "instagram", "resnext101_32x8d.fb_wsl_ig1b_ft_in1k"),
        ("timm-efficientnet-b0", "advprop", "tf_efficientnet_b0.ap_in1k"),
        ("timm-skresnet18", "imagenet", "skresnet18.ra_in1k"),
    ],
)
def test_licences_are_those_timm_tells_of_the_same_weights(encoder: str, weights: str, timm_name: str) -> None:
    runtime.ensure_torchvision()
    import timm

    entry = timm.models.get_pretrained_cfg(timm_name)
    assert entry is not None and entry.license
    assert licence_of(encoder, weights).lower().startswith(entry.license)


def test_a_licence_nobody_names_is_unknown() -> None:
    assert licence_of("xception", "imagenet").startswith("unknown")
    assert "non-commercial" in licence_of("mit_b0", "imagenet")


_IMPORTS = """
import sys
from maskwright.config.files import load_config
from maskwright.data.dataset import ClassMap
from maskwright.models import build_model
for model in sys.argv[1:]:
    keys = {"model": model, "model.weights": "none"} | ({"model.width": 8} if model == "unet" else {})
    config = load_config(None, [(key, value, "test") for key, value in keys.items()])
    build_model(config.model, ClassMap(("a", "b"), (0, 1)))
heavy = ("segmentation_models_pytorch", "timm", "torchvision", "transformers", "lightning")
print(*(name for name in heavy if name in sys.modules))
"""


@pytest.mark.parametrize(
    ("models", "wanted"),
    [
        (("unet", "resnet34_unet"), set()),
        pytest.param(("torchvision",), {"torchvision"}, marks=pytest.mark.slow),
        pytest.param(
            ("unet/resnet18",), {"segmentation_models_pytorch", "timm", "torchvision"}, marks=pytest.mark.slow
        ),
    ],
)
def test_no_library_is_imported_that_the_model_does_not_need(models: tuple[str, ...], wanted: set[str]) -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTS, *models], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == wanted
