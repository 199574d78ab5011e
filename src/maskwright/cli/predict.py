"""maskwright predict"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from pathlib import Path

    from maskwright.config import Config
    from maskwright.prediction.inputs import Inputs
    from maskwright.prediction.network import Network
    from maskwright.prediction.writers import Written


def predict(
    *names: str, out: str = "predictions", write: str = "labels,overlay", mask_threshold: str | None = None,
    min_area: int = 0, uncertainty: Flag = False, tta: Literal["flips", "d4"] | None = None, device: str | None = None,
    precision: str | None = None, batch_size: str = "auto", json: Flag = False,
) -> int:  # fmt: skip
    """Predict images of any size with a run, several as an ensemble, or weights of your own beside a configuration.

    maskwright predict runs/first photo.jpg
    maskwright predict runs/first photos --out masks --write labels,contours
    maskwright predict runs/first runs/second runs/third 'scenes/*.tif' --uncertainty
    maskwright predict runs/first/export/onnx photos
    maskwright predict --model unet --weights my.pth photos --size 256

    Writes NAME.png (class numbers, with a palette) and NAME-overlay.jpg for each image; of a georeferenced
    TIFF the class numbers are NAME.tif, which lies where the image does, with nodata 255. legend.svg tells the colours
    of more than two classes. predictions.csv lists what was written; only files it lists are replaced. A file that
    can't be read is reported at the end, with exit code 1, and the rest is done. The same command after a stop, or
    after bad files were repaired, does what is left.

    Parameters
    ----------
    names
        RUN IMAGES…: the run folder, that of a bundle (maskwright export) or of a cross-validation (train --folds);
        several predict together, by the mean of their probabilities. Then image files, folders of them (of a data set
        its images alone), patterns, or - for a list on stdin; what lies in sub-folders is written into sub-folders of
        the same names. With --weights FILE no run is named: a CONFIG.yaml may stand in its place, and any key of a
        configuration is a flag (--model, --size, --data.classes, …).
    out
        Folder to write to: new, empty, or of an earlier call, and apart from the images.
    write
        What is written, with commas between: labels, overlay, probabilities (TIFF, a band a class, 0 to 254, 255 for no
        data) or probabilities-float, contours (GeoJSON), coco (JSON with run lengths), polygons (GeoPackage).
    mask_threshold
        Two classes: above which probability a pixel is foreground. A number, fixed (the run's own, 0.5 unless it was
        trained with another), or tuned: the one that maskwright evaluate RUN --mask-threshold tuned found on the val
        images.
    min_area
        Regions of fewer pixels take the class of what is nearest.
    uncertainty
        Write NAME-uncertainty too, from 0 to 254: the entropy of the probabilities, or how much of it is disagreement
        where several runs predict together.
    tta
        Predict the mean over the mirror images that training saw (flips), or turned by right angles too (d4).
    device
        cpu, gpu or mps; a GPU if there is one, without it, but for runs that were trained on a CPU.
    precision
        bf16, fp16 or fp32; that of training where this machine has it.
    batch_size
        Tiles a pass; auto is 1 on a CPU, which gains nothing from more, and 8 on a GPU.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import counting
    from maskwright.cli.source import read_source
    from maskwright.errors import UsageError, listed, must
    from maskwright.runtime import quick_imports

    with quick_imports():
        from maskwright.prediction.combine import combine
        from maskwright.prediction.inputs import find_inputs
        from maskwright.prediction.network import open_network
        from maskwright.prediction.outputs import Wanted, read_kinds
        from maskwright.prediction.writers import predict_files

    flags = ["--precision", precision] if precision and any(name.startswith("--") for name in names) else []
    config, words = read_source([*names, *flags])
    runs = _take_runs(words) if config is None else []
    if not words:
        fix = "Write: maskwright predict RUN IMAGES… --out DIR"
        raise UsageError(f"`IMAGES` must name at least one file or folder; got none. {fix}")
    kinds = read_kinds(write)
    if min_area < 0:
        raise UsageError(must("--min-area", "a number of pixels, 0 or more", min_area))
    batch = _batch_size(batch_size)
    images = find_inputs(words)
    networks = [open_network(run, device, precision) for run in runs]
    if config is not None:
        networks = [_of_weights(config, images, device)]
    thresholds = {network.threshold_for(mask_threshold) for network in networks}
    if len(thresholds) > 1:
        got = listed(sorted(map(str, thresholds)), "and")
        raise UsageError(
            must("--mask-threshold", "one for all runs that predict together", got, "Give a number, such as 0.5.")
        )
    network = combine(networks, tta, runs, uncertainty)
    wanted = Wanted(kinds, thresholds.pop(), uncertainty, min_area)
    batch = batch or (8 if network.on_gpu else 1)
    progress = None if _is_quick(network, images.files) else counting("predicting", unit="images")
    written = predict_files(network, images, out, wanted, batch, progress)
    _tell(written, json)
    return 0


