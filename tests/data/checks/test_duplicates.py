"""Duplicates: each kind is found and named, and pictures that only look alike in kind are not."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.duplicates import duplicate_findings, near_pairs
from maskwright.data.checks.facts import PairFacts
from maskwright.data.checks.findings import Finding
from maskwright.data.dataset import Record
from maskwright.data.grouping import Clusters
from maskwright.data.images import Head
from maskwright.data.near_duplicates import nearly_the_same, turned, turned_picture
from maskwright.data.signatures import check_sum, signature
from maskwright.data.synthetic import GENERATORS

HEIGHT, WIDTH = 120, 160
Change = Callable[[np.ndarray], np.ndarray]


@cache
def drawn(kind: str, number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return GENERATORS[kind].draw(np.random.default_rng((7, number)), height, width)[0]


def blobs(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Clouds of noise and a few shapes: cheap, and another picture with each seed."""
    rng = np.random.default_rng((11, seed))
    picture = sum(
        cv2.resize(
            rng.normal(0, 40 / octave, (4 * octave, 5 * octave, 3)), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for octave in (1, 2, 4)
    )
    picture = np.clip(picture + 128, 0, 255).astype(np.uint8)
    for _ in range(8):
        middle = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(int(part) for part in rng.integers(0, 256, 3))
        cv2.circle(picture, middle, int(rng.integers(4, height // 6)), colour, -1, cv2.LINE_AA)
    return picture


def fact(name: str, image: np.ndarray, split: str | None = None, group: str | None = None, mask: int = 0) -> PairFacts:
    """Facts as the audit has them; `mask` is how many pixels of the mask are 1."""
    record = Record(name, Path(f"{name}.png"), Path(f"{name}_mask.png"), split, group)
    head = Head(image.shape[0], image.shape[1])
    values = {0: image.shape[0] * image.shape[1] - mask, **({1: mask} if mask else {})}
    return PairFacts(
        record, f"{name}.png", f"{name}_mask.png", head=head, mask_size=image.shape[:2], hashes=(name, name),
        mask_hash=str(mask), values=values, signature=signature(image), constant=bool((image == image[0, 0]).all()),
    )  # fmt: skip


def codes(findings: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def saved_as_jpeg(quality: int) -> Change:
    return lambda image: cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
    )


def resized(share: float) -> Change:
    return lambda image: cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def cropped(share: float, back: bool) -> Change:
    def crop(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 3)
        part = image[top : top + round(share * height), left : left + round(share * width)]
        return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR) if back else np.ascontiguousarray(part)

    return crop


# change, kind, words
CHANGES: dict[str, tuple[Change, str, str]] = {
    "mirrored": (lambda image: image[:, ::-1], "turned", "b.png is a.png mirrored left to right"),
    "upside down": (lambda image: image[::-1], "turned", "b.png is a.png mirrored top to bottom"),
    "90° left": (lambda image: np.rot90(image), "turned", "b.png is a.png turned by 90° to the left"),
    "180°": (lambda image: np.rot90(image, 2), "turned", "b.png is a.png turned by 180°"),
    "90° right": (lambda image: np.rot90(image, 3), "turned", "b.png is a.png turned by 90° to the right"),
    "diagonal": (lambda image: image.swapaxes(0, 1), "turned", "b.png is a.png mirrored along its diagonal"),
    "other diagonal": (lambda image: np.rot90(image, 2).swapaxes(0, 1), "turned", "mirrored along its other diagonal"),
    "JPEG 90": (saved_as_jpeg(90), "copy", "b.png is a.png saved again"),
    "JPEG 75": (saved_as_jpeg(75), "copy", "b.png is a.png saved again"),
    "JPEG 40": (
        saved_as_jpeg(40),
        "scene",
        "b.png shows nearly what a.png shows",
    ),  # as far off as a video's next frame
    "brighter": (lambda image: cv2.convertScaleAbs(image, alpha=1.1, beta=5), "copy", "brighter by about"),
    "darker": (lambda image: cv2.convertScaleAbs(image, alpha=0.8), "copy", "b.png is a.png darker by about 20%"),
    "smaller": (resized(0.75), "copy", "b.png is a.png resized from 160x120 to 120x90"),
    "larger": (resized(1.5), "copy", "b.png is a.png resized from 160x120 to 240x180"),
    "cropped a little": (cropped(0.92, back=True), "crop", "b.png shows what a.png shows, cropped to about 92 %"),
    "cropped, smaller": (cropped(0.92, back=False), "crop", "cropped to about 92 %"),
    "turned and smaller": (
        lambda image: resized(0.8)(np.rot90(image)),
        "turned",
        "turned by 90° to the left, resized from",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_and_named(name: str) -> None:
    change, kind, words = CHANGES[name]
    others = [fact(f"other{number}", drawn("landcover", number)) for number in range(1, 6)]
    original = drawn("landcover", 0)
    facts = [fact("a", original), *others, fact("b", np.ascontiguousarray(change(original)))]
    (pair,) = near_pairs(facts)
    assert (pair.first, pair.second, pair.kind) == (0, 6, kind)
    assert words in pair.message


@pytest.mark.parametrize(
    ("share", "down", "words"),
    [
        (0.25, False, "b.png overlaps a.png by about 75 %, shifted by 30 columns"),
        (0.4, False, "b.png overlaps a.png by about 60 %, shifted by 48 columns"),
        (0.5, False, "b.png overlaps a.png by about 50 %, shifted by 60 columns"),
        (0.3, True, "b.png overlaps a.png by about 70 %, shifted by 36 rows"),
        (0.5, True, "b.png overlaps a.png by about 50 %, shifted by 60 rows"),
    ],
)
def test_overlapping_tiles_are_found_with_their_shift(share: float, down: bool, words: str) -> None:
    scene, side = drawn("landcover", 20, 240, 240), 120
    top, left = (round(share * side), 0) if down else (0, round(share * side))
    facts = [
        fact("a", scene[:side, :side]),
        fact("c", drawn("landcover", 21)),
        fact("b", scene[top : top + side, left : left + side]),
    ]
    (pair,) = near_pairs(facts)
    assert pair.kind == "overlap" and pair.message == words


def test_a_piece_cut_out_of_another_frame() -> None:
    """Pictures of different size, one pixel being as large in both."""
    scene = drawn("landcover", 22, 200, 260)
    facts = [
        fact("a", scene),
        *(fact(f"o{n}", drawn("landcover", n)) for n in range(3)),
        fact("b", scene[40:180, 60:240]),
    ]
    (pair,) = near_pairs(facts)
    assert (pair.kind, pair.message) == ("crop", "b.png is cut out of a.png")


def test_a_scene_a_moment_later() -> None:
    """Everything drifts a little and one thing goes away: what the next frame of a video looks like."""
    scene = drawn("landcover", 23, 150, 200)
    later = cv2.resize(scene[4:146, 5:195], (200, 150), interpolation=cv2.INTER_LINEAR)
    cv2.circle(later, (60, 70), 14, (200, 30, 30), -1)
    facts = [fact("a", scene, "train"), fact("b", later, "test")]
    (finding,) = duplicate_findings(facts)
    assert (finding.code, finding.severity, finding.files) == ("near-leak", "warning", ("a.png", "b.png"))
    assert "b.png shows" in finding.evidence and "a.png shows" in finding.evidence


def striped(seed: int, angle: float) -> np.ndarray:
    """What one camera's light or one tool draws on all it sees, with specks that each picture has for itself."""
    rng, yx = np.random.default_rng((13, seed)), np.mgrid[:HEIGHT, :WIDTH]
    drawn = cv2.resize(np.random.default_rng(5).normal(0, 1, (1, 60)), (3 * WIDTH, 1), interpolation=cv2.INTER_CUBIC)[0]
    across = yx[1] * np.cos(angle) + yx[0] * np.sin(angle) + WIDTH + rng.integers(-4, 5)
    picture = 128 + 25 * drawn[across.astype(int)] + 6 * cv2.resize(rng.normal(0, 1, (12, 16)), (WIDTH, HEIGHT))
    for _ in range(6):
        cv2.circle(
            picture, (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), 4, 128 + float(rng.normal(0, 50)), -1
        )
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def bricks(seed: int) -> np.ndarray:
    """A wall of bricks, each of its own grey."""
    rng = np.random.default_rng((17, seed))
    picture = np.full((HEIGHT, WIDTH), 120.0)
    top, left = rng.integers(0, 15), rng.integers(0, 24)
    for row, y in enumerate(range(top - 15, HEIGHT, 15)):
        for x in range(left - 48 + row % 2 * 12, WIDTH, 24):
            picture[max(0, y + 2) : max(0, y + 15), max(0, x + 2) : max(0, x + 24)] = rng.normal(170, 18)
    return np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


# what resembles each other and is not the same
UNLIKE: dict[str, Sequence[np.ndarray]] = {
    "one colour": [np.full((90, 90, 3), value, np.uint8) for value in (255, 255, 0, 0, 128)],
    "white with a speck of noise": [
        np.clip(255 - np.random.default_rng(n).integers(0, 2, (90, 90, 3)), 0, 255).astype(np.uint8) for n in range(4)
    ],
    "noise": [np.random.default_rng(n).integers(0, 256, (90, 90, 3), dtype=np.uint8) for n in range(8)],
    "ramps": [
        np.tile(np.linspace(0, top, 90, dtype=np.uint8)[:, None], (90, 1, 3)).reshape(90, 90, 3) for top in (200, 250)
    ],
    "discs in one frame": [
        cv2.circle(np.full((120, 120, 3), 12, np.uint8), (60, 60), 52, (170 + 3 * n, 110, 80), -1, cv2.LINE_AA) // 2
        + cv2.bitwise_and(blobs(n, 120, 120),
                          cv2.circle(np.zeros((120, 120, 3), np.uint8), (60, 60), 50, (255,) * 3, -1)) // 3
        for n in range(6)
    ],
    "stripes of one camera": [striped(number, 0.0) for number in range(16)],
    "threads of one loom": [striped(number, 0.5) for number in range(16)],
    "bricks of one kind": [bricks(number) for number in range(40)],
    "things on one table": [
        cv2.addWeighted(drawn("puzzle", 3), 0.15, drawn("puzzle", number), 0.85, 0) for number in range(10, 18)
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", UNLIKE)
def test_what_only_resembles_is_no_duplicate(case: str) -> None:
    facts = [
        fact(str(number), image, split)
        for number, (image, split) in enumerate(zip(UNLIKE[case], itertools.cycle(("train", "test"))))
    ]
    assert near_pairs(facts) == []
    assert duplicate_findings(facts) == []


def test_three_hundred_generated_pictures_give_no_false_pair() -> None:
    images = [drawn(kind, number, 72, 96) for kind in ("puzzle", "landcover") for number in range(100, 250)]
    assert len(images) == 300
    assert nearly_the_same([signature(image) for image in images]) == []


def test_frames_that_are_all_alike_cost_little_memory() -> None:
    """Each landmark of one meets those of all others: what is kept must grow with the frames, not with their
    meetings.
    """
    scene = cv2.resize(drawn("landcover", 0), (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
    frames = [
        signature(np.clip(scene + np.random.default_rng(number).normal(0, 1, scene.shape), 0, 255).astype(np.uint8))
        for number in range(160)
    ]

    def peak(count: int) -> int:
        tracemalloc.start()
        nearly_the_same(frames[:count])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)  # caches
    assert peak(160) - peak(40) < 120 * 300_000  # it was 560,000


found = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@found
@given(
    st.integers(0, 10**6),
    st.integers(0, 7),
    st.sampled_from([1.0, 0.8, 1.3]),
    st.sampled_from([None, 60, 90]),
    st.floats(0.85, 1.1),
    st.sampled_from([0.0, 0.05, 0.2, 0.35, 0.45]),
    st.booleans(),
)
def test_any_change_of_any_picture_is_found(
    seed: int, turn: int, share: float, quality: int | None, tone: float, shift: float, down: bool
) -> None:
    """Turn, size, JPEG, brightness and shift together."""
    scene = blobs(seed, 240, 320)
    height, width = 150, 200
    top, left = (round(shift * height), 0) if down else (0, round(shift * width))
    changed = np.stack(
        [turned_picture(scene[top : top + height, left : left + width, band], turn) for band in range(3)], 2
    )
    changed = cv2.convertScaleAbs(resized(share)(changed), alpha=tone)
    changed = saved_as_jpeg(quality)(changed) if quality else changed
    others = [blobs(seed + 1 + number, height, width) for number in range(3)]
    images = [scene[:height, :width], *others, changed]
    assert nearly_the_same([signature(image) for image in images]) == [[0, 4]]


@found
@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_two_unrelated_pictures_are_not_found(seed: int, on: int) -> None:
    assert nearly_the_same([signature(blobs(seed)), signature(blobs(seed + on))]) == []


def test_equal_pixels_in_two_splits_are_an_error_with_a_question(
    write_image: Callable[..., Path], tmp_path: Path
) -> None:
    """The same picture as PNG, and saved again without loss as TIFF in grey-free colours."""
    rows = ["image,mask,split"]
    for number in range(5):
        split = ("train", "train", "val", "val", "test")[number]
        image = blobs(0 if number == 4 else number, 40, 50)
        write_image(tmp_path / f"i{number}.{'tif' if number == 4 else 'png'}", image)
        write_image(
            tmp_path / f"m{number}.png",
            np.pad(np.ones((10 + (number == 4), 50), np.uint8), ((0, 30 - (number == 4)), (0, 0))),
        )
        rows.append(f"i{number}.{'tif' if number == 4 else 'png'},m{number}.png,{split}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    findings = {finding.code: finding for finding in audit(DataConfig(root=str(tmp_path))).findings}
    leak = findings["exact-leak"]
    assert leak.severity == "error" and leak.files == ("i0.png", "i4.tif")
    assert "i4.tif is the same picture, pixel by pixel, as i0.png" in leak.evidence
    assert leak.proposal and leak.proposal.op == "leave-out" and "1 in train and 1 in test" in leak.proposal.question
    assert leak.proposal.values == {"sides": {"train": ["i0.png"], "test": ["i4.tif"]}}
    masks = findings["different-masks"]
    assert masks.files == ("m0.png", "m4.png")
    assert "differ in at least 2.5% of the pixels" in masks.evidence  # one row of forty
    assert not {"near-leak", "near-duplicates", "exact-duplicates"} & set(findings)


def test_equal_pixels_in_one_split() -> None:
    facts = [
        fact("a", blobs(0), "train"),
        fact("b", blobs(0), "train"),
        fact("c", blobs(1), "test"),
        fact("d", blobs(0), "train"),
    ]
    (finding,) = duplicate_findings(facts, cheap=True)
    assert (finding.code, finding.severity, finding.proposal) == ("exact-duplicates", "warning", None)
    assert finding.evidence.startswith("3 pictures in 1 cluster: b.png is ")
    assert finding.details["clusters"] == [["a.png", "b.png", "d.png"]]
    assert [pair["files"] for pair in finding.details["pairs"]] == [["a.png", "b.png"], ["a.png", "d.png"]]


def test_an_item_listed_in_two_splits_is_told_as_that_alone() -> None:
    facts = [fact("a", blobs(0), "train"), fact("a", blobs(0), "val"), fact("c", blobs(1), "test")]
    (finding,) = duplicate_findings(facts)
    assert (finding.code, finding.severity, finding.files) == ("listed-twice", "error", ("a.png",))
    assert finding.evidence == "a.png is listed in train and val."
    assert finding.proposal and finding.proposal.question


def test_an_item_listed_twice_in_one_split() -> None:
    (finding,) = duplicate_findings([fact("a", blobs(0), "train"), fact("a", blobs(0), "train")])
    assert (finding.code, finding.evidence) == ("exact-duplicates", "2 pictures in 1 cluster: a.png is listed twice.")


def test_cheap_looks_for_equal_ones_only() -> None:
    facts = [fact("a", blobs(0), "train"), fact("b", blobs(0)[:, ::-1], "test")]
    assert duplicate_findings(facts, cheap=True) == []
    assert codes(duplicate_findings(facts)) == ["near-leak"]


def test_within_and_across_splits_are_told_apart() -> None:
    one, two = blobs(0), blobs(1)
    facts = [fact("a", one, "train"), fact("b", one[::-1], "train"), fact("c", one[:, ::-1], "test"),
             fact("d", two, "val"), fact("e", np.rot90(two), "val"), fact("f", blobs(2), "val")]  # fmt: skip
    leak, inside = duplicate_findings(facts)
    assert (leak.code, inside.code) == ("near-leak", "near-duplicates")
    assert set(leak.files) >= {"c.png"} and "d.png" not in leak.files
    assert inside.details["clusters"] == [["a.png", "b.png"], ["d.png", "e.png"]]
    assert leak.proposal and leak.proposal.question and inside.proposal is None
    assert {pair["kind"] for pair in inside.details["pairs"]} == {"turned"}
    assert [split for pair in leak.details["pairs"] for split in pair["splits"]] == ["train", "test"] * len(
        leak.details["pairs"]
    )


def test_pictures_without_a_split_are_grouped() -> None:
    one, two = blobs(0), blobs(1)
    facts = [
        fact("a", one),
        fact("b", one),
        fact("c", two),
        fact("d", two[::-1]),
        fact("e", one[:, ::-1]),
        fact("f", blobs(2)),
    ]
    findings = duplicate_findings(facts, groups={"a": "a", "b": "a", "e": "a", "c": "c", "d": "c"})
    assert codes(findings) == ["exact-duplicates", "near-duplicates"]
    proposed = [
        finding.proposal.values["groups"]
        for finding in findings
        if finding.proposal and finding.proposal.op == "regroup"
    ]
    assert proposed == [{"a": "a", "b": "a"}, {"c": "c", "d": "c", "e": "a"}]  # no record in two of them
    assert nearly_the_same([one.signature for one in facts]) == [[0, 1, 4], [2, 3]]
    assert [one.proposal for one in duplicate_findings(facts)] == [None, None]  # where dealing keeps them in no groups


def test_what_our_own_dealing_tore_apart_is_grouped_not_asked() -> None:
    facts = [fact("a", blobs(0), "train"), fact("b", blobs(0)[::-1], "val")]
    (finding,) = duplicate_findings(facts, named=(), groups={"a": "a", "b": "a"})
    assert finding.code == "near-leak" and finding.proposal
    assert (finding.proposal.op, finding.proposal.values, finding.proposal.question) == (
        "regroup",
        {"groups": {"a": "a", "b": "a"}},
        "",
    )


def test_a_turned_copy_with_another_mask_is_told() -> None:
    image = blobs(0)
    facts = [
        fact("a", image, "train", mask=4000),
        fact("b", image[::-1], "train", mask=4010),
        fact("c", image[:, ::-1], "train", mask=9000),
    ]
    findings = {finding.code: finding for finding in duplicate_findings(facts)}
    told = findings["different-masks"].details["pairs"]
    assert told and all("c_mask.png" in pair for pair in told)  # ten pixels of 19,200 are no other mask


def test_files_of_no_picture_compare_by_their_bytes() -> None:
    """Cheap checks may know a file's hash alone."""
    facts = [
        PairFacts(Record(n, Path(n), Path(n), split), n, n, hashes=("same", n))
        for n, split in (("a", "train"), ("b", "test"))
    ]
    assert codes(duplicate_findings(facts, cheap=True)) == ["exact-leak"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (43, 45), (177, 401)])
def test_a_signature_is_small_whatever_the_picture(channels: int, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)
    signed = signature(image)
    assert signed.small.nbytes + len(signed.pixels) < 2048
    assert signed.small.shape == (44, 44) and signed.size == size


@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_any_changed_or_moved_pixel_changes_the_check_sum(height: int, width: int, data: st.DataObject) -> None:
    image = np.random.default_rng((height, width)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    place = data.draw(st.integers(0, image.size - 1))
    changed = image.copy()
    changed.flat[place] ^= data.draw(st.integers(1, 255))
    assert check_sum(image) == check_sum(image.copy()) != check_sum(changed)
    for moved in (
        np.roll(image, 1, 0),
        np.roll(image, 1, 1),
        image[::-1],
        image[:, ::-1],
        image[..., ::-1],
        image.reshape(-1, 1, 3),
    ):
        assert (check_sum(np.ascontiguousarray(moved)) == check_sum(image)) == (
            moved.shape == image.shape and (moved == image).all()
        )


def test_turns_of_places_are_turns_of_pictures() -> None:
    picture = np.arange(42).reshape(6, 7)
    y, x = np.mgrid[:6, :7]
    for turn in range(8):
        after = turned_picture(picture, turn)
        rows, columns = turned(np.full(y.shape, turn), y - 2.5, x - 3.0)
        places = rows + (after.shape[0] - 1) / 2, columns + (after.shape[1] - 1) / 2
        assert (after[places[0].astype(int), places[1].astype(int)] == picture).all()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12))))
def test_clusters_are_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    """Beside repeated merging of sets."""
    clusters, sets = Clusters(), [{number} for number in range(13)]
    for one, two in pairs:
        clusters.join(one, two)
        mine, other = next(s for s in sets if one in s), next(s for s in sets if two in s)
        if mine is not other:
            sets = [*(s for s in sets if s is not mine and s is not other), mine | other]
    assert sorted(clusters.lists()) == sorted(sorted(s) for s in sets if len(s) > 1)
    assert all(clusters.together(one, two) for one, two in pairs)


def test_the_same_pictures_give_the_same_findings() -> None:
    facts = [
        fact(f"{kind}{n}", change, "train")
        for n in range(6)
        for kind, change in (("a", blobs(n)), ("b", blobs(n)[::-1]))
    ]
    assert duplicate_findings(facts) == duplicate_findings(facts) != []
