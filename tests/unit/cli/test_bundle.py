"""What `cardionode bundle info` says of licences."""

from __future__ import annotations

from node.cli.bundle import licence_lines
from pipelines.bundle import read_bundle
from pipelines.catalog import shipped_bundles
from pipelines.manifest import SourceSpec


def test_the_licence_of_the_bundle_comes_first_then_that_of_each_file_it_was_made_from() -> None:
    manifest = read_bundle(shipped_bundles() / "simulated-4ch").manifest
    assert list(licence_lines(manifest)) == [f"Licence: {manifest.licence}"]
    source = SourceSpec(
        file="a.pth", sha256="ab" * 32, licence="CC BY-NC 4.0", statement="Non-commercial use only."
    )
    lines = list(licence_lines(manifest.model_copy(update={"sources": (source,)})))
    assert lines[1:] == [
        f"Made from a.pth (SHA-256 {'ab' * 32})",
        "    CC BY-NC 4.0. Non-commercial use only.",
    ]
