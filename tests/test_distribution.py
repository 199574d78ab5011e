"""How tests are dealt to workers: files that share what they make go to one, as xdist's own grouping once silently did
not.
"""

from __future__ import annotations

import pytest

LAB = ("recipes/test_puzzle_lab.py", "recipes/test_notebooks.py", "recipes/test_run.py")


def test_files_of_a_group_go_to_one_worker_and_others_file_by_file(request: pytest.FixtureRequest) -> None:
    (conftest,) = [plugin for plugin in request.config.pluginmanager.get_plugins() if hasattr(plugin, "FileByFile")]
    scheduler = object.__new__(conftest.FileByFile)
    scheduler.config = request.config
    assert {scheduler._split_scope(f"tests/{file}::test_it[a::b]") for file in LAB} == {"puzzle-lab"}
    others = [
        scheduler._split_scope(test)
        for test in ("tests/test_runs.py::a", "tests/test_runs.py::b", "src/maskwright/errors.py::c")
    ]
    assert others[0] == others[1] != others[2]
