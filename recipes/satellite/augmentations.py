"""Task 1's extra questions, drawn and measured: which augmentations keep an image and its mask together, which do not.

    python recipes/satellite/augmentations.py --out runs/satellite/augmentations

Writes augmentations.png and augmentations.json from procedural aerial tiles. `agreement` is the mean IoU of the mask
that would be trained on with what the image then shows; `visible` is how much of what the mask claims can still be
seen.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # no look at the network for a newer version

import cv2
import numpy as np
from PIL import Image, ImageDraw

from maskwright.data.pictures import colourise, overlay, palette, typeface
from maskwright.data.synthetic import landcover

try:
    import albumentations as A
except ImportError:
    print("augmentations.py needs albumentations: pip install -e '.[albumentations]'", file=sys.stderr)
    sys.exit(2)

SIZE, NUM_CLASSES, HIDDEN = 192, 5, 255
OBJECTS = (landcover.ROAD, landcover.BUILDING)  # small and thin: what goes first
Given = tuple[np.ndarray, np.ndarray, np.ndarray]  # image H W 3, the mask trained on H W, what the image shows H W


def flip(image: np.ndarray, mask: np.ndarray) -> Given:
    made = A.HorizontalFlip(p=1)(image=image, mask=mask)
    return made["image"], made["mask"], mask[:, ::-1]


def rotate_both(image: np.ndarray, mask: np.ndarray) -> Given:
    return warped(image, _matrix()), nearest(mask, _matrix()), shown_by(mask, _matrix())


def rotate_image_only(image: np.ndarray, mask: np.ndarray) -> Given:
    return warped(image, _matrix()), mask, shown_by(mask, _matrix())


def mix_labels(image: np.ndarray, mask: np.ndarray) -> Given:
    """The mask read as if class numbers were grey tones: between ground (0) and road (3) lie forest and water."""
    return warped(image, _matrix()), warped(mask, _matrix()), shown_by(mask, _matrix())


def bend_both(image: np.ndarray, mask: np.ndarray) -> Given:
    def bent(pixels: np.ndarray, **labels: np.ndarray) -> dict[str, np.ndarray]:
        bend = A.GridDistortion(num_steps=5, distort_limit=(-0.8, 0.8), p=1)
        bend.set_random_seed(1)  # the same bend for image and layers
        return bend(image=pixels, **labels)

    layers = [bent(np.float32(mask == index))["image"] for index in range(NUM_CLASSES)]
    made = bent(image, mask=mask)
    return made["image"], made["mask"], np.argmax(layers, 0).astype(np.uint8)


def blur(image: np.ndarray, mask: np.ndarray) -> Given:
    return A.GaussianBlur(blur_limit=0, sigma_limit=(5, 5), p=1)(image=image)["image"], mask, mask


def cut_out(image: np.ndarray, mask: np.ndarray) -> Given:
    return *_holes(image, mask, None), mask


def cut_out_both(image: np.ndarray, mask: np.ndarray) -> Given:
    return *_holes(image, mask, HIDDEN), mask


CASES: dict[str, Callable[[np.ndarray, np.ndarray], Given]] = {
    "flip, both": flip,
    "rotate, both": rotate_both,
    "grid distortion, both": bend_both,
    "cutout, mask ignored there": cut_out_both,
    "rotate, image only": rotate_image_only,
    "rotate, label numbers mixed": mix_labels,
    "strong blur": blur,
    "cutout, mask kept": cut_out,
}


def warped(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def nearest(mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(mask, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)


def shown_by(mask: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What a warped image shows: each class's coverage warped as the image is, and the largest in each pixel."""
    return np.argmax([warped(np.float32(mask == index), matrix) for index in range(NUM_CLASSES)], 0).astype(np.uint8)


def agreement(mask: np.ndarray, shown: np.ndarray) -> float:
    """Mean IoU over the classes in either, where the mask is not ignored."""
    valid = mask != HIDDEN
    pairs = [((mask == index) & valid, (shown == index) & valid) for index in range(NUM_CLASSES)]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs if (a | b).any()]))


