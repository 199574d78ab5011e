"""The audit's page, read back: its parts, its pictures, its size, and that names are only names."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_making import LIMIT, Page

from maskwright.config.data import DataConfig
from maskwright.config.typed import flags_of
from maskwright.data.checks.audit import audit
from maskwright.data.checks.findings import CODES, Audit, Finding, Repair, by_severity
from maskwright.errors import UsageError
from maskwright.reports import audit_page
from maskwright.reports.audit_examples import examples_of, sheet
from maskwright.reports.audit_page import render, write_audit_page
from maskwright.reports.audit_scene import scene_of
from maskwright.reports.audit_words import ADVICE, next_step, sizes_in_words, verdict, what_to_do
from maskwright.reports.pages import TEMPLATES

WriteImage = Callable[..., Path]
ODD = '<b>"x"</b> & co'  # a class, a folder and a file are called like this
CSS = "".join((TEMPLATES / name).read_text().partition("@media print")[0] for name in ("page.css", "audit.css"))


def pair(seed: int, height: int = 24, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Coloured noise, unlike that of any other seed, and a mask of 0, 1 and 2."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[4:20, 4:12], mask[4:12, 16 : 20 + seed % 8] = 1, 2
    return image, mask


def written(root: Path, write_image: WriteImage, count: int = 14) -> DataConfig:
    """A sound set of 8/3/3 pairs, the last of which have odd names."""
    rows = ["image,mask,split"]
    for index in range(count):
        name = f"{index:02d}" if index < count - 1 else ODD.replace("/", "")
        image, mask = pair(index)
        write_image(root / "images" / f"{name}.png", image)
        write_image(root / "masks" / f"{name}.png", mask)
        split = "train" if index < count - 6 else "val" if index < count - 3 else "test"
        rows.append(
            ",".join('"' + f.replace('"', '""') + '"' for f in (f"images/{name}.png", f"masks/{name}.png", split))
        )
    (root / "pairs.csv").write_text("\n".join(rows) + "\n")
    return DataConfig.model_validate({"root": str(root), "classes": {"ground": 0, "field": 1, ODD: 2}})


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, write_image: WriteImage) -> tuple[Audit, DataConfig]:
    """A sound set whose folder is called oddly, too. Not to be changed."""
    config = written(tmp_path_factory.mktemp("clean") / ODD.replace("/", ""), write_image)
    return audit(config), config


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, write_image: WriteImage) -> tuple[Audit, DataConfig]:
    """A set with an error of nearly every kind of picture. Not to be changed."""
    root = tmp_path_factory.mktemp("broken") / "set"
    config = written(root, write_image)
    file = root / "images" / "00.png"
    file.write_bytes(file.read_bytes()[:300])
    (root / "masks" / "01.png").unlink()
    write_image(root / "masks" / "02.png", pair(2)[1][::2, ::2])
    write_image(root / "masks" / "03.png", pair(3)[1][:-1])
    odd = pair(4)[1]
    odd[10, 25] = 9
    write_image(root / "masks" / "04.png", odd)
    write_image(root / "images" / "06.png", pair(5)[0])
    write_image(root / "images" / "10.png", pair(5)[0])
    return audit(config), config


@pytest.fixture(scope="module")
def html(broken: tuple[Audit, DataConfig]) -> str:
    return render(*broken)


def read(text: str, folder: Path) -> Page:
    (folder / "page.html").write_text(text, encoding="utf-8")
    return Page.read(folder / "page.html")


def plain(page: Page) -> str:
    return " ".join(page.text.split())


def article(html: str, code: str) -> str:
    """The part of the page about a finding."""
    return next(part for part in html.split("<article ")[1:] if f"<code>{code}</code>" in part).partition("</article>")[
        0
    ]


def test_parts_are_in_order_and_grave_findings_first(
    broken: tuple[Audit, DataConfig], html: str, tmp_path: Path
) -> None:
    page = read(html, tmp_path)
    assert [told for level, told in page.headings if level == 1] == ["set"]
    parts = [told for level, told in page.headings if level == 2]
    assert parts == ["What was recognised", "Classes", "Findings", "More examples"]
    levels = [level for level, _ in page.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is skipped"
    titles = [told for level, told in page.headings if level == 3][1:]  # after Splits
    found = broken[0].findings
    assert [title.lower() for title in titles] == [CODES[one.code].title.lower() for one in found]
    assert {"unreadable", "unpaired", "size-mismatch", "offset", "unknown-values", "exact-leak"} <= {
        one.code for one in found
    }
    words = re.findall(r'class="head"><span class="severity is-(\w+)">', html)
    assert words == sorted(words, key=["error", "warning", "note"].index)


def test_page_needs_nothing_from_outside_and_refers_to_what_it_has(html: str, tmp_path: Path) -> None:
    page = read(html, tmp_path)
    links = [link for name in ("src", "href", "action", "poster", "srcset") for link in page.values.get(name, [])]
    assert [link for link in links if not link.startswith(("data:", "#"))] == []
    assert re.findall(r"https?://|<script|@import|url\(", re.sub(r'src="data:[^"]*"', "", html)) == []
    ids = page.values["id"]
    assert len(ids) == len(set(ids))
    asked = [link[1:] for link in page.values["href"] if link.startswith("#")] + page.values["aria-labelledby"]
    assert set(asked) <= set(ids) and len(asked) > 8
    assert len(html.encode()) < LIMIT


def test_pictures_decode_have_their_size_and_are_described(html: str, tmp_path: Path) -> None:
    page = read(html, tmp_path)
    assert len(page.images) > 20
    for image in page.images:
        head, _, body = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
        picture.load()
        assert picture.size == (int(image["width"]), int(image["height"]))
        assert max(picture.size) >= 240, "small pictures are enlarged"
        assert len(image["alt"]) > 8


def test_names_are_only_names(clean: tuple[Audit, DataConfig], tmp_path: Path) -> None:
    text = render(*clean)
    page = read(text, tmp_path)
    assert "<b>&#34;x" not in text and "<b>x" not in text and '<b>"' not in text
    assert page.headings[0] == (1, ODD.replace("/", ""))
    assert [row[0] for row in page.table("Class")[1:]] == ["ground", "field", ODD]
    assert any(ODD.replace("/", "") in image["alt"] for image in page.images)


def test_three_pairs_stand_under_the_verdict(html: str) -> None:
    """Before anything is listed, each with its mask; none that cannot be read."""
    before = html[html.index('class="verdict"') : html.index('class="overview"')]
    assert before.count("<figure>") == before.count("<img") == 3 and "lacking" not in before
    names = re.findall(r'<b title="images/([^"]*)">([^<]*)</b>', before)
    assert len(names) == 3 and all(whole == short for whole, short in names)
    assert "<img" in html.partition('id="examples"')[2]


def test_a_clean_set_says_so_and_still_shows_itself(clean: tuple[Audit, DataConfig], tmp_path: Path) -> None:
    found, config = clean
    assert found.findings == ()
    page = read(render(found, config), tmp_path)
    text = plain(page)
    assert "Training on these 14 pairs can start: no errors were found. There is nothing to fix" in text
    assert "None: every file could be read" in text
    assert len(page.images) == 12
    assert "9 more pairs of 14, spread evenly over splits and files" in text
    assert "8 Training 57.1 % 3 Validation 21.4 % 3 Test 21.4 %" in text
    rows = page.table("Class")
    assert rows[0] == ["Class", "", "Pixels", "Training", "Validation", "Test", "Images"]
    pixels = np.array([np.bincount(pair(index)[1].ravel(), minlength=3) for index in range(14)])
    for label, row in enumerate(rows[1:]):
        for cell, chosen in zip(row[2:6], (pixels, pixels[:8], pixels[8:11], pixels[11:]), strict=True):
            share = 100 * chosen[:, label].sum() / chosen.sum()
            assert float(cell.removesuffix(" %")) == pytest.approx(share, abs=0.051)
        assert row[6] == "14"


def test_the_sheet_is_spread_over_splits(clean: tuple[Audit, DataConfig]) -> None:
    found, config = clean
    shown = sheet(scene_of(found, Path(str(config.root)), 6))
    words = [example.text.partition(" · ")[0] for example in shown]
    assert words == ["training"] * 6 + ["validation"] * 3 + ["test"] * 3
    assert shown[0].name == "images/00.png" and "images/07.png" in [example.name for example in shown]


def test_a_file_that_cannot_be_read_has_no_picture_and_says_why(html: str) -> None:
    part = article(html, "unreadable")
    assert "<img" not in part and "<code>images/00.png</code> must be a whole, readable image" in part
    sheet_part = html.partition('id="examples"')[2]
    assert re.search(
        r'<b title="images/00\.png">00\.png</b>.*?Not whole: <code>images/00\.png</code> must be a whole', sheet_part
    )


def test_sizes_turns_and_corners_are_told(html: str) -> None:
    assert "Image, 32\u00a0×\u00a024" in article(html, "size-mismatch") and "Mask, 16\u00a0×\u00a012" in article(
        html, "size-mismatch"
    )
    assert "Image 32\u00a0×\u00a024, mask 32\u00a0×\u00a023" in article(html, "offset")
    assert article(html, "unpaired").count("<img") == 1


def test_duplicates_are_side_by_side_with_their_splits(html: str) -> None:
    part = article(html, "exact-leak")
    assert part.count("<img") == 2
    assert "05.png (training)" in part and "10.png (validation)" in part
    assert "images/10.png is the same file as images/05.png." in part


def test_what_can_be_done_is_there_to_be_typed(html: str, broken: tuple[Audit, DataConfig]) -> None:
    root = broken[0].root
    flags = "--data.classes &#39;{ground: 0, field: 1, &#34;&lt;b&gt;\\&#34;x\\&#34;&lt;/b&gt; &amp; co&#34;: 2}&#39;"
    leave = " --leave unknown-values --leave exact-leak"
    assert f"<pre>maskwright check {root} {flags} --fix set_repaired{leave}</pre>" in article(html, "offset")
    assert f"<pre>maskwright check {root} {flags} --data.ignore_index 9</pre>" in article(html, "unknown-values")
    assert "<code>--leave unknown-values</code>" in article(html, "unknown-values")


def test_flags_are_read_back_as_they_were() -> None:
    from maskwright.config.files import load_config
    from maskwright.config.flags import parse_overrides

    keys = {"root": "r", "classes": {"a b": 0, ODD: 7, "no": 9}, "ignore_index": 11, "bands": [2, 1],
            "tones": [0.5, 300], "split": {"seed": 3, "group": r"(\w+)_", "val": 0.25}}  # fmt: skip
    config = DataConfig.model_validate(keys)
    import shlex

    again = load_config(None, [("data.root", "r", "DATA"), *parse_overrides(shlex.split(flags_of(config)))]).data
    assert again == config


def test_the_verdict_and_the_next_step_follow_from_the_findings(clean: tuple[Audit, DataConfig]) -> None:
    found, config = clean
    config = DataConfig(root="my set")
    found = replace(found, root="my set")
    assert next_step(found, config) == ("To train on it:", "maskwright train --data 'my set'")
    note = Finding("imbalance", (), "e.", "note", None, {"shares": {}})
    mend = Finding("offset", ("m.png",), "e.", "error", Repair("fit-mask", {}, "cut"))
    ask = Finding(
        "unknown-values", ("m.png", "n.png"), "e.", "error", Repair("remap", {"table": {9: 255}}, "", "What is 9?")
    )
    hopeless = Finding("one-class", (), "e.", "error")
    assert verdict(replace(found, findings=(note,)))[1].startswith("Nothing has to be fixed; 1 note below says")
    assert verdict(replace(found, findings=(ask, mend))) == (
        "Training on these 14 pairs can’t start yet: 2 errors stop it.",
        "First to look at: mask values outside the class map (2 files).",
    )
    assert next_step(replace(found, findings=(mend,)), config)[1] == "maskwright check 'my set' --fix 'my set_repaired'"
    for several in ((mend, ask), (hopeless, ask)):
        assert next_step(replace(found, findings=several), config)[1] == "maskwright check 'my set'"
    assert next_step(replace(found, findings=(ask,)), config)[0] == "Fix the files, and check again:"
    assert verdict(replace(found, findings=(), num_images=0))[0].startswith("This can’t be trained on")
    warned = by_severity(
        [Finding("empty-masks", ("m.png",), "e.", "warning"), Finding("near-leak", ("a", "b"), "e.", "warning")]
    )
    assert (
        verdict(replace(found, findings=warned))[1]
        == "First to look at: nearly the same picture in two splits (2 files)."
    )


def test_sizes_of_many_images_are_told_by_width_and_by_height(clean: tuple[Audit, DataConfig]) -> None:
    """The largest image by pixels is neither the widest nor the highest."""
    found, _ = clean
    sizes = [(116, 274), (512, 383), (599, 244), (599, 244), (200, 400), (300, 300), (310, 310)]
    many = replace(found, pairs=tuple({**found.pairs[0], "width": width, "height": height} for width, height in sizes))
    assert ", 116 to 599 pixels wide and 244 to 400 high" in str(many)
    assert "6 sizes, 116 to 599 pixels wide and 244 to 400 high; most often" in sizes_in_words(many)


def test_soft_borders_of_several_classes_have_pictures_too(tmp_path: Path, write_image: WriteImage) -> None:
    """Each value goes to the nearest class, so there is no threshold to show them by."""
    for index in range(8):
        image, mask = pair(index)
        mask[4:20, 12], mask[4:20, 13] = 120, 60
        write_image(tmp_path / "images" / f"{index}.png", image)
        write_image(tmp_path / "masks" / f"{index}.png", np.where(mask == 1, 255, mask).astype(np.uint8))
    config = DataConfig(root=str(tmp_path))
    found = audit(config)
    assert [(one.code, one.proposal and one.proposal.op) for one in found.findings] == [("smoothed", "nearest")]
    assert article(render(found, config), "smoothed").count("<img") >= 6


def test_every_code_has_advice_where_nothing_is_proposed() -> None:
    always_proposed = {"size-mismatch", "offset", "orientation", "off-by-one", "void-after-last", "smoothed",
                       "lossy-masks", "colour-masks", "inverted"}  # fmt: skip
    assert {code for code in CODES if code not in always_proposed} <= {code.partition(":")[0] for code in ADVICE}
    assert what_to_do(Finding("mixed-channels", (), "e.", "note"))[0] == ""
    assert what_to_do(Finding("mixed-channels", (), "e.", "error"))[1].startswith("Name bands")


def test_many_pairs_and_files_stay_small_and_are_all_told(clean: tuple[Audit, DataConfig]) -> None:
    """2,000 pairs and 60 findings of 700 files each."""
    found, config = clean
    some = found.pairs[0]
    files = tuple(f"masks/{'deeply/nested/' * 2}a_long_name_of_a_file_{number:06d}.png" for number in range(700))
    pairs = (*found.pairs, *({**some, "id": name, "image": name, "mask": name} for name in files[: 2000 - 14]))
    pairs += tuple({**some, "id": str(number)} for number in range(2000 - len(pairs)))
    shown = tuple(pair["mask"] for pair in found.pairs)
    one = Finding(
        "void-after-last",
        (*shown, *files),
        "e.",
        "warning",
        Repair("remap", {"table": {2: 255}}, "x", "y?"),
        {"value": 2},
    )
    big = replace(found, num_images=2000, pairs=pairs, records=(found.records * 143)[:2000], findings=(one,))
    text = render(big, config)
    assert len(pairs) == 2000 and len(text.encode()) < LIMIT
    assert "All 714 files" in text and all(f"<code>{file}</code>" in text for file in files)
    many = render(replace(big, findings=(one,) * 60), config)
    assert 1_200_000 < len(many.encode()) < LIMIT, "the lists of files have taken all their room"
    listed = many.count("<li><code>")
    hidden = sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) files? more ha", many))
    assert hidden > 0 and listed + hidden == 60 * 714


def test_the_same_audit_gives_the_same_bytes(broken: tuple[Audit, DataConfig], html: str, tmp_path: Path) -> None:
    found, config = broken
    for name in ("one.html", "one.html", "two.htm"):
        write_audit_page(found, config, tmp_path / name)
    assert (
        (tmp_path / "one.html").read_text(encoding="utf-8")
        == (tmp_path / "two.htm").read_text(encoding="utf-8")
        == html
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.html", "two.htm"]


@pytest.mark.parametrize("name", ["pairs.csv", "mine.html", "bytes.html"])
def test_no_file_is_lost_to_a_slip(name: str, clean: tuple[Audit, DataConfig], tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xff\xfe mine")
    with pytest.raises(UsageError, match=r"`--html` must (end in .html|be a new file)"):
        write_audit_page(*clean, file)
    assert file.read_bytes() == b"\xff\xfe mine"


def test_files_that_went_away_since_are_told(broken: tuple[Audit, DataConfig], tmp_path: Path) -> None:
    found, config = broken
    elsewhere = tuple(replace(record, image=tmp_path / "gone.png") for record in found.records)
    text = render(replace(found, records=elsewhere), config)
    assert "gone.png</code> must be there; it is missing" in text
    assert "<img" in article(text, "unpaired") and "No picture:" in article(text, "exact-leak")


def test_a_new_code_has_pictures_by_itself(clean: tuple[Audit, DataConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """A code that no picture was thought of for shows pairs with their masks."""
    found, config = clean
    finding = Finding("one-class", tuple(pair["mask"] for pair in found.pairs), "e.", "error")
    shown = examples_of(finding, scene_of(found, Path(str(config.root)), audit_page.EXAMPLES))
    assert [len(example.pictures) for example in shown] == [2] * 6


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_the_paper(dark: bool) -> None:
    """Contrast of at least 4.5 to 1, as WCAG 2 asks of text."""
    blocks = re.findall(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", CSS)
    colours = {name: value for scheme, block in blocks if bool(scheme) == dark
               for name, value in re.findall(r"--(\w+): (#\w{6})", block)}  # fmt: skip

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("ink", "muted", "error", "warning", "accent"):
        for ground in ("paper", "wash"):
            low, high = sorted((light(colours[name]), light(colours[ground])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, ground)


@pytest.mark.parametrize(
    ("shape", "keys", "expected"),
    [
        ((8, 8), {}, "8 bits, grey, repeated to three channels"),
        ((8, 8, 3), {}, "8 bits, in colour"),
        ((8, 8, 3), {"bands": [2]}, "8 bits, band 2 alone"),
        ((8, 8, 3), {"bands": [3, 2]}, "8 bits, bands 3 and 2"),
        ((8, 8, 3), {"tones": [10, 90]}, "10 to 90 become 0 to 255, as configured"),
    ],
)
def test_pixel_values_are_told_in_words(
    tmp_path: Path, shape: tuple[int, ...], keys: dict[str, Any], expected: str
) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        for kind, pixels in (("images", rng.integers(0, 256, shape)), ("masks", rng.integers(0, 2, (8, 8)))):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / kind / f"{number}.png")
    config = DataConfig(root=str(tmp_path), **keys)
    assert f"<dt>Pixel values</dt><dd>{expected}</dd>" in render(audit(config), config)
