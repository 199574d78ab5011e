"""Files that are damaged, hostile or no files: read, or refused in one sentence; no crash, no hang, no memory bomb.

`mutations` spoils one good file of each kind; `-m slow` does so thousands of times.
"""

from __future__ import annotations

import ast
import contextlib
import faulthandler
import io
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskwright as package
from data.layouts import LAYOUTS, raster
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.dataset import Bands
from maskwright.data.decoding import read_bytes
from maskwright.data.forms.arrays import decode_array
from maskwright.data.images import decode_colours, decode_mask, decode_raw, image_head, to_uint8
from maskwright.data.opening import open_dataset
from maskwright.data.rasters import georeferenced
from maskwright.errors import DataError, MaskwrightError
from maskwright.runtime import free_memory
from mutations import good_arrays, good_pictures, mutations, tiff
from support import TINY, columns, copy_of, data, discs, finished, maskwright, noise, picture

SECONDS = 8  # a decoder takes milliseconds; the machine may be busy
MEMORY = 1 << 30  # more than that for a file of some kilobytes is a bomb that went off


@pytest.fixture(autouse=True)
def _stopped_when_it_hangs() -> Iterator[None]:
    """What hangs in a library's own code cannot be interrupted: the worker ends, and says where it was."""
    faulthandler.dump_traceback_later(120, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()


def read_or_refused(read: Callable[[], object], told: str, lines: bool = False) -> None:
    """Run a reader on a spoilt file; anything but its result and our own errors is a failure."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    sentence = "read."
    try:
        read()
    except MaskwrightError as error:
        sentence = str(error)
    except Exception as error:
        raise AssertionError(f"{told}: {type(error).__name__}: {error}") from error
    assert lines or ("\n" not in sentence and sentence.endswith(".")), told
    assert time.perf_counter() - started < SECONDS, told
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY, told


def spoil_picture(name: str, good: bytes, folder: Path, count: int, seed: int) -> None:
    path = folder / name
    for told, spoilt in mutations(good, count, seed):
        path.write_bytes(spoilt)
        for read in (decode_raw, decode_mask, decode_colours):
            read_or_refused(lambda read=read: read(spoilt, path), f"{name}, {told}, {read.__name__}")  # noqa: B023
        read_or_refused(lambda: image_head(path), f"{name}, {told}, image_head")
        read_or_refused(lambda: georeferenced(path), f"{name}, {told}, georeferenced")


@pytest.mark.parametrize("name", good_pictures())
def test_spoilt_pictures(name: str, tmp_path: Path) -> None:
    spoil_picture(name, good_pictures()[name], tmp_path, 20, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", good_pictures())
def test_spoilt_pictures_by_the_thousand(name: str, tmp_path: Path) -> None:
    spoil_picture(name, good_pictures()[name], tmp_path, 2000, seed=1)


def spoil_array(name: str, good: bytes, folder: Path, count: int, seed: int) -> None:
    for told, spoilt in mutations(good, count, seed):
        read_or_refused(lambda: decode_array(spoilt, folder / name, (20, 24)), f"{name}, {told}")  # noqa: B023


@pytest.mark.parametrize("name", good_arrays())
def test_spoilt_arrays(name: str, tmp_path: Path) -> None:
    spoil_array(name, good_arrays()[name], tmp_path, 100, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", good_arrays())
def test_spoilt_arrays_by_the_thousand(name: str, tmp_path: Path) -> None:
    spoil_array(name, good_arrays()[name], tmp_path, 10_000, seed=1)


def npy_head(shape: str, dtype: str = "|u1") -> bytes:
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(480)


def npz_of(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mask.npy", member)
    return buffer.getvalue()


def nested_cells(depth: int) -> bytes:
    """A .mat file of a cell in a cell in a cell …"""
    flags = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, 1) + struct.pack("<II", 1, 0)
    inner = b"".join(
        struct.pack("<II", 14, len(flags) * (depth - level) + 8 * (depth - level - 1)) + flags for level in range(depth)
    )
    return b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + inner


BOMBS = {
    "shape.npy": npy_head("(1000000, 1000000)"), "beyond.npy": npy_head(f"({10**400}, 2)"),
    "minus.npy": npy_head("(-20, 24)"), "text.npy": npy_head("('a', 2)"), "objects.npy": npy_head("(20, 24)", "|O"),
    "void.npy": npy_head("(1,)", "|V999999999"), "shape.npz": npz_of(npy_head("(1000000, 1000000)")),
    "zeros.npz": npz_of(npy_head("(20000, 20000)") + bytes(10**8)), "deep.mat": nested_cells(20_000),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_arrays_that_promise_too_much(name: str, tmp_path: Path) -> None:
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"must (be a whole, readable array file|hold plain numbers|hold a mask)"):
        decode_array(BOMBS[name], tmp_path / name, (20, 24))
    assert time.perf_counter() - started < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def readings(root: Path) -> list[Callable[[], object]]:
    """What reads a whole data set."""
    config = DataConfig(root=str(root))
    return [lambda: audit(config, cheap_only=True), lambda: open_dataset(config)]


def spoil_set(layout: str, root: Path, count: int, seed: int) -> None:
    """Every list and annotation of a data set, and an image and a mask of it, one after the other."""
    LAYOUTS[layout](root)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    pictures = [path for path in files if path.suffix in (".png", ".jpg", ".tif")]
    for path in [*(path for path in files if path not in pictures), pictures[0], pictures[-1]]:
        good = path.read_bytes()
        for told, spoilt in mutations(good, count, seed):
            path.write_bytes(spoilt)
            for read in (
                lambda: audit(DataConfig(root=str(root)), cheap_only=True),
                lambda: open_dataset(DataConfig(root=str(root))),
            ):
                read_or_refused(read, f"{path.relative_to(root)}, {told}", lines=True)
        path.write_bytes(good)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_spoilt_sets(layout: str, tmp_path: Path) -> None:
    spoil_set(layout, tmp_path, 4, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_spoilt_sets_by_the_hundred(layout: str, tmp_path: Path) -> None:
    spoil_set(layout, tmp_path, 400, seed=1)


def spoil_raster(folder: Path, count: int, seed: int) -> None:
    """A GeoTIFF through rasterio: its head, its pixels, its values as a mask, and where it lies."""
    rasters = pytest.importorskip("maskwright.data.rasters")
    pixels = np.random.default_rng(0).integers(0, 3, (20, 24, 3)).astype(np.uint16)
    plain = raster(folder / "plain.tif", pixels, nodata=0)
    packed = raster(
        folder / "packed.tif",
        pixels[..., 0].astype(np.uint8),
        compress="deflate",
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    for path in (plain, packed):
        for told, spoilt in mutations(path.read_bytes(), count, seed):
            path.write_bytes(spoilt)
            for read in (rasters.raster_facts, rasters.raster_pixels, rasters.raster_values, rasters.read_georeference):
                read_or_refused(lambda read=read, path=path: read(path), f"{path.name}, {told}, {read.__name__}")


def test_spoilt_rasters(tmp_path: Path) -> None:
    spoil_raster(tmp_path, 25, seed=0)


@pytest.mark.slow
def test_spoilt_rasters_by_the_thousand(tmp_path: Path) -> None:
    spoil_raster(tmp_path, 3000, seed=1)


# ------------------------------------------------------------------ pictures that are something else


def test_one_function_opens_pictures() -> None:
    """Pillow runs other programs for some formats, and its limit of pixels is not ours."""
    sources = Path(package.__file__).parent
    found = {}
    for path in sources.rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = [ast.unparse(call) for call in calls]
        if any(
            name in ("Image.open", "PIL.Image.open", "TiffFile", "tifffile.TiffFile", "tifffile.imread")
            for name in names
        ):
            found[path.relative_to(sources).as_posix()] = True
    assert set(found) == {"data/decoding.py", "data/images.py"}


def test_postscript_under_the_name_of_a_picture_runs_nothing(tmp_path: Path) -> None:
    """Pillow hands PostScript to Ghostscript, which is the first program called gs."""
    gs = tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\necho run >> {tmp_path / 'ran'}\n")
    gs.chmod(0o755)
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    code = (
        "import sys; from pathlib import Path; from maskwright.data.images import *\n"
        "path = Path(sys.argv[1])\n"
        "for read in (decode_raw, decode_mask, decode_colours, lambda data, path: image_head(path)):\n"
        "    try: read(path.read_bytes(), path)\n"
        "    except Exception as error: print(error)\n"
    )
    environment = {**os.environ, "PATH": f"{gs.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", code, file], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("x.png` must be a readable") == 4 and not (tmp_path / "ran").exists()


def test_a_raster_that_names_other_files_opens_none(tmp_path: Path) -> None:
    """GDAL reads descriptions that name files and addresses, whatever the suffix."""
    rasters = pytest.importorskip("maskwright.data.rasters")
    secret = tmp_path / "secret.tif"
    secret.write_bytes(tiff(np.zeros((4, 4), np.uint8)))
    mask = tmp_path / "mask.tif"
    band = (
        '<VRTRasterBand dataType="Byte" '
        f'band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>'
    )
    mask.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="4">{band}</VRTRasterBand></VRTDataset>')
    with pytest.raises(DataError, match="got something else under that name"):
        rasters.raster_values(mask)


# ------------------------------------------------------------------ what is no file


def make_pipe(path: Path) -> None:
    """A pipe nobody writes to; after some seconds it is opened, so that a reader that waits for it goes on, and
    fails.
    """
    os.mkfifo(path)

    def unblock() -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    for seconds in (15, 20, 25):
        timer = threading.Timer(seconds, unblock)
        timer.daemon = True
        timer.start()


def make_socket(path: Path) -> None:
    folder = Path.cwd()
    os.chdir(path.parent)  # the whole path may be longer than a socket's name can be
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(folder)


NO_FILES = {
    "pipe": (make_pipe, "a pipe"),
    "socket": (make_socket, "a socket"),
    "device": (lambda path: path.symlink_to("/dev/null"), "a device"),
    "folder": (Path.mkdir, "a folder"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the socket lives until the test's folder goes
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_one_sentence(kind: str, tmp_path: Path) -> None:
    make, told = NO_FILES[kind]
    path, run = tmp_path / "x.png", finished()
    make(path)
    started = time.perf_counter()
    with pytest.raises(DataError, match=f"x.png` must be a file; it is {told}"):
        read_bytes(path)
    with pytest.raises(DataError, match=told):
        image_head(path)
    assert not georeferenced(path)
    outcome = maskwright("predict", run, path, "--out", tmp_path / "out")
    if kind == "folder":
        assert outcome.code == 2 and "holds none" in outcome.sentence
    else:
        assert outcome.code == 2 and told in outcome.sentence
    assert time.perf_counter() - started < SECONDS


def test_a_link_to_a_pipe_among_the_images(tmp_path: Path) -> None:
    spoilt = copy_of(data(), tmp_path / "data")
    for name in ("images/image-2.png", "masks/mask-3.png"):
        (spoilt / name).unlink()
        make_pipe(spoilt / name)
    started = time.perf_counter()
    outcome = maskwright("check", spoilt)
    assert outcome.code in (1, 2) and "Traceback" not in outcome.err and "image-2.png" in outcome.out + outcome.err
    assert time.perf_counter() - started < SECONDS


LISTS = {
    "coco": "annotations/train.json", "labelme": "00.json", "voc": "VOCdevkit/VOC2012/ImageSets/Segmentation/train.txt",
    "cvat": "labelmap.txt", "oxford-pet": "annotations/trainval.txt", "workshop": "label_mapping.json",
    "csv": "pairs.csv", "folders": "classes.yaml",
}  # fmt: skip


@pytest.mark.parametrize("layout", LISTS)
def test_a_pipe_in_place_of_an_annotation_or_a_list(layout: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    LAYOUTS[layout](root)
    path = root / LISTS[layout]
    path.unlink(missing_ok=True)
    make_pipe(path)
    started = time.perf_counter()
    for read in readings(root):
        with contextlib.suppress(MaskwrightError):
            read()
    if layout in ("voc", "csv", "folders"):  # elsewhere it is nothing the format knows
        with pytest.raises(DataError, match="must be a file; it is a pipe"):
            open_dataset(DataConfig(root=str(root)))
    assert time.perf_counter() - started < SECONDS


# ------------------------------------------------------------------ heads that promise too much


def png_head(height: int, width: int, stored: int = 100) -> bytes:
    """A PNG of 8-bit colours whose head promises so many pixels, in a file of so many bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(stored), 0)) + chunk(b"IEND", b"")


