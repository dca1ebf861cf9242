# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data: CIFAR-10's binary files, loose and in their archive, good and bad."""

import contextlib
import gzip
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fastconv import data
from fastconv.data import cifar
from fastconv.errors import DataError

ROOT = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[2] / "shared") / "realdata"
RECORDS = 20

pytestmark = pytest.mark.filterwarnings("ignore:.*not the published archive")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of 20 records instead of 10,000, and a limit to match."""
    monkeypatch.setattr(cifar, "RECORDS", RECORDS)
    monkeypatch.setattr(cifar, "MAX_BYTES", 7 * RECORDS * cifar.RECORD)


def records(number=0, count=RECORDS):
    """(images uint8 (N, 3, 32, 32), labels, the content of their file)."""
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = rng.integers(0, 10, count, np.uint8)
    return images, labels, np.concatenate([labels[:, None], images.reshape(count, -1)], axis=1).tobytes()


CONTENTS = {name: records(i)[2] for i, name in enumerate(cifar.FILES)}


def member(name, content=b"", kind=tarfile.REGTYPE, link=""):
    header = tarfile.TarInfo(name)
    header.size, header.type, header.linkname = len(content), kind, link
    return header, content


def published_members(contents=CONTENTS):
    """In the order of the published archive, which is not that of the names, and with its other files."""
    yield member("cifar-10-batches-bin", kind=tarfile.DIRTYPE)
    yield member("cifar-10-batches-bin/batches.meta.txt", b"airplane\n")
    for name in sorted(contents, reverse=True):
        yield member(f"cifar-10-batches-bin/{name}", contents[name])
    yield member("cifar-10-batches-bin/readme.html", b"<html>")


def archive(directory, members, **options):
    with tarfile.open(directory / cifar.ARCHIVE.name, "w:gz", **options) as file:
        for header, content in members:
            file.addfile(header, io.BytesIO(content))
    return directory


def assert_read(loaded):
    for i, name in enumerate(cifar.FILES):
        images, labels, _ = records(i)
        part = loaded.test if name == "test_batch.bin" else loaded.train
        start = 0 if name == "test_batch.bin" else i * RECORDS
        np.testing.assert_array_equal(part.images[start : start + RECORDS], images / np.float32(255))
        np.testing.assert_array_equal(part.labels[start : start + RECORDS], labels)
    assert loaded.train_images.shape == (5 * RECORDS, 3, 32, 32)
    assert loaded.classes[3] == "cat"


# ---- good files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", cifar.FOLDER])
def test_loose_files_are_read(tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    for name, content in CONTENTS.items():
        (tmp_path / place / name).write_bytes(content)
    assert_read(data.load("cifar10", tmp_path))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_archive_is_read_without_unpacking_it(tmp_path, form):
    archive(tmp_path, published_members(), format=form)
    assert_read(data.load("cifar10", tmp_path))
    assert os.listdir(tmp_path) == [cifar.ARCHIVE.name]


def test_another_archive_than_the_published_is_said_to_be(tmp_path):
    archive(tmp_path, published_members())
    with pytest.warns(UserWarning, match="not the published archive of CIFAR-10"):
        data.load("cifar10", tmp_path)


def test_real_photographs_come_through_the_format(tmp_path):
    sample = ROOT / "cifar10_sample.npz"
    if not sample.is_file():
        pytest.skip(f"no real data in {ROOT}; set FASTCONV_TEST_DATA")
    with np.load(sample, allow_pickle=False) as arrays:
        images, labels = arrays["X"].transpose(0, 3, 1, 2), arrays["y"]
    for i, name in enumerate(cifar.FILES):
        part = slice(i * RECORDS, (i + 1) * RECORDS)
        rows = np.concatenate([labels[part, None].astype(np.uint8), images[part].reshape(RECORDS, -1)], axis=1)
        (tmp_path / name).write_bytes(rows.tobytes())
    loaded = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(loaded.train_images, images[: 5 * RECORDS] / np.float32(255))
    np.testing.assert_array_equal(loaded.train_labels, labels[: 5 * RECORDS])
    np.testing.assert_array_equal(loaded.test_images, images[5 * RECORDS : 6 * RECORDS] / np.float32(255))


# ---- bad files -------------------------------------------------------------------------------------------------------


def test_absent_files_and_directories_are_named(tmp_path):
    with pytest.raises(DataError, match="CIFAR-10 not found; expected data_batch_1.bin, .* or cifar-10-binary.tar.gz"):
        data.load("cifar10", tmp_path)
    with pytest.raises(DataError, match="nowhere: no such directory"):
        data.load("cifar10", tmp_path / "nowhere")


BAD_CONTENTS = {
    "empty": (b"", "test_batch.bin has 0 bytes, expected 20 records of 3073 = 61460"),
    "one byte short": (CONTENTS["test_batch.bin"][:-1], "test_batch.bin has 61459 bytes"),
    "one record short": (CONTENTS["test_batch.bin"][: -cifar.RECORD], "test_batch.bin has 58387 bytes"),
    "too long": (CONTENTS["test_batch.bin"] + b"\0", "test_batch.bin has 61461 bytes"),
    "label 10": (b"\x0a" + CONTENTS["test_batch.bin"][1:], "test_batch.bin: label 0 is 10, expected 0 to 9"),
    "label 255": (
        CONTENTS["test_batch.bin"][: cifar.RECORD] + b"\xff" + CONTENTS["test_batch.bin"][cifar.RECORD + 1 :],
        "test_batch.bin: label 1 is 255",
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BAD_CONTENTS)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, case, packed):
    content, message = BAD_CONTENTS[case]
    contents = {**CONTENTS, "test_batch.bin": content}
    if packed:
        archive(tmp_path, published_members(contents))
    else:
        for name in contents:
            (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(DataError, match=message):
        data.load("cifar10", tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_truncated():
    with pytest.raises(DataError, match="here: truncated; 100 of 61460 bytes"):
        cifar._whole("here", io.BytesIO(bytes(100)), RECORDS * cifar.RECORD)


INTRUDERS = {
    "a way out": member("../data_batch_1.bin", b"x"),
    "a way out from inside": member("cifar-10-batches-bin/../../data_batch_1.bin", b"x"),
    "an absolute path": member("/cifar-10-batches-bin/data_batch_1.bin", b"x"),
    "another file": member("cifar-10-batches-bin/setup.py", b"x"),
    "a pickle": member("cifar-10-batches-py/data_batch_1", b"x"),
    "a symbolic link": member("cifar-10-batches-bin/data_batch_1.bin", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "a hard link": member("cifar-10-batches-bin/data_batch_1.bin", kind=tarfile.LNKTYPE, link="/etc/passwd"),
    "a device": member("cifar-10-batches-bin/data_batch_1.bin", kind=tarfile.CHRTYPE),
    "a pipe": member("cifar-10-batches-bin/data_batch_1.bin", kind=tarfile.FIFOTYPE),
    "a directory like a file": member("cifar-10-batches-bin/data_batch_1.bin", kind=tarfile.DIRTYPE),
    "another directory": member("cifar-10-batches-bin/x", kind=tarfile.DIRTYPE),
}


@pytest.mark.parametrize("case", INTRUDERS)
def test_what_does_not_belong_into_the_archive_is_refused(tmp_path, case):
    archive(tmp_path, [INTRUDERS[case], *published_members()])
    with pytest.raises(DataError, match="does not belong to CIFAR-10's archive"):
        data.load("cifar10", tmp_path)
    assert os.listdir(tmp_path) == [cifar.ARCHIVE.name]


def test_an_archive_with_a_file_missing_or_twice_is_refused(tmp_path):
    contents = {name: content for name, content in CONTENTS.items() if name != "data_batch_3.bin"}
    archive(tmp_path, published_members(contents))
    with pytest.raises(DataError, match="data_batch_3.bin not found"):
        data.load("cifar10", tmp_path)
    archive(tmp_path, [*published_members(contents), *published_members(contents)])
    with pytest.raises(DataError, match="is there twice"):
        data.load("cifar10", tmp_path)


def test_a_million_members_and_a_bomb_are_not_inflated(tmp_path):
    filler = member("cifar-10-batches-bin/readme.html", bytes(512))
    archive(tmp_path, [filler] * 2000)
    with pytest.raises(DataError, match="inflates to more than the limit"):
        data.load("cifar10", tmp_path)
    archive(tmp_path, [*published_members(), member("cifar-10-batches-bin/readme.html", bytes(2**22))])
    with pytest.raises(DataError, match="inflates to more than the limit"):
        data.load("cifar10", tmp_path)
    with gzip.open(tmp_path / cifar.ARCHIVE.name, "wb") as file:
        file.write(bytes(2**22))
    with pytest.raises(DataError, match=r"inflates to more than the limit|not found|not an intact"):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.SOLARIS_XHDTYPE])
def test_a_giant_header_is_not_read_into_memory(tmp_path, kind):
    header, _ = member("cifar-10-batches-bin/readme.html", kind=kind)
    header.size = 8 * 2**30
    with gzip.open(tmp_path / cifar.ARCHIVE.name, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT) + bytes(2**20))
    with pytest.raises(DataError, match="a header of 8589934592 bytes, more than the limit"):
        data.load("cifar10", tmp_path)


def test_a_wrong_checksum_at_the_end_is_noticed(tmp_path):
    archive(tmp_path, published_members())
    path = tmp_path / cifar.ARCHIVE.name
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(DataError, match="not an intact .tar.gz file"):
        data.load("cifar10", tmp_path)


def test_bombs_are_refused_quickly_and_in_little_memory(tmp_path):
    """The true limits, in a process of its own: a gigabyte of zeros in a megabyte."""
    block = gzip.compress(bytes(2**24), mtime=0)
    front = gzip.compress(member("cifar-10-batches-bin/readme.html", bytes(2**30 - 1))[0].tobuf(), mtime=0)
    (tmp_path / cifar.ARCHIVE.name).write_bytes(front + block * 64)
    program = (
        "import resource, sys, time, warnings; from fastconv import data; warnings.simplefilter('ignore')\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before, start = peak(), time.perf_counter()\n"
        "try: data.load('cifar10', sys.argv[1])\n"
        "except data.DataError as error: print(error)\n"
        "print(peak() - before, time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    message, figures = done.stdout.splitlines()
    growth, seconds = map(float, figures.split())
    assert "inflates to more than the limit" in message
    assert growth < 64 * 2**20
    assert seconds < 10  # an eighth of that where nothing else runs


def test_an_archive_cut_or_changed_anywhere_is_refused_or_unharmed(tmp_path):
    archive(tmp_path, published_members())
    path = tmp_path / cifar.ARCHIVE.name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in [*range(0, 600, 7), *rng.integers(0, len(whole), 30), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=cifar.ARCHIVE.name):
            data.load("cifar10", tmp_path)
    for position in [*range(0, 600, 7), *rng.integers(0, len(whole), 30), *range(len(whole) - 8, len(whole))]:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with contextlib.suppress(DataError):  # a time stamp or the name of a system may change
            assert_read(data.load("cifar10", tmp_path))


@pytest.mark.parametrize("content", [
    b"", b"<!doctype html>", gzip.compress(b"no tar at all"), gzip.compress(b""),
], ids=["nothing", "html", "no tar", "empty gzip"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / cifar.ARCHIVE.name).write_bytes(content)
    with pytest.raises(DataError):
        data.load("cifar10", tmp_path)


def test_nothing_is_ever_unpickled():
    for path in Path(data.__file__).parent.rglob("*.py"):
        assert "import pickle" not in path.read_text()
        assert "allow_pickle=True" not in path.read_text()
