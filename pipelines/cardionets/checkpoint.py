"""The published checkpoint files: read as data, never run, and fitted name by name.

A file is a pickle in a zip; only tensors, plain containers and the few classes named here are
built from it. Layouts: Ding et al. 2026, github Yukui-1999/ECG-CMR 14ca8af.
"""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy._core.multiarray import scalar
from torch import Tensor, nn

from node.domain.errors import UnusableData

ALLOWED: Final = (
    argparse.Namespace,  # the generator's arguments
    np.dtype,
    np.dtypes.Float64DType,
    # A metric is a numpy.float64; numpy before 2 wrote where it then lived.
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
)
_NAMED: Final = 5
"""Keys that a message names, of however many."""

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


def read_state(file: Path, *, key: str | None = None, without: str | None = None) -> State:
    """The weights of a checkpoint by name, float32; the file stays mapped while they are used.

    key: where in the file they lie; None: the file is the state. without: a prefix of names to
    leave out. Raises UnusableData (no checkpoint, another class in it than those allowed, no
    weights at the key).
    """
    content = _load(file)
    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            raise UnusableData(f"{file.name} has nothing under {key!r}: give the published file")
        content = content[key]
    if not _is_state(content):
        place = "itself" if key is None else f"under {key!r}"
        raise UnusableData(f"{file.name} {place} is no list of tensors: give the published file")
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in content.items()
        if without is None or not name.startswith(without)
    }


def fit(build: Callable[[], Network], state: State, file: Path) -> Network:
    """The network with these weights: every name and shape is its own, none left over.

    Raises UnusableData, naming them.
    """
    with torch.device("meta"):
        network = build()
    own = network.state_dict()
    faults = (
        ("lacks", own.keys() - state.keys()),
        ("has beyond the network's", state.keys() - own.keys()),
        (
            "has in another shape",
            {name for name in own.keys() & state.keys() if own[name].shape != state[name].shape},
        ),
    )
    found = [f"{what} {_listed(names)}" for what, names in faults if names]
    if found:
        raise UnusableData(f"{file.name} {'; '.join(found)}: it is not the published network's")
    network.load_state_dict(state, strict=True, assign=True)
    network.eval().requires_grad_(False)
    return network


def _load(file: Path) -> Any:
    if not zipfile.is_zipfile(file):
        raise UnusableData(f"{file.name} is no checkpoint of torch 1.6 or later: download it again")
    with torch.serialization.safe_globals(list(ALLOWED)):
        try:
            refused = torch.serialization.get_unsafe_globals_in_checkpoint(str(file))
            if refused:
                raise UnusableData(
                    f"{file.name} holds {_listed(set(refused))}, which is no data: it was not "
                    "opened; get the file from its authors"
                )
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
            raise UnusableData(
                f"{file.name} is no checkpoint that can be read safely ({type(error).__name__}): "
                "download it again"
            ) from error


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(each, Tensor) for each in content.values())
    )


def _listed(names: set[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more
