"""Repair with consent: a repaired copy of a data set, and a record of every change in it.

    fixed = fix(audit, config.data, Path("my_data_repaired"))
    print(fixed)                       # what was changed, counted
    fixed.record                       # my_data_repaired/repairs.json

Only what an audit's findings propose is done, and only in the copy; the source is read and nothing else, so the way
back is the source. What needs a person's answer stops with the questions (`RepairQuestion`) before anything is written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import yaml

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import list_tolerantly
from maskwright.data.checks.facts import folder_of, name_in
from maskwright.data.checks.findings import Audit
from maskwright.data.checks.repair_meaning import MaskValues, Meaning, decide_meaning, numbers_of_named
from maskwright.data.checks.repair_operations import OF_VALUES, OPERATIONS, Counts, Pair
from maskwright.data.checks.repair_plan import Plan, RepairQuestion, Step, plan_repairs
from maskwright.data.dataset import IGNORE, Listing, Record
from maskwright.data.decoding import map_ahead, quiet, read_bytes
from maskwright.data.layout import IMAGE_NAMES
from maskwright.data.opening import Progress, open_dataset
from maskwright.data.pictures import indexed_png
from maskwright.errors import DataError, UsageError, counted, listed, must
from maskwright.files import write_json, write_text
from maskwright.folders import whole_folder
from maskwright.runs import command_line, refuse_used, usable_cores

__all__ = ["Fixed", "RepairQuestion", "fix"]
RECORD_FILE = "repairs.json"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Fixed:
    """What a repair did. `done`: for each finding's code and operation, how many files and pixels it changed."""

    out: Path
    num_images: int
    classes: tuple[str, ...]
    done: tuple[dict[str, Any], ...]
    left_out: tuple[dict[str, Any], ...]
    copied: dict[str, int]
    rewritten: int
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> Path:
        return self.out / RECORD_FILE

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return {"out": str(values.pop("out")), "images": values.pop("num_images"), **values, "record": str(self.record)}

    def __str__(self) -> str:
        lines = [f"{counted(self.num_images, 'image')} in {self.out}, every change in {self.record}"]
        lines += [
            f"{one['code']}: {one['op']} in {counted(one['files'], 'file')}"
            + (f", {counted(one['pixels'], 'pixel')}" if one["pixels"] else "")
            + (f" ({one['between']} of them neither nearly black nor nearly white)" if one.get("between") else "")
            for one in self.done
        ]
        if self.left_out:
            lines.append(f"left out: {listed([one['file'] for one in self.left_out])}")
        if self.rewritten:
            more = "more masks were" if self.rewritten < self.num_images else "masks were"
            lines.append(f"{self.rewritten} {more} written anew as class numbers; no pixel means anything else")
        copied = f"{counted(self.copied['images'], 'image')} and {counted(self.copied['masks'], 'mask')}"
        return "\n".join([*lines, f"copied byte for byte: {copied}", *self.notes])


def fix(
    audit: Audit, config: DataConfig, out: Path, progress: Progress | None = None, leave: Collection[str] = ()
) -> Fixed:
    """Write a repaired copy of the audited data set into a new or empty folder.

    `leave` are codes of findings to leave as they are. `progress` is called three times a pair: when its mask is looked
    at, when it is written, and when the copy is opened as training would. Groups with which it could not be are left
    out.
    """
    out = Path(out)
    config, listing, _ = list_tolerantly(config)
    _validate_place(out, audit)
    plan = plan_repairs(audit, leave, numbers_of_named(config, listing), out)
    repair = _Repair(audit, config, listing, plan, tuple(leave))
    repair.inspect_masks(progress)
    with whole_folder(out, partial(refuse_used, out, "--fix"), "--fix") as folder:
        document = repair.write(folder, progress)
        write_json(folder / RECORD_FILE, document)
    return repair.summary(out, document)


@dataclass(frozen=True)
class _Files:
    """Where one pair lies in the copy, relative to it."""

    image: str
    mask: str


