"""What one look at a pair's files tells: decoded once, measured, and let go; small facts, so that memory stays flat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from maskwright.data.checks.smoothing import apart, lying_between
from maskwright.data.dataset import Bands, Record
from maskwright.data.decoding import decoding, open_picture, read_bytes
from maskwright.data.forms import load_mask
from maskwright.data.forms.pictures import LoadedMask
from maskwright.data.images import TURNED, Head, decode_colours, to_uint8, turn
from maskwright.data.layout import ARRAY_SUFFIXES, SPLIT_NAMES
from maskwright.data.raw import NO_DATA, Raw, compact, read_image, read_raw_image
from maskwright.data.signatures import Signature, check_sum, signature
from maskwright.errors import DataError

NEARLY_GREY = 40  # colours whose channels differ by less are greys that JPEG has tinted
_KINDS = {"picture": "grey", "colour": "colour"}  # of masks, by the form they are kept in; others are "other"
_KEPT_VALUES = 256
_FEW_VALUES = 64  # more are no classes, and what touches what says nothing
_ROWS_COMPARED = 128  # with the next one, of a large mask


@dataclass(frozen=True)
class PairFacts:
    """Facts of one record; what could not be read is None, and `problem` says why (`broken`: which files).

    image_file and mask_file are relative to the data set's root; `values` counts the mask's raw values.
    """

    record: Record
    image_file: str
    mask_file: str
    problem: str = ""
    broken: tuple[str, ...] = ()
    head: Head | None = None  # of the image; height and width upright
    mask_size: tuple[int, int] | None = None  # rows and columns as stored, before any turning
    mask_orientation: int = 1
    mask_kind: str = "grey"  # grey, palette, colour, other
    hashes: tuple[str, str] = ("", "")  # SHA-256 of image file and of what the mask was read from
    mask_hash: str = ""  # of the mask's decoded values, whatever file they were in
    values: dict[int, int] = field(default_factory=dict)
    num_values: int = 0  # how many different ones there are; `values` keeps the most frequent 256
    frame: dict[int, int] = field(default_factory=dict)  # values on the outermost rows and columns
    # unequal neighbours on every second row, smaller first
    touching: dict[tuple[int, int], int] = field(default_factory=dict)
    # pixels of a value that lie between others, as mixtures of them do
    between: dict[int, int] = field(default_factory=dict)
    palette: dict[int, int] = field(default_factory=dict)  # index → 0xRRGGBB, for palette masks
    grey_spread: int = 0  # colour masks: the largest difference between a pixel's three channels
    edges: tuple[float, float] | None = (
        None  # how well the mask follows the image as it is, and turned by the image's EXIF
    )
    signature: Signature | None = None  # of the decoded image, for finding duplicates
    constant: bool = False  # the image has one colour
    num_tones: int = 256  # of the image, any band's: those that hold nearly all of it
    num_not_finite: int = 0  # pixels of a picture (not a raster, which may name them nodata) that are no numbers

    @property
    def upright_mask(self) -> tuple[int, int] | None:
        """Rows and columns of the mask after its own EXIF orientation."""
        if self.mask_size is None or self.mask_orientation not in TURNED:
            return self.mask_size
        return self.mask_size[1], self.mask_size[0]

    @property
    def fits(self) -> bool:
        """Whether image and mask could be read and have one size."""
        return not self.problem and self.head is not None and self.upright_mask == (self.head.height, self.head.width)


@dataclass(frozen=True)
class MaskHead:
    """What a mask's picture file says of itself; palette: index → 0xRRGGBB, empty for greys."""

    size: tuple[int, int]
    orientation: int = 1
    palette: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Mask:
    """A mask's values as codes of one byte, however it was read; codes are None where there are too many values."""

    size: tuple[int, int]
    codes: np.ndarray | None
    values: tuple[int, ...]
    pixels: tuple[int, ...]
    digest: str
    kind: str
    num_values: int = 0
    grey_spread: int = 0
    between: dict[int, int] | None = None  # where the codes cannot tell


