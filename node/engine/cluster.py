"""The hosts of one node: each says that it lives, and what a dead one had in hand is taken over.

Nobody leads: any host may die. Who lives is judged by rows that change, not by clocks of machines.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from node.domain.errors import CardioNodeError, ConfigurationError
from node.domain.host import Host, HostRole
from node.engine.redrive import redrive
from node.engine.unit_of_work import EngineUnitOfWork
from node.store.turns import Turns
from node.workflow.ports import Clock, Level, Telemetry

BEAT_S: Final = 2.0
DEAD_AFTER_S: Final = 12.0
"""Without a beat that this host has seen, while it looked all the time itself."""
CLOCKS_APART_S: Final = 10.0
"""More than a beat that is seen can be old."""


class Cluster:
    """This host among the others.

    Thread safety: `start` and `stop` belong to the thread that made it.
    """

    def __init__(
        self,
        work: EngineUnitOfWork,
        *,
        home: Path,
        store: str,
        roles: frozenset[HostRole],
        configuration: str = "",
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """home: of this process alone, for these roles (it is locked).

        store: identity of its store of objects. configuration: as `Host` has it.
        """
        self._work = work
        self._home = str(home.absolute())
        self._store = store
        self._machine = socket.gethostname()
        self._roles = roles
        self._configuration = configuration
        self._not_taken_up = ""
        self._telemetry = telemetry
        self._clock = clock
        self._beats = 0
        """Never again the same, so that one that was taken for dead is seen to be back."""
        self._apart: set[str] = set()
        """Hosts whose clocks were told to differ from this one's."""
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._beat_on, name="beat", daemon=True),
            threading.Thread(target=self._watch_on, name="watch", daemon=True),
        ]
        self.executor_id: Final = f"{self._machine[:64]}-{secrets.token_hex(8)}"
        """By which the engine knows this process: of what starts again nothing is taken for it."""

    def start(self) -> None:
        """Join, take over what those before left, and watch.

        Before any work of the engine is begun here: who is no host loses it.
        Raises StorageError, ConfigurationError (another host keeps its objects elsewhere).
        """
        self._check_store()
        self._join()
        self.take_over()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave, and have others go on at once with what is unfinished."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        try:
            with self._work.begin() as transaction:
                transaction.hosts.remove(self.executor_id)
            take_over(self._work)
        except Exception as error:  # who watches, or starts next, finds what is orphaned
            self._report("host left without a word", error)

    def explain(self, not_taken_up: str) -> None:
        """Have it seen why this host goes on by the configuration it has; it does so anyhow."""
        self._not_taken_up = not_taken_up
        try:
            with self._work.begin() as transaction:
                transaction.hosts.explain(self.executor_id, not_taken_up)
        except Exception as error:  # the log has the reason
            self._report("reason not kept", error)

    def take_over(self) -> None:
        """Have done what no living host does. Raises StorageError."""
        again = take_over(self._work)
        if again:
            self._telemetry.event("orphaned work taken up", level=Level.WARNING, count=again)

    def _check_store(self) -> None:
        elsewhere = self._elsewhere()
        if not elsewhere:
            return
        time.sleep(3 * BEAT_S)
        for executor_id, host in self._elsewhere().items():
            if elsewhere.get(executor_id, host).beats != host.beats:
                raise ConfigurationError(
                    f"the host on {host.machine} in {host.home} works with this database and keeps "
                    "its objects elsewhere: storage.objects is one folder or bucket that all share"
                )

    def _elsewhere(self) -> dict[str, Host]:
        """Hosts, perhaps dead, with another store of objects."""
        with self._work.begin() as transaction:
            hosts = transaction.hosts.all()
        return {host.executor_id: host for host in hosts if host.store != self._store}

    def _join(self) -> None:
        now = self._clock()
        host = Host(
            executor_id=self.executor_id,
            machine=self._machine,
            home=self._home,
            store=self._store,
            roles=self._roles,
            configuration=self._configuration,
            not_taken_up=self._not_taken_up,
            beats=self._beats,
            started_at=now,
            beat_at=now,
        )
        with self._work.begin() as transaction:
            transaction.hosts.join(host)

    def _beat_on(self) -> None:
        """A thread of its own: taking over may take longer than a host is given."""
        report = _Once(self._report)
        while not self._stopping.wait(BEAT_S):
            self._beats += 1
            try:
                with self._work.begin() as transaction:
                    is_known = transaction.hosts.beat(
                        self.executor_id, beats=self._beats, at=self._clock()
                    )
                if not is_known:
                    self._join()
                    self._telemetry.event("this host was taken for dead", level=Level.WARNING)
                report.is_well()
            except Exception as error:  # the thread's boundary
                report.fails("heartbeat not written", error)

    def _watch_on(self) -> None:
        watch, report = Watch(self.executor_id, time.monotonic), _Once(self._report)
        left_work = False  # by one that is buried: so until it is taken over
        while not self._stopping.wait(BEAT_S):
            try:
                with self._work.begin() as transaction:
                    hosts = transaction.hosts.all()
                for host in watch.dead(hosts):
                    left_work |= self._bury(host)
                self._compare_clocks(watch.beating)
                left_work |= self._has_orphans()
                if left_work:
                    self.take_over()
                    left_work = False
                report.is_well()
            except Exception as error:  # the thread's boundary
                watch.forget()
                report.fails("hosts not watched", error)

    def _has_orphans(self) -> bool:
        """Also of a host that left and was killed before it could hand on what it had in hand."""
        with self._work.database.read() as connection:
            return Turns(connection).has_orphans()

    def _bury(self, host: Host) -> bool:
        """Whether it was dead still, and no other host faster."""
        with self._work.begin() as transaction:
            is_dead = transaction.hosts.remove(host.executor_id, beats=host.beats)
        if is_dead:
            self._telemetry.event(
                "host is dead: its work is taken over",
                level=Level.ERROR,
                address=host.machine,
                role=" ".join(sorted(host.roles)),
            )
        return is_dead

    def _compare_clocks(self, beating: Collection[Host]) -> None:
        """Tell once of each host whose clock differs: what it puts off is early or late here."""
        now = self._clock()
        for host in beating:
            apart_s = abs((now - host.beat_at).total_seconds())
            if apart_s < CLOCKS_APART_S:
                self._apart.discard(host.executor_id)
            elif host.executor_id not in self._apart:
                self._apart.add(host.executor_id)
                self._telemetry.event(
                    "clocks of hosts differ",
                    level=Level.WARNING,
                    address=host.machine,
                    reason=f"by about {apart_s:.0f} s; have both set by NTP",
                )

    def _report(self, message: str, error: Exception) -> None:
        if isinstance(error, CardioNodeError):
            self._telemetry.event(message, level=Level.WARNING, reason=error.message)
        else:
            self._telemetry.event(message, level=Level.ERROR, error=error)


