# SPDX-License-Identifier: BSD-3-Clause
"""Results as JSON, for comparing machines and versions."""

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastconv
from fastconv._files import replacing
from fastconv.bench.machine import Limits, description
from fastconv.bench.run import NNPACK, ONNXRUNTIME, TORCH, Case, Result, Skipped
from fastconv.bench.table import summarize


def write(
    path: Path, results: Sequence[Result], skipped: Sequence[Skipped], limits: Iterable[Limits],
    versions: Mapping[str, str],
) -> None:  # fmt: skip
    content = record(results, skipped, limits, versions)
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


def record(
    results: Sequence[Result], skipped: Sequence[Skipped], limits: Iterable[Limits], versions: Mapping[str, str]
) -> dict[str, Any]:
    """Seconds are medians; FLOP/s count Winograd as direct summation; ratios are peer over fastconv."""
    return {
        "fastconv": fastconv.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": description(),
        "peers": dict(versions),
        "limits": [limit._asdict() for limit in limits],
        "results": [_result(result) for result in results],
        "skipped": [{**_case(item.case), "reason": item.reason} for item in skipped],
        "summary": [item._asdict() for item in summarize(results)],
    }


def _case(case: Case) -> dict[str, Any]:
    row = case.row
    return {
        "id": row.id, "name": row.name, "problem": row.problem, "class": row.category,
        "pass": case.pass_, "batch": case.batch, "threads": case.threads,
    }  # fmt: skip


def _result(result: Result) -> dict[str, Any]:
    return {
        **_case(result.case),
        "algorithm": result.algorithm,
        "seconds": result.seconds,
        "ratios": {peer: result.ratio(peer) for peer in (TORCH, NNPACK, ONNXRUNTIME)},
        "macs": result.macs,
        "bytes": result.bytes,
        "flops_per_second": result.flops,
        "share_of_peak": result.flops / result.limits.peak,
        "error": result.error._asdict() if result.error else None,
    }
