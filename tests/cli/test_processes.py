"""What only a process of its own can show: imports, signals, a reader that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from support import (
    PROGRAM,
    TINY,
    copy_of,
    data,
    environment,
    finished,
    leftovers,
    maskwright,
    rows,
    start,
    start_program,
    wait_until,
)

HEAVY = ("torch", "numpy", "lightning", "pydantic", "cv2", "PIL", "matplotlib", "timm")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["train", "--help"], ["evaluate", "--help"], ["config", "--help"], ["trian"]]
)
def test_help_imports_nothing_of_weight(words):
    program = f"""
import sys
from maskwright.cli import main
try:
    main({words!r})
except SystemExit:
    pass
sys.stderr.write("IMPORTED " + " ".join(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.rpartition("IMPORTED ")[2].split() == []


def test_showing_a_configuration_does_not_import_torch():
    program = """
import sys
from maskwright.cli import main
try:
    main(["config", "show", "--model", "unet/resnet34"])
finally:
    sys.stderr.write("IMPORTED " + " ".join(name for name in ("torch", "lightning") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "IMPORTED " and "resnet34" in done.stdout


def test_the_installed_program_tells_a_mistake_without_a_traceback(tmp_path):
    command = [PROGRAM, "config", "show", str(tmp_path / "my.yaml")]  # a command that need not wait for torch
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("maskwright: `CONFIG` must be a YAML file") and done.stderr.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path):
    command = [PROGRAM, "config", "show", str(tmp_path / "my.yaml"), "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ConfigError" in done.stderr


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "words", [["config", "show"], ["config", "schema"], ["--help"], ["train", "--help"], ["models"]], ids=" ".join
)
def test_a_reader_that_goes_away_is_no_error(words, buffering):
    """As in `maskwright config show | head -1`: the pipe has no reader from the start."""
    reader, writer = os.pipe()
    os.close(reader)
    env = {**environment(), **buffering}
    done = subprocess.run([PROGRAM, *words], stdout=writer, stderr=subprocess.PIPE, text=True, env=env, check=False)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (0, 1, 141)  # rich, which prints a command's help, ends with 1


def test_a_reader_of_a_plan_that_goes_away_is_no_error():
    """As in `maskwright train --plan | head -1`: what is told on the way goes to stderr, which stays."""
    reader, writer = os.pipe()
    os.close(reader)
    words = ["train", "--data", str(data()), *(str(word) for word in TINY), "--budget", "20s", "--plan"]
    done = subprocess.run(
        [PROGRAM, *words], stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), check=False
    )
    os.close(writer)
    assert done.returncode in (0, 141) and "Traceback" not in done.stderr and "maskwright: " not in done.stderr


@pytest.mark.parametrize(
    "words", [["config", "show"], ["config", "show", "--json"], ["--help"], ["--version"]], ids=" ".join
)
@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_output_that_is_not_taken_is_told(words, buffering):
    with Path("/dev/full").open("w") as full:
        env = {**environment(), **buffering}
        done = subprocess.run([PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False)
        nowhere = subprocess.run([PROGRAM, *words], stdout=full, stderr=full, env=env, check=False)
    assert done.returncode == nowhere.returncode == 2
    told = "maskwright: the output must be taken by where it goes; got: No space left on device. Free some space.\n"
    assert done.stderr == told


def test_a_size_beyond_the_memory_is_told_and_leaves_no_folder(tmp_path):
    """Refused by the system while a batch is made; the machine's other programs are left in peace."""
    large = ("--size", 8192, "--batch-size", 4096, "--epochs", 1, "--train.repeats", 9999, "--train.workers", 0)
    child = start_program(tmp_path / "log", "train", "--data", data(), *TINY, *large, "--out", tmp_path / "run")
    child.join(120)
    said = (tmp_path / "log").read_text()
    assert child.exitcode == 2 and not (tmp_path / "run").exists()
    (told,) = [line for line in said.splitlines() if line.startswith("maskwright: ")]
    assert told.startswith("maskwright: there must be enough memory") and "Traceback" not in said


def test_memory_is_limited_to_what_is_free():
    """So that what takes too much is refused, where the system would end it, or another program, without a word."""
    program = (
        "import sys; from maskwright.runtime import limit_memory, free_memory; limit_memory(0.2)\n"
        "try:\n    bytearray(free_memory() // 2)\nexcept MemoryError:\n    sys.exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


def test_a_worker_that_the_system_ends_is_told(tmp_path):
    words = (
        "--data",
        data(),
        *TINY,
        "--train.repeats",
        150,
        "--epochs",
        500,
        "--train.workers",
        1,
        "--out",
        tmp_path / "run",
    )
    child = start(tmp_path / "log", "train", *words)
    wait_until(lambda: rows(tmp_path / "run") >= 1, child.is_alive)
    for worker in psutil.Process(child.pid).children():
        worker.kill()
    child.join(60)
    said = (tmp_path / "log").read_text()
    assert child.exitcode == 2 and "Traceback" not in said
    assert "ended by the system, most likely for want of memory. Lower --train.workers" in said


def test_a_gpu_that_is_not_there_is_refused_and_leaves_no_folder(tmp_path):
    outcome = maskwright("train", "--data", data(), *TINY, "--devices", "gpu", "--epochs", 1, "--out", tmp_path / "run")
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is one")
    assert outcome.code == 2 and "no GPU was found. Choose --devices cpu" in outcome.sentence
    assert not (tmp_path / "run").exists()


def test_training_says_nothing_but_what_we_say(tmp_path):
    """Neither warnings nor remarks of libraries, which only a process that begins with them would show."""
    command = [
        PROGRAM,
        "train",
        "--data",
        str(data()),
        *TINY,
        "--epochs",
        "1",
        "--json",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["best_epoch"] == 0
    ours = (
        "data ",
        "model ",
        "plan ",
        "kept ",
        "note ",
        "epoch ",
    )
    assert [line for line in done.stderr.splitlines() if not line.startswith(ours)] == []


def test_an_interrupted_training_exits_with_130_and_goes_on_afterwards(tmp_path):
    run = tmp_path / "run"
    command = [PROGRAM, "train", "--data", str(data()), *TINY, "--epochs", "30", "--out", str(run)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    wait_until(lambda: rows(run) >= 2, lambda: child.poll() is None)
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "Traceback" not in err and "Error" not in err
    sentence = err.splitlines()[-1]
    assert sentence == f"maskwright: interrupted; go on with: maskwright train --resume {run}"
    assert out == "" and leftovers(run) == [] and not (run / "model.safetensors").exists()
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    assert rows(run) == 30


def test_an_interrupt_that_an_import_turned_into_an_error_is_told_as_one():
    """Modules of C that are being imported make errors of their own out of Ctrl-C; here a command does so."""
    program = """
import os, signal, sys, time
import maskwright.cli.names
from maskwright.cli import main

def losses(*, json: bool = False) -> None:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("numpy.core.multiarray failed to import") from None

maskwright.cli.names.losses = losses
sys.argv = ["maskwright", "losses"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "maskwright: interrupted\n")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A current folder whose modules bear the names of Python's own; each notes that it ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    for name in ("resource", "signal", "pickle", "socket", "torch", "numpy", "runpy", "maskwright"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__ + ' ')\nraise ImportError\n"
        )
    return tmp_path


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_that_is_spawned_takes_no_module_from_the_current_folder(method, hostile, tmp_path_factory):
    """As loaders' workers are on some systems, and what measures for `compare --plan`."""
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(
        "import multiprocessing, sys\n"
        "from maskwright.cli import main\n"
        "if __name__ == '__main__':\n"
        "    sys.argv = ['maskwright', '--version']\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        f"    child = multiprocessing.get_context({method!r}).Process(target=print)\n"
        "    child.start()\n"
        "    child.join()\n"
        "    sys.exit(child.exitcode)\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (hostile / "ran").exists()


def test_a_current_folder_that_was_removed_is_told(tmp_path):
    """With torch at work there, MKL ends the process without a word of ours."""
    (tmp_path / "gone").mkdir()
    line = 'cd "$0" && rmdir "$0" && "$@"'
    for words in (["train", "--data", data(), *TINY], ["data", "make", "puzzle", "x"], ["doctor"]):
        command = ["sh", "-c", line, tmp_path / "gone", PROGRAM, *map(str, words)]
        (tmp_path / "gone").mkdir(exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("maskwright: the current folder must be one that is there; it was removed")


@pytest.mark.parametrize(
    "words", [["report"], ["evaluate", "--pictures"], ["train", "--resume"]], ids=lambda words: words[0]
)
def test_settings_of_matplotlib_in_the_current_folder_are_not_taken(words, tmp_path):
    """They may be anybody's, make it start LaTeX, and a pipe would be waited for; a notebook's backend is none here."""
    run = copy_of(finished(), tmp_path / "run")
    os.mkfifo(tmp_path / "matplotlibrc")
    command = (
        [PROGRAM, words[0], *words[1:], str(run)] if words[0] == "train" else [PROGRAM, words[0], str(run), *words[1:]]
    )
    given = {**environment(), "MPLBACKEND": "module://no.such_backend"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=given, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
