"""The gate before training: errors stop it with codes and files, allowed ones are written down, and nothing is read
twice.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import maskwright as mw
from maskwright.config import Config
from maskwright.config.data import DataConfig
from maskwright.data import raw
from maskwright.data.checks.audit import audit
from maskwright.data.groups import guess_groups
from maskwright.data.synthetic import GENERATORS
from maskwright.errors import ConfigError, DataError
from maskwright.training import gate
from maskwright.training.gate import SharedData, open_checked
from maskwright.training.plan import prepare
from support import TINY, copy_of, data, maskwright, picture


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A copy of the puzzle set, to be spoilt."""
    return copy_of(data(), tmp_path / "mine")


@pytest.fixture
def leaking(mine: Path) -> Path:
    """One of the pictures to train on is in the test, too."""
    rows = [row.split(",") for row in (mine / "pairs.csv").read_text().split()]
    columns = {name: place for place, name in enumerate(rows[0])}
    files = {row[columns["split"]]: mine / row[columns["image"]] for row in rows[1:]}
    files["test"].write_bytes(files["train"].read_bytes())
    return mine


def train(root: Path, out: Path, *words: object):
    return maskwright("train", "--data", root, *TINY, "--epochs", 1, "--out", out, *words)


def test_an_error_is_one_sentence_with_code_files_and_what_to_type(leaking, tmp_path):
    outcome = train(leaking, tmp_path / "run")
    assert outcome.code == 2 and outcome.out == "" and not (tmp_path / "run").exists()
    assert outcome.sentence.startswith(
        f"`{leaking}` must hold no errors to be trained on; found exact-leak (images/image-"
    )
    assert f"See maskwright check {leaking}, or go on in spite of it with --allow exact-leak." in outcome.sentence


