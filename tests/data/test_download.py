"""Downloads against a server on this machine that breaks off, stalls, lies and changes its files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import tarfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.config.data import DataConfig
from maskwright.data.download import LICENCE_FILE, MARKER, Download, get
from maskwright.data.readers import list_records
from maskwright.data.sources import DOWNLOADS
from maskwright.data.transfer import SILENT, Patience, Unfetched, Watch, beside, fetch, mirror
from maskwright.errors import DataError, MaskwrightError, UsageError
from petserver import NAMES, Answer, Web, archived, pets_archives, pets_files, serving, source_of

QUICK = Patience(tries=5, timeout=10, wait=0.001)
ARCHIVES, FILES = pets_archives(), pets_files()
IMAGES, ANNOTATIONS = ARCHIVES["images.tar.gz"], ARCHIVES["annotations.tar.gz"]
ASKED_ONCE = ["/pets/images.tar.gz", "/pets/annotations.tar.gz"]


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web(monkeypatch) -> Iterator[Web]:
    """A server of the small pets, which `oxford-pet` stands for as long."""
    with serving(ARCHIVES) as web:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base))
        yield web


class Told:
    """What was said and counted."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.counts: list[tuple[str, int, int]] = []
        self.watch = Watch(lambda *count: self.counts.append(count), self.remarks.append)

    def __contains__(self, words: str) -> bool:
        return any(words in remark for remark in self.remarks)


@pytest.fixture
def told() -> Told:
    return Told()


def pets(out: Path, told: Told | None = None, patience: Patience = QUICK, **options: object) -> Download:
    return get("oxford-pet", out, patience=patience, watch=told.watch if told else SILENT, **options)  # type: ignore[arg-type]


def inside(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def assert_complete(out: Path, *more: str) -> None:
    """Exactly the archives' files, the licence, the marker, and what else is named."""
    found = inside(out)
    assert {path: found.get(path) for path in FILES} == FILES
    assert found.keys() - FILES.keys() == {LICENCE_FILE, MARKER, *more}
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["annotations", "images"]


def assert_not_begun(out: Path) -> None:
    """Nothing that looks like a data set."""
    assert [
        name for name in ("images", "annotations", LICENCE_FILE, MARKER, ".unpacked", ".unpacking") if (out / name).exists()
    ] == []


def failing(out: Path, told: Told | None = None, patience: Patience = QUICK, **options: object) -> str:
    """The sentence of a download that must not succeed."""
    with pytest.raises(MaskwrightError) as caught:
        pets(out, told, patience, **options)
    assert_not_begun(out)
    return str(caught.value)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# ------------------------------------------------------------------ all is well


@pytest.mark.parametrize("source", DOWNLOADS.values(), ids=list(DOWNLOADS))
def test_every_source_is_told_in_full(source):
    assert all(base == mirror(base) and base.startswith("https://") for base in (*source.bases, source.homepage.rstrip("/")))
    assert all(len(archive.sha256) == 64 and int(archive.sha256, 16) and archive.size > 0 for archive in source.archives)
    assert len({archive.name for archive in source.archives}) == len({archive.folder for archive in source.archives}) == 2
    assert source.licence and source.terms and source.citation


def test_a_whole_download(web, told, tmp_path):
    out = tmp_path / "new" / "pets"
    got = pets(out, told)
    assert_complete(out)
    assert [path for path, _ in web.asked] == ASKED_ONCE and web.ranges == [None, None]
    assert got.files == {"images": 7, "annotations": 17} and not got.already and got.root == out
    assert got.fetched == {name: f"{web.base}/{name}" for name in ARCHIVES}
    assert told.remarks == [f"Oxford-IIIT Pet, {(len(IMAGES) + len(ANNOTATIONS)) / 1000:.1f} kB, licence CC BY-SA 4.0, "
                            "https://www.robots.ox.ac.uk/~vgg/data/pets/"]  # fmt: skip
    for name, size in (("images.tar.gz", len(IMAGES)), ("annotations.tar.gz", len(ANNOTATIONS))):
        for label in (name, f"unpacking {name}"):
            counted = [(done, total) for what, done, total in told.counts if what == label]
            assert counted[-1] == (size, size) and counted == sorted(counted)


def test_the_reader_of_oxford_pets_takes_what_was_unpacked(web, tmp_path):
    pets(tmp_path)
    listing = list_records(DataConfig(root=str(tmp_path)))
    assert listing.reader == "oxford-pet"
    assert {record.id: record.split for record in listing.records} == {
        f"images/{name}": "test" if name.endswith("_2") else "train" for name in NAMES
    }


def test_the_licence_names_source_terms_and_paper(web, tmp_path):
    pets(tmp_path)
    text = (tmp_path / LICENCE_FILE).read_text()
    for part in ("Creative Commons Attribution-ShareAlike 4.0", "Parkhi", "robots.ox.ac.uk", hashlib.sha256(IMAGES).hexdigest()):
        assert part in text


def test_archives_are_kept_when_asked_for(web, told, tmp_path):
    pets(tmp_path, keep_archives=True)
    assert_complete(tmp_path, *ARCHIVES)
    assert (tmp_path / "images.tar.gz").read_bytes() == IMAGES
    assert pets(tmp_path, told).already
    assert_complete(tmp_path, *ARCHIVES)


def test_files_carry_contents_and_no_rights_of_the_archive(web, monkeypatch, tmp_path):
    odd = tarfile.TarInfo("images/odd.jpg")
    odd.mode, odd.uid = 0o4777, 12345
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, (odd, b"b")))
    pets(tmp_path)
    facts = (tmp_path / "images" / "odd.jpg").stat()
    assert not facts.st_mode & 0o7111 and facts.st_uid == os.getuid()


