"""`data:` – where images and masks are, what their values mean, how they are split."""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from maskwright.config.base import Auto, Count, Fraction, Probability, Section, Seed, option

_Side = Annotated[int, Field(gt=0, le=16384)]


def _size(value: object) -> object:
    """One side, or height and width: [288, 384], 288x384. Equal sides are one."""
    if value == "auto":
        return value
    sides: list[object] = [value]
    if isinstance(value, str):
        sides = [int(word) if re.fullmatch("[0-9]{1,9}", word) else 0 for word in re.split(" *[xX×] *", value.strip())]
    elif isinstance(value, list | tuple) and len(value) == 2:
        sides = list(value)
    numbers = [float(side) for side in sides if isinstance(side, Real) and not isinstance(side, bool)]  # numpy's too
    whole = [int(side) for side in numbers if side in range(1, 16385)]
    if len(whole) != len(sides) or len(sides) > 2:
        fix = "Write it as 256 or 288x384."
        raise ValueError(f"must be auto, or one side or HEIGHTxWIDTH, from 1 to 16384 pixels; got {value!r}. {fix}")
    return whole[0] if len(set(whole)) == 1 else tuple(whole)


_SizeInput = _Side | tuple[_Side, _Side] | Literal["auto"] | Annotated[str, Field(pattern="^[0-9]+ *[xX×] *[0-9]+$")]
# what a training input measures: its side, or its height and width
Size = Annotated[
    _Side | tuple[_Side, _Side] | Literal["auto"], BeforeValidator(_size, json_schema_input_type=_SizeInput)
]
_Scale = Annotated[float, Field(ge=0.01, le=16)]
Label = Annotated[int, Field(ge=0, le=65535)]


def _mask_value(value: object) -> object:
    """One sentence for whatever is neither a label nor a colour."""
    if type(value) is int and 0 <= value <= 65535:
        return value
    if isinstance(value, str) and re.fullmatch("#[0-9a-fA-F]{6}", value):
        return value
    if (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(type(part) is int and 0 <= part <= 255 for part in value)
    ):
        return tuple(value)
    raise ValueError(f"must be 0 to 65535, '#rrggbb' or [r, g, b]; got {value!r}")


# what a class is in the mask files: a number, or a colour as '#rrggbb' or [r, g, b]
MaskValue = Annotated[int | str | tuple[int, int, int], BeforeValidator(_mask_value)]


def _ignored(value: object) -> object:
    """One value or several. Three small numbers stay as they are: `ignored_values` knows whether they are a colour."""
    try:
        return tuple(_mask_value(part) for part in value) if isinstance(value, list | tuple) else _mask_value(value)
    except ValueError as error:
        raise ValueError(f"{error}. Several stand in a list: [0, 255] or ['#000000', '#9b9b9b']") from None


Ignored = Annotated[int | str | tuple[int | str | tuple[int, int, int], ...], BeforeValidator(_ignored)]

ReaderName = Literal[
    "auto", "folders", "csv", "oxford-pet", "workshop", "voc", "cvat", "coco", "labelme", "instances", "geotiff"
]


class SplitConfig(Section):
    """How images without a split of their own are split into train, val and test."""

    val: Fraction = option(0.2, "share of the images held out for validation; with folds, 1 / folds is")
    test: Fraction = option(0.2, "share of the images held out for the test, the same for every fold")
    seed: Seed = option(0, "the same seed and files give the same split")
    group: str | None = option(
        "auto",
        "what stays on one side. auto: groups the data set names, else those its file names plainly show, and images "
        "that are nearly the same; a regular expression: images in whose names it finds the same, and images that are "
        "nearly the same ('.+': these alone); null: only groups the data set names",
    )
    stratify: bool = option(True, "keep the classes' pixel shares alike on every side")
    folds: int | None = option(None, "cross-validation: deal all that is not test into so many folds", ge=2, le=1000)
    fold: int = option(0, "with folds: which fold is val, counted from 0", ge=0, le=999)

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> SplitConfig:
        if self.folds is None and self.val + self.test >= 1:
            raise ValueError(f"val + test must be below 1; got {self.val + self.test:g}")
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds, {self.folds}; got {self.fold}. Folds are counted from 0")
        return self


class TilesConfig(Section):
    """view crop: how validation and prediction cut what is too large for one pass; in pixels that the network sees."""

    side: _Side | Auto = option("auto", "side of a tile; auto: 512, or the size trained on where that is larger")
    overlap: int = option(64, "pixels two neighbours share, over which one fades into the other", ge=0, le=8192)
    whole: int = option(1 << 20, "images of up to so many pixels (1024 × 1024) are seen in one pass", ge=1, le=1 << 30)

    @model_validator(mode="after")
    def _two_share_a_pixel_at_most(self) -> TilesConfig:
        if self.side != "auto" and 2 * self.overlap > self.side:
            raise ValueError(f"overlap must be at most half of side, {self.side // 2}; got {self.overlap}")
        return self


