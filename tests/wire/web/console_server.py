"""The console on port 0 over a real store, with one answered ECG, and a browser of few words."""

from __future__ import annotations

import http.client
import io
import re
from datetime import timedelta
from functools import cache
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from argon2 import PasswordHasher
from pydicom.dataset import Dataset

from node.admission import Admission
from node.configuration import ConfigurationFile
from node.configured import build_routing
from node.configured_rehearsal import Plan, PlannedDelivery
from node.dicom.template import load_templates
from node.domain.audit import AuditEntry
from node.domain.delivery import DeliveryOutcome, DeliveryState, DestinationKind
from node.domain.errors import ConfigurationError
from node.domain.instance import Origin
from node.domain.user import Role
from node.engine.unit_of_work import EngineUnitOfWork
from node.hl7.profile import Profile
from node.models import Proved
from node.settings import Settings, read_settings
from node.store.database import Database, sqlite_url
from node.store.spool import Spool
from node.web.console.connections import WHERE, Endpoint
from node.web.console.console import Console
from node.web.console.model import ShownModel
from node.web.server import WebServer
from node.workflow.accounts import Accounts
from node.workflow.connection_test import Check
from node.workflow.identity import IdentityPolicy
from node.workflow.inbox import Inbox
from node.workflow.intake import Intake
from node.workflow.process import Processing
from node.workflow.registry import Registry
from node.workflow.rehearse import rehearse
from node.workflow.route import Destination, Routing, RoutingRule
from node.workflow.sessions import Provider
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.contract import Pipeline
from pipelines.parity import Deviation
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import mortara
from tests.fakes import SOMEBODY, Clock, Notes
from tests.result_phantom import model

QUICK = Path(__file__).parents[2] / "data" / "bundles" / "quick"
PASSWORD = "correct horse battery"
IDLE = timedelta(minutes=30)
DESTINATIONS = {
    "PACS": Destination(name="PACS", kind=DestinationKind.DICOM),
    "RIS": Destination(name="RIS", kind=DestinationKind.HL7, profile=Profile()),
}
ROUTING = Routing(
    rules=[
        RoutingRule(name="emergency", calling_ae="ED_*", destinations=("PACS",)),
        RoutingRule(name="all", destinations=tuple(DESTINATIONS)),
    ],
    destinations=DESTINATIONS,
)
RUNNING = {"PACS": "127.0.0.1:104", "RIS": "127.0.0.1:2575"}
MODEL = ShownModel(
    identity=model(),
    reason="",
    fell_back=False,
    offers="22 phenotypes, cine",
    licence="Apache-2.0",
    proof=(Deviation(output="phenotypes", largest=2.5e-7, allowed=1e-3),),
    card="# A card\n\n<script>alert(1)</script>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
)
FORM = "application/x-www-form-urlencoded"
NEEDS = {
    None: ("GET /sign-in", "POST /sign-in"),
    Role.VIEWER: (
        "GET /", "GET /studies", "POST /studies", "GET /studies/{job}",
        "GET /studies/{job}/deliveries", "GET /studies/{job}/ecg.png",
        "GET /studies/{job}/cine.png", "GET /studies/{job}/results/{delivery}",
        "GET /connections", "GET /rules", "GET /messages", "GET /messages/sent",
        "GET /messages/{number}", "GET /model", "GET /handbook", "GET /handbook/{page}",
        "GET /handbook/pictures/{name}", "GET /account", "POST /account", "POST /sign-out",
    ),
    Role.OPERATOR: (
        "POST /studies/{job}/{act}", "POST /connections/test", "POST /rules",
        "POST /messages/{number}/replay",
    ),
    Role.ADMIN: (
        "POST /connections", "POST /connections/send", "POST /connections/change",
        "POST /connections/remove", "POST /connections/refused/{number}/allow",
        "POST /rules/add", "POST /rules/up", "POST /rules/remove", "POST /model/prove",
        "GET /configuration", "POST /configuration", "POST /configuration/take-up",
        "GET /users", "POST /users", "POST /users/{number}/password",
        "POST /users/{number}/remove", "GET /audit",
    ),
}  # fmt: skip
"""Every way into a console without a provider, by who may go it; None: anybody."""
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@cache
def pipeline() -> Pipeline:
    return load_pipeline(read_bundle(QUICK), OnnxRuntime(threads=1))


class FakeRenewal:
    """Of a process that does not start anew."""

    def __init__(self) -> None:
        self.problem, self.times = "", 0

    def prove(self) -> None:
        if self.problem:
            raise ConfigurationError(self.problem)

    def start_anew(self) -> None:
        self.times += 1


