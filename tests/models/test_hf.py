"""SegFormer and Mask2Former: transformers' own answers, weights from folders, and one sentence for all else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from resuming import resumed_like_uninterrupted
from torch.nn import functional

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.models import HfConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ConfigError, ModelError, install_command
from maskwright.models import Segmenter, build_model, hf
from maskwright.models.wrapper import MEAN, STD

runtime.ensure_torchvision()

THREE = ClassMap(("a", "b", "c"), (0, 1, 2))
# networks of the same make, so small that a test takes no time; the sizes people name are counted on paper below
SMALL_SEGFORMER = {"hidden_sizes": (8, 16, 20, 16), "depths": (1, 1, 1, 1), "decoder_hidden_size": 16}
FULL_B0 = hf.SEGFORMER["b0"]
SMALL_SWIN = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2), "window_size": 4}
SMALL_MASK2FORMER = {
    "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16, "dim_feedforward": 16,
    "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 6,
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers behind the names b0 and tiny are replaced by smaller ones."""
    monkeypatch.setitem(hf.SEGFORMER, "b0", SMALL_SEGFORMER)
    monkeypatch.setitem(hf.SWIN, "tiny", SMALL_SWIN)
    for key, value in SMALL_MASK2FORMER.items():
        monkeypatch.setitem(hf.MASK2FORMER, key, value)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub is told to stay offline, and its cache is an empty folder."""
    import huggingface_hub.constants as hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))


def wish(arch: str, **keys: Any) -> HfConfig:
    return HfConfig.model_validate({"arch": arch, **keys})


def built(arch: str, classes: ClassMap = THREE, num_channels: int = 3, **keys: Any) -> Segmenter:
    torch.manual_seed(0)
    return build_model(wish(arch, **keys), classes, num_channels)


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def saved(arch: str, folder: Path, num_labels: int = 7, **changes: Any) -> Any:
    """A folder as save_pretrained makes it; returns the network in it."""
    torch.manual_seed(5)
    config = hf._settings(wish(arch), 3, num_labels)
    for key, value in changes.items():
        setattr(config, key, value)
    net = hf._classes(wish(arch))[1](config)
    net.save_pretrained(folder)
    return net


BOTH = pytest.mark.parametrize("arch", ["segformer", "mask2former"])


@BOTH
class TestNetwork:
    @pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47), (64, 32)])
    @pytest.mark.parametrize("num_channels", [1, 3, 5])
    @torch.no_grad()
    def test_any_size_and_number_of_bands(self, arch: str, num_channels: int, height: int, width: int) -> None:
        logits = built(arch, THREE, num_channels).eval()(images(2, num_channels, height, width))
        assert logits.shape == (2, 3, height, width) and torch.isfinite(logits).all()

    def test_parts_hold_every_parameter_once(self, arch: str) -> None:
        net = built(arch).net
        inside = [id(p) for modules in net.parts.values() for module in modules for p in module.parameters()]
        assert len(inside) == len(set(inside)) and set(inside) == {id(p) for p in net.parameters()}

    @pytest.mark.parametrize("frozen", [None, "encoder", "decoder", "head"])
    def test_gradients_reach_all_that_is_not_frozen_and_nothing_else(self, arch: str, frozen: str | None) -> None:
        model = built(arch).train()
        for module in model.part(frozen) if frozen else []:
            module.requires_grad_(False)
        model(images(2, 3, 64, 64)).pow(2).mean().backward()
        still = {id(p) for module in (model.part(frozen) if frozen else []) for p in module.parameters()}
        for label, parameter in model.named_parameters():
            assert (parameter.grad is None) == (id(parameter) in still), label
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), label

    def test_bf16_is_close_to_fp32_and_can_be_learned_in(self, arch: str) -> None:
        model = built(arch).eval()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images(1, 3, 64, 64))
        assert logits.dtype == torch.float32
        assert (logits.softmax(dim=1) - model(images(1, 3, 64, 64)).softmax(dim=1)).abs().max() < 0.05
        logits.pow(2).mean().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)

    def test_pixels_are_normalised_as_transformers_does(self, arch: str) -> None:
        import transformers

        name = {"segformer": "SegformerImageProcessor", "mask2former": "Mask2FormerImageProcessor"}[arch]
        processor = getattr(transformers, name)()
        assert [255 * value for value in processor.image_mean] == pytest.approx(MEAN)
        assert [255 * value for value in processor.image_std] == pytest.approx(STD)

    def test_it_learns_with_our_losses(self, arch: str) -> None:
        """Steps on one image, each half of one class; at higher rates Mask2Former stays with one map for all."""
        from maskwright.losses import build_loss

        model, loss = built(arch).train(), build_loss("auto")
        image = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        image[..., 16:] = 255
        masks = torch.zeros(2, 32, 32, dtype=torch.uint8)
        masks[..., 16:] = 2
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        seen = []
        for _ in range(100):
            value = loss(model(image), masks)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            seen.append(value.item())
        assert seen[-1] < 0.5 * seen[0]


@torch.no_grad()
def test_segformers_logits_are_transformers_enlarged() -> None:
    model = built("segformer").eval()
    x = model.normalise(images(2, 3, 64, 96))
    quarter = model.net.model(pixel_values=x).logits
    assert quarter.shape == (2, 3, 16, 24)
    expected = functional.interpolate(quarter, size=(64, 96), mode="bilinear", align_corners=False)
    assert torch.equal(model(images(2, 3, 64, 96)), expected)


@torch.no_grad()
def test_mask2formers_map_is_the_one_transformers_makes_of_its_queries() -> None:
    """transformers' processor brings masks to 384 × 384 first, as the size of our input then is."""
    from transformers import Mask2FormerImageProcessor

    generator = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(2, 6, 4, generator=generator), 4 * torch.randn(2, 6, 24, 24, generator=generator)
    outputs = SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)
    expected = torch.stack(Mask2FormerImageProcessor().post_process_semantic_segmentation(outputs))
    found = hf.semantic_logits(classes, masks, (384, 384))
    assert len(expected.unique()) == 3
    assert torch.equal(found.argmax(dim=1), expected)


