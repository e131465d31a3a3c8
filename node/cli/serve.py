"""`cardionode serve`: the service."""

from __future__ import annotations

import signal
import threading
from enum import StrEnum
from typing import Annotated

import typer

from node.allocation import share_freed_memory
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.domain.host import ALL_ROLES, HostRole
from node.engine.niceness import shorten_turns
from node.settings import read_settings


class Role(StrEnum):
    """Choices of --role."""

    ALL = "all"
    RECEIVE = HostRole.RECEIVE
    INFER = HostRole.INFER
    SEND = HostRole.SEND
    WEB = HostRole.WEB


def serve(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            envvar="CARDIONODE_ROLE",
            help="What of the node this process is, with the same configuration for all. May be "
            "repeated.",
            show_default=Role.ALL,
        ),
    ] = None,
) -> None:
    """Run the node until it is told to stop (SIGTERM or Ctrl-C)."""
    from node.app import Node
    from node.configuration import ConfigurationFile

    share_freed_memory()
    shorten_turns()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    asked = role or [Role.ALL]
    roles = ALL_ROLES if Role.ALL in asked else frozenset(HostRole(each) for each in asked)
    settings = read_settings(config, overrides or ())
    file = None if config is None else ConfigurationFile(path=config, overrides=overrides or ())
    node = Node(settings, home, roles, file=file)
    node.start()
    stop.wait()
    node.stop()
