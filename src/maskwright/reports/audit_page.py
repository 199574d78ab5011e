"""Write an audit as one self-contained HTML file: what the set holds, every finding with its files and pictures.

    write_audit_page(audit(config.data), config.data, Path("audit.html"))

The file stays below five million bytes whatever the set's size: pictures and lists of files have each their share,
and what does not fit is counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from maskwright.config.data import DataConfig
from maskwright.data.checks.facts import folder_of
from maskwright.data.checks.findings import CODES, Audit, Finding
from maskwright.data.checks.repair_plan import can_be_left
from maskwright.data.pictures import css, palette
from maskwright.errors import UsageError, as_typed
from maskwright.files import write_text
from maskwright.reports import audit_words as words
from maskwright.reports.audit_examples import examples_of, sheet
from maskwright.reports.audit_pictures import Meaning, Picture, encode
from maskwright.reports.audit_scene import Example, Scene, evenly, scene_of
from maskwright.reports.pages import template
from maskwright.reports.wording import SPLIT_WORDS, short_names

BUDGET = 3_300_000  # bytes of all pictures as text
TEXT_BUDGET = 1_100_000  # bytes of all lists of files
EXAMPLES = 6  # of a finding; fewer where there are many findings
MOST_EXAMPLES = 60
LEADS = 3  # pairs in sight before anything is said of the set
_SHOWN = 6  # files in sight; longer lists are folded
_MARKUP = 40  # bytes around a file's name
_GENERATOR = "maskwright check"
_SEVERITIES = {"error": "Error", "warning": "Warning", "note": "Note"}


@dataclass(frozen=True)
class Bar:
    """A class (or a value nobody has named): its colour, its share, and the shares within the splits."""

    name: str
    colour: str
    length: float
    told: str
    by_split: tuple[tuple[str, str], ...] = ()
    images: str = ""


@dataclass(frozen=True)
class Listed:
    """A file, or files that belong together, and what is to be said of it; `told` may be empty."""

    files: tuple[str, ...]
    told: Markup


@dataclass
class Room:
    """How many bytes of file names still fit."""

    left: int = TEXT_BUDGET

    def take(self, rows: Iterable[Listed]) -> tuple[list[Listed], int]:
        """As many as fit, and the number of files that do not."""
        taken: list[Listed] = []
        hidden = 0
        for row in rows:
            size = sum(len(escape(file).encode()) + _MARKUP for file in row.files) + len(row.told.encode()) + _MARKUP
            if hidden or size > self.left:
                hidden += len(row.files)
            else:
                self.left -= size
                taken.append(row)
        return taken, hidden


def write_audit_page(audit: Audit, config: DataConfig, path: Path) -> None:
    """Write the page; pictures are read now, and one that cannot be says why.

    >>> write_audit_page(found, config.data, Path("audit.html"))  # doctest: +SKIP
    """
    place_for_page(path)
    text = render(audit, config)
    write_text(path, text)


def place_for_page(path: Path) -> None:
    """Stop where a file stands that is no such page: nobody's file must be lost to a slip of the name."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"`--html` must end in .html; got {path}. Write --html {as_typed(path.with_suffix('.html'))}.")
    if path.exists() and not _is_ours(path):
        raise UsageError(f"`--html` must be a new file or an earlier page; got {path}, which is neither. Choose another name.")


def render(audit: Audit, config: DataConfig) -> str:
    """The page; the same audit and files give the same text."""
    scene = scene_of(audit, folder_of(config.root), _examples_each(audit))
    examples = [examples_of(finding, scene) for finding in audit.findings]
    pairs = sheet(scene)
    leads = evenly([place for place, pair in enumerate(pairs) if len(pair.pictures) == 1 and not pair.problem], LEADS)
    pictures = _Encoded(one for found in (*examples, pairs) for example in found for one in example.pictures)
    room = Room()
    findings = [
        _finding(finding, number, found, pictures, room, scene, config)
        for number, (finding, found) in enumerate(zip(audit.findings, examples, strict=True), start=1)
    ]
    bars = _class_bars(audit, scene.meaning.colours) if audit.classes else _value_bars(audit)
    shown = _examples(pairs, pictures, audit.root)
    page = template("audit.html.j2")
    return page.render(
        name=_name(audit.root),
        verdict=words.verdict(audit),
        next=words.next_step(audit, config),
        findings=findings,
        terms=_terms(audit),
        splits=_splits(audit),
        bars=bars,
        audit=audit,
        why_no_classes=words.marked(words.why_no_classes(audit), audit.root),
        leads=[shown[place] for place in leads],
        pairs=[one for place, one in enumerate(shown) if place not in leads],
        legend=_legend(pairs, scene.meaning),
        notes=[words.marked(words.sentence(note), audit.root) for note in audit.notes],
        generator=_GENERATOR,
    ) + "\n"  # fmt: skip


