# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv filter`: pictures of every kind go in, a picture comes out, and what cannot be is said."""

import os
import re

import numpy as np
import pytest

from fastconv import cli, filters
from fastconv._extras import MissingExtra
from fastconv.commands import filter as command

Image = pytest.importorskip("PIL.Image", reason='needs pip install "fastconv[viz]"')

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("colour.png")
    Image.fromarray(PIXELS[..., 0]).save("grey.png")
    return tmp_path


def run(*arguments):
    try:
        return cli.main(["filter", *arguments])
    except SystemExit as leaving:
        return leaving.code


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def refused(capsys, code, says, *arguments):
    """The command fails, says so, and leaves every file as it was."""
    before = {name: os.stat(name).st_mtime_ns for name in os.listdir()}
    assert run(*arguments) == code
    assert re.search(says, capsys.readouterr().err)
    assert {name: os.stat(name).st_mtime_ns for name in os.listdir()} == before


@pytest.mark.parametrize("name", command.NAMES)
def test_every_kernel_writes_a_picture(name, capsys):
    assert run("colour.png", "--kernel", name) == 0
    assert f"written to colour-{name}.png" in capsys.readouterr().out
    assert read(f"colour-{name}.png").shape == PIXELS.shape


def test_the_picture_is_what_the_filter_gives():
    assert run("colour.png", "--kernel", "sharpen", "--border", "zeros", "--output", "y.bmp") == 0
    expected = filters.sharpen(PIXELS, padding_mode="zeros", channel_axis=-1, dtype=np.uint8)
    np.testing.assert_array_equal(read("y.bmp"), expected)
    assert run("grey.png", "--kernel", "Unsharp-Mask", "--sigma", "2", "--amount", "0.5", "--output", "u.png") == 0
    np.testing.assert_array_equal(read("u.png"), filters.unsharp_mask(PIXELS[..., 0], 2, 0.5, dtype=np.uint8))
    assert run("grey.png", "--kernel", "smoothing", "--size", "5", "--output", "s.png") == 0
    np.testing.assert_array_equal(read("s.png"), filters.smoothing(PIXELS[..., 0], 5, dtype=np.uint8))


def test_edges_are_stretched_unless_asked_otherwise():
    gradient = filters.sobel(PIXELS[..., 0])
    assert run("grey.png", "--kernel", "sobel") == 0
    white = np.quantile(gradient, 0.99)
    np.testing.assert_allclose(read("grey-sobel.png"), np.minimum(gradient / white, 1) * 255, atol=0.51)
    assert run("grey.png", "--kernel", "sobel", "--tones", "saturate", "--force") == 0
    np.testing.assert_array_equal(read("grey-sobel.png"), filters.sobel(PIXELS[..., 0], dtype=np.uint8))
    stretched = {name for name in command.NAMES if command._usual_tones(name) == "stretch"}
    assert set(command.NAMES) - stretched == {
        "gaussian", "smoothing", "unsharp_mask", "gaussian_3x3", "gaussian_5x5", "sharpen", "emboss"
    }  # fmt: skip


def test_one_colour_stays_black():
    Image.new("RGB", (9, 9), "red").save("red.png")
    assert run("red.png", "--kernel", "sobel") == 0
    assert not read("red-sobel.png").any()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_mode(mode):
    if mode == "I;16":
        Image.fromarray((np.arange(0, 256, dtype=np.uint16) * 257).reshape(16, 16)).save("x.tiff")
        expected = np.arange(256).reshape(16, 16)
    else:
        converted = Image.fromarray(PIXELS).convert(mode)
        converted.save("x.tiff")
        expected = np.asarray(converted.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    assert run("x.tiff", "--kernel", "smoothing", "--size", "1") == 0
    np.testing.assert_array_equal(read("x-smoothing.png"), expected)
    assert run("x.tiff", "--kernel", "smoothing", "--size", "1", "--grey", "--force") == 0
    assert read("x-smoothing.png").ndim == 2


def test_a_photograph_is_put_upright():
    exif = Image.Exif()
    exif[0x0112] = 6    # the camera was held on its side
    Image.fromarray(PIXELS).save("turned.png", exif=exif)
    assert run("turned.png", "--kernel", "smoothing", "--size", "1") == 0
    np.testing.assert_array_equal(read("turned-smoothing.png"), np.rot90(PIXELS, -1))


# ---- what cannot be --------------------------------------------------------------------------------------


def test_wrong_command_lines(capsys):
    refused(capsys, 2, "required: .*--kernel", "grey.png")
    refused(capsys, 2, "got 'sobbel', expected one of gaussian, .*; did you mean 'sobel'", "x", "--kernel", "sobbel")
    refused(capsys, 2, "--border: invalid choice: 'mirror'", "grey.png", "--kernel", "sobel", "--border", "mirror")
    refused(capsys, 2, "--sigma: --kernel sobel has none; .* gaussian", "x", "--kernel", "sobel", "--sigma", "2")
    refused(capsys, 2, "--sigma: got '0', expected a number above 0", "x", "--kernel", "gaussian", "--sigma", "0")
    refused(capsys, 2, "--size: got 4, expected an odd number", "x", "--kernel", "smoothing", "--size", "4")
    refused(capsys, 2, "--output: got y.qq, expected a name that ends", "x", "--kernel", "edge", "--output", "y.qq")
    refused(capsys, 2, "--output: got y, expected a name that ends", "x", "--kernel", "edge", "--output", "y")
    refused(capsys, 2, "there is no directory no", "x", "--kernel", "edge", "--output", "no/y.png")


def test_an_output_is_replaced_only_by_force(capsys):
    line = "grey.png", "--kernel", "edge", "--output", "colour.png"
    refused(capsys, 2, "--output: colour.png exists; --force replaces it", *line)
    assert run(*line, "--force") == 0
    os.mkdir("d.png")
    refused(capsys, 2, "d.png, which is a directory", "grey.png", "--kernel", "edge", "--output", "d.png", "--force")


def test_what_is_no_picture(capsys, directory):
    (directory / "text.png").write_text("not a picture")
    (directory / "empty.png").touch()
    whole = (directory / "colour.png").read_bytes()
    (directory / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(PIXELS[..., 0].astype(np.float32)).save("float.tiff")
    edge = "--kernel", "edge"
    refused(capsys, 1, "error: none.png: there is no such file", "none.png", *edge)
    refused(capsys, 1, "error: text.png is not a picture", "text.png", *edge)
    refused(capsys, 1, "error: empty.png is not a picture", "empty.png", *edge)
    refused(capsys, 1, "error: half.png is a damaged picture", "half.png", *edge)
    refused(capsys, 1, r"error: float.tiff has 32 bits a pixel \(mode F\)", "float.tiff", *edge)
    refused(capsys, 1, "is a directory, expected a picture", str(directory), *edge)


def test_a_picture_that_would_fill_the_memory(capsys, monkeypatch):
    for limit in (600, 300):    # of pixels; Pillow warns above it, and raises above twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        refused(capsys, 1, "colour.png is too large", "colour.png", "--kernel", "edge")


def test_pillow_is_asked_for_by_name(capsys, monkeypatch):
    def absent(module, extra):
        raise MissingExtra(f'PIL is not installed. Install it with: pip install "fastconv[{extra}]"')

    monkeypatch.setattr(command, "require", absent)
    refused(capsys, 1, r"fastconv\[viz\]", "grey.png", "--kernel", "edge")
