"""Checkpoint files are data: what is not the published network's is refused by name, unopened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from node.domain.errors import UnusableData
from pipelines.cardionets.checkpoint import read_state
from pipelines.cardionets.published import (
    read_autoencoder,
    read_ecg_encoder,
    read_generator,
)
from tests.unit.cardionets.published_files import (
    TINY,
    ecg_state,
    with_names_of_old_numpy,
    write_autoencoder,
    write_ecg,
    write_generator,
)

Change = Callable[[dict[str, Tensor]], object]


class _Hostile:
    """Writes a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.target, "it ran")


@pytest.fixture
def mar(vectors_folder: Path) -> dict[str, Tensor]:
    return load_file(vectors_folder / "mar.tiny.safetensors")


def test_a_class_beyond_the_list_is_named_and_never_built(
    mar: dict[str, Tensor], tmp_path: Path
) -> None:
    target = tmp_path / "ran"
    file = write_generator(tmp_path / "checkpoint-last.pth", mar, extra=_Hostile(target))
    with pytest.raises(UnusableData, match=r"checkpoint-last\.pth holds .*[Pp]ath.*not opened"):
        read_generator(file, TINY.geometry)
    assert not target.exists()
    torch.load(file, weights_only=False)  # whoever trusts it runs it
    assert target.read_text() == "it ran"


def test_an_object_of_the_program_that_is_no_data_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"model": torch.nn.Linear(1, 1)}, file)
    with pytest.raises(UnusableData, match=r"torch\.nn\.modules\.linear\.Linear"):
        read_state(file, key="model")


@pytest.mark.parametrize("old", [False, True], ids=["numpy-2", "numpy-1.23"])
def test_metrics_of_numpy_and_the_arguments_of_the_generator_are_let_pass(
    vectors_folder: Path, mar: dict[str, Tensor], tmp_path: Path, old: bool
) -> None:
    state = ecg_state(vectors_folder, "ecg_disease.tiny")
    file = write_ecg(tmp_path / "cm.pth", state, {"AUC": np.float64(0.875)})
    if old:
        with_names_of_old_numpy(file)
    network = read_ecg_encoder(file, TINY.geometry)
    assert all(torch.equal(each, state[name]) for name, each in network.state_dict().items())
    read_generator(write_generator(tmp_path / "mar.pth", mar), TINY.geometry)


def test_the_generator_s_averaged_weights_are_taken(mar: dict[str, Tensor], tmp_path: Path) -> None:
    network = read_generator(write_generator(tmp_path / "mar.pth", mar), TINY.geometry)
    assert all(torch.equal(each, mar[name]) for name, each in network.state_dict().items())


def test_half_precision_becomes_single_and_counters_stay_whole(
    vectors_folder: Path, tmp_path: Path
) -> None:
    state = load_file(vectors_folder / "vae.tiny.safetensors")
    assert state["decoder.conv_in.weight"].dtype == torch.float16
    network = read_autoencoder(write_autoencoder(tmp_path / "vae.pth", state))
    dtypes = {name: each.dtype for name, each in network.state_dict().items()}
    counters = {name for name, dtype in dtypes.items() if dtype == torch.int64}
    assert all(name.endswith("num_batches_tracked") for name in counters) and len(counters) == 3
    assert {dtype for name, dtype in dtypes.items() if name not in counters} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("mask_token"), "mar.pth lacks mask_token: it is not the published"),
        (lambda s: s.pop("z_proj.weight"), "mar.pth lacks z_proj.weight"),
        (
            lambda s: s.update({"class_emb.weight": torch.zeros(1)}),
            "mar.pth has beyond the network's class_emb.weight",
        ),
        (
            lambda s: s.update({"decoder_norm.bias": torch.zeros(3)}),
            "mar.pth has in another shape decoder_norm.bias",
        ),
        (
            lambda s: s.update({"diffusion_pos_embed_learned": torch.zeros(1, 20, 32)}),
            "mar.pth draws 20 tokens, the published generator 18",
        ),
        (
            lambda s: [s.pop(name) for name in list(s) if name.startswith("decoder_blocks.1.")],
            None,
        ),
    ],
    ids=["missing", "missing-size", "extra", "shape", "tokens", "a-block-less"],
)
def test_weights_that_are_not_the_network_s_are_named(
    mar: dict[str, Tensor], tmp_path: Path, change: Change, message: str | None
) -> None:
    change(mar)
    file = write_generator(tmp_path / "mar.pth", mar)
    if message is None:  # depth is a size the shapes tell
        assert read_generator(file, TINY.geometry).size.decoder_depth == 1
        return
    with pytest.raises(UnusableData, match=message):
        read_generator(file, TINY.geometry)


def test_of_many_missing_names_a_few_are_listed_and_the_rest_counted(
    vectors_folder: Path, tmp_path: Path
) -> None:
    state = load_file(vectors_folder / "vae.tiny.safetensors")
    gone = [name for name in state if name.startswith("decoder.mid.")]
    file = write_autoencoder(
        tmp_path / "vae.pth", {name: state[name] for name in state if name not in gone}
    )
    with pytest.raises(UnusableData, match=rf"decoder\.mid\..* and {len(gone) - 5} more"):
        read_autoencoder(file)


def test_a_file_of_another_kind_is_refused(tmp_path: Path, mar: dict[str, Tensor]) -> None:
    text = tmp_path / "readme.pth"
    text.write_text("not a checkpoint")
    with pytest.raises(UnusableData, match=r"readme\.pth is no checkpoint of torch"):
        read_state(text)
    cut = tmp_path / "cut.pth"
    write_generator(cut, mar)
    cut.write_bytes(cut.read_bytes()[:-400])
    with pytest.raises(UnusableData, match=r"cut\.pth is no checkpoint"):
        read_state(cut)
    with pytest.raises(UnusableData, match="has nothing under 'model'"):
        read_state(write_autoencoder(tmp_path / "vae.pth", mar), key="model")
    with pytest.raises(UnusableData, match="itself is no list of tensors"):
        read_state(write_generator(tmp_path / "mar.pth", mar))


def test_a_bare_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    file = tmp_path / "old.pth"
    torch.save(_Hostile(target), file, _use_new_zipfile_serialization=False)
    with pytest.raises(UnusableData, match=r"torch 1\.6 or later"):
        read_state(file)
    assert not target.exists()
