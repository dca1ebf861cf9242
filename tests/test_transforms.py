# SPDX-License-Identifier: BSD-3-Clause
"""fastconv.data.transforms against slow twins in float64, Pillow, scipy and the standard library's colorsys."""

import colorsys
import math
import pickle

import numpy as np
import pytest

import fastconv
from fastconv.data import transforms
from fastconv.data.transforms import (
    ColorJitter,
    Compose,
    Cutout,
    Normalize,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    RandomVerticalFlip,
    ToFloat,
)
from fastconv.errors import ShapeError

#: One of each, with settings that always change something. A transform without a row here fails the suite.
EXAMPLES = {
    "ColorJitter": lambda **seed: ColorJitter(0.5, 0.5, 0.5, 0.3, **seed),
    "Compose": lambda **seed: Compose([RandomCrop(12, padding=2), RandomVerticalFlip()], **seed),
    "Cutout": lambda **seed: Cutout(5, fill=0.5, **seed),
    "Normalize": lambda: Normalize((0.1, 0.2, 0.3), (0.5, 0.25, 0.125)),
    "RandomAffine": lambda **seed: RandomAffine(30, (0.2, 0.1), (0.7, 1.4), (-20, 20, -10, 10), fill=0.5, **seed),
    "RandomCrop": lambda **seed: RandomCrop((10, 11), padding=2, **seed),
    "RandomErasing": lambda **seed: RandomErasing(p=0.9, value=(0.1, 0.2, 0.3), **seed),
    "RandomHorizontalFlip": lambda **seed: RandomHorizontalFlip(**seed),
    "RandomRotation": lambda **seed: RandomRotation(90, **seed),
    "RandomScale": lambda **seed: RandomScale((0.5, 2), **seed),
    "RandomVerticalFlip": lambda **seed: RandomVerticalFlip(**seed),
    "ToFloat": lambda: ToFloat(),
}
RANDOM = sorted(set(EXAMPLES) - {"Normalize", "ToFloat"})
DTYPES = (np.float32, np.float64, np.uint8)


def images(count=6, channels=3, height=12, width=12, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, channels, height, width)
    return rng.integers(0, 256, shape, np.uint8) if dtype == np.uint8 else rng.random(shape).astype(dtype)


def rng(seed=1):
    return np.random.default_rng(seed)


# ---- what holds for all ----------------------------------------------------------------------------------------------


def test_every_transform_has_an_example():
    assert set(EXAMPLES) | {"Transform"} == set(transforms.__all__)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in EXAMPLES for dtype in DTYPES if (name, dtype) != ("Normalize", np.uint8)],
)
def test_element_type_and_argument_are_kept(name, dtype):
    given = images(dtype=dtype)
    before = given.copy()
    result = EXAMPLES[name]()(given, rng())
    assert result.dtype == (np.float32 if name == "ToFloat" and dtype == np.uint8 else dtype)
    assert result.ndim == 4
    assert len(result) == len(given)
    assert not np.shares_memory(result, given)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_images_and_single_pixels(name):
    assert len(EXAMPLES[name]()(images(count=0), rng())) == 0
    if name not in ("RandomCrop", "Compose"):
        assert EXAMPLES[name]()(images(height=1, width=1), rng()).shape == (6, 3, 1, 1)


@pytest.mark.parametrize("name", RANDOM)
def test_equal_generators_and_equal_seeds_give_equal_bits(name):
    make, given = EXAMPLES[name], images(count=20)
    np.testing.assert_array_equal(make()(given, rng(3)), make()(given, rng(3)))
    assert not np.array_equal(make()(given, rng(3)), make()(given, rng(4)))
    first, second = make(seed=7), make(seed=7)
    for _ in range(2):
        np.testing.assert_array_equal(first(given), second(given))
    assert not np.array_equal(first(given), make(seed=7)(given))
    results = []
    for _ in range(2):
        fastconv.manual_seed(5)
        results.append(make()(given))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", sorted(set(RANDOM) - {"Compose"}))