def serve(web: Web, monkeypatch: pytest.MonkeyPatch, **archives: bytes) -> None:
    """Put other archives on the server, whose checksums `oxford-pet` then has."""
    web.files |= {f"{folder}.tar.gz": data for folder, data in archives.items()}
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(web.files, web.base))


# ------------------------------------------------------------------ cuts


def test_a_cut_after_any_byte_is_gone_on_with(tmp_path):
    body = bytes(range(150))
    with serving({"file": body}) as web:
        for place in range(len(body)):
            part = tmp_path / f"{place}.part"
            web.then(Answer(cut=place))
            with pytest.raises(Unfetched, match=f"broke off at {place} of 150 bytes.*given up after 1 try and"):
                fetch("file", [f"{web.base}/file"], part, 150, replace(QUICK, tries=1), SILENT)
            assert part.read_bytes() == body[:place]
            got = fetch("file", [f"{web.base}/file"], part, 150, replace(QUICK, tries=1), SILENT)
            assert part.read_bytes() == body
            assert got.at_once == (place == 0)
            asked = web.asked[-1][1]
            assert (asked.get("Range"), asked.get("If-Range")) == ((f"bytes={place}-", '"1"') if place else (None, None))
        assert web.sent == len(body) ** 2  # no byte twice


HOW = st.builds(
    Answer,
    cut=st.integers(0, 60),
    parts=st.booleans(),
    minds=st.booleans(),
    tag=st.sampled_from(['"1"', '"2"', 'W/"1"', None]),
    modified=st.sampled_from(["Tue, 01 Jan 2013 00:00:00 GMT", "Wed, 02 Jan 2013 00:00:00 GMT", None]),
    length=st.booleans(),
    status=st.sampled_from([None, None, None, 503]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(HOW, max_size=6))
def test_whatever_the_server_does_the_bytes_are_the_files(web, tmp_path, answers):
    part = tmp_path / "file.part"
    for path in (part, beside(part)):
        path.unlink(missing_ok=True)
    web.files["file"] = body = bytes(range(97))
    web.then(*answers)
    fetch("file", [f"{web.base}/file"], part, 97, Patience(tries=20, timeout=1, wait=0), SILENT)
    web.queue.clear()
    assert part.read_bytes() == body


LYING = st.builds(
    replace, HOW, body=st.sampled_from([None, bytes(len(IMAGES)), IMAGES[::-1], b"page"]), cut=st.none() | st.integers(0, 900)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(LYING, max_size=5))
def test_whatever_a_lying_server_does_nothing_wrong_is_unpacked(web, tmp_path_factory, answers):
    """It ends complete or in a sentence with nothing unpacked; an honest server then always completes it."""
    out = tmp_path_factory.mktemp("out")
    web.then(*answers)
    try:
        pets(out, patience=replace(QUICK, tries=3, wait=0))
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
    assert "images.tar.gz: going on at 150 bytes" in told
    assert web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_a_later_run_goes_on(web, told, tmp_path):
    web.then(*[Answer(cut=40)] * 3)
    sentence = failing(tmp_path, patience=replace(QUICK, tries=3))
    assert "broke off at 120 of" in sentence and "given up after 3 tries and 0.003 s of waiting" in sentence
    assert f"kept in {tmp_path}: 120 bytes of images.tar.gz" in sentence
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:120]
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert web.ranges[3] == "bytes=120-" and web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_tries_are_counted_anew_where_they_bring_something(web, tmp_path):
    web.then(*[Answer(cut=64)] * 8)
    pets(tmp_path, patience=replace(QUICK, tries=2, worth=64))
    assert len(web.asked) == 10
    web.then(*[Answer(cut=63)] * 8)
    assert "given up after 2 tries" in failing(tmp_path / "other", patience=replace(QUICK, tries=2, worth=64))


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


