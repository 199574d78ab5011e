"""Every key a YAML may hold: typed, frozen, resolved once. No torch in here.

    config = load_config("my.yaml", [("train.epochs", "20", "--epochs")])
    config.train.epochs            # 20

A key that is not known, and a value that does not fit, is reported with its file and line (or
flag) and the nearest valid key; all of them at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Label = Annotated[int, Field(ge=0, le=65535)]


def _mask_value(value: object) -> object:
    """One sentence for whatever is neither a label nor a colour."""
    if type(value) is int and 0 <= value <= 65535:
        return value
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return value
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value):
        return tuple(value)
    raise ValueError(f"must be 0 to 65535, '#rrggbb' or [r, g, b]; got {value!r}")


# what a class is in the mask files: a number, or a colour as '#rrggbb' or [r, g, b]
MaskValue = Annotated[int | str | tuple[int, int, int], BeforeValidator(_mask_value)]
Auto = Literal["auto"]


class Section(BaseModel):
    """A frozen part of the configuration that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


ReaderName = Literal["auto", "folders", "csv", "oxford-pet", "workshop", "voc", "cvat", "coco", "labelme", "instances", "geotiff"]


class SplitConfig(Section):
    """How images without a split of their own are dealt into train, val and test."""

    val: Annotated[Fraction, Field(description="share of the images held out for validation; with folds, 1 / folds is")] = 0.2
    test: Annotated[Fraction, Field(description="share of the images held out for the test, the same for every fold")] = 0.2
    seed: Annotated[int, Field(ge=0, description="the same seed and files give the same split")] = 0
    group: Annotated[
        str | None,
        Field(
            description="what stays on one side. auto: groups the data set names, else those its file names plainly show, and "
            "images that are nearly the same; a regular expression: images in whose names it finds the same, and images that "
            "are nearly the same; null: only groups the data set names"
        ),
    ] = "auto"
    stratify: Annotated[bool, Field(description="keep the classes' pixel shares alike on every side")] = True
    folds: Annotated[
        int | None, Field(ge=2, le=1000, description="cross-validation: deal all that is not test into so many folds")
    ] = None
    fold: Annotated[int, Field(ge=0, description="with folds: which fold is val, counted from 0")] = 0

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> SplitConfig:
        if self.folds is None and self.val + self.test >= 1:
            raise ValueError(f"val + test must be below 1; got {self.val + self.test:g}")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds, {self.folds}; got {self.fold}. Folds are counted from 0")
        return self


class DataConfig(Section):
    """Where the images and masks are, and what one training input is."""

    root: Annotated[str | None, Field(description="folder of the data set, or a CSV of image,mask[,split][,group]")] = None
    images: Annotated[str | None, Field(description="folder of images inside root, when it isn't found by name")] = None
    masks: Annotated[str | None, Field(description="folder of masks inside root, when it isn't found by name")] = None
    reader: Annotated[
        ReaderName, Field(description="how the folder is read; auto asks each reader whether it knows the layout")
    ] = "auto"
    target: Annotated[
        Literal["foreground", "trimap", "species", "breed"], Field(description="reader oxford-pet: what is segmented")
    ] = "foreground"
    boundary: Annotated[
        Literal["ignore", "foreground", "class"], Field(description="reader oxford-pet: what the band around the pet is")
    ] = "ignore"
    window: Annotated[
        PositiveInt | Literal["none"] | Auto, Field(description="rasters: side of the windows large scenes are read in")
    ] = "auto"
    bands: Annotated[
        list[PositiveInt] | None, Field(description="which bands of the images the network sees, counted from 1")
    ] = None
    tones: Annotated[
        tuple[float, float] | None, Field(description="images of more than 8 bits: values that become black and white")
    ] = None
    view: Annotated[Literal["auto", "whole", "crop"], Field(description="one input: the image resized, or a window")] = "auto"
    letterbox: Annotated[bool, Field(description="view whole: keep the aspect and fill the rest")] = False
    size: Annotated[PositiveInt | Auto, Field(description="side of one training input, in pixels")] = "auto"
    scale: Annotated[PositiveFloat | Auto, Field(description="view crop: images are scaled by this first")] = "auto"
    classes: Annotated[
        list[str] | dict[str, MaskValue] | None,
        Field(description="class names in order, or name: value in the masks (a number, '#rrggbb' or [r, g, b])"),
    ] = None
    ignore_index: Annotated[MaskValue | None, Field(description="mask value that is neither scored nor learned")] = 255
    foreground_from: Annotated[
        int | None, Field(ge=1, le=65535, description="binary masks: read values from here up as foreground")
    ] = None
    outside: Annotated[Literal["reflect", "ignore"], Field(description="what lies beyond the image's border")] = "reflect"
    sampling: Annotated[
        Literal["auto", "uniform", "balanced"], Field(description="train images: drawn alike, or more often with rare classes")
    ] = "auto"
    crop_focus: Annotated[
        Probability | Auto, Field(description="view crop: share of the windows aimed at a rare class, 0 to 1")
    ] = "auto"
    cache: Annotated[Literal["auto", "ram", "disk", "none"], Field(description="where decoded pixels are kept")] = "auto"
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _both_folders_or_neither(self) -> DataConfig:
        if (self.images is None) != (self.masks is None):
            raise ValueError("images and masks must be named together; got only one of them")
        return self


