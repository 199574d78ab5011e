"""`model:` – one section a family of networks, and their short names."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from maskwright.config.base import Auto, CustomCode, Fraction, Section, option
from maskwright.custom import is_source, name_of


class PixelsConfig(Section):
    """What is subtracted from each band's 0 to 255 and what it is then divided by."""

    mean: Annotated[list[float], Field(description="one a band")]
    std: Annotated[list[PositiveFloat], Field(description="one a band")]


Channels = Annotated[int, Field(gt=0, le=8192)]
Pixels = Annotated[PixelsConfig | Auto, Field(description="how bands are normalised; auto: as the weights expect")]


class AutoModelConfig(Section):
    """No network is named: one is chosen for the device."""

    name: Literal["auto"] = "auto"
    weights: str = option("auto", "what to start from: auto (pretrained if at hand), none, imagenet, a file or a run")
    pixels: Pixels = "auto"
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")


class UnetConfig(Section):
    """The U-Net of the lab, from scratch."""

    name: Literal["unet"] = "unet"
    up: Literal["transposed", "bilinear"] = option("transposed", "how the decoder doubles a feature map")
    width: Annotated[int, Field(ge=1, le=4096)] | Auto = option("auto", "channels of the first level; the lab's are 64")
    depth: int = option(4, "how many times the map is halved", ge=1, le=8)
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")
    norm: Literal["batch", "none"] = option("batch", "normalisation after each convolution")
    weights: str = option("none", "what to start from: none, a weights file or a run folder")
    pixels: Pixels = "auto"


# encoders that SMP once had itself, by how their names begin; it takes timm's in their place, and so do we
_NOW_OF_TIMM = ("timm-regnet", "timm-res2", "timm-resnest", "timm-mobilenetv3", "timm-gernet")


def _name_of_today(encoder: object) -> object:
    """An older name of SMP's by the one it stands for now.

    >>> _name_of_today("timm-mobilenetv3_small_minimal_100"), _name_of_today("timm-efficientnet-b0")
    ('tu-tf_mobilenetv3_small_minimal_100', 'timm-efficientnet-b0')
    """
    if not isinstance(encoder, str) or not encoder.startswith(_NOW_OF_TIMM):
        return encoder
    rest = encoder.removeprefix("timm-")
    return f"tu-tf_{rest}" if rest.startswith("mobilenetv3") else f"tu-{rest}"


_Index = Annotated[int, Field(ge=-1000, le=1000)]
_Norm = Literal["batchnorm", "instancenorm", "layernorm", "identity", "inplace"]
_Interpolation = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"]


class SmpConfig(Section):
    """An architecture and encoder of segmentation-models-pytorch."""

    name: Literal["smp"] = "smp"
    arch: str = option("unet", "unet, unetplusplus, fpn, deeplabv3plus, …")
    encoder: Annotated[str, BeforeValidator(_name_of_today)] = option("resnet34", "efficientnet-b0, tu-NAME of timm, …")
    weights: str = option(
        "imagenet", "what to start from: none, imagenet or another set of the encoder's, maskwright, a file, a run"
    )
    pixels: Pixels = "auto"
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")
    # SMP's own arguments, each of the architectures that have it; null: SMP's own value
    encoder_depth: int | None = option(None, "how many times the encoder halves the map", ge=1, le=5)
    encoder_output_stride: Literal[8, 16, 32] | None = option(None, "deeplabv3, deeplabv3plus, pan: of its last map")
    encoder_output_indices: list[_Index] | None = option(None, "dpt: which of the encoder's blocks are taken")
    decoder_channels: Channels | list[Channels] | None = option(None, "of each block, deepest first, or one number")
    decoder_use_norm: bool | _Norm | dict[str, Any] | None = option(None, "normalisation in the decoder; false: none")
    decoder_attention_type: Literal["scse"] | None = option(None, "unet, unetplusplus: attention in the decoder")
    decoder_interpolation: _Interpolation | None = option(None, "how maps are enlarged")
    decoder_pab_channels: Channels | None = option(None, "manet: channels of its attention block")
    decoder_pyramid_channels: Channels | None = option(None, "fpn: channels of the pyramid")
    decoder_segmentation_channels: Channels | None = option(None, "fpn, segformer: channels of the last block")
    decoder_merge_policy: Literal["add", "cat"] | None = option(None, "fpn: how the pyramid's maps are merged")
    decoder_dropout: Fraction | None = option(None, "fpn: share of the channels left out in training")
    decoder_atrous_rates: list[Channels] | None = option(None, "deeplabv3, deeplabv3plus: three rates")
    decoder_aspp_separable: bool | None = option(None, "deeplabv3, deeplabv3plus: separable convolutions")
    decoder_aspp_dropout: Fraction | None = option(None, "deeplabv3, deeplabv3plus: share left out in training")
    decoder_readout: Literal["ignore", "add", "cat"] | None = option(None, "dpt: what becomes of the class token")
    decoder_intermediate_channels: list[Channels] | None = option(None, "dpt: channels of each level")
    decoder_fusion_channels: Channels | None = option(None, "dpt: channels where levels are fused")
    psp_out_channels: Channels | None = option(None, "pspnet: channels of the pooled pyramid")
    psp_dropout: Fraction | None = option(None, "pspnet: share left out in training")
    upsampling: Annotated[int, Field(ge=1, le=64)] | None = option(None, "how often the head enlarges the last map")


