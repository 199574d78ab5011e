"""Repair with consent: a repaired copy of a data set, and a record of every change that says how to take it back.

    fixed = fix(audit, config.data, Path("my_data_repaired"))
    print(fixed)                       # what was changed, counted
    fixed.record                       # my_data_repaired/repairs.json

Only what an audit's findings propose is done, and only in the copy; the source is read and nothing else. What needs a
person's answer stops with the questions (`RepairQuestion`) before anything is written.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import list_tolerantly
from maskwright.data.checks.findings import Audit
from maskwright.data.checks.repair_classes import Meaning, Seen, numbers_of_named, settle_meaning
from maskwright.data.checks.repair_copy import (
    RECORD_FILE,
    Names,
    name_pairs,
    refuse_place,
    write_bytes,
    write_lists,
)  # fmt: skip
from maskwright.data.checks.repair_masks import OF_MASKS, OF_VALUES, OPERATIONS, Facts, Pair
from maskwright.data.checks.repair_plan import Plan, RepairQuestion, Step, plan_repairs, relative, source_folder
from maskwright.data.checks.repair_record import HOW_TO_UNDO, changes_of
from maskwright.data.dataset import IGNORE, Listing, Record
from maskwright.data.decoding import map_ahead, quiet, read_bytes
from maskwright.data.opening import Progress, open_dataset
from maskwright.data.pictures import indexed_png
from maskwright.errors import DataError, counted, listed
from maskwright.files import write_atomically
from maskwright.folders import whole_folder
from maskwright.runs import command_line, refuse_used, usable_cores

__all__ = ["OPERATIONS", "Fixed", "RepairQuestion", "fix"]
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
        return {
            "out": str(self.out),
            "images": self.num_images,
            "classes": list(self.classes),
            "done": list(self.done),
            "left_out": list(self.left_out),
            "copied": self.copied,
            "rewritten": self.rewritten,
            "record": str(self.record),
            "notes": list(self.notes),
        }

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
        lines.append(
            f"copied byte for byte: {counted(self.copied['images'], 'image')} and {counted(self.copied['masks'], 'mask')}"
        )
        return "\n".join([*lines, *self.notes])


def fix(audit: Audit, config: DataConfig, out: Path, progress: Progress | None = None, leave: Collection[str] = ()) -> Fixed:
    """Write a repaired copy of the audited data set into a new or empty folder.

    `leave` are codes of findings to leave as they are. `progress` is told every pair three times: when its mask is looked
    at, when it is written, and when the copy is opened as training would. Groups with which it could not be are left out.
    """
    out = Path(out)
    config, listing, _ = list_tolerantly(config)
    refuse_place(out, Path(audit.root), audit.records)
    _refuse_rasters(audit.records)
    plan = plan_repairs(audit, config, leave, numbers_of_named(config, listing), out)
    work = _Work(audit, config, listing, plan, tuple(leave))
    work.look(progress)
    with whole_folder(out, partial(refuse_used, out, "--fix"), "--fix") as folder:
        document = work.write(folder, progress)
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / RECORD_FILE, lambda path: path.write_text(text, encoding="utf-8"))
    return work.fixed(out, document)


@dataclass
class _Look:
    """What the values of one mask are, and what its repairs make of them."""

    plain: dict[int, int]
    labels: dict[int, int]


@dataclass
class _Work:
    """One repair: what is to be done, then what the masks hold, then the copy."""

    audit: Audit
    config: DataConfig
    listing: Listing
    plan: Plan
    leave: tuple[str, ...]
    meaning: Meaning = field(default_factory=lambda: Meaning((), {}, None))
    rewrite: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = source_folder(self.audit)
        self.splits = {record.id: record.split for record in self.listing.records}  # as the source has them, not as dealt
        left = {place for place, steps in self.plan.steps.items() if any(step.op == "leave-out" for step in steps)}
        self.kept = {place: record for place, record in enumerate(self.audit.records) if place not in left}
        if not self.kept:
            raise DataError(
                "the repaired copy must hold at least one pair; every one of them would be left out. Mend the source."
            )

    def look(self, progress: Progress | None) -> None:
        """Read every mask once, in memory that does not grow with their number, and settle what its values become."""
        looks = _each(self._look, self.kept, progress, 0)
        files: dict[int, list[str]] = defaultdict(list)
        plain: Counter[int] = Counter()
        labels: Counter[int] = Counter()
        for place, look in looks.items():
            plain.update(look.plain)
            labels.update(look.labels)
            for value in look.plain:
                files[value].append(self.kept[place].mask.name)
        named = [step.values["names"] for steps in self.plan.steps.values() for step in steps if step.values.get("names")]
        self.meaning = settle_meaning(
            Seen(plain, labels, files), self.audit, self.config, self.listing, named[0] if named else (), self.leave
        )
        self.rewrite = self._must_rewrite()

    def write(self, folder: Path, progress: Progress | None) -> dict[str, Any]:
        """Write images, masks and lists; returns what repairs.json holds."""
        names = name_pairs(self.kept, as_png=self.rewrite)
        written = _each(lambda place, record: self._write(folder, names[place], place, record), self.kept, progress, 1)
        changes = [change for entries in written.values() for change in entries]
        regrouped = {place: step for place in self.kept for step in self.plan.steps.get(place, ()) if step.op == "regroup"}
        self._write_lists(folder, names, regrouped)
        trouble = _untrainable(folder, progress)
        if trouble and regrouped:
            self._write_lists(folder, names, {})
            if not _untrainable(folder, None):
                self.notes.append(f"the groups were left out, because the copy cannot be trained on with them: {trouble}")
                return self._document(changes, names)
            self._write_lists(folder, names, regrouped)
        if trouble:
            self.notes.append(f"the copy cannot be trained on yet: {trouble}")
        return self._document(changes + self._regroupings(regrouped), names)

    def fixed(self, out: Path, document: Mapping[str, Any]) -> Fixed:
        """The short account of what was done."""
        sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for change in document["changes"]:
            if change["code"]:
                facts = {name: change[name] for name in ("pixels", "between") if name in change}
                sums[change["code"], change["op"]].update({"files": change.get("records", 1), **facts})
        done = tuple({"code": code, "op": op, **facts} for (code, op), facts in sums.items())
        touched = {change["file"] for change in document["changes"] if change["code"]}
        anew = {change["file"] for change in document["changes"] if not change["code"]} - touched
        left_out, copied = tuple(document["left_out"]), document["copied"]
        return Fixed(out, len(self.kept), self.meaning.names, done, left_out, copied, len(anew), self._notes())

    def _steps(self, place: int) -> list[Step]:
        return [step for step in self.plan.steps.get(place, ()) if step.op in OF_MASKS]

    def _mend(self, place: int, record: Record) -> tuple[Pair, list[tuple[Step, Facts]]]:
        """A pair's mask with everything done to it, in memory."""
        steps = self._steps(place)
        ops = {step.op for step in steps}
        pair = Pair(record)
        pair.read(colours="colours" in ops, greys=bool({"threshold", "nearest"} & ops))
        done: list[tuple[Step, Facts]] = [
            (step, OPERATIONS[step.op](pair, step.values)) for step in steps if step.op not in OF_VALUES
        ]
        pair.count()
        done += [(step, OPERATIONS[step.op](pair, step.values)) for step in steps if step.op in OF_VALUES]
        return pair, done

    def _look(self, place: int, record: Record) -> _Look:
        pair, _ = self._mend(place, record)
        plain = {value: count for value, count in pair.counts.items() if value not in pair.labels}
        labels: Counter[int] = Counter()
        for value, label in pair.labels.items():
            labels[label] += pair.counts[value]
        return _Look(plain, dict(labels))

    def _must_rewrite(self) -> bool:
        """Whether masks are written as class numbers: all of them, if one is changed or no classes.yaml could explain it."""
        source = self.meaning.source
        if any(self._steps(place) for place in self.kept) or any(not _is_plain(record) for record in self.kept.values()):
            return True
        ignored = {value for value, label in self.meaning.table.items() if label == IGNORE}
        return source is not None and (source.foreground_from is not None or bool(ignored - {IGNORE}))

    def _write(self, folder: Path, names: Names, place: int, record: Record) -> list[dict[str, Any]]:
        """One pair into the copy; returns its changes."""
        write_bytes(folder / names.image, read_bytes(record.image))
        if not self.rewrite:
            write_bytes(folder / names.mask, read_bytes(record.mask))
            return []
        pair, done = self._mend(place, record)
        table = {value: pair.labels.get(value, self.meaning.table.get(value, IGNORE)) for value in pair.counts}
        data = indexed_png(pair.lay(lambda value: table[value]), len(self.meaning.names) or max(table.values(), default=0) + 1)
        write_bytes(folder / names.mask, data)
        files = {"file": names.mask, "source": relative(record.mask, self.root)}
        return changes_of(pair, done, table, files, (pair.digest, hashlib.sha256(data).hexdigest()))

    def _write_lists(self, folder: Path, names: Mapping[int, Names], regrouped: Mapping[int, Step]) -> None:
        write_lists(folder, [self._row(place, names[place], regrouped.get(place)) for place in self.kept], self._classes())

    def _row(self, place: int, names: Names, step: Step | None) -> dict[str, str]:
        """A line of pairs.csv."""
        record = self.kept[place]
        pair = Pair(record, record.group)
        if step:
            OPERATIONS[step.op](pair, step.values)
        split = self.splits.get(record.id, record.split)
        return {"image": names.image, "mask": names.mask, "split": split or "", "group": pair.group or ""}

    def _classes(self) -> dict[str, int]:
        """What classes.yaml holds: class numbers, or the source's own values where masks are copied."""
        source = self.meaning.source
        if self.rewrite or source is None:
            return {name: number for number, name in enumerate(self.meaning.names)}
        return dict(zip(source.names, source.values, strict=True))

    def _regroupings(self, steps: Mapping[int, Step]) -> list[dict[str, Any]]:
        """The changes of pairs.csv's group column, one for each finding."""
        entries: list[dict[str, Any]] = []
        for code in dict.fromkeys(step.code for step in steps.values()):
            mine = {self.kept[place]: step for place, step in steps.items() if step.code == code}
            groups = {record.id: step.values["groups"][record.id] for record, step in mine.items()}
            before = {record.id: record.group for record in mine}
            undo = {"how": "put the groups of before into pairs.csv", "op": "regroup", "values": {"groups": before}}
            entries.append({"file": "pairs.csv", "source": None, "op": "regroup", "values": {"groups": groups}, "code": code,
                            "records": len(mine), "pixels": 0, "undo": undo})  # fmt: skip
        return entries

    def _left_out(self) -> list[dict[str, Any]]:
        """Files that are not in the copy because a finding said so, with the hashes that find them again."""
        entries: dict[str, dict[str, Any]] = {}
        for place, steps in self.plan.steps.items():
            for step in (step for step in steps if step.op == "leave-out"):
                record = self.audit.records[place]
                for file in (record.image, record.mask) if not record.form.key else (record.image,):
                    entries.setdefault(relative(file, self.root), _absent(step, self.root / file))
        for file, step in self.plan.lone.items():
            entries.setdefault(file, _absent(step, self.root / file))
        kept = {relative(path, self.root) for record in self.kept.values() for path in (record.image, record.mask)}
        return [{"file": file, **entry} for file, entry in entries.items() if file not in kept]

    def _not_copied(self, left_out: Iterable[Mapping[str, Any]]) -> list[str]:
        """Other files of the source folder, which belong to no pair."""
        if not Path(self.audit.root).is_dir():
            return []
        used = {path.absolute() for record in self.audit.records for path in (record.image, record.mask)}
        told = {one["file"] for one in left_out}
        files = (path for path in sorted(self.root.rglob("*")) if path.is_file() and path.absolute() not in used)
        inside = [relative(path, self.root) for path in files if not any(parent.absolute() in used for parent in path.parents)]
        return [file for file in inside if file not in told]

    def _notes(self) -> tuple[str, ...]:
        notes = [*self.plan.notes, *self.notes]
        if not self.meaning.names:
            notes.append("the copy has no classes.yaml: nobody could say what the masks' values mean")
        return tuple(notes)

    def _document(self, changes: list[dict[str, Any]], names: Mapping[int, Names]) -> dict[str, Any]:
        """What repairs.json holds."""
        left_out = self._left_out()
        moved = {
            name: source
            for place, record in self.kept.items()
            for name, path in ((names[place].image, record.image), (names[place].mask, record.mask))
            if (source := relative(path, self.root)) != name
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
            "findings": [{"code": f.code, "evidence": f.evidence, "told": f.proposal.told} for f in asked if f.proposal],
            "left_as_they_are": list(self.leave),
            "how_to_undo": HOW_TO_UNDO,
            "changes": changes,
            "left_out": left_out,
            "copied": {"images": len(self.kept), "masks": 0 if self.rewrite else len(self.kept)},
            "named_anew": moved,
            "not_copied": self._not_copied(left_out),
            "notes": list(self._notes()),
        }


def _refuse_rasters(records: Sequence[Record]) -> None:
    rasters = [record.image.name for record in records if record.window or record.form.kind == "raster"]
    if rasters:
        fix = "Mend the rasters with the tool that made them."
        raise DataError(
            f"`--fix` must have ordinary pictures; {listed(dict.fromkeys(rasters))} are rasters, and masks written as PNG "
            f"would lose their place on the map. {fix}"
        )


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


def _is_plain(record: Record) -> bool:
    """Whether another reader would read the mask the same, from its file alone."""
    return record.form.kind == "picture" and not record.form.remap and record.mask.is_file()


def _absent(step: Step, path: Path) -> dict[str, Any]:
    """Why a file was left out, and the hash it can be found by; a file that can't be read has none."""
    try:
        found = hashlib.sha256(read_bytes(path)).hexdigest() if path.is_file() else None
    except DataError:
        found = None
    return {"code": step.code, "why": step.told, "sha256": found}


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