def is_colour(value: MaskValue) -> bool:
    """Whether a mask value is written as a colour."""
    return not isinstance(value, int)


def parse_value(value: MaskValue) -> int:
    """A mask value as a number; colours are 0xRRGGBB.

    >>> hex(parse_value("#ff8000")), hex(parse_value((255, 128, 0)))
    ('0xff8000', '0xff8000')
    """
    if isinstance(value, int):
        return value
    red, green, blue = bytes.fromhex(value[1:]) if isinstance(value, str) else value
    return (red << 16) | (green << 8) | blue


class UnetConfig(Section):
    """The U-Net of the lab, from scratch."""

    name: Literal["unet"] = "unet"
    up: Annotated[Literal["transposed", "bilinear"], Field(description="how the decoder doubles a feature map")] = "transposed"
    width: Annotated[PositiveInt | Auto, Field(description="channels of the first level; the lab's are 64")] = "auto"
    depth: Annotated[int, Field(ge=1, le=8, description="how many times the map is halved")] = 4
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"
    norm: Annotated[Literal["batch", "none"], Field(description="normalisation after each convolution")] = "batch"
    weights: Annotated[str, Field(description="what to start from: none, a weights file or a run folder")] = "none"


class PixelsConfig(Section):
    """What is subtracted from each band's 0 to 255 and what it is then divided by."""

    mean: Annotated[list[float], Field(description="one a band")]
    std: Annotated[list[PositiveFloat], Field(description="one a band")]


class SmpConfig(Section):
    """An architecture and encoder of segmentation-models-pytorch."""

    name: Literal["smp"] = "smp"
    arch: Annotated[str, Field(description="unet, unetplusplus, fpn, deeplabv3plus, …")] = "unet"
    encoder: Annotated[str, Field(description="resnet34, efficientnet-b0, tu-NAME for any of timm, …")] = "resnet34"
    weights: Annotated[
        str, Field(description="what to start from: none, imagenet or another set of the encoder's, a file, or a run folder")
    ] = "imagenet"
    pixels: Annotated[PixelsConfig | Auto, Field(description="how bands are normalised; auto: as the weights expect")] = "auto"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"


class Resnet34UnetConfig(Section):
    """A ResNet34 encoder with a U-Net's decoder, written out here."""

    name: Literal["resnet34_unet"] = "resnet34_unet"
    up: Annotated[Literal["transposed", "bilinear"], Field(description="how the decoder doubles a feature map")] = "transposed"
    width: Annotated[int, Field(ge=2, multiple_of=2, description="channels of the first block; ResNet34's are 64")] = 64
    weights: Annotated[str, Field(description="imagenet: the encoder is torchvision's resnet34; none, a file or a run")] = "none"
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


def _class_weights(value: object) -> object:
    """One sentence for what is no form of weights, and for nothing but zeros: a loss that teaches nothing."""
    if value is not None and value != "auto" and not isinstance(value, list | dict):
        raise ValueError(f"must be auto, a list of numbers in the classes' order, or {{class: number}}; got {value!r}")
    if isinstance(value, list) and not any(value):
        raise ValueError(f"must hold a weight above 0; got {value!r}")
    return value


_Weight = Annotated[float, Field(ge=0)]
TermWeight = Annotated[PositiveFloat, Field(description="share of this term in the mix")]
ClassWeights = Annotated[
    Auto | list[_Weight] | dict[str, _Weight] | None,
    BeforeValidator(_class_weights, json_schema_input_type=Auto | list[float] | dict[str, float] | None),
    Field(
        description="how much each class counts: numbers in the classes' order, name: number (others 1), or auto, from the "
        "training pixels; null: alike"
    ),
]
Smoothing = Annotated[Fraction, Field(description="share of the target spread evenly over all classes")]