@dataclass
class _Repair:
    """One repair: what is to be done, then what the masks hold, then the copy."""

    audit: Audit
    config: DataConfig
    listing: Listing
    plan: Plan
    leave: tuple[str, ...]
    meaning: Meaning = field(default_factory=Meaning)
    rewrite: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = folder_of(self.audit.root)
        self.listed = {record.id: record for record in self.listing.records}  # splits and groups as listed
        left = {place for place, steps in self.plan.steps.items() if any(step.op == "leave-out" for step in steps)}
        self.kept = {place: record for place, record in enumerate(self.audit.records) if place not in left}
        if not self.kept:
            needed = "the repaired copy must hold at least one pair; every one of them would be left out"
            raise DataError(f"{needed}. Fix the source.")

    def inspect_masks(self, progress: Progress | None) -> None:
        """Read every mask once, in memory that does not grow with their number, and decide what its values become."""
        values = MaskValues()
        for place, (counts, given) in _each(self._values, self.kept, progress, 0).items():
            values.add(self.kept[place].mask.name, counts, given)
        self.meaning = decide_meaning(self.audit, self.config, self.listing, self.plan, self.leave, values)
        self.rewrite = self._must_rewrite()

    def write(self, folder: Path, progress: Progress | None) -> dict[str, Any]:
        """Write images, masks and lists; returns what repairs.json holds."""
        files = _name_files(self.kept, as_png=self.rewrite)
        written = _each(lambda place, record: self._write(folder, files[place], place, record), self.kept, progress, 1)
        changes = [change for entries in written.values() for change in entries]
        groups = {place: step for place in self.kept for step in self.plan.steps.get(place, ()) if step.op == "regroup"}
        self._write_lists(folder, files, groups)
        trouble = _untrainable(folder, progress)
        if trouble and groups:
            self._write_lists(folder, files, {})
            if not _untrainable(folder, None):
                self.notes.append(
                    f"the groups were left out, because the copy cannot be trained on with them: {trouble}"
                )
                return self._document(changes, files)
            self._write_lists(folder, files, groups)
        if trouble:
            self.notes.append(f"the copy cannot be trained on yet: {trouble}")
        return self._document(changes + self._group_changes(groups), files)

    def summary(self, out: Path, document: Mapping[str, Any]) -> Fixed:
        """The short account of what was done."""
        sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for change in document["changes"]:
            if change["code"]:
                counts = {name: change[name] for name in ("pixels", "between") if name in change}
                sums[change["code"], change["op"]].update({"files": change.get("records", 1), **counts})
        done = tuple({"code": code, "op": op, **counts} for (code, op), counts in sums.items())
        touched = {change["file"] for change in document["changes"] if change["code"]}
        rewritten = {change["file"] for change in document["changes"] if not change["code"]} - touched
        left_out, copied = tuple(document["left_out"]), document["copied"]
        return Fixed(out, len(self.kept), self.meaning.names, done, left_out, copied, len(rewritten), self._notes())

    def _steps(self, place: int) -> list[Step]:
        return [step for step in self.plan.steps.get(place, ()) if step.op in OPERATIONS]

    def _repaired(self, place: int, record: Record) -> tuple[Pair, list[tuple[Step, Counts]]]:
        """A pair's mask with everything done to it, in memory."""
        steps = self._steps(place)
        ops = {step.op for step in steps}
        pair = Pair(record)
        pair.read(colours="colours" in ops, greys=bool({"threshold", "nearest"} & ops))
        done = [(step, OPERATIONS[step.op](pair, step.values)) for step in steps if step.op not in OF_VALUES]
        pair.count()
        done += [(step, OPERATIONS[step.op](pair, step.values)) for step in steps if step.op in OF_VALUES]
        return pair, done

    def _values(self, place: int, record: Record) -> tuple[dict[int, int], dict[int, int]]:
        """Pixels of each value of a mask, and the class numbers that its repairs give to values."""
        pair, _ = self._repaired(place, record)
        return pair.counts, pair.labels

    def _must_rewrite(self) -> bool:
        """Whether masks are written as class numbers: all, if one is changed or no classes.yaml could explain it."""
        source = self.meaning.source
        plain = all(
            one.form.kind == "picture" and not one.form.remap and one.mask.is_file() for one in self.kept.values()
        )
        if not plain or any(self._steps(place) for place in self.kept):
            return True
        ignored = {value for value, label in self.meaning.table.items() if label == IGNORE}
        return source is not None and (source.foreground_from is not None or bool(ignored - {IGNORE}))

    def _write(self, folder: Path, files: _Files, place: int, record: Record) -> list[dict[str, Any]]:
        """One pair into the copy; returns its changes."""
        _write_bytes(folder / files.image, read_bytes(record.image))
        if not self.rewrite:
            _write_bytes(folder / files.mask, read_bytes(record.mask))
            return []
        pair, done = self._repaired(place, record)
        table = {value: pair.labels.get(value, self.meaning.table.get(value, IGNORE)) for value in pair.counts}
        data = indexed_png(pair.relabelled(table), len(self.meaning.names) or max(table.values(), default=0) + 1)
        _write_bytes(folder / files.mask, data)
        entries = [{"op": step.op, "values": step.values, "code": step.code, **counts} for step, counts in done]
        coloured = record.form.kind == "colour" or any(step.op == "colours" for step, _ in done)
        plain = {
            f"#{value:06x}" if coloured else str(value): label
            for value, label in table.items()
            if value not in pair.labels
        }
        if plain or not any(step.op in OF_VALUES for step, _ in done):
            entries.append({"op": "rewrite", "values": {"table": plain}, "code": None, "pixels": 0})
        names = {"file": files.mask, "source": name_in(self.root, record.mask)}
        hashes = {"sha256_before": pair.digest, "sha256_after": hashlib.sha256(data).hexdigest()}
        return [{**names, **entry, **hashes} for entry in entries]

    def _write_lists(self, folder: Path, files: Mapping[int, _Files], groups: Mapping[int, Step]) -> None:
        """pairs.csv with the columns that say something, and classes.yaml where the classes are known."""
        rows: list[dict[str, str]] = []
        for place, record in self.kept.items():
            source = self.listed.get(record.id, record)
            group = groups[place].values["groups"][record.id] if place in groups else source.group
            rows.append({**asdict(files[place]), "split": source.split or "", "group": group or ""})
        columns = [name for name in ("image", "mask", "split", "group") if any(row[name] for row in rows)]
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(folder / "pairs.csv", out.getvalue())
        if classes := self._classes():
            write_text(folder / "classes.yaml", yaml.safe_dump(classes, sort_keys=False, allow_unicode=True))

    def _classes(self) -> dict[str, int]:
        """What classes.yaml holds: class numbers, or the source's own values where masks are copied."""
        source = self.meaning.source
        if self.rewrite or source is None:
            return {name: number for number, name in enumerate(self.meaning.names)}
        return dict(zip(source.names, source.values, strict=True))

    def _group_changes(self, steps: Mapping[int, Step]) -> list[dict[str, Any]]:
        """The changes of pairs.csv's group column, one for each finding."""
        entries: list[dict[str, Any]] = []
        for code in dict.fromkeys(step.code for step in steps.values()):
            mine = {self.kept[place].id: step for place, step in steps.items() if step.code == code}
            groups = {name: step.values["groups"][name] for name, step in mine.items()}
            entries.append({"file": "pairs.csv", "source": None, "op": "regroup", "values": {"groups": groups},
                            "code": code, "records": len(mine), "pixels": 0})  # fmt: skip
        return entries

    def _left_out(self) -> list[dict[str, Any]]:
        """Files that are not in the copy because a finding said so."""
        found: dict[str, Step] = {}
        for place, steps in self.plan.steps.items():
            for step in (step for step in steps if step.op == "leave-out"):
                record = self.audit.records[place]
                for file in (record.image, record.mask) if not record.form.key else (record.image,):
                    found.setdefault(name_in(self.root, file), step)
        found |= {file: step for file, step in self.plan.lone.items() if file not in found}
        kept = {name_in(self.root, path) for record in self.kept.values() for path in (record.image, record.mask)}
        return [
            {"file": file, "code": step.code, "why": step.message} for file, step in found.items() if file not in kept
        ]

    def _not_copied(self, left_out: Sequence[Mapping[str, Any]]) -> list[str]:
        """Other files of the source folder, which belong to no pair."""
        if not Path(self.audit.root).is_dir():
            return []
        used = {path.absolute() for record in self.audit.records for path in (record.image, record.mask)}
        left = {one["file"] for one in left_out}
        files = [path for path in sorted(self.root.rglob("*")) if path.is_file() and path.absolute() not in used]
        others = [path for path in files if not used & {parent.absolute() for parent in path.parents}]
        return [name for path in others if (name := name_in(self.root, path)) not in left]

    def _notes(self) -> tuple[str, ...]:
        unnamed = "the copy has no classes.yaml: nobody could say what the masks' values mean"
        return (*self.plan.notes, *self.notes, *(() if self.meaning.names else (unnamed,)))

    def _document(self, changes: list[dict[str, Any]], files: Mapping[int, _Files]) -> dict[str, Any]:
        """What repairs.json holds."""
        left_out = self._left_out()
        moved = {
            name: source
            for place, record in self.kept.items()
            for name, path in ((files[place].image, record.image), (files[place].mask, record.mask))
            if (source := name_in(self.root, path)) != name
        }
        asked = [finding for finding in self.audit.findings if finding.code not in self.leave and finding.proposal]
        source = self.meaning.source
        return {
            "maskwright": metadata.version("maskwright"),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command_line(),
            "source": str(self.root.resolve()),
            "reader": self.audit.reader,
            "images": len(self.kept),
            "classes": self._classes(),
            "classes_of_source": source.to_json() if source else None,
            "ignored": IGNORE,
            "findings": [
                {"code": f.code, "evidence": f.evidence, "message": f.proposal.message} for f in asked if f.proposal
            ],
            "left_as_they_are": list(self.leave),
            "changes": changes,
            "left_out": left_out,
            "copied": {"images": len(self.kept), "masks": 0 if self.rewrite else len(self.kept)},
            "named_anew": moved,
            "not_copied": self._not_copied(left_out),
            "notes": list(self._notes()),
        }


