"""What is in a wheelhouse: a bill of materials (CycloneDX 1.6), and the licences as a list.

python .ci/sbom.py build/wheelhouse   writes cardionode.cdx.json and LICENCES.txt into it. The same
wheels give the same files.
"""

from __future__ import annotations

import re
import sys
import uuid
import zipfile
from datetime import UTC, datetime
from email.message import Message
from email.parser import Parser
from hashlib import sha256
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from pipelines.catalog import find_bundles, shipped_bundles

HTMX = Path(__file__).parents[1] / "node" / "web" / "console" / "static" / "htmx.min.js"
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No wheel says when it was put here, and the clock is no part of it."""


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (
            each for each in archive.namelist() if each.count("/") == 1
            and each.endswith(".dist-info/METADATA")
        )  # fmt: skip
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def licence_of(metadata: Message) -> str:
    """As the wheel says it: an SPDX expression, its classifiers, or the first line of words."""
    if found := metadata.get("License-Expression"):
        return str(found)
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ") and each != "License :: OSI Approved"
    ]
    if classifiers:
        return " AND ".join(classifiers)
    return str(metadata.get("License", "")).strip().partition("\n")[0] or "not said"


def component(kind: ComponentType, name: str, version: str, licence: str, digest: str) -> Component:
    purl = PackageURL("pypi", name=name, version=version) if kind is ComponentType.LIBRARY else None
    return Component(
        type=kind,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=purl,
        licenses=[LicenseFactory().make_from_string(licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
    )


def htmx() -> Component:
    """The script of the console's pages, which is in the node's own wheel."""
    content = HTMX.read_bytes()
    (version,) = re.findall(rb'version:"([0-9.]+)"', content)
    found = component(
        ComponentType.LIBRARY, "htmx.org", version.decode(), "0BSD", sha256(content).hexdigest()
    )
    found.purl = PackageURL("npm", name="htmx.org", version=version.decode())
    return found


def components(wheelhouse: Path) -> list[Component]:
    found = []
    for wheel in sorted(wheelhouse.glob("*.whl")):
        told, digest = metadata_of(wheel), sha256(wheel.read_bytes()).hexdigest()
        library = ComponentType.LIBRARY
        found.append(
            component(library, str(told["Name"]), str(told["Version"]), licence_of(told), digest)
        )
    found.append(htmx())
    shipped = find_bundles([shipped_bundles()])
    if shipped.broken:
        sys.exit(f"broken: {', '.join(shipped.broken)}")
    for bundle in shipped.bundles.values():
        model, manifest = ComponentType.MACHINE_LEARNING_MODEL, bundle.manifest
        found.append(
            component(model, manifest.name, manifest.version, manifest.licence, bundle.digest)
        )
    return found


def main(wheelhouse: Path) -> None:
    found = components(wheelhouse)
    digests = "".join(each.content for one in found for each in one.hashes)
    bom = Bom(components=found, serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digests))
    bom.metadata.timestamp = BUILT
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    (wheelhouse / "cardionode.cdx.json").write_text(text + "\n", encoding="utf-8")
    lines = [
        f"{each.name} {each.version}: {', '.join(_words(one) for one in each.licenses)}\n"
        for each in found
    ]
    (wheelhouse / "LICENCES.txt").write_text("".join(lines), encoding="utf-8")


def _words(licence: object) -> str:
    return str(next(
        found for key in ("value", "id", "name") if (found := getattr(licence, key, None))
    ))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
