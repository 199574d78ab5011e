"""`maskwright data get`: what it prints, its exit codes, its progress, and Ctrl-C."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskwright.cli.get import Meter
from maskwright.data.sources import DOWNLOADS
from maskwright.data.transfer import held
from petserver import Answer, Web, pets_archives, serving, source_of
from support import PROGRAM, environment, interruptible, maskwright, wait_until

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
    size = f"{len(ARCHIVES['images.tar.gz']) / 1000:.1f} kB"
    assert lines[1].startswith(f"images.tar.gz  {size} of {size} (100 %)") and len(lines) == 5 and "\x1b" not in outcome.err
    again = maskwright("data", "get", "oxford-pet", out)
    assert again.out.startswith("Oxford-IIIT Pet is already there and complete: 7 files in images/") and len(web.asked) == 2


def test_as_json(web, tmp_path):
    told = maskwright("data", "get", "oxford-pet", tmp_path / "pets", "--json").json
    assert told["files"] == {"images": 7, "annotations": 17} and told["already"] is False
    assert told["archives"]["images.tar.gz"]["from"] == f"{web.base}/images.tar.gz"
    assert told["archives"]["images.tar.gz"]["bytes"] == len(ARCHIVES["images.tar.gz"])
    again = maskwright("data", "get", "oxford-pet", tmp_path / "pets", "--json").json
    assert again == {**told, "already": True, "archives": {name: {**told["archives"][name], "from": None} for name in ARCHIVES}}


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
        (("oxford-pets", "out"), "Did you mean oxford-pet?"),
        (("cityscapes", "out"), "`name` must be one that is known; got 'cityscapes'. Did you mean oxford-pet?"),
        (("oxford-pet",), "OUT"),
        (("oxford-pet", "out", "--tries", "0"), "`--tries` must be at least 1; got 0"),
        (("oxford-pet", "out", "--url", "ftp://host/pets"), "`--url` must be the http, https or file address of a folder"),
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
from maskwright.data.sources import DOWNLOADS, Archive, Source
DOWNLOADS["oxford-pet"] = {DOWNLOADS["oxford-pet"]!r}
from maskwright.cli import main
main(["data", "get", "oxford-pet", {str(out)!r}])
"""
    command = interruptible(sys.executable, "-c", program)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: held(out / "images.tar.gz.part") == 500, lambda: child.poll() is None, 20)
    child.send_signal(by)
    told, err = child.communicate(timeout=20)
    return child.returncode, told, err


def test_an_interrupt_exits_with_130_says_how_to_go_on_and_does_so(web, tmp_path):
    code, out, err = stopped(web, tmp_path, signal.SIGINT)
    assert code == 130 and out == "" and "Traceback" not in err
    assert err.splitlines()[-2:] == [
        f"kept in {tmp_path}: 500 bytes of images.tar.gz; the same command goes on from there",
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
        "Oxford-IIIT Pet, 811.1 MB, licence CC BY-SA 4.0, https://www.robots.ox.ac.uk/~vgg/data/pets/"
    )
    sentence = done.stderr.splitlines()[1]
    assert sentence.startswith(
        "maskwright: `oxford-pet` could not be fetched: https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz (could not be "
    )
    assert f"put them at {tmp_path / 'images.tar.gz'} and {tmp_path / 'annotations.tar.gz'}" in sentence
    assert len(done.stderr.splitlines()) == 2 and list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def metered(stream: io.StringIO, *steps: tuple[float, int]) -> str:
    """What is shown of a file of 100 MB when so many MB are there at these times."""
    clock = Clock()
    meter = Meter(stream, clock)
    for now, done in steps:
        clock.now = now
        meter.count("pets", done * 10**6, 100 * 10**6)
    return stream.getvalue()


def test_plain_lines_come_now_and_then_with_rate_and_time_left():
    shown = metered(io.StringIO(), (0, 20), (5, 25), (10, 30), (12, 40), (20, 50), (25, 100))
    assert shown.splitlines() == [
        "pets  30.0 MB of 100.0 MB (30 %)  1.0 MB/s  1 min 10 s left",  # 10 MB in 10 s: what was there before is no speed
        "pets  50.0 MB of 100.0 MB (50 %)  1.5 MB/s  33 s left",
        "pets  100.0 MB of 100.0 MB (100 %)  3.8 MB/s",  # from 25 to 100 MB in the last 20 s
    ]


def test_a_terminal_is_drawn_over():
    shown = metered(Terminal(), (0, 0), (0.05, 1), (0.1, 2), (2, 40), (4, 100))
    assert shown == (
        "\rpets  2.0 MB of 100.0 MB (2 %)  20.0 MB/s  5 s left\x1b[K"
        "\rpets  40.0 MB of 100.0 MB (40 %)  20.0 MB/s  3 s left\x1b[K"
        "\r\x1b[Kpets  100.0 MB of 100.0 MB (100 %)  25.0 MB/s\n"
    )


def test_a_remark_takes_the_drawn_line_away():
    stream = Terminal()
    meter = Meter(stream, clock := Clock())
    meter.count("pets", 0, 10)
    clock.now = 1
    meter.count("pets", 5, 10)
    meter.remark("starting over")
    clock.now = 2
    meter.count("pets", 0, 10)
    clock.now = 4
    meter.count("pets", 4, 10)
    assert stream.getvalue().endswith("\r\x1b[Kstarting over\n\rpets  4 bytes of 10 bytes (40 %)  2 bytes/s  3 s left\x1b[K")


def test_files_are_counted_as_files():
    stream = io.StringIO()
    Meter(stream, Clock()).count("verifying files", 24, 24)
    assert stream.getvalue() == "verifying files  24 of 24 (100 %)\n"


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
