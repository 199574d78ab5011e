"""What labels are sent as: an indexed PNG, GeoJSON, COCO run lengths; chosen by the Accept header."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from fastapi import HTTPException

from maskwright.data.pictures import indexed_png
from maskwright.prediction.outlines import coco, geojson

Encode = Callable[[np.ndarray, Sequence[str]], bytes]
# media type: how labels H W uint8 and the names of classes become it; the first where anything is accepted
FORMATS: dict[str, Encode] = {
    "image/png": lambda labels, names: indexed_png(labels, len(names)),
    "application/geo+json": lambda labels, names: geojson(labels, names, None, ""),
    "application/json": lambda labels, names: coco(labels, names, "image"),
}


def wanted_format(accept: str) -> str:
    """The media type that an Accept header asks for; of those it likes as well, the first it names.

    >>> wanted_format("text/html, application/geo+json;q=0.9, */*;q=0.1"), wanted_format("")
    ('application/geo+json', 'image/png')
    """
    for share, part in sorted(((_share(part), part) for part in accept.split(",")), key=lambda one: -one[0]):
        name = part.partition(";")[0].strip().lower() or "*/*"
        fitting = [kind for kind in FORMATS if name in (kind, "*/*", f"{kind.partition('/')[0]}/*")]
        if fitting and share > 0:
            return fitting[0]
    raise HTTPException(
        406, f"Accept must name one of {', '.join(FORMATS)}; it names none of them. Leave it out for a PNG."
    )


def _share(part: str) -> float:
    """How much an entry is liked: its q, or 1."""
    stated = [word.strip()[2:] for word in part.split(";")[1:] if word.strip().lower().startswith("q=")]
    try:
        return float(stated[0]) if stated else 1.0
    except ValueError:
        return 0.0
