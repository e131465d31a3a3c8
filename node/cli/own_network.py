"""A network of the process's own, with nothing in it but loopback (Linux network namespaces)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

INSIDE = "CARDIONODE_OWN_NETWORK"
"""Set in the environment of what runs inside."""


def own_network_prefix() -> list[str] | None:
    """The command line that runs the words after it in a new network; None without the rights."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    enter = ["unshare", "--net", "--"]
    if os.geteuid() != 0:
        enter = ["unshare", "--net", "--map-root-user", "--"]
    up = [*enter, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    allowed = subprocess.run([*up, "true"], capture_output=True, check=False).returncode == 0
    return up if allowed else None


def enter_own_network() -> bool:
    """Start this very command again in a network of its own; False when that is not allowed.

    Returns True only inside.
    """
    if os.environ.get(INSIDE):
        return True
    prefix = own_network_prefix()
    if prefix is not None:
        command = [*prefix, sys.executable, *sys.orig_argv[1:]]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    return False
