"""What a command pays for before it begins."""

from __future__ import annotations

import subprocess
import sys


def test_a_command_that_looks_at_rows_starts_without_the_model() -> None:
    heavy = {"scipy", "onnxruntime", "highdicom", "uvicorn", "starlette"}
    program = (
        "import sys, typer.testing, node.cli; "
        "typer.testing.CliRunner().invoke(node.cli.app, ['jobs', 'list', '--home', '/nowhere']); "
        f"print(*sorted({heavy} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.split() == []


def test_an_offline_command_starts_without_the_parts_of_a_running_node() -> None:
    program = (
        "import sys, node.cli.process, node.workflow.process; "
        "print(*sorted({'sqlalchemy', 'dbos', 'uvicorn', 'starlette', 'h11'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.split() == []
