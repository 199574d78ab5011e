"""Networks, losses and augmentations of a person's own: from Python, as FILE.py:NAME, and what becomes of a run without
them.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import maskwright as mw
import own_code
from maskwright import custom
from maskwright.config.data import DataConfig
from maskwright.data.in_memory import pairs_folder
from maskwright.data.opening import open_dataset
from maskwright.errors import ConfigError, MaskwrightError, ModelError, RunError, UsageError
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from support import copy_of, data, discs, finished, maskwright, noise, picture

OWN = Path(own_code.__file__)
FAST = {"epochs": 1, "batch_size": 2, "lr": 1e-3, "progress": False, "size": 32, "train.repeats": 1, "log": "csv",
        "devices": "cpu", "precision": "fp32", "data.view": "whole"}  # fmt: skip
WORDS = ("--epochs", 1, "--batch-size", 2, "--lr", 0.001, "--size", 32, "--train.repeats", 1, "--log", "csv",
         "--data.view", "whole", "--devices", "cpu", "--precision", "fp32")  # fmt: skip


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch, tmp_path):
    """Nothing handed over before, no code named before."""
    forget_all(monkeypatch, tmp_path / "state")


def forget_all(patch, state):
    for name in ("_objects", "_modules"):
        patch.setattr(custom, name, {})
    patch.setattr(custom, "_named", set())
    patch.setattr(custom, "trust_code", False)
    patch.setenv("XDG_STATE_HOME", str(state))


def forgotten(record=True):
    """What a process that ended, and with `record` another machine, knows: nothing."""
    custom._objects.clear(), custom._modules.clear(), custom._named.clear()
    if record:
        shutil.rmtree(custom._record_folder(), ignore_errors=True)


def ten_lines():
    class Tiny(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Conv2d(3, 4, 3, padding=1)
            self.two = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.two(self.one(x).relu())

    return Tiny()


def of_torchvision():
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)


def of_smp():
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(16, 8, 4), classes=1)


@pytest.mark.parametrize("make", [ten_lines, of_torchvision, of_smp])
def test_any_module_is_trained_scored_and_opened_again_by_handing_it_over(make, tmp_path, capsys):
    torch.manual_seed(0)
    module = make()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = mw.train(data(), model=module, out=tmp_path / "run", **{**FAST, "progress": True})
    told = " ".join(capsys.readouterr().err.split())
    assert "cannot be imported again: opening this run later needs mw.open(RUN, model=…)" in told
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert 0 <= run.evaluate("val").summary.metrics["iou"] <= 1  # which settles the temperature of probabilities, too
    probabilities = run.predict(noise(21, 33)).probabilities
    assert probabilities.shape == (2, 21, 33)
    forgotten()
    with pytest.raises(ConfigError, match=r"`model`: .* was handed over in Python .* mw.open\(RUN, model=…\)"):
        mw.train(data(), weights=str(run.root), out=tmp_path / "other", **FAST)
    opened = mw.open(run.root, model=make())
    assert np.abs(opened.predict(noise(21, 33)).probabilities - probabilities).max() < 1e-6
    with pytest.raises(RunError, match="must hold the weights of this run's model"):
        mw.open(run.root, model=nn.Conv2d(3, 2, 5, padding=2)).predict(noise(21, 33))


def test_a_module_keeps_the_weights_it_was_handed_over_with(tmp_path):
    module = ten_lines()
    with torch.no_grad():
        module.two.bias.fill_(7.0)
    run = mw.train(data(), model=module, out=tmp_path / "run", **{**FAST, "lr": 1e-9, "optim.name": "sgd"})
    assert Run(run.root).config.model.weights == "given"
    opened = mw.open(run.root)
    from maskwright.prediction import Predictor

    assert torch.allclose(Predictor.from_run(opened).model.net.net.two.bias, torch.tensor(7.0), atol=1e-3)


def test_other_processes_of_a_training_have_what_was_handed_over(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))  # where nothing can be remembered
    keys = {**FAST, "train.num_devices": 2, "loss": own_code.loss, "batch_size": 4}
    run = mw.train(data(), model=own_code.Net(), out=tmp_path / "run", **keys)
    assert len(run.history) == 1
    with pytest.raises(UsageError, match="must be such that other processes can import it"):
        mw.train(data(), model=ten_lines(), out=tmp_path / "local", **keys)


def test_sides_are_found_by_trying_and_smaller_answers_enlarged(tmp_path):
    from maskwright.models.custom import CustomNet

    assert (CustomNet(ten_lines(), 3, 2).stride, CustomNet(own_code.Net(), 3, 2).stride) == (1, 8)
    quarter = CustomNet(nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 2, 1)), 3, 2)
    assert (quarter.stride, quarter(torch.zeros(1, 3, 8, 12)).shape) == (4, (1, 2, 8, 12))
    deep = nn.Sequential(nn.Conv2d(3, 2, 4, 4), nn.InstanceNorm2d(2), nn.Upsample(scale_factor=4))
    assert CustomNet(deep, 3, 2).smallest >= 4


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (nn.Conv2d(3, 5, 1), "must be a network with 2 outputs, one a class; got 5"),
        (nn.Flatten(), "must be a network that gives logits N K H W"),
        (nn.Conv2d(4, 2, 1), "must be a network that takes images of any size"),
        (lambda: 3, "must be an nn.Module, or a class or function that gives one; got int"),
        (own_code.loss, "must be arguments that loss takes"),
        (3, "must be a name, an nn.Module, or what gives one; got int"),
    ],
)
def test_what_is_no_such_network_is_one_sentence_and_leaves_no_folder(model, told, tmp_path):
    with pytest.raises(MaskwrightError, match=told) as refused:
        mw.train(data(), model=model, out=tmp_path / "run", **FAST)
    assert "\n" not in str(refused.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("freeze", ["encoder", "head"])
def test_parts_are_frozen_where_there_are_any(freeze, tmp_path):
    with pytest.raises(
        ConfigError, match=f"must be about a part with weights; got {freeze}, and this network's are none"
    ):
        mw.train(data(), model=ten_lines(), out=tmp_path / "run", **FAST, **{"optim.freeze": freeze})
    mw.train(data(), model=own_code.Net, out=tmp_path / "run", **FAST, **{"optim.freeze": freeze})


# ------------------------------------------------------------------ FILE.py:NAME


def write_code(folder):
    """A person's code, and a YAML that names it beside it."""
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "helper.py").write_text("WIDTH = 5\n")
    text = OWN.read_text().replace("width=4", "width=WIDTH")
    (folder / "mine" / "net.py").write_text(f"from helper import WIDTH\n{text}")
    (folder / "mine" / "my.yaml").write_text(
        "model: {source: net.py:Net}\nloss: [ce, {source: net.py:loss, weight: 0.5}]\n"
        "augment: [hflip, {source: net.py:jitter, options: {amount: 3}}]\n".replace("hflip", "{name: hflip}")
    )


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A person's folder with their code."""
    write_code(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("helper", None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A person's folder with one run of their code, a copy of all that, and what was named meanwhile."""
    root = tmp_path_factory.mktemp("person")
    write_code(root / "folder")
    with pytest.MonkeyPatch.context() as patch:
        forget_all(patch, root / "folder" / "state")
        patch.chdir(root / "folder")
        done = maskwright("train", "mine/my.yaml", "--data", data(), *WORDS, "--out", "run")
        named = set(custom._named)
    assert done.code == 0, done.err
    sys.modules.pop("helper", None)
    shutil.copytree(root / "folder", root / "kept")
    return root / "folder", root / "kept", named


@pytest.fixture
def folder(trained, monkeypatch):
    """A person's folder: their code, a YAML that names it beside it, and one run of it, which holds their places."""
    place, kept, named = trained
    shutil.rmtree(place)
    shutil.copytree(kept, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.setattr(custom, "_named", set(named))
    yield place
    sys.modules.pop("helper", None)


def test_in_yaml_it_is_relative_to_the_file_and_a_run_keeps_place_and_hash(folder):
    config, net = Run(folder / "run").config, folder / "mine" / "net.py"
    named = config.custom_code()
    assert list(named) == ["model", "loss.1", "augment.1"]
    assert {code.source.rpartition(":")[0] for code in named.values()} == {str(net)}
    assert {code.hash for code in named.values()} == {custom._digest(net.read_bytes())}
    assert not list(folder.rglob("*.py[co]")) or not list((folder / "mine").rglob("net*.pyc"))


def test_another_process_opens_resumes_and_scores_it_without_more_words(folder):
    forgotten(record=False)
    assert maskwright("predict", "run", data() / "images", "--out", "out").code == 0
    assert maskwright("evaluate", "run", "--split", "val", "--json").json["images"] == 2
    assert maskwright("report", "run", "--split", "val").code == 0
    (folder / "run" / "model.safetensors").unlink()
    shutil.rmtree(folder / "run" / "checkpoints")
    (folder / "run" / "checkpoints").mkdir()
    assert maskwright("train", "--resume", "run").code == 0


@pytest.mark.parametrize(
    "command", [("predict", "run", "x.png", "--out", "out"), ("evaluate", "run", "--split", "val")]
)
def test_code_that_is_missing_or_differs_is_one_sentence(command, folder):
    forgotten(record=False)
    net = folder / "mine" / "net.py"
    text = net.read_text()
    net.write_text(text + "# a remark\n")
    refused = maskwright(*command)
    assert refused.code == 2 and "net.py:Net is no longer what the run was trained with" in refused.sentence
    net.unlink()
    refused = maskwright(*command)
    assert refused.code == 2 and f"must name code that is there; {net} is missing" in refused.sentence
    net.write_text(text)
    assert maskwright("evaluate", "run", "--split", "val").code == 0


EVIL = "from pathlib import Path\nPath({mark!r}).touch()\ndef Net(**_): Path({mark!r}).touch()\n"


@pytest.mark.parametrize("key", ["model", "loss", "augment"])
@pytest.mark.parametrize("where", ["a file in the run", "a module of Python's own"])
def test_nothing_a_run_names_is_executed_unless_somebody_named_it_here(key, where, folder):
    """A run may come from anybody: its text may name a file in it, or any function there is with any arguments."""
    run, mark = copy_of(folder / "run", folder / "theirs"), folder / "executed"
    evil = run / "evil.py"
    evil.write_text(EVIL.format(mark=str(mark)))
    source, options = (f"{evil}:Net", {}) if "file" in where else ("os:mkdir", {"path": str(mark)})
    digest = custom._digest((evil if "file" in where else Path(sys.modules["os"].__file__)).read_bytes())
    config = Run(run).config
    at = next(name for name in config.custom_code() if name.startswith(key))
    changed = config.replace({f"{at}.source": source, f"{at}.options": options, f"{at}.hash": digest})
    Run(run).write_config(changed, {})
    forgotten()
    maskwright("train", "mine/my.yaml", "--data", data(), *WORDS, "--out", "again")  # the rest of it is named here
    (run / "model.safetensors").rename(folder / "kept")
    resumed = maskwright("train", "--resume", run)
    (folder / "kept").rename(run / "model.safetensors")
    told = [
        resumed,
        maskwright("predict", run, data() / "images", "--out", "out"),
        maskwright("evaluate", run, "--split", "val"),
    ]
    told += [maskwright("train", "--data", data(), "--weights", run, *WORDS, "--out", "new")] if key == "model" else []
    needed = {"model": told, "loss": [told[0], told[2]], "augment": told[:1]}[key]
    for outcome in needed:
        assert outcome.code == 2 and "which nobody has named on this machine" in outcome.sentence
        assert "add --trust-code to the command" in outcome.sentence
    assert not mark.exists()
    Run(run).write_config(changed.replace({f"{at}.hash": None}), {})
    assert "must be as it was written" in maskwright("predict", run, data() / "images", "--out", "out").sentence
    assert not mark.exists()


def test_trusted_once_it_is_known(folder):
    forgotten()
    words = ("evaluate", "run", "--split", "val")
    assert "which nobody has named" in maskwright(*words).sentence
    assert maskwright(*words, "--trust-code").code == 0
    forgotten(record=False)
    assert maskwright(*words).code == 0


def test_a_comparison_of_somebody_else_executes_nothing(folder):
    text = json.dumps(
        {"base": {"data": {"root": str(data())}, "train": {"epochs": 1}}, "matrix": {"model": ["mine/net.py:Net"]}}
    )
    (folder / "compare.yaml").write_text(text)
    assert maskwright("compare", "compare.yaml", *WORDS[2:], "--out", "compared").code == 0
    assert maskwright("compare", "compared").code == 0
    forgotten()
    assert "which nobody has named on this machine" in maskwright("compare", "compared").sentence


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "nowhere.py:Net"), "must name code that is there; {cwd}/nowhere.py is missing"),
        (("--model", "no.such.module:Net"), "must name code that is there; no.such.module is missing"),
        (("--model", "mine/net.py:Nett"), "Did you mean 'Net'?"),
        (("--loss", "mine/broken.py:x"), "fails with ZeroDivisionError: division by zero"),
        (("--model", "mine/net.py:Net", "--model.options", "{depth: 3}"), "must be arguments that Net takes"),
        (("--loss", "[{source: mine/net.py:loss, options: {a: 3}}]"), "unexpected keyword argument 'a'"),
        (("--loss", "mine/net.py:jitter"), "jitter, which fails with AttributeError"),
        (
            ("--loss", "mine/net.py:each"),
            "must be a loss that gives one number, a tensor without axes; got a tensor of (2,)",
        ),
        (("--augment", "mine/net.py:loss"), "must be a transform that works on these inputs"),
        (("--augment", "mine/net.py:enlarge"), "must give inputs of 32x32, which is data.size"),
        (("--augment", "mine/net.py:floats"), "must give images of uint8; got float64"),
        (("--model", "mine/net.py"), "`model.source` must be FILE.py:NAME"),
    ],
)
def test_code_that_cannot_be_used_is_one_sentence(words, told, code):
    with (code / "mine" / "net.py").open("a") as file:
        file.write("\ndef enlarge(image, mask):\n    return image.repeat(2, 0), mask.repeat(2, 0)\n")
        file.write("\ndef each(logits, masks):\n    return logits.mean((1, 2, 3))\n")
        file.write("\ndef floats(image, mask):\n    return image / 255, mask\n")
    (code / "mine" / "broken.py").write_text("x = 1 / 0\n")
    refused = maskwright("train", "--data", data(), *WORDS, *words, "--out", "new")
    assert refused.code == 2 and told.format(cwd=code) in refused.sentence
    assert not (code / "new" / "model.safetensors").exists()


