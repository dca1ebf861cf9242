# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv filter`: run an image filter on a picture and write the result as a picture."""

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import filters
from fastconv._extras import require
from fastconv._files import replacing
from fastconv.commands import CommandError, UsageError, integer, positive
from fastconv.filters._image import PADDING_MODES
from fastconv.filters._kernels import suggestion
from fastconv.ops._check import Array

#: Filters that are more than one kernel of filters.KERNELS.
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "gaussian": filters.gaussian,
    "smoothing": filters.smoothing,
    "unsharp_mask": filters.unsharp_mask,
    "edge": filters.edge,
    "prewitt": filters.prewitt,
    "sobel": filters.sobel,
    "scharr": filters.scharr,
    "roberts": filters.roberts,
}
NAMES = (*FUNCTIONS, *(name for name in filters.KERNELS if name not in FUNCTIONS))

#: The parameters of filters that are options here, and the filters that have them.
PARAMETERS = {"sigma": ("gaussian", "unsharp_mask"), "size": ("smoothing",), "amount": ("unsharp_mask",)}

TONES = ("saturate", "stretch")
WHITE = 0.01    # the part of a stretched picture that is white; strong edges are rare, and others would be too dark
MAX_SIZE = 1001
GREY = ("1", "L", "LA", "La")
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastconv filter`."""
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="a picture, in any format that Pillow reads")
    add("--kernel", type=_kernel, required=True, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    add("--border", choices=PADDING_MODES, default="reflect", help="what lies off the picture; default: reflect")
    add("--sigma", type=positive, metavar="PIXELS", help=f"of {' and '.join(PARAMETERS['sigma'])}; default: 1")
    add("--size", type=integer(1, MAX_SIZE), metavar="PIXELS", help="of smoothing, odd; default: 3")
    add("--amount", type=positive, metavar="X", help="how much of the detail unsharp_mask adds; default: 1")
    add("--tones", choices=TONES,
        help="saturate: below black is black, above white is white; stretch: absolute values, of which the largest "
        "hundredth is white; default: stretch for kernels of edges, whose weights sum to 0")
    add("--grey", action="store_true", help="take the colours away first")
    add("--output", type=Path, metavar="FILE", help="default: IMAGE-NAME.png in the current directory")
    add("--force", action="store_true", help="replace the output if it exists")


def _kernel(text: str) -> str:
    name = text.replace("-", "_").lower()
    if name not in NAMES:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected one of {', '.join(NAMES)}{suggestion(name, NAMES)}")
    return name


def run(options: argparse.Namespace) -> None:
    """Read, filter, write."""
    # Before the work rather than after it: what the command line must be, and whether there is a place for the result.
    parameters = _parameters(options)
    output = options.output or Path(f"{options.image.stem}-{options.kernel}.png")
    extension_of = _formats()
    _check_output(output, extension_of, options.force)
    image = _read(options.image, options.grey)
    function = FUNCTIONS.get(options.kernel) or partial(_apply, options.kernel)
    axis = None if image.ndim == 2 else -1
    filtered = function(image, padding_mode=options.border, channel_axis=axis, **parameters)
    tones = options.tones or _usual_tones(options.kernel)
    _write(_pixels(filtered, tones), output, extension_of[output.suffix.lower()])
    print(f"{options.kernel} of {options.image} ({image.shape[1]} x {image.shape[0]}) written to {output}")


# ---- the command line ------------------------------------------------------------------------------------


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in PARAMETERS if getattr(options, name) is not None}
    for name in given:
        if options.kernel not in PARAMETERS[name]:
            raise UsageError(
                f"argument --{name}: --kernel {options.kernel} has none; it belongs to {' and '.join(PARAMETERS[name])}"
            )
    if given.get("size", 1) % 2 == 0:
        raise UsageError(f"argument --size: got {given['size']}, expected an odd number")
    return given


def _formats() -> dict[str, str]:
    """The formats that Pillow writes, by extension."""
    image = require("PIL.Image", extra="viz")
    image.init()
    return {extension: name for extension, name in image.EXTENSION.items() if name in image.SAVE}


def _check_output(output: Path, formats: dict[str, str], force: bool) -> None:
    if output.suffix.lower() not in formats:
        raise UsageError(f"argument --output: got {output}, expected a name that ends in .png, .jpg, .bmp or alike")
    if output.is_dir():
        raise UsageError(f"argument --output: got {output}, which is a directory, expected a file")
    if output.exists() and not force:
        raise UsageError(f"argument --output: {output} exists; --force replaces it")
    if not output.parent.is_dir():
        raise UsageError(f"argument --output: cannot write to {output}: there is no directory {output.parent}")


def _usual_tones(kernel: str) -> str:
    """Also for "sobel", which is made of "sobel_x" and "sobel_y"."""
    parts = [filters.kernel(name) for name in filters.KERNELS if name.startswith(kernel)]
    return "stretch" if parts and not parts[0].sum() else "saturate"


# ---- pictures --------------------------------------------------------------------------------------------


def _read(path: Path, grey: bool) -> Array:
    """(H, W) or (H, W, 3), uint8, upright. CommandError where the file is no picture, or one of other numbers."""
    image = require("PIL.Image", extra="viz")
    orient = require("PIL.ImageOps", extra="viz").exif_transpose
    if path.is_dir():
        raise CommandError(f"{path} is a directory, expected a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path) as opened:
                opened.load()
                picture = orient(opened)
    except FileNotFoundError:
        raise CommandError(f"{path}: there is no such file") from None
    except image.UnidentifiedImageError:
        raise CommandError(f"{path} is not a picture in a format that Pillow reads") from None
    except (image.DecompressionBombError, image.DecompressionBombWarning) as error:
        raise CommandError(f"{path} is too large: {error}") from None
    except PermissionError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:    # what Pillow's decoders raise
        raise CommandError(f"{path} is a damaged picture: {error}") from None
    if picture.mode in SIXTEEN_BITS:
        return np.asarray(np.rint(np.asarray(picture) / 257), np.uint8)    # 65535 / 255; Pillow would cut at 255
    if picture.mode in ("I", "F"):
        raise CommandError(f"{path} has 32 bits a pixel (mode {picture.mode}), of which none is known to be white")
    return np.asarray(picture.convert("L" if grey or picture.mode in GREY else "RGB"))


def _apply(name: str, image: Array, **options: Any) -> Array:
    return filters.apply(image, filters.kernel(name), **options)


def _pixels(filtered: Array, tones: str) -> Array:
    if tones == "stretch":
        filtered = np.abs(filtered)
        filtered = filtered * (255 / (np.quantile(filtered, 1 - WHITE) or filtered.max() or 1))
    return np.clip(np.rint(filtered), 0, 255).astype(np.uint8)


def _write(pixels: Array, output: Path, name: str) -> None:
    with replacing(output) as file:
        require("PIL.Image", extra="viz").fromarray(pixels).save(file, format=name)
