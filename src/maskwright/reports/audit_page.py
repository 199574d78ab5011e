"""Write an audit as one self-contained HTML file: what the set holds, every finding with its files and pictures.

    write_audit_page(audit(config.data), config.data, Path("audit.html"))

The file stays below five million bytes whatever the set's size: pictures and lists of files have each their share,
and what does not fit is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import escape

from maskwright.config.data import DataConfig
from maskwright.data.checks.facts import folder_of
from maskwright.data.checks.findings import CODES, Audit, Finding
from maskwright.data.checks.repair_plan import can_be_left
from maskwright.data.pictures import css, palette
from maskwright.errors import UsageError, as_typed
from maskwright.files import write_text
from maskwright.reports import audit_words as words
from maskwright.reports.audit_examples import Example, examples_of, sheet
from maskwright.reports.audit_scene import Scene, evenly, scene_of
from maskwright.reports.gallery import encode
from maskwright.reports.pages import SPLIT_WORDS, fine_share, sentence, short_names, sides, template

BUDGET = 3_300_000  # bytes of all pictures as text
TEXT_BUDGET = 1_100_000  # bytes of all lists of files
EXAMPLES = 6  # of a finding; fewer where there are many findings
MOST_EXAMPLES = 60
LEADS = 3  # pairs in sight before anything is said of the set
_SHOWN = 6  # files in sight; longer lists are folded
_MARKUP = 40  # bytes around a file's name
_GENERATOR = "maskwright check"


class Bar(NamedTuple):
    """A class (or a value nobody has named): colour, length, share, shares in the splits, and number of images."""

    name: str
    colour: str
    length: float
    share: float
    by_split: Mapping[str, float] = {}
    images: str = ""


class Files(NamedTuple):
    """A file, or files that belong together, and what is to be said of them; `note` may be empty."""

    files: tuple[str, ...]
    note: str = ""


def write_audit_page(audit: Audit, config: DataConfig, path: Path) -> None:
    """Write the page; pictures are read now, and one that cannot be says why.

    >>> write_audit_page(found, config.data, Path("audit.html"))  # doctest: +SKIP
    """
    place_for_page(path)
    write_text(path, render(audit, config))


def place_for_page(path: Path) -> None:
    """Stop where a file stands that is no such page: nobody's file must be lost to a slip of the name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"`--html` must end in .html; got {path}. Write --html {as_typed(path.with_suffix('.html'))}.")
    if path.exists() and not _is_ours(path):
        raise UsageError(
            f"`--html` must be a new file or an earlier page; got {path}, which is neither. Choose another name."
        )


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return f'<meta name="generator" content="{_GENERATOR}">' in file.read(2000)
    except (OSError, UnicodeDecodeError):
        return False