# ------------------------------------------------------------------ losses and augmentations from Python


def test_losses_and_steps_are_handed_over_and_steps_follow_from_the_sample_alone(tmp_path):
    import albumentations

    compose = albumentations.Compose(
        [albumentations.HorizontalFlip(p=0.5), albumentations.RandomBrightnessContrast(p=1)]
    )

    def flip(image, mask):
        return (image[:, ::-1], mask[:, ::-1]) if np.random.random() < 0.5 else (image, mask)

    def darker(image, mask, rng):
        return image // 2 + np.uint8(rng.integers(9)), mask

    own = {"loss": ["dice", nn.CrossEntropyLoss(weight=torch.tensor([0.3, 0.7]), ignore_index=255)],
           "augment": [{"name": "hflip"}, compose, flip, darker]}  # fmt: skip
    histories = []
    for name, workers in (("a", 0), ("b", 2)):
        np.random.seed(len(histories))  # what is drawn elsewhere changes nothing
        keys = {**FAST, "epochs": 2, "train.workers": workers, **own}
        run = mw.train(data(), model=own_code.Net, out=tmp_path / name, **keys)
        histories.append([(row["train_loss"], row["val_loss"]) for row in run.history])
    assert histories[0] == histories[1]
    forgotten(record=False)
    with pytest.raises(ConfigError, match=r"mw.open\(RUN, loss=…\)"):
        mw.open(run.root).evaluate("val")
    with pytest.raises(UsageError, match="needs 1 object there; got 2 objects"):
        mw.open(run.root, loss=own["loss"])
    assert mw.open(run.root, loss=own["loss"][1]).evaluate("val").loss == pytest.approx(histories[1][-1][1], rel=0.5)