class DataConfig(Section):
    """Where the images and masks are, and what one training input is."""

    root: str | None = option(None, "folder, or CSV of image,mask[,split][,group]; in a file, relative to the file")
    images: str | None = option(None, "folder of images in root, or a pattern such as '*/images', if not found by name")
    masks: str | None = option(None, "folder of masks in root, or a pattern such as '*/masks', if not found by name")
    reader: ReaderName = option("auto", "how the folder is read; auto asks each reader whether it knows the layout")
    target: Literal["foreground", "trimap", "species", "breed"] = option("foreground", "oxford-pet: what is segmented")
    boundary: Literal["ignore", "foreground", "class"] = option("ignore", "oxford-pet: what the band around the pet is")
    window: Count | Literal["none"] | Auto = option("auto", "rasters: side of the windows large scenes are read in")
    bands: list[Count] | None = option(None, "which bands of the images the network sees, counted from 1")
    tones: tuple[float, float] | None = option(None, "images of more than 8 bits: values that become black and white")
    view: Literal["auto", "whole", "crop"] = option("auto", "one input: the image resized, or a window")
    letterbox: bool = option(False, "view whole: keep the aspect and fill the rest")
    size: Size = option("auto", "one training input in pixels: its side, or height and width: 288x384")
    scale: _Scale | Auto = option("auto", "view crop: images are scaled by this first")
    tiles: TilesConfig = TilesConfig()
    classes: list[str] | dict[str, MaskValue] | None = option(
        None, "names in order, or name: number or colour in masks"
    )
    ignore_index: Ignored | None = option(255, "mask value, or a list of them, that is neither scored nor learned")
    foreground_from: int | None = option(None, "binary masks: read values from here up as foreground", ge=1, le=65535)
    multiscale: bool | Auto = option("auto", "predict at half the size too, and average; auto: if trained at both")
    outside: Literal["reflect", "ignore"] = option("reflect", "what lies beyond the image's border")
    sampling: Literal["auto", "uniform", "balanced"] = option("auto", "balanced: images of rare classes more often")
    crop_focus: Probability | Auto = option("auto", "view crop: share of the windows aimed at a rare class, 0 to 1")
    cache: Literal["auto", "ram", "disk", "none"] = option("auto", "where decoded pixels are kept")
    split: SplitConfig = SplitConfig()

    @model_validator(mode="after")
    def _both_folders_or_neither(self) -> DataConfig:
        if (self.images is None) != (self.masks is None):
            raise ValueError("images and masks must be named together; got only one of them")
        return self

    @field_validator("tones")
    @classmethod
    def _tones_in_order(cls, tones: tuple[float, float] | None) -> tuple[float, float] | None:
        if tones is not None and not -math.inf < tones[0] < tones[1] < math.inf:
            raise ValueError(f"must be a lower and a higher value; got {tones[0]:g} and {tones[1]:g}")
        return tones


def is_colour(value: MaskValue) -> bool:
    """Whether a mask value is written as a colour."""
    return not isinstance(value, int)


def ignored_values(config: DataConfig, colours: bool) -> tuple[int, ...]:
    """The values configured as ignored, as numbers; a number says nothing where masks hold colours, nor vice versa.

    >>> ignored_values(DataConfig(ignore_index=(0, 255)), False)
    (0, 255)
    >>> ignored_values(DataConfig(ignore_index=("#000001", 7)), True)
    (1,)
    """
    index = config.ignore_index
    if index is None:
        return ()
    some: tuple[MaskValue, ...] = index if isinstance(index, tuple) else (index,)
    if colours and len(some) == 3 and all(isinstance(part, int) and part < 256 for part in some):
        some = (cast("tuple[int, int, int]", some),)  # [r, g, b]
    return tuple(dict.fromkeys(parse_value(value) for value in some if is_colour(value) == colours))


def parse_value(value: MaskValue) -> int:
    """A mask value as a number; colours are 0xRRGGBB.

    >>> hex(parse_value("#ff8000")), hex(parse_value((255, 128, 0)))
    ('0xff8000', '0xff8000')
    """
    if isinstance(value, int):
        return value
    red, green, blue = bytes.fromhex(value[1:]) if isinstance(value, str) else value
    return (red << 16) | (green << 8) | blue