def beyond_memory() -> bytes:
    """A PNG that could hold what its head promises, which is more than this machine can."""
    side = int(free_memory() ** 0.5)
    return png_head(side, side, stored=side * side * 3 // 9000)


def tiff_head_of(side: int) -> bytes:
    """A TIFF whose head promises side × side pixels."""
    good = tiff(np.zeros((3, 5), np.uint16))
    for tag, length in ((256, 5), (257, 3)):
        good = good.replace(struct.pack("<HHII", tag, 4, 1, length), struct.pack("<HHII", tag, 4, 1, side))
    return good


@pytest.mark.parametrize("spoilt", [png_head(200_000, 200_000), tiff_head_of(200_000)], ids=["png", "tiff"])
def test_more_pixels_than_the_file_can_hold(spoilt: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(spoilt)
    for read in (decode_raw, decode_mask, decode_colours, lambda _, path: image_head(path)):
        with pytest.raises(
            DataError, match=r"whole, readable file; its head tells of 200000 x 200000 x \d values in \d+ bytes"
        ):
            read(spoilt, path)


def test_more_pixels_than_fit_into_memory_are_told_with_how_much_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(beyond_memory())
    told = r"must fit into memory; its (\d+) x \1 x 3 values take [\d.]+ GiB, and .* are free"
    with pytest.raises(DataError, match=told):
        image_head(path)


def test_large_pictures_are_read(tmp_path: Path) -> None:
    """Pillow's own limit is 179 million pixels, and a warning from 89 on; memory is ours."""
    side = 14_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_mask(saved_blank(side), tmp_path / "x.png").shape == (side, side)


def saved_blank(side: int) -> bytes:
    from PIL import Image

    from mutations import saved

    return saved(Image.new("1", (side, side)), "PNG")


# ------------------------------------------------------------------ one bad file among many


def test_predict_goes_on_after_an_image_that_memory_does_not_suffice_for(tmp_path: Path) -> None:
    """The rest of a folder was never predicted. Memory is limited as a cluster does it; what is free does not tell."""
    for name in ("a.png", "z.png"):
        picture(tmp_path / "in" / name, noise(9, 9))
    (tmp_path / "in" / "large.png").write_bytes(saved_blank(20_000))
    limited = (
        "import resource, sys\n"
        "from maskwright.cli import main\n"
        "import maskwright.prediction.predictor\n"
        "used = int(open('/proc/self/statm').read().split()[5]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (used + (700 << 20), used + (700 << 20)))\n"
        "main(sys.argv[1:])\n"
    )
    words = ["predict", finished(), tmp_path / "in", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "1 of 3 images could not be predicted" in done.stderr, done.stderr
    assert ("large.png` must" in done.stderr and "fit into memory" in done.stderr) or "fits into memory" in done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2


def test_predict_goes_on_after_every_kind_of_bad_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "z.png"):
        picture(folder / name, noise(9, 9))
    bad = {
        "huge.tif": tiff_head_of(200_000), "large.png": png_head(200_000, 200_000), "empty.png": b"",
        "words.jpg": b"no picture", "cut.tif": good_pictures()["many.tif"][:-3500], "memory.png": beyond_memory(),
    }  # fmt: skip
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    (folder / "sparse.png").touch()
    os.truncate(folder / "sparse.png", 1 << 42)
    outcome = maskwright("predict", finished(), folder, "--out", tmp_path / "out", "--json")
    assert outcome.code == 1 and outcome.err.splitlines()[0] == "maskwright: 7 of 9 images could not be predicted:"
    assert all(f"{name}` must" in outcome.err for name in (*bad, "sparse.png"))
    assert [Path(path).name for path in outcome.json["images"]] == ["a.png", "z.png"] and len(
        outcome.json["problems"]
    ) == 7
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "z.png"]


# ------------------------------------------------------------------ values that are no numbers


def test_pixels_that_are_no_numbers_are_ignored_and_told(tmp_path: Path) -> None:
    """They were black pixels like any other: learned, scored, and `check` said no errors."""
    for index in range(6):
        image, mask = discs(20, 24, index)
        tones = image[..., 0].astype(np.float64) * 100
        tones[:4, :5] = [np.nan, np.inf, -np.inf, np.nan, 1.0] if index < 2 else tones[:4, :5]
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "images" / f"{index}.tif").write_bytes(tiff(tones))
        picture(tmp_path / "set" / "masks" / f"{index}.png", mask)
    found = open_dataset(DataConfig(root=str(tmp_path / "set")))
    image, labels = found.store.get(0)
    assert image.dtype == np.uint8 and (labels[:4, :4] == 255).all() and (labels == 255).sum() == 16
    assert (found.store.get(3)[1] != 255).all()
    outcome = maskwright("check", tmp_path / "set")
    assert outcome.code == 0 and "2 images hold 32 pixels that are NaN or infinite (1.11% of all pixels)" in outcome.out
    words = ("train", "--data", tmp_path / "set", *TINY, "--epochs", 1, "--out", tmp_path / "run")
    trained = maskwright(*words)
    assert trained.code == 0 and "NaN or infinite" in trained.err
    assert all(np.isfinite(float(row["train_loss"])) for row in columns(tmp_path / "run"))
    assert maskwright("predict", tmp_path / "run", tmp_path / "set" / "images", "--out", tmp_path / "out").code == 0
    with Image.open(tmp_path / "out" / "0.png") as written:
        assert (np.asarray(written)[:4, :4] == 255).all() and (np.asarray(written) == 255).sum() == 16