def test_classes_that_an_import_finds_again_are_kept_by_their_place(tmp_path):
    run = mw.train(data(), model=own_code.Net, loss=own_code.loss, out=tmp_path / "run", **FAST)
    named = run.config.custom_code()
    assert [code.source for code in named.values()] == [f"{OWN}:Net", f"{OWN}:loss"]
    forgotten(record=False)
    assert run.evaluate("val")


def test_package_and_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {"model": "segmentation_models_pytorch.decoders.unet.model:Unet", "loss": "torch.nn:CrossEntropyLoss"}
    options = {"encoder_weights": None, "encoder_name": "resnet18", "encoder_depth": 3, "decoder_channels": [8, 8, 4]}
    run = mw.train(data(), **keys, **{"model.options": options}, out=tmp_path / "run", **FAST)
    assert run.config.model.source == keys["model"] and run.config.model.hash
    forgotten(record=False)
    assert run.evaluate("val")


def test_a_package_of_the_same_name_elsewhere_is_not_what_was_named(tmp_path, monkeypatch):
    """Its module may have the very same text and bring another `__init__.py`."""
    for name, init in (
        ("mine", ""),
        ("theirs", f"from pathlib import Path\nPath({str(tmp_path / 'executed')!r}).touch()\n"),
    ):
        (tmp_path / name / "own_package").mkdir(parents=True)
        (tmp_path / name / "own_package" / "net.py").write_text(OWN.read_text())
        (tmp_path / name / "own_package" / "__init__.py").write_text(init)
    monkeypatch.chdir(tmp_path / "mine")
    done = maskwright("train", "--data", data(), *WORDS, "--model", "own_package.net:Net", "--out", tmp_path / "run")
    assert done.code == 0 and maskwright("evaluate", tmp_path / "run", "--split", "val").code == 0
    for module in ("own_package", "own_package.net"):
        sys.modules.pop(module)
    monkeypatch.chdir(tmp_path / "theirs")
    assert (
        "which nobody has named on this machine" in maskwright("evaluate", tmp_path / "run", "--split", "val").sentence
    )
    assert not (tmp_path / "executed").exists()


