"""Orthanc as the PACS of the demonstration: started, asked over REST, ended.

Orthanc binds every address it finds, so it is only ever started in a network of its own.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from node.domain.errors import ConfigurationError

PROGRAM = Path("/usr/sbin/Orthanc")
DICOM_PORT = 4242
HTTP_PORT = 8042
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DICOMWEB_URL = f"http://127.0.0.1:{HTTP_PORT}/dicom-web"
STARTS_WITHIN_S = 30.0


class Orthanc:
    """A running Orthanc with an empty store."""

    ae_title = "ORTHANC"

    def __init__(
        self, options: Mapping[str, object] | None = None, *, user: str = "", password: str = ""
    ) -> None:
        """options: further ones of Orthanc's configuration. With a user HTTP asks for the password.

        DICOMweb is there where its plugin is.
        """
        self._options = options or {}
        self._user, self._password = user, password
        self._folder = tempfile.TemporaryDirectory(prefix="cardionode-orthanc-")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it; gives its DICOM port. Raises ConfigurationError when it does not come up."""
        folder = Path(self._folder.name)
        configuration = {
            "Name": "CardioNode demonstration",
            "StorageDirectory": str(folder / "store"),
            "IndexDirectory": str(folder / "store"),
            "DicomAet": self.ae_title,
            "DicomPort": DICOM_PORT,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "HttpPort": HTTP_PORT,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": bool(self._user),
            "RegisteredUsers": {self._user: self._password} if self._user else {},
            "Plugins": [str(DICOMWEB_PLUGIN)] if DICOMWEB_PLUGIN.exists() else [],
            **self._options,
        }
        file = folder / "orthanc.json"
        file.write_text(json.dumps(configuration), encoding="utf-8")
        with (folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen([PROGRAM, file], stdout=log, stderr=log)
        until = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                self.get("/system")
            except OSError:  # not yet there, or not yet ready
                time.sleep(0.1)
            else:
                return DICOM_PORT
        self.stop()
        raise ConfigurationError("Orthanc did not start; run it by hand to see why")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None
        self._folder.cleanup()

    def get(self, path: str) -> Any:
        """The JSON at a path of the REST API."""
        return json.loads(self._ask("GET", path))

    def add_modality(self, name: str, *, ae_title: str, port: int, tls: bool = False) -> None:
        """Make a peer known, so that instances can be routed to it."""
        peer = {"AET": ae_title, "Host": "127.0.0.1", "Port": port, "UseDicomTls": tls}
        self._ask("PUT", f"/modalities/{name}", json.dumps(peer).encode())

    def store(self, content: bytes) -> str:
        """Put one PS3.10 file into the store; gives Orthanc's id of the instance."""
        return str(json.loads(self._ask("POST", "/instances", content))["ID"])

    def route(self, instance: str, modality: str) -> None:
        """Have Orthanc send an instance with C-STORE, as its auto-routing would."""
        self._ask("POST", f"/modalities/{modality}/store", instance.encode())

    def instances(self) -> dict[str, bytes]:
        """Every instance in the store: SOP Instance UID and the PS3.10 file."""
        found = {}
        for name in self.get("/instances"):
            tags = self.get(f"/instances/{name}")["MainDicomTags"]
            found[tags["SOPInstanceUID"]] = self._ask("GET", f"/instances/{name}/file")
        return found

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{HTTP_PORT}{path}", data=body, method=method
        )
        if self._user:
            credentials = b64encode(f"{self._user}:{self._password}".encode()).decode()
            request.add_header("Authorization", f"Basic {credentials}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content