def _is_quick(network: Network, files: list[Path]) -> bool:
    """Whether a bundle has one small image: what draws a count takes longer to import than that takes to predict."""
    from maskwright.prediction.bundle import Bundle

    is_small = len(files) == 1 and files[0].is_file() and files[0].stat().st_size < 1 << 20
    return is_small and isinstance(network, Bundle)


def _of_weights(config: Config, images: Inputs, device: str | None) -> Network:
    """The network of a configuration and its weights; remarks on how they fit go to stderr."""
    import sys

    from maskwright.models.devices import named_device
    from maskwright.prediction.from_weights import predictor_for

    place = named_device(device)
    predictor, notes = predictor_for(config.replace({"train.devices": place}) if place else config, images.files)
    for note in notes:
        print(f"weights {note}", file=sys.stderr)
    return predictor


def _tell(written: Written, json: bool) -> None:
    """What was written, on stdout; then the bad files, with exit code 1 where others were predicted."""
    import sys

    from maskwright.cli.output import say, say_json
    from maskwright.errors import DataError, printable

    for note in written.notes:
        print(f"note    {printable(note)}", file=sys.stderr)
    if json:
        done = [str(path) for path in written.images]
        say_json(
            {"out": str(written.out), "images": done, "problems": list(written.problems), "replaced": written.replaced}
        )
    elif written.images or not written.problems:
        say(str(written))
    if written.problems:
        total = len(written.images) + len(written.problems)
        lines = [f"{len(written.problems)} of {total} images could not be predicted:"] if total > 1 else []
        error = DataError("\n  ".join([*lines, *written.problems]))
        error.exit_code = 1 if written.images else 2
        raise error


def _take_runs(words: list[str]) -> list[str]:
    """The runs and bundles the words begin with, taken from them: the first in any case, further ones that are such."""
    from pathlib import Path

    from maskwright.prediction.bundle import is_bundle
    from maskwright.runs import is_cross_validation

    if words and is_cross_validation(words[0]):
        words[:1] = _folds(words[0])
    runs = [words.pop(0)] if words else []
    while words and ((Path(words[0]) / "config.yaml").is_file() or is_bundle(words[0])):
        runs.append(words.pop(0))
    return runs


def _folds(root: str) -> list[str]:
    """The finished runs of a cross-validation; says on stderr how many there are to be."""
    import sys

    from maskwright.errors import as_typed
    from maskwright.runs import folds_of

    finished, total = folds_of(root)
    if finished and len(finished) < total:
        fix = f"Finish the others: maskwright train --resume {as_typed(root)}"
        print(f"note    {len(finished)} of {total} folds of {root} are finished, and predict without the others. {fix}",
              file=sys.stderr)  # fmt: skip
    return finished or [root]


def _batch_size(text: str) -> int | None:
    """Tiles a pass; None: as many as suit the device."""
    from maskwright.errors import UsageError, must

    if text == "auto":
        return None
    if not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise UsageError(must("--batch-size", "auto or a number from 1 to 1024", text))
    return int(text)
