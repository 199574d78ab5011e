"""The pixel store: wherever pixels are kept, they are the same; a file it makes is gone after it."""

from __future__ import annotations

import hashlib
import pickle
import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.config.data import DataConfig
from maskwright.data import store as store_module
from maskwright.data.augment import resolve
from maskwright.data.geometry import View
from maskwright.data.loader import EpochKeys, TrainSamples, train_loader
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.store import PixelStore, choose_place
from maskwright.data.synthetic import LAYOUTS, make
from maskwright.errors import RunError
from maskwright.runtime import free_memory

MIB = 1 << 20


def opened(root: Path, place: str, folder: Path, **options: object) -> Opened:
    return open_dataset(DataConfig.model_validate({"root": str(root), "cache": place, **options}), folder)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 1, 2, 255)])
def test_every_place_gives_the_same_pixels(values: tuple[int, ...], make_set, tmp_path: Path) -> None:
    root = make_set(5, values=values)
    ram, disk, none = (opened(root, place, tmp_path / place) for place in ("ram", "disk", "none"))
    for index in range(5):
        image, mask = ram.store.get(index)
        assert image.shape == (24, 32, 3) and mask.shape == (24, 32)
        assert image.dtype == mask.dtype == np.uint8 and image.flags.writeable and mask.flags.writeable
        for other in (disk, none):
            theirs = other.store.get(index)
            assert (theirs[0] == image).all()
            assert (theirs[1] == mask).all()
    assert ram.dataset == disk.dataset == none.dataset
    disk.store.close()


def test_large_labels_are_the_same_everywhere(write_image, tmp_path: Path) -> None:
    """16-bit masks wait until the classes are settled; both ways end in the same place."""
    rng = np.random.default_rng(0)
    for index in range(5):
        write_image(tmp_path / "images" / f"{index}.png", rng.integers(0, 256, (9, 8, 3), np.uint8))
        mask = rng.choice(np.array([0, 7, 1000], np.uint16), (9, 8))
        write_image(tmp_path / "masks" / f"{index}.png", mask if index else (mask == 7).astype(np.uint8) * 7)
    stores = [
        opened(tmp_path, place, tmp_path / place, classes={"a": 0, "b": 7, "c": 1000}).store
        for place in ("ram", "disk", "none")
    ]
    assert set(np.unique(stores[0].get(3)[1])) == {0, 1, 2}
    for index in range(5):
        assert len({store.get(index)[0].tobytes() + store.get(index)[1].tobytes() for store in stores}) == 1
    stores[1].close()


