"""repairs.json: what was changed in the copy, by which finding, and how to take it back.

A change that can be taken back names the operation that does it, to be applied to the file in the copy; the changes of
one file are taken back from the last to the first. Any other names the original by its path and SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskwright.data.checks.repair_masks import OF_SIZE, OF_VALUES, UPRIGHT_AGAIN, Facts, Pair, numbers
from maskwright.data.checks.repair_plan import Step

HOW_TO_UNDO = (
    "Every change names its `undo`. Where that has an `op`, apply it to the file in this folder (turn-mask: turn by the EXIF "
    "orientation; fit-mask: cut or add rows and columns at the bottom and right; remap: replace values by the table), the "
    "changes of one file from the last to the first: the values of the original mask come out. Where it has an `original`, "
    "take that file from the source; its SHA-256 says whether it is still the same."
)


def value_key(value: int, colours: bool) -> int | str:
    """A value as JSON shows it: a number, or a colour's hexadecimal form."""
    return f"#{value:06x}" if colours else value


def changes_of(
    pair: Pair, done: list[tuple[Step, Facts]], table: Mapping[int, int], files: Mapping[str, str], hashes: tuple[str, str]
) -> list[dict[str, Any]]:
    """One entry for each operation on a mask, and one for values that were only written anew.

    table: what every value of the file became; files: the mask's names in copy and source; hashes: before and after.
    """
    coloured = any(step.op == "colours" for step, _ in done) or pair.record.form.kind == "colour"
    one_to_one = len(set(table.values())) == len(table)
    original = {"how": "take the original file", "original": files["source"], "sha256": hashes[0]}
    entries: list[dict[str, Any]] = []
    for step, facts in done:
        said = _said(step, pair)
        undo = _undo(step, {value: table[value] for value in said}, one_to_one, coloured) or original
        entries.append({**files, "op": step.op, "values": step.values, "code": step.code, **facts, "undo": undo})
    plain = {value: label for value, label in table.items() if value not in pair.labels}
    if plain or not any(step.op in OF_VALUES for step, _ in done):
        written = {str(value_key(value, coloured)): label for value, label in plain.items()}
        undo = _back(plain, coloured) if one_to_one else original
        entries.append({**files, "op": "rewrite", "values": {"table": written}, "code": None, "pixels": 0, "undo": undo})
    return [{**entry, "sha256_before": hashes[0], "sha256_after": hashes[1]} for entry in entries]


def _said(step: Step, pair: Pair) -> set[int]:
    """The values of the mask a step gave class numbers to."""
    if step.op not in OF_VALUES:
        return set()
    if step.op == "threshold":
        return set(pair.counts)
    return set(numbers(step.values["table"])) & set(pair.counts)


def _undo(step: Step, table: Mapping[int, int], one_to_one: bool, coloured: bool) -> dict[str, Any] | None:
    """The operation that takes a step back, or None where only the original does."""
    if step.op in OF_VALUES:
        return _back(table, coloured) if one_to_one else None
    if step.op == "turn-mask":
        orientation = UPRIGHT_AGAIN[int(step.values["orientation"])]
        return {"how": f"turn by EXIF orientation {orientation}", "op": "turn-mask", "values": {"orientation": orientation}}
    added = {side: int(step.values.get(side, 0)) for side in ("rows", "columns")}
    if step.op in OF_SIZE and step.op == "fit-mask" and min(added.values()) >= 0:
        told = f"cut off the last {added['rows']} rows and {added['columns']} columns"
        return {"how": told, "op": "fit-mask", "values": {side: -number for side, number in added.items()}}
    return None


def _back(table: Mapping[int, int], coloured: bool) -> dict[str, Any]:
    """The table from class numbers back to the values of the file."""
    back = {str(label): value_key(value, coloured) for value, label in table.items()}
    return {"how": "replace values by the table", "op": "remap", "values": {"table": back}}
