# SPDX-License-Identifier: BSD-3-Clause
"""The first convolution of a trained ResNet, shown on a photograph.

    python docs/lectures/first_resnet_layer.py [DIRECTORY]

writes resnet-filters.png and resnet-maps.png. The weights are those of the CIFAR-10 ResNet-20 by Y. Idelbayev
(github.com/akamaster/pytorch_resnet_cifar10); they and the photograph, from the Open Images data set (CC BY 2.0), are
looked for in $FASTCONV_TEST_DATA, by default ../shared beside the repository.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _checkpoint import load
from _pictures import Array, draw_image, report, run

from fastconv import nn, no_grad, reference
from fastconv._extras import require
from fastconv.viz import figure_of, filters, save, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA = Path(os.environ.get("FASTCONV_TEST_DATA") or Path(__file__).parents[3] / "shared") / "realdata"
WEIGHTS = DATA / "resnet_cifar10" / "resnet20-12fca82f.th"
PHOTOGRAPH = DATA / "mobilenet" / "parrot.jpg"

# How the network's training prepared its images: from 0 to 1, then to mean 0 and deviation 1 in each colour.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def main(directory: Path) -> None:
    """Run the layer, check some of its numbers by hand, and draw."""
    for path in (WEIGHTS, PHOTOGRAPH):
        if not path.exists():
            raise SystemExit(f"skipped: there is no {path}; set FASTCONV_TEST_DATA")
    conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    conv.load_state_dict({"weight": load(WEIGHTS)["conv1.weight"]})
    photograph = read(PHOTOGRAPH)
    x = ((photograph / np.float32(255) - MEAN) / DEVIATION).transpose(2, 0, 1)[None]    # (1, 3, H, W)
    with no_grad():
        maps = np.asarray(conv.eval()(x))[0]
    weight = conv.weight.numpy()
    print(f"photograph {x.shape[1:]}, filters {weight.shape}, maps {maps.shape}")
    corner = reference.conv2d(x[:, :, :8, :8], weight, padding=1)[0, :, :7, :7]
    np.testing.assert_allclose(maps[:, :7, :7], corner, atol=1e-5)
    print("the corner of each map agrees with the sums in float64\n\nwritten:")
    title = "The 16 filters of the first convolution of ResNet-20, 3 x 3 pixels in three colours"
    save(filters(weight, title), report(directory / "resnet-filters.png"))
    save(draw_maps(photograph, weight, maps), report(directory / "resnet-maps.png"))


def read(path: Path) -> Array:
    """The upper part of the picture: (512, 512, 3), uint8."""
    with require("PIL.Image", extra="viz").open(path) as picture:
        return np.asarray(picture.convert("RGB"))[60:572]


@styled
def draw_maps(photograph: Array, weight: Array, maps: Array) -> "Figure":
    """The photograph, and what each filter makes of it, with the filter in its corner."""
    figure = figure_of("What the 16 filters of ResNet-20's first layer see in a photograph")
    figure.supxlabel("red where a filter fits, blue where its negative does; each map has a scale of its own, "
                     "so the filters of almost zero (grey) show too", fontsize=13)  # fmt: skip
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.6])
    draw_image(left.subplots(), photograph, "photograph, 3 colours")
    largest = float(np.abs(weight).max())
    for k, axes in enumerate(right.subplots(4, 4).flat):
        limit = float(np.quantile(np.abs(maps[k]), 0.99))
        draw_image(axes, maps[k], cmap="RdBu_r", vmin=-limit, vmax=limit)
        corner = axes.inset_axes((0.7, 0.02, 0.28, 0.28))
        draw_image(corner, weight[k].transpose(1, 2, 0) / (2 * largest) + 0.5)
    return figure


if __name__ == "__main__":
    run(main)