class CeTerm(Section):
    """Cross-entropy: −log of the true class's probability, a mean over pixels."""

    name: Literal["ce"] = "ce"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    smoothing: Smoothing = 0.0


class BceTerm(Section):
    """Binary cross-entropy: foreground against background, or each class against the rest."""

    name: Literal["bce"] = "bce"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    smoothing: Smoothing = 0.0


class DiceTerm(Section):
    """1 − soft Dice of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["dice"] = "dice"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class JaccardTerm(Section):
    """1 − soft IoU of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["jaccard"] = "jaccard"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class TverskyTerm(Section):
    """As dice, with false positives and misses weighed apart."""

    name: Literal["tversky"] = "tversky"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    alpha: Annotated[float, Field(ge=0, description="weight of false positives; 0.5 and 0.5 are dice, 1 and 1 jaccard")] = 0.3
    beta: Annotated[float, Field(ge=0, description="weight of missed pixels; above alpha it favours recall")] = 0.7

    @model_validator(mode="after")
    def _some_error_counts(self) -> TverskyTerm:
        if self.alpha + self.beta == 0:
            raise ValueError("alpha or beta must be above 0; got 0 for both")
        return self


class FocalTerm(Section):
    """Cross-entropy in which pixels already right count little: times (1 − probability)^gamma."""

    name: Literal["focal"] = "focal"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    gamma: Annotated[float, Field(ge=0, le=10, description="how little they count; 0 is ce")] = 2.0


class LovaszTerm(Section):
    """Lovász-softmax: the IoU itself, made differentiable; foreground alone when there are two classes."""

    name: Literal["lovasz"] = "lovasz"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class TopkTerm(Section):
    """Cross-entropy of the batch's hardest pixels alone (OHEM)."""

    name: Literal["topk"] = "topk"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    share: Annotated[float, Field(gt=0, le=1, description="share of the labelled pixels that count, the worst first")] = 0.2
    threshold: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None,
        Field(description="pixels whose true class has a probability below this count as well"),
    ] = None


class BoundaryTerm(Section):
    """Cross-entropy in which pixels near the border of two classes count more."""

    name: Literal["boundary"] = "boundary"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    width: Annotated[int, Field(ge=1, le=64, description="how far near is, in pixels of the input")] = 3
    strength: Annotated[float, Field(gt=0, description="at the border a pixel counts 1 + strength times")] = 4.0


_Term = BceTerm | CeTerm | DiceTerm | JaccardTerm | TverskyTerm | FocalTerm | LovaszTerm | TopkTerm | BoundaryTerm
LossTerm = Annotated[_Term, Field(discriminator="name")]
LOSS_SECTIONS: dict[str, type[_Term]] = {
    "bce": BceTerm, "ce": CeTerm, "dice": DiceTerm, "jaccard": JaccardTerm, "tversky": TverskyTerm, "focal": FocalTerm,
    "lovasz": LovaszTerm, "topk": TopkTerm, "boundary": BoundaryTerm,
}  # fmt: skip
LossName = Literal["bce", "ce", "dice", "jaccard", "tversky", "focal", "lovasz", "topk", "boundary"]


def loss_shorthand(value: object) -> object:
    """`dice` → [{name: dice}]; auto and lists are left as they are."""
    if isinstance(value, str):
        return value if value == "auto" else [{"name": value}]
    if not isinstance(value, list):
        raise ValueError(f"must be auto, the name of a loss, or a list of {{name: …}}; got {value!r}")
    if not value:
        raise ValueError("must have at least one term; got an empty list. Write auto, ce, dice, …")
    return value


class AugmentOp(Section):
    """One named augmentation: its strength and how often it is applied (both have defaults)."""

    name: str
    amount: Annotated[float, Field(ge=0)] | None = None
    p: Probability | None = None


def _transforms(value: object) -> object:
    """The shape alone: names and arguments are the business of the installed Albumentations."""
    for one in value if isinstance(value, list) and value else [value]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not all(isinstance(key, str) for key in one):
            raise ValueError(f"must be {{name: …}} with the transform's arguments, or a list of them; got {one!r}")
        if "transforms" in one:  # OneOf and its like
            _transforms(one["transforms"])
    return value