@pytest.mark.parametrize("minds", [True, False], ids=["If-Range minded", "If-Range ignored"])
@pytest.mark.parametrize("tagged", [True, False], ids=["ETag", "Last-Modified"])
def test_a_file_that_changed_meanwhile_is_not_glued(web, told, tmp_path, minds, tagged):
    other = bytes(byte ^ 255 for byte in IMAGES)
    now = Answer(minds=minds) if tagged else Answer(minds=minds, tag=None)
    then = replace(now, tag='"0"') if tagged else replace(now, modified="Mon, 31 Dec 2012 00:00:00 GMT")
    web.otherwise = now
    web.then(replace(then, body=other, cut=200))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "images.tar.gz: the file has changed there since; starting over" in told.remarks
    assert web.asked[1][1]["If-Range"] == (then.tag if tagged else then.modified)


def test_a_weak_tag_is_compared_but_not_sent(web, told, tmp_path):
    web.otherwise = Answer(tag='W/"2"')
    web.then(Answer(cut=100, tag='W/"1"', body=bytes(len(IMAGES))))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert web.asked[1][1]["If-Range"] == web.otherwise.modified
    assert "the file has changed there since" in told


def test_pieces_that_do_not_fit_are_fetched_anew(web, told, tmp_path):
    """Without tag and date only the checksum can tell that the first piece was another file's."""
    web.otherwise = Answer(tag=None, modified=None)
    web.then(replace(web.otherwise, cut=100, body=bytes(len(IMAGES))))
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "images.tar.gz: the pieces do not make the file (SHA-256" in told
    assert web.ranges == [None, "bytes=100-", None, None]


@pytest.mark.parametrize("note", ["", "{", "[]", '{"nothing": 1}', None])
def test_a_part_whose_note_is_torn_or_gone(web, tmp_path, note):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES[:77])
    if note is not None:
        (tmp_path / "images.tar.gz.part.json").write_text(note)
    pets(tmp_path)
    assert [path.name for path in tmp_path.glob("*.tar.gz*")] == []
    assert_complete(tmp_path)
    assert web.ranges[0] == "bytes=77-"


def test_a_part_that_is_too_long(web, told, tmp_path):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES + b"x")
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "holds more than the whole file; starting over" in told


def test_a_part_that_was_whole_already(web, tmp_path):
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES)
    pets(tmp_path)
    assert_complete(tmp_path)
    assert [path for path, _ in web.asked] == ASKED_ONCE[1:]


# ------------------------------------------------------------------ stalls, statuses, redirections


def test_a_stall_is_a_cut(web, told, tmp_path):
    web.then(Answer(stall=80))
    pets(tmp_path, told, replace(QUICK, timeout=0.2))
    assert_complete(tmp_path)
    assert "images.tar.gz: sent nothing for 0.2 s; trying again" in told and web.ranges[1] == "bytes=80-"


def test_a_server_that_only_stalls_is_given_up(web, tmp_path):
    web.otherwise = Answer(stall=0)
    sentence = failing(tmp_path, patience=Patience(tries=2, timeout=0.05, wait=0.01))
    assert "sent nothing for 0.05 s); given up after 2 tries and 0.01 s of waiting" in sentence and len(web.asked) == 2


