"""Who may call the web services: bearer tokens, of which the node keeps digests alone."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import Final

from node.domain.errors import ConfigurationError

_LINE: Final = re.compile(r"(?P<name>[!-\[\]-~]{1,16})[ \t]+(?P<digest>[0-9a-fA-F]{64})")
"""A name is used like a calling AE title, so it is made like one."""


class BearerTokens:
    """A file with a line for each caller: its name and the SHA-256 of its token, in hexadecimal.

    Read at each request, so that a token can be taken away at once. A token must be random and
    long (256 bits): then its digest can neither be guessed nor needs a salt.
    """

    def __init__(self, file: Path) -> None:
        """Raises ConfigurationError when the file cannot be used."""
        self._file = file
        self.names = tuple(name for name, _ in self._read())

    def name_of(self, authorization: str) -> str | None:
        """Whose token stands in an Authorization header; None: nobody's.

        Raises ConfigurationError. Source: RFC 6750 §2.1.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        found = None
        for name, digest in self._read():
            if hmac.compare_digest(digest, given):
                found = name
        return found

    def _read(self) -> list[tuple[str, bytes]]:
        try:
            lines = self._file.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"cannot read web.stow.tokens, {self._file}") from None
        tokens = []
        for number, line in enumerate(lines, start=1):
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            entry = _LINE.fullmatch(stripped)
            if entry is None:
                raise ConfigurationError(
                    f"line {number} of web.stow.tokens, {self._file}, is not a name of 1 to 16 "
                    "characters and the SHA-256 of a token, 64 hexadecimal digits"
                )
            tokens.append((entry["name"], bytes.fromhex(entry["digest"])))
        return tokens