def render(audit: Audit, config: DataConfig) -> str:
    """The page; the same audit and files give the same text."""
    each = max(1, min(EXAMPLES, MOST_EXAMPLES // max(1, len(audit.findings))))  # so that all findings have room
    scene = scene_of(audit, folder_of(config.root), each)
    examples = [examples_of(finding, scene) for finding in audit.findings]
    pairs = sheet(scene)
    encode([one for found in (*examples, pairs) for example in found for one in example.pictures], BUDGET)
    leads = evenly([pair for pair in pairs if len(pair.pictures) == 1 and not pair.problem], LEADS)
    findings, room = [], TEXT_BUDGET
    for finding, found in zip(audit.findings, examples, strict=True):
        row, room = _finding(finding, found, room, scene, config)
        findings.append(row)
    return template("audit.html.j2").render(
        audit=audit,
        root=audit.root,
        name=Path(audit.root).name or Path(audit.root).resolve().name or audit.root,
        verdict=words.verdict(audit),
        next=words.next_step(audit, config),
        findings=findings,
        shown=_SHOWN,
        sizes=words.sizes_in_words(audit),
        ignored=_ignored(audit),
        parts=_splits(audit),
        bars=_class_bars(audit, scene.meaning.colours) if audit.classes else _value_bars(audit),
        why_no_classes=words.why_no_classes(audit),
        leads=leads,
        pairs=[pair for pair in pairs if not any(pair is lead for lead in leads)],
        short=short_names([pair.name for pair in pairs]),
        legend=_legend(pairs, scene),
        generator=_GENERATOR,
    ) + "\n"  # fmt: skip


def _finding(
    finding: Finding, examples: Sequence[Example], room: int, scene: Scene, config: DataConfig
) -> tuple[dict[str, Any], int]:
    """What the page says of a finding, and how many bytes of file names then still fit."""
    rows = [] if _is_all_in_sight(finding, examples, scene.audit.root) else _rows(finding)
    taken, hidden = [], 0
    for row in rows:
        size = sum(len(escape(text).encode()) + _MARKUP for text in (*row.files, row.note))
        if hidden or size > room:
            hidden += len(row.files)
        else:
            room -= size
            taken.append(row)
    word, text, after = words.what_to_do(finding)
    asked = words.asked_first(scene.audit)
    found = {
        "finding": finding,
        "title": CODES[finding.code].title,
        "to_do": word,
        "text": text,
        "after": after,
        "command": _command(finding, scene.audit, config),
        "answers": words.answers(finding, scene.audit, config),
        "waits": word == "Repair" and finding.code in asked,
        "rows": taken,
        "hidden": hidden,
        "examples": examples,
        "short": short_names([example.name for example in examples if example.name]),
        "columns": max((len(example.pictures) for example in examples), default=0),
        "legend": [] if scene.audit.class_map else _legend(examples, scene),
    }
    return found, room


def _command(finding: Finding, audit: Audit, config: DataConfig) -> str:
    """What to type for a finding's repair."""
    asked = words.asked_first(audit)
    is_open = any(error.code in asked and not can_be_left(error) for error in audit.errors)
    return "" if finding.proposal is None or finding.code in asked or is_open else words.fix_command(audit, config)


def _is_all_in_sight(finding: Finding, examples: Sequence[Example], root: str) -> bool:
    """Whether a few files are all named in sight already, so that a list would only repeat them."""
    if len(finding.files) > _SHOWN or len(finding.details.get("problems", ())) > 1:
        return False
    texts = [finding.evidence.replace(f"{root.rstrip('/')}/", ""), *(f"{one.name} {one.text}" for one in examples)]
    return all(re.search(rf"(?<![\w/.-]){re.escape(file)}(?![\w-])", "\n".join(texts)) for file in finding.files)


def _rows(finding: Finding) -> list[Files]:
    """The files of a finding with what is known of each; pictures that belong together in one row."""
    details, notes = finding.details, {}
    if "clusters" in details:
        return [Files(tuple(cluster)) for cluster in details["clusters"]]
    problems = details.get("problems", ())
    if finding.code == "unreadable" and len(problems) > 1:  # a single one is the evidence
        own = [(file, text) for text in problems.values() for file in finding.files if f"{file}`" in text]
        notes = {file: text.partition(f"{file}` ")[2] for file, text in own}
    elif "sizes" in details:
        known = {file: size for file, size in details["sizes"].items() if size["mask"] and size["image"]}
        notes = {file: f"mask {sides(*size['mask'])}, image {sides(*size['image'])}" for file, size in known.items()}
    elif finding.code == "listed-twice":
        notes = {file: " and ".join(splits) for file, splits in details.get("listed", {}).items()}
    rows = [Files((file,), notes.get(file, "")) for file in finding.files]
    several = problems if isinstance(problems, list) and len(problems) > 1 else ()
    return [*rows, *(Files((), sentence(problem)) for problem in several)]


def _ignored(audit: Audit) -> str:
    """Values that are left out, and how much of all they are; empty where there are none."""
    if audit.class_map is None or not audit.class_map.ignore_values:
        return ""
    values = {audit.class_map.format_value(value): 0.0 for value in audit.class_map.ignore_values} | audit.ignored
    return ", ".join(f"{value} ({fine_share(part)} of all pixels)" for value, part in values.items())


def _splits(audit: Audit) -> list[tuple[str, str, int, float]]:
    """Parts of a bar, each split and pairs that have none: key, word, number and share."""
    parts = [(split, SPLIT_WORDS[split].capitalize(), number) for split, number in audit.splits.items()]
    parts.append(("none", "In no split", audit.num_images - sum(audit.splits.values())))
    return [(key, word, number, number / max(1, audit.num_images)) for key, word, number in parts if number]


def _class_bars(audit: Audit, colours: np.ndarray) -> list[Bar]:
    images = dict.fromkeys(audit.classes, 0)
    totals = {split: dict.fromkeys(audit.classes, 0) for split in SPLIT_WORDS if audit.splits.get(split)}
    for pair in audit.pairs:
        for name, pixels in pair["pixels"].items():
            images[name] += pixels > 0
            if pair["split"] in totals:
                totals[pair["split"]][name] += pixels
    most = max(audit.class_shares, default=0) or 1
    return [
        Bar(name, css(colours[label]), part / most, part,
            {SPLIT_WORDS[split]: found[name] / max(1, sum(found.values())) for split, found in totals.items()},
            f"{images[name]:,}")
        for label, (name, part) in enumerate(zip(audit.classes, audit.class_shares, strict=True))
    ]  # fmt: skip


def _value_bars(audit: Audit) -> list[Bar]:
    """Where values have no meaning yet: the values or colours a finding counted."""
    counts = next((found for one in audit.findings for key in ("colours", "values") if (found := one.details.get(key))
                   and isinstance(found, dict)), {})  # fmt: skip
    total, most, colours = max(1, sum(counts.values())), max(counts.values(), default=1), palette(255)
    bars = []
    for value, number in counts.items():
        is_colour = str(value).startswith("#")
        name, colour = (value, value) if is_colour else (f"value {value}", css(colours[min(int(value), 255)]))
        bars.append(Bar(name, colour, number / most, number / total))
    return bars


def _legend(examples: Sequence[Example], scene: Scene) -> list[tuple[str, str]]:
    """Colours and names of what the pictures show, each once, in the order of the classes."""
    classes = scene.meaning.classes
    entries = {entry: None for example in examples for picture in example.pictures for entry in picture.legend}
    order = {name: place for place, name in enumerate(classes.names if classes else ())}
    found = sorted(entries, key=lambda entry: order.get(entry[1], len(order)))
    return [(colour, f"{name} (not tinted)" if order.get(name) == 0 else name) for colour, name in found]