def test_a_server_that_accepts_and_never_answers(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        assert "sent nothing for 0.05 s" in failing(tmp_path, patience=Patience(tries=1, timeout=0.05))


@contextlib.contextmanager
def replying(reply: bytes, reset: bool = False, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server that answers whatever it is asked with the same bytes, and hangs up, or breaks the line."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve_all() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(line, server_side=True) if context else line as line:
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
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc", False, "a part where the whole was asked for"),
        (PART_OF_IMAGES, False, "a part where the whole was asked for"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", False, "(broke off)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc", False, "(broke off)"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False, f"broke off at 3 of {len(IMAGES):,} bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", True, "(broke off (Connection reset by peer))"),
    ],
    ids=["no web server", "nothing", "204", "unnamed part", "unasked part", "chunk cut", "no chunk", "no length", "reset"],
)
def test_answers_that_are_no_file(monkeypatch, tmp_path, reply, reset, reason):
    with replying(reply, reset) as port:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, f"http://127.0.0.1:{port}"))
        sentence = failing(tmp_path, patience=replace(QUICK, tries=1))
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


@pytest.mark.parametrize(("location", "reason"), [("/pets/images.tar.gz", "infinite loop"), ("file:///etc/passwd", "not allowed"),
                                                  ("ftp://127.0.0.1/x", "unknown url type")])  # fmt: skip
def test_a_redirection_to_nowhere(web, tmp_path, location, reason):
    web.otherwise = Answer(status=302, location=location)
    sentence = failing(tmp_path, patience=replace(QUICK, tries=1))
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
    assert sentence.startswith(f"`images.tar.gz` must have the SHA-256 {expected}; got {found} from {web.base}/images.tar.gz. ")
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
    assert "it was removed, asking the next address" in told


def test_a_dead_address_leads_to_the_next_and_the_part_goes_along(web, told, monkeypatch, tmp_path):
    with serving(ARCHIVES) as good:
        monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, web.base, good.base))
        web.then(Answer(cut=99), Answer(status=500))
        good.otherwise = Answer(tag='"of another server"')
        got = pets(tmp_path, told)
    assert_complete(tmp_path)
    assert got.fetched["images.tar.gz"] == f"{good.base}/images.tar.gz"
    assert good.ranges == ["bytes=99-"] and "If-Range" not in good.asked[0][1]


# ------------------------------------------------------------------ by hand, mirrors, proxies


def test_without_network_one_sentence_says_what_to_do_and_that_works(web, monkeypatch, tmp_path):
    base = f"http://127.0.0.1:{closed_port()}/pets"
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, base))
    sentence = failing(tmp_path, patience=replace(QUICK, tries=2))
    assert sentence == (
        f"`oxford-pet` could not be fetched: {base}/images.tar.gz (could not be reached: Connection refused); given up after "
        "2 tries and 0.001 s of waiting. Run the command again, name a mirror with --url, or fetch images.tar.gz and "
        "annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/ on another machine and put them at "
        f"{tmp_path / 'images.tar.gz'} and {tmp_path / 'annotations.tar.gz'}: the same command then goes on from there."
    )
    for name, data in ARCHIVES.items():
        (tmp_path / name).write_bytes(data)
    got = pets(tmp_path)
    assert got.fetched == dict.fromkeys(ARCHIVES, "already there")
    assert_complete(tmp_path, *ARCHIVES)  # what a person put there stays


def test_a_name_that_no_server_has(monkeypatch, tmp_path):
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, "http://no-such-host.invalid/pets"))
    assert "no-such-host.invalid/pets/images.tar.gz (could not be reached: " in failing(
        tmp_path, patience=replace(QUICK, tries=1)
    )


def test_one_by_hand_and_one_from_the_net(web, tmp_path):
    (tmp_path / "images.tar.gz").write_bytes(IMAGES)
    web.then(Answer(status=404))
    sentence = failing(tmp_path)
    assert f"or fetch annotations.tar.gz from https://www.robots.ox.ac.uk/~vgg/data/pets/ on another machine and put it at " \
           f"{tmp_path / 'annotations.tar.gz'}: the same" in sentence  # fmt: skip
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
    (tmp_path / "images.tar.gz").write_bytes(b"spoilt")
    pets(tmp_path, told)
    assert_complete(tmp_path)
    assert "images.tar.gz has changed since it was fetched; fetching it again" in told.remarks


def test_a_mirror(web, monkeypatch, tmp_path):
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(ARCHIVES, "http://no-such-host.invalid"))
    pets(tmp_path, url=f"{web.base}/")
    assert_complete(tmp_path)
    assert [path for path, _ in web.asked] == ASKED_ONCE