class ConsoleServer:
    """A user of each role; `clock` moves when told to."""

    def __init__(self, folder: Path, *, provider: Provider | None = None) -> None:
        self.clock, self.notes, self.problems = Clock(), Notes(), list[str]()
        self.database = Database(sqlite_url(folder / "node.db"))
        self.database.prepare()
        self.work = EngineUnitOfWork(self.database)
        self.proved: list[Proved] = []
        self.file = ConfigurationFile(path=folder / "node.toml")
        self.renewal = FakeRenewal()
        self.spool = Spool(folder / "spool")
        self.inbox = Inbox(
            spool=self.spool,
            work=self.work,
            registry=Registry(spool=self.spool, work=self.work),
            telemetry=self.notes,
            clock=self.clock,
        )
        self.accounts = Accounts(
            work=self.work, telemetry=self.notes, clock=self.clock, hasher=_CHEAP
        )
        for role in Role:
            self.accounts.add(role.value, PASSWORD, role=role, by=SOMEBODY)
        console = Console(
            work=self.work,
            spool=self.spool,
            templates=load_templates(),
            after={},
            idle=IDLE,
            provider=provider,
            provider_label="Hospital account",
            problems=lambda: self.problems,
            destinations=RUNNING,
            configured=self.configured,
            file=self.file,
            renewal=self.renewal,
            started_by=self.file.read().digest,
            callers=["ECG carts from 192.0.2.0/24 may store"],
            admission=lambda: Admission(settings=self.settings()),
            trial=self.try_destination,
            routing=ROUTING,
            configured_routing=self.configured_routing,
            called_ae=["CARDIONODE"],
            plan=self.plan,
            maximum_bytes=5_000_000,
            replay=self.inbox.replay,
            models=[MODEL],
            prove=lambda: self.proved,
            free_bytes=self.spool.free_bytes,
            telemetry=self.notes,
            clock=self.clock,
        )
        self.routes = console.routes
        self._server = WebServer(
            host="127.0.0.1", port=0, health=list, readiness=list, metrics=bytes,
            pages=self.routes, proxies=["127.0.0.1"],
        )  # fmt: skip
        self.port = 0

    def settings(self) -> Settings:
        return read_settings(self.file.path if self.file.path.exists() else None)

    def configured(self) -> dict[str, Endpoint]:
        """What the file says; without a file there are those that run."""
        if not self.file.path.exists():
            return {name: Endpoint(described=each, where={}) for name, each in RUNNING.items()}
        return {
            name: Endpoint(
                described=each.address,
                where={key: getattr(each, key) for key in WHERE if hasattr(each, key)},
            )
            for name, each in read_settings(self.file.path).destinations.items()
        }

    def configured_routing(self) -> Routing:
        return build_routing(self.settings()) if self.file.path.exists() else ROUTING

    def __enter__(self) -> ConsoleServer:
        self.port = self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self.work.close()
        self.database.close()

    def audited(self) -> list[AuditEntry]:
        """What was done since the users are there, the first first."""
        with self.work.look() as transaction:
            found = transaction.audit.latest(limit=1000)
        return found[::-1][len(Role) :]

    def try_destination(self, name: str, *, sends: bool) -> list[Check]:
        """The RIS is not there."""
        problem = "nobody listens on 127.0.0.1:2575" if name == "RIS" else None
        sent = [Check(subject="test cine", problem=None, detail="taken in 9 ms")] if sends else []
        return [
            Check(subject="name", problem=None, detail="127.0.0.1"),
            Check(subject="connection", problem=problem, detail="taken"),
            *sent,
        ]

    def plan(self, content: bytes, origin: Origin) -> Plan:
        found = rehearse(
            content, origin=origin, routing=ROUTING, minimum_duration_s=5.0, offers_cine=True,
            identity=IdentityPolicy(),
        )  # fmt: skip
        owed = [
            PlannedDelivery(destination=each.name, at="there", kind=kind, form="")
            for each, kind in found.owed
        ]
        return Plan(refused="", bundle="quick 1.0.0", found=found, deliveries=owed)

    def take(self, ecg: Dataset | None = None, *, answered: bool = True) -> int:
        """Have the node receive an ECG and answer it; the number of its job."""
        dataset, file = ecg or mortara(), io.BytesIO()
        dataset.save_as(file)
        content = file.getvalue()
        Intake(spool=self.spool, work=self.work, telemetry=self.notes, clock=self.clock).accept(
            content[144 + int.from_bytes(content[140:144], "little") :],
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            origin=Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1"),
        )
        with self.work.look() as transaction:
            (job,) = transaction.jobs.latest(limit=1)
        if answered:
            self.process(job.job_id)
        return job.job_id

    def process(self, job_id: int) -> None:
        Processing(
            spool=self.spool,
            work=self.work,
            pipeline_for=lambda _: pipeline(),
            templates=load_templates(),
            routing=ROUTING,
            telemetry=self.notes,
            clock=self.clock,
        ).process(job_id)

    def refuse(self, job_id: int, reason: str) -> None:
        """Have every delivery of a job be refused by its destination."""
        with self.work.begin() as transaction:
            for each in transaction.outbox.of_job(job_id):
                transaction.outbox.settle(
                    each.delivery_id,
                    DeliveryOutcome(
                        state=DeliveryState.REFUSED, error_code="refused", error_message=reason
                    ),
                    started_at=self.clock(),
                    at=self.clock(),
                )


class Page:
    """What was answered."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers = answer.status, answer.headers
        self.content = answer.read()

    @property
    def text(self) -> str:
        return self.content.decode("utf-8")

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.text)
        assert found is not None, self.text
        return found[1]


class Browser:
    """Keeps cookies; follows nothing by itself."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **headers: str) -> Page:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str] | bytes, **headers: str) -> Page:
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        return self._ask("POST", path, body, {"Content_Type": FORM, **headers})

    def sign_in(self, name: str, password: str = PASSWORD, **headers: str) -> Page:
        return self.post("/sign-in", {"name": name, "password": password}, **headers)

    def submit(self, path: str, fields: dict[str, str] | None = None) -> Page:
        """A form of a page that is open."""
        token = self.get("/studies").form_token
        return self.post(path, {"form_token": token, **(fields or {})})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, given)
            page = Page(connection.getresponse())
        finally:
            connection.close()
        for line in page.headers.get_all("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                self.cookies.pop(name, None)
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return page
