"""Architectures of segmentation-models-pytorch: built by name, and refused in one sentence."""

from __future__ import annotations

import copy
import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from resuming import resumed_like_uninterrupted
from safetensors.torch import load_file, save_file

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.config.models import SMP_OPTIONS, SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ConfigError, ModelError
from maskwright.models import Segmenter, build_model
from maskwright.models.smp import build_smp, pixels_of

TWO = ClassMap(("a", "b"), (0, 1))


def smp(**options: object) -> SmpConfig:
    return SmpConfig.model_validate({"encoder": "resnet18", "weights": "none", **options})


ARCHITECTURES = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan",
                 "upernet", "segformer", "dpt")  # fmt: skip
# what inputs must be a multiple of, and their least side, with an encoder that divides by 32
SIDES = {"pspnet": (8, 8), "deeplabv3": (8, 8), "deeplabv3plus": (16, 16), "pan": (16, 128)}
_BUILT: dict[str, Segmenter] = {}


def built(arch: str, num_channels: int = 5) -> Segmenter:
    """Built once for 5 bands, and left in eval mode; what a test changes it changes on a copy."""
    if arch not in _BUILT:
        torch.manual_seed(0)
        encoder = "tu-test_vit" if arch == "dpt" else "resnet18"
        _BUILT[arch] = build_model(smp(arch=arch, encoder=encoder), TWO, num_channels).eval()
    return _BUILT[arch]


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def wrong_gradients(model: Segmenter, num_channels: int, frozen: str) -> list[str]:
    """Parameters without a finite gradient, or of the frozen part and with one."""
    for module in model.train().part(frozen):
        module.requires_grad_(False)
    model(images(2, num_channels, 64, 64)).pow(2).mean().backward()
    still = {id(parameter) for module in model.part(frozen) for parameter in module.parameters()}
    assert still

    def is_right(parameter: torch.nn.Parameter) -> bool:
        if id(parameter) in still:
            return parameter.grad is None
        return parameter.grad is not None and bool(torch.isfinite(parameter.grad).all())

    return [name for name, parameter in model.named_parameters() if not is_right(parameter)]


def test_every_architecture_is_tested_here() -> None:
    runtime.ensure_torchvision()
    import segmentation_models_pytorch

    assert tuple(segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING) == ARCHITECTURES


