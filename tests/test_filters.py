# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.filters: as scipy.ndimage in float64, exact on integers, and never wrapped around."""

import doctest
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest

from fastconv import ShapeError, filters
from fastconv.filters import _image
from fastconv.filters._kernels import TABLE

ndimage = pytest.importorskip("scipy.ndimage", reason='needs pip install "fastconv[test]"')

NDIMAGE_MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "grid-wrap"}
INTEGERS = (np.uint8, np.int8, np.uint16, np.int16)
OF_ONE_KERNEL = {
    "edge": "edge_4", "emboss": "emboss", "horizontal_edge": "horizontal_edge", "sharpen": "sharpen",
    "smoothing": "smoothing", "vertical_edge": "vertical_edge",
}  # fmt: skip
GRADIENTS = ("prewitt", "roberts", "scharr", "sobel")
PLAIN = (*OF_ONE_KERNEL, *GRADIENTS, "gaussian", "unsharp_mask")    # need nothing but the image

rng = np.random.default_rng(0)


def picture(dtype, shape=(19, 23)):
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(max(limits.min, -(2**31)), min(limits.max, 2**31), shape, dtype, endpoint=True)


def correlated(image, kernel, padding_mode):
    """ndimage in float64; of an even axis it takes the later pixel as the middle, so the origin moves."""
    origin = [-1 if n % 2 == 0 else 0 for n in kernel.shape]
    return ndimage.correlate(image.astype(np.float64), kernel, mode=NDIMAGE_MODES[padding_mode], origin=origin)


# ---- results ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("dtype", [*INTEGERS, np.int32, np.uint32, bool], ids=lambda t: t.__name__)
def test_kernels_are_exact_on_integers(dtype, padding_mode, level):
    image = picture(np.uint8) > 128 if dtype is bool else picture(dtype)
    for weights, _ in TABLE.values():
        y = filters.apply(image, weights, padding_mode=padding_mode)
        assert y.dtype == np.result_type(dtype, np.float32)
        np.testing.assert_array_equal(y, correlated(image, weights, padding_mode))
    for name, kernel in OF_ONE_KERNEL.items():
        weights, divisor = TABLE[kernel]
        y = getattr(filters, name)(image, padding_mode=padding_mode)
        expected = correlated(image, weights, padding_mode).astype(y.dtype) / y.dtype.type(divisor)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_on_floats(dtype, padding_mode):
    image = picture(dtype)
    for name in filters.KERNELS:
        kernel = filters.kernel(name).astype(np.float64)
        y = filters.apply(image, kernel, padding_mode=padding_mode)
        assert y.dtype == dtype
        allowed = 30 * np.finfo(dtype).eps * correlated(np.abs(image), np.abs(kernel), padding_mode)
        assert (np.abs(y - correlated(image, kernel, padding_mode)) <= allowed).all()


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, padding_mode):
    image = picture(np.uint8)
    components = []
    for axis, direction in enumerate("yx"):
        y = getattr(filters, name)(image, axis, padding_mode=padding_mode)
        np.testing.assert_array_equal(y, correlated(image, TABLE[f"{name}_{direction}"].weights, padding_mode))
        components.append(y.astype(np.float64))
    size = getattr(filters, name)(image, padding_mode=padding_mode)
    np.testing.assert_allclose(size, np.hypot(*components), rtol=3e-7)
    wide = getattr(filters, name)(np.array([[0, 3e38, 3e38]], np.float32) / 64)
    assert np.isfinite(wide).all()


def test_sobel_and_prewitt_are_ndimages_where_that_does_not_wrap():
    image = picture(np.uint8)
    for name in ("sobel", "prewitt"):
        for axis in (0, 1):
            expected = getattr(ndimage, name)(image.astype(np.float64), axis, mode="mirror")
            np.testing.assert_array_equal(getattr(filters, name)(image, axis), expected)


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1, 2.5, 12.0])
def test_gaussian_is_ndimages(sigma, padding_mode):
    image = picture(np.float64)
    expected = ndimage.gaussian_filter(image, sigma, mode=NDIMAGE_MODES[padding_mode])
    np.testing.assert_allclose(filters.gaussian(image, sigma, padding_mode=padding_mode), expected, atol=1e-13)
    narrow = filters.gaussian(image.astype(np.float32), sigma, padding_mode=padding_mode)
    np.testing.assert_allclose(narrow, expected, atol=3e-6)
    masked = filters.unsharp_mask(image, sigma, 0.7, padding_mode=padding_mode)
    np.testing.assert_allclose(masked, image + 0.7 * (image - expected), atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 31])
@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
def test_smoothing_is_the_mean(size, padding_mode):
    image = picture(np.uint8)
    sums = correlated(image, np.ones((size, size)), padding_mode).astype(np.float32)
    np.testing.assert_array_equal(filters.smoothing(image, size, padding_mode=padding_mode), sums / np.float32(size**2))


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 3), (4, 1)])
def test_images_smaller_than_the_kernel(shape, padding_mode):
    image, kernel = picture(np.uint8, shape), rng.integers(-9, 9, (11, 13))
    y = filters.apply(image, kernel, padding_mode=padding_mode)
    np.testing.assert_array_equal(y, correlated(image, kernel, padding_mode))


