"""Takes the handbook's pictures anew of the console as it is: of what a test does in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "handbook" / "pictures"
PREFIX = "handbook-"
COLOURS = 128

with tempfile.TemporaryDirectory() as taken:
    test = [
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/end_to_end/test_console.py",
        "-k",
        "connects",
    ]
    subprocess.run(
        [ROOT / ".ci" / "own-network", sys.executable, "-m", *test],
        cwd=ROOT,
        env={**os.environ, "CARDIONODE_SCREENSHOTS": taken},
        check=True,
    )
    FOLDER.mkdir(exist_ok=True)
    for file in sorted(Path(taken).glob(f"{PREFIX}*.png")):
        made = FOLDER / file.name.removeprefix(PREFIX)
        Image.open(file).convert("RGB").quantize(COLOURS).save(made, optimize=True)
        sys.stdout.write(f"{made.relative_to(ROOT)}: {made.stat().st_size / 1e3:.0f} kB\n")
