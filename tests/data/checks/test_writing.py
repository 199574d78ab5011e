"""dataset.yaml as it is written: read back, the data set is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from makers import VIDEOS, edited, named_like, plain, with_value

from data.layouts import LAYOUTS
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.writing import description, write_description
from maskwright.data.opening import open_dataset
from maskwright.errors import DataError


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_the_same_by_its_description(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout](tmp_path)
    config = DataConfig(root=str(tmp_path))
    before = audit(config)
    write_description(before, config)
    after = audit(config)
    assert after.clean, [one.evidence for one in after.errors]
    assert (after.reader, after.classes, after.splits) == (before.reader, before.classes, before.splits)
    assert after.class_shares == pytest.approx(before.class_shares)
    assert [record.id for record in after.records] == [record.id for record in before.records]


def test_every_key_has_its_reason_above_it(tmp_path: Path) -> None:
    plain(tmp_path, (0, 255))
    config = DataConfig(root=str(tmp_path))
    lines = description(audit(config), config).splitlines()
    assert "# images/ beside masks/, paired by the same name; split dealt with seed 0" in lines
    assert lines[lines.index("reader: folders") - 1].startswith("# images/")
    assert lines[lines.index("classes:") - 1] == "# masks hold 0 and 255"
    assert yaml.safe_load("\n".join(lines))["classes"] == {"background": 0, "foreground": 255}


def test_what_was_configured_is_written_down(tmp_path: Path) -> None:
    keys = edited(with_value(7), classes={"background": 0, "pet": 1})(tmp_path)
    config = DataConfig.model_validate({"root": str(tmp_path), **keys, "ignore_index": 7, "split": {"group": "^a"}})
    tree = yaml.safe_load(description(audit(config), config))
    assert (
        tree["ignore_index"] == 7
        and tree["classes"] == {"background": 0, "pet": 1}
        and tree["split"] == {"group": "^a"}
    )


@pytest.mark.parametrize(
    "said",
    [
        {"ignore_index": None},
        {"ignore_index": (7, 9)},
        {"split": {"val": 0.4, "seed": 3}},
        {"split": {"group": ".+", "seed": 5}},
    ],
    ids=["nothing ignored", "several ignored", "split", "split and groups"],
)
def test_what_was_configured_holds_without_being_said_again(said: dict[str, Any], tmp_path: Path) -> None:
    """`null` was read as the default, and of a split its groups alone were written: another split was dealt, without a
    word.
    """
    plain(tmp_path)
    config = DataConfig.model_validate({"root": str(tmp_path), **said})
    write_description(audit(config), config)
    opened = [open_dataset(one) for one in (config, DataConfig(root=str(tmp_path)))]
    assert len({one.dataset.fingerprint for one in opened}) == 1
    for one in opened:
        one.store.close()


def test_groups_that_names_show_are_written_with_their_evidence(tmp_path: Path) -> None:
    named_like(VIDEOS)(tmp_path)
    config = DataConfig(root=str(tmp_path))
    before = audit(config)
    write_description(before, config)
    after = audit(config)
    assert yaml.safe_load((tmp_path / "dataset.yaml").read_text())["split"]["group"]
    assert {one.id: one.split for one in after.records} == {one.id: one.split for one in before.records}
    for film in ("video1", "video2", "video3"):
        assert len({one.split for one in after.records if film in one.id}) == 1


def test_there_is_only_one_description(tmp_path: Path) -> None:
    plain(tmp_path)
    config = DataConfig(root=str(tmp_path))
    found = audit(config)
    write_description(found, config)
    with pytest.raises(DataError, match="must not be there yet"):
        write_description(found, config)
