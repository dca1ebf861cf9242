# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv bench`: time published layers against torch and onnxruntime, and print every row, won or lost."""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import fastconv
from fastconv import _core
from fastconv._config import MAX_THREADS
from fastconv._extras import require
from fastconv.bench import peers, picture, record, table
from fastconv.bench.machine import Limits, measure_limits, memory_limit, processor
from fastconv.bench.ours import PASSES, BenchPass
from fastconv.bench.run import Case, Result, Selection, Skipped, cases
from fastconv.bench.run import run as run_cases
from fastconv.commands import UsageError, integer, positive

#: Minutes: a quick run ends within 3 and a full one within 40, with what comes before and after the cases.
QUICK_MINUTES, FULL_MINUTES = 2.6, 38.0
QUICK = Selection(passes=("forward", "backward"), batches=(1,), threads=(1,))
NONE = "none"
CHOICES = (*peers.PACKAGES, NONE)
MAX_BATCH = 4096


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastconv bench`."""
    add = parser.add_argument
    add("--quick", action="store_true", help="forward and all gradients, N = 1, one thread; within 3 minutes")
    add("--rows", default="", metavar="PATTERN",
        help="shell patterns, comma-separated, of net, net/layer or id in the lists: 'vgg,resnet50/*3x3,P1'")
    add("--passes", type=_words(PASSES), metavar="P,...", help=f"of {', '.join(PASSES)}; default: all")
    add("--batch", type=_integers(MAX_BATCH), metavar="N,...", help="default: 1,16,64")
    add("--threads", type=_integers(MAX_THREADS), metavar="N,...", help="default: 1,2; with one processor 1")
    add("--against", type=_words(CHOICES), metavar="PEER,...",
        help=f"of {', '.join(CHOICES)}; default: those installed")
    add("--minutes", type=positive, metavar="M",
        help=f"what is left when they are over is skipped; default: {FULL_MINUTES:g}, with --quick {QUICK_MINUTES:g}")
    add("--memory", type=positive, metavar="GIB", help="of one layer's arrays; default: half of what is free")
    add("--json", type=Path, metavar="FILE", help="write all numbers there")
    add("--picture", type=Path, metavar="FILE", help="draw a roofline and bars of the ratios there, as .png")


def _words(allowed: Sequence[str] | dict[BenchPass, str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
        for word in words:
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"got {word!r}, expected some of {', '.join(allowed)}")
        return words

    return parse


def _integers(high: int) -> Callable[[str], tuple[int, ...]]:
    one = integer(1, high)
    return lambda text: tuple(dict.fromkeys(one(part.strip()) for part in text.split(",")))


def run(options: argparse.Namespace) -> None:
    """Measure, print a table for each pass, batch and number of threads, then the summary; write the files."""
    # Before the work rather than after it: what the end needs, and whether there is a place for the results.
    against = _peers(options.against)
    _check_files(options)
    selection = _selection(options)
    todo = cases(selection)
    if not todo:
        raise UsageError(f"argument --rows: got {options.rows!r}, which fits no row with these passes and batches")
    limits = {threads: measure_limits(threads) for threads in selection.threads}
    versions = peers.versions(against)
    print(table.headline(limits.values(), processor(), _core.isa()))
    print(f"  fastconv {fastconv.__version__}" + "".join(f", {name} {v}" for name, v in versions.items()))
    print(f"\n{table.LEGEND}\n", flush=True)
    results, skipped = _measure(options, todo, against, limits)
    print(table.summary(results, skipped))
    if options.json:
        record.write(options.json, results, skipped, limits.values(), versions)
        print(f"\nnumbers written to {options.json}")
    if options.picture:
        picture.write(options.picture, results)
        print(f"\npicture written to {options.picture}")


def _peers(wanted: tuple[str, ...] | None) -> list[str]:
    """Those to run against. UsageError for one that was named and is not installed."""
    if wanted is None:
        return [name for name in peers.PACKAGES if not peers.missing(name)]
    if NONE in wanted:
        if len(wanted) > 1:
            raise UsageError(f"argument --against: got {','.join(wanted)}, expected {NONE} alone or peers")
        return []
    for name in wanted:
        absent = peers.missing(name)
        if absent:
            raise UsageError(
                f"argument --against: {name} needs what is not installed: {', '.join(absent)}. "
                'Install it with: pip install "fastconv[bench]"'
            )
    return list(wanted)


def _check_files(options: argparse.Namespace) -> None:
    if options.picture:
        require("matplotlib", extra="bench")
    for name in ("json", "picture"):
        path: Path | None = getattr(options, name)
        if path is None:
            continue
        if path.is_dir():
            raise UsageError(f"argument --{name}: got {path}, which is a directory, expected a file")
        try:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise UsageError(f"argument --{name}: cannot write to {path}: {error.strerror}") from None


def _selection(options: argparse.Namespace) -> Selection:
    base = QUICK if options.quick else Selection()
    threads = options.threads or tuple(n for n in base.threads if n == 1 or n <= fastconv.get_num_threads())
    return Selection(
        options.rows, options.passes or base.passes, options.batch or base.batches, threads
    )


def _measure(
    options: argparse.Namespace, todo: Sequence[Case], against: Sequence[str], limits: dict[int, Limits]
) -> tuple[list[Result], list[Skipped]]:
    """Print each table as soon as it is complete."""
    minutes = options.minutes or (QUICK_MINUTES if options.quick else FULL_MINUTES)
    memory = int(options.memory * 2**30) if options.memory else memory_limit()
    outcomes = run_cases(todo, against, limits, memory, 60 * minutes)
    results: list[Result] = []
    skipped: list[Skipped] = []
    with _progress(len(todo)) as bar:
        for _, part in groupby(_told(outcomes, bar), key=lambda outcome: outcome.case.section):
            found = list(part)
            measured = [item for item in found if isinstance(item, Result)]
            results += measured
            skipped += [item for item in found if isinstance(item, Skipped)]
            if measured:
                _print(bar, table.section(measured))
    return results, skipped


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A tqdm bar on a terminal, None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    tqdm = require("tqdm", extra="bench").tqdm
    with tqdm(total=total, unit="case", leave=False, dynamic_ncols=True, smoothing=0.1) as bar:
        yield bar


def _told(outcomes: Iterator[Result | Skipped], bar: Any) -> Iterator[Result | Skipped]:
    for outcome in outcomes:
        if bar is not None:
            bar.set_postfix_str(outcome.case.row.name, refresh=False)
            bar.update()
        yield outcome


def _print(bar: Any, text: str) -> None:
    """Above the bar, if there is one."""
    if bar is not None:
        bar.clear()
    print(f"{text}\n", flush=True)
    if bar is not None:
        bar.refresh()
