"""A run as a folder that predicts without it: model, bundle.json, a card. Verified on val before it is there at all.

export_run(Run.open("runs/first"), "openvino", int8=True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from maskwright.data.pictures import palette
from maskwright.data.rasters import georeferenced, rasterio_for, read_georeference
from maskwright.data.record import moved_data, split_entries
from maskwright.errors import MaskwrightError, ModelError, UsageError, must, unknown
from maskwright.evaluation.tuning import tuned_on_val
from maskwright.export.card import model_card
from maskwright.export.graph import (
    deepness_metadata,
    export_program,
    require,
    write_for_qgis,
    write_onnx,
    write_openvino,
    write_torch,
)
from maskwright.export.quantise import calibration_tiles, quantise_onnx, quantise_openvino, real_tiles
from maskwright.export.verify import TILES, Verification, compare_on_val, largest_difference, scores_of
from maskwright.files import file_digest, plain, write_json, write_text
from maskwright.folders import whole_folder
from maskwright.prediction.bundle import FILE, MODELS, bundle_of, digest_of, least_side, load_bundle
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run, refuse_used

PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino"), "torch": ()}
CARD, QGIS = "README.md", "qgis.onnx"
MAX_IOU_DROP = 0.005
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """An exported model and how it was verified."""

    root: Path
    document: dict[str, Any]
    verification: Verification

    def to_json(self) -> dict[str, Any]:
        """The document `export --json` prints."""
        return {"bundle": str(self.root), **self.document}

    def __str__(self) -> str:
        size = sum((self.root / name).stat().st_size for name in self.document["files"]) / 2**20
        message = f"{self.document['format']}{' int8' if self.document['int8'] else ''} in {self.root} ({size:.1f} MiB)"
        return f"{message}\n  {self.verification}"


def export_run(
    run: Run, format: str = "onnx", int8: bool = False, max_iou_drop: float = MAX_IOU_DROP,
    out: str | Path | None = None, data: str | Path | None = None, progress: Progress | None = None,
) -> Exported:  # fmt: skip
    """Write a bundle into `out`, a new folder (RUN/export/FORMAT): verified against the run on its val images, else not
    there.

    `int8` quantises with ranges measured on training images. `data` says where the data set is now, when it has moved.
    """
    if format not in PACKAGES:
        raise UsageError(unknown("format", format, PACKAGES))
    if int8 and format == "torch":
        raise UsageError("`--int8` must go with onnx or openvino; got torch. Leave it out, or write --format openvino.")
    if not (math.isfinite(max_iou_drop) and 0 <= max_iou_drop <= 1):
        raise UsageError(must("--max-iou-drop", "from 0 to 1", max_iou_drop))
    require(format, (*PACKAGES[format], *(("nncf",) if int8 else ())))
    root = Path(out) if out is not None else run.root / "export" / f"{format}{'-int8' if int8 else ''}"
    with whole_folder(root, partial(refuse_used, root), "--out") as folder:
        document, verification = _fill(folder, run, format, int8, max_iou_drop, moved_data(data), progress)
    return Exported(root, document, verification)


def _fill(
    folder: Path, run: Run, format: str, int8: bool, max_iou_drop: float, data: Path | None, progress: Progress | None
) -> tuple[dict[str, Any], Verification]:
    """Everything of a bundle; what is worse than allowed ends in an error."""
    predictor = Predictor.from_run(run)
    (files,) = predictor.data
    groups = [entry["group"] for entry in split_entries(files, "val")]  # refuses a run without
    document = _document(run, predictor, format, data, progress)
    document["int8"] = _write_model(folder, document, format, files if int8 else None, predictor, data)
    bundle = bundle_of(folder, document)
    tiles = real_tiles(files, "val", predictor.view, data, TILES)[0]
    try:
        difference = largest_difference(predictor.model, bundle, tiles)
        counts, iou_run, other = compare_on_val(predictor, bundle, files, data, progress)
    except MaskwrightError:
        raise
    except Exception as error:
        message = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise ModelError(
            f"the exported model must predict val's images; it stopped at: {message}. Try another --format."
        ) from error
    scores = scores_of(counts, predictor.classes.names, groups)
    found = Verification(
        len(counts.images), len(tiles), difference, other, iou_run, scores["metrics"]["iou"], max_iou_drop
    )
    found.refuse_worse()
    test = run.evaluation("test") if (run.root / "evaluation" / "test.json").is_file() else None
    document["scores"] = plain(
        {"val": scores, "test_of_run": test and {key: test[key] for key in ("images", "metrics", "intervals")}}
    )
    document["verification"] = plain(found.to_json())
    write_text(folder / CARD, model_card(document))
    _seal(folder, document)
    load_bundle(folder)  # as whoever opens it will
    return document, found


def _seal(folder: Path, document: dict[str, Any]) -> None:
    """Write bundle.json, with the hash of each file and of itself."""
    document["files"] = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    write_json(folder / FILE, document)
    document["digest"] = digest_of((folder / FILE).read_text(encoding="utf-8"))
    write_json(folder / FILE, document)


def _document(
    run: Run, predictor: Predictor, format: str, data: Path | None, progress: Progress | None
) -> dict[str, Any]:
    """What bundle.json says of the run."""
    (files,), on_val = predictor.data, tuned_on_val(run, predictor, data=data, progress=progress)
    model, names = predictor.model, predictor.classes.names
    mean, std = model.pixels
    fast = run.config.train.precision in ("bf16", "fp16")
    return {
        "digest": "",
        "made_by": f"maskwright {version('maskwright')}",
        "run": run.name,
        "format": format,
        "precision": "bf16" if fast and format == "openvino" else "fp32",
        "input": {"name": "images", "layout": "N C H W", "type": "uint8", "channels": predictor.bands.num_channels,
                  "sizes": "any batch, height and width", "least_side": 1},
        "normalisation": {"mean": mean, "std": std, "where": "in the model"},
        "multiscale": model.multiscale,
        "padding": {"stride": model.grid[0], "smallest": model.grid[1],
                    "where": "in the model: the border is repeated"},
        "output": {"name": "probabilities", "layout": "N K H W", "type": "float32",
                   "what": "softmax, before the temperature"},
        "classes": list(names),
        "mask_values": list(predictor.classes.values),
        "palette": palette(len(names))[: len(names)].tolist(),
        "bands": predictor.bands.to_json(),
        "any_depth": predictor.any_depth,
        "flips": list(predictor.flips),
        "view": asdict(predictor.view),
        "threshold": {"default": predictor.threshold, "tuned": on_val.threshold.value if on_val.threshold else None},
        "temperature": on_val.temperature.value,
        "weights": run.environment.get("weights") or {"source": "random", "licence": "none needed"},
        "data": {"name": Path(files["root"]).name, "fingerprint": files["fingerprint"],
                 "images": {split: len(entries) for split, entries in files["splits"].items()}},
        "resolution_cm": _resolution(files, predictor.view.scale, data),
    }  # fmt: skip


def _write_model(
    folder: Path, document: dict[str, Any], format: str, files: dict[str, Any] | None, predictor: Predictor,
    data: Path | None,
) -> dict[str, Any] | None:  # fmt: skip
    """The model's files; quantised on the training images of `files`, and what bundle.json says of that."""
    program = export_program(predictor.model, predictor.bands.num_channels)
    path = folder / MODELS[format]
    if format == "torch":
        write_torch(program, path)
        document["input"]["least_side"] = least_side(program)
        return None
    view, names = predictor.view, predictor.classes.names
    side, overlap = (max(view.shape), 0) if view.kind == "whole" else (view.tiling.side, view.tiling.overlap)
    metadata = deepness_metadata(
        names, side, overlap, predictor.threshold, document["resolution_cm"], predictor.bands.num_channels
    )  # fmt: skip
    plain_onnx = folder / MODELS["onnx"]
    write_onnx(program, plain_onnx, metadata)
    tiles, used = calibration_tiles(files, view, data) if files else ([], [])
    if format == "openvino":
        write_openvino(plain_onnx, path)
        plain_onnx.unlink()
        if tiles:
            quantise_openvino(path, tiles)
    else:
        if tiles:
            quantise_onnx(path, tiles)
        write_for_qgis(path, folder / QGIS, side)
    return {"method": "static, NNCF", "calibrated_on": "train", "tiles": len(tiles), "images": used} if tiles else None


def _resolution(files: dict[str, Any], scale: float, data: Path | None) -> float | None:
    """Centimetres a pixel the network sees, of the first training image, where that lies on Earth in metres or feet."""
    entry = split_entries(files, "train")[0]
    path = (data or Path(files["root"])) / entry["image"]
    if not path.is_file() or not georeferenced(path):
        return None
    place, crs = read_georeference(path), rasterio_for(path).crs.CRS
    if place is None or not place.crs or not crs.from_wkt(place.crs).is_projected:
        return None
    a, _, _, d, _, _ = place.transform
    return round(100 * math.hypot(a, d) * crs.from_wkt(place.crs).linear_units_factor[1] / scale, 4)
