# SPDX-License-Identifier: BSD-3-Clause
"""Run bad inputs in a process of its own, with little memory: `python tests/run_bad_inputs.py ROW...`

Prints an outcome a line as JSON, so that of a crash all that went before it is known, and at the end by how
many bytes the process has grown.
"""

import json
import resource
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bad_conv_inputs  # noqa: E402
import bad_more_pool_inputs  # noqa: E402
import bad_pool_inputs  # noqa: E402
from bad_inputs import CASES, GOOD, ordinary_call, run  # noqa: E402

#: What the process may have beyond what it has at the start, in bytes.
MEMORY = 1 << 30

TABLES = (bad_conv_inputs, bad_pool_inputs, bad_more_pool_inputs)


def main(rows: Iterable[int]) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for op in GOOD:
        ordinary_call(op)
    before = peak()
    for case in CASES:
        if case.row in rows:
            print(json.dumps(asdict(run(case))), flush=True)
    print(json.dumps({"growth": peak() - before}))


def peak() -> int:
    """Most bytes of memory that the process ever had at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main([int(row) for row in sys.argv[1:]])