def _validate_place(out: Path, audit: Audit) -> None:
    """The copy goes into a new or empty folder outside the data set, which must hold ordinary pictures."""
    place, root = Path(os.path.realpath(out)), Path(audit.root)  # Path.resolve stops at a link to itself
    kept = {path.parent.resolve() for record in audit.records for path in (record.image, record.mask)}
    kept |= {root.resolve()} if root.is_dir() else set()
    inside = next((folder for folder in kept if place == folder or folder in place.parents), None)
    if inside is not None:
        hint = "The data set stays as it is: choose a folder elsewhere."
        raise UsageError(must("--fix", "a folder outside the data set", f"{out}, inside {inside}", hint))
    refuse_used(out, "--fix")
    rasters = [record.image.name for record in audit.records if record.window or record.form.kind == "raster"]
    if rasters:
        raise DataError(
            f"`--fix` must have ordinary pictures; {listed(dict.fromkeys(rasters))} are rasters, and masks written as "
            "PNG would lose their place on the map. Fix the rasters with the tool that made them."
        )


def _name_files(records: Mapping[int, Record], as_png: bool) -> dict[int, _Files]:
    """Names inside the copy: the image's own below its images folder, the mask called like its image."""
    folders = {place: record.image.absolute().parent for place, record in records.items()}
    common = Path(os.path.commonpath(list(folders.values())))
    files: dict[int, _Files] = {}
    taken: set[str] = set()
    for place, record in records.items():
        parts = [part for part in folders[place].relative_to(common).parts if part.lower() not in IMAGE_NAMES]
        stem, number = record.image.stem, 1
        path = PurePosixPath(*parts, stem)
        while path.as_posix().lower() in taken:  # lower: some file systems tell no case apart
            number += 1
            path = PurePosixPath(*parts, f"{stem}-{number}")
        taken.add(path.as_posix().lower())
        ending = ".png" if as_png else record.mask.suffix
        files[place] = _Files(f"images/{path}{record.image.suffix}", f"masks/{path}{ending}")
    return files


def _write_bytes(path: Path, data: bytes) -> None:
    """One file of the copy; no need for a temporary name, the whole copy has one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _untrainable(folder: Path, progress: Progress | None) -> str:
    """Why the copy could not be opened and split as `train` does; empty where it can be."""

    def on(done: int, total: int) -> None:
        if progress:
            progress(2 * total + done, 3 * total)

    try:
        open_dataset(DataConfig(root=str(folder), cache="none"), progress=on).store.close()
    except DataError as error:
        return str(error).replace(f"{folder}/", "").replace(str(folder), "the copy")
    return ""


def _each(
    work: Callable[[int, Record], Result], records: Mapping[int, Record], progress: Progress | None, third: int
) -> dict[int, Result]:
    """Do something to every pair on all cores; the first that fails stops the rest."""
    results: dict[int, Result] = {}
    with quiet(), ThreadPoolExecutor(usable_cores()) as pool:  # decoders work outside the interpreter's lock
        for place, result in zip(records, map_ahead(pool, work, records, records.values()), strict=True):
            results[place] = result
            if progress:
                progress(third * len(records) + len(results), 3 * len(records))
    return results