def visible(before: np.ndarray, image: np.ndarray, mask: np.ndarray, case: str) -> float:
    """Of what the mask claims: the share of road and building not under a hole; for blur, the contrast left at
    outlines.
    """
    claimed = np.isin(mask, OBJECTS)
    if case.startswith("cutout"):
        return float(1 - (claimed & (image == 0).all(2)).sum() / max(1, claimed.sum()))
    if case == "strong blur":
        edge = cv2.morphologyEx(claimed.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        return float(_contrast(image)[edge].mean() / _contrast(before)[edge].mean()) if edge.any() else float("nan")
    return 1.0


def _contrast(image: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def _matrix() -> np.ndarray:
    return cv2.getRotationMatrix2D((SIZE / 2 - 0.5, SIZE / 2 - 0.5), 15, 1)


def _holes(image: np.ndarray, mask: np.ndarray, fill_mask: int | None) -> tuple[np.ndarray, np.ndarray]:
    holes = A.CoarseDropout(num_holes_range=(6, 6), hole_height_range=(0.2, 0.2), hole_width_range=(0.2, 0.2), fill=0,
                            fill_mask=fill_mask, p=1)  # fmt: skip
    holes.set_random_seed(3)
    made = holes(image=image, mask=mask)
    return made["image"], made["mask"]


def measure(tiles: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, float]]:
    """Both measures of every case, means over the tiles."""
    found: dict[str, dict[str, float]] = {}
    for case, change in CASES.items():
        results = [(before, *change(before, mask)) for before, mask in tiles]
        found[case] = {
            "agreement": round(float(np.mean([agreement(mask, shown) for _, _, mask, shown in results])), 3),
            "visible": round(
                float(np.nanmean([visible(before, image, mask, case) for before, image, mask, _ in results])), 3
            ),
        }
    return found


def draw(tile: tuple[np.ndarray, np.ndarray], found: dict[str, dict[str, float]]) -> Image.Image:
    """Every case on one tile: above those that keep image and mask together, below those that do not."""
    gap, text, side = 14, 40, SIZE + 24
    sheet = Image.new("RGB", (4 * (side + gap) + gap, 2 * (side + text + gap) + gap), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for place, (case, change) in enumerate(CASES.items()):
        image, mask, _ = change(*tile)
        pixels = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
        labels, colours = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST), palette(NUM_CLASSES)
        mixed = change is mix_labels  # its thin wrong rims are lost among outlines, so the mask itself is shown
        lined = colourise(labels, colours) if mixed else overlay(pixels, labels, colours, strength=0.0)
        x, y = gap + place % 4 * (side + gap), gap + place // 4 * (side + text + gap)
        pen.text((x, y), case, (28, 32, 38), typeface(13, True))
        told = f"agreement {found[case]['agreement']:.2f}, visible {found[case]['visible']:.2f}"
        pen.text((x, y + 18), told, (104, 110, 120), typeface(12))
        sheet.paste(Image.fromarray(lined), (x, y + text))
    return sheet.quantize(200, method=Image.Quantize.MEDIANCUT)


def main() -> None:
    """Draw and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=20, help="how many tiles are measured")
    asked = parser.parse_args()
    tiles = [landcover.generate(np.random.default_rng(seed), SIZE, SIZE) for seed in range(asked.tiles)]
    found = measure(tiles)
    asked.out.mkdir(parents=True, exist_ok=True)
    # both kinds of objects are in it
    rich = max(tiles, key=lambda tile: min(int((tile[1] == index).sum()) for index in OBJECTS))
    draw(rich, found).save(asked.out / "augmentations.png", optimize=True)
    (asked.out / "augmentations.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for case, row in found.items():
        print(f"{case:<30}agreement {row['agreement']:.3f}   visible {row['visible']:.3f}")


if __name__ == "__main__":
    main()
