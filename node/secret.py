"""Secrets the configuration refers to: they stand in a file or in the environment, never in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from node.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is; what it is, is only read when it is needed, so that it can be changed."""

    source: str
    """`env` or `file`."""
    name: str
    """The variable, or the path."""

    def __post_init__(self) -> None:
        if self.source not in ("env", "file") or not self.name:
            raise ConfigurationError(HOW_TO_REFER)

    @classmethod
    def parse(cls, reference: object) -> Secret:
        """Of a reference like `env:NAME` or `file:PATH`. Raises ConfigurationError."""
        if not isinstance(reference, str):
            raise ConfigurationError(HOW_TO_REFER)
        source, _, name = reference.partition(":")
        return cls(source, name)

    @property
    def reference(self) -> str:
        """As the configuration has it."""
        return f"{self.source}:{self.name}"

    def read(self) -> str:
        """The secret, without white space around it.

        Raises ConfigurationError when it is not there, empty, or more than one line of ASCII.
        """
        where = f"{'variable' if self.source == 'env' else 'file'} {self.name}"
        try:
            text = (
                os.environ[self.name]
                if self.source == "env"
                else Path(self.name).read_text(encoding="ascii")
            ).strip()
        except (OSError, KeyError, UnicodeDecodeError):
            raise ConfigurationError(
                f"cannot read a secret from {where}; set it, for the user the node runs as"
            ) from None
        if not text or not text.isascii() or not text.isprintable():
            raise ConfigurationError(f"the secret in {where} is empty or no single line of ASCII")
        return text


HOW_TO_REFER = "write env:NAME or file:PATH; the secret itself does not stand in the configuration"
