"""Every key a YAML may hold: typed, frozen, resolved once. No torch in here.

    config = load_config("my.yaml", [("train.epochs", "20", "--epochs")])
    config.train.epochs            # 20

A key that is not known, and a value that does not fit, is reported with its file and line (or
flag) and the nearest valid key; all of them at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

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


class SmpConfig(Section):
    """An architecture and encoder of segmentation-models-pytorch."""

    name: Literal["smp"] = "smp"
    arch: Annotated[str, Field(description="unet, unetplusplus, fpn, deeplabv3plus, …")] = "unet"
    encoder: Annotated[str, Field(description="resnet34, efficientnet-b0, …")] = "resnet34"
    weights: Annotated[str, Field(description="pretrained weights of the encoder, or none")] = "imagenet"
    outputs: Annotated[Literal["softmax", "sigmoid"], Field(description="a channel a class, or one for foreground")] = "softmax"


class LossTerm(Section):
    """One term of a mixed loss."""

    name: str
    weight: PositiveFloat = 1.0


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


class OptimConfig(Section):
    """The optimiser and the learning rate over time."""

    name: Annotated[Literal["adamw", "adam", "sgd"], Field(description="the rule of each step")] = "adamw"
    lr: Annotated[PositiveFloat, Field(description="the highest learning rate")] = 2e-3
    weight_decay: Annotated[float, Field(ge=0, description="on weight matrices only")] = 0.02
    schedule: Annotated[Literal["cosine", "constant"], Field(description="cosine always reaches its end")] = "cosine"
    warmup: Annotated[Fraction, Field(description="share of the steps over which the rate rises")] = 0.1
    clip: Annotated[PositiveFloat | None, Field(description="largest norm of the gradient")] = 1.0
    freeze: Annotated[
        list[Literal["encoder", "decoder", "head"]], Field(description="parts that do not learn: encoder, decoder, head")
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
    batch_size: Annotated[PositiveInt | Auto, Field(description="inputs a step")] = "auto"
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
    """`unet` → {name: unet}; `unet/resnet34` → {name: smp, arch: unet, encoder: resnet34}."""
    if isinstance(value, str):
        arch, slash, encoder = value.partition("/")
        return {"name": "smp", "arch": arch, "encoder": encoder} if slash else {"name": value}
    if isinstance(value, dict) and "name" not in value:
        return {"name": "smp" if {"arch", "encoder"} & value.keys() else "unet", **value}
    return value


ModelConfig = Annotated[
    UnetConfig | SmpConfig,
    Field(discriminator="name"),
    BeforeValidator(model_shorthand, json_schema_input_type=UnetConfig | SmpConfig | str),
]
AugmentPreset = Literal["none", "light", "standard", "heavy"]


class Config(Section):
    """Everything that decides a run.

    >>> Config().model.name
    'unet'
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = UnetConfig()
    loss: Annotated[str | list[LossTerm], Field(description="auto, one name, or a weighted mix")] = "auto"
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
