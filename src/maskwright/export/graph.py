"""A run's network as one graph of a known format: uint8 images in, probabilities out, any batch, height and width.

    program = export_program(predictor.model)
    write_onnx(program, folder / "model.onnx", metadata)

Legend: N batch, C channels, K classes, H W sides.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from maskwright.errors import ModelError, install_command, listed
from maskwright.models import Segmenter
from maskwright.models.wrapper import two_classes

INPUT, OUTPUT = "images", "probabilities"
_AXES = ("batch", None, "height", "width")
_PIXELS = 1 / 255  # what Deepness divides by is taken back, so that its standardized pixels are bytes again


class ExportedSegmenter(nn.Module):
    """images N C H W uint8 → probabilities N K H W float32, of any size: `Segmenter` in operations that leave sizes
    open.

    Padding by repeating the border is a look-up of rows and columns, whose number follows from the input's;
    `functional.pad` would fix whether there is any.
    """

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().to(memory_format=torch.contiguous_format)  # pyright: ignore
        for module in list(self.model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                    setattr(module, name, _Pooling(child.output_size))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        x = (images.float() - self.model.mean) / self.model.std
        x = x.index_select(2, self._padded(height)).index_select(3, self._padded(width))
        logits = self.model.at_both_sizes(x) if self.model.multiscale else self.model.net(x)
        logits = logits.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))
        return two_classes(logits).softmax(dim=1)

    def _padded(self, side: int) -> torch.Tensor:
        """Which row or column stands at each place of the padded input."""
        stride, smallest = self.model.grid
        full = (side + stride - 1) // stride * stride
        if smallest > stride:
            full = torch.sym_max(full, smallest)
        return torch.arange(full).clamp(max=side - 1)


class _Pooling(nn.Module):
    """`AdaptiveAvgPool2d` as a product of matrices: ONNX has no pooling whose windows follow from the input's size."""

    def __init__(self, size: Any) -> None:
        super().__init__()
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._means(x.shape[2], self.size[0]) @ x @ self._means(x.shape[3], self.size[1]).T

    def _means(self, length: int, size: int) -> torch.Tensor:
        """size length: the share that each place has in each mean."""
        cells, places = torch.arange(size).unsqueeze(1), torch.arange(length)
        first, last = cells * length // size, ((cells + 1) * length + size - 1) // size
        return ((places >= first) & (places < last)).float() / (last - first)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporters tell their own developers much; what a person must know is reported by us."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "nncf", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def require(format: str, packages: Sequence[str]) -> None:
    """Stop with the line that installs what is missing, before anything is done."""
    from importlib.util import find_spec

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        fix = f"Run: {install_command('export')}"
        raise ModelError(f"`export` as {format} must have {listed(missing)}; not installed. {fix}")


def export_program(model: Segmenter, num_channels: int) -> torch.export.ExportedProgram:
    """The network traced once, on the CPU, with batch, height and width left open."""
    dynamic = torch.export.Dim.DYNAMIC
    # sides that are no multiple of the stride, and unequal: what is 1 or alike would be taken for a constant
    side = max(model.grid)
    images = torch.zeros((2, num_channels, 3 * side + 5, 4 * side + 3), dtype=torch.uint8)
    graph = ExportedSegmenter(model).eval()
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(graph, (images,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},))
    except Exception as error:
        message = next(iter(str(error).splitlines()), "")[:200]
        raise ModelError(
            f"the run's network must be one that torch.export can trace; it stopped at: {message}"
        ) from error


def write_torch(program: torch.export.ExportedProgram, path: Path) -> None:
    """A .pt2, to be read by torch.export.load; its weights are in it."""
    with quiet():
        torch.export.save(program, path)


def write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """One ONNX file with its weights, named axes, and metadata."""

    with quiet():
        exported = torch.onnx.export(
            program, (), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
        )
    assert exported is not None, "dynamo=True gives a program"
    model = exported.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, _AXES, strict=True):
            if name:
                axis.dim_param = name
    save_onnx(model, path, metadata)


def save_onnx(model: Any, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a model with this metadata alone; sizes between its layers, named after the trace, are left out."""
    import onnx

    del model.graph.value_info[:]
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_openvino(onnx_file: Path, path: Path) -> None:
    """model.xml and model.bin of an ONNX file, in full precision: what runs it chooses a smaller one."""
    import openvino

    with quiet():
        openvino.save_model(openvino.convert_model(onnx_file), path, compress_to_fp16=False)


def deepness_metadata(
    names: Sequence[str], side: int, overlap: int, threshold: float, resolution: float | None, num_channels: int
) -> dict[str, str]:
    """What QGIS's plugin Deepness reads of a model; `side` and `overlap` of its tiles in pixels, `resolution` in cm a
    pixel.

    https://qgis-plugin-deepness.readthedocs.io/en/latest/creators/creators_description_classes.html
    The plugin sets what lies below the threshold to nothing before it takes the likeliest class, which is right for one
    channel alone: so more classes have the threshold 0.
    """
    values: dict[str, Any] = {
        "model_type": "Segmentor",
        "class_names": {str(index): name for index, name in enumerate(names)},
        "tile_size": side,
        "tiles_size": side,
        "tiles_overlap": round(100 * overlap / side),
        "seg_thresh": threshold if len(names) == 2 else 0.0,
        "seg_small_segment": 0,
        "standardization_mean": [0.0] * num_channels,
        "standardization_std": [_PIXELS] * num_channels,
    }
    if resolution is not None:
        values["resolution"] = resolution
    return {key: json.dumps(value) for key, value in values.items()}


def write_for_qgis(onnx_file: Path, path: Path, side: int) -> None:
    """The same model as Deepness feeds it: float32 pixels of square tiles; of two classes the foreground's probability
    alone.

    Deepness gives numbers from 0 to 1, which its metadata turn into 0 to 255, and takes square inputs of a known side
    only.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(onnx_file)
    graph = model.graph
    channels = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    graph.node.insert(0, helper.make_node("Cast", ["rounded"], [INPUT], to=TensorProto.UINT8))
    graph.node.insert(0, helper.make_node("Round", ["tiles"], ["rounded"]))
    if classes == 2:
        graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "foreground_index"))
        graph.node.append(helper.make_node("Gather", [OUTPUT, "foreground_index"], ["foreground"], axis=1))
    name, shown = ("foreground", 1) if classes == 2 else (OUTPUT, classes)
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("tiles", TensorProto.FLOAT, ["batch", channels, side, side]))
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", shown, side, side]))
    save_onnx(model, path, {entry.key: entry.value for entry in model.metadata_props})