def test_a_folder_as_mirror_goes_on_too(web, told, tmp_path):
    disk = tmp_path / "my disk"
    disk.mkdir()
    for name, data in ARCHIVES.items():
        (disk / name).write_bytes(data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images.tar.gz.part").write_bytes(IMAGES[:70])
    pets(tmp_path / "out", told, url=disk.as_uri())
    assert_complete(tmp_path / "out")
    assert "images.tar.gz: going on at 70 bytes" in told.remarks and web.asked == []
    (disk / "images.tar.gz").unlink()
    sentence = failing(tmp_path / "other", url=disk.as_uri())
    assert f"{disk.as_uri()}/images.tar.gz (No such file or directory)" in sentence


@pytest.mark.parametrize(
    "url",
    ["pets", "/data/pets", "ftp://host/pets", "http://", "https:///pets", "http://host:port/", "http://[::1/", "file://host/x",
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


def test_a_name_that_is_not_known(tmp_path):
    with pytest.raises(UsageError, match=r"got 'oxford-pets'\. Did you mean oxford-pet\?"):
        get("oxford-pets", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ disk, interrupts, two at once


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: the kernel itself refuses, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_fetching(web, tmp_path):
    with files_up_to(700):
        sentence = failing(tmp_path)
    assert sentence == (
        f"could not write {tmp_path / 'images.tar.gz.part'}: File too large. Free some space or mend the folder's rights; "
        "what was fetched is kept, and the same command goes on from it."
    )
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:700]
    pets(tmp_path)
    assert_complete(tmp_path)
    assert web.ranges == [None, "bytes=700-", None]


def test_a_full_disk_while_unpacking(web, monkeypatch, told, tmp_path):
    serve(web, monkeypatch, images=archived({"images/large.jpg": bytes(100_000)}))

    web.then(Answer(), Answer(status=404))
    failing(tmp_path)
    (tmp_path / "annotations.tar.gz").write_bytes(ANNOTATIONS)
    with files_up_to(5000):
        sentence = failing(tmp_path)
    assert f"could not write {tmp_path / '.unpacking/images/large.jpg'}: File too large" in sentence
    pets(tmp_path, told)
    assert len(web.asked) == 2 and (tmp_path / "images" / "large.jpg").stat().st_size == 100_000
    assert "images.tar.gz is there; verifying it" in told.remarks


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(web, monkeypatch, tmp_path):
    source = DOWNLOADS["oxford-pet"]
    huge = tuple(replace(archive, size=10**18) for archive in source.archives)
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", replace(source, archives=huge))
    assert "`OUT` must be on a disk with 4000000000.0 GB free; got " in failing(tmp_path)
    assert web.asked == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"`OUT` must be a folder; got .*file, a file"):
        get("oxford-pet", tmp_path / "file")
    with pytest.raises(DataError, match=r"could not write .*: Not a directory"):
        get("oxford-pet", tmp_path / "file" / "pets")


@pytest.mark.parametrize("label", ["images.tar.gz", "annotations.tar.gz", "unpacking images.tar.gz"])
def test_an_interrupt_leaves_what_can_be_gone_on_with(web, told, tmp_path, label):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get("oxford-pet", tmp_path, patience=QUICK, watch=Watch(interrupt, told.remarks.append))
    assert_not_begun(tmp_path)
    assert f"kept in {tmp_path}: " in told.remarks[-1] and "the same command" in told.remarks[-1]
    pets(tmp_path)
    assert_complete(tmp_path)
    assert web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_it_never_looks_finished_before_it_is(web, tmp_path):
    seen: list[list[str]] = []

    def look(what: str, done: int, total: int) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        assert_not_begun_but_hidden(tmp_path)

    get("oxford-pet", tmp_path, patience=QUICK, watch=Watch(look, lambda sentence: None))
    assert any(".unpacking" in names for names in seen)
    assert_complete(tmp_path)


def assert_not_begun_but_hidden(out: Path) -> None:
    assert not any((out / name).exists() for name in ("images", "annotations", LICENCE_FILE, MARKER))


def test_a_move_that_fails_leaves_no_marker(web, tmp_path):
    """Something is put in the way while the last archive is being unpacked; the marker comes last, so it is not there."""

    def block(what: str, done: int, total: int) -> None:
        if what == "unpacking annotations.tar.gz" and done == total:
            for name in ("images", "annotations"):
                (tmp_path / name).mkdir(exist_ok=True)
                (tmp_path / name / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match=r"could not write .*: Directory not empty"):
        get("oxford-pet", tmp_path, patience=QUICK, watch=Watch(block, lambda sentence: None))
    assert not (tmp_path / MARKER).exists()
    for name in ("images", "annotations"):
        shutil.rmtree(tmp_path / name)
    assert pets(tmp_path).already
    assert_complete(tmp_path)


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_a_kill_between_two_moves_is_mended(web, tmp_path, moved):
    """The state a killed process leaves: some folders in place, the others and the marker not yet."""
    pets(tmp_path)
    order = ["images", "annotations", LICENCE_FILE]
    (tmp_path / ".unpacked").mkdir()
    for name in [*order[moved:], MARKER]:
        (tmp_path / name).rename(tmp_path / ".unpacked" / name)
    assert pets(tmp_path).already
    assert_complete(tmp_path)
    assert len(web.asked) == 2


def test_a_kill_while_unpacking_is_mended(web, tmp_path):
    (tmp_path / ".unpacking" / "images").mkdir(parents=True)
    (tmp_path / ".unpacking" / "images" / "half.jpg").write_bytes(b"half")
    pets(tmp_path)
    assert_complete(tmp_path)


def test_a_kill_before_the_archives_were_put_away_is_mended(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "images.tar.gz").write_bytes(IMAGES)
    (tmp_path / "images.tar.gz.part.json").write_text("{}")
    pets(tmp_path)
    assert_complete(tmp_path)


def test_two_at_once_are_refused(web, tmp_path):
    refused: list[str] = []

    def second(what: str, done: int, total: int) -> None:
        with pytest.raises(UsageError) as caught:
            pets(tmp_path)
        refused.append(str(caught.value))

    get("oxford-pet", tmp_path, patience=QUICK, watch=Watch(second, lambda sentence: None))
    assert refused and all("must be a folder no other download works on" in sentence for sentence in refused)
    assert_complete(tmp_path)


# ------------------------------------------------------------------ already there


def test_a_complete_folder_is_verified_and_left(web, told, tmp_path):
    first = pets(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = pets(tmp_path, told, keep_archives=True)
    assert again.already and again.files == first.files and again.fetched == {}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert len(web.asked) == 2
    assert told.counts[-1] == ("verifying files", len(FILES), len(FILES))
    assert told.remarks == [
        "--keep-archives has no effect: images.tar.gz and annotations.tar.gz went when the files had been unpacked"
    ]


def test_what_a_person_added_is_no_change(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "dataset.yaml").write_text("mine")
    assert pets(tmp_path).already


def test_changed_and_missing_files_are_named(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "images" / "pug_3.jpg").unlink()
    mask = tmp_path / "annotations" / "trimaps" / "Bengal_7.png"
    mask.write_bytes(bytes([mask.read_bytes()[0] ^ 1]) + mask.read_bytes()[1:])  # of the same size
    before = inside(tmp_path)
    with pytest.raises(DataError) as caught:
        pets(tmp_path)
    told = "got 1 missing: images/pug_3.jpg and 1 changed: annotations/trimaps/Bengal_7.png. Move the folder away"
    assert told in str(caught.value)
    assert inside(tmp_path) == before and len(web.asked) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"archives": {}, "files": []}', '{"archives": 1, "files": {}}', '{"archives": {}, "files": {"a": 1}}',
     '{"archives": {}, "files": {"a": []}}', "\xff"],
)  # fmt: skip
def test_a_spoilt_marker(web, tmp_path, text):
    pets(tmp_path)
    (tmp_path / MARKER).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="must be as this command wrote it"):
        pets(tmp_path)


