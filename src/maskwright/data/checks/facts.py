"""What one look at each pair's files tells: small facts, so that memory stays flat in the number of images."""

from __future__ import annotations

from dataclasses import dataclass, field

from maskwright.data.checks.signatures import Signature
from maskwright.data.dataset import Record
from maskwright.data.deep import TURNED, Head


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
    touching: dict[tuple[int, int], int] = field(default_factory=dict)  # unequal neighbours on every second row, smaller first
    between: dict[int, int] = field(default_factory=dict)  # pixels of a value that lie between others, as mixtures of them do
    palette: dict[int, int] = field(default_factory=dict)  # index → 0xRRGGBB, for palette masks
    grey_spread: int = 0  # colour masks: the largest difference between a pixel's three channels
    edges: tuple[float, float] | None = None  # how well the mask follows the image as it is, and turned by the image's EXIF
    signature: Signature | None = None  # of the decoded image, for finding duplicates
    constant: bool = False  # the image has one colour
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