class AlbumentationsOp(Section):
    """One transform of Albumentations with its arguments, or a list of them; applied after all operations of ours."""

    albumentations: Annotated[
        dict[str, Any] | list[dict[str, Any]],
        BeforeValidator(_transforms),
        Field(description="{name: ShiftScaleRotate, shift_limit: 0.1, p: 0.5}, or a list (extra albumentations)"),
    ]


def kind_of_step(value: object) -> str:
    """Which form of step is meant, by its keys: so that errors tell of that one alone."""
    foreign = isinstance(value, dict) and any(str(key).startswith("albument") for key in value)
    return "AlbumentationsOp" if foreign or isinstance(value, AlbumentationsOp) else "AugmentOp"


AugmentStep = Annotated[
    Annotated[AugmentOp, Tag("AugmentOp")] | Annotated[AlbumentationsOp, Tag("AlbumentationsOp")], Discriminator(kind_of_step)
]


Part = Literal["encoder", "decoder", "head"]
Schedule = Literal["constant", "step", "exponential", "cyclic", "cosine", "one-cycle", "poly", "plateau"]
PARTS = get_args(Part)
_THAW = "an epoch to thaw after (5, or 5 epochs) or always"


def _freeze(value: object) -> object:
    """`[encoder]` as it is; in `{encoder: 5 epochs}` the number alone."""
    named = value if isinstance(value, list | tuple | dict) else [value]
    strange = [name for name in named if name not in PARTS]
    if strange:
        raise ValueError(f"must name encoder, decoder or head; got {strange[0]!r}")
    if not isinstance(value, dict):
        return list(dict.fromkeys(named))
    return {part: _epochs_frozen(part, until) for part, until in value.items()}


def _epochs_frozen(part: str, until: object) -> object:
    found = re.fullmatch(r"(\d+)( epochs?)?", until.strip()) if isinstance(until, str) else None
    number = int(found[1]) if found else until
    if until == "always" or (type(number) is int and number > 0):
        return number
    raise ValueError(f"must give {part} {_THAW}; got {until!r}")


