"""`model:` – one section a family of networks, and their short names."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    model_validator,
)

from maskwright.config.base import Auto, CustomCode, Fraction, Section
from maskwright.custom import is_source, name_of

_Width = Annotated[int, Field(gt=0, le=4096)]


class PixelsConfig(Section):
    """What is subtracted from each band's 0 to 255 and what it is then divided by."""

    mean: Annotated[list[float], Field(description="one a band")]
    std: Annotated[list[PositiveFloat], Field(description="one a band")]


Channels = Annotated[int, Field(gt=0, le=8192)]
Pixels = Annotated[PixelsConfig | Auto, Field(description="how bands are normalised; auto: as the weights expect")]


class AutoModelConfig(Section):
    """No network is named: one is chosen for the device."""

    name: Literal["auto"] = "auto"
    weights: Annotated[
        str,
        Field(description="what to start from: auto (pretrained if it can be had), none, imagenet, a file or a run folder"),
    ] = "auto"
    pixels: Pixels = "auto"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"


class UnetConfig(Section):
    """The U-Net of the lab, from scratch."""

    name: Literal["unet"] = "unet"
    up: Annotated[Literal["transposed", "bilinear"], Field(description="how the decoder doubles a feature map")] = "transposed"
    width: Annotated[
        Annotated[int, Field(ge=1, le=4096)] | Auto, Field(description="channels of the first level; the lab's are 64")
    ] = "auto"
    depth: Annotated[int, Field(ge=1, le=8, description="how many times the map is halved")] = 4
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"
    norm: Annotated[Literal["batch", "none"], Field(description="normalisation after each convolution")] = "batch"
    weights: Annotated[str, Field(description="what to start from: none, a weights file or a run folder")] = "none"
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


class SmpConfig(Section):
    """An architecture and encoder of segmentation-models-pytorch."""

    name: Literal["smp"] = "smp"
    arch: Annotated[str, Field(description="unet, unetplusplus, fpn, deeplabv3plus, …")] = "unet"
    encoder: Annotated[
        str, BeforeValidator(_name_of_today), Field(description="resnet34, efficientnet-b0, tu-NAME for any of timm, …")
    ] = "resnet34"
    weights: Annotated[
        str, Field(description="what to start from: none, imagenet or another set of the encoder's, a file, or a run folder")
    ] = "imagenet"
    pixels: Pixels = "auto"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"
    # SMP's own arguments, each of the architectures that have it; null: SMP's own value
    encoder_depth: Annotated[int | None, Field(ge=1, le=5, description="how many times the encoder halves the map")] = None
    encoder_output_stride: Annotated[
        Literal[8, 16, 32] | None, Field(description="deeplabv3, deeplabv3plus, pan: the encoder's last map is this much smaller")
    ] = None
    encoder_output_indices: Annotated[
        list[Annotated[int, Field(ge=-1000, le=1000)]] | None, Field(description="dpt: which of the encoder's blocks are taken")
    ] = None
    decoder_channels: Annotated[
        Channels | list[Channels] | None,
        Field(description="of each decoder block, deepest first ([256, 128, …]), or one number"),
    ] = None
    decoder_use_norm: Annotated[
        bool | Literal["batchnorm", "instancenorm", "layernorm", "identity", "inplace"] | dict[str, Any] | None,
        Field(description="normalisation in the decoder; false: none"),
    ] = None
    decoder_attention_type: Annotated[
        Literal["scse"] | None, Field(description="unet, unetplusplus: attention in the decoder")
    ] = None
    decoder_interpolation: Annotated[
        Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"] | None, Field(description="how maps are enlarged")
    ] = None
    decoder_pab_channels: Annotated[Channels | None, Field(description="manet: channels of its attention block")] = None
    decoder_pyramid_channels: Annotated[Channels | None, Field(description="fpn: channels of the pyramid")] = None
    decoder_segmentation_channels: Annotated[Channels | None, Field(description="fpn, segformer: channels of the last block")] = (
        None
    )
    decoder_merge_policy: Annotated[Literal["add", "cat"] | None, Field(description="fpn: how the pyramid's maps are merged")] = (
        None
    )
    decoder_dropout: Annotated[Fraction | None, Field(description="fpn: share of the channels left out in training")] = None
    decoder_atrous_rates: Annotated[list[Channels] | None, Field(description="deeplabv3, deeplabv3plus: three rates")] = None
    decoder_aspp_separable: Annotated[bool | None, Field(description="deeplabv3, deeplabv3plus: separable convolutions")] = None
    decoder_aspp_dropout: Annotated[
        Fraction | None, Field(description="deeplabv3, deeplabv3plus: share left out in training")
    ] = None
    decoder_readout: Annotated[
        Literal["ignore", "add", "cat"] | None, Field(description="dpt: what becomes of the class token")
    ] = None
    decoder_intermediate_channels: Annotated[list[Channels] | None, Field(description="dpt: channels of each level")] = None
    decoder_fusion_channels: Annotated[Channels | None, Field(description="dpt: channels where levels are fused")] = None
    psp_out_channels: Annotated[Channels | None, Field(description="pspnet: channels of the pooled pyramid")] = None
    psp_dropout: Annotated[Fraction | None, Field(description="pspnet: share left out in training")] = None
    upsampling: Annotated[
        Annotated[int, Field(ge=1, le=64)] | None, Field(description="how often the head enlarges the last map")
    ] = None