@pytest.mark.parametrize("extreme", [1e300, 3e38, 1e-320])
def test_extreme_tones_are_spread_like_others(extreme: float, tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff(np.linspace(0, extreme, 256).reshape(16, 16)))
    raw = decode_raw((tmp_path / "x.tif").read_bytes(), tmp_path / "x.tif")
    spread = to_uint8(raw, Bands((0,), (0.0,), (extreme,)), tmp_path / "x.tif")
    assert spread.dtype == np.uint8 and spread.min() == 0 and (extreme < 1e-300 or spread.max() == 255)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("placed", [False, True], ids=["picture", "raster"])
def test_the_largest_floats_mark_where_there_is_no_data(placed: bool, kind: type, tmp_path: Path) -> None:
    """Elevations are often filled with -3.4e38, unnamed: every other tone became white, and all images alike."""
    for index in range(6):
        image, mask = discs(20, 24, index)
        tones = image[..., 0].astype(kind)
        tones[:4, :4] = np.finfo(np.float32).min if index % 2 else np.float32(3.4028231e38)
        path = tmp_path / "set" / "images" / f"{index}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        raster(path, tones) if placed else path.write_bytes(tiff(tones))
        picture(tmp_path / "set" / "masks" / f"{index}.png", mask)
    with contextlib.closing((found := open_dataset(DataConfig(root=str(tmp_path / "set")))).store) as store:
        image, labels = store.get(0)
        assert max(found.dataset.bands.high) < 300 and np.ptp(image[4:, 4:]) > 100
        assert (labels[:4, :4] == 255).all() and (labels == 255).sum() == 16
    assert decode_raw(tiff(np.array([[1e300, 3.4e37]])), tmp_path / "x.tif").ravel().tolist() == [1e300, 3.4e37]


def test_tones_of_any_size_train_to_the_end(tmp_path: Path) -> None:
    """Beyond 1e30 the run that had learned them could not be read any more when its training was done."""
    for index in range(6):
        image, mask = discs(20, 24, index)
        (tmp_path / "set" / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "images" / f"{index}.tif").write_bytes(tiff(image[..., 0].astype(np.float64) * 1e298))
        picture(tmp_path / "set" / "masks" / f"{index}.png", mask)
    for name, words in {"spread": (), "named": ("--data.tones", "[-1e300, 3e300]")}.items():
        run = tmp_path / name
        outcome = maskwright("train", "--data", tmp_path / "set", *TINY, "--epochs", 1, *words, "--out", run)
        assert outcome.code == 0, outcome.err
        assert maskwright("predict", run, tmp_path / "set" / "images", "--out", tmp_path / f"out-{name}").code == 0