def test_the_memory_map_is_there_until_closed(tiny_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "cache"
    found = opened(tiny_set, "disk", folder)
    assert found.cache == "disk"
    assert (folder / "pixels.u8").stat().st_size == 10 * 24 * 32 * 4
    assert isinstance(found.store.get(0)[0].base, np.memmap)
    before = found.store.get(2)[0].copy()
    found.store.close()
    assert not (tmp_path / "run").exists()
    found.store.close()  # again does no harm
    assert (found.store.get(2)[0] == before).all()  # decoded anew


@pytest.mark.parametrize("place", ["ram", "disk", "none"])
@pytest.mark.parametrize("has_folder", [True, False])
def test_a_process_that_is_spawned_opens_the_same_pixels(
    place: str, has_folder: bool, make_set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of all pixels for each worker is what pickling the store came to, wherever workers cannot be forked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where there is no folder
    root, folder = make_set(6, size=(150, 200)), tmp_path / "run" / "cache"
    (tmp_path / "others").touch()
    found = open_dataset(DataConfig(root=str(root), cache=place), folder if has_folder else None)
    before = [tuple(array.copy() for array in found.store.get(index)) for index in range(6)]
    samples = TrainSamples(found.store, found.dataset.split("train"), View("whole", 16), resolve("light"), 0, 2)
    sent = pickle.dumps(samples)
    assert len(sent) < 10_000 < 150 * 200
    assert len(pickle.dumps(pickle.loads(sent))) <= len(sent) + 1_000  # a worker that starts workers
    here = [batch.images for batch in train_loader(samples, EpochKeys(len(samples), 3, 0), 0, pin=False)]
    loader = train_loader(samples, EpochKeys(len(samples), 3, 0), 1, pin=False)
    loader.multiprocessing_context = "spawn"
    assert all(torch.equal(mine, batch.images) for mine, batch in zip(here, loader, strict=True))
    for index, (image, mask) in enumerate(before):
        assert (found.store.get(index)[0] == image).all() and (found.store.get(index)[1] == mask).all()
    theirs = pickle.loads(sent).store
    assert all((theirs.get(index)[0] == image).all() and (theirs.get(index)[1] == mask).all()
               for index, (image, mask) in enumerate(before))  # fmt: skip
    files = len(list(tmp_path.rglob("pixels.u8")))
    theirs.close()
    assert files == len(list(tmp_path.rglob("pixels.u8"))) == (place != "none")  # the file is not theirs to remove
    found.store.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path != root) == ["others"]


def test_closing_leaves_the_folder_of_others(tiny_set: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    opened(tiny_set, "disk", tmp_path / "run" / "cache").store.close()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_a_data_set_that_cannot_be_opened_leaves_no_file(make_set, tmp_path: Path) -> None:
    root = make_set(4)
    (root / "images" / "002.png").write_bytes((root / "images" / "002.png").read_bytes()[:300])
    with pytest.raises(Exception, match=r"002\.png"):
        opened(root, "disk", tmp_path / "run" / "cache")
    assert not (tmp_path / "run").exists()


def test_a_mask_that_changed_since_is_refused_when_decoded_anew(make_set, write_image, tmp_path: Path) -> None:
    root = make_set(5)
    found = opened(root, "none", tmp_path)
    write_image(root / "masks" / "000.png", np.full((24, 32), 9, np.uint8))
    with pytest.raises(Exception, match=r"000\.png \(9\)"):
        found.store.get(0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_that_decodes_its_files_anew_hashes_none(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("puzzle", tmp_path / "set", count=5, size=(32, 40), layout=layout)
    found = opened(tmp_path / "set", "none", tmp_path)
    hashed: list[object] = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda *data: (hashed.append(data), sha256(*data))[1])
    for index in range(5):
        found.store.get(index)
    assert hashed == []
    opened(tmp_path / "set", "none", tmp_path)
    assert len(hashed) > 10, "as opening does"


@pytest.mark.parametrize(("values", "num_relabelled"), [((0, 1), 0), ((0, 255), 5)])
def test_what_is_kept_on_the_disk_is_written_once(
    values: tuple[int, ...], num_relabelled: int, make_set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images, and masks of class numbers; masks of other values take them when the classes are settled."""
    written: list[int] = []
    relabelled: list[int] = []
    put, relabel = PixelStore.put, PixelStore.relabel
    monkeypatch.setattr(
        PixelStore, "put", lambda self, index, *pair: (written.append(index), put(self, index, *pair))[1]
    )
    monkeypatch.setattr(PixelStore, "relabel", lambda self, *one: (relabelled.append(one[0]), relabel(self, *one))[1])
    opened(make_set(5, values=values), "disk", tmp_path / "cache").store.close()
    assert written == list(range(5)) and len(relabelled) == num_relabelled


@pytest.mark.parametrize(
    ("free", "room", "place"),
    [(100, 0, "ram"), (9, 100, "disk"), (9, 7, "none")],
)
def test_auto_takes_the_first_place_with_room(
    free: int, room: int, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 MiB of pixels. The machine's free memory and disk stand in, in MiB: at most 40 % and half of them are used."""
    monkeypatch.setattr(store_module, "free_memory", lambda: free * MIB)
    monkeypatch.setattr(store_module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": room * MIB}))
    assert choose_place("auto", [(1024, 1024)], 3, tmp_path / "not" / "there")[0] == place
    assert choose_place("auto", [(1024, 1024)], 3, None)[0] == ("ram" if place == "ram" else "none")


def test_auto_stays_within_its_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above; one pixel over 40 % of the memory is over."""
    monkeypatch.setattr(store_module, "free_memory", lambda: 10 * MIB)
    assert choose_place("auto", [(1024, 1024)], 3, tmp_path)[0] == "ram"
    assert choose_place("auto", [(1024, 1024), (1, 1)], 3, tmp_path)[0] == "disk"


@pytest.mark.parametrize("wish", ["ram", "disk", "none"])
def test_a_configured_place_is_taken(wish: str, tmp_path: Path) -> None:
    assert choose_place(wish, [(8, 8)], 3, tmp_path) == (wish, "as configured")


def test_a_reason_is_true_where_the_wish_cannot_be_met() -> None:
    """Without a folder nothing can lie on disk; then it must not be called configured."""
    place, why = choose_place("disk", [(8, 8)], 3, None)
    assert place == "disk" or why != "as configured"


def test_free_memory_is_a_plausible_number() -> None:
    assert 1 * MIB < free_memory() < 1 << 50


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limits on files here")
def test_a_disk_too_small_for_the_cache_is_a_sentence_and_nothing_is_left(tiny_set: Path, tmp_path: Path) -> None:
    """The kernel itself refuses; without room taken beforehand, writing into the map would end the process by a
    signal.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(RunError, match=r"`data\.cache` must have room for .* File too large.*data\.cache to none"):
            opened(tiny_set, "disk", tmp_path / "run" / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "run").exists()
