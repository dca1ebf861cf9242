# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv explain`: how a layer or a model is computed, by which algorithm, why, and how fast."""

import argparse

import fastconv
from fastconv import models, nn
from fastconv._config import MAX_THREADS
from fastconv.commands import UsageError, integer
from fastconv.explanation import SYNTAX, parse
from fastconv.ops._algorithm import PRECISIONS

MAX_BATCH = 65536


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastconv explain`."""
    add = parser.add_argument
    add("what", metavar="MODEL|LAYER", help=f"one of {', '.join(models.MODELS)}; or a layer such as {SYNTAX}; or a "
        "layer of the benchmark such as resnet50/res3_3x3")
    add("--batch", type=integer(1, MAX_BATCH), default=1, metavar="N", help="images; default: 1")
    add("--threads", type=integer(1, MAX_THREADS), metavar="N", help="default: one for each processor")
    add("--precision", choices=PRECISIONS, default="default", help="strict keeps Winograd out; default: default")


def run(options: argparse.Namespace) -> None:
    """Print the explanation."""
    model, shape = _subject(options.what)
    before = fastconv.get_num_threads()
    fastconv.set_num_threads(options.threads or before)
    try:
        with fastconv.algorithm(precision=options.precision):
            print(fastconv.explain(model, (options.batch, *shape)))
    except ValueError as error:    # a kernel larger than its image, say
        raise UsageError(f"argument MODEL|LAYER: {error}") from None
    finally:
        fastconv.set_num_threads(before)


def _subject(what: str) -> tuple[nn.Module, tuple[int, int, int]]:
    if what in models.MODELS:
        return models.build(what), models.MODELS[what].input_shape
    try:
        return parse(what)
    except ValueError as error:
        names = ", ".join(models.MODELS)
        raise UsageError(f"argument MODEL|LAYER: {error}, or a model: {names}") from None