def test_logits_of_two_queries_by_hand() -> None:
    """Query 1 is class 0 for sure and covers with probability ½; query 2 is nothing, and does not count."""
    classes = torch.tensor([[[50.0, 0.0, 0.0], [0.0, 0.0, 50.0]]])
    masks = torch.tensor([[[[0.0]], [[9.0]]]])
    found = hf.semantic_logits(classes, masks, (2, 3)).exp()
    assert found.shape == (1, 2, 2, 3)
    assert torch.allclose(found[:, 0], torch.tensor(0.5)) and torch.allclose(found[:, 1], torch.tensor(1e-7))


class TestWeights:
    @pytest.mark.parametrize("num_channels", [3, 4])
    @BOTH
    def test_a_folder_of_save_pretrained(self, arch: str, num_channels: int, tmp_path: Path) -> None:
        theirs = saved(arch, tmp_path / "saved").state_dict()
        model = built(arch, THREE, num_channels, weights=str(tmp_path / "saved"))
        found = model.net.get_submodule("model").state_dict()
        fresh = [name for name in found if found[name].shape[:1] != theirs[name].shape[:1]]
        assert len(fresh) == 2 and all("classifier" in name or "class_predictor" in name for name in fresh)
        first = {
            "segformer": "segformer.stages.0.patch_embeddings.proj.weight",
            "mask2former": "model.pixel_level_module.encoder.swin.embeddings.patch_embeddings.projection.weight",
        }[arch]
        for name in found.keys() - {*fresh, first}:
            assert torch.equal(found[name], theirs[name]), name
        kernels = theirs[first]
        expected = kernels if num_channels == 3 else torch.cat([kernels, kernels[:, :1]], dim=1) * 0.75
        assert torch.allclose(found[first], expected)
        assert model.loaded and len(model.loaded.fresh) == 2 and model.loaded.loaded == len(found) - 2
        assert bool(model.loaded.adapted) == (num_channels != 3)

    def test_a_run_is_opened_without_the_folder_it_began_from(self, tmp_path: Path) -> None:
        saved("segformer", tmp_path / "saved")
        model = built("segformer", weights=str(tmp_path / "saved"))
        other = build_model(wish("segformer", weights=str(tmp_path / "gone")), THREE, start=False)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.eval()(images(1, 3, 32, 32)), model.eval()(images(1, 3, 32, 32)))

    def test_an_encoder_alone_leaves_the_decoder_fresh_and_says_so(self, tmp_path: Path) -> None:
        """As nvidia/mit-b0 is: an image classifier of the same encoder."""
        from transformers import SegformerForImageClassification

        torch.manual_seed(5)
        theirs = SegformerForImageClassification(hf._settings(wish("segformer"), 3, 10))
        theirs.save_pretrained(tmp_path)
        model = built("segformer", weights=str(tmp_path))
        found = model.net.get_submodule("model.segformer").state_dict()
        assert all(torch.equal(found[name], value) for name, value in theirs.segformer.state_dict().items())
        assert model.loaded and any(
            "of the decoder and head are not in these weights" in note for note in model.loaded.notes
        )

    def test_weights_of_another_size_name_the_one_that_fits(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved("segformer", tmp_path)
        monkeypatch.setitem(hf.SEGFORMER, "b3", SMALL_SEGFORMER)
        monkeypatch.setitem(hf.SEGFORMER, "b0", {**SMALL_SEGFORMER, "depths": (1, 2, 1, 1)})
        with pytest.raises(
            ModelError, match=r"must be of segformer b0; got .*, where depths differs\. Set model\.size: b3\."
        ):
            built("segformer", weights=str(tmp_path))

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            ("config", r"`model\.weights` must be a folder with config\.json and model\.safetensors; got .*, without"),
            ("tensors", r"`model\.weights` must be a folder with whole config\.json and model\.safetensors; got"),
            ("missing", r"`model\.weights` must be a folder with whole config\.json and model\.safetensors; got"),
            ("other", r"`model\.weights` must be weights of segformer; got .*, of mask2former\. Check --model\."),
            (
                "encoder",
                r"`model\.weights` must be weights of segformer; got .*, which lacks \d+ tensors of the encoder",
            ),
            ("pixels", r"must be trained with ImageNet's normalisation; got .* image_mean \[0\.5, 0\.5, 0\.5\]"),
        ],
    )
    def test_a_folder_that_cannot_be_used_is_one_sentence(self, spoil: str, told: str, tmp_path: Path) -> None:
        folder = tmp_path / "saved"
        saved("mask2former" if spoil == "other" else "segformer", folder)
        file = folder / "model.safetensors"
        if spoil == "config":
            (folder / "config.json").unlink()
        elif spoil == "tensors":
            file.write_bytes(file.read_bytes()[:1000])
        elif spoil == "missing":
            file.unlink()
        elif spoil == "encoder":
            from safetensors.torch import load_file, save_file

            save_file(
                {k: v for k, v in load_file(file).items() if "segformer.encoder.block.1" not in k},
                file,
                {"format": "pt"},
            )
        elif spoil == "pixels":
            (folder / "preprocessor_config.json").write_text(
                json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
            )
        with pytest.raises(ModelError, match=told) as refused:
            built("segformer", weights=str(folder))
        assert len(str(refused.value).splitlines()) == 1

    def test_the_hub_out_of_reach_is_one_sentence(self) -> None:
        with pytest.raises(ModelError) as refused:
            built("segformer", weights="nvidia/mit-b0")
        told = str(refused.value)
        assert told.startswith("`model.weights` must be at hand or within reach; nvidia/mit-b0 could not be loaded")
        assert "config.json and model.safetensors into a folder" in told and "--weights none" in told
        assert len(told.splitlines()) == 1

    @pytest.mark.parametrize("weights", ["./nowhere", "/nowhere/at/all", "imagenet", "a/b/c"])
    def test_a_name_that_can_be_no_weights_is_one_sentence(self, weights: str) -> None:
        with pytest.raises(
            ModelError, match=r"`model\.weights` must be .*OWNER/NAME of the hub or none; got .*not there"
        ):
            built("segformer", weights=weights)

    def test_terms_are_told(self) -> None:
        assert "not for commercial use" in hf.LICENCES["nvidia/"]


