# SPDX-License-Identifier: BSD-3-Clause
"""Every script of docs/lectures runs, agrees with itself, and writes the pictures that it says it writes."""

import os
import pickle
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("matplotlib", "PIL", "sklearn"):
    pytest.importorskip(package, reason='needs pip install "fastconv[test]"')

ROOT = Path(__file__).parents[1]
LECTURES = ROOT / "docs" / "lectures"
SCRIPTS = sorted(path for path in LECTURES.glob("*.py") if not path.name.startswith("_"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_writes_its_pictures(script, tmp_path):
    from PIL import Image

    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=300, env=environment
    )
    if process.stderr.startswith("skipped: "):
        pytest.skip(process.stderr.strip())
    assert process.returncode == 0, process.stderr
    said = {Path(line.strip()).name for line in process.stdout.splitlines() if line.endswith(".png")}
    promised = set(re.findall(r"[\w-]+\.png", script.read_text().partition('"""\n')[0]))
    assert said == promised == {path.name for path in tmp_path.iterdir()}
    for name in said:
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (1920, 1080)
            assert len(picture.convert("L").resize((64, 36)).getcolors(64 * 36)) > 10    # more than a blank sheet


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_listed(script):
    assert f"({script.name})" in (LECTURES / "README.md").read_text()


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "evil.th"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}, Evil(), [])))
    load = runpy.run_path(str(LECTURES / "_checkpoint.py"))["load"]
    with pytest.raises(pickle.UnpicklingError, match="is no part of a checkpoint"):
        load(path)
    assert not (tmp_path / "made").exists()