@pytest.mark.parametrize("arch", ARCHITECTURES)
class TestArchitecture:
    @torch.no_grad()
    def test_odd_sizes_of_five_bands_come_back(self, arch: str) -> None:
        for height, width in ((1, 1), (33, 65), (96, 31)):
            logits = built(arch)(images(1, 5, height, width))
            assert logits.shape == (1, 2, height, width)
            assert torch.isfinite(logits).all()

    @torch.no_grad()
    def test_sides_are_what_the_network_takes(self, arch: str) -> None:
        """Odd multiples of the stride, and the least side, go through; half a stride more is refused by SMP itself."""
        model = built(arch)
        assert (model.stride, model.smallest) == SIDES.get(arch, (32, 32))
        for height, width in (
            (model.smallest, model.smallest + model.stride),
            (model.smallest + 2 * model.stride, model.smallest),
        ):
            assert model.net(torch.zeros(1, 5, height, width)).shape == (1, 2, height, width)
        if arch == "unet":  # brings its maps to one size itself
            return
        with pytest.raises(RuntimeError):
            model.net(torch.zeros(1, 5, model.smallest + model.stride // 2, model.smallest))

    @pytest.mark.parametrize("frozen", ["encoder", "decoder", "head"])
    def test_gradients_reach_all_that_is_not_frozen_and_nothing_else(self, arch: str, frozen: str) -> None:
        assert wrong_gradients(copy.deepcopy(built(arch)), 5, frozen) == []

    def test_parts_are_all_there_is(self, arch: str) -> None:
        model = built(arch)
        parts = [
            id(p) for part in ("encoder", "decoder", "head") for module in model.part(part) for p in module.parameters()
        ]
        assert sorted(parts) == sorted(id(parameter) for parameter in model.parameters())

    @torch.no_grad()
    def test_saved_weights_make_the_same_network(self, arch: str, tmp_path: Path) -> None:
        model = built(arch)
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "w.safetensors")
        torch.manual_seed(7)
        config = smp(arch=arch, encoder="tu-test_vit" if arch == "dpt" else "resnet18")
        other = build_model(config, TWO, 5).eval()
        image = images(1, 5, 64, 64)
        assert not torch.equal(other(image), model(image))
        other.load_state_dict(load_file(tmp_path / "w.safetensors"))
        assert torch.equal(other(image), model(image))

    @torch.no_grad()
    def test_bf16_is_near(self, arch: str) -> None:
        model, image = built(arch), images(1, 5, 64, 64)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
        whole = model(image)
        assert half.dtype == torch.float32
        assert (half - whole).abs().max() < 0.05 * whole.abs().max() + 0.05

    @torch.no_grad()
    def test_a_trace_gives_the_same(self, arch: str) -> None:
        model, image = built(arch), images(1, 5, 128, 128)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own: tracing is deprecated, and shapes are taken as constants
            traced = torch.jit.trace(model, image, check_trace=False)
        assert torch.allclose(traced(images(1, 5, 128, 128, seed=1)), model(images(1, 5, 128, 128, seed=1)), atol=1e-5)


FAMILIES = ("mobilenet_v2", "efficientnet-b0", "mobileone_s0", "tu-test_convnext")
HEAVY_FAMILIES = ("resnet18", "dpn68", "vgg11", "se_resnet50", "densenet121", "inceptionresnetv2", "inceptionv4",
                  "xception", "mit_b0", "timm-efficientnet-b0", "timm-tf_efficientnet_lite0", "timm-skresnet18",
                  "resnext50_32x4d", "tu-pvt_v2_b0", "tu-mobilenetv3_small_050", "tu-swin_tiny_patch4_window7_224",
                  "tu-vgg11", "tu-dla34", "tu-test_efficientnet", "timm-mobilenetv3_small_minimal_100",
                  "timm-regnetx_002", "timm-resnest14d", "timm-res2net50_26w_4s", "timm-gernet_s")  # fmt: skip


@pytest.mark.parametrize(
    "encoder", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY_FAMILIES)]
)
def test_one_of_each_family_keeps_the_contract(encoder: str, tmp_path: Path) -> None:
    """Odd sizes of four bands, gradients, weights that are all it is, bf16, and a trace; built twice, as that takes
    longest.
    """
    torch.manual_seed(0)
    model = build_model(smp(encoder=encoder), TWO, 4).eval()
    with torch.no_grad():
        for height, width in ((1, 1), (17, 33), (40, 64)):
            logits = model(images(1, 4, height, width))
            assert logits.shape == (1, 2, height, width) and torch.isfinite(logits).all()
        _refuse_other_weights(model, encoder, tmp_path)
        image = images(1, 4, 2 * model.stride, 2 * model.stride)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
        whole = model(image)
        assert half.dtype == torch.float32 and (half - whole).abs().max() < 0.05 * whole.abs().max() + 0.05
        _refuse_other_trace(model, image)
    assert wrong_gradients(model, 4, "decoder") == []
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    assert wrong_gradients(model, 4, "encoder") == []


def _refuse_other_weights(model: Segmenter, encoder: str, folder: Path) -> None:
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "w.safetensors")
    torch.manual_seed(7)
    other = build_model(smp(encoder=encoder), TWO, 4).eval()
    image = images(1, 4, 64, 64)
    assert not torch.equal(other(image), model(image))
    other.load_state_dict(load_file(folder / "w.safetensors"))
    assert torch.equal(other(image), model(image))


def _refuse_other_trace(model: Segmenter, image: torch.Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: tracing is deprecated, and shapes are taken as constants
        traced = torch.jit.trace(model, image, check_trace=False)
    other = images(*image.shape, seed=1)
    assert torch.allclose(traced(other), model(other), atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "encoder", "inside"),
    [
        # three of the stages of torchvision's resnet18: its stem, layer1 and layer2
        ("pspnet", "resnet18", 9_536 + 147_968 + 525_568),
        # mobilenet_v2's stem and first six blocks, of 3.5 million parameters; those run after are thrown away
        ("pspnet", "mobilenet_v2", 928 + 896 + 5_136 + 8_832 + 10_000 + 14_848 + 14_848),
        # efficientnet-b0 without its classifier (1.281 million of 5.289) and the convolution before it (0.412)
        ("unet", "efficientnet-b0", 5_288_548 - 1_281_000 - 412_160),
    ],
)
def test_stages_that_are_never_asked_are_not_there(arch: str, encoder: str, inside: int) -> None:
    """Neither counted, nor saved, averaged or held for learning."""
    model = build_model(smp(arch=arch, encoder=encoder), TWO)
    assert sum(parameter.numel() for parameter in model.net.get_submodule("encoder").parameters()) == inside
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.slow
@torch.no_grad()
def test_windows_of_seven_make_a_stride_of_their_own() -> None:
    """MaxViT divides its deepest map, 1/32, into windows of 7 × 7: 224."""
    model = build_model(smp(encoder="tu-maxvit_tiny_tf_224"), TWO).eval()
    assert model.stride == 224
    assert model(images(1, 3, 30, 230)).shape == (1, 2, 30, 230)


