"""`cardionode serve`: the service."""

from __future__ import annotations

import signal
import threading

from node.allocation import share_freed_memory
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.settings import read_settings


def serve(config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None) -> None:
    """Run the node until it is told to stop (SIGTERM or Ctrl-C)."""
    from node.app import Node

    share_freed_memory()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    node = Node(read_settings(config, overrides or ()), home)
    node.start()
    stop.wait()
    node.stop()