def test_weights_of_your_own_code_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(own_code.Net().state_dict(), "net.pth")
    done = maskwright(
        "predict", "--model", f"{OWN}:Net", "--weights", "net.pth", data() / "images", "--size", 32, "--out", "out"
    )
    assert done.code == 0, done.err


def test_a_model_given_as_unlike_objects_makes_unlike_runs(tmp_path):
    first, second = (mw.train(data(), model=ten_lines(), out=tmp_path / name, **FAST) for name in "ab")
    assert first.config.model.source != second.config.model.source
    with pytest.raises(UsageError, match="needs none there"):
        mw.open(first.root, loss=own_code.loss)
    with pytest.raises(ModelError):
        mw.open(first.root, model=lambda: 3).predict(noise(9, 9))


# ------------------------------------------------------------------ data sets


def pairs(count=8, size=(32, 40)):
    found = [discs(*size, seed) for seed in range(count)]
    return [(image, (mask > 0).astype(np.uint8)) for image, mask in found]


class AsTensors(torch.utils.data.Dataset):
    """As torchvision's ToTensor gives images: bands first, floats from 0 to 1; masks of int64."""

    def __init__(self, given):
        self.given = given

    def __len__(self):
        return len(self.given)

    def __getitem__(self, index):
        image, mask = self.given[index]
        return torch.from_numpy(image).permute(2, 0, 1).float() / 255, torch.from_numpy(mask).long()