def test_images_are_changed_independently(name):
    same = np.repeat(images(count=1), 30, axis=0)
    result = EXAMPLES[name]()(same, rng())
    assert len({image.tobytes() for image in result}) > 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_transform_has_a_short_text_and_can_be_pickled(name):
    transform = EXAMPLES[name]()
    assert repr(transform).startswith(f"{name}(")
    again = pickle.loads(pickle.dumps(transform))
    np.testing.assert_array_equal(again(images(), rng()), transform(images(), rng()))


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, TypeError, "images must be a numpy.ndarray, got None"),
        ([[[[1.0]]]], TypeError, "images must be a numpy.ndarray, got list"),
        (np.ma.masked_array(images()), TypeError, "got MaskedArray"),
        (np.zeros((1, 3, 12, 12), np.int64), TypeError, "images must be float32, float64 or uint8, got int64"),
        (np.zeros((1, 3, 12, 12), np.float16), TypeError, "got float16"),
        (np.zeros((1, 3, 12, 12), ">f4"), TypeError, "got >f4"),
        (np.zeros((3, 12, 12), np.float32), ShapeError, r"images must be \(N, C, H, W\) .*got \(3, 12, 12\)"),
        (np.zeros((1, 0, 12, 12), np.float32), ShapeError, "at least 1, got"),
        (np.zeros((1, 3, 0, 12), np.float32), ShapeError, "at least 1, got"),
    ],
)
def test_what_is_no_images_is_refused(name, given, error, message):
    with pytest.raises(error, match=message):
        EXAMPLES[name]()(given, rng())


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_no_generator_is_refused(name):
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, got 0"):
        EXAMPLES[name]()(images(), 0)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_way_an_array_is_stored_does_not_matter(name):
    given = images()
    expected = EXAMPLES[name]()(given, rng())
    channels_last = given.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    for stored in (np.asfortranarray(given), given[:, :, ::-1].copy()[:, :, ::-1], channels_last):
        result = EXAMPLES[name]()(stored, rng())
        # The mean of an image, in ColorJitter, may be summed in another order.
        np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 if name == "ColorJitter" else 0)


# ---- moving and mirroring --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_a_crop_is_a_window_of_the_padded_image(mode):
    given = images(count=200, height=5, width=7)
    result = RandomCrop((4, 6), padding=(2, 3), fill=9 if mode == "constant" else 0, padding_mode=mode)(given, rng())
    margins = ((0, 0), (0, 0), (2, 2), (3, 3))
    padded = np.pad(given, margins, mode, **({"constant_values": 9} if mode == "constant" else {}))
    places = [
        {(top, left) for top in range(6) for left in range(8)
         if np.array_equal(whole[:, top : top + 4, left : left + 6], part)}
        for whole, part in zip(padded, result, strict=True)
    ]  # fmt: skip
    assert all(places)
    assert len(set.union(*places)) == 48


def test_every_image_is_mirrored_or_not():
    given = images(count=1000, channels=1, height=2, width=3)
    for transform, axis in ((RandomHorizontalFlip, 3), (RandomVerticalFlip, 2)):
        result = transform(0.3)(given, rng())
        mirrored = np.flip(given, axis)
        changed = (result == mirrored).all(axis=(1, 2, 3))
        np.testing.assert_array_equal(result[~changed], given[~changed])
        assert 250 < changed.sum() < 350
        np.testing.assert_array_equal(transform(1)(given, rng()), mirrored)
        np.testing.assert_array_equal(transform(0)(given, rng()), given)


# ---- turning and scaling ---------------------------------------------------------------------------------------------


