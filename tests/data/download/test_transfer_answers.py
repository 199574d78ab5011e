"""Servers that stall, refuse, send elsewhere, send something else, or send wrong bytes."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from downloading import ARCHIVES, IMAGES, QUICK, Told, assert_complete, failing, inside, pets

from maskwright.data.download import DOWNLOADS
from maskwright.data.transfer import Retries
from petserver import Answer, serving, source_of

# ------------------------------------------------------------------ stalls, statuses, redirections


def test_a_stall_is_a_cut(web, told, tmp_path):
    web.then(Answer(stall=80))
    pets(tmp_path, told, replace(QUICK, timeout=0.2))
    assert_complete(tmp_path)
    assert "images.tar.gz: sent nothing for 0.2 s; trying again" in told and web.ranges[1] == "bytes=80-"


def test_a_server_that_only_stalls_is_given_up(web, tmp_path):
    web.otherwise = Answer(stall=0)
    sentence = failing(tmp_path, retries=Retries(tries=2, timeout=0.05, wait=0.01))
    assert "sent nothing for 0.05 s); given up after 2 tries and 0.01 s of waiting" in sentence and len(web.asked) == 2


def test_a_server_that_accepts_and_never_answers(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        assert "sent nothing for 0.05 s" in failing(tmp_path, retries=Retries(tries=1, timeout=0.05))


@contextlib.contextmanager
def replying(reply: bytes, reset: bool = False, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that answers whatever it is asked with the same bytes, and hangs up, or breaks the line."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with (
                        contextlib.suppress(OSError),
                        context.wrap_socket(line, server_side=True) if context else line as line,
                    ):
                        line.recv(4096)
                        line.sendall(reply)
                        if reset:
                            time.sleep(0.05)
                            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


PART_OF_IMAGES = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-6/{len(IMAGES)}\r\n\r\nabc".encode()


@pytest.mark.parametrize(
    ("reply", "reset", "reason"),
    [
        (b"SSH-2.0-hello\r\n\r\n", False, "could not be reached: SSH-2.0-hello"),
        (b"", False, "could not be reached: Remote end closed connection without response"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, "answered 204"),
        (
            b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc",
            False,
            "a part where the whole was asked for",
        ),
        (PART_OF_IMAGES, False, "a part where the whole was asked for"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", False, "(broke off)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc", False, "(broke off)"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False, f"broke off at 3 of {len(IMAGES):,} bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", True, "(broke off (Connection reset by peer))"),
    ],
    ids=[
        "no web server",
        "nothing",
        "204",
        "unnamed part",
        "unasked part",
        "chunk cut",
        "no chunk",
        "no length",
        "reset",
    ],
)
def test_answers_that_are_no_file(monkeypatch, tmp_path, reply, reset, reason):
    with replying(reply, reset) as port:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, f"http://127.0.0.1:{port}"))
        sentence = failing(tmp_path, retries=replace(QUICK, tries=1))
    assert reason in sentence and "\n" not in sentence


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_server_that_cannot_prove_its_name_is_not_asked_again(monkeypatch, told, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=pets"]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with replying(b"HTTP/1.1 200 OK\r\n\r\nabc", context=context) as port:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, f"https://127.0.0.1:{port}"))
        sentence = failing(tmp_path / "out", told)
    assert "images.tar.gz (could not be trusted: self-signed certificate)" in sentence
    assert "trying again" not in told


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_failure_is_waited_for(web, told, tmp_path, status):
    web.then(Answer(status=status), Answer(status=status))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert f"images.tar.gz: answered {status}" in told


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_final(web, tmp_path, status):
    web.otherwise = Answer(status=status)
    sentence = failing(tmp_path)
    assert f"{web.base}/images.tar.gz (answered {status} " in sentence and "given up" not in sentence
    assert len(web.asked) == 1


def test_a_redirection_is_followed_with_the_range(web, tmp_path):
    elsewhere = f"{web.base}/moved/images.tar.gz"
    web.then(Answer(cut=60), Answer(status=301, location=elsewhere))
    pets(tmp_path)
    assert_complete(tmp_path)
    assert web.asked[2][0] == "/pets/moved/images.tar.gz" and web.ranges[:3] == [None, "bytes=60-", "bytes=60-"]


@pytest.mark.parametrize(("location", "reason"), [("/pets/images.tar.gz", "infinite loop"),
                                                  ("file:///etc/passwd", "not allowed"),
                                                  ("ftp://127.0.0.1/x", "could not be reached")])  # fmt: skip
def test_a_redirection_to_nowhere(web, tmp_path, location, reason):
    web.otherwise = Answer(status=302, location=location)
    sentence = failing(tmp_path, retries=replace(QUICK, tries=1))
    assert reason in sentence and "\n" not in sentence


def test_a_page_instead_of_the_file_is_told_before_it_is_read(web, tmp_path):
    web.then(Answer(body=b"<html>Please log in</html>", kind="text/html"))
    assert f"offers 26 bytes of text/html where {len(IMAGES):,} are wanted" in failing(tmp_path)
    assert not (tmp_path / "images.tar.gz.part").exists()


@pytest.mark.parametrize("more", [1, 300_000])
def test_more_bytes_than_wanted_where_no_length_was_told(web, tmp_path, more):
    web.then(Answer(body=IMAGES + bytes(more), length=False))
    told = Told()
    assert f"sends more than the {len(IMAGES):,} bytes wanted" in failing(tmp_path, told)
    assert not (tmp_path / "images.tar.gz.part").exists()
    assert all(done <= total for _, done, total in told.counts)


def test_a_shorter_file_than_the_part(web, tmp_path):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES[:100])
    web.otherwise = Answer(body=IMAGES[:50])
    assert f"offers 50 bytes of application/x-gzip where {len(IMAGES):,} are wanted" in failing(tmp_path)
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:100]


# ------------------------------------------------------------------ wrong bytes


def test_wrong_bytes_are_told_removed_and_not_unpacked(web, tmp_path):
    wrong = bytes([IMAGES[0] ^ 1]) + IMAGES[1:]
    web.otherwise = Answer(body=wrong)
    sentence = failing(tmp_path)
    expected, found = (hashlib.sha256(data).hexdigest() for data in (IMAGES, wrong))
    assert (
        f"{web.base}/images.tar.gz (gives another file: its SHA-256 is {found}, not {expected}; it was removed)"
        in sentence
    )
    assert inside(tmp_path) == {} and len(web.asked) == 1
    web.otherwise = Answer()
    pets(tmp_path)
    assert_complete(tmp_path)


def test_wrong_bytes_at_one_address_lead_to_the_next(web, told, monkeypatch, tmp_path):
    with serving(ARCHIVES) as good:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base, good.base))
        web.otherwise = Answer(body=bytes(len(IMAGES)))
        web.then(Answer(body=bytes(len(IMAGES))), Answer(status=404))
        got = pets(tmp_path, told)
    assert_complete(tmp_path)
    assert got.fetched == {name: f"{good.base}/{name}" for name in ARCHIVES}
    assert told.remarks[-1].startswith("Oxford-IIIT Pet, ")  # what another address gives is no matter for the user


def test_a_dead_address_leads_to_the_next_and_the_part_goes_along(web, told, monkeypatch, tmp_path):
    with serving(ARCHIVES) as good:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base, good.base))
        web.then(Answer(cut=99), Answer(status=500))
        good.otherwise = Answer(tag='"of another server"')
        got = pets(tmp_path, told)
    assert_complete(tmp_path)
    assert got.fetched["images.tar.gz"] == f"{good.base}/images.tar.gz"
    assert good.ranges == ["bytes=99-"]
