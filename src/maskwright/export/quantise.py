"""Weights and activations of 8 bits: static quantisation by NNCF, its ranges measured on training tiles alone."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.geometry import View, shrink_to
from maskwright.data.record import read_split
from maskwright.export.graph import INPUT, quiet, save_onnx

TILES = 32  # more take minutes, and ranges hardly move
SEED = 0


def calibration_tiles(
    document: dict[str, Any], view: View, data: Path | None = None
) -> tuple[list[np.ndarray], list[str]]:
    """What ranges are measured on: of training images alone, whatever other splits there are."""
    return real_tiles({**document, "splits": {"train": document["splits"]["train"]}}, "train", view, data, TILES)


def real_tiles(
    document: dict[str, Any], split: str, view: View, data: Path | None, most: int
) -> tuple[list[np.ndarray], list[str]]:
    """Inputs of the network as training saw them, 1 C h w uint8 each, and the names of the images they are of.

    Drawn evenly over a split's images, with a seed.
    """
    entries = document["splits"][split]
    rng = np.random.default_rng(SEED)
    chosen = [entries[place] for place in sorted(rng.permutation(len(entries))[:most].tolist())]
    tiles: list[np.ndarray] = []
    each = -(-most // len(chosen))
    for _, image, _ in read_split({**document, "splits": {split: chosen}}, split, data):
        inner = shrink_to(image, *view.inner_size(*image.shape[:2]))
        height, width = view.shape
        spare = [max(0, length - side) for length, side in zip(inner.shape, view.shape, strict=False)]
        for _ in range(min(each, view.windows(*image.shape[:2]))):
            top, left = (int(rng.integers(length + 1)) for length in spare)
            tile = inner[top : top + height, left : left + width]
            tiles.append(np.ascontiguousarray(tile.transpose(2, 0, 1)[None]))
    return tiles[:most], [entry["id"] for entry in chosen]


def quantise_onnx(path: Path, tiles: Sequence[np.ndarray]) -> None:
    """Replace an ONNX file by its quantised form (QDQ)."""
    import onnx

    model = onnx.load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    with quiet():
        save_onnx(_quantised(model, [{INPUT: tile} for tile in tiles], per_channel=False), path, metadata)


def quantise_openvino(path: Path, tiles: Sequence[np.ndarray]) -> None:
    """Replace model.xml and model.bin by their quantised form."""
    import openvino

    with quiet():
        model = _quantised(openvino.Core().read_model(path), list(tiles))
        # what was read may still be mapped from the file that is written
        beside = path.with_name(f"quantised-{path.name}")
        openvino.save_model(model, beside, compress_to_fp16=False)
        del model
    for suffix in (".xml", ".bin"):
        beside.with_suffix(suffix).replace(path.with_suffix(suffix))


def _quantised(model: Any, inputs: list[Any], per_channel: bool | None = None) -> Any:
    """`per_channel`: activations before depthwise convolutions get a range a channel; ONNX Runtime runs none such."""
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters

    ranges = QuantizationParameters(per_channel=per_channel)
    advanced = nncf.AdvancedQuantizationParameters(activations_quantization_params=ranges)
    with contextlib.redirect_stdout(io.StringIO()):  # it draws bars there
        return nncf.quantize(model, nncf.Dataset(inputs), subset_size=len(inputs), advanced_parameters=advanced)
