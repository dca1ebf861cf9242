# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data: downloads from a server on this machine that breaks off, lies, redirects, or is not there."""

import hashlib
import multiprocessing
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.error import URLError
from urllib.request import Request

import idx_files
import numpy as np
import pytest
from file_server import serving

from fastconv import data
from fastconv._extras import MissingExtra
from fastconv.data import cache, http, mnist
from fastconv.errors import DataError

pytest.importorskip("pooch", reason='downloads need pooch: pip install "fastconv[data]"')
pytest.importorskip("tqdm")

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving({"/a.gz": CONTENT, "/mirror/a.gz": CONTENT}) as running:
        yield running


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "a.gz"


def part_of(path, digest=DIGEST):
    return path.with_name(f".{path.name}.{digest[:12]}.part")


def begun(path, content):
    path.parent.mkdir(exist_ok=True)
    part_of(path).write_bytes(content)


def visible(directory):
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def parts(directory):
    return [name for name in os.listdir(directory) if name.endswith(".part")]


def fetch(server, path, *urls, digest=DIGEST):
    cache.download([server.url(url) for url in urls or ("/a.gz",)], path, digest, len(CONTENT))


def assert_whole(path):
    assert path.read_bytes() == CONTENT
    assert visible(path.parent) == [path.name]
    assert parts(path.parent) == []


# ---- what comes out well ---------------------------------------------------------------------------------------------