class AsDicts(AsTensors):
    def __getitem__(self, index):
        return dict(zip(("image", "mask"), super().__getitem__(index), strict=True))


def as_paths(given, folder):
    return [
        (str(picture(folder / f"a/{index}.png", image)), picture(folder / f"b/{index}-label.png", mask))
        for index, (image, mask) in enumerate(given)
    ]


def test_a_list_of_arrays_a_torch_dataset_and_a_list_of_paths_are_the_same_data(tmp_path, monkeypatch):
    given = pairs()
    as_pillow = [(Image.fromarray(image), Image.fromarray(mask)) for image, mask in given]
    forms = {"arrays": given, "tensors": AsTensors(given), "dicts": AsDicts(given), "pillow": as_pillow,
             "paths": as_paths(given, tmp_path / "files")}  # fmt: skip
    found = {}
    for name, form in forms.items():
        opened = open_dataset(DataConfig(root=str(pairs_folder(form, tmp_path / name))))
        assert opened.dataset.reader == "csv"
        for index, (image, mask) in enumerate(given):
            seen, labels = opened.store.get(index)
            assert np.array_equal(seen, image) and np.array_equal(labels, mask)
        found[name] = opened.dataset.fingerprint
    assert len({found[name] for name in ("arrays", "tensors", "dicts", "pillow")}) == 1
    monkeypatch.chdir(tmp_path)
    assert str(mw.check(given)) == str(mw.check(AsTensors(given)))


def test_a_run_of_arrays_is_scored_and_resumed_in_another_process(tmp_path):
    given, keys = pairs(), {**FAST, "epochs": 1}
    run = mw.train(AsTensors(given), model="unet", out=tmp_path / "run", **keys, **{"model.width": 2, "model.depth": 1})
    again = mw.train(given, model="unet", out=tmp_path / "again", **keys, **{"model.width": 2, "model.depth": 1})
    assert run.data["fingerprint"] == again.data["fingerprint"]
    assert len(list(tmp_path.glob("data-*"))) == 1 and not list(tmp_path.glob(".data-*"))
    assert maskwright("evaluate", tmp_path / "run", "--split", "val").code == 0
    other = [(image, 1 - mask) for image, mask in given]
    assert mw.train(other, model="unet", out=tmp_path / "other", **keys).data["fingerprint"] != run.data["fingerprint"]


