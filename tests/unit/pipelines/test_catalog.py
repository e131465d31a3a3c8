"""From a folder to a pipeline that has proved itself, or a refusal."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from node.domain.errors import BundleError, ConfigurationError
from pipelines import self_test
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import find_bundles, load_pipeline, shipped_bundles
from pipelines.runtime.onnx import OnnxRuntime

Edited = Callable[[Callable[[dict[str, Any]], Any]], Path]
Reseal = Callable[[Path], Path]


def test_bundles_are_found_one_level_down(copied: Path) -> None:
    (copied.parent / "no-bundle").mkdir()
    found = find_bundles([copied.parent])
    assert {name: each.folder for name, each in found.bundles.items()} == {"quick-test": copied}


def test_a_folder_given_twice_is_one_folder(copied: Path) -> None:
    found = find_bundles([copied.parent, copied.parent])
    assert (len(found.bundles), found.broken) == (1, {})


def test_two_bundles_of_one_name_are_both_refused_and_no_other(copied: Path) -> None:
    shutil.copytree(copied, copied.parent / "again")
    found = find_bundles([shipped_bundles(), copied.parent])
    assert list(found.bundles) == ["simulated-4ch"]
    assert set(found.broken) == {"quick-test", "quick", "again"}
    with pytest.raises(BundleError, match="two bundles are called quick-test"):
        found.bundle("quick-test")


def test_a_broken_bundle_is_in_nobodys_way(copied: Path) -> None:
    shutil.copytree(copied, copied.parent / "spoilt")
    (copied.parent / "spoilt" / "manifest.json").write_text("{", encoding="utf-8")
    found = find_bundles([copied.parent])
    assert found.bundle("quick-test").folder == copied
    with pytest.raises(BundleError, match=r"spoilt: manifest\.json differs from its checksum"):
        found.bundle("spoilt")
    with pytest.raises(KeyError):
        found.bundle("unheard-of")


def test_a_broken_folder_does_not_take_the_name_of_a_sound_bundle(copied: Path) -> None:
    """Half a copy of what is served, say."""
    spoilt = Path(shutil.copytree(copied, copied.parent / "simulated-4ch"))
    (spoilt / "manifest.json").write_text("{", encoding="utf-8")
    found = find_bundles([shipped_bundles(), copied.parent])
    assert found.bundle("simulated-4ch").folder.parent == shipped_bundles()
    assert list(found.broken) == ["simulated-4ch"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="absent is not a folder; create it or correct"):
        find_bundles([tmp_path / "absent"])


@pytest.mark.parametrize("refusing", ["iterdir", "is_dir"])
def test_a_folder_that_may_not_be_read_is_named(
    copied: Path, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    true = getattr(Path, refusing)

    def refuse(path: Path) -> object:
        if path == (copied.parent if refusing == "iterdir" else copied):
            raise PermissionError(13, "Permission denied")
        return true(path)

    monkeypatch.setattr(Path, refusing, refuse)
    with pytest.raises(BundleError, match=r"cannot read .*bundles: Permission denied; let the"):
        find_bundles([copied.parent])


def test_a_bundle_that_may_not_be_read_is_broken(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_exists, true_read = Path.exists, Path.read_bytes

    def exists(path: Path) -> bool:
        if path.parent == copied:
            raise PermissionError(13, "Permission denied")
        return true_exists(path)

    def read_bytes(path: Path) -> bytes:
        if path.parent == copied:
            raise PermissionError(13, "Permission denied")
        return true_read(path)

    monkeypatch.setattr(Path, "exists", exists)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert list(find_bundles([copied.parent]).broken) == ["quick"]


def test_the_shipped_bundles_lie_inside_the_package() -> None:
    assert shipped_bundles().parts[-2:] == ("pipelines", "bundles")


def test_a_loaded_pipeline_says_who_it_is(quick: Bundle) -> None:
    identity = load_pipeline(quick, OnnxRuntime(threads=1)).identity
    assert (identity.bundle, identity.digest) == ("quick-test", quick.digest)
    assert identity.runtime.startswith("onnxruntime ") and identity.runtime.endswith(" CPU")
    assert identity.precision == "fp32" and identity.simulated


def _alter_weights(folder: Path, graph: str, weight: float, by: float) -> None:
    """Replace one float32 constant inside the ONNX file: the file stays a sound graph."""
    path = folder / "graphs" / graph
    content = path.read_bytes()
    old, new = np.float32(weight).tobytes(), np.float32(weight + by).tobytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def test_altered_weights_fail_the_checksum(copied: Path) -> None:
    bundle = read_bundle(copied)
    _alter_weights(copied, "ecg.onnx", 144.0, 1.0)
    with pytest.raises(BundleError, match=r"graphs/ecg\.onnx differs from its checksum"):
        load_pipeline(bundle, OnnxRuntime(threads=1))


def test_altered_weights_with_new_checksums_fail_the_self_test(
    copied: Path, reseal: Reseal
) -> None:
    _alter_weights(copied, "ecg.onnx", 144.0, 1.0)
    with pytest.raises(BundleError, match="self-test: ecg graph gives other phenotypes than"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_an_altered_cine_fails_the_self_test(copied: Path, reseal: Reseal) -> None:
    _alter_weights(copied, "cine.onnx", 14.0, 0.1)
    with pytest.raises(BundleError, match="self-test: cine graph gives other frames than"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_graph_that_gives_nan_fails_the_self_test(copied: Path, reseal: Reseal) -> None:
    _alter_weights(copied, "ecg.onnx", 144.0, np.nan)
    with pytest.raises(BundleError, match=r"ecg\.onnx gave NaN or infinity in output phenotypes"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x80\x04pickle"])
def test_a_golden_file_that_is_no_archive_is_refused(
    copied: Path, reseal: Reseal, content: bytes
) -> None:
    (copied / "golden" / "golden.npz").write_bytes(content)
    with pytest.raises(BundleError, match=r"golden\.npz is not an archive"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_golden_file_without_an_output_is_refused(copied: Path, reseal: Reseal) -> None:
    path = copied / "golden" / "golden.npz"
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "spread"}
    np.savez(path, allow_pickle=False, **kept)
    with pytest.raises(BundleError, match="lacks the array 'spread'"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_file_that_is_no_graph_is_refused(copied: Path, reseal: Reseal) -> None:
    (copied / "graphs" / "ecg.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"ecg\.onnx is not an ONNX graph"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def _rewritten(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    path = folder / "graphs" / "ecg.onnx"
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("opset", [19, 21, 23])
def test_a_file_of_another_opset_than_declared_is_refused(
    copied: Path, reseal: Reseal, opset: int
) -> None:
    def change(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.append(onnx.helper.make_opsetid("", opset))
        model.opset_import.append(onnx.helper.make_opsetid("com.example", 20))

    _rewritten(copied, change)
    with pytest.raises(BundleError, match=rf"ecg\.onnx is of opset {opset}, .* declares 20"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_file_that_names_no_opset_is_refused(copied: Path, reseal: Reseal) -> None:
    _rewritten(copied, lambda model: model.ClearField("opset_import"))
    with pytest.raises(BundleError, match=r"ecg\.onnx is of opset none"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_file_with_weights_elsewhere_is_refused(copied: Path, reseal: Reseal) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../secret")
        tensor.ClearField("raw_data")

    _rewritten(copied, change)
    with pytest.raises(BundleError, match=r"ecg\.onnx has weights in other files"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_two_graphs_in_each_others_place_are_refused(copied: Path, reseal: Reseal) -> None:
    graphs = copied / "graphs"
    (graphs / "ecg.onnx").rename(graphs / "other")
    (graphs / "cine.onnx").rename(graphs / "ecg.onnx")
    (graphs / "other").rename(graphs / "cine.onnx")
    with pytest.raises(BundleError, match=r"graphs/(ecg|cine)\.onnx differs from its checksum"):
        load_pipeline(read_bundle(copied), OnnxRuntime(threads=1))
    with pytest.raises(BundleError, match=r"ecg\.onnx: its inputs are not those manifest\.json"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_golden_vectors_of_another_bundle_are_refused(copied: Path, reseal: Reseal) -> None:
    shipped = read_bundle(shipped_bundles() / "simulated-4ch")
    golden = shipped.folder / shipped.manifest.golden.file
    (copied / "golden" / "golden.npz").write_bytes(golden.read_bytes())
    with pytest.raises(BundleError, match=r"golden\.npz lacks the array 'latent'"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_golden_file_that_unpacks_to_too_much_is_refused(
    copied: Path, reseal: Reseal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert self_test.MOST_BYTES == 1 << 30
    monkeypatch.setattr(self_test, "MOST_BYTES", 16 << 20)
    path = copied / "golden" / "golden.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("ecg.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(17):
            file.write(bytes(1 << 20))
    with pytest.raises(BundleError, match=r"golden\.npz unpacks to more than"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_an_array_larger_than_its_file_is_refused(copied: Path, reseal: Reseal) -> None:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 45,)}
    )
    with zipfile.ZipFile(copied / "golden" / "golden.npz", "w") as archive:
        archive.writestr("ecg.npy", header.getvalue())
    with pytest.raises(BundleError, match=r"golden\.npz is not an archive"):
        load_pipeline(read_bundle(reseal(copied)), OnnxRuntime(threads=1))


def test_a_recipe_nobody_knows_is_refused(edited: Edited) -> None:
    folder = edited(lambda manifest: manifest.update(preprocessing="cardionode-99"))
    with pytest.raises(BundleError, match=r"'cardionode-99' is not a recipe .* install"):
        load_pipeline(read_bundle(folder), OnnxRuntime(threads=1))


def test_fields_beyond_the_graphs_outputs_are_refused(edited: Edited) -> None:
    folder = edited(lambda manifest: manifest["phenotypes"].pop())
    with pytest.raises(BundleError, match=r"output phenotypes must be \(1, 21\)"):
        load_pipeline(read_bundle(folder), OnnxRuntime(threads=1))


def test_a_cine_of_another_size_is_refused(edited: Edited) -> None:
    folder = edited(lambda manifest: manifest["cine"].update(rows=64))
    with pytest.raises(BundleError, match=r"output must be frames \(1, 20, 64, 48\)"):
        load_pipeline(read_bundle(folder), OnnxRuntime(threads=1))


def test_a_file_that_is_not_what_the_manifest_declares_is_refused(edited: Edited) -> None:
    def longer(manifest: dict[str, Any]) -> None:
        for tensor in (
            manifest["graphs"]["ecg"]["outputs"][3],
            manifest["graphs"]["cine"]["inputs"][0],
        ):
            tensor["shape"] = [1, 5]

    with pytest.raises(BundleError, match=r"ecg\.onnx: its outputs are not those manifest\.json"):
        load_pipeline(read_bundle(edited(longer)), OnnxRuntime(threads=1))


def test_serving_imports_no_torch_no_pydicom_and_no_onnx() -> None:
    program = (
        "import sys, pipelines.catalog; "
        "sys.exit(', '.join({'torch', 'pydicom', 'onnx', 'highdicom', 'sqlalchemy'}"
        " & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_preset_that_the_bundle_lacks_is_a_name_to_correct(quick: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="quick-test has no preset 'mean'; it has none"):
        load_pipeline(quick, OnnxRuntime(threads=1), preset="mean")