def test_the_files_of_other_archives_are_told(web, monkeypatch, tmp_path):
    pets(tmp_path)
    serve(web, monkeypatch, images=archived({"images/new.jpg": b"new"}))
    with pytest.raises(DataError, match="as this version knows it; got the files of other archives"):
        pets(tmp_path)


@pytest.mark.parametrize("name", ["images", "annotations", LICENCE_FILE])
def test_what_was_there_before_is_not_touched(web, tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"holds {name} that this command did not put there"):
        pets(tmp_path)
    assert inside(tmp_path) == {f"{name}/mine.jpg": b"mine"} and web.asked == []


def test_a_link_that_leads_nowhere_counts_as_there(web, tmp_path):
    (tmp_path / "images").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds images"):
        pets(tmp_path)


# ------------------------------------------------------------------ archives nobody should unpack


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../escaped"), "would land outside"),
        (member("images/../../escaped"), "would land outside"),
        (member("images/../fine"), "would land outside"),
        (member("/tmp/escaped"), "would land outside"),
        (member("..", tarfile.DIRTYPE), "would land outside"),
        (member("images\\..\\..\\escaped"), "would land outside"),
        (member("C:/escaped"), "would land outside"),
        (member("images/new\nline"), "would land outside"),
        (member("images/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (member("images/link", tarfile.SYMTYPE, "a.jpg"), "is a link or a device"),
        (member("images", tarfile.SYMTYPE, ".."), "is a link or a device"),
        (member("images/hard", tarfile.LNKTYPE, "images/a.jpg"), "is a link or a device"),
        (member("images/pipe", tarfile.FIFOTYPE), "is a link or a device"),
        (member("images/null", tarfile.CHRTYPE), "is a link or a device"),
        (member("images/disk", tarfile.BLKTYPE), "is a link or a device"),
        (member("escaped"), "does not lie in images/"),
        (member("annotations/trimaps/x.png"), "does not lie in images/"),
        (member(".download.json"), "does not lie in images/"),
        (member("images"), "does not lie in images/"),
    ],
    ids=lambda value: repr(value.name) if isinstance(value, tarfile.TarInfo) else None,
)
def test_a_member_that_could_do_harm_stops_everything(web, monkeypatch, tmp_path, bad, reason):
    bad.size = 0
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, (bad, b"")))
    out = tmp_path / "deep" / "out"
    sentence = failing(out)
    assert f"its {bad.name!r} {reason}" in sentence and "Nothing was unpacked" in sentence
    assert sorted(path.name for path in tmp_path.rglob("*") if "escaped" in path.name or path.name == "fine") == []
    assert not Path("/tmp/escaped").exists()


