"""The Dockerfile's own steps, run where there is no Docker: in a root of the Debian that it names.

debootstrap makes the root, with Debian's Python in place of the one that Docker's image has in
/usr/local: the steps, what they install and the system's libraries are the same, the interpreter is
not. Source: docs.docker.com, "Dockerfile reference".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from ast import literal_eval
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import absent
from tests.dockerfile import Instruction, Stage, Start, in_context, read_dockerfile, start_of

REPOSITORY = Path(__file__).parents[2]
STEP_WITHIN_S = 1800
BASE = r"python:(3\.\d+)-slim-(\w+)"
"""Of an image: the versions of Python and of Debian."""
STEP = r"""
set -e
root="$1"; shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
if [ -n "$PIP_CERT" ]; then
    cp "$PIP_CERT" "$root/run/certificates.pem"
    PIP_CERT=/run/certificates.pem
fi
while [ "$1" != -- ]; do
    mkdir "$root$2"; mount --bind "$1" "$root$2"; shift 2
done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What was built."""

    root: Path
    start: Start


class Builder:
    """Of the stages of one Dockerfile, each once, in `folder`."""

    def __init__(self, dockerfile: Path, folder: Path) -> None:
        self._context = dockerfile.parent
        self._folder = folder
        self._stages = read_dockerfile(dockerfile.read_text(encoding="utf-8"))

    def build(self, name: str) -> Image:
        """The image of a stage, after those that it needs."""
        root = self._folder / name
        start = start_of(self._stages, name)
        if root.exists():
            return Image(root=root, start=start)
        stage = self._stages[name]
        others = [each.flags["mount"] for each in stage.instructions if "mount" in each.flags]
        for other in others:
            self.build(_mount(other)["from"])
        base = self.build(stage.base).root if stage.base in self._stages else self._debian(stage)
        subprocess.run(["cp", "--archive", base, root], check=True)
        state = start_of(self._stages, stage.base) if stage.base in self._stages else Start()
        for instruction in stage.instructions:
            state.take(instruction)
            self._do(instruction, root, state)
        return Image(root=root, start=start)

    def _do(self, instruction: Instruction, root: Path, state: Start) -> None:
        match instruction.keyword:
            case "RUN":
                mounts = []
                if "mount" in instruction.flags:
                    asked = _mount(instruction.flags["mount"])
                    source = self._folder / asked["from"] / asked["source"].lstrip("/")
                    mounts = [str(source), asked["target"]]
                run_step(root, ["/bin/sh", "-c", instruction.words], state, mounts)
                for target in mounts[1:]:
                    (root / target.lstrip("/")).rmdir()
            case "COPY":
                source, target = instruction.words.split()
                self._copy(source, root / str(Path(state.folder) / target).lstrip("/"))
            case "WORKDIR":
                (root / state.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _copy(self, source: str, target: Path) -> None:
        """Out of the context: what git keeps, or would, less what .dockerignore names."""
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", source],
            cwd=self._context, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        ignored = (self._context / ".dockerignore").read_text(encoding="utf-8")
        for name in filter(None, listed.split("\0")):
            if in_context(name, ignored):
                copied = target / Path(name).relative_to(source)  # of a file: the target itself
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._context / name, copied)

    def _debian(self, stage: Stage) -> Path:
        """A root that has what Docker's image of Python has, made once."""
        versions = re.fullmatch(BASE, stage.base)
        assert versions is not None, stage.base
        python, release = f"python{versions[1]}", versions[2]
        root = self._folder / "debian"
        if not root.exists():
            wanted = f"{python}-venv,python3-pip,ca-certificates,netbase,tzdata"
            made = subprocess.run(
                ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={wanted}",
                 release, root, mirror_of(release)],
                capture_output=True, text=True, check=False, timeout=STEP_WITHIN_S,
            )  # fmt: skip
            assert made.returncode == 0, made.stdout[-2000:] + made.stderr
            (root / "usr/local/bin/python").symlink_to(f"/usr/bin/{python}")
        return root


def mirror_of(release: str) -> str:
    """That of this machine's apt."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages",
         f"Release: {release}", "Component: main"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    sites = told.stdout.split()
    if not sites:
        absent(f"apt knows no mirror of {release}")
    return sites[0]


def run_step(root: Path, words: list[str], state: Start, mounts: list[str]) -> None:
    """As RUN does: as the user, in the folder and with the environment that hold there."""
    user, _, group = state.user.partition(":")
    inside = ["/usr/bin/env", f"--chdir={state.folder}", "/usr/bin/setpriv", "--reuid", user]
    inside += ["--regid", group or user, "--clear-groups", *words]
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", STEP, "sh", root,
         *mounts, "--", *inside],
        env={**_registry(), **state.arguments, **state.environment},
        capture_output=True, text=True, check=False, timeout=STEP_WITHIN_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def _registry() -> Mapping[str, str]:
    """How pip reaches its registry from this machine."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    for line in told.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in ("cert", "index-url", "proxy", "timeout", "default-timeout"):
            found[f"PIP_{name.upper().replace('-', '_')}"] = str(literal_eval(value))
    return found


def _mount(flag: str) -> dict[str, str]:
    """type=bind,from=STAGE,source=PATH,target=PATH"""
    return dict(each.split("=", 1) for each in flag.split(","))
