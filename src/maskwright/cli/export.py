"""maskwright export"""

from __future__ import annotations

from maskwright.cli.types import Flag


def export(
    run: str, /, *, format: str = "onnx", int8: Flag = False, max_iou_drop: float = 0.005, out: str | None = None,
    data: str | None = None, json: Flag = False,
) -> None:  # fmt: skip
    """Export a run as a bundle, verified on its val images; of ONNX and OpenVINO it predicts without torch.

    maskwright export runs/first
    maskwright export runs/first --format openvino --int8 --out bundle
    maskwright predict bundle photos --out masks

    Writes the model, bundle.json (classes, sizes, tiles, threshold, scores, hashes) and README.md, a model card; of
    ONNX also qgis.onnx, for QGIS's plugin Deepness. A model that lost more IoU than allowed is reported with exit code
    1, and nothing is left of it.

    Parameters
    ----------
    run
        The run folder.
    format
        onnx (for ONNX Runtime), openvino, or torch (a .pt2 of torch.export).
    int8
        Weights and activations of 8 bits, with ranges measured on training images. Of onnx and openvino.
    max_iou_drop
        How much IoU on val the exported model may lose against its run.
    out
        A new folder; RUN/export/FORMAT when left out.
    data
        Where the data set's folder is now, when it has moved.
    json
        Print one JSON document on stdout: bundle.json and where it is.
    """
    from maskwright.cli.output import counting, say, say_json, say_next
    from maskwright.errors import as_typed
    from maskwright.runs import Run
    from maskwright.runtime import quick_imports

    opened = Run.open(run)  # what is no run is refused at once
    with quick_imports():
        from maskwright.export import export_run

    done = export_run(opened, format, int8, max_iou_drop, out, data, counting("verifying"))
    if json:
        say_json(done.to_json())
    else:
        say(str(done))
        say_next("next:", f"{as_typed('maskwright', 'predict', done.root)} IMAGES… --out DIR")