def look(record: Record, root: Path, bands: Bands | None, head: Head | None, named: Sequence[int] = ()) -> PairFacts:
    """Everything the audit asks of one pair, read tolerantly. Without `bands` each image is stretched for itself.

    `named` are the colours that have a meaning, for masks with more colours than can be told one by one.
    """
    problems: dict[str, str] = {}
    image, valid, mask, digest = None, None, None, str
    names = name_in(root, record.image), name_in(root, record.mask)
    try:
        image, valid, digest = read_image(record, bands) if bands else _stretched(record)
    except DataError as error:
        problems[names[0]] = str(error)
    if image is not None or record.form.kind in ("picture", "colour"):
        try:
            mask = _read_mask(record, image, valid, named)
        except DataError as error:
            problems[names[1]] = str(error)
    if problems:
        return PairFacts(record, *names, problem=" ".join(problems.values()), broken=tuple(problems), head=head)
    assert image is not None and mask is not None
    try:
        with decoding(record.image, "image"):
            return _facts(record, names, image, mask, digest(), head, signature(image))
    except DataError as error:
        return PairFacts(record, *names, problem=str(error), broken=names[:1], head=head)


def facts_of(record: Record, raw: Raw, root: Path, head: Head | None, signed: Signature | None) -> PairFacts:
    """The same of a pair that is in memory already, its image signed."""
    height, width = raw.codes.shape
    kind = _KINDS.get(record.form.kind, "other")
    mask = _Mask((height, width), raw.codes, raw.values, raw.pixels, raw.hashes[1], kind, len(raw.counts))
    names = name_in(root, record.image), name_in(root, record.mask)
    return _facts(record, names, raw.image, mask, raw.hashes[0], head, signed)


def folder_of(root: str | None) -> Path:
    """The folder that files are named relative to: a CSV of pairs lies in it."""
    path = Path(root or "")
    return path.parent if path.is_file() else path


def pair_folders(records: Sequence[Record], root: Path) -> tuple[str, str] | None:
    """The two folders all pairs lie in; None where folders tell more than that, such as splits."""
    places = [{record.image.parent for record in records}, {record.mask.parent for record in records}]
    if any(len(some) != 1 for some in places) or places[0] == places[1]:
        return None
    images, masks = (Path(os.path.relpath(some.pop(), root)) for some in places)
    if any(part.lower() in SPLIT_NAMES or part in ("..", "") for part in (*images.parts, *masks.parts)):
        return None
    return images.as_posix(), masks.as_posix()


def name_in(root: Path, path: Path) -> str:
    """A file's name inside the data set."""
    text, start = str(path), f"{root}{os.sep}"
    if text.startswith(start) and os.pardir not in text:  # as nearly always, and four times as quick
        return text[len(start) :].replace(os.sep, "/")
    return Path(os.path.relpath(path, root)).as_posix()


def _facts(
    record: Record,
    names: tuple[str, str],
    image: np.ndarray,
    mask: _Mask,
    image_hash: str,
    head: Head | None,
    signed: Signature | None,
) -> PairFacts:
    counts = {
        value: number for value, number in zip(mask.values, mask.pixels, strict=True) if number and value != NO_DATA
    }
    stored = mask_head(record)
    palette = (
        {index: stored.palette[index] for index in counts if index < len(stored.palette)}
        if len(counts) <= _FEW_VALUES
        else {}
    )
    kind = "palette" if stored.palette and mask.kind == "grey" else mask.kind
    frame, touching = ({}, {}) if mask.codes is None else _places(mask.codes, mask.values, len(counts))
    between = mask.between or {}
    if mask.codes is not None and len(counts) > 2:
        found = lying_between(mask.codes, kind == "colour")
        between = {
            mask.values[code]: int(found[code]) for code in np.flatnonzero(found) if mask.values[code] != NO_DATA
        }
    return PairFacts(
        record,
        *names,
        head=head or Head(image.shape[0], image.shape[1], image.shape[2]),
        mask_size=stored.size if record.form.kind in ("picture", "colour") and stored.size != (0, 0) else mask.size,
        mask_orientation=stored.orientation,
        mask_kind=kind,
        hashes=(image_hash, mask.digest),
        mask_hash=_values_hash(mask, counts),
        values=counts,
        num_values=mask.num_values,
        frame=frame,
        touching=touching,
        between=between,
        palette=palette,
        grey_spread=mask.grey_spread,
        edges=_edges(image, mask, head, stored),
        signature=signed,
        constant=_constant(image),
        num_tones=_num_tones(image),
        num_not_finite=(
            0 if record.form.kind == "raster" else dict(zip(mask.values, mask.pixels, strict=True)).get(NO_DATA, 0)
        ),
    )