def test_a_batch_of_one_at_one_pixel_is_one_sentence_in_training_and_fine_afterwards() -> None:
    """deeplabv3plus pools its map to 1 × 1 before a batch-norm."""
    model = copy.deepcopy(built("deeplabv3plus")).train()
    with pytest.raises(ModelError, match=r"`train\.batch_size` must leave batch-norm more than one value") as refused:
        model.training_logits(images(1, 5, 64, 64))
    assert len(str(refused.value).splitlines()) == 1
    with torch.no_grad():
        assert model.eval()(images(1, 5, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("arch", "encoder", "words"),
    [
        ("dpt", "resnet18", "dpt/resnet18 .*dpt works with plain vision transformers, such as tu-vit"),
        ("dpt", "tu-test_convnext", "dpt works with plain vision transformers, such as tu-vit"),
        ("unet", "tu-test_vit", "--model dpt/tu-test_vit"),
        ("unetplusplus", "mit_b0", "unetplusplus/mit_b0 .*unetplusplus/resnet34 does"),
        ("linknet", "mit_b0", "linknet/mit_b0 .*linknet/resnet34 does"),
        ("deeplabv3plus", "densenet121", "do not support dilated mode.*deeplabv3plus/resnet34 does"),
        pytest.param("unet", "tu-coatnet_0_rw_224", "images of any size; got tu-coatnet", marks=pytest.mark.slow),
    ],
)
def test_combinations_that_cannot_be_say_what_works(arch: str, encoder: str, words: str) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        build_smp(smp(arch=arch, encoder=encoder), 3, 2)
    assert len(str(refused.value).splitlines()) == 1


def test_names_are_taken_in_any_case() -> None:
    assert type(build_smp(smp(arch="DeepLabV3Plus"), 3, 2)).__name__ == "DeepLabV3Plus"


def test_pixels_of_one_s_own_are_used_and_counted() -> None:
    config = smp(pixels={"mean": [1.0, 2.0], "std": [4.0, 5.0]})
    model = build_model(config, TWO, 2)
    assert model.normalise(torch.tensor([9, 12], dtype=torch.uint8).view(1, 2, 1, 1)).flatten().tolist() == [2.0, 2.0]
    with pytest.raises(ModelError, match=r"`model\.pixels` must be a mean and a std for each of 3 bands; got 2 means"):
        build_model(config, TWO, 3)


@pytest.mark.parametrize(
    ("space", "top", "mean", "std"),
    [
        ("RGB", 1, (25.5, 51.0, 76.5), (127.5, 25.5, 51.0)),
        ("RGB", 255, (0.1, 0.2, 0.3), (0.5, 0.1, 0.2)),
        ("BGR", 1, (76.5, 51.0, 25.5), (51.0, 25.5, 127.5)),
    ],
)
def test_normalisation_is_smp_s_own(space: str, top: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """By hand, and against smp.encoders.preprocess_input, in the bands' order red, green, blue."""
    from segmentation_models_pytorch.encoders import preprocess_input

    expected = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.1, 0.2], "input_range": [0, top], "input_space": space}
    ours = pixels_of(expected, 3)
    assert ours[0] == pytest.approx(mean) and ours[1] == pytest.approx(std)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.float64)
    theirs = preprocess_input(pixels, **expected)
    mine = (pixels - np.array(ours[0])) / np.array(ours[1])
    assert np.allclose(mine if space == "RGB" else mine[..., ::-1], theirs)
    assert pixels_of(expected, 4)[0] == pytest.approx((np.mean(mean),) * 4)


