"""`maskwright data get`: what it prints, its exit codes, its progress, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskwright.cli.get import _Progress
from maskwright.data.download import DOWNLOADS
from petserver import Answer, Web, pets_archives, serving, source_of
from support import PROGRAM, environment, maskwright, wait_until

ARCHIVES = pets_archives()


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    """A server of the small pets, which `oxford-pet` stands for as long."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with serving(ARCHIVES) as web:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base))
        yield web


def test_a_download_says_where_the_licence_is_and_what_comes_next(web, tmp_path):
    out = tmp_path / "pets"
    outcome = maskwright("data", "get", "oxford-pet", out)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "Oxford-IIIT Pet is complete: 7 files in images/ and 17 files in annotations/, every one as its archive has it",
        f"licence CC BY-SA 4.0, see {out / 'LICENCE.txt'}; next: maskwright check {out}",
    ]
    lines = outcome.err.splitlines()
    assert lines[0].startswith("Oxford-IIIT Pet, ") and "licence CC BY-SA 4.0" in lines[0]
    assert len(lines) == 1 and "\x1b" not in outcome.err
    again = maskwright("data", "get", "oxford-pet", out)
    assert (
        again.out.startswith("Oxford-IIIT Pet is already there and complete: 7 files in images/")
        and len(web.asked) == 2
    )


def test_as_json(web, tmp_path):
    told = maskwright("data", "get", "oxford-pet", tmp_path / "pets", "--json").json
    assert told["files"] == {"images": 7, "annotations": 17} and told["already"] is False
    assert told["archives"]["images.tar.gz"]["from"] == f"{web.base}/images.tar.gz"
    assert told["archives"]["images.tar.gz"]["bytes"] == len(ARCHIVES["images.tar.gz"])
    again = maskwright("data", "get", "oxford-pet", tmp_path / "pets", "--json").json
    assert again == {
        **told,
        "already": True,
        "archives": {name: {**told["archives"][name], "from": None} for name in ARCHIVES},
    }