def mask_head(record: Record) -> MaskHead:
    """Size as stored, EXIF orientation and palette of a mask's picture; zeros where it is no picture."""
    if record.form.kind not in ("picture", "colour"):
        return MaskHead((0, 0))
    try:
        with open_picture(record.mask, record.mask, "mask") as image:
            palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
            colours = np.array(palette or [], np.int64).reshape(-1, 3) @ (1 << 16, 1 << 8, 1)
            is_grey = (colours == np.arange(len(colours)) * 0x010101).all()
            return MaskHead(
                (image.height, image.width),
                Image.Image.getexif(image).get(0x0112, 1),
                () if is_grey else tuple(colours.tolist()),
            )
    except DataError:
        return MaskHead((0, 0))


def _read_mask(record: Record, image: np.ndarray | None, valid: np.ndarray | None, named: Sequence[int]) -> _Mask:
    size = (image.shape[0], image.shape[1]) if image is not None else (0, 0)
    try:
        loaded, kind, spread = load_mask(record, size), _KINDS.get(record.form.kind, "other"), 0
    except DataError:
        if record.form.kind != "picture" or record.mask.suffix.lower() in ARRAY_SUFFIXES:
            raise
        found = _as_colours(record)  # a broken file is broken for this, too
        if found is None:
            raise
        loaded, spread = found
        kind = "colour"
    shape = (loaded.raw.shape[0], loaded.raw.shape[1])
    valid = valid if valid is not None and valid.shape == shape else None
    try:
        codes, values, pixels = compact(loaded.raw, valid, record)
        number = sum(1 for value, count in zip(values, pixels, strict=True) if count and value != NO_DATA)
        return _Mask(shape, codes, values, pixels, loaded.digest, kind, number, spread)
    except DataError:  # more values than any set of classes has
        raw, between = loaded.raw, None
        if kind == "colour" and named:
            raw, areas = apart(raw, named)
            thin = np.unique(raw[~areas & ~np.isin(raw, named)], return_counts=True)
            between = dict(zip(thin[0].tolist(), thin[1].tolist(), strict=True))
        values, counts = np.unique(raw, return_counts=True)
        kept = np.sort(np.argsort(counts, kind="stable")[::-1][:_KEPT_VALUES])
        histogram = tuple(values[kept].tolist()), tuple(counts[kept].tolist())
        return _Mask(shape, None, *histogram, loaded.digest, kind, len(values), spread, between)


def _as_colours(record: Record) -> tuple[LoadedMask, int] | None:
    """A picture of colours as numbers, or of greys that JPEG has tinted as greys; None where its channels are equal."""
    data = read_bytes(record.mask)
    colours = decode_colours(data, record.mask)
    digest = hashlib.sha256(data).hexdigest
    channels = channels_of(colours)
    spread = int((channels.max(0) - channels.min(0)).max(initial=0))
    if spread == 0:
        return None
    if spread < NEARLY_GREY:
        return LoadedMask(np.rint(channels.mean(0)).astype(np.uint8), digest), spread
    return LoadedMask(colours, digest), spread


def channels_of(colours: np.ndarray) -> np.ndarray:
    """Red, green and blue of colours as 0xRRGGBB. H W → 3 H W int16"""
    return np.stack([(colours >> shift) & 255 for shift in (16, 8, 0)]).astype(np.int16)