def slow_affine(image, degrees, move, scale, shear, fill):
    """One image (C, H, W), one pixel after the other, as torchvision defines it."""
    height, width = image.shape[1:]
    a, (sx, sy) = math.radians(degrees), map(math.radians, shear)
    matrix = scale * np.array(
        [
            [math.cos(a - sy) / math.cos(sy), -math.cos(a - sy) * math.tan(sx) / math.cos(sy) - math.sin(a)],
            [math.sin(a - sy) / math.cos(sy), -math.sin(a - sy) * math.tan(sx) / math.cos(sy) + math.cos(a)],
        ]
    )
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    result = np.empty(image.shape)

    def pixel(channel, row, column):
        inside = 0 <= row < height and 0 <= column < width
        return float(image[channel, row, column]) if inside else fill

    for row in range(height):
        for column in range(width):
            x, y = np.linalg.solve(matrix, np.array([column, row]) - centre - move) + centre
            left, top = math.floor(x), math.floor(y)
            for channel in range(len(image)):
                result[channel, row, column] = sum(
                    (1 - abs(x - i)) * (1 - abs(y - j)) * pixel(channel, j, i)
                    for i in (left, left + 1)
                    for j in (top, top + 1)
                )
    return result


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("height", "width"), [(7, 7), (6, 9), (1, 5)])
def test_an_affine_change_is_the_one_that_torchvision_defines(dtype, height, width):
    given = images(count=3, channels=2, height=height, width=width, dtype=dtype)
    fill = 77 if dtype == np.uint8 else 0.25
    for degrees, scale, shear in ((20, 1, (0, 0)), (-75, 1.3, (15, 0)), (130, 0.6, (-10, 25)), (0, 1, (40, 0))):
        transform = RandomAffine((degrees,) * 2, None, (scale,) * 2, (shear[0],) * 2 + (shear[1],) * 2, fill)
        result = transform(given, rng())
        expected = np.stack([slow_affine(image, degrees, (0, 0), scale, shear, fill) for image in given])
        bound = {np.float32: 4e-6, np.float64: 1e-12, np.uint8: 0.5001}[dtype]
        assert np.abs(result - expected).max() <= bound


def test_moves_are_whole_pixels_within_their_shares():
    given = np.zeros((400, 1, 10, 20), np.float32)
    given[:, :, 5, 10] = 1
    result = RandomAffine(0, translate=(0.2, 0.1))(given, rng())
    assert set(np.unique(result)) == {0, 1}
    _, _, rows, columns = np.nonzero(result)
    assert set(rows.tolist()) == {4, 5, 6}
    assert set(columns.tolist()) == set(range(6, 15))