def test_every_flag(web, tmp_path):
    words = ("--url", f"{web.base}/elsewhere", "--keep-archives", "--tries", 2)
    assert maskwright("data", "get", "oxford-pet", tmp_path / "pets", *words).code == 0
    assert web.asked[0][0] == "/pets/elsewhere/images.tar.gz"
    assert (tmp_path / "pets" / "images.tar.gz").read_bytes() == ARCHIVES["images.tar.gz"]
    web.otherwise = Answer(cut=9)
    outcome = maskwright("data", "get", "oxford-pet", tmp_path / "other", "--tries", 1)
    assert outcome.code == 2 and "given up after 1 try and" in outcome.sentence


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("oxford-pets", "out"), "Did you mean 'oxford-pet'?"),
        (("cityscapes", "out"), "Unknown data set 'cityscapes'. Did you mean 'oxford-pet'?"),
        (("oxford-pet",), "OUT"),
        (("oxford-pet", "out", "--tries", "0"), "`--tries` must be at least 1; got 0"),
        (
            ("oxford-pet", "out", "--url", "ftp://host/pets"),
            "`--url` must be the http, https or file address of a folder",
        ),
        (("oxford-pet", "out", "--keep-archive"), "Did you mean --keep-archives?"),
    ],
)
def test_a_mistake_is_one_sentence_and_makes_nothing(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("data", "get", *words)
    assert outcome.code == 2 and told in outcome.sentence
    assert outcome.out == "" and outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_fetched_is_one_sentence(web, tmp_path):
    web.otherwise = Answer(status=404)
    outcome = maskwright("data", "get", "oxford-pet", tmp_path, "--json")
    assert outcome.code == 2 and outcome.out == ""
    for part in (
        f"{web.base}/images.tar.gz",
        "images.tar.gz and annotations.tar.gz",
        str(tmp_path / "annotations.tar.gz"),
        "--url",
    ):
        assert part in outcome.sentence


# ------------------------------------------------------------------ Ctrl-C


def stopped(web: Web, out: Path, by: signal.Signals) -> tuple[int, str, str]:
    """A process of its own, whose `oxford-pet` is replaced by the small one, stopped when 500 bytes are there."""
    web.then(Answer(stall=500))
    program = f"""
from maskwright.data.download import DOWNLOADS, Archive, Source
DOWNLOADS["oxford-pet"] = {DOWNLOADS["oxford-pet"]!r}
from maskwright.cli import main
main(["data", "get", "oxford-pet", {str(out)!r}])
"""
    command = [sys.executable, "-c", program]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = out / "images.tar.gz.part"
    wait_until(lambda: part.is_file() and part.stat().st_size == 500, lambda: child.poll() is None, 20)
    child.send_signal(by)
    told, err = child.communicate(timeout=20)
    return child.returncode, told, err


def test_an_interrupt_exits_with_130_says_how_to_go_on_and_does_so(web, tmp_path):
    code, out, err = stopped(web, tmp_path, signal.SIGINT)
    assert code == 130 and out == "" and "Traceback" not in err
    share = 100 * 500 // len(ARCHIVES["images.tar.gz"])
    assert err.splitlines()[-2:] == [
        f"kept in {tmp_path}: {share} % of images.tar.gz; the same command goes on from there",
        "maskwright: interrupted",
    ]
    assert maskwright("data", "get", "oxford-pet", tmp_path).code == 0
    assert web.ranges == [None, "bytes=500-", None]


def test_a_killed_download_goes_on_too(web, tmp_path):
    assert stopped(web, tmp_path, signal.SIGKILL)[0] == -signal.SIGKILL
    assert maskwright("data", "get", "oxford-pet", tmp_path).code == 0
    assert web.ranges == [None, "bytes=500-", None]


def test_without_network_the_installed_program_exits_with_2(tmp_path):
    """The real addresses, through a proxy that is not there: nothing leaves this machine."""
    proxy = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [PROGRAM, "data", "get", "oxford-pet", str(tmp_path), "--tries", "1"]
    env = {key: value for key, value in environment().items() if not key.lower().endswith("_proxy")} | proxy
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[0] == (
        "Oxford-IIIT Pet, 0.8 GiB, licence CC BY-SA 4.0, https://www.robots.ox.ac.uk/~vgg/data/pets/"
    )
    sentence = done.stderr.splitlines()[1]
    assert sentence.startswith(
        "maskwright: `oxford-pet` could not be downloaded: "
        "https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz (could not be "
    )
    assert f"put them at {tmp_path / 'images.tar.gz'} and {tmp_path / 'annotations.tar.gz'}" in sentence
    assert len(done.stderr.splitlines()) == 2 and list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ progress


def counted(*steps: tuple[float, int]) -> str:
    """The line that is shown of a file of 100 MB when so many MB are there at these times."""
    progress, clock = _Progress(), Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", clock)
        for clock.now, done in steps:
            progress.count("pets", done * 10**6, 100 * 10**6)
        assert progress.counter is not None
        line = progress.counter.line(200)
    progress.stop()
    return line


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_there_before_is_no_speed():
    assert counted((0, 20), (10, 31)) == "pets, MB 12/81  58 s left  1.2 MB/s"


@pytest.mark.parametrize("words", [["data", "get", "--help"], ["data", "get", "oxford-pet", "out", "--url", "ftp://x"]])
def test_nothing_of_weight_is_imported_before_it_is_needed(tmp_path, words):
    heavy = ("torch", "numpy", "lightning", "cv2", "PIL")
    program = f"""
import sys
from maskwright.cli import main
try:
    main({words!r})
finally:
    sys.stderr.write("IMPORTED " + " ".join(name for name in {heavy!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr.rpartition("IMPORTED ")[2].split() == []
    assert list(tmp_path.iterdir()) == []
