"""`cardionode` commands, each a process of its own, from one that has imported the node already.

Importing takes seconds, which the suite would pay a hundred times. What it forks from has no
threads and has done nothing yet.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Final

from tests.end_to_end.network import enter

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [f"node.cli.{name}" for name in ("serve", "jobs", "user", "peers", "check", "hl7", "bundle")]
    + ["node.app", "node.engine.unit_of_work"]
)


class ForkedCommand:
    """One that runs, with what `subprocess.Popen` says of it."""

    def __init__(
        self,
        words: list[str],
        *,
        stdin: Path,
        stdout: Path,
        stderr: Path,
        namespace: str | None = None,
    ) -> None:
        """namespace: of the network that it is to be in."""
        self._process = _CONTEXT.Process(
            target=_run, args=(words, str(stdin), str(stdout), str(stderr), namespace)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired("cardionode", timeout)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


def run(words: list[str], *, typed: str = "", within_s: float = 60.0) -> CompletedProcess[str]:
    """The command when it has ended, as `subprocess.run` gives it.

    typed: what a person types at its prompts.
    """
    with tempfile.TemporaryDirectory() as folder:
        stdin, stdout, stderr = (Path(folder) / name for name in ("in", "out", "err"))
        stdin.write_text(typed, encoding="utf-8")
        command = ForkedCommand(words, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            status = command.wait(within_s)
        except TimeoutExpired:
            command.terminate()
            raise
        return CompletedProcess(
            words, status, stdout.read_text(encoding="utf-8"), stderr.read_text(encoding="utf-8")
        )


def _run(words: list[str], stdin: str, stdout: str, stderr: str, namespace: str | None) -> None:
    from node.cli import main

    if namespace is not None:
        enter(namespace)
    os.setsid()  # a password is asked for at the terminal where there is one
    for descriptor, (file, flags) in enumerate(
        (
            (stdin, os.O_RDONLY),
            (stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
            (stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        )
    ):
        opened = os.open(file, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(os.dup(n), m) for n, m in enumerate("rww"))
    sys.argv = ["cardionode", *words]
    main()
