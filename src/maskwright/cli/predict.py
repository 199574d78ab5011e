"""maskwright predict"""

from __future__ import annotations

from maskwright.cli.types import Flag


def predict(run: str, /, *images: str, out: str = "predictions", mask_threshold: str | None = None, json: Flag = False) -> int:
    """Predict images of any size with a run.

    maskwright predict runs/first photo.jpg
    maskwright predict runs/first photos --out masks

    Writes NAME.png (class numbers, with a palette) and NAME-overlay.jpg for each image; of a georeferenced
    TIFF the class numbers are NAME.tif, which lies where the image does, with nodata 255. A file that can't
    be read is told at the end, with exit code 2, and the rest is done.

    Parameters
    ----------
    run
        The run folder.
    images
        Image files, or folders of them; what lies in sub-folders is written into sub-folders of the same names.
    out
        Folder to write to.
    mask_threshold
        Two classes: from which probability a pixel is foreground. A number, fixed (the run's own, 0.5 unless it was
        trained with another), or tuned: the one that maskwright evaluate RUN --mask-threshold tuned found on the val images.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import counting, say, say_json
    from maskwright.errors import DataError, UsageError
    from maskwright.evaluation.settle import threshold_for_prediction
    from maskwright.prediction.predictor import Predictor
    from maskwright.prediction.writers import predict_files
    from maskwright.runs import Run

    if not images:
        raise UsageError(
            "`IMAGES` must name at least one file or folder; got none. Write: maskwright predict RUN IMAGES… --out DIR"
        )
    opened = Run.open(run)
    predictor = Predictor.from_run(opened)
    threshold = threshold_for_prediction(opened, mask_threshold)
    written = predict_files(predictor, images, out, threshold, counting("predicting"))
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
