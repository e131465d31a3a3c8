"""The published networks' recorded outputs, and what it means to give the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.conftest import absent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums on one core have one order; the vectors were recorded so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def vectors_folder(shared: Path) -> Path:
    """Weights, inputs and outputs of the reference code for tiny models; names at full size."""
    folder = shared / "reference" / "vectors"
    if not folder.is_dir():
        absent(f"no reference vectors: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def tolerances(vectors_folder: Path) -> dict[str, dict[str, Any]]:
    """By "model|expected.name": what was observed, and `suggested_atol`."""
    content = (vectors_folder / "tolerances.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(content)
    return found


@pytest.fixture(scope="session")
def assert_reproduced(
    vectors_folder: Path, tolerances: dict[str, dict[str, Any]]
) -> Callable[..., None]:
    """Every `expected.*` tensor of a file is given, within its tolerance; `count` of them."""

    def check(
        model: str,
        file: str,
        given: Mapping[str, Tensor],
        *,
        count: int,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        vectors = load_file(vectors_folder / file)
        expected = {
            name.removeprefix("expected."): vectors[name]
            for name in vectors
            if name.startswith("expected.")
        }
        assert left_out <= set(expected)
        assert sorted(given) == sorted(set(expected) - left_out)
        assert len(given) == count
        for name, tensor in given.items():
            assert tensor.shape == expected[name].shape, name
            difference = (tensor.detach().double() - expected[name].double()).abs().max().item()
            limit = tolerances[f"{model}|expected.{name}"]["suggested_atol"]
            assert difference <= limit, f"{name}: {difference} is more than {limit}"

    return check


@pytest.fixture(scope="session")
def assert_published_layout(vectors_folder: Path) -> Callable[[str, nn.Module], None]:
    """A network built on the meta device has the published file's tensors, in its order."""

    def check(name: str, network: nn.Module) -> None:
        file = vectors_folder / f"{name}.state_dict.json"
        published = json.loads(file.read_text(encoding="utf-8"))["state_dict"]
        parameters = dict(network.named_parameters())
        ours = {
            key: {
                "shape": list(tensor.shape),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "kind": "parameter" if key in parameters else "buffer",
            }
            for key, tensor in network.state_dict().items()
        }
        assert list(ours) == list(published)
        assert ours == published

    return check
