"""Taking an HL7 message over from its sender: durable first, then the acknowledgement.

One that could not be used is kept, and can be replayed once it can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from node.domain.audit import Action, Actor
from node.domain.errors import NotPossible
from node.hl7.acknowledgement import acknowledge
from node.hl7.message import ErrorCondition, Header, UnacceptableContent, read_header
from node.hl7.news import MESSAGES, News, read_news
from node.workflow.ports import Clock, Level, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.registry import Followed, Registry

_EVENT = re.compile(r"[A-Z]{3}\^[A-Z0-9]{3}")
"""Anything else in that place may be something of a patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """A message, and what could be read of it."""

    header: Header
    peer: str
    content_digest: str
    at: datetime
    news: News
    unusable: UnacceptableContent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """Accepts what a RIS tells."""

    spool: ObjectStore
    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    registry: Registry
    processing_ids: frozenset[str] = frozenset("P")
    """HL7 table 0103: of messages that are meant."""
    unmarked_charset: str = "ASCII"
    """HL7 table 0211: what a message is written in that does not say so."""

    def answer(self, message: bytes, peer: str) -> tuple[bytes, ...]:
        """Keep one message and give its acknowledgements: positive only once it is durable.

        What it tells of orders and patients is noted with it. One whose content cannot be used is
        kept all the same, with why. The same control id with the same content is acknowledged
        again and has no effect.
        """
        return acknowledge(
            message,
            keep=partial(self._keep, peer),
            at=self.clock(),
            accepted_types=MESSAGES,
            processing_ids=self.processing_ids,
            refused=partial(self._refuse, peer),
        )

    def replay(self, message_id: int, by: Actor) -> str:
        """Use a message now that could not be used when it came.

        Says what it did. Raises NotPossible (there is none, it was used, it cannot be used yet, or
        a later one has told of the same patient or order), StorageError.
        """
        with self.work.begin() as transaction:
            message = transaction.messages.get(message_id)
        if message is None:
            raise NotPossible(f"there is no message {message_id} here, or not any more")
        if message.error_message is None:
            raise NotPossible(f"message {message_id} was used")
        content = self.spool.get(message.content_digest)
        header = read_header(content)
        news, unusable = self._read(content, header)
        if unusable is not None:
            raise NotPossible(f"message {message_id} cannot be used yet: {unusable.message}")
        received = _Received(
            header=header,
            peer=message.peer,
            content_digest=message.content_digest,
            at=self.clock(),
            news=news,
            unusable=None,
        )

        def enter(transaction: Transaction) -> tuple[Followed, str]:
            if self.registry.is_overtaken(transaction, news, message_id=message_id):
                raise NotPossible(
                    f"message {message_id} is overtaken: a later one told of the same patient or "
                    "order, which this one would take back"
                )
            followed = self._enter(received, transaction)
            if followed is None:  # its sender, or another person, was faster
                raise NotPossible(f"message {message_id} was used")
            said = f"message {message_id} is used"
            if followed.again:
                said += f"; jobs processed again: {', '.join(map(str, followed.again))}"
            transaction.audit.note(by, Action.REPLAYED, at=received.at, said=said)
            return followed, said

        followed, said = self.work.together(enter)
        self._tell(received, followed, size_bytes=len(content))
        return said

    def _keep(self, peer: str, message: bytes, header: Header) -> ErrorCondition | None:
        """Raises StorageError."""
        news, unusable = self._read(message, header)
        received = _Received(
            header=header,
            peer=peer,
            content_digest=self.spool.put(message),
            at=self.clock(),
            news=news,
            unusable=unusable,
        )
        followed = self.work.together(partial(self._enter, received))
        self._tell(received, followed, size_bytes=len(message))
        return unusable.condition if unusable is not None else None

    def _read(self, message: bytes, header: Header) -> tuple[News, UnacceptableContent | None]:
        """What it tells, or why it cannot be used."""
        try:
            return read_news(message, header.event, unmarked=self.unmarked_charset), None
        except UnacceptableContent as unusable:
            return News(), unusable

    def _enter(self, received: _Received, transaction: Transaction) -> Followed | None:
        """What follows from it; None where it has come before."""
        message_id = transaction.messages.add(
            control_id=received.header.control_id,
            message_type=received.header.event,
            peer=received.peer,
            content_digest=received.content_digest,
            at=received.at,
            unmarked_charset=self.unmarked_charset,
            error=received.unusable.message if received.unusable is not None else None,
        )
        if message_id is None:
            return None
        return self.registry.note(transaction, received.news, message_id=message_id, at=received.at)

    def _tell(self, received: _Received, followed: Followed | None, *, size_bytes: int) -> None:
        unusable, event = received.unusable, received.header.event
        said = "message kept" if unusable is None else "message kept, but not used"
        self.telemetry.event(
            "message received again" if followed is None else said,
            level=Level.INFO if unusable is None else Level.WARNING,
            message_type=event,
            peer=received.peer,
            size_bytes=size_bytes,
            reason=unusable.message if unusable is not None else None,
        )
        if followed is None:
            return
        for job_id in followed.again:
            self.telemetry.event(
                "job processed again after a message", job_id=job_id, message_type=event
            )
        for job_id, doubt in followed.doubtful:
            self.telemetry.event(
                "a message contradicts results that were made",
                level=Level.WARNING,
                job_id=job_id,
                message_type=event,
                reason=doubt,
            )

    def _refuse(self, peer: str, header: Header, condition: ErrorCondition) -> None:
        """Say which kind of message the sender keeps. Only a type that is known is told."""
        code, meaning = condition.value
        self.telemetry.event(
            "message refused",
            level=Level.WARNING,
            peer=peer,
            message_type=header.event if _EVENT.fullmatch(header.event) else None,
            reason=f"{meaning} ({code} of HL7 table 0357)",
        )