def test_a_download_appears_whole_and_readable_by_others(server, path):
    previous = os.umask(0o022)
    try:
        fetch(server, path)
    finally:
        os.umask(previous)
    assert_whole(path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert server.requests == [("/a.gz", None)]


@pytest.mark.parametrize("held", [1, 150_000, 299_999, 300_000])
def test_a_download_goes_on_where_an_earlier_session_stopped(server, path, held):
    begun(path, CONTENT[:held])
    fetch(server, path)
    assert_whole(path)
    assert server.requests == ([("/a.gz", f"bytes={held}-")] if held < len(CONTENT) else [])


def test_a_server_without_ranges_sends_everything_again(server, path):
    server.ranges = False
    begun(path, CONTENT[:1000])
    fetch(server, path)
    assert_whole(path)


def test_a_connection_that_breaks_is_taken_up_again(server, path):
    server.cuts = [1000, 70_000, 1]
    fetch(server, path)
    assert_whole(path)
    assert [asked for _, asked in server.requests] == [None, "bytes=1000-", "bytes=71000-", "bytes=71001-"]


@pytest.mark.parametrize("wrong", [b"another file", b"x" * 200_000, b"x" * 300_000, b"x" * 400_000])
def test_what_an_earlier_session_left_wrong_is_begun_anew(server, path, wrong):
    begun(path, wrong)
    fetch(server, path)
    assert_whole(path)


def test_a_redirect_is_followed(server, path):
    server.redirects = {"/old": server.url("/a.gz")}
    fetch(server, path, "/old")
    assert_whole(path)


def test_a_mirror_takes_over_what_the_first_one_has_sent(server, path):
    server.cuts = [1000, 0]
    fetch(server, path, "/a.gz", "/mirror/a.gz")
    assert_whole(path)
    assert server.requests[-1] == ("/mirror/a.gz", "bytes=1000-")


def test_a_length_need_not_be_announced(server, path):
    server.says = {"Content-Length": None}
    fetch(server, path)
    assert_whole(path)


def test_a_file_that_is_there_is_not_asked_for(server, path):
    fetch(server, path)
    fetch(server, path)
    assert len(server.requests) == 1


def _download(url, path):
    cache.download([url], path, DIGEST, len(CONTENT))


def test_of_several_processes_one_downloads(server, path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_download, args=(server.url("/a.gz"), path)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert_whole(path)
    assert len(server.requests) == 1


def test_a_killed_download_leaves_a_part_and_no_lock(server, path):
    server.files["/a.gz"] = CONTENT
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        url = f"http://127.0.0.1:{stalling.getsockname()[1]}/a.gz"
        program = (
            "import sys, pathlib; from fastconv.data import cache; "
            f"cache.download([{url!r}], pathlib.Path({str(path)!r}), {DIGEST!r}, {len(CONTENT)})"
        )
        child = subprocess.Popen([sys.executable, "-c", program])
        connection, _ = stalling.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT[:200_000])
            deadline = time.monotonic() + 30
            while not (part_of(path).exists() and part_of(path).stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            child.wait(30)
    assert not path.exists()
    held = part_of(path).stat().st_size
    assert part_of(path).read_bytes() == CONTENT[:held] != b""
    fetch(server, path)
    assert server.requests == [("/a.gz", f"bytes={held}-")]
    assert path.read_bytes() == CONTENT
    assert parts(path.parent) == []


def test_progress_is_told_up_to_the_whole(server, tmp_path):
    told = []
    http.fetch(server.url("/a.gz"), tmp_path / "part", len(CONTENT), told.append)
    assert told == sorted(told)
    assert told[0] == 0
    assert told[-1] == len(CONTENT)


# ---- what cannot -----------------------------------------------------------------------------------------------------


def test_a_wrong_digest_is_refused_and_what_came_removed(server, path):
    with pytest.raises(DataError, match=r"could not be downloaded:\n  http://.*/a.gz: SHA256 hash of downloaded file"):
        fetch(server, path, digest="0" * 64)
    assert visible(path.parent) == parts(path.parent) == []


def test_every_mirror_is_named_with_what_went_wrong(server, path):
    server.files["/mirror/a.gz"] = CONTENT[::-1]
    with pytest.raises(DataError, match=r"(?s)none: HTTP Error 404.*mirror/a.gz: SHA256 hash"):
        fetch(server, path, "/none", "/mirror/a.gz")
    assert visible(path.parent) == []


def test_a_web_page_instead_of_the_file_is_refused_by_its_size(server, path):
    server.files["/a.gz"] = b"<!doctype html><title>Log in</title>"
    server.says = {"Content-Type": "text/html"}
    with pytest.raises(DataError, match=r"the server sends 36 bytes \(text/html\), expected 300000"):
        fetch(server, path)
    assert visible(path.parent) == parts(path.parent) == []


def test_a_server_that_goes_on_for_ever_is_not_listened_to(server, path):
    server.files["/a.gz"] = bytes(2**22)
    server.says = {"Content-Length": None}
    with pytest.raises(DataError, match="SHA256 hash"):
        fetch(server, path)
    assert visible(path.parent) == parts(path.parent) == []


@pytest.mark.parametrize("answer", ["bytes 5-299999/300000", "bytes 1000-299999/400000", "nonsense", None])
def test_another_part_than_was_asked_for_is_refused(server, path, answer):
    begun(path, CONTENT[:1000])
    server.says = {"Content-Range": answer}
    with pytest.raises(DataError, match="asked for bytes 1000 to 299999 of 300000, the server sends"):
        fetch(server, path)
    assert part_of(path).read_bytes() == CONTENT[:1000]


def test_a_connection_that_brings_nothing_is_given_up_and_the_part_kept(server, path):
    server.cuts = [1000, 0]
    with pytest.raises(DataError, match="the connection ended after 1000 of 300000 bytes"):
        fetch(server, path)
    assert not path.exists()
    assert part_of(path).read_bytes() == CONTENT[:1000]


def test_no_network_is_said_at_once(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.gz"
        with pytest.raises(DataError, match=r"could not be downloaded:\n  http://.*: .*Connection refused"):
            cache.download([url], path, DIGEST, len(CONTENT))
    assert visible(path.parent) == parts(path.parent) == []


def test_a_server_that_says_nothing_is_given_up(path, monkeypatch):
    monkeypatch.setattr(http, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.gz"
        with pytest.raises(DataError, match="timed out"):
            cache.download([url], path, DIGEST, len(CONTENT))


def test_an_answer_that_is_no_http_is_an_error(path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.gz"
        thread = threading.Thread(target=_talk_nonsense, args=(server,))
        thread.start()
        with pytest.raises(DataError, match="could not be downloaded"):
            cache.download([url], path, DIGEST, len(CONTENT))
        thread.join(10)


def _talk_nonsense(server):
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"nonsense\r\n\r\n")


@pytest.mark.parametrize("target", ["http://example.org/a.gz", "ftp://example.org/a.gz", "file:///etc/passwd"])
def test_a_redirect_from_https_to_less_is_refused(target):
    with pytest.raises(URLError, match="less safe"):
        http._Redirects().redirect_request(Request("https://example.org/a.gz"), None, 302, "Found", {}, target)


def test_a_redirect_to_a_file_of_this_machine_is_refused(server, path):
    server.redirects = {"/a.gz": "file:///etc/passwd"}
    with pytest.raises(DataError, match="file:///etc/passwd"):
        fetch(server, path)


def test_a_cache_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to .*cache: .*Set FASTCONV_DATA"):
        fetch(server, tmp_path / "cache" / "a.gz")


def test_a_cache_without_permission_is_named(server, path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "open", refuse, raising=False)
    with pytest.raises(DataError, match=r"cannot write to .*cache: Permission denied. Set FASTCONV_DATA"):
        fetch(server, path)
    assert server.requests == []


def test_a_cache_that_cannot_be_locked_is_named(server, path, monkeypatch):
    def refuse(*arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(cache.fcntl, "flock", refuse)
    with pytest.raises(DataError, match="cannot write to .*cache: No locks available"):
        fetch(server, path)


def test_a_full_disk_is_named_and_no_other_mirror_asked(server, path):
    path.parent.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"cannot write .*\.part: File too large"):
            fetch(server, path, "/a.gz", "/mirror/a.gz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)
    assert len(server.requests) == 1
    assert not path.exists()
    assert part_of(path).read_bytes() == CONTENT[:100_000]
    fetch(server, path)
    assert_whole(path)


@pytest.mark.parametrize("absent", ["pooch", "tqdm"])
def test_without_a_package_the_error_says_both_ways_out(path, monkeypatch, absent):
    for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtra, match=rf'{absent} is not.*pip install "fastconv\[data\]".*name the directory'):
        cache.download(["http://127.0.0.1/a.gz"], path, DIGEST, 1)
    assert not path.parent.exists()


# ---- whole data sets -------------------------------------------------------------------------------------------------


def test_a_data_set_is_downloaded_into_the_cache_once(tmp_path, monkeypatch):
    idx_files.fill(tmp_path)
    files = {f"/{file.name}": (tmp_path / file.name).read_bytes() for file in mnist.MNIST.files}
    published = tuple(
        file._replace(size=len(files[f"/{file.name}"]), sha256=hashlib.sha256(files[f"/{file.name}"]).hexdigest())
        for file in mnist.MNIST.files
    )
    monkeypatch.setenv("FASTCONV_DATA", str(tmp_path / "own"))
    with serving(files) as server:
        monkeypatch.setattr(mnist, "MNIST", mnist.MNIST._replace(mirrors=(server.url("/"),), files=published))
        first = data.load("mnist")
        second = data.load("mnist")
        assert len(server.requests) == 4
    np.testing.assert_array_equal(first.train_images, second.train_images)
    assert visible(tmp_path / "own" / "mnist") == sorted(file.name for file in published)


def test_the_published_addresses_are_safe_and_complete():
    from fastconv.data import cifar

    for mirrors, files in (
        (mnist.MNIST.mirrors, mnist.MNIST.files),
        (mnist.FASHION_MNIST.mirrors, mnist.FASHION_MNIST.files),
        (cifar.MIRRORS, [cifar.ARCHIVE]),
    ):
        assert all(re.fullmatch(r"https://[^\s?]+/", mirror) for mirror in mirrors)
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 4000 for file in files)
        assert len({file.sha256 for file in files}) == len(files)
