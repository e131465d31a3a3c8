"""The console as a whole: its pages, what they need, and the files that they load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from node.configuration import ConfigurationFile
from node.dicom.template import Templates
from node.domain.audit import Actor
from node.domain.instance import Origin
from node.models import Proved
from node.web.console.audit import Audit
from node.web.console.configuration import ConfigurationPage, Renewal
from node.web.console.connections import Admission, Connections, Endpoint, Trial
from node.web.console.gate import Gate
from node.web.console.handbook import Handbook
from node.web.console.messages import Messages
from node.web.console.model import ModelPage, ShownModel
from node.web.console.overview import Overview
from node.web.console.pages import Pages
from node.web.console.recorded import Recordings
from node.web.console.rules import Plan, Rules
from node.web.console.sign_in import SignIn
from node.web.console.studies import Studies
from node.web.console.study import StudyPage
from node.web.console.users import UsersPage
from node.workflow.accounts import Accounts
from node.workflow.intervene import Intervention
from node.workflow.ports import Clock, ObjectStore, Telemetry, UnitOfWork
from node.workflow.route import Routing
from node.workflow.sessions import Provider, Sessions

_STATIC: Final = Path(__file__).with_name("static")


class Console:
    """Builds the pages; `routes` has them."""

    def __init__(
        self,
        *,
        work: UnitOfWork,
        spool: ObjectStore,
        templates: Templates,
        after: Mapping[str, str],
        idle: timedelta,
        provider: Provider | None = None,
        provider_label: str = "",
        problems: Callable[[], Sequence[str]],
        destinations: Mapping[str, str],
        configured: Callable[[], Mapping[str, Endpoint]],
        file: ConfigurationFile | None,
        renewal: Renewal | None,
        started_by: str,
        callers: Sequence[str],
        admission: Callable[[], Admission],
        trial: Trial,
        routing: Routing,
        configured_routing: Callable[[], Routing],
        called_ae: Sequence[str],
        plan: Callable[[bytes, Origin], Plan],
        maximum_bytes: int,
        replay: Callable[[int, Actor], str],
        models: Sequence[ShownModel],
        prove: Callable[[], Iterable[Proved]],
        free_bytes: Callable[[], int | None],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """after: as `Intervention` has it. The others: as the pages have them."""
        pages = Pages()
        accounts = Accounts(work=work, telemetry=telemetry, clock=clock)
        sessions = Sessions(accounts=accounts, work=work, clock=clock, idle=idle)
        gate = Gate(sessions=sessions, pages=pages, work=work, telemetry=telemetry, clock=clock)
        recordings = Recordings(spool)
        overview = Overview(
            work=work,
            pages=pages,
            gate=gate,
            clock=clock,
            problems=problems,
            destinations=destinations,
            models=[f"{each.identity.label}, {each.identity.how}" for each in models],
            free_bytes=free_bytes,
        )
        studies = Studies(work=work, recordings=recordings, pages=pages, gate=gate)
        study = StudyPage(
            work=work,
            spool=spool,
            recordings=recordings,
            templates=templates,
            intervene=lambda by: Intervention(
                by=by, work=work, telemetry=telemetry, clock=clock, after=after
            ),
            pages=pages,
            gate=gate,
        )
        connections = Connections(
            work=work,
            pages=pages,
            gate=gate,
            destinations=destinations,
            configured=configured,
            file=file,
            callers=callers,
            admission=admission,
            trial=trial,
        )
        rules = Rules(
            pages=pages,
            gate=gate,
            routing=routing,
            configured=configured_routing,
            file=file,
            called_ae=called_ae,
            plan=plan,
            maximum_bytes=maximum_bytes,
        )
        configuration = ConfigurationPage(
            pages=pages,
            gate=gate,
            file=file,
            renewal=renewal,
            started_by=started_by,
            work=work,
        )
        self.routes: Sequence[BaseRoute] = [
            *SignIn(
                sessions=sessions, pages=pages, gate=gate, provider=provider, label=provider_label
            ).routes,
            *overview.routes,
            *studies.routes,
            *study.routes,
            *connections.routes,
            *rules.routes,
            *Messages(
                work=work,
                spool=spool,
                destinations=destinations,
                replay=replay,
                pages=pages,
                gate=gate,
            ).routes,
            *ModelPage(pages=pages, gate=gate, models=models, prove=prove).routes,
            *Handbook(pages=pages, gate=gate).routes,
            *configuration.routes,
            *UsersPage(accounts=accounts, pages=pages, gate=gate).routes,
            *Audit(work=work, pages=pages, gate=gate).routes,
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
