"""An installation where there is no network: from the wheelhouse, which says what is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread

from node.cli.own_network import own_network_prefix
from pipelines.catalog import find_bundles, shipped_bundles
from tests.conftest import absent
from tests.ecg_instances import instances

MADE_BY_MAKE = Path(__file__).parents[2] / "build" / "wheelhouse"


@pytest.fixture(scope="module")
def wheelhouse() -> Path:
    folder = Path(os.environ.get("CARDIONODE_WHEELHOUSE", MADE_BY_MAKE))
    if not list(folder.glob("cardionode-*.whl")):
        absent("no wheelhouse: make wheelhouse")
    return folder


def test_an_ecg_is_answered_by_what_the_wheelhouse_installs_without_a_network(
    wheelhouse: Path, tmp_path: Path
) -> None:
    inside = own_network_prefix()
    if inside is None:
        absent("no right to make a network namespace")
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*inside, *map(str, words)], capture_output=True, text=True, cwd=tmp_path, timeout=300,
            check=False, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )  # fmt: skip

    reach = "import socket; socket.create_connection(('192.0.2.1', 443), 5)"
    assert "unreachable" in run(sys.executable, "-c", reach).stderr, "there is no network"
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--no-index"]
    installed = run(*pip, "--find-links", wheelhouse, "cardionode")
    assert installed.returncode == 0, installed.stderr
    verified = run(programs / "cardionode", "bundle", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    ((_, content),) = instances(1)
    (tmp_path / "ecg.dcm").write_bytes(content)
    answered = run(programs / "cardionode", "process", "ecg.dcm", "--out", "results")
    assert answered.returncode == 0, answered.stdout + answered.stderr
    modalities = {dcmread(each).Modality for each in (tmp_path / "results").rglob("*.dcm")}
    assert {"SR"} < modalities
    found = run(programs / "python", "-c", "import torch")
    assert "No module named 'torch'" in found.stderr, "nobody needs torch to serve"


def test_the_bill_of_materials_has_every_wheel_and_the_bundle(wheelhouse: Path) -> None:
    told = json.loads((wheelhouse / "cardionode.cdx.json").read_text(encoding="utf-8"))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    digests = {each["hashes"][0]["content"] for each in told["components"]}
    wheels = {sha256(each.read_bytes()).hexdigest() for each in wheelhouse.glob("*.whl")}
    bundles = {each.digest for each in find_bundles([shipped_bundles()]).bundles.values()}
    htmx = Path(__file__).parents[2] / "node/web/console/static/htmx.min.js"
    assert digests == wheels | bundles | {sha256(htmx.read_bytes()).hexdigest()}
    assert all(each["licenses"] for each in told["components"])
    licences = (wheelhouse / "LICENCES.txt").read_text(encoding="utf-8").splitlines()
    assert len(licences) == len(digests)
    assert not [line for line in licences if line.endswith(("not said", ": "))]