class _Encoded:
    """All pictures of the page as text, each once, together within their budget."""

    def __init__(self, pictures: Iterable[Picture]) -> None:
        kept = list(pictures)
        self._places = {id(picture): place for place, picture in enumerate(kept)}
        self._kept, self._found = kept, encode(kept, BUDGET)  # kept, so that no id is used again

    def of(self, picture: Picture) -> dict[str, Any]:
        uri, width, height = self._found[self._places[id(picture)]]
        return {"uri": uri, "width": width, "height": height, "ratio": width / height, "title": picture.title, "alt": picture.alt}


def _examples_each(audit: Audit) -> int:
    """How many examples a finding gets, so that all of them have room."""
    return max(1, min(EXAMPLES, MOST_EXAMPLES // max(1, len(audit.findings))))


def _finding(
    finding: Finding,
    number: int,
    examples: Sequence[Example],
    pictures: _Encoded,
    room: Room,
    scene: Scene,
    config: DataConfig,
) -> dict[str, Any]:
    root = scene.audit.root
    word, told, after = words.what_to_do(finding)
    rows, hidden = room.take([] if _all_told(finding, examples, root) else _rows(finding, root))
    return {
        "anchor": f"finding-{number}",
        "code": finding.code,
        "severity": finding.severity,
        "word": _SEVERITIES[finding.severity],
        "title": words.sentence(CODES[finding.code].title).rstrip("."),
        "evidence": words.marked(words.sentence(finding.evidence), root),
        "num_files": len(finding.files),
        "do": (word, words.marked(told, root), words.marked(after, root)),
        "command": _command(finding, scene.audit, config),
        "answers": words.answers(finding, scene.audit, config),
        "waits": word == "Repair" and finding.code in words.left_aside(scene.audit),
        "rows": rows,
        "hidden": hidden,
        "shown": _SHOWN,
        "examples": _examples(examples, pictures, root),
        "columns": max((len(example.pictures) for example in examples), default=0),
        "legend": [] if scene.audit.class_map else _legend(examples, scene.meaning),
    }


def _command(finding: Finding, audit: Audit, config: DataConfig) -> str:
    """What to type for a finding's repair."""
    left = words.left_aside(audit)
    unsettled = any(error.code in left and not can_be_left(error) for error in audit.errors)
    return "" if finding.proposal is None or finding.code in left or unsettled else words.fix_command(audit, config)


def _all_told(finding: Finding, examples: Sequence[Example], root: str) -> bool:
    """Whether a few files are all named in sight already, so that a list would only repeat them."""
    if len(finding.files) > _SHOWN or len(finding.details.get("problems", ())) > 1:
        return False
    texts = [finding.evidence.replace(f"{root.rstrip('/')}/", ""), *(f"{one.name} {one.told}" for one in examples)]
    return all(re.search(rf"(?<![\w/.-]){re.escape(file)}(?![\w-])", "\n".join(texts)) for file in finding.files)


def _examples(examples: Sequence[Example], pictures: _Encoded, root: str) -> list[dict[str, Any]]:
    short = short_names([example.name for example in examples if example.name])
    return [_example(example, short.get(example.name, ""), pictures, root) for example in examples]


def _example(example: Example, short: str, pictures: _Encoded, root: str) -> dict[str, Any]:
    found = [pictures.of(picture) for picture in example.pictures]
    return {
        "name": example.name,
        "short": short,
        "told": words.marked(example.told, root),
        "problem": words.marked(example.problem, root),
        "pictures": found,
        "ratio": sum(picture["ratio"] for picture in found),
    }


def _rows(finding: Finding, root: str) -> list[Listed]:
    """The files of a finding with what is known of each; pictures that belong together in one row."""
    details = finding.details
    if "clusters" in details:
        return [Listed(tuple(cluster), Markup()) for cluster in details["clusters"]]
    told: dict[str, str] = {}
    if finding.code == "unreadable" and len(details["problems"]) > 1:  # a single one is the evidence
        told = {file: text for text in details["problems"].values() for file in finding.files if f"{file}`" in text}
        told = {file: text.partition(f"{file}` ")[2] for file, text in told.items()}
    elif "sizes" in details:
        told = {file: _sizes(sizes) for file, sizes in details["sizes"].items()}
    elif finding.code == "listed-twice":
        told = {file: " and ".join(splits) for file, splits in details.get("listed", {}).items()}
    rows = [Listed((file,), words.marked(told.get(file, ""), root)) for file in finding.files]
    if isinstance(details.get("problems"), list) and len(details["problems"]) > 1:
        rows += [Listed((), words.marked(words.sentence(problem), root)) for problem in details["problems"]]
    return rows


def _sizes(sizes: dict[str, Any]) -> str:
    mask, image = sizes["mask"], sizes["image"]
    if not mask or not image:
        return ""
    return f"mask {words.sides(*mask)}, image {words.sides(*image)}"


def _terms(audit: Audit) -> list[tuple[str, Markup]]:
    """What was recognised, and why."""
    read_as = Markup("{}: {}").format(audit.reader, words.marked(audit.reason, audit.root))
    terms = [("Folder", escape(audit.root)), ("Read as", read_as)]
    terms.append(("Images", escape(words.sizes_told(audit))))
    if audit.class_map is not None:
        number = f"{len(audit.classes)} classes"
        terms.append(("Masks", Markup("{}: {}").format(number, words.marked(audit.classes_reason, audit.root))))
        if audit.class_map.ignore_values:
            values = {audit.class_map.format_value(value): 0.0 for value in audit.class_map.ignore_values} | audit.ignored
            told = ", ".join(f"{value} ({words.fine_share(part)} of all pixels)" for value, part in values.items())
            terms.append(("Ignored", escape(told)))
    else:
        terms.append(("Masks", Markup("what their values mean is not settled")))
    terms.append(("Pixel values", escape(audit.bands.reason)))
    return terms


def _splits(audit: Audit) -> list[dict[str, Any]]:
    """Parts of a bar: each split, and pairs that have none."""
    parts = [(split, SPLIT_WORDS[split].capitalize(), number) for split, number in audit.splits.items()]
    parts.append(("none", "In no split", audit.num_images - sum(audit.splits.values())))
    return [
        {"key": key, "word": word, "number": number, "share": number / max(1, audit.num_images)}
        for key, word, number in parts
        if number
    ]


def _class_bars(audit: Audit, colours: np.ndarray) -> list[Bar]:
    totals: dict[str, dict[str, int]] = {split: {} for split in SPLIT_WORDS}
    images = dict.fromkeys(audit.classes, 0)
    for pair in audit.pairs:
        for name, pixels in pair["pixels"].items():
            images[name] += pixels > 0
            if pair["split"] in totals:
                totals[pair["split"]][name] = totals[pair["split"]].get(name, 0) + pixels
    present = {split: found for split, found in totals.items() if audit.splits.get(split)}
    most = max(audit.class_shares, default=0) or 1
    return [
        Bar(
            name,
            css(colours[label]),
            part / most,
            words.fine_share(part),
            tuple(
                (SPLIT_WORDS[split], words.fine_share(found.get(name, 0) / max(1, sum(found.values()))))
                for split, found in present.items()
            ),
            f"{images[name]:,}",
        )
        for label, (name, part) in enumerate(zip(audit.classes, audit.class_shares, strict=True))
    ]


def _value_bars(audit: Audit) -> list[Bar]:
    """Where values have no meaning yet: the values or colours a finding counted."""
    counts = next((found for one in audit.findings for key in ("colours", "values") if (found := one.details.get(key))
                   and isinstance(found, dict)), {})  # fmt: skip
    total, most = max(1, sum(counts.values())), max(counts.values(), default=1)
    colours = palette(255)
    return [
        Bar(
            str(value) if str(value).startswith("#") else f"value {value}",
            str(value) if str(value).startswith("#") else css(colours[min(int(value), 255)]),
            number / most,
            words.fine_share(number / total),
        )
        for value, number in counts.items()
    ]


def _legend(examples: Sequence[Example], meaning: Meaning) -> list[tuple[str, str]]:
    """Colours and names of what the pictures show, each once, in the order of the classes."""
    entries = {entry: None for example in examples for picture in example.pictures for entry in picture.legend}
    order = {name: place for place, name in enumerate(meaning.classes.names if meaning.classes else ())}
    found = sorted(entries, key=lambda entry: order.get(entry[1], len(order)))
    return [(colour, f"{name} (not tinted)" if order.get(name) == 0 else name) for colour, name in found]


def _name(root: str) -> str:
    path = Path(root)
    return path.name or path.resolve().name or root


def _is_ours(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            return f'<meta name="generator" content="{_GENERATOR}">' in file.read(2000)
    except (OSError, UnicodeDecodeError):
        return False
