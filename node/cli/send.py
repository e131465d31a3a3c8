"""`cardionode send`: store files at a peer, as a modality would."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track

from node.cli.options import Config, Overrides
from node.domain.errors import CardioNodeError
from node.settings import read_settings

if TYPE_CHECKING:
    from node.dicom.credentials import Credentials
    from node.dicom.dicomweb import StowClient
    from node.dicom.scu import StorageScu

_PEER = re.compile(r"(?P<ae_title>[^@]{1,16})@(?P<host>[^@]+):(?P<port>\d{1,5})")


def send(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="DICOM files.")],
    to: Annotated[
        str, typer.Option("--to", help="The peer: AETITLE@host:port, or the URL of its DICOMweb.")
    ],
    calling_ae: Annotated[str, typer.Option("--from", help="Our AE title.")] = "CARDIONODE",
    tls: Annotated[bool, typer.Option("--tls", help="With [tls] of the configuration.")] = False,
    server_name: Annotated[
        str | None,
        typer.Option(help="The name in the peer's certificate, where it is not the host."),
    ] = None,
    token: Annotated[
        str, typer.Option("--token", help="DICOMweb: env:NAME or file:PATH of a bearer token.")
    ] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Send DICOM files with C-STORE or STOW-RS; exit status 0 only if each was acknowledged."""
    console = Console(highlight=False, soft_wrap=True)
    sender: StorageScu | StowClient
    if "://" in to:
        sender = _stow_client(to, token)
    else:
        context = tls_credentials(config, overrides).client if tls else None
        sender = _storage_scu(to, calling_ae, context, server_name)
    failures: list[tuple[Path, str]] = []
    for file in track(files, description="sending", console=console, transient=True):
        try:
            sender.send(file.read_bytes())
        except CardioNodeError as error:
            failures.append((file, error.message))
    for file, reason in failures:
        console.print(f"{file}: {reason}", style="red", markup=False)
    console.print(f"{len(files) - len(failures)} of {len(files)} acknowledged by {to}")
    if failures:
        raise typer.Exit(1)


def _storage_scu(
    to: str,
    calling_ae: str,
    tls: Callable[[], ssl.SSLContext] | None,
    server_name: str | None,
) -> StorageScu:
    from node.dicom.scu import StorageScu

    peer = _PEER.fullmatch(to)
    if peer is None:
        raise typer.BadParameter("write it as AETITLE@host:port", param_hint="--to")
    return StorageScu(
        calling_ae=calling_ae,
        called_ae=peer["ae_title"],
        host=peer["host"],
        port=int(peer["port"]),
        tls=tls,
        server_name=server_name,
    )


def _stow_client(url: str, token: str) -> StowClient:
    from node.configured import build_stow_client
    from node.settings import DicomWebDestinationSettings

    named = {"token": token} if token else {}
    try:
        destination = DicomWebDestinationSettings.model_validate(
            {"kind": "dicomweb", "url": url, **named}
        )
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--to") from None
    return build_stow_client(destination)


def tls_credentials(config: Config, overrides: Overrides) -> Credentials:
    """Those of [tls]."""
    from node.configured import build_credentials

    credentials = build_credentials(read_settings(config, overrides or ()))
    if credentials is None:
        raise typer.BadParameter(
            "the configuration has no [tls]: name one with --config", param_hint="--tls"
        )
    return credentials
