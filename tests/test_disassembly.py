"""No accumulator of a register tile lives on the stack: the inner loops of the compiled kernels touch it nowhere."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "csrc" / "isa"
NEEDED = ("gcc", "objdump")

pytestmark = [
    pytest.mark.skipif(not KERNELS.is_dir(), reason="needs the C sources"),
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason="needs gcc and objdump"),
]

#: The kernels whose inner loop is all of the work; of every other one the loops are short.
TILES = re.compile(r"^(tile_\d+x\d|tile_largest|(plane|copy|outer)_tile_\d+x\d|grad_tile_\d)_(32|64)$")
INSTRUCTION = re.compile(r"^\s+([0-9a-f]+):\s+(.*)$")


def flags(level: str) -> list[str]:
    """Those of setup.py, which states them once."""
    source = (ROOT / "setup.py").read_text()
    values: dict[str, object] = {}
    start, end = source.index("CFLAGS = ["), source.index("HEADERS =")
    exec(source[start:end], {"platform": __import__("platform")}, values)
    return [*values["CFLAGS"], *values["ISA_FLAGS"][level]]


def functions(level: str, directory: Path) -> dict[str, list[tuple[int, str]]]:
    """(address, instruction) of each function of a level."""
    target = directory / f"{level}.o"
    subprocess.run(
        ["gcc", *flags(level), f"-I{ROOT / 'csrc'}", "-c", str(KERNELS / f"kernels_{level}.c"), "-o", str(target)],
        check=True,
    )
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(target)], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, list[tuple[int, str]]] = {}
    for line in text.splitlines():
        if (name := re.match(r"^[0-9a-f]+ <(\w+)>:$", line)) is not None:
            current = found.setdefault(name[1], [])
        elif (instruction := INSTRUCTION.match(line)) is not None:
            current.append((int(instruction[1], 16), instruction[2]))
    return found


def innermost_loops(code: list[tuple[int, str]]) -> list[list[str]]:
    """The instructions between a jump backwards and its target, where no such loop lies within."""
    spans = []
    for address, instruction in code:
        jump = re.match(r"j\w+\s+([0-9a-f]+)", instruction)
        if jump is not None and int(jump[1], 16) <= address:
            spans.append((int(jump[1], 16), address))
    inner = [s for s in spans if not any(t != s and s[0] <= t[0] and t[1] <= s[1] for t in spans)]
    return [[text for address, text in code if first <= address <= last] for first, last in inner]


def is_another_name(code: list[tuple[int, str]]) -> bool:
    """Whether a function only jumps to one with the same code, which is looked at itself."""
    return code[0][1].startswith("jmp")


@pytest.mark.parametrize("level", ["avx2", "avx512"])
def test_inner_loops_do_not_touch_the_stack(level, tmp_path):
    tiles = {name: code for name, code in functions(level, tmp_path).items() if TILES.match(name)}
    compiled = {name: code for name, code in tiles.items() if not is_another_name(code)}
    assert len(compiled) >= 30
    looked_at, spills = 0, {}
    for name, code in compiled.items():
        for loop in innermost_loops(code):
            if not any("vfmadd" in instruction for instruction in loop):
                continue
            looked_at += 1
            stack = [i for i in loop if re.search(r"\(%r[sb]p[,)]", i) and re.search(r"%[xyz]mm", i)]
            if stack:
                spills[name] = stack
    assert looked_at >= len(compiled)
    assert not spills
