"""`cardionode serve`: the service."""

from __future__ import annotations

import os
import signal
import sys
from enum import Enum, StrEnum
from queue import SimpleQueue
from typing import Annotated

import typer

from node.allocation import share_freed_memory, spare_what_stays
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.cli.wishes import next_wish
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


class _Wish(Enum):
    """What a running node is asked for."""

    STOP = "stop"
    RENEW = "renew"
    """Start anew if the configuration can be taken up."""
    START_ANEW = "start anew"


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
    """Run the node until it is told to stop (SIGTERM or Ctrl-C).

    At SIGHUP, as at "Take it up" in the console, it starts anew by what the configuration file says
    then, as the same process; where it could not, it goes on as it is, and the log says why.
    """
    from node.app import Node
    from node.configuration import ConfigurationFile
    from node.renewal import Renewal
    from node.service_manager import ServiceManager
    from node.side_processes import forget_the_former

    forget_the_former()
    share_freed_memory()
    shorten_turns()
    wishes: SimpleQueue[_Wish] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: wishes.put(_Wish.STOP))
    if not sys.stderr.isatty():  # of which the signal tells that it is gone
        signal.signal(signal.SIGHUP, lambda *_: wishes.put(_Wish.RENEW))
    asked = role or [Role.ALL]
    roles = ALL_ROLES if Role.ALL in asked else frozenset(HostRole(each) for each in asked)
    file = None if config is None else ConfigurationFile(path=config, overrides=overrides or ())
    settings, started_by = (
        (read_settings(None, overrides or ()), "") if file is None else (file.settings())
    )
    renewal = Renewal(
        file=file,
        started_by=started_by,
        running=settings,
        home=home,
        roles=roles,
        start_anew=lambda: wishes.put(_Wish.START_ANEW),
    )
    manager = ServiceManager()
    manager.watch()
    node = Node(settings, home, roles, renewal=renewal)
    node.start()
    spare_what_stays()
    manager.ready(" ".join(f"{name}:{port}" for name, port in sorted(node.ports.items())))
    while (wish := next_wish(wishes)) is _Wish.RENEW:
        node.renew()
    if wish is _Wish.STOP:
        manager.stopping()
    else:
        manager.starting_anew()
    node.stop()
    while not wishes.empty():
        wish = _Wish.STOP if wishes.get() is _Wish.STOP else wish
    if wish is _Wish.START_ANEW:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the new one says what it does with it
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
