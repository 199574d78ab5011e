"""Other ways to the same bytes: archives put there by hand, mirrors, folders, proxies."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
from downloading import ARCHIVES, ASKED_ONCE, IMAGES, QUICK, assert_complete, failing, inside, pets

from maskwright.data.download import DOWNLOADS, get
from maskwright.errors import UsageError
from petserver import Answer, source_of


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_without_network_one_sentence_says_what_to_do_and_that_works(web, monkeypatch, tmp_path):
    base = f"http://127.0.0.1:{closed_port()}/pets"
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, base))
    sentence = failing(tmp_path, retries=replace(QUICK, tries=2))
    assert sentence == (
        f"`oxford-pet` could not be downloaded: {base}/images.tar.gz (could not be reached: Connection refused); given "
        "up after 2 tries and 0.001 s of waiting. Run the command again, name a mirror with --url, or download "
        "images.tar.gz and annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/ on another machine and "
        f"put them at {tmp_path / 'images.tar.gz'} and {tmp_path / 'annotations.tar.gz'}: the same command then goes "
        "on from there."
    )
    for name, data in ARCHIVES.items():
        (tmp_path / name).write_bytes(data)
    got = pets(tmp_path)
    assert got.fetched == dict.fromkeys(ARCHIVES, "already there")
    assert_complete(tmp_path, *ARCHIVES)  # what a person put there stays


def test_a_name_that_no_server_has(monkeypatch, tmp_path):
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, "http://no-such-host.invalid/pets"))
    assert "no-such-host.invalid/pets/images.tar.gz (could not be reached: " in failing(
        tmp_path, retries=replace(QUICK, tries=1)
    )


def test_one_by_hand_and_one_from_the_net(web, tmp_path):
    (tmp_path / "images.tar.gz").write_bytes(IMAGES)
    web.then(Answer(status=404))
    sentence = failing(tmp_path)
    pets_page = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
    by_hand = f"or download annotations.tar.gz from {pets_page} on another machine and put it at {tmp_path}"
    assert f"{by_hand}/annotations.tar.gz: the same" in sentence
    pets(tmp_path)
    assert_complete(tmp_path, "images.tar.gz")


@pytest.mark.parametrize("wrong", [b"", IMAGES[:-1], bytes(len(IMAGES))], ids=["empty", "short", "other bytes"])
def test_a_wrong_file_by_hand_is_told_and_left(web, tmp_path, wrong):
    (tmp_path / "images.tar.gz").write_bytes(wrong)
    sentence = failing(tmp_path)
    assert f"`{tmp_path / 'images.tar.gz'}` must be the {len(IMAGES):,} bytes with the SHA-256 " in sentence
    assert f"got {len(wrong):,} bytes" in sentence
    assert inside(tmp_path) == {"images.tar.gz": wrong} and web.asked == []


def test_an_archive_of_ours_that_was_spoilt_is_fetched_again(web, told, tmp_path):
    web.then(Answer(), Answer(status=404))
    failing(tmp_path)
    (tmp_path / "images.tar.gz.part").write_bytes(bytes(len(IMAGES)))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "the pieces do not make the file" in told


def test_a_mirror(web, monkeypatch, tmp_path):
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, "http://no-such-host.invalid"))
    pets(tmp_path, url=f"{web.base}/")
    assert_complete(tmp_path)
    assert [path for path, _ in web.asked] == ASKED_ONCE


def test_a_folder_as_mirror(web, told, tmp_path):
    disk = tmp_path / "my disk"
    disk.mkdir()
    for name, data in ARCHIVES.items():
        (disk / name).write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images.tar.gz.part").write_bytes(IMAGES[:70])
    pets(tmp_path / "out", told, url=disk.as_uri())
    assert_complete(tmp_path / "out")
    assert "images.tar.gz: the server gives no parts of it; starting over" in told.remarks and web.asked == []
    (disk / "images.tar.gz").unlink()
    sentence = failing(tmp_path / "other", url=disk.as_uri())
    assert f"{disk.as_uri()}/images.tar.gz (No such file or directory)" in sentence


@pytest.mark.parametrize(
    "url",
    ["pets", "/data/pets", "ftp://host/pets", "http://", "https:///pets", "http://host:port/", "http://[::1/",
     "file://host/x",
     "http://host/a b", "http://host/x?y=1", "data:,x", ""],
)  # fmt: skip
def test_an_address_of_another_kind(tmp_path, url):
    with pytest.raises(UsageError, match="`--url` must be the http, https or file address of a folder; got"):
        get("oxford-pet", tmp_path / "out", url=url)
    assert not (tmp_path / "out").exists()


def test_the_environments_proxy_is_used(web, monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", web.base.removesuffix("/pets"))
    pets(tmp_path, url="http://pets.invalid/far")
    assert_complete(tmp_path)
    assert [path for path, _ in web.asked] == [f"http://pets.invalid/far/{name}" for name in ARCHIVES]
