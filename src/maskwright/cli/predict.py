"""maskwright predict"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.prediction.bundle import Bundle
    from maskwright.prediction.predictor import Predictor


def predict(*names: str, out: str = "predictions", mask_threshold: str | None = None, json: Flag = False) -> int:
    """Predict images of any size with a run, or with weights of your own beside a configuration.

    maskwright predict runs/first photo.jpg
    maskwright predict runs/first photos --out masks
    maskwright predict runs/first/export/onnx photos
    maskwright predict --model unet --weights my.pth photos --size 256

    Writes NAME.png (class numbers, with a palette) and NAME-overlay.jpg for each image; of a georeferenced
    TIFF the class numbers are NAME.tif, which lies where the image does, with nodata 255. legend.svg tells the colours
    of more than two classes. predictions.csv lists what was written; only files it lists are replaced. A file that
    can't be read is told at the end, with exit code 2, and the rest is done.

    Parameters
    ----------
    names
        RUN IMAGES…: the run folder, or that of a bundle (maskwright export), then image files or folders of them, of a
        data set its images alone; what lies in sub-folders is written into sub-folders of the same names. With --weights
        FILE no run is named: a CONFIG.yaml may stand in its place, and any key of a configuration is a flag (--model,
        --size, --data.classes, …).
    out
        Folder to write to: new, empty, or of an earlier call, and apart from the images.
    mask_threshold
        Two classes: from which probability a pixel is foreground. A number, fixed (the run's own, 0.5 unless it was
        trained with another), or tuned: the one that maskwright evaluate RUN --mask-threshold tuned found on the val images.
    json
        Print one JSON document on stdout.
    """
    import sys

    from maskwright.cli.output import counting, say, say_json
    from maskwright.cli.source import read_source
    from maskwright.errors import DataError, UsageError, printable

    config, images = read_source(names)
    run = images.pop(0) if config is None and images else ""
    if not images:
        raise UsageError(
            "`IMAGES` must name at least one file or folder; got none. Write: maskwright predict RUN IMAGES… --out DIR"
        )

    from maskwright.prediction.writers import predict_files

    predictor, threshold, data, notes = _open(config, run, images, mask_threshold)
    for note in notes:
        print(f"weights {note}", file=sys.stderr)
    written = predict_files(predictor, images, out, threshold, counting("predicting"), data)
    for note in written.notes:
        print(f"note    {printable(note)}", file=sys.stderr)
    if json:
        done = [str(path) for path in written.images]
        say_json({"out": str(written.out), "images": done, "problems": list(written.problems), "replaced": written.replaced})
    else:
        say(str(written))
    if written.problems:
        total = len(written.images) + len(written.problems)
        told = [f"{len(written.problems)} of {total} images could not be predicted:"] if total > 1 else []
        raise DataError("\n  ".join([*told, *written.problems]))
    return 0


def _open(
    config: Config | None, run: str, images: Sequence[str], mask_threshold: str | None
) -> tuple[Predictor | Bundle, float | None, dict[str, Any] | None, list[str]]:
    """What predicts, its threshold, the run's data.json, and remarks. Of a bundle no torch is imported."""
    from maskwright.prediction.bundle import is_bundle, load_bundle

    if config is None and is_bundle(run):
        bundle = load_bundle(run)
        return bundle, bundle.threshold_for(mask_threshold), None, []

    from maskwright.errors import UsageError, must
    from maskwright.evaluation.settle import threshold_for_prediction
    from maskwright.prediction.from_weights import predictor_for
    from maskwright.prediction.inputs import predicted_files
    from maskwright.prediction.predictor import Predictor
    from maskwright.prediction.threshold import read_threshold
    from maskwright.runs import Run

    if config is None:
        opened = Run.open(run)
        predictor = Predictor.from_run(opened)
        return predictor, threshold_for_prediction(opened, mask_threshold), opened.data, []
    predictor, notes = predictor_for(config, predicted_files(images)[0])
    wish = read_threshold(mask_threshold, predictor.classes.num_classes)
    if wish == "tuned":
        raise UsageError(must("--mask-threshold", "a number for weights without a run", "tuned", "Give one, such as 0.5."))
    return predictor, wish, None, notes
