"""The systemd units: what systemd says of them, and that both let the node do as little."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import absent

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = ("cardionode.service", "cardionode@.service")
MOST_EXPOSED = 20
"""Tenths, of systemd's 0 to 10.0."""
ITS_OWN = {"DynamicUser", "User", "ExecStart", "ExecStartPre", "Environment", "ReadWritePaths"}


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        absent("no systemd-analyze: apt-get install systemd")
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One whose program is there."""
    name: str = request.param
    text = (FOLDER / name).read_text(encoding="utf-8")
    made = tmp_path / name.replace("@", "@receive")
    program = str(Path(sys.executable).with_name("cardionode"))
    made.write_text(text.replace("/opt/cardionode/bin/cardionode", program), encoding="utf-8")
    return made


def test_systemd_finds_nothing_to_complain_of(unit: Path) -> None:
    found = analyze("verify", "--man=no", str(unit))
    assert (found.returncode, found.stderr + found.stdout) == (0, "")
    unit.write_text(unit.read_text(encoding="utf-8") + "Protects=all\n", encoding="utf-8")
    assert "Protects" in analyze("verify", "--man=no", str(unit)).stderr, "it looks at the unit"


def test_what_an_intruder_could_do_is_little(unit: Path) -> None:
    found = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    exposed = re.search(r"exposure level for \S+: ([0-9.]+)", found.stdout)
    assert exposed is not None, found.stderr
    print(f"{unit.name}: exposed {exposed[1]}")
    assert found.returncode == 0, found.stdout


def test_both_units_say_the_same_but_for_who_and_what() -> None:
    services = [_service(name) for name in UNITS]
    kept = [{key: each[key] for key in each.keys() - ITS_OWN} for each in services]
    assert kept[0] == kept[1]


def test_user_and_folders_are_made_as_the_units_want_them(tmp_path: Path) -> None:
    for program in ("systemd-sysusers", "systemd-tmpfiles"):
        if shutil.which(program) is None:
            absent(f"no {program}: apt-get install systemd")
    key = tmp_path / "etc" / "cardionode" / "node.key"
    key.parent.mkdir(parents=True)
    (tmp_path / "srv").mkdir()
    key.write_text("secret")
    key.chmod(0o644)
    for program, folder in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        create = ["--create"] if program == "systemd-tmpfiles" else []
        given = FOLDER / folder / "cardionode.conf"
        subprocess.run([program, *create, f"--root={tmp_path}", given], check=True, timeout=60)
    user = next(
        line.split(":")
        for line in (tmp_path / "etc" / "passwd").read_text(encoding="utf-8").splitlines()
        if line.startswith("cardionode:")
    )
    uid, gid = int(user[2]), int(user[3])
    found = {
        each: (each.stat().st_uid, each.stat().st_gid, stat.S_IMODE(each.stat().st_mode))
        for each in (key.parent, key, tmp_path / "srv" / "cardionode")
    }
    assert list(found.values()) == [(0, gid, 0o750), (0, gid, 0o640), (uid, gid, 0o700)]


def _service(name: str) -> dict[str, list[str]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").partition("[Service]")[2]
    found: dict[str, list[str]] = {}
    for line in lines.partition("[Install]")[0].splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found
