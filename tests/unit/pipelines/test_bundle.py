"""Every way a bundle can be wrong is refused with the file and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.errors import BundleError
from node.domain.identifiers import sha256
from pipelines.bundle import CHECKSUMS, Bundle, read_bundle, write_bundle

Edited = Callable[[Callable[[dict[str, Any]], Any]], Path]


def test_the_digest_is_that_of_the_checksum_file(quick: Bundle) -> None:
    assert quick.digest == sha256((quick.folder / CHECKSUMS).read_bytes())


def test_a_bundle_says_what_it_offers(quick: Bundle) -> None:
    assert quick.manifest.capabilities_text == "22 phenotypes, 2 diseases, cine"
    assert quick.manifest.field_ids[0] == "24100"
    assert quick.manifest.field_ids[-1] == "lv-hypertrophy"
    assert len(quick.manifest.field_ids) == 24


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "graphs" / "cine.onnx").unlink()
    with pytest.raises(BundleError, match=r"graphs/cine\.onnx is missing; copy"):
        read_bundle(copied)


def test_a_bundle_without_checksums_is_refused(copied: Path) -> None:
    (copied / CHECKSUMS).unlink()
    with pytest.raises(BundleError, match="SHA256SUMS is missing"):
        read_bundle(copied)


def test_a_flipped_bit_is_found_and_named(copied: Path) -> None:
    path = copied / "graphs" / "ecg.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"graphs/ecg\.onnx differs from its checksum; copy"):
        read_bundle(copied).verify()


def test_a_manifest_that_differs_from_its_checksum_is_not_even_parsed(copied: Path) -> None:
    (copied / "manifest.json").write_text("not json", encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json differs from its checksum"):
        read_bundle(copied)


def test_a_file_that_no_line_lists_is_refused(copied: Path) -> None:
    (copied / "engine.plan").write_bytes(b"code")
    with pytest.raises(BundleError, match=r"engine\.plan is not listed in SHA256SUMS; remove it"):
        read_bundle(copied)


def test_a_link_is_refused(copied: Path) -> None:
    (copied / "graphs" / "more.onnx").symlink_to("/etc/hostname")
    with pytest.raises(BundleError, match=r"graphs/more\.onnx is a link"):
        read_bundle(copied)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "graphs\\..\\x", "a/./b", ""])
def test_a_checksum_line_may_not_leave_the_folder(copied: Path, name: str) -> None:
    with (copied / CHECKSUMS).open("a", encoding="utf-8") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(BundleError, match="outside the folder"):
        read_bundle(copied)


@pytest.mark.parametrize("opset", [17, 23])
def test_an_opset_that_not_every_runtime_takes_is_refused(edited: Edited, opset: int) -> None:
    folder = edited(lambda manifest: manifest["graphs"]["ecg"].update(opset=opset))
    with pytest.raises(BundleError, match=r"manifest\.json: graphs\.ecg\.opset: Input should be"):
        read_bundle(folder)


@pytest.mark.parametrize("line", ["garbage", f"{'0' * 63}  a", f"{'0' * 64} a"])
def test_a_line_that_is_no_checksum_is_refused(copied: Path, line: str) -> None:
    with (copied / CHECKSUMS).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(BundleError, match="SHA256SUMS line 7 is not a checksum line"):
        read_bundle(copied)


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        place: Any = manifest
        for key in parents:
            place = place[key]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 2, "schema_version: .*install the release"),
        ("surprise", 1, "surprise: Extra inputs"),
        ("phenotypes.0.unit", "", "phenotypes.0.unit"),
        ("phenotypes.0.minimum", 400.0, "minimum must be below maximum"),
        ("phenotypes.0.interval_scale", 0.0, "phenotypes.0.interval_scale"),
        ("phenotypes.1.field_id", "24100", "field ids appear twice: 24100"),
        ("diseases.0.field_id", "24100", "field ids appear twice: 24100"),
        ("phenotypes.2.derivation.of", ["24100", "99999"], "24102 names fields unknown .*99999"),
        ("phenotypes.2.derivation.of", ["24100", "24105"], "24102 names fields unknown .*24105"),
        ("phenotypes.2.derivation.of", ["24100"], "difference is made of 2"),
        ("phenotypes.2.derivation.kind", "ratio", "phenotypes.2.derivation.kind"),
        ("phenotypes.0.minimum", 0.0, "24100 divides 24103"),
        ("training_data", "random weights", "not for clinical use"),
        ("graphs.ecg.file", "../ecg.onnx", "graphs.ecg.file: .*outside the bundle's folder"),
        ("golden.file", "/golden.npz", "golden.file: .*outside the bundle's folder"),
        ("graphs.ecg.file", "graphs/other.onnx", r"does not list graphs/other\.onnx"),
        ("graphs.ecg.precision", "int8", "graphs.ecg.precision"),
        ("graphs.cine", None, "a cine and its graph come together"),
        ("population.age_years", [90, 20], "youngest, oldest"),
        ("name", "../up", "name: "),
        ("interval_coverage", 90, "interval_coverage"),
        ("golden.tolerance", 0.1, "golden.tolerance"),
        ("golden.drawn_tolerance", 1.0, "golden.drawn_tolerance"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(
    edited: Edited, path: str, value: object, message: str
) -> None:
    folder = edited(_set(path, value))
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_a_bundle_that_offers_nothing_is_refused(edited: Edited) -> None:
    def empty(manifest: dict[str, Any]) -> None:
        manifest.update(phenotypes=[], diseases=[], cine=None)
        manifest["graphs"]["cine"] = None

    with pytest.raises(BundleError, match="the bundle offers nothing"):
        read_bundle(edited(empty))


SAMPLER = {
    "kind": "masked-autoregressive",
    "latent": [1, 2, 2, 4],
    "patch": [1, 1, 2],
    "tokens": 8,
    "token_values": 2,
    "decoding": "all",
    "ar_steps": 3,
    "head": {"kind": "diffusion", "steps": 10, "solver": None},
    "guidance": {"scale": 3.0, "schedule": "linear"},
    "temperature": 1.0,
    "samples": 1,
    "shown": "sample",
}


def _drawn(manifest: dict[str, Any], *roles: str) -> None:
    """A sampler in the place of the cine graph, with graphs of these roles."""
    graphs = manifest["graphs"]
    graphs |= {role: {**graphs["cine"], "file": "graphs/cine.onnx"} for role in roles}
    graphs["cine"] = None
    manifest["sampler"] = SAMPLER


def test_a_sampler_with_its_three_graphs_is_a_way_to_a_cine(edited: Edited) -> None:
    bundle = read_bundle(edited(lambda manifest: _drawn(manifest, "trunk", "head", "decoder")))
    assert bundle.manifest.sampler is not None
    assert bundle.manifest.sampler.scales() == (1.5, 1.0 + 2.0 * 4 / 8, 1.0 + 2.0 * 7 / 8)
    assert list(bundle.manifest.graphs.offered) == ["ecg", "trunk", "head", "decoder"]


def test_a_sampler_without_its_graphs_is_refused(edited: Edited) -> None:
    with pytest.raises(BundleError, match="the sampler needs the graphs trunk, decoder"):
        read_bundle(edited(lambda manifest: _drawn(manifest, "head")))


def test_graphs_of_a_sampler_without_one_are_refused(edited: Edited) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["graphs"]["head"] = manifest["graphs"]["cine"]

    with pytest.raises(BundleError, match="only a sampler uses the graphs head: there is none"):
        read_bundle(edited(change))


def test_two_ways_to_one_cine_are_refused(edited: Edited) -> None:
    def change(manifest: dict[str, Any]) -> None:
        cine = manifest["graphs"]["cine"]
        _drawn(manifest, "trunk", "head", "decoder")
        manifest["graphs"]["cine"] = cine

    with pytest.raises(BundleError, match="of the graph cine or of the sampler, not of both"):
        read_bundle(edited(change))


def test_a_sampler_without_a_cine_is_refused(edited: Edited) -> None:
    def change(manifest: dict[str, Any]) -> None:
        _drawn(manifest, "trunk", "head", "decoder")
        manifest["cine"] = None

    with pytest.raises(BundleError, match="a cine and its graph come together"):
        read_bundle(edited(change))


@pytest.mark.parametrize("size", ["Known", "", "a b", 0])
def test_a_dimension_is_a_number_or_a_plain_name(edited: Edited, size: object) -> None:
    path = "graphs.ecg.inputs.0.shape"
    with pytest.raises(BundleError, match=r"graphs\.ecg\.inputs\.0\.shape\.0"):
        read_bundle(edited(_set(path, [size, 12, 2500])))


def test_a_source_states_its_licence(edited: Edited) -> None:
    source = {"file": "a.pth", "sha256": "0" * 64, "licence": "", "statement": "Ask."}
    with pytest.raises(BundleError, match=r"sources\.0\.licence"):
        read_bundle(edited(lambda manifest: manifest.update(sources=[source])))


def _write(quick: Bundle, folder: Path) -> Bundle:
    graphs = {
        role: quick.content(spec.file) for role, spec in quick.manifest.graphs.offered.items()
    }
    golden = {"ecg": np.zeros((1, 12, 2500), np.float32)}
    return write_bundle(
        folder, quick.manifest, graphs=graphs, golden=golden, model_card="card", metrics="none"
    )


def test_writing_twice_gives_the_same_bytes(quick: Bundle, tmp_path: Path) -> None:
    one, two = _write(quick, tmp_path / "one"), _write(quick, tmp_path / "two")
    assert one.digest == two.digest
    assert one.manifest == quick.manifest


def test_writing_beside_a_stray_file_is_refused(quick: Bundle, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(BundleError, match=r"notes\.txt is not listed"):
        _write(quick, tmp_path)


def test_writing_needs_a_graph_for_each_role(quick: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not those of the manifest"):
        write_bundle(
            tmp_path, quick.manifest, graphs={"ecg": b""}, golden={}, model_card="", metrics=""
        )
