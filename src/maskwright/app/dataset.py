"""The data set of the app: its images, with and without masks, as listed; and its audit, made in the background.

A folder of images alone is a data set too: what is drawn there is kept in masks/, pairs.csv and classes.yaml, as other
data sets are, so that every command reads it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException

from maskwright.app.answers import text_of
from maskwright.app.runs import classes_of, stamp_of
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit, folder_of, list_tolerantly
from maskwright.data.checks.findings import CODES, Audit, format_audit
from maskwright.data.checks.repair import fix
from maskwright.data.dataset import IGNORE, RGB, ClassMap, Listing, Record
from maskwright.data.layout import image_files, role_of, split_words
from maskwright.data.raw import code_labels, read_head, read_image, read_record
from maskwright.data.readers.folders import read_classes
from maskwright.errors import DataError, MaskwrightError
from maskwright.runs import plain_name

PAIRS = "pairs.csv"
OWN_HEAD = "image,mask"  # of a pairs.csv that the app keeps


@dataclass(frozen=True)
class Item:
    """An image of the data set: its number, its name, and its record where it has a mask."""

    id: str
    name: str
    image: Path
    record: Record | None


class DataSet:
    """A folder (or CSV) and what is known of it; ids are places in the list, which lasts as long as the app."""

    def __init__(self, path: Path) -> None:
        self.config = DataConfig(root=str(path))
        self.path, self.root = path, folder_of(self.config.root)
        self.lock = threading.RLock()
        self._items: list[Item] | None = None
        self._heads: dict[Path, tuple[Any, tuple[int, int]]] = {}
        self._audit: Audit | None = None
        self._error = ""
        self._progress: tuple[int, int] = (0, 0)
        self._thread: threading.Thread | None = None
        self.reader = ""

    # ------------------------------------------------------------------ the list

    def items(self) -> list[Item]:
        """Every image, listed once; masks that are drawn here are added to it."""
        with self.lock:
            if self._items is None:
                listing = self._listing()
                self.reader = listing.reader if listing else ""
                records = listing.records if listing else ()
                self._items = [
                    Item(str(place), record.id, record.image, record) for place, record in enumerate(records)
                ]
                more = [
                    path for path in self._without_mask(records) if path not in {record.image for record in records}
                ]
                self._items += [
                    Item(str(len(records) + place), os.path.relpath(path, self.root), path, None)
                    for place, path in enumerate(more)
                ]
            return self._items

    def item(self, id: str) -> Item:
        items = self.items()
        if not (id.isdecimal() and len(id) < 10 and int(id) < len(items)):
            raise HTTPException(
                404, f"an image must be one of the data set's {len(items)}; got another. Reload the list."
            )
        return items[int(id)]

    def gained(self, item: Item, mask: Path) -> Item:
        """An image that has a mask from now on."""
        with self.lock:
            now = replace(item, record=Record(item.name, item.image, mask))
            self.items()[int(item.id)] = now
            return now

    def _listing(self) -> Listing | None:
        try:
            return list_tolerantly(self.config)[1]
        except DataError:
            if not self.root.is_dir() or not image_files(self.root)[0]:
                raise
            return None

    def _without_mask(self, records: Sequence[Record]) -> list[Path]:
        """Images beside those that have masks; all images where none has."""
        if self.path.is_file() or (records and self.reader not in ("folders", "csv")):
            return []
        if self.reader == "csv" and not self.keeps_pairs:
            return []
        images, masks = {record.image.parent for record in records}, {record.mask.parent for record in records}
        used = {path for record in records for path in (record.image, record.mask)}
        found = [path for path in image_files(self.root)[0] if path not in used]
        if images and not images & masks and self.reader == "folders":
            return [path for path in found if path.parent in images]
        if images & masks:
            return []
        return [path for path in found if not self._is_mask(path, masks)]

    def _is_mask(self, path: Path, masks: set[Path]) -> bool:
        inside = path.relative_to(self.root).parts[:-1]
        return path.parent in masks or any(role_of(split_words(part)) == "masks" for part in inside)

    @property
    def keeps_pairs(self) -> bool:
        """Whether pairs.csv is the app's: there was no mask before, or it holds nothing but images and masks."""
        try:
            with (self.root / PAIRS).open(encoding="utf-8") as file:
                return file.readline().strip() == OWN_HEAD
        except FileNotFoundError:
            return not any(item.record for item in self._items or [])
        except (OSError, UnicodeDecodeError):
            return False

    # ------------------------------------------------------------------ pixels

    def size(self, item: Item) -> tuple[int, int]:
        """Height and width, from the file's head; 0 where it cannot be read."""
        stamp = stamp_of(item.image)
        kept = self._heads.get(item.image)
        if kept is None or kept[0] != stamp:
            try:
                head = read_head(item.record or Record(item.name, item.image, item.image))
                kept = stamp, (head.height, head.width)
            except MaskwrightError:
                kept = stamp, (0, 0)
            self._heads[item.image] = kept
        return kept[1]

    def pixels(self, item: Item) -> np.ndarray:
        """The image H W C uint8 for looking at."""
        bands = self._audit.bands if self._audit else RGB
        return read_image(item.record or Record(item.name, item.image, item.image), bands)[0]

    def labels(self, item: Item) -> np.ndarray:
        """The mask as class numbers H W uint8; all of the first class where there is none."""
        if item.record is None:
            return np.zeros(self.size(item), np.uint8)
        raw = read_record(item.record, self._audit.bands if self._audit else RGB, hashed=False)
        return code_labels(self.classes(), raw.values)[raw.codes]

    def classes(self) -> ClassMap:
        """What masks' values mean: as the audit settled it; of images without masks as they were named."""
        if not any(item.record for item in self.items()) or (
            self.keeps_pairs and (self.root / "classes.yaml").is_file()
        ):
            named = read_classes(self.root) if self.root.is_dir() else None
            if not named:
                raise HTTPException(
                    409, "classes must be named before anything can be drawn; they are not. Name them on this page."
                )
            ignored = () if IGNORE in named.values() else (IGNORE,)
            return ClassMap(tuple(named), tuple(named.values()), ignored, reason="as in classes.yaml")
        found = self.wait().class_map
        if found is None:
            raise HTTPException(409, f"what the masks' values mean must be clear first. {self.wait().classes_reason}")
        return found

    # ------------------------------------------------------------------ the audit

    def check(self, anew: bool = False) -> None:
        """Begin the audit, if it was not."""
        with self.lock:
            if self._thread is None or (anew and not self._thread.is_alive()):
                self._audit, self._error, self._progress = None, "", (0, 0)
                self._thread = threading.Thread(target=self._check, name="maskwright-audit", daemon=True)
                self._thread.start()

    def _check(self) -> None:
        def tell(done: int, total: int) -> None:
            self._progress = done, total

        try:
            self._audit = audit(self.config, tell)
        except Exception as error:  # noqa: BLE001 - the page is told
            self._error = str(error)

    @property
    def is_checked(self) -> bool:
        """Whether the audit is done: whoever asks for what it finds waits for it."""
        return self._audit is not None

    def wait(self, seconds: float = 120.0) -> Audit:
        """The audit, when it is done."""
        self.check()
        assert self._thread is not None
        self._thread.join(seconds)
        if self._audit is None:
            raise HTTPException(
                422 if self._error else 503, self._error or "the data set is being checked. Try again in a minute."
            )
        return self._audit

    def to_json(self) -> dict[str, Any]:
        """What the page of the data set shows; while the audit runs, how far it is."""
        items = self.items()
        masked = sum(item.record is not None for item in items)
        page: dict[str, Any] = {"path": str(self.path), "images": len(items), "masked": masked, "classes": [],
                                "encoding": "", "summary": [], "findings": [], "checking": None,
                                "keeps_pairs": self.keeps_pairs}  # fmt: skip
        if not masked:
            named = (read_classes(self.root) if self.root.is_dir() else None) or {}
            page["classes"] = [{**one, "share": 0.0} for one in classes_of(tuple(named))]
            return page | {"summary": ["No image has a mask yet: name the classes and draw some."]}
        self.check()
        if self._audit is None:
            if self._error:
                return page | {"summary": [self._error]}
            return page | {"checking": {"done": self._progress[0], "total": self._progress[1] or masked}}
        found = self._audit
        shares = zip(classes_of(found.classes), found.class_shares, strict=True)
        return page | {
            "classes": [{**one, "share": share} for one, share in shares],
            "encoding": found.classes_reason,
            "summary": [line.replace("\u00a0", " ") for line in takewhile(str.strip, format_audit(found))],
            "findings": [self._finding(str(place), place) for place in range(len(found.findings))],
        }

    def _finding(self, id: str, place: int) -> dict[str, Any]:
        assert self._audit is not None
        one = self._audit.findings[place]
        repair = one.proposal
        offered = repair is not None and bool(repair.message) and not repair.question
        proposal = one.to_json(self._audit)["proposal"] or {"answers": ()}
        answers = [{key: text_of(each[key]) for key in ("message", "command")} for each in proposal["answers"]]
        return {"id": id, "code": one.code, "answers": answers, "severity": one.severity,
                "title": CODES[one.code].title, "text": text_of(one.evidence), "images": self.named_by(one.files),
                "question": repair.question if repair else "",
                "repair": {"id": id, "text": repair.message} if repair and offered else None}  # fmt: skip

    def named_by(self, files: Sequence[str]) -> list[str]:
        """The ids of images that these files, images or masks, belong to."""
        wanted = {os.path.normpath(self.root / file) for file in files}
        pairs = ((item, (item.image, item.record.mask if item.record else item.image)) for item in self.items())
        return [item.id for item, paths in pairs if wanted & {os.path.normpath(path) for path in paths}]

    def finding(self, id: str) -> list[str]:
        """The images of a finding."""
        found = self.wait().findings
        if not (id.isdecimal() and len(id) < 10 and int(id) < len(found)):
            raise HTTPException(404, "a finding must be one of the audit's; got another. Reload the page.")
        return self.named_by(found[int(id)].files)

    def repair(self, accept: Sequence[str], out: str, folder: Path) -> dict[str, Any]:
        """Write a repaired copy: the repairs of the findings that were accepted, all others left as they are."""
        found = self.wait()
        if out != plain_name(out) or out.startswith(".") or not 0 < len(out) <= 64:
            raise HTTPException(
                422, "`out` must be a new folder's name of letters, digits, dots and dashes; got another. Choose one."
            )
        ids = {str(place) for place in range(len(found.findings))}
        if not accept or set(accept) - ids:
            raise HTTPException(
                422, "`accept` must name findings of this audit; it names none, or others. Reload the page."
            )
        wanted = {found.findings[int(id)].code for id in accept}
        places = [place for place, one in enumerate(found.findings) if str(place) in accept or one.code not in wanted]
        asked = replace(found, findings=tuple(found.findings[place] for place in places))  # two may have one code
        others = [one.code for one in asked.findings if one.code not in wanted]
        fixed = fix(asked, self.config, folder / out, leave=others)
        return {
            "path": str(fixed.out),
            "changed": sum(one["files"] for one in fixed.done) + len(fixed.left_out),
            "told": str(fixed),
        }