def test_configuration() -> None:
    assert Config.model_validate({"model": "segformer"}).model == HfConfig(arch="segformer", size="b0")
    assert Config.model_validate({"model": "mask2former"}).model == HfConfig(arch="mask2former", size="tiny")
    assert Config.model_validate({"model": "segformer/b5"}).model == HfConfig(arch="segformer", size="b5")
    assert Config.model_validate({"model": "segformer/mit_b0"}).model.name == "smp"
    for text, told in {
        "{name: hf, arch: segformer, size: tiny}": "size must be b0 or b1 or b2 or b3 or b4 or b5 for segformer; "
        "got tiny",
        "{name: hf, arch: mask2former, outputs: sigmoid}": "outputs must be softmax for mask2former",
        "{name: hf, arch: segfomer}": "must be segformer or mask2former; got 'segfomer'",
    }.items():
        with pytest.raises(ConfigError, match=told):
            load_config(None, [("model", text, "--model")])


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is missing is pretended."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "transformers" else find(name, *rest)
    )
    with pytest.raises(ModelError) as refused:
        hf.build_hf(wish("segformer"), 3, 2)
    assert str(refused.value).endswith(f"transformers; it is not installed. Run: {install_command('hf')}")


# counted from transformers' published networks with 150 classes (SegFormer's paper, Table 1, in millions)
PAPER = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}


@pytest.mark.parametrize("size", PAPER)
def test_sizes_are_those_of_the_paper(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hf.SEGFORMER, "b0", FULL_B0)
    with torch.device("meta"):
        net = hf._classes(wish("segformer"))[1](hf._settings(wish("segformer", size=size), 3, 150))
    assert sum(parameter.numel() for parameter in net.parameters()) / 1e6 == pytest.approx(PAPER[size], abs=0.2)


def test_trained_resumed_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved("segformer", tmp_path / "saved")
    run = resumed_like_uninterrupted(tmp_path, monkeypatch, "--model", "segformer", "--weights", tmp_path / "saved")
    assert run.config.model == wish("segformer", weights=str(tmp_path / "saved"))
