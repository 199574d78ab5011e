"""Decoding: every common kind of file comes out as RGB or raw labels, everything else as one sentence."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from maskwright.data.dataset import Bands
from maskwright.data.images import decode_colours, decode_image, decode_mask, decode_raw, image_head
from maskwright.errors import DataError

HERE = Path("somewhere/picture.png")
EXIF_ORIENTATION = 0x0112


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_opencv(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    """Pillow can't write 16-bit colours; OpenCV can."""
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, (5, 7), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_rgb_is_kept(kind: str, rgb: np.ndarray) -> None:
    assert (decode_image(encoded(rgb, kind), HERE) == rgb).all()


def test_grey_becomes_three_channels(rgb: np.ndarray) -> None:
    assert (decode_image(encoded(rgb[..., 0]), HERE) == rgb[..., :1]).all()
    black_and_white = np.array([[True, False]])
    assert decode_image(encoded(black_and_white), HERE).tolist() == [[[255] * 3, [0] * 3]]


def test_a_palette_is_looked_up_in_images(labels: np.ndarray) -> None:
    picture = Image.fromarray(labels)
    picture.putpalette([9, 8, 7, 1, 2, 3, 4, 5, 6, 10, 20, 30])
    table = np.array([[9, 8, 7], [1, 2, 3], [4, 5, 6], [10, 20, 30]])
    assert (decode_image(encoded(picture), HERE) == table[labels]).all()


def test_transparency_is_dropped_not_blended(rgb: np.ndarray) -> None:
    alpha = np.zeros((5, 7, 1), np.uint8)
    assert (decode_image(encoded(np.concatenate([rgb, alpha], axis=2)), HERE) == rgb).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_image_and_mask_alike(
    orientation: int, tmp_path: Path, rgb: np.ndarray, labels: np.ndarray
) -> None:
    turned = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1), 8: np.rot90,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    data = encoded(rgb, exif=exif)
    image, mask = decode_image(data, HERE), decode_mask(encoded(labels, exif=exif), HERE)
    assert (image == turned(rgb)).all()
    assert (mask == turned(labels)).all()
    (tmp_path / "a.png").write_bytes(data)
    head = image_head(tmp_path / "a.png")
    assert ((head.height, head.width), head.orientation) == (image.shape[:2], orientation)


DEEP = np.random.default_rng(2).integers(0, 65536, (4, 6, 3)).astype(np.uint16)


BGR = DEEP[..., ::-1]
DEEP_FILES = {
    "grey PNG": (encoded(DEEP[..., 0]), DEEP[..., :1]),
    "grey TIFF": (encoded(DEEP[..., 0], "TIFF"), DEEP[..., :1]),
    "32-bit TIFF": (encoded(DEEP[..., 0].astype(np.int32), "TIFF"), DEEP[..., :1]),
    "float TIFF": (encoded(DEEP[..., 0].astype(np.float32), "TIFF"), DEEP[..., :1]),
    "RGB PNG": (by_opencv(BGR), DEEP),
    "RGBA PNG": (by_opencv(np.concatenate([BGR, BGR[..., :1]], axis=2)), DEEP),
    "RGB TIFF": (by_opencv(BGR, ".tiff"), DEEP),
}


@pytest.mark.parametrize("case", DEEP_FILES)
def test_images_of_more_than_8_bits_keep_them(case: str, tmp_path: Path) -> None:
    """Pillow reads 16-bit colours as 8-bit ones without a word: the lower byte would be lost."""
    data, expected = DEEP_FILES[case]
    assert (decode_raw(data, HERE) == expected).all()
    with pytest.raises(DataError, match=r"picture\.png` must be an 8-bit image like the others"):
        decode_image(data, HERE)
    (tmp_path / "a.png").write_bytes(data)
    head = image_head(tmp_path / "a.png")
    assert (head.height, head.width, head.channels) == expected.shape
    assert head.dtype != "uint8"


def test_tones_are_spread_band_by_band() -> None:
    bands = Bands((0, 1, 2), (0, 1000, 0), (65535, 2000, 100))
    pixels = np.array([[[0, 1000, 50], [65535, 3000, 100], [32768, 1500, 0]]], np.uint16)
    found = decode_image(by_opencv(pixels[..., ::-1]), HERE, bands)
    assert found.tolist() == [[[0, 0, 128], [255, 255, 255], [128, 128, 0]]]


def test_bands_are_chosen_and_counted() -> None:
    many = np.random.default_rng(4).integers(0, 256, (6, 5, 7)).astype(np.uint8)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, many, photometric="minisblack", planarconfig="contig")
    assert (decode_raw(buffer.getvalue(), HERE) == many).all()
    assert (decode_image(buffer.getvalue(), HERE, Bands((6, 0))) == many[..., [6, 0]]).all()
    with pytest.raises(DataError, match="must have the bands 8; it has 7"):
        decode_image(buffer.getvalue(), HERE, Bands((7,)))


def test_masks_keep_their_raw_values(labels: np.ndarray) -> None:
    picture = Image.fromarray(labels)
    picture.putpalette([9, 8, 7, 1, 2, 3, 4, 5, 6, 10, 20, 30])
    grey_with_alpha = np.stack([labels, 255 - labels], axis=2)
    grey_as_colours = np.repeat(labels[..., None], 3, axis=2)
    with_alpha = np.concatenate([grey_as_colours, 255 - labels[..., None]], axis=2)
    for data in (
        encoded(labels), encoded(picture), encoded(labels, "TIFF"), encoded(grey_with_alpha), encoded(grey_as_colours),
        encoded(with_alpha), encoded(labels.astype(np.uint16)), encoded(labels.astype(np.float32), "TIFF"),
        encoded(picture, "GIF"),
    ):  # fmt: skip
        found = decode_mask(data, HERE)
        assert found.dtype == np.uint8
        assert (found == labels).all()