def test_the_shorthand_names_both() -> None:
    config = Config.model_validate({"model": "unet/resnet18"}).model
    assert isinstance(config, SmpConfig)
    assert (config.arch, config.encoder, config.weights) == ("unet", "resnet18", "imagenet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arch": "unett"}, r"'unett' in `model\.arch`.*'unet'"),
        ({"encoder": "resnet43"}, r"'resnet43' in `model\.encoder`. Did you mean \S+, \S+, \S+, \S+ or \S+\?.*tu-NAME"),
        ({"encoder": "tu-convnxt_tiny"}, r"`model\.encoder`.*tu-convnext_tiny"),
        ({"encoder": "tu-resnet18.a9_in1k"}, r"`model\.encoder`.*tu-resnet18\.a1_in1k"),
        ({"encoder": "tu-nothing_of_that_name"}, r"'tu-nothing_of_that_name' in `model\.encoder`.*maskwright encoders"),
    ],
)
def test_unknown_names_are_told_with_near_ones(options: dict[str, str], words: str) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        build_smp(smp(**options), 3, 2)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


def test_weights_out_of_reach_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No network: the hub is told to stay offline, and its cache is an empty folder."""
    import huggingface_hub.constants as hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError) as refused:
        build_smp(smp(weights="imagenet"), 3, 2)
    told = str(refused.value)
    assert told.startswith("`model.weights` must be at hand or within reach; imagenet of resnet18 could not be loaded")
    assert "Wanted: config.json and model.safetensors of huggingface.co/smp-hub/resnet18.imagenet" in told
    assert f"models--smp-hub--resnet18.imagenet of a machine that has it into {tmp_path}" in told
    assert "weights: none (--weights none)" in told
    assert len(told.splitlines()) == 1


def test_weights_of_a_wrong_name_are_not_blamed_on_the_network() -> None:
    """resnet18 has imagenet, ssl and swsl; going online would not help with `imagenett`."""
    with pytest.raises(ModelError, match="imagenett") as refused:
        build_smp(smp(weights="imagenett"), 3, 2)
    assert "Go online" not in str(refused.value)
    assert "imagenet" in str(refused.value).replace("imagenett", "")


@pytest.mark.parametrize("model", ["unet/tu-test_efficientnet", "pspnet/resnet18"])
def test_trained_resumed_and_opened_again(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resumed_like_uninterrupted(tmp_path, monkeypatch, "--model", model, "--weights", "none")
    assert (run.config.model.arch, run.config.model.encoder) == tuple(model.split("/"))


# every argument of each architecture but what no segmentation has a use for, at another value than SMP's own
OPTIONS: dict[str, dict[str, object]] = {
    "unet": {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 16], "decoder_attention_type": "scse",
             "decoder_use_norm": False, "decoder_interpolation": "bilinear"},
    "unetplusplus": {"encoder_depth": 3, "decoder_channels": [32, 16, 16], "decoder_attention_type": "scse",
                     "decoder_use_norm": {"type": "batchnorm", "momentum": 0.2}, "decoder_interpolation": "bilinear"},
    "manet": {"encoder_depth": 4, "decoder_channels": [64, 32, 16, 16], "decoder_pab_channels": 16,
              "decoder_use_norm": False,
              "decoder_interpolation": "bilinear"},
    "linknet": {"encoder_depth": 4, "decoder_use_norm": "identity"},
    "fpn": {"encoder_depth": 4, "decoder_pyramid_channels": 96, "decoder_segmentation_channels": 64,
            "decoder_dropout": 0.5,
            "decoder_merge_policy": "cat", "decoder_interpolation": "bilinear", "upsampling": 2},
    "pspnet": {"encoder_depth": 4, "psp_out_channels": 64, "psp_dropout": 0.0, "decoder_use_norm": False,
               "upsampling": 16},
    "deeplabv3": {"encoder_depth": 5, "encoder_output_stride": 16, "decoder_channels": 64,
                  "decoder_atrous_rates": [6, 12, 18],
                  "decoder_aspp_separable": True, "decoder_aspp_dropout": 0.0, "upsampling": 16},
    "deeplabv3plus": {"encoder_depth": 4, "encoder_output_stride": 8, "decoder_channels": 64,
                      "decoder_atrous_rates": [6, 12, 18],
                      "decoder_aspp_separable": False, "decoder_aspp_dropout": 0.0, "upsampling": 4},
    "pan": {"encoder_depth": 5, "encoder_output_stride": 32, "decoder_channels": 16, "decoder_interpolation": "nearest",
            "upsampling": 4},
    "upernet": {"encoder_depth": 4, "decoder_channels": 64, "decoder_use_norm": False, "upsampling": 4},
    "segformer": {"encoder_depth": 4, "decoder_segmentation_channels": 64, "upsampling": 4},
    "dpt": {"encoder_depth": 3, "encoder_output_indices": [1, 2, 3], "decoder_readout": "add",
            "decoder_fusion_channels": 32,
            "decoder_intermediate_channels": [16, 32, 64]},
}  # fmt: skip


def test_every_argument_of_every_architecture_has_a_key() -> None:
    import segmentation_models_pytorch

    ours = {"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params", "kwargs"}
    for arch, build in segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING.items():
        assert set(inspect.signature(build).parameters) - ours == OPTIONS[arch].keys(), arch
    assert set(SMP_OPTIONS) == {name for options in OPTIONS.values() for name in options}


@pytest.mark.parametrize("arch", OPTIONS)
def test_options_arrive_as_smp_takes_them(arch: str) -> None:
    """The same tensors and, in the same weights, the same answer as SMP's own call with the same arguments gives."""
    import segmentation_models_pytorch

    encoder = "tu-test_vit" if arch == "dpt" else "resnet18"
    made = build_smp(smp(arch=arch, encoder=encoder, **OPTIONS[arch]), 3, 2).eval()
    extra = {"dynamic_img_size": True} if arch == "dpt" else {}
    theirs = segmentation_models_pytorch.create_model(
        arch, encoder, encoder_weights=None, in_channels=3, classes=2, **OPTIONS[arch], **extra
    ).eval()
    state = {name: value for name, value in theirs.state_dict().items() if name not in made.gone}
    assert {name: value.shape for name, value in made.state_dict().items()} == {
        name: one.shape for name, one in state.items()
    }
    made.load_state_dict(state)
    x = torch.randn(1, 3, made.smallest, 2 * made.smallest, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(made(x), theirs(x))
    rates = {module.p for module in made.modules() if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d)}
    wanted = {value for name, value in OPTIONS[arch].items() if name.endswith("dropout")}
    assert wanted <= rates or not wanted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"arch": "linknet", "decoder_channels": 32},
            "`model.decoder_channels` must be left out for linknet: unet, ",
        ),
        (
            {"arch": "unet", "decoder_dropout": 0.1},
            "must be left out for unet: fpn takes it. unet takes encoder_depth, decoder_",
        ),
        (
            {"arch": "unet", "decoder_channels": 32},
            "`model.decoder_channels` must be a list of numbers for unet; got 32",
        ),
        ({"arch": "deeplabv3plus", "decoder_channels": [32]}, "must be a whole number for deeplabv3plus; got [32]"),
        ({"arch": "deeplabv3", "encoder_output_stride": 32}, "must be 8 or 16 for deeplabv3; got 32"),
        (
            {"arch": "unet", "decoder_channels": [32, 16]},
            "got decoder_channels [32, 16] (Model depth is 5, but you provide",
        ),
        ({"arch": "pspnet", "encoder_depth": 4}, "got encoder_depth 4 (16 × 48 comes back in another size)"),
        ({"arch": "unet", "decoder_use_norm": "layernorm"}, "got decoder_use_norm layernorm ("),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(options: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError) as refused:
        build_smp(smp(**options), 3, 2)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_options_are_keys_of_a_yaml_and_flags_and_their_values_are_checked() -> None:
    flags = [
        "--model",
        "unet/resnet18",
        "--model.decoder_channels",
        "[128,64,32,16,8]",
        "--model.decoder_attention_type",
        "scse",
    ]
    model = load_config(None, parse_overrides(flags)).model
    assert model == SmpConfig(encoder="resnet18", decoder_channels=[128, 64, 32, 16, 8], decoder_attention_type="scse")
    with pytest.raises(ConfigError, match=r"decoder_attention_type` must be scse"):
        load_config(None, parse_overrides([*flags[:-1], "se"]))
    with pytest.raises(ConfigError, match=r"decoder_chanels.*Did you mean 'model\.decoder_channels'"):
        load_config(None, parse_overrides(["--model", "unet/resnet18", "--model.decoder_chanels", "[1]"]))


def test_older_names_of_smp_are_timms_of_today() -> None:
    config = load_config(None, [("model", "unet/timm-mobilenetv3_small_minimal_100", "--model")])
    assert config.model.encoder == "tu-tf_mobilenetv3_small_minimal_100"
    assert (
        build_smp(config.model.model_copy(update={"weights": "none"}), 3, 2).encoder.name
        == "tf_mobilenetv3_small_minimal_100"
    )
