"""Transfers that break off: no byte twice, no piece glued to another file's, and the right bytes in the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from downloading import ANNOTATIONS, ASKED_ONCE, IMAGES, QUICK, assert_complete, assert_not_begun, failing, pets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.errors import MaskwrightError
from petserver import Answer


@pytest.mark.parametrize("place", [0, 1, 2, 77, len(IMAGES) - 2, len(IMAGES) - 1])
def test_a_cut_after_any_byte_is_gone_on_with(web, tmp_path, place):
    web.then(Answer(cut=place))
    sentence = failing(tmp_path, retries=replace(QUICK, tries=1))
    assert f"broke off at {place:,} of {len(IMAGES):,} bytes" in sentence and "given up after 1 try and" in sentence
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:place]
    pets(tmp_path, retries=replace(QUICK, tries=1))
    assert_complete(tmp_path)
    assert web.ranges == [None, f"bytes={place}-" if place else None, None]
    assert web.sent == len(IMAGES) + len(ANNOTATIONS)  # no byte twice


HOW = st.builds(
    Answer,
    cut=st.integers(0, 60),
    parts=st.booleans(),
    tag=st.sampled_from(['"1"', '"2"', 'W/"1"', None]),
    modified=st.sampled_from(["Tue, 01 Jan 2013 00:00:00 GMT", "Wed, 02 Jan 2013 00:00:00 GMT", None]),
    length=st.booleans(),
    status=st.sampled_from([None, None, None, 503]),
)


LYING = st.builds(
    replace,
    HOW,
    body=st.sampled_from([None, bytes(len(IMAGES)), IMAGES[::-1], b"page"]),
    cut=st.none() | st.integers(0, 900),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(LYING, max_size=5))
def test_whatever_a_lying_server_does_nothing_wrong_is_unpacked(web, tmp_path_factory, answers):
    """It ends complete or in a sentence with nothing unpacked; an honest server then always completes it."""
    out = tmp_path_factory.mktemp("out")
    web.then(*answers)
    try:
        pets(out, retries=replace(QUICK, tries=3, wait=0))
    except MaskwrightError:
        assert_not_begun(out)
    web.queue.clear()
    pets(out)
    assert_complete(out)


def test_a_cut_is_gone_on_with_at_once(web, told, tmp_path):
    web.then(Answer(cut=100), Answer(cut=50))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert web.ranges == [None, "bytes=100-", "bytes=150-", None]
    assert f"images.tar.gz: broke off at 100 of {len(IMAGES):,} bytes; trying again in 0.001 s, 2 of 5" in told.remarks
    assert f"images.tar.gz: going on at {100 * 150 // len(IMAGES)} %" in told
    assert web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_a_later_run_goes_on(web, told, tmp_path):
    web.then(*[Answer(cut=40)] * 3)
    sentence = failing(tmp_path, retries=replace(QUICK, tries=3))
    assert "broke off at 120 of" in sentence and "given up after 3 tries and 0.003 s of waiting" in sentence
    assert f"kept in {tmp_path}: {100 * 120 // len(IMAGES)} % of images.tar.gz" in sentence
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:120]
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert web.ranges[3] == "bytes=120-" and web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_tries_are_counted_anew_where_they_bring_something(web, tmp_path):
    web.then(*[Answer(cut=64)] * 8)
    pets(tmp_path, retries=replace(QUICK, tries=2, progress=64))
    assert len(web.asked) == 10
    web.then(*[Answer(cut=63)] * 8)
    assert "given up after 2 tries" in failing(tmp_path / "other", retries=replace(QUICK, tries=2, progress=64))


def test_waits_double(web, told, tmp_path):
    web.otherwise = Answer(status=503)
    assert "given up after 4 tries and 0.007 s of waiting" in failing(tmp_path, told, replace(QUICK, tries=4))
    assert [remark.split(" in ")[1] for remark in told.remarks if "again" in remark] == [
        "0.001 s, 2 of 4", "0.002 s, 3 of 4", "0.004 s, 4 of 4",
    ]  # fmt: skip
    assert len(web.asked) == 4


def test_a_server_that_gives_no_parts(web, told, tmp_path):
    web.then(Answer(cut=100), Answer(parts=False))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "images.tar.gz: the server gives no parts of it; starting over" in told.remarks


def test_a_server_that_finds_no_such_part(web, told, tmp_path):
    web.then(Answer(cut=100), Answer(status=416))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert web.ranges == [None, "bytes=100-", None, None]


def test_a_file_that_changed_meanwhile_is_not_glued(web, told, tmp_path):
    web.then(Answer(body=bytes(byte ^ 255 for byte in IMAGES), cut=200))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "the pieces do not make the file (SHA-256" in told


def test_a_part_that_is_too_long(web, told, tmp_path):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES + b"x")
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "the pieces do not make the file" in told


def test_a_part_that_was_whole_already(web, tmp_path):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES)
    pets(tmp_path)
    assert_complete(tmp_path)
    assert [path for path, _ in web.asked] == ASKED_ONCE[1:]