def test_black_and_white_masks_are_0_and_255() -> None:
    assert decode_mask(encoded(np.array([[True, False]])), HERE).tolist() == [[255, 0]]


def test_sixteen_bit_masks_keep_large_labels() -> None:
    labels = np.array([[0, 300, 65535]], np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode_mask(encoded(labels, kind), HERE)
        assert found.dtype == np.uint16
        assert (found == labels).all()


def test_colour_masks_are_refused(rgb: np.ndarray) -> None:
    with pytest.raises(DataError, match="one value a pixel; got a colour picture"):
        decode_mask(encoded(rgb), HERE)


def test_labels_that_are_no_labels_are_refused() -> None:
    with pytest.raises(DataError, match="whole numbers"):
        decode_mask(encoded(np.array([[0.5, 1]], np.float32), "TIFF"), HERE)
    with pytest.raises(DataError, match="0 to 65535; got -3"):
        decode_mask(encoded(np.array([[-3, 1]], np.int32), "TIFF"), HERE)
    with pytest.raises(DataError, match="0 to 65535"):
        decode_mask(encoded(np.array([[70000, 1]], np.int32), "TIFF"), HERE)
    with pytest.raises(DataError, match=r"picture\.png` must hold"):
        decode_mask(encoded(np.array([[np.nan, 1]], np.float32), "TIFF"), HERE)


NOISE = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
BROKEN = {
    "text": b"these are words",
    "empty": b"",
    "half a PNG": encoded(NOISE)[:2000],
    "half a JPEG": encoded(NOISE, "JPEG")[:1000],
    "a PNG's head": encoded(NOISE)[:20],
    "a PNG with flipped bytes": encoded(NOISE)[:500] + b"\0" * 100 + encoded(NOISE)[600:],
    "half a TIFF": encoded(NOISE, "TIFF")[:1000],
    "half a GIF": encoded(NOISE[..., 0], "GIF")[:600],
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_sentence(case: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(BROKEN[case])
    for kind, decode in (("image", decode_image), ("mask", decode_mask)):
        with pytest.raises(DataError, match=rf"broken\.png` must be .*readable {kind}; got .+ Replace or remove it\."):
            decode(BROKEN[case], path)
    if case in ("text", "empty", "a PNG's head"):
        with pytest.raises(DataError, match=r"broken\.png"):
            image_head(path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(DataError, match="an empty file"):
        decode_image(b"", path)


def test_size_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png` must be there; it is missing"):
        image_head(tmp_path / "a.png")


def frames(kind: str, pictures: list[np.ndarray]) -> bytes:
    """Several pictures in one file."""
    first, *others = [Image.fromarray(picture) for picture in pictures]
    return encoded(first, kind, save_all=True, append_images=others)


def tiff(*pages: tuple[np.ndarray, dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for pixels, options in pages:
            writer.write(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_files_of_several_pages_are_refused(kind: str, rgb: np.ndarray) -> None:
    """Pillow gives the first page and says nothing of the others."""
    data = frames(kind, [rgb[..., 0], rgb[..., 1], rgb[..., 2]])
    for decode in (decode_mask, decode_colours, *([decode_image] if kind != "TIFF" else [])):
        with pytest.raises(DataError, match=r"picture\.png` must hold one picture; got 3 pages\. Save"):
            decode(data, HERE)
    assert decode_mask(frames(kind, [rgb[..., 0]]), HERE).shape == (5, 7)


def test_pages_of_colours_are_refused(rgb: np.ndarray) -> None:
    with pytest.raises(DataError, match="got 2 pages"):
        decode_image(tiff((rgb, {}), (rgb, {})), HERE)
    deep = rgb.astype(np.uint16)
    with pytest.raises(DataError, match="must hold one picture; got 2 of different kinds"):
        decode_raw(tiff((deep[..., 0], {}), (deep[:3, :, 0], {})), HERE)


def test_a_band_a_page_is_one_picture_however_many_bands(rgb: np.ndarray) -> None:
    for bands in (2, 3, 4):
        stack = np.stack([rgb[..., band % 3] + np.uint8(band) for band in range(bands)])
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, stack, photometric="minisblack")
        assert (decode_raw(buffer.getvalue(), HERE) == np.moveaxis(stack, 0, -1)).all()


def test_smaller_copies_behind_a_map_are_no_pages(rgb: np.ndarray, labels: np.ndarray) -> None:
    reduced: dict[str, object] = {"subfiletype": 1}
    assert (decode_image(tiff((rgb, {}), (rgb[::2, ::2], reduced)), HERE) == rgb).all()
    assert (decode_mask(tiff((labels, {}), (labels[::2, ::2], reduced)), HERE) == labels).all()
    deep = rgb.astype(np.uint16)
    assert (decode_raw(tiff((deep, {}), (deep[::2, ::2], reduced)), HERE) == deep).all()


def test_previews_behind_a_photograph_are_no_pages() -> None:
    """Telephones write JPEGs with a second, smaller picture behind the first (MPO)."""
    large, small = np.full((16, 24, 3), 200, np.uint8), np.full((8, 8, 3), 10, np.uint8)
    data = frames("MPO", [large, small])
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    assert decode_image(data, HERE).shape == (16, 24, 3)
    assert decode_image(data, HERE).min() > 190