def test_a_link_first_and_a_file_through_it(web, monkeypatch, tmp_path):
    through = [(member("images/door", tarfile.SYMTYPE, str(tmp_path)), b""), (member("images/door/escaped"), b"x")]
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, *through))
    failing(tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_roots_and_notes_of_macos_beside_the_folder_are_no_harm(web, monkeypatch, tmp_path):
    files = {"./images/a.jpg": b"a"}
    serve(web, monkeypatch, images=archived(files, (member("._images"), b"note"), (member("./._images"), b"note")))
    assert pets(tmp_path).files["images"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, LICENCE_FILE, "annotations", "images"]


def sparse() -> bytes:
    """A file of 10 MB of which the archive holds ten bytes (GNU's sparse format 1.0, in pax headers)."""
    body = b"1\n0\n10\n".ljust(512, b"\0") + b"0123456789"
    info = member("images/sparse.jpg")
    info.size = len(body)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "images/sparse.jpg",
                        "GNU.sparse.realsize": "10000000"}  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def test_a_file_that_is_mostly_holes(web, monkeypatch, tmp_path):
    serve(web, monkeypatch, images=sparse())
    assert "no plain file" in failing(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"no archive at all", IMAGES[: len(IMAGES) // 2], archived({"images/a": b"a"})[:25]],
    ids=["text", "half", "head"],
)
def test_an_archive_that_cannot_be_read(web, monkeypatch, tmp_path, data):
    serve(web, monkeypatch, images=data)
    assert "images.tar.gz` must be a whole tar archive" in failing(tmp_path)


def test_an_archive_without_files(web, monkeypatch, tmp_path):
    serve(web, monkeypatch, images=archived({}, (member("images", tarfile.DIRTYPE), b"")))
    assert "must hold files in images/; it holds none" in failing(tmp_path)


def test_the_marker_holds_what_was_unpacked(web, tmp_path):
    pets(tmp_path)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["archives"] == {name: hashlib.sha256(data).hexdigest() for name, data in ARCHIVES.items()}
    assert marker["files"] == {path: [len(data), f"{zlib.crc32(data):08x}"] for path, data in FILES.items()}