# ---- colour, storage, and the type of the result ---------------------------------------------------------


@pytest.mark.parametrize("channel_axis", [-1, 0, 1, 2, -3])
@pytest.mark.parametrize("name", PLAIN)
def test_channels_are_filtered_apart(name, channel_axis):
    channels = [picture(np.uint8) for _ in range(3)]
    run = getattr(filters, name)
    for dtype in (None, np.uint8):
        y = run(np.stack(channels, axis=channel_axis), channel_axis=channel_axis, dtype=dtype)
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, np.stack([run(c, dtype=dtype) for c in channels], axis=channel_axis))


@pytest.mark.parametrize("padding_mode", NDIMAGE_MODES)
@pytest.mark.parametrize("name", PLAIN)
def test_no_bit_depends_on_storage_and_the_image_is_not_touched(name, padding_mode):
    image = picture(np.float32)
    run = getattr(filters, name)
    before, expected = image.copy(), run(image, padding_mode=padding_mode)
    for stored in (np.asfortranarray(image), image.astype(">f4"), image[::-1][::-1], np.repeat(image, 2, 1)[:, ::2]):
        stored.flags.writeable = False
        np.testing.assert_array_equal(run(stored, padding_mode=padding_mode), expected)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(image, expected)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("dtype", INTEGERS, ids=lambda t: t.__name__)
def test_integers_saturate_and_are_rounded(name, dtype):
    image, limits = picture(dtype), np.iinfo(dtype)
    y = getattr(filters, name)(image, dtype=dtype)
    assert y.dtype == dtype
    exact = getattr(filters, name)(image)
    np.testing.assert_array_equal(y, np.clip(np.rint(exact), limits.min, limits.max))


def test_scipys_example_does_not_wrap():
    """ndimage.sobel makes 32 of these 800."""
    image = np.zeros((3, 4), np.uint8)
    image[:, 2:] = 200
    assert filters.sobel(image).max() == 800
    assert filters.sobel(image, dtype=np.uint8).max() == 255
    assert filters.sobel(image, dtype=np.int16).max() == 800
    assert filters.sobel(255 - image, axis=1, dtype=np.uint8).max() == 0


def test_infinities_saturate_and_nan_cannot():
    image = np.array([[0, np.inf, -np.inf]])
    identity = np.ones((1, 1))
    np.testing.assert_array_equal(filters.apply(image, identity, dtype=np.uint8), [[0, 255, 0]])
    with pytest.raises(ValueError, match="NaN, which no uint8"):
        filters.apply(np.array([[np.nan]]), identity, dtype=np.uint8)
    assert np.isnan(filters.sharpen(np.array([[np.nan]]))).all()


def test_kernels_are_the_callers_own():
    filters.kernel("sobel_x")[:] = 7
    assert filters.kernel("sobel_x").tolist() == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    for name in filters.KERNELS:
        kernel = filters.kernel(name)
        assert kernel.dtype == np.float32 and kernel.sum() == pytest.approx(round(float(kernel.sum())), abs=1e-6)


# ---- bad input -------------------------------------------------------------------------------------------

