"""Masks that are drawn: saved whole in the data set's own encoding, the first original kept, every change written down.

    labels = Labels(DataSet(Path("my_data")))
    labels.save("7", png, version, "Ada")      # → the new version; a Conflict where somebody else was first

In DATA/.maskwright stand originals/ (a mask before its first change), drafts/ (what lost a race) and labels.jsonl.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fastapi import HTTPException

from maskwright.app.answers import grey_labels, png, text_of
from maskwright.app.dataset import OWN_HEAD, PAIRS, DataSet, Item
from maskwright.data.dataset import IGNORE, ClassMap
from maskwright.data.mask_files import encode_mask, refuse_unwritable
from maskwright.data.pictures import indexed_png
from maskwright.errors import DataError, RunError
from maskwright.files import append_line, csv_text, write_atomically, write_text
from maskwright.folders import lock_folder

OWN = ".maskwright"
NONE = "none"  # the version of a mask that is not there
_LOCK_SECONDS = 10.0


class Conflict(Exception):
    """Somebody saved the mask in between; what was not saved is kept as a draft."""

    def __init__(self, version: str, draft: str) -> None:
        super().__init__(version)
        self.version, self.draft = version, draft


class Labels:
    """The masks of a data set, one writer at a time, whichever process it is in."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.folder = data.root / OWN

    def about(self, id: str) -> dict[str, Any]:
        """What a page needs to draw in an image's mask."""
        item = self.data.item(id)
        classes = self.data.classes()
        height, width = self.data.size(item)
        by = [
            {key: one.get(key) for key in ("who", "when", "what")}
            for one in self._log()
            if one.get("image") == item.name
        ]
        return {"id": id, "name": text_of(item.name), "width": width, "height": height, "version": self.version(item),
                "masked": item.record is not None, "classes": list(classes.names), "by": by,
                "ignorable": bool(classes.ignore_values)}  # fmt: skip

    def version(self, item: Item) -> str:
        """A hash of the mask's file: another whoever changed it."""
        if item.record is None or not item.record.mask.is_file():
            return NONE
        return _version(item.record.mask.read_bytes())

    def mask(self, id: str) -> tuple[bytes, str]:
        """The newest mask as grey PNG, and its version."""
        item = self.data.item(id)
        with self.data.lock:
            return png(self.data.labels(item)), self.version(item)

    def save(self, id: str, body: bytes, version: str, who: str) -> str:
        """Write a mask that was drawn on a version of it. → the new version"""
        item = self.data.item(id)
        labels, classes = grey_labels(body), self.data.classes()
        if labels.shape != self.data.size(item):
            (height, width), got = self.data.size(item), " × ".join(str(side) for side in labels.shape[::-1])
            told = f"the mask must have its image's size, {width} × {height}; got {got}."
            raise HTTPException(422, f"{told} Draw it on the image at its own size.")
        for own in ("labels.jsonl", "drafts/x", "originals/x"):
            self._refuse_outside(self.folder / own)
        with self.data.lock, self._alone():
            item = self.data.item(id)
            now = self.version(item)
            if version != now:
                draft = f"{id}-{_version(body)}.png"
                write_atomically(self.folder / "drafts" / draft, lambda path: path.write_bytes(png(labels)))
                raise Conflict(now, draft)
            changed = self._changed(item, labels)
            path, data = self._encoded(item, labels, classes)
            self._refuse_outside(path)
            if item.record is not None:
                self._keep_original(path)
            write_atomically(path, lambda temporary: temporary.write_bytes(data))
            if item.record is None:
                item = self.data.gained(item, path)
            if self.data.keeps_pairs or not self.data.reader:
                self._write_pairs(self.data.root / PAIRS, self.data.root)
            self._note(item, who, _version(data), changed)
            return _version(data)

    def _changed(self, item: Item, labels: np.ndarray) -> int:
        if item.record is None:
            return int(labels.size)
        try:
            return int((self.data.labels(item) != labels).sum())
        except DataError:  # of another size than its image, say: it is drawn anew
            return int(labels.size)

    def _encoded(self, item: Item, labels: np.ndarray, classes: ClassMap) -> tuple[Path, bytes]:
        """Where the mask lies, and its bytes, in the encoding it has or that its neighbours have."""
        if item.record is not None:
            refuse_unwritable(item.record)
            return item.record.mask, encode_mask(labels, classes, item.record.mask, item.record)
        like = next(
            (one.record for one in self.data.items() if one.record and one.image.parent == item.image.parent), None
        )
        if like is None or self.data.keeps_pairs:
            if not set(np.unique(labels).tolist()) <= {*range(classes.num_classes), IGNORE}:
                raise DataError(
                    f"the mask must hold class numbers 0 to {classes.num_classes - 1} and 255; it holds others."
                )
            return self._new_place(item.image), indexed_png(labels, classes.num_classes)
        if like.image.stem not in like.mask.name:
            raise DataError(
                f"`{item.name}` must have a name that a mask's follows from; those beside it have none. Add its mask."
            )
        path = like.mask.parent / like.mask.name.replace(like.image.stem, item.image.stem, 1)
        if path.exists():
            raise DataError(
                f"`{path}` must not be another image's mask already; it is there. Check the data set first."
            )
        return path, encode_mask(labels, classes, path, like)

    def _new_place(self, image: Path) -> Path:
        """masks/ beside images/, or in the folder itself; the image's whole name where two differ in their suffix."""
        inside = image.relative_to(self.data.root)
        parts = list(inside.parts[:-1])
        places = [place for place, part in enumerate(parts) if part.lower() in ("images", "image", "imgs", "img")]
        parts = [*parts[: places[0]], "masks", *parts[places[0] + 1 :]] if places else ["masks", *parts]
        alone = sum(one.image.with_suffix("") == image.with_suffix("") for one in self.data.items()) == 1
        name = image.stem if alone else image.name.replace(".", "-")
        return self.data.root.joinpath(*parts, f"{name}.png")

    def _refuse_outside(self, path: Path) -> None:
        """A mask is written where the data set is, and nowhere that a link or a list of another leads to."""
        real, root = Path(os.path.realpath(path)), Path(os.path.realpath(self.data.root))
        if root not in real.parents or path.is_symlink():
            raise DataError(
                f"`{path}` must lie in the data set to be written; it leads to {real}. Put the file itself there."
            )

    def _keep_original(self, path: Path) -> None:
        kept = self.folder / "originals" / path.relative_to(self.data.root)
        if not kept.exists():
            data = path.read_bytes()
            write_atomically(kept, lambda temporary: temporary.write_bytes(data))

    def _write_pairs(self, path: Path, root: Path) -> None:
        """The labelled images as every command reads them."""
        pairs = [(item.image, item.record.mask) for item in self.data.items() if item.record]
        rows = [[Path(os.path.relpath(one, root)).as_posix() for one in pair] for pair in pairs]
        write_text(path, csv_text([OWN_HEAD.split(","), *rows]))

    def _note(self, item: Item, who: str, version: str, changed: int) -> None:
        line = {"who": who[:200], "when": datetime.now(UTC).isoformat(timespec="seconds"), "image": item.name,
                "version": version, "pixels": changed, "what": f"{changed} pixels changed"}  # fmt: skip
        append_line(self.folder / "labels.jsonl", json.dumps(line))

    def _log(self) -> Iterator[dict[str, Any]]:
        path = self.folder / "labels.jsonl"
        for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict):
                    yield found

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process writes meanwhile."""
        end = time.monotonic() + _LOCK_SECONDS
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(lock_folder(self.folder, "--data"))
                    break
                except RunError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.02)
            yield

    def draft(self, name: str) -> bytes:
        """A mask that lost a race."""
        folder = self.folder / "drafts"
        found = {path.name: path for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}
        if name not in found or found[name].is_symlink():
            raise HTTPException(404, "a draft must be one that is kept; this one is not. Reload the page.")
        return found[name].read_bytes()

    def name_classes(self, names: list[str]) -> None:
        """Write classes.yaml for a folder whose images have no masks yet; more may be added at the end later."""
        clean = [name.strip() for name in names]
        if not 2 <= len(clean) <= IGNORE or not all(0 < len(name) <= 100 and name.isprintable() for name in clean):
            raise HTTPException(
                422, "classes must be 2 to 255 names of 1 to 100 letters, the background first. Name them so."
            )
        if len(set(clean)) < len(clean):
            raise HTTPException(422, "classes must have different names; one stands twice. Rename it.")
        with self.data.lock:
            known = list(self.data.classes().names) if (self.data.root / "classes.yaml").is_file() else []
            if any(item.record for item in self.data.items()) and (
                not self.data.keeps_pairs or clean[: len(known)] != known
            ):
                raise HTTPException(
                    409, "classes must stay as they are once masks are drawn; more may be added at the end."
                )
            text = yaml.safe_dump(
                {name: value for value, name in enumerate(clean)}, sort_keys=False, allow_unicode=True
            )
            write_text(self.data.root / "classes.yaml", text)

    def to_train(self) -> tuple[str, list[str]]:
        """What to train on: the data set, or a list of the images that have masks; and further words of the command."""
        items = self.data.items()
        if all(item.record for item in items) or self.data.keeps_pairs:
            return str(self.data.path), []
        path = self.folder / "labelled.csv"
        classes = self.data.classes()
        self._write_pairs(path, self.folder)
        named = {
            name: classes.format_value(value) if classes.colours else value
            for name, value in zip(classes.names, classes.values, strict=True)
        }
        flags = [] if classes.foreground_from else ["--data.classes", json.dumps(named)]
        return str(path), flags


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