def test_groups_stay_together_and_depth_is_kept(tmp_path):
    given = [(image, mask, f"patient {index // 3}") for index, (image, mask) in enumerate(pairs(9))]
    opened = open_dataset(DataConfig(root=str(pairs_folder(given, tmp_path))))
    sides = {item.record.group: set() for item in opened.dataset.items}
    for item in opened.dataset.items:
        sides[item.record.group].add(item.record.split)
    assert len(sides) == 3 and all(len(splits) == 1 for splits in sides.values())
    for kind in (np.uint16, np.float32, np.float64):
        for bands in ((), (5,)):
            deep = [
                (np.random.default_rng(0).uniform(0, 3000, (20, 24, *bands)).astype(kind), mask[:20, :24])
                for _, mask in pairs(4)
            ]
            found = open_dataset(DataConfig(root=str(pairs_folder(deep, tmp_path / "deep"))))
            assert found.dataset.bands.low and found.dataset.bands.num_channels == (5 if bands else 3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "must hold at least one pair of image and mask"),
        ([(np.zeros((4, 4, 3), np.uint8),)], "number 0 is tuple"),
        ([np.zeros((4, 4, 3), np.uint8)], "number 0 is ndarray"),
        (7, "must be a folder, a list of pairs"),
        ([(np.zeros((3, 8, 9), np.uint8), np.zeros((8, 9), int))], "image 0 of `data` is 3 × 8 × 9 but its mask 8 × 9"),
        (
            [(np.zeros((8, 9, 3), np.uint8), np.full((8, 9), -1))],
            "mask 0 of `data` must hold whole numbers from 0 to 65535",
        ),
        ([(np.zeros((8, 9, 3), np.uint8), np.full((8, 9), 0.5))], "must hold whole numbers"),
        ([(np.zeros((8, 9, 3), np.uint8), np.full((8, 9), np.nan))], "must hold whole numbers"),
        ([(np.zeros((8, 9, 3), complex), np.zeros((8, 9), int))], "got complex128 of 8 × 9 × 3"),
        ([("nowhere.png", "neither.png")], "nowhere.png is not there"),
    ],
)
def test_what_is_no_data_set_is_one_sentence_and_leaves_nothing(given, told, tmp_path):
    with pytest.raises(MaskwrightError, match=re.escape(told)) as refused:
        mw.train(given, model="unet", out=tmp_path / "run", **FAST)
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".data-*"))


# ------------------------------------------------------------------ notebooks


def test_history_is_a_data_frame_and_counts_are_arrays(tmp_path, monkeypatch):
    run = mw.open(copy_of(finished(), tmp_path / "run"))
    frame = run.to_pandas()
    assert list(frame["epoch"]) == list(range(len(run.history)))
    assert frame["val_iou"].tolist() == [row["val_iou"] for row in run.history]
    with pytest.raises(UsageError, match=re.escape("Call run.evaluate('test').")):
        run.counts()
    scores = run.evaluate().metrics
    counts = run.counts()
    hits = counts.matrix[:, 1, 1]
    total = counts.total()
    assert total[1, 1] / (total[1].sum() + total[:, 1].sum() - total[1, 1]) == pytest.approx(scores["iou"])
    assert hits.shape == (len(counts.images),) and counts.hd95.shape == (len(hits), 2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="needs pandas"):
        run.to_pandas()


def test_the_how_to_names_what_there_is():
    """Each `run.NAME` and `.NAME` of its table, each function of `mw` and each keyword."""
    text = (Path(__file__).parents[1] / "docs/how-to/python.md").read_text(encoding="utf-8")
    run = mw.open(finished())
    assert set(re.findall(r"\brun\.(\w+)", text)) <= {*dir(run)}
    assert set(re.findall(r"\bmw\.(\w+)", text)) <= {*mw.__all__}
    for call, kind in (("evaluate", mw.Evaluation), ("counts", Counts), ("predict", mw.Prediction)):
        row = next(line for line in text.splitlines() if line.startswith(f"| `run.{call}("))
        names = set(re.findall(r"`\.(\w+)", row))
        assert names and names <= {*dir(kind), *kind.__dataclass_fields__}, row