@pytest.mark.parametrize("turns", [-1, 1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_right_angles_move_pixels_as_numpy_does(turns, dtype):
    given = images(height=9, width=9, dtype=dtype)
    result = RandomRotation((90 * turns,) * 2)(given, rng())
    np.testing.assert_allclose(result, np.rot90(given, turns, axes=(2, 3)), rtol=0, atol=1e-6)


def test_a_turn_is_pillows():
    from PIL import Image

    given = images(count=1, channels=1, height=31, width=31, dtype=np.uint8)
    for degrees in (-40, 10, 25, 70):
        result = RandomRotation((degrees,) * 2)(given, rng())
        rotated = np.asarray(Image.fromarray(given[0, 0]).rotate(degrees, Image.Resampling.BILINEAR)).astype(int)
        inside = np.hypot(*(np.indices((31, 31)) - 15)) < 13  # at the border Pillow does not mix with the fill
        assert np.abs(result[0, 0].astype(int) - rotated)[inside].max() <= 1


def test_scaling_is_scipys():
    ndimage = pytest.importorskip("scipy.ndimage")
    given = images(count=1, channels=1, height=8, width=9, dtype=np.float64)
    for factor in (0.4, 0.8, 1.0, 1.7):
        result = RandomScale((factor,) * 2, fill=0.3)(given, rng())
        middle = np.array([3.5, 4.0])
        expected = ndimage.affine_transform(
            given[0, 0], np.eye(2) / factor, middle - middle / factor, order=1, mode="grid-constant", cval=0.3
        )
        np.testing.assert_allclose(result[0, 0], expected, rtol=0, atol=1e-12)


def test_what_changes_nothing_changes_no_bit():
    for dtype in DTYPES:
        given = images(dtype=dtype)
        for transform in (RandomAffine(0), RandomRotation(0), RandomScale((1, 1))):
            np.testing.assert_array_equal(transform(given, rng()), given)


def test_the_fill_can_have_a_colour():
    result = RandomScale((0.1, 0.1), fill=(0.1, 0.2, 0.3))(images(), rng())
    np.testing.assert_allclose(result[0, :, 0, 0], [0.1, 0.2, 0.3], rtol=1e-6)


# ---- covering --------------------------------------------------------------------------------------------------------


def rectangle(changed):
    """(top, left, height, width) of what is True, which must be a full rectangle."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    top, left, height, width = rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert changed.sum() == height * width
    return top, left, height, width


def test_cutout_covers_a_rectangle_anywhere():
    given = np.ones((3000, 3, 10, 12), np.float32)
    result = Cutout((4, 6), fill=(0, 2, 3))(given, rng())
    corners, sizes = set(), set()
    for image in result:
        covered = image[0] == 0
        np.testing.assert_array_equal(image[1], np.where(covered, 2, 1))
        np.testing.assert_array_equal(image[2], np.where(covered, 3, 1))
        top, left, height, width = rectangle(covered)
        corners.add((top, left))
        sizes.add((height, width))
    assert max(sizes) == (4, 6)
    assert min(height for height, _ in sizes) == 2
    assert len(corners) == 8 * 9  # the middle may be any of 10 x 12 pixels; at two borders part of it is cut off
    assert (Cutout(3, p=0)(given, rng()) == 1).all()


def test_erasing_covers_the_share_and_shape_asked_for():
    given = np.ones((2000, 1, 40, 50), np.float32)
    sizes = [rectangle(image[0] == 0)[2:] for image in RandomErasing(0.7, (0.1, 0.2), (0.5, 2))(given, rng())]
    erased = np.array([size for size in sizes if size[0]])
    assert 0.65 < len(erased) / len(sizes) < 0.75
    share, ratio = erased.prod(axis=1) / 2000, erased[:, 0] / erased[:, 1]
    assert 0.09 < share.min() < 0.11 < 0.19 < share.max() < 0.21
    assert 0.45 < ratio.min() < 0.55 < 1.8 < ratio.max() < 2.2
    assert abs(np.log(ratio).mean()) < 0.05


def test_a_rectangle_that_cannot_fit_leaves_the_image():
    given = images()
    np.testing.assert_array_equal(RandomErasing(1, (1, 1))(given, rng()), given)


# ---- colours ---------------------------------------------------------------------------------------------------------


def slow_jitter(pixels, name, amount):
    """One image (H, W, 3) in float64, with colorsys."""
    grey = pixels @ [0.2989, 0.587, 0.114]
    if name == "hue":
        flat = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels.reshape(-1, 3)]
        turned = [colorsys.hsv_to_rgb((h + amount) % 1, s, v) for h, s, v in flat]
        return np.array(turned).reshape(pixels.shape)
    other = {"brightness": 0, "contrast": grey.mean(), "saturation": grey[..., None]}[name]
    return np.clip(amount * pixels + (1 - amount) * other, 0, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "amount"),
    [(name, amount) for name in ("brightness", "contrast", "saturation") for amount in (0.0, 0.3, 1.0, 1.6)]
    + [("hue", amount) for amount in (-0.5, -0.1, 0.0, 0.3, 0.5)],
)
def test_colours_change_as_torchvision_defines(name, amount, dtype):
    given = images(dtype=dtype)
    given[:, :, 0] = given[:, :1, 0]  # a row of greys
    given[0, :, 1] = given[0, ::-1, 1].max()
    result = ColorJitter(**{name: (amount, amount)})(given, rng())
    top = 255 if dtype == np.uint8 else 1
    expected = np.stack(
        [slow_jitter(image.transpose(1, 2, 0) / top, name, amount).transpose(2, 0, 1) * top for image in given]
    )
    bound = {np.float32: 2e-6, np.float64: 1e-12, np.uint8: 0.501}[dtype]
    assert np.abs(result - expected).max() <= bound


def test_brightness_and_saturation_are_pillows():
    from PIL import Image, ImageEnhance

    given = images(count=1, dtype=np.uint8)
    pillow = Image.fromarray(given[0].transpose(1, 2, 0))
    for enhance, name in ((ImageEnhance.Brightness, "brightness"), (ImageEnhance.Color, "saturation")):
        for factor in (0.3, 1.4):
            expected = np.asarray(enhance(pillow).enhance(factor)).transpose(2, 0, 1).astype(int)
            result = ColorJitter(**{name: (factor, factor)})(given, rng())
            assert np.abs(result[0].astype(int) - expected).max() <= 1


def test_factors_and_their_order_are_random():
    pixel = np.full((300, 1, 1, 1), 0.4, np.float32)
    result = ColorJitter(brightness=0.5)(pixel, rng()).ravel()
    assert 0.2 <= result.min() < 0.21 < 0.59 < result.max() <= 0.6
    given = np.full((1, 3, 2, 2), 0.5, np.float32)
    given[:, :, 0] = 0.25
    jitter = ColorJitter(brightness=(1.6, 1.6), contrast=(2, 2))
    assert len({jitter(given, rng(seed)).tobytes() for seed in range(20)}) == 2


def test_greys_keep_only_brightness_and_contrast():
    given = images(channels=1)
    np.testing.assert_array_equal(ColorJitter(0, 0, 0.5, 0.5)(given, rng()), given)
    flat = ColorJitter(contrast=(0, 0))(given, rng())
    np.testing.assert_allclose(flat[:, 0, 0, 0], given.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert np.ptp(flat, axis=(1, 2, 3)).max() == 0
    with pytest.raises(ShapeError, match="images must have 1 channel or 3, red, green and blue, got 2"):
        ColorJitter(0.5)(images(channels=2), rng())


def test_normalising():
    given = images(dtype=np.float64)
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 0.125])
    result = Normalize(tuple(mean), tuple(std))(given)
    np.testing.assert_allclose(result, (given - mean[:, None, None]) / std[:, None, None], rtol=1e-15)
    standard = Normalize.of(given)(given)
    np.testing.assert_allclose(standard.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(standard.std(axis=(0, 2, 3)), 1, rtol=1e-12)
    with pytest.raises(TypeError, match=r"got uint8. Convert them first: ToFloat\(\)"):
        Normalize(0, 1)(images(dtype=np.uint8))
    with pytest.raises(ShapeError, match="mean has 2 numbers, but images have 3 channels"):
        Normalize((0, 0), 1)(given)
    with pytest.raises(ValueError, match="std must be positive"):
        Normalize.of(np.ones((2, 1, 3, 3), np.float32))


# ---- bad arguments ---------------------------------------------------------------------------------------------------

BAD = [
    (lambda: Compose(RandomRotation(5)), TypeError, "transforms must be a list of functions"),
    (lambda: Compose([1]), TypeError, "transforms must be a list of functions"),
    (lambda: RandomCrop(0), ValueError, "size must be between 1"),
    (lambda: RandomCrop((3, 4, 5)), ValueError, "size must be an integer or a pair"),
    (lambda: RandomCrop(3.0), TypeError, "size must be an integer"),
    (lambda: RandomCrop(3, padding=-1), ValueError, "padding must be between 0"),
    (lambda: RandomCrop(3, fill="white"), TypeError, "fill must be a number"),
    (lambda: RandomCrop(3, padding_mode="wrap"), ValueError, "padding_mode must be one of 'constant', 'edge'"),
    (lambda: RandomHorizontalFlip(1.5), ValueError, "p must be a finite number between 0 and 1, got 1.5"),
    (lambda: RandomVerticalFlip(math.nan), ValueError, "p must be a finite number"),
    (lambda: RandomHorizontalFlip(True), TypeError, "p must be a number, got True"),
    (lambda: RandomHorizontalFlip(seed=-1), ValueError, "seed must be between 0"),
    (lambda: RandomHorizontalFlip(seed="x"), TypeError, "seed must be an integer"),
    (lambda: RandomRotation(-5), ValueError, "degrees must be a finite number between 0 and inf, got -5"),
    (lambda: RandomRotation((5, -5)), ValueError, r"degrees must be \(smallest, largest\)"),
    (lambda: RandomRotation((1, 2, 3)), ValueError, "degrees must be a pair of numbers"),
    (lambda: RandomRotation(math.inf), ValueError, "degrees must be a finite number"),
    (lambda: RandomRotation("5"), TypeError, "degrees must be a number"),
    (lambda: RandomAffine(0, translate=0.1), TypeError, "translate must be a pair of shares"),
    (lambda: RandomAffine(0, translate=(0, 1.1)), ValueError, r"translate\[1\] must be a finite number"),
    (lambda: RandomAffine(0, scale=(0, 1)), ValueError, r"scale\[0\] must be a finite number"),
    (lambda: RandomAffine(0, scale=2), TypeError, "scale must be a pair of numbers"),
    (lambda: RandomAffine(0, shear=90), ValueError, "shear must be a finite number between -89 and 89"),
    (lambda: RandomAffine(0, shear=(1, 2, 3)), ValueError, "shear must be a pair of numbers"),
    (lambda: RandomAffine(0, fill=(1, "x")), TypeError, r"fill\[1\] must be a number"),
    (lambda: RandomScale((2, 1)), ValueError, r"scale must be \(smallest, largest\)"),
    (lambda: Cutout(0), ValueError, "size must be between 1"),
    (lambda: Cutout(4, p=2), ValueError, "p must be"),
    (lambda: RandomErasing(scale=(0, 2)), ValueError, r"scale\[1\] must be a finite number between 0 and 1"),
    (lambda: RandomErasing(ratio=(0, 1)), ValueError, r"ratio\[0\] must be"),
    (lambda: ColorJitter(brightness=-1), ValueError, "brightness must be a finite number between 0 and inf"),
    (lambda: ColorJitter(contrast=(-1, 1)), ValueError, r"contrast\[0\] must be"),
    (lambda: ColorJitter(saturation="much"), TypeError, "saturation must be a number"),
    (lambda: ColorJitter(hue=0.6), ValueError, "hue must be a finite number between 0 and 0.5"),
    (lambda: ColorJitter(hue=(-0.6, 0)), ValueError, r"hue\[0\] must be a finite number between -0.5 and 0.5"),
    (lambda: Normalize(0, 0), ValueError, "std must be positive, got 0"),
    (lambda: Normalize("mean", 1), TypeError, "mean must be a number"),
    (lambda: RandomCrop(20)(images()), ShapeError, r"size \(20, 20\) is larger than the padded images \(12, 12\)"),
    (lambda: RandomCrop(4, 12, padding_mode="reflect")(images()), ShapeError, "must be smaller than the images"),
    (lambda: Cutout(4, fill=(0, 0))(images()), ShapeError, "fill has 2 numbers, but images have 3 channels"),
    (lambda: RandomErasing(value=(0, 0))(images()), ShapeError, "value has 2 numbers"),
    (lambda: RandomScale((1, 1), fill=(0,))(images()), ShapeError, "fill has 1 numbers"),
    (lambda: Cutout(4, fill=256)(images(dtype=np.uint8)), ValueError, "fill must lie between 0 and 255 for uint8"),
    (lambda: RandomCrop(4, 1, fill=-1)(images(dtype=np.uint8)), ValueError, "fill must lie between 0 and 255"),
    (lambda: transforms.Transform()(images()), NotImplementedError, "Transform has no apply"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_a_bad_argument_is_named(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()
