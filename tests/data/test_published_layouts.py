"""Data sets laid out as their makers published them: recognised without a flag, every pair and split right, nothing
guessed.

Pictures are tiny and drawn; names and folders are those of the published sets.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.dataset import PartialListing, Record
from maskwright.data.opening import open_dataset
from maskwright.data.readers import list_records
from maskwright.errors import DataError

SIZE = (12, 16)
Pair = tuple[str, str | None, str | None]  # image, mask, split; an image without a mask is in no pair
SPLITS = ("train", "val", "test")


def draw(path: Path, index: int) -> None:
    """A file as its name says: text, a photograph, or (its path names a mask) 0 and 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix not in (".png", ".jpg", ".bmp", ".tif", ".gif"):
        path.write_text("{}" if path.suffix == ".json" else "word")
        return
    noise = np.random.default_rng(index).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(path)


def mask(path: Path, index: int, colours: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(SIZE, np.uint8)
    if path.suffix == ".jpg":  # in blocks of JPEG's own
        labels[:8, 8 * (index % 2) :][:, :8] = 255
    else:
        labels[index % 5 : index % 5 + 5, 3 + index % 4 : 9] = 1
    Image.fromarray(np.stack([labels * 200, labels * 30, labels], axis=-1) if colours else labels).save(path)


def numbers(count: int = 2, first: int = 1) -> Iterator[tuple[int, str]]:
    """Numbers that differ from split to split, and the split."""
    for place, split in enumerate(SPLITS):
        yield from ((first + place * count + index, split) for index in range(count))


# name → (pairs, pictures beside that belong to none; a mask's path ends with *)
Layout = tuple[list[Pair], list[str]]


def mmseg() -> Layout:
    """OpenMMLab's own layout; the test's masks are often not given away."""
    pairs: list[Pair] = [(f"img_dir/{split}/{n}.jpg", f"ann_dir/{split}/{n}.png", split) for n, split in numbers()]
    return [(image, truth if split != "test" else None, split) for image, truth, split in pairs], []


def cityscapes(labels: str = "labelIds") -> Layout:
    pairs: list[Pair] = []
    for n, split in numbers():
        for city in ("aachen", "bochum"):
            name = f"{split}/{city}/{city}_{n:06d}_000019"
            pairs.append((f"leftImg8bit/{name}_leftImg8bit.png", f"gtFine/{name}_gtFine_{labels}.png", split))
    rest = [
        str(truth).replace(labels, kind)
        for _, truth, _ in pairs
        for kind in ("color.png*", "instanceIds.png*", "polygons.json")
    ]
    rest = [name.replace(".png*.png", ".png*").replace(".json.png", ".json") for name in rest]
    if labels == "labelTrainIds":
        rest += [str(truth).replace(labels, "labelIds") + "*" for _, truth, _ in pairs]
    return pairs, rest


def ph2() -> Layout:
    """A folder a lesion, in a folder whose name says images; another folder of parts."""
    base = "PH2 Dataset images"
    names = [f"IMD{n:03d}" for n in (2, 3, 4, 10, 13, 20)]
    pairs: list[Pair] = [
        (f"{base}/{n}/{n}_Dermoscopic_Image/{n}.bmp", f"{base}/{n}/{n}_lesion/{n}_lesion.bmp", None) for n in names
    ]
    return pairs, [f"{base}/{n}/{n}_roi/{n}_R1_Label{k}.bmp*" for n in names[:3] for k in (3, 4)] + ["PH2_dataset.txt"]


def drive() -> Layout:
    """Fields of view beside the truth, and a second annotator for the test."""
    pairs: list[Pair] = []
    rest: list[str] = []
    for n in (21, 22, 23, 24, 1, 2):
        side, kind = ("training", "training") if n > 20 else ("test", "test")
        pairs.append(
            (
                f"{side}/images/{n:02d}_{kind}.tif",
                f"{side}/1st_manual/{n:02d}_manual1.gif",
                "train" if n > 20 else "test",
            )
        )
        rest += [
            f"{side}/mask/{n:02d}_{kind}_mask.gif*",
            *([f"test/2nd_manual/{n:02d}_manual2.gif*"] if n < 20 else []),
        ]
    return pairs, rest


def plain(image: str, truth: str, splits: bool = False, rest: Sequence[str] = ()) -> Layout:
    """`{n}` stands for a number, `{s}` for a split."""
    named = numbers(3) if splits else ((n, None) for n in (1, 2, 3, 7, 10, 12))
    pairs: list[Pair] = []
    for n, split in named:
        pairs.append((image.format(n=n, s=split), truth.format(n=n, s=split), split))
    return pairs, list(rest)


def spelled(image: str, truth: str, names: dict[str, str]) -> Layout:
    """As `plain` with the makers' own words for the splits."""
    return [(image.format(n=n, s=names[s]), truth.format(n=n, s=names[s]), s) for n, s in numbers(3) if s in names], []


SHORT = {"train": "TR", "test": "TE"}
LONG = {"train": "Training", "val": "Validation", "test": "Test"}
LAYOUTS: dict[str, Callable[[], Layout]] = {
    "mmseg": mmseg,
    "mmseg without splits": lambda: plain("img_dir/{n}.jpg", "ann_dir/{n}.png"),
    "imgs, gts": lambda: plain("imgs/{n}.jpg", "gts/{n}.png"),
    "train_images, train_segmentations": lambda: plain("{s}_images/{n}.png", "{s}_segmentations/{n}.png", True),
    "cityscapes": cityscapes,
    "cityscapes, training ids": lambda: cityscapes("labelTrainIds"),
    "ade20k": lambda: spelled(
        "images/{s}/ADE_{s}_{n:08d}.jpg", "annotations/{s}/ADE_{s}_{n:08d}.png",
        {"train": "training", "val": "validation"}
    ),
    "camvid, as Kaggle has it": lambda: plain("{s}/1TP_{n:06d}.png", "{s}_labels/1TP_{n:06d}_L.png", True,
                                              ["class.csv"]),
    "camvid, as fastai has it": lambda: plain("images/0016E5_{n:05d}.png", "labels/0016E5_{n:05d}_L.png"),
    "camvid, as its makers have it": lambda: plain("701_StillsRaw_full/T_{n:06d}.png",
                                                   "LabeledApproved_full/T_{n:06d}_L.png"),
    "camvid in one folder": lambda: plain("1TP_{n:06d}.png", "1TP_{n:06d}_L.png"),
    "words and capitals": lambda: plain("Images/{n}.tif", "Ground truth/{n}.tif"),
    "cvc-clinicdb": lambda: plain("Original/{n}.tif", "Ground Truth/{n}.tif"),
    "duts": lambda: spelled("DUTS-{s}/DUTS-{s}-Image/ILSVRC_{n}.jpg", "DUTS-{s}/DUTS-{s}-Mask/ILSVRC_{n}.png", SHORT),
    "duts, the training alone": lambda: plain("DUTS-TR/DUTS-TR-Image/n_{n}.jpg", "DUTS-TR/DUTS-TR-Mask/n_{n}.png"),
    "kvasir-seg": lambda: plain("Kvasir-SEG/images/cju{n}q.jpg", "Kvasir-SEG/masks/cju{n}q.jpg",
                                rest=["Kvasir-SEG/b.json"]),
    "isic 2016": lambda: spelled(
        "ISBI2016_ISIC_Part1_{s}_Data/ISIC_{n:07d}.jpg",
        "ISBI2016_ISIC_Part1_{s}_GroundTruth/ISIC_{n:07d}_Segmentation.png",
        {"train": "Training", "test": "Test"},
    ),
    "isic 2018": lambda: spelled(
        "ISIC2018_Task1-2_{s}_Input/ISIC_{n:07d}.jpg", "ISIC2018_Task1_{s}_GroundTruth/ISIC_{n:07d}_segmentation.png",
        LONG
    ),
    "isic 2017, superpixels beside": lambda: plain(
        "ISIC-2017_Training_Data/ISIC_{n:07d}.jpg",
        "ISIC-2017_Training_Part1_GroundTruth/ISIC_{n:07d}_segmentation.png",
        rest=[f"ISIC-2017_Training_Data/ISIC_{n:07d}_superpixels.png" for n in (1, 2, 3, 7, 10, 12)],
    ),
    "ham10000": lambda: (
        [(f"HAM10000_images_part_{1 + (n > 3)}/ISIC_{n:07d}.jpg",
          f"HAM10000_segmentations_lesion_tschandl/ISIC_{n:07d}_segmentation.png", None) for n in range(1, 7)], [],
    ),
    "ph2": ph2,
    "a folder an image": lambda: plain("ID{n}/ID{n}_image.bmp", "ID{n}/ID{n}_lesion.bmp"),
    "a folder an image, the same names": lambda: plain("case_{n}/image.png", "case_{n}/mask.png",
                                                       rest=["case_1/notes.txt"]),
    "labelme's own export": lambda: plain(
        "{n}_json/img.png", "{n}_json/label.png",
        rest=[f"{n}_json/{name}" for n in (1, 2, 3, 7, 10, 12) for name in ("label_viz.png*", "label_names.txt")],
    ),
    "loveda": lambda: (
        [(f"{s.title()}/{place}/images_png/{n + 10 * urban}.png", f"{s.title()}/{place}/masks_png/{n + 10 * urban}.png",
          s)
         for n, s in numbers() if s != "test" for urban, place in enumerate(("Rural", "Urban"))],
        ["Test/Urban/images_png/99.png"],
    ),
    "massachusetts roads": lambda: plain("tiff/{s}/102{n}_15.tif", "tiff/{s}_labels/102{n}_15.tif", True,
                                         ["metadata.csv"]),
    "massachusetts, as its makers have it": lambda: spelled(
        "{s}/sat/102{n}_15.tif", "{s}/map/102{n}_15.tif", {"train": "train", "val": "valid", "test": "test"}
    ),
    "deepglobe": lambda: (
        [(f"train/{n}_sat.jpg", f"train/{n}_mask.png", "train") for n in range(1, 6)],
        ["valid/9_sat.jpg", "test/10_sat.jpg"]
    ),
    "drive": drive,
    "chase_db1": lambda: (
        [(f"Image_{n:02d}{side}.jpg", f"Image_{n:02d}{side}_1stHO.png", None) for n in (1, 2, 3) for side in "LR"],
        [f"Image_{n:02d}{side}_2ndHO.png*" for n in (1, 2, 3) for side in "LR"],
    ),
    "hrf": lambda: plain(
        "images/{n:02d}_dr.jpg", "manual1/{n:02d}_dr.tif",
        rest=[f"mask/{n:02d}_dr_mask.tif*" for n in (1, 2, 3, 7, 10, 12)]
    ),
    "deepcrack": lambda: spelled("{s}_img/{n}.jpg", "{s}_lab/{n}.png", {"train": "train", "test": "test"}),
    "crack500": lambda: plain("2016022{n}_0810.jpg", "2016022{n}_0810_mask.png"),
    "magnetic tiles": lambda: (
        [(f"MT_{kind}/Imgs/exp{n}_num_{n}8.jpg", f"MT_{kind}/Imgs/exp{n}_num_{n}8.png", None)
         for n, kind in enumerate(("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven"))], [],
    ),
    "jpg beside png": lambda: plain("{n}.jpg", "{n}.png", rest=["readme.txt", "Thumbs.db", ".DS_Store", "._1.jpg"]),
    "jpg beside png, a folder a class": lambda: plain("cat/{n}.jpg", "cat/{n}.png", rest=["readme.md"]),
    "busi": lambda: (
        [(f"{kind}/{kind} ({n}).png", f"{kind}/{kind} ({n})_mask.png", None)
         for kind in ("benign", "malignant") for n in (1, 2, 13)], [],
    ),
    "lgg mri": lambda: (
        [(f"kaggle_3m/TCGA_CS_{p}_2000/TCGA_CS_{p}_{n}.tif", f"kaggle_3m/TCGA_CS_{p}_2000/TCGA_CS_{p}_{n}_mask.tif",
          None)
         for p in (4941, 4942, 4943) for n in (1, 2)], ["kaggle_3m/data.csv", "kaggle_3m/README.md"],
    ),
    "carvana": lambda: (
        [(f"train/fff9b3_{n:02d}.jpg", f"train_masks/fff9b3_{n:02d}_mask.gif", "train") for n in range(1, 6)],
        ["test/0004d4_01.jpg", "logo.png"],
    ),
    "vaihingen": lambda: plain("top/top_mosaic_09cm_area{n}.tif", "gts_for_participants/top_mosaic_09cm_area{n}.tif"),
    "potsdam": lambda: plain("2_Ortho_RGB/top_potsdam_2_{n}_RGB.tif", "5_Labels_all/top_potsdam_2_{n}_label.tif"),
    "inria": lambda: (
        [(f"AerialImageDataset/train/images/austin{n}.tif", f"AerialImageDataset/train/gt/austin{n}.tif", "train")
         for n in range(1, 6)],
        ["AerialImageDataset/test/images/bellingham1.tif"],
    ),
    "kitti": lambda: (
        [(f"training/image_2/{n:06d}_10.png", f"training/semantic/{n:06d}_10.png", "train") for n in range(5)],
        [f"training/{kind}/{n:06d}_10.png*" for n in range(5) for kind in ("semantic_rgb", "instance")],
    ),
    "bdd100k": lambda: (
        [(f"seg/images/{s}/{n}e-ca.jpg", f"seg/labels/{s}/{n}e-ca_train_id.png", s)
         for n, s in numbers() if s != "test"],
        [f"seg/color_labels/{s}/{n}e-ca_train_color.png*" for n, s in numbers() if s != "test"],
    ),
    "suim": lambda: spelled("{s}/images/d_r_{n}_.jpg", "{s}/masks/d_r_{n}_.png",
                            {"train": "train_val", "test": "TEST"}),
    "uavid": lambda: (
        [(f"uavid_{s}/seq{n}/Images/{k:06d}.png", f"uavid_{s}/seq{n}/Labels/{k:06d}.png", s)
         for n, s in numbers() if s != "test" for k in (0, 1)], ["uavid_test/seq9/Images/000000.png"],
    ),
    "whu buildings": lambda: plain("{s}/Image/{n}.tif", "{s}/Mask/{n}.tif", True),
    "numbers after words in one folder": lambda: plain("image_{n}.png", "mask_{n}.png"),
    "splits in names": lambda: (
        [(f"images/{n}_{s}.png", f"masks/{n}_manual1.png", {"training": "train", "test": "test"}[s])
         for n,
         s in ((21, "training"), (22, "training"), (23, "training"), (24, "training"), (1, "test"), (2, "test"))], [],
    ),
    "unknown words": lambda: plain("stills/{n}.png", "polygons_drawn/{n}.png"),
    "splits on one side": lambda: (
        [(f"images/{s}/{n}.jpg", f"masks/{n}.png", s) for n, s in numbers()], []
    ),
}  # fmt: skip


def build(root: Path, layout: Layout) -> list[tuple[str, str, str | None]]:
    """Draw all files; the pairs that are to be found."""
    pairs, rest = layout
    for index, (image, truth, _) in enumerate(pairs):
        draw(root / image, index)
        if truth:
            mask(root / truth, index)
    for index, name in enumerate(rest):
        if name.endswith("*"):
            mask(root / name[:-1], index, "color" in name or "rgb" in name)
        else:
            draw(root / name, 100 + index)
    return sorted((image, truth, split) for image, truth, split in pairs if truth)


def told(records: Sequence[Record], root: Path) -> list[tuple[str, str, str | None]]:
    return sorted((r.image.relative_to(root).as_posix(), r.mask.relative_to(root).as_posix(), r.split) for r in records)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_is_recognised_as_it_comes(name: str, tmp_path: Path) -> None:
    expected = build(tmp_path, LAYOUTS[name]())
    config = DataConfig(root=str(tmp_path))
    assert told(list_records(config).records, tmp_path) == expected
    found = audit(config, cheap_only=True)
    assert found.reader == "folders" and found.num_images == len(expected)
    with_splits = {split for _, _, split in expected} - {None}
    opened = open_dataset(config)
    sizes = {split: sum(one == split for _, _, one in expected) for split in SPLITS}
    ours = opened.dataset.sizes()
    assert sum(ours.values()) == len(expected)
    assert not with_splits or (ours["test"] == sizes["test"] and ("val" not in with_splits or ours == sizes))
    opened.store.close()


def damaged(root: Path, layout: Layout, kind: str) -> set[tuple[str, str]]:
    """The pairs that are still true after something happened to the folder."""
    truth = [(image, mask) for image, mask, _ in build(root, layout)]
    image, truth_of_it = truth[len(truth) // 2]
    if kind == "a mask is gone":
        (root / truth_of_it).unlink()
    elif kind == "an image is gone":
        (root / image).unlink()
    elif kind == "a mask is another picture's":
        folder, _, name = truth_of_it.rpartition("/")
        number = max(re.findall(r"\d+", name), key=len, default=None) or max(re.findall(r"\d+", folder), key=len)
        path = root / folder.replace(number, "777") / re.sub(r"\d+", "777", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        (root / truth_of_it).rename(path)
    else:
        draw(root / Path(image).with_name("stray_5.png"), 5)
        mask(root / Path(truth_of_it).with_name("other_6.png"), 6)
        return set(truth)
    return {pair for pair in truth if pair != (image, truth_of_it)}


@pytest.mark.parametrize("kind", ["a mask is gone", "an image is gone", "a mask is another picture's", "strays"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_damaged_is_refused_or_partly_read_and_never_paired_wrongly(
    name: str, kind: str, tmp_path: Path
) -> None:
    still = damaged(tmp_path, LAYOUTS[name](), kind)
    whole, refusal = True, ""
    try:
        listing = list_records(DataConfig(root=str(tmp_path)))
    except PartialListing as partial:
        listing, whole = partial.listing, False
    except DataError as refused:
        listing, refusal = None, str(refused)
    if listing is None:
        assert "--data.images" in refusal or "pairs.csv" in refusal
        return
    found = {(image, truth) for image, truth, _ in told(listing.records, tmp_path)}
    assert found <= still
    if whole and kind != "strays":  # what is left out is said
        assert found == still and listing.notes


# what the two folders (or patterns) are called, of layouts whose folders a person names
NAMED: dict[str, tuple[str, str]] = {
    "mmseg": ("img_dir", "ann_dir"),
    "cityscapes": ("leftImg8bit", "gtFine/**/*_labelIds.png"),
    "train_images, train_segmentations": ("*_images", "*_segmentations"),
    "drive": ("*/images", "*/1st_manual"),
    "splits in names": ("images", "masks"),
    "jpg beside png, a folder a class": ("cat", "cat"),
    "magnetic tiles": (".", "."),
    "busi": ("*", "*/*_mask.png"),
    "camvid in one folder": (".", "*_L.png"),
    "a folder an image": ("**/*_image.bmp", "**/*_lesion.bmp"),
    "chase_db1": ("*.jpg", "*_1stHO.png"),
}


@pytest.mark.parametrize("name", NAMED)
def test_folders_or_patterns_may_be_named_and_splits_stay(name: str, tmp_path: Path) -> None:
    expected = build(tmp_path, LAYOUTS[name]())
    images, masks = NAMED[name]
    listing = list_records(DataConfig(root=str(tmp_path), images=images, masks=masks))
    assert told(listing.records, tmp_path) == expected
    assert "as named" in listing.reason


# files, what is refused, and how many commands it offers
UNCLEAR = {
    "two kinds of masks": (
        ["images/{n}.jpg", "labels/{n}.png*", "masks/{n}.png*"],
        "one folder of masks; got labels and masks",
        2,
    ),
    "two annotators": (
        ["images/{n}.jpg", "labels-ah/{n}.png*", "labels-vk/{n}.png*"],
        "got labels-ah and labels-vk",
        2,
    ),
    "two annotators in one folder": (
        ["images/{n}.jpg", "masks/{n}_ann.png*", "masks/{n}_bob.png*"],
        "got masks/*_ann.png and",
        2,
    ),
    "two annotators in folders of scenes": (
        ["images/s{n}/{n}.jpg", "masks/s{n}/{n}_ann.png*", "masks/s{n}/{n}_bob.png*"],
        "_ann.png and",
        2,
    ),
    "two cameras": (["im/left_rgb/{n}.jpg", "im/right_rgb/{n}.jpg", "masks/{n}.png*"], "one folder of images", 2),
    "two folders of photographs": (["a/{n}.jpg", "b/{n}.jpg"], "a/ (6 images) and b/ (6 images)", 1),
    "two folders of masks": (["a/{n}.png*", "b/{n}.png*"], "a/ (6 images) and b/ (6 images)", 1),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_is_unclear_is_asked_with_flags_that_work(case: str, tmp_path: Path) -> None:
    names, words, offered = UNCLEAR[case]
    build(tmp_path, ([], [name.format(n=n) for n in (1, 2, 3, 7, 10, 12) for name in names]))
    with pytest.raises(DataError) as refused:
        list_records(DataConfig(root=str(tmp_path)))
    assert words in str(refused.value)
    sentence = str(refused.value).replace(" A --data.masks B", "")
    found = re.findall(r"--data\.images (\S+) --data\.masks (\S+?)(?:,| or |$)", sentence)
    pairs = [[shlex.split(word)[0] for word in pair] for pair in found]
    assert len(pairs) == offered
    for images, masks in pairs:
        assert len(list_records(DataConfig(root=str(tmp_path), images=images, masks=masks)).records) == 6


def test_a_folder_of_data_sets_is_none(tmp_path: Path) -> None:
    """Their classes may mean different things; and a description inside is not passed over."""
    for name in ("cats", "dogs"):
        build(tmp_path / name, plain("images/{n}.jpg", "masks/{n}.png"))
        (tmp_path / name / "pairs.csv").write_text("image,mask\nimages/1.jpg,masks/1.png\n")
    with pytest.raises(DataError, match=f"it holds cats and dogs with a pairs.csv .* --data {tmp_path}/cats"):
        list_records(DataConfig(root=str(tmp_path)))


def test_masks_told_by_their_look_are_said_to_be(tmp_path: Path) -> None:
    build(tmp_path, LAYOUTS["unknown words"]())
    (note,) = list_records(DataConfig(root=str(tmp_path))).notes
    assert note == "polygons_drawn/ is taken for the masks, because its pictures hold few colours"