GRAY = np.ones((4, 5))
BAD = [
    (dict(image=[[1.0]]), TypeError, "image must be a numpy.ndarray, got list"),
    (dict(image=None), TypeError, "image must be a numpy.ndarray, got None"),
    (dict(image=np.ma.masked_array(GRAY, GRAY > 0)), TypeError, "image .*MaskedArray"),
    (dict(image=GRAY.astype(complex)), TypeError, "image must be of booleans, integers or floats .* got complex128"),
    (dict(image=GRAY.astype(np.longdouble)), TypeError, "image must be"),
    (dict(image=GRAY.astype(object)), TypeError, "image must be .* got object"),
    (dict(image=np.ones(4)), ShapeError, r"image must have two axes, \(H, W\), got shape \(4,\)$"),
    (dict(image=np.ones((4, 5, 3))), ShapeError, r"got shape \(4, 5, 3\); say .* channel_axis=-1"),
    (dict(image=np.ones((0, 5))), ShapeError, r"image is empty: shape \(0, 5\)"),
    (dict(image=np.ones((4, 5, 0)), channel_axis=2), ShapeError, "image is empty"),
    (dict(channel_axis=-1), ShapeError, r"three axes, of which channel_axis=-1 .* got shape \(4, 5\); leave out"),
    (dict(image=np.ones((4, 5, 3)), channel_axis=3), ValueError, "channel_axis must be between -3 and 2, got 3"),
    (dict(image=np.ones((4, 5, 3)), channel_axis=True), TypeError, "channel_axis must be an integer, got True"),
    (dict(image=np.ones((4, 5, 3)), channel_axis=1.5), TypeError, "channel_axis must be an integer"),
    (dict(padding_mode="mirror"), ValueError, "padding_mode must be one of 'zeros', 'reflect', .* got 'mirror'"),
    (dict(padding_mode=0), TypeError, "padding_mode must be one of"),
    (dict(dtype=np.int32), TypeError, "dtype must be one of float32, float64, uint8, .*int32"),
    (dict(dtype="picture"), TypeError, "dtype must be one of .* got 'picture'"),
    (dict(dtype=7), TypeError, "dtype must be one of .* got 7"),
    (dict(image=np.broadcast_to(np.float32(1), (2**24, 2**24))), ShapeError, "bytes; the limit"),
]


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("arguments", "error", "says"), BAD, ids=[row[2][:30] for row in BAD])
def test_bad_input_of_every_filter(name, arguments, error, says):
    with pytest.raises(error, match=says):
        getattr(filters, name)(**{"image": GRAY} | arguments)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: filters.smoothing(GRAY, 4), ValueError, "size must be odd, .* got 4"),
        (lambda: filters.smoothing(GRAY, 0), ValueError, "size must be between 1 and"),
        (lambda: filters.smoothing(GRAY, 3.0), TypeError, "size must be an integer"),
        (lambda: filters.gaussian(GRAY, 0), ValueError, "sigma must be above 0, got 0"),
        (lambda: filters.gaussian(GRAY, -1.5), ValueError, "sigma must be above 0, got -1.5"),
        (lambda: filters.gaussian(GRAY, np.nan), ValueError, "sigma must be finite"),
        (lambda: filters.gaussian(GRAY, np.inf), ValueError, "sigma must be finite"),
        (lambda: filters.gaussian(GRAY, "1"), TypeError, "sigma must be a number, got '1'"),
        (lambda: filters.gaussian(GRAY, True), TypeError, "sigma must be a number, got True"),
        (lambda: filters.gaussian(GRAY, (1, 2)), TypeError, "sigma must be a number"),
        (lambda: filters.gaussian(GRAY, 1e9), ValueError, r"truncate \* sigma must be at most 32768"),
        (lambda: filters.gaussian(GRAY, truncate=0), ValueError, "truncate must be above 0"),
        (lambda: filters.unsharp_mask(GRAY, amount=None), TypeError, "amount must be a number, got None"),
        (lambda: filters.unsharp_mask(GRAY, amount=np.inf), ValueError, "amount must be finite"),
        (lambda: filters.unsharp_mask(GRAY, sigma=0), ValueError, "sigma must be above 0"),
        (lambda: filters.edge(GRAY, 6), ValueError, "neighbours must be 4 or 8, got 6"),
        (lambda: filters.edge(GRAY, 9), ValueError, "neighbours"),
        (lambda: filters.edge(GRAY, "4"), TypeError, "neighbours must be an integer"),
        (lambda: filters.sobel(GRAY, 2), ValueError, "axis must be between 0 and 1, got 2"),
        (lambda: filters.sobel(GRAY, "x"), TypeError, "axis must be an integer"),
        (lambda: filters.apply(GRAY, [[1]]), TypeError, "kernel must be a numpy.ndarray, got list"),
        (lambda: filters.apply(GRAY, GRAY * 1j), TypeError, "kernel must be of real numbers, got complex128"),
        (lambda: filters.apply(GRAY, np.ones(3)), ShapeError, r"kernel must have shape \(K, L\), .* got \(3,\)"),
        (lambda: filters.apply(GRAY, np.ones((0, 3))), ShapeError, r"got \(0, 3\)"),
        (lambda: filters.apply(GRAY, np.ones((1, 2**17))), ShapeError, "65537"),
        (lambda: filters.kernel("sobbel_x"), ValueError, "smoothing, .*, got 'sobbel_x'; did you mean 'sobel_x'"),
        (lambda: filters.kernel("qqq"), ValueError, "got 'qqq'$"),
        (lambda: filters.kernel(3), TypeError, "name must be one of .* got 3"),
    ],
)
def test_bad_parameters(call, error, says):
    with pytest.raises(error, match=says):
        call()


# ---- documentation, completeness -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fastconv.filters", "fastconv.filters._filters", "fastconv.filters._kernels"])
def test_examples_of_the_documentation(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0 and result.failed == 0


def test_every_filter_is_tested_and_documented_alike():
    functions = {name for name in filters.__all__ if callable(getattr(filters, name))}
    assert functions == {*PLAIN, "apply", "kernel"}
    for name in functions - {"kernel"}:
        parameters = inspect.signature(getattr(filters, name)).parameters
        assert [*parameters][-3:] == ["padding_mode", "channel_axis", "dtype"]
        assert all(word in getattr(filters, name).__doc__ for word in ("(H, W)", "Returns", ">>>"))
    assert tuple(NDIMAGE_MODES) == _image.PADDING_MODES


def test_the_page_has_every_filter_and_kernel():
    page = (Path(__file__).parents[1] / "docs" / "filters.md").read_text()
    assert not [name for name in (*filters.__all__, *filters.KERNELS) if name not in page]