def _stretched(record: Record) -> tuple[np.ndarray, np.ndarray | None, Callable[[], str]]:
    """An image among others of different depth: its own darkest and brightest value become 0 and 255."""
    raw, valid = read_raw_image(record)
    digest = hashlib.sha256(read_bytes(record.image)).hexdigest
    if raw.dtype == np.uint8:
        return raw, valid, digest
    known = raw[np.isfinite(raw)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    bands = Bands(tuple(range(raw.shape[2])), (low,) * raw.shape[2], (high if high > low else low + 1,) * raw.shape[2])
    return to_uint8(raw, bands, record.image), valid, digest


def _places(
    codes: np.ndarray, values: tuple[int, ...], number: int
) -> tuple[dict[int, int], dict[tuple[int, int], int]]:
    """Values on the mask's outermost rows and columns, and which values lie beside which."""
    if not codes.size:
        return {}, {}
    frame = np.bincount(np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]]), minlength=256)
    on_frame = {values[code]: int(frame[code]) for code in np.flatnonzero(frame) if values[code] != NO_DATA}
    touching: dict[tuple[int, int], int] = {}
    if not 2 < number <= _FEW_VALUES:  # of two values each touches the other
        return on_frame, touching
    # some rows (all pairs of a small mask's) are enough to see which values are neighbours, in a fraction of the time;
    # and few pixels have a neighbour of another value: taking those out by their places is quicker than by a mask
    step = max(2, len(codes) // _ROWS_COMPARED)
    rows, others = codes[::step].ravel(), codes[1::step].ravel()
    beside = np.flatnonzero(rows[1:] != rows[:-1])
    beside = beside[(beside + 1) % codes.shape[1] != 0]  # a row's last pixel is no neighbour of the next one's first
    below = np.flatnonzero(rows[: others.size] != others)
    for a, b in ((rows[beside], rows[beside + 1]), (rows[below], others[below])):
        found = np.bincount(np.minimum(a, b).astype(np.int32) * 256 + np.maximum(a, b), minlength=1)
        for key in np.flatnonzero(found).tolist():
            pair = values[key // 256], values[key % 256]
            pair = (min(pair), max(pair))
            if NO_DATA not in pair:
                touching[pair] = touching.get(pair, 0) + int(found[key])
    return on_frame, touching


def _edges(image: np.ndarray, mask: _Mask, head: Head | None, stored: MaskHead) -> tuple[float, float] | None:
    """How strong the image's edges are along the mask's borders, as it is and turned as the image was."""
    if head is None or head.orientation == 1 or stored.orientation != 1 or mask.codes is None or stored.size == (0, 0):
        return None
    size = image.shape[:2]
    turned = turn(mask.codes, head.orientation)
    if mask.codes.shape != size or turned.shape != size:
        return None
    grey = np.ascontiguousarray(image[..., :3].mean(2), np.float32)
    slopes = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    found = [float(slopes[border].mean()) for codes in (mask.codes, turned) if (border := _borders(codes)).any()]
    return (found[0], found[1]) if len(found) == 2 else None


def _borders(codes: np.ndarray) -> np.ndarray:
    border = np.zeros(codes.shape, bool)
    border[1:] |= codes[1:] != codes[:-1]
    border[:, 1:] |= codes[:, 1:] != codes[:, :-1]
    return border


def _constant(image: np.ndarray) -> bool:
    """Whether all pixels are alike; a coarse grid tells most images apart at once."""
    first = image[0, 0]
    return bool((image[::16, ::16] == first).all() and (image == first).all())


def _num_tones(image: np.ndarray) -> int:
    """How many tones hold nearly all of an image, by a coarse grid of its pixels: a few in drawings and masks."""
    steps = [max(1, side // 64) for side in image.shape[:2]]
    counts = np.sort(np.bincount(image[:: steps[0], :: steps[1]].ravel(), minlength=256))[::-1]
    return int(np.searchsorted(counts.cumsum(), 0.95 * counts.sum())) + 1


def _values_hash(mask: _Mask, counts: dict[int, int]) -> str:
    """Equal for masks of the same values, whatever the files are: size, pixels of each value, and a check sum."""
    if mask.codes is None:
        return mask.digest
    codes = mask.codes
    # labels of one byte, so that all such masks compare
    if mask.values != tuple(range(256)) and max(counts, default=0) < 256:
        table = np.zeros(256, np.uint8)
        table[: len(mask.values)] = [max(0, value) & 255 for value in mask.values]
        codes = table[codes]
    content = repr((mask.size, sorted(counts.items()), check_sum(np.ascontiguousarray(codes))))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
