"""What the reference recorded for one network, and the comparison with what ours gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def recorded(folder: Path, name: str, kind: str) -> dict[str, Tensor]:
    """The tensors of one kind (input, noise, expected), by their name without it."""
    tensors = load_file(folder / f"{name}.safetensors")
    prefix = f"{kind}."
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}


def weights(folder: Path, name: str) -> dict[str, Tensor]:
    """Stored in half or single precision, used in single; counters stay integers."""
    tensors = load_file(folder / f"{name}.safetensors")
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}


def assert_all_equal(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], atol: Mapping[str, float]
) -> None:
    """Every recorded output, none forgotten: shape, and values within its tolerance."""
    assert sorted(found) == sorted(expected)
    wrong = {}
    for name, want in expected.items():
        assert found[name].shape == want.shape, name
        difference = (found[name].double() - want.double()).abs().max().item()
        if not difference <= atol[name]:
            wrong[name] = (difference, atol[name])
    assert not wrong


def assert_published_state(network: nn.Module, folder: Path, name: str) -> None:
    """Name, shape, dtype, kind and order of every entry are those of the published file."""
    content = (folder / f"{name}.state_dict.json").read_text(encoding="utf-8")
    published: dict[str, dict[str, Any]] = json.loads(content)["state_dict"]
    parameters = dict(network.named_parameters())
    ours = {
        key: {
            "shape": list(value.shape),
            "dtype": str(value.dtype).removeprefix("torch."),
            "kind": "parameter" if key in parameters else "buffer",
        }
        for key, value in network.state_dict().items()
    }
    assert list(ours.items()) == list(published.items())


def first_different_layer(
    network: nn.Module,
    folder: Path,
    name: str,
    run: Callable[[], object],
    apart: Set[str] = frozenset(),
) -> tuple[str | None, int]:
    """The first module, in the reference's order of calls, whose output's statistics differ.

    Also how many were compared: not those `apart`, nor those absent from ours (all weightless).
    """
    content = (folder / f"{name}.tiny.layers.json").read_text(encoding="utf-8")
    outputs = outputs_of_modules(network, run)
    rows = [row for row in json.loads(content)["rows"] if row[0] in outputs.keys() - apart]
    for key, _, shape, *statistics in rows:
        output = outputs[key]
        ours = torch.stack([output.mean(), output.std(), output.abs().max()])
        alike = torch.allclose(ours, torch.tensor(statistics), rtol=1e-4, atol=1e-5)
        if list(output.shape) != shape or not alike:
            return key, len(rows)
    return None, len(rows)


def outputs_of_modules(network: nn.Module, run: Callable[[], object]) -> dict[str, Tensor]:
    """What each module gives while `run` runs, the last time it is called."""
    outputs: dict[str, Tensor] = {}

    def hook(key: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: outputs.update({key: output})

    handles = [each.register_forward_hook(hook(key)) for key, each in network.named_modules()]
    run()
    for handle in handles:
        handle.remove()
    return {key: output for key, output in outputs.items() if isinstance(output, Tensor)}
