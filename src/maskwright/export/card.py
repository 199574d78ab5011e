"""The model card of a bundle: what it is for, its scores and failures, and how it is used in ten lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maskwright.data.geometry import sides_of, size_text
from maskwright.errors import counted, listed, one_line
from maskwright.terminal import score

_SHOWN = ("iou", "dice", "precision", "recall", "boundary_iou")
_OPEN = {
    "onnx": (
        "import onnxruntime",
        'model = onnxruntime.InferenceSession("model.onnx")',
        'model.run(None, {"images": tile})[0]',
    ),
    "openvino": (
        "import openvino",
        'model = openvino.Core().compile_model("model.xml", "CPU"{hint})',
        "model(tile)[0]",
    ),
    "torch": (
        "import torch",
        'model = torch.export.load("model.pt2").module(check_guards=False)',
        "model(torch.from_numpy(tile)).detach().numpy()",
    ),
}


def model_card(document: dict[str, Any]) -> str:
    """README.md of what bundle.json tells."""
    names = [one_line(name) for name in document["classes"]]
    return (
        "\n\n".join(
            [
                f"# {one_line(document['run'])}: {listed(names, 'and', 12)}",
                _purpose(document, names),
                "## Scores\n\n" + _scores(document),
                "## Where it fails\n\n" + _failures(document["scores"]["val"]),
                "## Use\n\n" + _use(document),
                "## Licence\n\n" + _licence(document),
            ]
        )
        + "\n"
    )


def _purpose(document: dict[str, Any], names: Sequence[str]) -> str:
    data, bands, channels = document["data"], document["bands"], document["input"]["channels"]
    images = ", ".join(f"{number} {split}" for split, number in data["images"].items())
    kind = "RGB" if channels == 3 else f"images of {counted(channels, 'band')}"
    message = counted(len(names), "class", "classes")
    return (
        f"Gives each pixel of an image one of {message}: {listed(names, 'or', 12)}. It was trained on "
        f"`{one_line(data['name'])}` ({images} images; {kind}, {one_line(bands['reason'])}; fingerprint "
        f"`{data['fingerprint']}`) and is for images like those. On others nothing was measured: look at what it "
        "predicts before you rely on it."
    )


def _scores(document: dict[str, Any]) -> str:
    val, test, check = document["scores"]["val"], document["scores"]["test_of_run"], document["verification"]
    columns = [(f"val, this model, {counted(val['images'], 'image')}", val)]
    if test:
        columns.append((f"test, the run, {counted(test['images'], 'image')}", test))
    rows = [["", *(title for title, _ in columns)], ["---"] * (1 + len(columns))]
    rows += [[name.replace("_", " "), *(_score(found, name) for _, found in columns)] for name in _SHOWN]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    unseen = "" if test else " Test images were not scored before the export."
    ious = [score(check[name], 4) for name in ("iou", "iou_run")]
    return (
        f"{table}\n\nIn brackets 95 % intervals over images. Val chose the epoch, so its scores flatter.{unseen}\n\n"
        f"Beside the run it was exported from: IoU on val {ious[0]} instead of {ious[1]}, another label at "
        f"{100 * check['other_labels']:.3f} % of the pixels, probabilities at most {check['largest_difference']:.2g} "
        "apart."
    )


def _score(found: dict[str, Any], name: str) -> str:
    value, ends = found["metrics"].get(name), found["intervals"].get(name) or (None, None)
    return score(value) + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if None not in (value, *ends) else "")


def _failures(val: dict[str, Any]) -> str:
    scored = sorted((value, name) for name, value in val["per_class"].items() if value is not None)
    classes = listed([f"{one_line(name)} ({value:.3f})" for value, name in scored[:3]])
    images = listed([f"`{one_line(name)}` ({value:.3f})" for name, value in val["worst_images"]])
    return f"Weakest classes on val, by IoU: {classes}. Weakest images: {images}."


def _use(document: dict[str, Any]) -> str:
    view, tiling = document["view"], document["view"]["tiling"]
    if view["kind"] == "crop":
        seen = f"Images are seen at {view['scale']:g} of their own size"
        seen += (
            f"; larger ones than {tiling['whole']:,} pixels in tiles of {tiling['side']} that overlap by "
            f"{tiling['overlap']}."
        )
    else:
        seen = f"Images are seen whole, resized to {size_text(view['size'])} (height × width)"
        seen += " with their sides' ratio kept." if view["letterbox"] else "."
    ours = "    maskwright predict . photo.jpg --out predictions\n\n"
    ours += '    import maskwright as mw\n    mw.load_bundle(".").predict("photo.jpg").labels'
    qgis = ""
    if document["format"] == "onnx":
        known = (
            f", {document['resolution_cm']:g} cm a pixel"
            if document["resolution_cm"]
            else "; set the resolution it was trained at"
        )
        qgis = (
            f"\n\nIn QGIS open `qgis.onnx` with the plugin Deepness: classes, tiles and threshold are set by it{known}."
        )
    return (
        f"{seen} Files of any size, tiles and thresholds are the business of:\n\n{ours}\n\n"
        f"Without maskwright, a whole image in one pass:\n\n```python\n{plain_lines(document)}\n```{qgis}"
    )


def plain_lines(document: dict[str, Any]) -> str:
    """The model used without maskwright, on photo.jpg in the current folder; of other bands than RGB, on photo.npy."""
    view, threshold = document["view"], document["threshold"]["default"]
    library, opened, called = _OPEN[document["format"]]
    hint = ', {"INFERENCE_PRECISION_HINT": "f32"}' if document["precision"] == "fp32" else ""
    if view["kind"] == "crop":
        size = (
            "(width, height)"
            if view["scale"] == 1
            else f"(max(1, round(width * {view['scale']!r})), max(1, round(height * {view['scale']!r})))"
        )
    elif view["letterbox"]:
        high, wide = sides_of(view["size"])
        part = f"{{}} * min({wide} / width, {high} / height)"
        size = f"(max(1, round({part.format('width')})), max(1, round({part.format('height')})))"
    else:
        high, wide = sides_of(view["size"])
        size = f"({wide}, {high})"
    if document["input"]["channels"] == 3:
        read = 'cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)  # H W 3 uint8'
    else:
        read = f'np.load("photo.npy")  # H W {document["input"]["channels"]} uint8'
    two = len(document["classes"]) == 2
    return "\n".join(
        [
            f"import cv2, numpy as np\n{library}",
            opened.replace("{hint}", hint),
            f"image = {read}",
            "height, width = image.shape[:2]",
            f"how = cv2.INTER_AREA if np.prod({size}) < height * width else cv2.INTER_LINEAR",
            f"tile = np.ascontiguousarray(cv2.resize(image, {size}, interpolation=how).transpose(2, 0, 1)[None])",
            f"probabilities = [cv2.resize(plane, (width, height)) for plane in {called}[0]]",
            f"labels = (probabilities[1] > {threshold:g}).astype(np.uint8)"
            if two
            else "labels = np.argmax(probabilities, axis=0).astype(np.uint8)",
            'cv2.imwrite("labels.png", labels)  # class numbers, in the order of bundle.json',
        ]
    )


def _licence(document: dict[str, Any]) -> str:
    weights = document["weights"]
    return (
        f"Trained from weights: {one_line(weights['source'])}; their licence: {one_line(weights['licence'])}. "
        "The licence of the training images is not known to the program: whoever passes the model on answers for it."
    )
