"""A changed configuration, taken up: proved beside the node that runs, which then starts anew.

What a node has in hand then goes on as after any other start; what it would stumble over is told of
while the old one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.configuration import ConfigurationFile, need_file
from node.configured import (
    build_credentials,
    build_notifiers,
    build_provider,
    build_routing,
    build_sender,
    build_worklist,
    listening_ports,
    need_traces,
)
from node.configured_store import open_objects
from node.dicom.template import load_templates
from node.domain.errors import CardioNodeError, ConfigurationError
from node.domain.host import HostRole
from node.models import load_models
from node.settings import Settings, read_settings
from node.web.bearer import BearerTokens
from node.workflow.connection_test import check_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Of one process that runs."""

    file: ConfigurationFile | None
    """None where it runs by the default."""
    started_by: str
    """SHA-256 of what the file held when it was started; empty without one."""
    running: Settings
    home: Path
    roles: frozenset[HostRole]
    start_anew: Callable[[], None]
    """Returns at once."""

    def prove(self) -> None:
        """Pass where a node could start by what the file says; nothing of it is put to use.

        Raises NotPossible (there is no file), ConfigurationError (all else).
        """
        file = need_file(self.file)
        try:
            settings = read_settings(file.path, file.overrides)
            self._check_store(settings)
            self._build(settings)
            for name, key, host, port in self._new_ports(settings):
                if (problem := check_port(name, key, host, port).problem) is not None:
                    raise ConfigurationError(problem)
            if settings.storage != self.running.storage:
                open_objects(settings, self.home)  # the last, because it remembers new keys
        except CardioNodeError as error:
            raise ConfigurationError(error.message) from error

    def _check_store(self, settings: Settings) -> None:
        """What was acknowledged lies there, and does not move by a word in a file."""
        for key in ("database_url", "objects"):
            if getattr(settings.storage, key) != getattr(self.running.storage, key):
                raise ConfigurationError(
                    f"storage.{key} says where what was acknowledged is kept: stop the node, bring "
                    "that to the new place, and start it"
                )

    def _build(self, settings: Settings) -> None:
        credentials = build_credentials(settings)
        build_routing(settings)
        build_worklist(settings, credentials)
        build_notifiers(settings.alerts)
        build_provider(settings.web.console.provider)
        need_traces(settings)
        for name in settings.destinations:
            build_sender(settings, name, credentials)
        if settings.web.stow.tokens is not None:
            BearerTokens(settings.web.stow.tokens)
        if HostRole.INFER in self.roles and settings.model != self.running.model:
            load_models(settings.model, load_templates(), lambda _: None)

    def _new_ports(self, settings: Settings) -> list[tuple[str, str, str, int]]:
        """Those that this process does not hold itself, at whatever address."""
        held = {port for *_, port in listening_ports(self.running, self.roles)}
        wanted = listening_ports(settings, self.roles)
        return [each for each in wanted if each[3] not in held]