def test_several_errors_are_told_together(leaking, tmp_path):
    for path in (leaking / "masks").iterdir():
        picture(path, (np.asarray(Image.open(path)) // 255 + 1).astype(np.uint8))
    (leaking / "classes.yaml").unlink(missing_ok=True)
    sentence = train(leaking, tmp_path / "run").sentence
    assert "found off-by-one (masks/mask-" in sentence and "exact-leak (" in sentence
    assert "--allow off-by-one --allow exact-leak" in sentence
    assert "off-by-one" not in train(leaking, tmp_path / "run", "--allow", "off-by-one").sentence


def test_what_is_allowed_goes_on_and_is_written_down(leaking, tmp_path):
    out = tmp_path / "run"
    outcome = train(leaking, out, "--allow", "exact-leak")
    assert outcome.code == 0, outcome.err
    assert "allowed exact-leak: " in outcome.err
    allowed = json.loads((out / "environment.json").read_text())["allowed"]
    assert (
        [one["code"] for one in allowed] == ["exact-leak"] and len(allowed[0]["files"]) == 2 and allowed[0]["evidence"]
    )
    assert yaml.safe_load((out / "config.yaml").read_text())["train"]["allow"] == ["exact-leak"]
    assert maskwright("report", out).code == 0
    assert "allowed when it was trained" in (out / "report.html").read_text()


def test_codes_can_be_allowed_in_a_file_and_from_python(leaking, tmp_path):
    (tmp_path / "my.yaml").write_text("train: {allow: exact-leak}\n")
    words = [tmp_path / "my.yaml", "--data", leaking, *TINY, "--epochs", 1, "--out", tmp_path / "run"]
    assert maskwright("train", *words).code == 0
    keys = {"model.width": 2, "model.depth": 2}
    run = mw.train(leaking, out=tmp_path / "other", progress=False, epochs=1, size=32, allow=["exact-leak"], **keys)
    assert run.config.train.allow == ["exact-leak"]


@pytest.mark.parametrize(
    ("code", "told"),
    [("exact-leek", "Did you mean 'exact-leak'"), ("xyz", "Unknown finding 'xyz' in `train.allow`. Choose from ")],
)
def test_a_code_that_is_not_known_is_told_before_anything_is_read(code, told, tmp_path):
    assert told in train(tmp_path / "nowhere", tmp_path / "run", "--allow", code).sentence
    with pytest.raises(ConfigError, match=r"train\.allow"):
        prepare(Config.model_validate({"train": {"allow": [code]}}))


def test_an_allowance_nobody_needs_is_told(tmp_path):
    outcome = train(data(), tmp_path / "run", "--allow", "exact-leak")
    assert outcome.code == 0 and "note    train.allow exact-leak has no effect: no such error was found" in outcome.err
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["allowed"] == []


def test_what_cannot_be_read_cannot_be_allowed(mine, tmp_path):
    (mine / "masks" / "mask-2.png").write_bytes(b"")
    sentence = train(mine, tmp_path / "run", "--allow", "unreadable").sentence
    assert "got an empty file" in sentence and "What cannot be read cannot be allowed either." in sentence
    assert f" maskwright check {mine} tells more, and what can be fixed in a copy." in sentence


def test_many_alike_problems_are_told_by_four_and_a_line_on_what_to_do(mine, tmp_path):
    for path in (mine / "masks").iterdir():
        picture(path, np.zeros((16, 20), np.uint8))
    outcome = train(mine, tmp_path / "run")
    lines = outcome.err.splitlines()
    assert outcome.code == 2 and lines[0] == "maskwright: 8 pairs cannot be used:" and len(lines) == 7
    assert lines[5] == "  and 4 more."
    assert lines[6] == f"maskwright check {mine} tells more, and what can be fixed in a copy."


@pytest.mark.parametrize("allow", [(), ("--allow", "zero-255")], ids=["", "allowed"])
def test_training_masks_of_one_class_are_refused_whatever_is_allowed(mine, tmp_path, allow):
    (mine / "classes.yaml").unlink(missing_ok=True)
    sentence = train(mine, tmp_path / "run", "--data.classes", "{bg: 0, piece: 1}", *allow).sentence
    assert sentence.startswith(f"`{mine}` must show two classes or more in its training masks; they hold bg alone: ")
    assert "Name the values as they are: --data.classes '{bg: 0, piece: 255}'." in sentence
    assert ("--allow" in sentence) == bool(allow) and sentence.endswith("is of no help here.") == bool(allow)


def test_the_command_to_check_reads_the_data_as_training_would(mine, tmp_path):
    (mine / "classes.yaml").unlink(missing_ok=True)
    flags = "--data.classes '{bg: 0, piece: 254}'"
    sentence = train(mine, tmp_path / "run", "--data.classes", "{bg: 0, piece: 254}").sentence
    assert sentence.endswith(f"; see maskwright check {mine} {flags}.")


def test_a_class_in_val_alone_is_no_class_to_train(mine, tmp_path):
    for row in (mine / "pairs.csv").read_text().splitlines()[1:]:
        if ",train" in row:
            path = next(mine / cell for cell in row.split(",") if cell.startswith("masks/"))
            picture(path, np.zeros_like(np.asarray(Image.open(path))))
    sentence = train(mine, tmp_path / "run").sentence
    assert "in its training masks; they hold background alone. Name the values that the masks hold" in sentence


def test_what_an_epoch_is_stands_in_words(mine, tmp_path):
    outcome = train(mine, tmp_path / "run", "--train.repeats", 3)
    assert "plan    1 epoch of 4 images, each shown 3 times: 3 steps an epoch, " in outcome.err
    assert ", batches of 4; " in outcome.err and "each image whole, resized to 32 × 32 pixels" in outcome.err


def test_a_warning_is_told_and_training_goes_on(mine, tmp_path):
    picture(mine / "images" / "image-0.png", np.full((32, 40, 3), 7, np.uint8))
    outcome = train(mine, tmp_path / "run")
    assert f"        more is told by: maskwright check {mine}" in outcome.err.splitlines()
    assert outcome.code == 0 and "warning constant-image: 1 image has the same colour in every pixel" in outcome.err


def test_a_leak_is_warned_of_in_the_words_of_the_audit(leaking, tmp_path):
    """A brighter copy of a training picture in the test set."""
    test = [row for row in (leaking / "pairs.csv").read_text().splitlines() if ",test" in row][-1]
    path = leaking / next(cell for cell in test.split(",") if cell.startswith("images/"))
    picture(path, np.clip(np.asarray(Image.open(path).convert("RGB")) * 1.15, 0, 255).astype(np.uint8))
    audited = {
        one.code: one.evidence for one in audit(DataConfig(root=str(leaking))).findings if one.severity == "warning"
    }
    assert "near-leak" in audited
    outcome = train(leaking, tmp_path / "run")
    assert outcome.code == 0 and f"warning near-leak: {audited['near-leak']}" in outcome.err.splitlines()
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())["findings"]
    assert "near-leak" in {one["code"] for one in recorded}


def test_every_file_is_decoded_once(monkeypatch):
    """Readers are wrapped to count: the gate takes its facts from what opening has in memory."""
    seen: Counter[str] = Counter()
    image, mask = raw.decode_raw, raw.load_mask

    def counting_image(data: bytes, path: Path, *more: object):
        seen[str(path)] += 1
        return image(data, path, *more)

    def counting_mask(record, size):
        seen[str(record.mask)] += 1
        return mask(record, size)

    monkeypatch.setattr(raw, "decode_raw", counting_image)
    monkeypatch.setattr(raw, "load_mask", counting_mask)
    plan = prepare(Config.model_validate({"data": {"root": str(data())}}))
    plan.opened.store.close()
    assert len(seen) == 16 and set(seen.values()) == {1}
    assert len(plan.opened.inspected) == 8


def test_shared_data_are_opened_anew_only_where_they_are_read_otherwise(mine, tmp_path, monkeypatch):
    look, audits = gate.judge, []
    monkeypatch.setattr(gate, "judge", lambda *rest: (audits.append(1), look(*rest))[1])
    asked = Config.model_validate({"data": {"root": str(mine), "size": 32, "cache": "disk"}})
    with SharedData() as shared:
        first, _ = shared.open(asked, None, None)
        assert first.store.place == "ram"  # as there is no folder yet
        shared.folder = tmp_path / "out" / "cache"
        second, _ = shared.open(asked, None, None)
        third, _ = shared.open(asked.replace({"data.size": 16, "train.epochs": 3}), tmp_path / "other", None)
        assert len(audits) == 2 and third.config.size == 16 and second.config.size == 32
        assert second.store.place == third.store.place == "disk" and (shared.folder / "pixels.u8").is_file()
        second.store.close()
        assert (third.store.get(0)[0] == first.store.get(0)[0]).all()  # lent, so nobody else's is closed
        _, passed = shared.open(asked.replace({"train.allow": ["exact-leak"]}), None, None)
        assert len(audits) == 3 and "has no effect" in passed.notes[0]
        shared.open(asked.replace({"data.split.val": 0.5}), None, None)
        assert len(audits) == 4
    assert not (tmp_path / "out").exists() and not (tmp_path / "other").exists()


def test_a_run_that_began_goes_on_without_the_gate(leaking, tmp_path):
    out = tmp_path / "run"
    assert train(leaking, out, "--allow", "exact-leak").code == 0
    (out / "model.safetensors").unlink()
    assert maskwright("train", "--resume", out).code == 0


def test_errors_without_a_data_set_give_no_hint_to_check_it(tmp_path):
    with pytest.raises(DataError) as refused:
        prepare(Config.model_validate({"data": {"root": str(tmp_path / "nowhere")}}))
    assert "maskwright check" not in str(refused.value)


def test_names_that_likeness_contradicts_are_not_told_as_groups_torn_apart(tmp_path, write_image):
    """Four exposures of four tiles in splits of the set's own: names such as exp1_num_107 are no films."""
    rows = ["image,mask,split"]
    for tile, split in enumerate(("train", "train", "val", "test")):
        drawn, mask = GENERATORS["landcover"].draw(np.random.default_rng((7, tile)), 90, 120)
        for exposure in range(1, 5):
            name = f"exp{exposure}_num_{100 * tile + 7 * exposure}"
            write_image(
                tmp_path / f"images/{name}.png", np.clip(drawn * (0.4 + 0.1 * exposure), 0, 255).astype(np.uint8)
            )
            write_image(tmp_path / f"masks/{name}.png", (mask > 0).astype(np.uint8))
            rows.append(f"images/{name}.png,masks/{name}.png,{split}")
    assert guess_groups([row.partition(",")[0].removesuffix(".png") for row in rows[1:]]) is not None
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    opened, passed = open_checked(Config.model_validate({"data": {"root": str(tmp_path)}}), None, None)
    opened.store.close()
    assert opened.near is None and "groups" not in {one.code for one in passed.findings}
    assert "groups" not in {one.code for one in audit(DataConfig(root=str(tmp_path))).findings}