SMP_OPTIONS = tuple(name for name in SmpConfig.model_fields if name.startswith(("encoder_", "decoder_", "psp_", "upsampling")))


class Resnet34UnetConfig(Section):
    """A ResNet34 encoder with a U-Net's decoder, written out here."""

    name: Literal["resnet34_unet"] = "resnet34_unet"
    up: Annotated[Literal["transposed", "bilinear"], Field(description="how the decoder doubles a feature map")] = "transposed"
    width: Annotated[int, Field(ge=2, le=4096, multiple_of=2, description="channels of the first block; ResNet34's are 64")] = 64
    weights: Annotated[str, Field(description="imagenet: the encoder is torchvision's resnet34; none, a file or a run")] = "none"
    pixels: Pixels = "auto"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"


TorchvisionArch = Literal[
    "deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
    "fcn_resnet50", "fcn_resnet101",
]  # fmt: skip


class TorchvisionConfig(Section):
    """A segmentation network of torchvision: DeepLabV3, FCN or LR-ASPP."""

    name: Literal["torchvision"] = "torchvision"
    arch: Annotated[TorchvisionArch, Field(description="deeplabv3_resnet50, fcn_resnet50, lraspp_mobilenet_v3_large, …")] = (
        "deeplabv3_resnet50"
    )
    weights: Annotated[str, Field(description="COCO_WITH_VOC_LABELS_V1, imagenet-backbone, none, a file or a run")] = (
        "COCO_WITH_VOC_LABELS_V1"
    )
    pixels: Pixels = "auto"
    aux_weight: Annotated[
        float | None, Field(ge=0, description="weight of the auxiliary head's loss; 0.4 where there is one, 0 leaves it out")
    ] = None
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"

    @model_validator(mode="before")
    @classmethod
    def _settle_aux_weight(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and keys.get("aux_weight") is None:
            return {**keys, "aux_weight": 0.0 if str(keys.get("arch")).startswith("lraspp") else 0.4}
        return keys

    @model_validator(mode="after")
    def _auxiliary_head_is_there(self) -> TorchvisionConfig:
        if self.arch.startswith("lraspp") and self.aux_weight:
            raise ValueError(f"aux_weight must be 0 for {self.arch}, which has no auxiliary head; got {self.aux_weight:g}")
        return self


MASK2FORMER_RATE = 1e-4
HF_SIZES = {"segformer": ("b0", "b1", "b2", "b3", "b4", "b5"), "mask2former": ("tiny", "small", "base", "large")}
HfArch = Literal["segformer", "mask2former"]
HfSize = Literal["b0", "b1", "b2", "b3", "b4", "b5", "tiny", "small", "base", "large"]


class HfConfig(Section):
    """SegFormer or Mask2Former of transformers (extra hf)."""

    name: Literal["hf"] = "hf"
    arch: Annotated[HfArch, Field(description="segformer or mask2former")] = "segformer"
    size: Annotated[HfSize | None, Field(description="segformer: b0 to b5; mask2former: tiny, small, base or large")] = None
    weights: Annotated[str, Field(description="OWNER/NAME of the hub, a folder of save_pretrained, none, or a run")] = "none"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"

    @model_validator(mode="before")
    @classmethod
    def _settle_size(cls, keys: Any) -> Any:
        arch = str(keys.get("arch", "segformer")) if isinstance(keys, dict) else ""
        return {**keys, "size": HF_SIZES[arch][0]} if arch in HF_SIZES and keys.get("size") is None else keys

    @model_validator(mode="after")
    def _fits_together(self) -> HfConfig:
        if self.size not in HF_SIZES[self.arch]:
            raise ValueError(f"size must be {' or '.join(HF_SIZES[self.arch])} for {self.arch}; got {self.size}")
        if self.arch == "mask2former" and self.outputs == "sigmoid":
            raise ValueError("outputs must be softmax for mask2former, whose classes are compared with each other; got sigmoid")
        return self


class CustomModelConfig(CustomCode):
    """A network of your own: an nn.Module, or a class or function that gives one."""

    name: Literal["custom"] = "custom"
    weights: Annotated[str, Field(description="what to start from: none, given (an object's own), a file or a run")] = "none"
    pixels: Pixels = "auto"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"

    @property
    def arch(self) -> str:
        """What names of runs and tables say."""
        return name_of(self.source)


def model_shorthand(value: object) -> object:
    """`unet` → {name: unet}; `unet/resnet34` → {name: smp, arch: unet, encoder: resnet34}; other families by their own names.

    >>> model_shorthand("deeplabv3_resnet50"), [model_shorthand(name)["name"] for name in ("segformer/b2", "segformer/mit_b2")]
    ({'name': 'torchvision', 'arch': 'deeplabv3_resnet50'}, ['hf', 'smp'])
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


AnyModelConfig = AutoModelConfig | UnetConfig | Resnet34UnetConfig | SmpConfig | TorchvisionConfig | HfConfig | CustomModelConfig
ModelConfig = Annotated[
    AnyModelConfig,
    Field(discriminator="name"),
    BeforeValidator(model_shorthand, json_schema_input_type=AnyModelConfig | str),
]
