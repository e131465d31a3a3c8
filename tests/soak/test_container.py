"""The container: built and started by the Dockerfile's own steps, with little that it may write to.

There is no Docker here: namespaces, mounts and rights are those that
`docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges` gives.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.cli.own_network import own_network_prefix
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.end_to_end.network import network_of
from tests.end_to_end.node_process import destinations
from tests.soak.debian_image import REPOSITORY, Builder, Image, run_step

pytestmark = pytest.mark.soak
HEALTHY_WITHIN_S = 60.0
STOPS_WITHIN_S = 40.0
"""The handbook: --stop-timeout."""
PACS_PORT, RIS_PORT = 11113, 2576
BUILD_TOOLS = ("gcc", "cc", "make", "git")
CONFINED = r"""
set -e
root="$1" volume="$2" state="$3" configuration="$4"; shift 4
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs "$root/dev"
for each in null zero full random urandom; do
    touch "$root/dev/$each"
    mount --bind "/dev/$each" "$root/dev/$each"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o nosuid,nodev,noexec,size=64m tmpfs "$root/dev/shm"
mount --bind "$volume" "$root$state"
mount --bind "$configuration" "$root/etc/cardionode"
mount -o remount,bind,ro "$root/etc/cardionode"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


class Container:
    """Of one image, volume and folder of configuration; the same at every start."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image = image
        (state,) = image.start.volumes
        self._state = state
        self.volume, self._configuration = folder / "volume", folder / "etc"
        self._log = folder / "node.log"
        # As Docker fills a new volume: with what the image has there, and its owner.
        subprocess.run(["cp", "--archive", image.root / state.lstrip("/"), self.volume], check=True)
        self._configuration.mkdir(mode=0o755)
        self._configured = self._configuration / "node.toml"
        self.configure(destinations(PACS_PORT, RIS_PORT))
        self._started: subprocess.Popen[bytes] | None = None

    def configure(self, more: str) -> None:
        self._configured.write_text(f'log.form = "json"\n{more}', encoding="utf-8")
        self._configured.chmod(0o644)

    def run(self) -> None:
        """docker run"""
        network = own_network_prefix()
        assert network is not None
        start = self.image.start
        enter = [*network, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]
        enter += [CONFINED, "sh", self.image.root, self.volume, self._state, self._configuration]
        words = [*self._as_user(), *start.entrypoint, *start.command]
        with self._log.open("ab") as log:
            self._started = subprocess.Popen(
                [*enter, *words],
                env=start.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """docker exec"""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--root"]
        return subprocess.run(
            [*enter, "--", *self._as_user(), *words], env=self.image.start.environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def wait_until_healthy(self) -> float:
        """Seconds until HEALTHCHECK's command says so."""
        began_s = time.monotonic()
        while (asked := self.execute(*self.image.start.health)).returncode != 0:
            waited_s = time.monotonic() - began_s
            assert waited_s < HEALTHY_WITHIN_S, f"{asked.stdout}{asked.stderr}\n{self.text()}"
            time.sleep(0.2)
        return time.monotonic() - began_s

    def stop(self) -> int:
        """docker stop, with as long as the handbook says; the exit status."""
        assert self._started is not None
        os.kill(self.pid, getattr(signal, self.image.start.stop_signal))
        return self._started.wait(STOPS_WITHIN_S)

    def close(self) -> None:
        """All of it ends with its first process, its mounts too."""
        if self._started is not None and self._started.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._started.wait(STOPS_WITHIN_S)

    @property
    def pid(self) -> int:
        """Of the container's first process, as it is known outside."""
        assert self._started is not None
        until = time.monotonic() + 10.0
        while True:
            path = Path(f"/proc/{self._started.pid}/task/{self._started.pid}/children")
            children = path.read_text(encoding="ascii").split()
            if children:
                return int(children[0])
            assert time.monotonic() < until
            time.sleep(0.01)

    def text(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, message: str, count: int) -> None:
        """Until the log has so many of them."""
        until = time.monotonic() + HEALTHY_WITHIN_S
        while self.text().count(f'"{message}"') < count:
            assert time.monotonic() < until, self.text()[-3000:]
            time.sleep(0.1)

    def _as_user(self) -> list[str]:
        start = self.image.start
        user, _, group = start.user.partition(":")
        return [
            "/usr/bin/env", f"--chdir={start.folder}", "/usr/bin/setpriv", "--reuid", user,
            "--regid", group, "--clear-groups", "--no-new-privs", "--bounding-set=-all",
            "--inh-caps=-all", "--",
        ]  # fmt: skip


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Of the images, whose roots take some gigabytes until the end."""
    for program in ("debootstrap", "nsenter", "setpriv", "unshare"):
        if shutil.which(program) is None:
            absent(f"{program} is not installed")
    if os.geteuid() != 0 or own_network_prefix() is None:
        absent("a root of Debian is made by root alone, with the right to make namespaces")
    folder = tmp_path_factory.mktemp("images")
    yield Builder(REPOSITORY / "Dockerfile", folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def image(builder: Builder) -> Image:
    """Of the target that is built without --target."""
    return _built(builder, "cpu")


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    made = Container(image, tmp_path)
    yield made
    made.close()


def test_the_image_has_no_build_tools_no_wheels_and_nothing_to_compile(image: Image) -> None:
    assert not [name for name in BUILD_TOOLS if list(image.root.glob(f"usr/bin/{name}"))]
    assert not (image.root / "wheels").exists() and not (image.root / "usr/src/cardionode").exists()
    libraries = next(image.root.glob("opt/cardionode/lib/python3*/site-packages"))
    assert not (libraries / "pip").exists() and not (libraries / "pytest").exists()
    sources = list((libraries / "node").rglob("*.py"))
    compiled = {each.name.partition(".")[0] for each in (libraries / "node").rglob("*.pyc")}
    assert len(sources) > 100 and {each.stem for each in sources} <= compiled


def test_an_ecg_is_answered_and_nothing_is_written_but_to_the_volume(
    image: Image, container: Container
) -> None:
    before = _files(image.root)
    container.run()
    print(f"healthy after {container.wait_until_healthy():.1f} s")
    status = Path(f"/proc/{container.pid}/status").read_text(encoding="ascii")
    user = image.start.user.partition(":")[0]
    for said in (
        f"Uid:\t{user}\t{user}\t{user}\t{user}\n",
        "CapEff:\t" + 16 * "0",
        "NoNewPrivs:\t1",
    ):
        assert said in status
    assert status.partition("NSpid:")[2].split("\n")[0].split()[-1] == "1"
    for place in ("/etc/x", "/opt/cardionode/x", "/etc/cardionode/x", "/usr/local/x"):
        assert "Read-only file system" in container.execute("touch", place).stderr

    pacs, ris = PacsStandIn(ae_title="PACS", port=PACS_PORT), RisStandIn(port=RIS_PORT)
    first, second = (content for _, content in instances(2))
    pid = container.pid
    with network_of(pid):
        pacs.start()
        ris.start()
        try:
            _store(first)
            assert pacs.wait_for(3, timeout_s=60.0) and ris.wait_for(1, timeout_s=60.0)
            container.configure("model.threads = 1\n" + destinations(PACS_PORT, RIS_PORT))
            os.kill(pid, signal.SIGHUP)
            container.wait_for("node ready", 2)
            assert container.pid == pid
            container.wait_until_healthy()
            _store(second)
            assert pacs.wait_for(6, timeout_s=60.0) and ris.wait_for(2, timeout_s=60.0)
        finally:
            ris.stop()
            pacs.stop()
    jobs = _jobs(container)
    assert [job["state"] for job in jobs] == ["completed", "completed"]
    assert {each["state"] for job in jobs for each in job["deliveries"]} == {"delivered"}
    asked_s = time.monotonic()
    assert container.stop() == 0
    print(f"stopped within {time.monotonic() - asked_s:.1f} s")
    assert "Traceback" not in container.text()
    assert "Read-only file system" not in container.text()
    assert _files(image.root) == before
    owners = {each.lstat().st_uid for each in (container.volume, *container.volume.rglob("*"))}
    assert owners == {int(user)}


def test_target_gpu_has_what_a_gpu_takes_but_for_the_driver(builder: Builder) -> None:
    image = _built(builder, "gpu")
    takes = "import cuda.bindings.runtime, onnx, tensorrt_rtx"
    run_step(image.root, ["python", "-c", takes], image.start, [])
    run_step(image.root, ["cardionode", "bundle", "verify"], image.start, [])


def test_a_node_that_does_not_answer_is_not_healthy(container: Container) -> None:
    container.configure("web.port = 8081\n")
    container.run()
    container.wait_for("node ready", 1)
    assert container.execute(*container.image.start.health).returncode == 1


def _built(builder: Builder, target: str) -> Image:
    began_s = time.monotonic()
    image = builder.build(target)
    took_s, below = time.monotonic() - began_s, image.root.with_name("debian")
    print(f"{target}: built in {took_s:.0f} s, {_size_mb(image.root)} MB, ", end="")
    print(f"of which {_size_mb(below)} MB are the Debian and Python below it")
    return image


def _store(content: bytes) -> None:
    """As a cart does: again until it is taken."""
    cart = StorageScu(calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=11112)
    until = time.monotonic() + 60.0
    while True:
        try:
            return cart.send(content)
        except CardioNodeError:
            assert time.monotonic() < until, "nobody takes it"
            time.sleep(0.1)


def _jobs(container: Container) -> list[dict[str, Any]]:
    """By the image's own command, which needs no options."""
    until = time.monotonic() + 30.0
    while True:
        listed = container.execute("cardionode", "jobs", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        found: list[dict[str, Any]] = json.loads(listed.stdout)
        pending = [
            each for job in found for each in job["deliveries"] if each["state"] == "pending"
        ]
        if not pending or time.monotonic() > until:
            return found
        time.sleep(0.2)


def _files(root: Path) -> dict[str, tuple[int, int, int]]:
    """Everything there: when it was changed, its size and its mode."""
    return {
        str(each): (told.st_mtime_ns, told.st_size, told.st_mode)
        for each in root.rglob("*")
        for told in [each.lstat()]
    }


def _size_mb(root: Path) -> int:
    return sum(size for _, size, _ in _files(root).values()) // 1_000_000