class _Once:
    """Tells of a failure once, however often it comes, until all is well again."""

    def __init__(self, report: Callable[[str, Exception], None]) -> None:
        self._report = report
        self._is_told = False

    def is_well(self) -> None:
        self._is_told = False

    def fails(self, message: str, error: Exception) -> None:
        if not self._is_told:
            self._report(message, error)
        self._is_told = True


class Watch:
    """Who has not changed for too long."""

    def __init__(self, own: str, now: Callable[[], float]) -> None:
        """own: the one that watches. now: seconds that never jump."""
        self._own = own
        self._now = now
        self._looked_at = now()
        self._seen: dict[str, tuple[int, float]] = {}
        """Beats of each host, and when they were seen to change."""
        self.beating: list[Host] = []
        """Other hosts that have said that they live since the look before the last."""

    def forget(self) -> None:
        """Judge nobody by what was seen so far: the database did not answer."""
        self._seen.clear()

    def dead(self, hosts: Collection[Host]) -> list[Host]:
        """Those of the hosts, as they are now, that are to be taken for dead."""
        now = self._now()
        if now - self._looked_at > 3 * BEAT_S:  # this host slept, so nobody was seen to beat
            self.forget()
        self._looked_at = now
        before, self._seen = self._seen, {}
        for host in hosts:
            beats, changed_at = before.get(host.executor_id, (None, now))
            self._seen[host.executor_id] = (
                host.beats, changed_at if beats == host.beats else now,
            )  # fmt: skip
        self.beating = [
            host
            for host in hosts
            if host.executor_id != self._own
            and before.get(host.executor_id, (host.beats, now))[0] != host.beats
        ]
        return [
            host
            for host in hosts
            if host.executor_id != self._own
            and now - self._seen[host.executor_id][1] > DEAD_AFTER_S
        ]


def take_over(work: EngineUnitOfWork) -> int:
    """Have work of hosts that are none done anew, and what nobody was to do; how much.

    Raises StorageError.
    """
    # Workflows first, hosts second: who begins a workflow is among the hosts before.
    begun = work.client.list_workflows(
        status=["PENDING", "ENQUEUED", "DELAYED"], load_input=False, load_output=False
    )
    with work.begin() as transaction:
        alive = {host.executor_id for host in transaction.hosts.all()}
        again = transaction.turns.let_go_of_orphans()
    again += redrive(work)
    # Last, and for a host that was frozen: what it goes on with when it wakes has ended. So has
    # what an earlier version left in queues.
    if orphaned := [each.workflow_id for each in begun if each.executor_id not in alive]:
        work.client.cancel_workflows(orphaned)
    return again