_OPTIONS = ("encoder_", "decoder_", "psp_", "upsampling")
SMP_OPTIONS = tuple(name for name in SmpConfig.model_fields if name.startswith(_OPTIONS))


class Resnet34UnetConfig(Section):
    """A ResNet34 encoder with a U-Net's decoder, written out here."""

    name: Literal["resnet34_unet"] = "resnet34_unet"
    up: Literal["transposed", "bilinear"] = option("transposed", "how the decoder doubles a feature map")
    width: int = option(64, "channels of the first block; ResNet34's are 64", ge=2, le=4096, multiple_of=2)
    weights: str = option("none", "imagenet: the encoder is torchvision's resnet34; none, a file or a run")
    pixels: Pixels = "auto"
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")


TorchvisionArch = Literal[
    "deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
    "fcn_resnet50", "fcn_resnet101",
]  # fmt: skip


class TorchvisionConfig(Section):
    """A segmentation network of torchvision: DeepLabV3, FCN or LR-ASPP."""

    name: Literal["torchvision"] = "torchvision"
    arch: TorchvisionArch = option("deeplabv3_resnet50", "fcn_resnet50, lraspp_mobilenet_v3_large, …")
    weights: str = option("COCO_WITH_VOC_LABELS_V1", "what to start from, or imagenet-backbone, none, a file or a run")
    pixels: Pixels = "auto"
    aux_weight: float | None = option(None, "of the auxiliary head's loss; 0.4 where there is one, 0 for none", ge=0)
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")

    @model_validator(mode="before")
    @classmethod
    def _default_aux_weight(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and keys.get("aux_weight") is None:
            return {**keys, "aux_weight": 0.0 if str(keys.get("arch")).startswith("lraspp") else 0.4}
        return keys

    @model_validator(mode="after")
    def _auxiliary_head_is_there(self) -> TorchvisionConfig:
        if self.arch.startswith("lraspp") and self.aux_weight:
            why = "which has no auxiliary head"
            raise ValueError(f"aux_weight must be 0 for {self.arch}, {why}; got {self.aux_weight:g}")
        return self


MASK2FORMER_RATE = 1e-4
HF_SIZES = {"segformer": ("b0", "b1", "b2", "b3", "b4", "b5"), "mask2former": ("tiny", "small", "base", "large")}
HfArch = Literal["segformer", "mask2former"]
HfSize = Literal["b0", "b1", "b2", "b3", "b4", "b5", "tiny", "small", "base", "large"]


class HfConfig(Section):
    """SegFormer or Mask2Former of transformers (extra hf)."""

    name: Literal["hf"] = "hf"
    arch: HfArch = option("segformer", "segformer or mask2former")
    size: HfSize | None = option(None, "segformer: b0 to b5; mask2former: tiny, small, base or large")
    weights: str = option("none", "OWNER/NAME of the hub, a folder of save_pretrained, none, or a run")
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")

    @model_validator(mode="before")
    @classmethod
    def _default_size(cls, keys: Any) -> Any:
        arch = str(keys.get("arch", "segformer")) if isinstance(keys, dict) else ""
        return {**keys, "size": HF_SIZES[arch][0]} if arch in HF_SIZES and keys.get("size") is None else keys

    @model_validator(mode="after")
    def _fits_together(self) -> HfConfig:
        if self.size not in HF_SIZES[self.arch]:
            raise ValueError(f"size must be {' or '.join(HF_SIZES[self.arch])} for {self.arch}; got {self.size}")
        if self.arch == "mask2former" and self.outputs == "sigmoid":
            why = "whose classes are compared with each other"
            raise ValueError(f"outputs must be softmax for mask2former, {why}; got sigmoid")
        return self


class CustomModelConfig(CustomCode):
    """A network of your own: an nn.Module, or a class or function that gives one."""

    name: Literal["custom"] = "custom"
    weights: str = option("none", "what to start from: none, given (an object's own), a file or a run")
    pixels: Pixels = "auto"
    outputs: Literal["softmax", "sigmoid"] = option("softmax", "a channel a class, or one for foreground")

    @property
    def arch(self) -> str:
        """What names of runs and tables say."""
        return name_of(self.source)


def model_shorthand(value: object) -> object:
    """`unet` → {name: unet}; `unet/resnet34` → {name: smp, arch: unet, encoder: resnet34}; others by their own names.

    >>> [model_shorthand(name)["name"] for name in ("deeplabv3_resnet50", "segformer/b2", "segformer/mit_b2")]
    ['torchvision', 'hf', 'smp']
    >>> model_shorthand("ResNet34_UNet"), model_shorthand("DeepLabV3Plus/resnet18")["arch"]
    ({'name': 'resnet34_unet'}, 'deeplabv3plus')
    >>> [model_shorthand(keys)["name"] for keys in ({"weights": "none"}, {"width": 8}, {"encoder": "resnet18"})]
    ['auto', 'unet', 'smp']
    >>> model_shorthand("my_net.py:Net")
    {'name': 'custom', 'source': 'my_net.py:Net'}
    """
    if is_source(value) or str(value).endswith(".py"):  # without the name in it, which is asked for
        return {"name": "custom", "source": value}
    if isinstance(value, str):
        arch, slash, rest = value.partition("/")
        arch = arch.lower()  # papers and courses write UNet, ResNet34_UNet, DeepLabV3Plus
        if not slash and arch in get_args(TorchvisionArch):
            return {"name": "torchvision", "arch": arch}
        if arch in HF_SIZES and (not slash or rest in HF_SIZES[arch]):
            return {"name": "hf", "arch": arch, **({"size": rest} if slash else {})}
        return {"name": "smp", "arch": arch, "encoder": rest} if slash else {"name": arch}
    if isinstance(value, dict) and "name" not in value:
        if value.get("arch") in get_args(TorchvisionArch):
            return {"name": "torchvision", **value}
        if "source" in value:
            return {"name": "custom", **value}
        if {"arch", "encoder", *SMP_OPTIONS} & value.keys():
            return {"name": "smp", **value}
        return {"name": "auto" if value.keys() <= AutoModelConfig.model_fields.keys() else "unet", **value}
    return value


# encoders of SMP and timm that are transformers, by how their names begin
_TRANSFORMERS = (
    "mit_b",
    *(f"tu-{family}" for family in ("vit", "deit", "beit", "eva", "swin", "pvt", "maxvit", "hiera", "mvit")),
)


def is_transformer(model: AnyModelConfig) -> bool:
    """Whether a network is a transformer or has one as its encoder.

    >>> is_transformer(SmpConfig(encoder="mit_b0")), is_transformer(SmpConfig(encoder="resnet34"))
    (True, False)
    """
    if isinstance(model, SmpConfig):
        return model.arch.lower() == "dpt" or model.encoder.startswith(_TRANSFORMERS)
    return isinstance(model, HfConfig)


AnyModelConfig = (
    AutoModelConfig | UnetConfig | Resnet34UnetConfig | SmpConfig | TorchvisionConfig | HfConfig | CustomModelConfig
)
ModelConfig = Annotated[
    AnyModelConfig,
    Field(discriminator="name"),
    BeforeValidator(model_shorthand, json_schema_input_type=AnyModelConfig | str),
]