def _numbers(value: object) -> object:
    """Texts that are numbers as numbers: YAML 1.1 reads 1e-8 as text."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        return float(value)
    return value


def _arguments(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"must be arguments by name, such as {{betas: [0.9, 0.98]}}; got {value!r}")
    return _numbers(value)


class OptimConfig(Section):
    """The optimiser and the learning rate over time."""

    name: Annotated[str, Field(description="adamw, adam, sgd, or any other of torch.optim: radam, rmsprop, …")] = "adamw"
    options: Annotated[
        dict[str, Any],
        BeforeValidator(_arguments),
        Field(description="further arguments of the optimiser, such as {betas: [0.9, 0.98]}"),
    ] = {}
    lr: Annotated[PositiveFloat | Auto, Field(description="the highest learning rate; auto: found by a range test")] = 2e-3
    encoder_scale: Annotated[PositiveFloat, Field(description="the encoder's rate is lr times this; 0.1 spares it")] = 1.0
    weight_decay: Annotated[float, Field(ge=0, description="on weight matrices only")] = 0.02
    momentum: Annotated[Fraction, Field(description="sgd: share of the last step that is kept")] = 0.9
    nesterov: Annotated[bool, Field(description="sgd: look ahead along the momentum")] = True
    schedule: Annotated[Schedule, Field(description="how the rate changes; cosine always reaches its end")] = "cosine"
    warmup: Annotated[Fraction, Field(description="share of the steps over which the rate rises; one-cycle: usually 0.3")] = 0.1
    every: Annotated[PositiveInt | Auto, Field(description="step: epochs from one drop to the next")] = "auto"
    gamma: Annotated[
        Annotated[float, Field(gt=0, le=1)] | Auto,
        Field(description="step: what each drop multiplies the rate by; exponential: what each epoch does"),
    ] = "auto"
    period: Annotated[PositiveFloat | Auto, Field(description="cyclic: epochs from one low to the next")] = "auto"
    low: Annotated[Probability, Field(description="cyclic: the lowest rate, as a share of lr")] = 0.1
    power: Annotated[PositiveFloat, Field(description="poly: the rate falls as this power of what is left")] = 0.9
    patience: Annotated[PositiveInt, Field(description="plateau: epochs without a better one before the rate drops")] = 5
    factor: Annotated[float, Field(gt=0, lt=1, description="plateau: what a drop multiplies the rate by")] = 0.5
    clip: Annotated[PositiveFloat | None, Field(description="largest norm of the gradient")] = 1.0
    freeze: Annotated[
        list[Part] | dict[Part, PositiveInt | Literal["always"]],
        BeforeValidator(_freeze, json_schema_input_type=list[Part] | dict[Part, int | str] | Part),
        Field(description="parts that do not learn: [encoder, decoder, head], or {encoder: 5 epochs} to thaw later"),
    ] = []


class TrainConfig(Section):
    """How long and on what training runs."""

    epochs: Annotated[PositiveInt | Auto, Field(description="passes over the training images")] = "auto"
    minutes: Annotated[PositiveFloat | None, Field(description="epochs auto: as many as fit, by steps measured at the start")] = (
        None
    )
    grow: Annotated[
        Fraction | Auto, Field(description="share of the epochs, the first ones, trained on inputs of half the size")
    ] = "auto"
    repeats: Annotated[PositiveInt | Auto, Field(description="inputs drawn from each image an epoch")] = "auto"
    batch_size: Annotated[PositiveInt | Auto, Field(description="inputs the network sees at once")] = "auto"
    accumulate: Annotated[PositiveInt, Field(description="batches whose gradients make one step")] = 1
    seed: Annotated[int, Field(ge=0, description="decides the first weights and every random choice")] = 0
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="arithmetic of the network")] = "auto"
    devices: Annotated[Literal["auto", "cpu", "gpu"], Field(description="what the network runs on")] = "auto"
    workers: Annotated[Annotated[int, Field(ge=0)] | Auto, Field(description="processes that prepare inputs")] = "auto"
    monitor: Annotated[Literal["val_iou", "val_loss"], Field(description="what the best epoch is picked by")] = "val_iou"
    early_stop: Annotated[PositiveInt | None, Field(description="stop after so many epochs without a better one")] = None
    average: Annotated[Literal["ema", "none"], Field(description="average the weights over the last steps")] = "ema"
    allow: Annotated[
        list[str],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=list[str] | str),
        Field(description="codes of errors that maskwright check finds and that training goes on in spite of"),
    ] = []


def model_shorthand(value: object) -> object:
    """`unet` → {name: unet}; `unet/resnet34` → {name: smp, arch: unet, encoder: resnet34}; other families by their own names.

    >>> model_shorthand("deeplabv3_resnet50"), [model_shorthand(name)["name"] for name in ("segformer/b2", "segformer/mit_b2")]
    ({'name': 'torchvision', 'arch': 'deeplabv3_resnet50'}, ['hf', 'smp'])
    """
    if isinstance(value, str):
        arch, slash, rest = value.partition("/")
        if not slash and arch in get_args(TorchvisionArch):
            return {"name": "torchvision", "arch": arch}
        if arch in HF_SIZES and (not slash or rest in HF_SIZES[arch]):
            return {"name": "hf", "arch": arch, **({"size": rest} if slash else {})}
        return {"name": "smp", "arch": arch, "encoder": rest} if slash else {"name": value}
    if isinstance(value, dict) and "name" not in value:
        if value.get("arch") in get_args(TorchvisionArch):
            return {"name": "torchvision", **value}
        return {"name": "smp" if {"arch", "encoder"} & value.keys() else "unet", **value}
    return value


AnyModelConfig = UnetConfig | Resnet34UnetConfig | SmpConfig | TorchvisionConfig | HfConfig
ModelConfig = Annotated[
    AnyModelConfig,
    Field(discriminator="name"),
    BeforeValidator(model_shorthand, json_schema_input_type=AnyModelConfig | str),
]
AugmentPreset = Literal["none", "light", "standard", "heavy"]


class Config(Section):
    """Everything that decides a run.

    >>> Config().model.name
    'unet'
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = UnetConfig()
    loss: Annotated[
        Auto | list[LossTerm],
        BeforeValidator(loss_shorthand, json_schema_input_type=Auto | LossName | list[LossTerm]),
        Field(description="auto, one name, or a weighted mix"),
    ] = "auto"
    augment: Annotated[AugmentPreset | list[AugmentStep], Field(description="a preset, or a list of operations")] = "standard"
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    log: Annotated[list[Literal["csv", "tensorboard"]], Field(description="csv is always written")] = ["csv", "tensorboard"]

    def replace(self, changes: dict[str, Any]) -> Config:
        """A copy with dotted keys changed, validated anew.

        >>> Config().replace({"train.epochs": 3}).train.epochs
        3
        """
        tree = self.model_dump()
        for key, value in changes.items():
            *parents, last = key.split(".")
            node = tree
            for part in parents:
                node = node[part]
            node[last] = value
        return Config.model_validate(tree)
