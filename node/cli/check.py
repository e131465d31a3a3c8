"""`cardionode check`: is the configuration right, and is what it names really there?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import token_bytes

import typer
from rich.console import Console

from node.cli.models import load
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError, StorageError
from node.settings import Settings, read_settings
from node.web.bearer import BearerTokens
from node.workflow.connection_test import Check, check_disk, check_port, try_it


def check(config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None) -> None:
    """Validate the configuration and try what it names; exit status 0 only if all is right."""
    settings = read_settings(config, overrides or ())
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"ok    configuration: {config or 'the annotated default'}", markup=False)
    failed = False
    for result in found_by_check(settings, home):
        show_check(console, result)
        failed = failed or result.problem is not None
    if not settings.destinations:
        console.print("note  destinations: there are none; ECGs are answered, nothing is sent")
    if failed:
        raise typer.Exit(1)


def show_check(console: Console, found: Check) -> None:
    """A line."""
    mark, words = ("FAIL", found.problem) if found.problem else ("ok  ", found.detail)
    style = "red" if found.problem else None
    console.print(f"{mark}  {found.subject}: {words}", style=style, markup=False)


def found_by_check(settings: Settings, home: Path, *, is_running: bool = False) -> Iterator[Check]:
    """Each thing tried. is_running: the node has its ports."""
    from node.configured import listening_ports

    yield check_disk(home, settings.storage.minimum_free_mb * 1_000_000)
    yield try_it("objects", lambda: _objects(settings, home))
    for name, key, host, port in () if is_running else listening_ports(settings):
        yield check_port(name, key, host, port)
    if settings.tls is not None:
        yield try_it("certificates", lambda: _certificates(settings))
    stow_tokens = settings.web.stow.tokens
    if stow_tokens is not None:
        yield try_it("STOW-RS tokens", lambda: f"callers: {len(BearerTokens(stow_tokens).names)}")
    yield try_it("model", lambda: _models(settings))
    yield try_it("HL7 profiles", lambda: _profiles(settings))
    if settings.worklist is not None:
        yield try_it("worklist", partial(_worklist, settings))
    for name in settings.destinations:
        yield _reach(settings, name)
    if settings.audit_repository is not None:
        yield try_it("audit repository", partial(_audit_repository, settings))
    if settings.alerts.mail is not None or settings.alerts.webhook is not None:
        yield try_it("alerts", partial(_alerts, settings))


def _objects(settings: Settings, home: Path) -> str:
    from node.app import utc_now
    from node.configured_store import open_objects

    storage = settings.storage
    where = storage.objects or str(home / "spool")
    if not storage.is_bucket and not Path(where).is_dir():
        return f"{where} is made by the first start"  # which may be by another user
    objects = open_objects(settings, home)
    digest = objects.put(token_bytes(1024))
    objects.get(digest)
    if not objects.remove_if_older(digest, than=utc_now() + timedelta(days=1)):
        raise StorageError(f"what is kept in {where} cannot be removed")
    encrypted = ", encrypted" if storage.keys else ""
    clear = ", in the clear" if (storage.s3.endpoint_url or "").startswith("http:") else ""
    return f"written, read and removed in {where}{encrypted}{clear}"


def _certificates(settings: Settings) -> str:
    from node.app import utc_now
    from node.configured import build_credentials

    credentials = build_credentials(settings)
    assert credentials is not None
    now = utc_now()
    expired = [each for each in credentials.expiries if each.days_left(now) <= 0]
    if expired:
        raise ConfigurationError("; ".join(each.sentence(now) for each in expired))
    return "; ".join(each.sentence(now) for each in credentials.expiries)


def _models(settings: Settings) -> str:
    models = load(settings.model, load_templates())
    return "; ".join(served.text for served in models.served.values())


def _profiles(settings: Settings) -> str:
    from node.configured import build_routing

    routing = build_routing(settings)
    profiles = [each for each in routing.destinations.values() if each.profile is not None]
    return f"{len(profiles)} in use"


def _worklist(settings: Settings) -> str:
    from node.configured import build_credentials, build_worklist

    worklist = build_worklist(settings, build_credentials(settings))
    return f"Modality Worklist offered by {worklist.probe()}" if worklist else "nobody is asked"


def _audit_repository(settings: Settings) -> str:
    from node.configured import build_audit_receiver, build_credentials

    repository = settings.audit_repository
    assert repository is not None
    receiver = build_audit_receiver(repository, build_credentials(settings))
    receiver.send([])
    return f"syslog over TLS taken by {receiver.where}"


def _alerts(settings: Settings) -> str:
    from node.alerts.mail import Mail
    from node.configured import build_notifiers

    found = []
    for name, notifier in build_notifiers(settings.alerts).items():
        if isinstance(notifier, Mail):
            notifier.probe()
            found.append(f"mail is taken by {notifier.where}")
        else:
            found.append(f"{name} is tried by `cardionode alerts test`")
    return "; ".join(found)


def _reach(settings: Settings, name: str) -> Check:
    """All steps of one destination as one: what was found, or what was not."""
    from node.configured_trial import try_destination

    subject = f"destination {name}"
    try:
        steps = list(try_destination(settings, name))
    except ConfigurationError as error:
        return Check(subject=subject, problem=error.message)
    found = ", ".join(each.detail for each in steps[2:])  # that it is found and takes a connection
    return Check(subject=subject, problem=steps[-1].problem, detail=found)
