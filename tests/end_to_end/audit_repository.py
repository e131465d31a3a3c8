"""An audit record repository: rsyslog over mutual TLS, which writes what it takes to a file."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.certificates import HOST, Files
from tests.conftest import absent

_TLS = "rsyslog/lmnsd_gtls.so"
_BEGIN = "\ufeff<?xml"


class AuditRepository:
    """`messages` are those it has taken, the first first."""

    def __init__(self, folder: Path, port: int, shown: Files) -> None:
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
        if program is None or not any(Path("/usr/lib").glob(f"*/{_TLS}")):
            absent("rsyslog with TLS is not installed; `make peers` does it")
        self._program, self._folder = program, folder
        self._taken = folder / "taken"
        (folder / "rsyslog.conf").write_text(f"""
global(
  workDirectory="{folder}" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{shown.authorities}"
  defaultNetstreamDriverCertFile="{shown.certificate}"
  defaultNetstreamDriverKeyFile="{shown.key}"
)
module(
  load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="x509/certvalid"
)
template(name="head-and-message" type="string" string="%pri% %msgid% %app-name% %msg%\\n")
input(type="imtcp" address="{HOST}" port="{port}")
action(type="omfile" file="{self._taken}" template="head-and-message")
""")

    @contextmanager
    def running(self) -> Iterator[None]:
        assert self._program is not None
        command = [self._program, "-n", "-f", f"{self._folder}/rsyslog.conf"]
        process = subprocess.Popen([*command, "-i", f"{self._folder}/pid"])
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)

    @property
    def messages(self) -> list[bytes]:
        """Raises AssertionError where one has not the head that it should."""
        if not self._taken.exists():
            return []
        found = []
        for line in self._taken.read_text(encoding="utf-8").splitlines():
            if "rsyslogd" in line.split("<?xml")[0]:  # what it says of itself
                continue
            head, begin, rest = line.partition(_BEGIN)
            assert head.rstrip() == "85 IHE+RFC-3881 heart", head
            found.append((begin.removeprefix("\ufeff") + rest.replace("#012", "\n")).encode())
        return found

    def wait_for(self, count: int, *, within_s: float = 60.0) -> list[bytes]:
        until = time.monotonic() + within_s
        while len(self.messages) < count:
            assert time.monotonic() < until, self.messages
            time.sleep(0.1)
        return self.messages
