"""Alerts as JSON, posted to where a chat or a monitoring system takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from node.domain.alert import Alert
from node.domain.errors import Refused


class Answer(Protocol):
    @property
    def status(self) -> int: ...


class Server(Protocol):
    """Where requests go. Raises Unreachable, Unanswered."""

    @property
    def where(self) -> str: ...

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that takes `{"text": …}`, as many chats do; the rest is for machines.

    The address is asked for each time: its path is often the key.
    """

    url: Callable[[], str]
    server: Callable[[str], Server]
    """Of such a URL."""

    def tell(self, node: str, alerts: Sequence[Alert]) -> str:
        """Post one message of all; nothing is to be known of it then.

        node: what the node is called. Raises DeliveryError.
        """
        body = {
            "text": "\n".join([f"CardioNode {node}", *(each.sentence for each in alerts)]),
            "node": node,
            "alerts": [
                {
                    "state": each.state.value,
                    "key": each.condition.key,
                    "said": each.condition.said,
                    "since": each.since.isoformat(),
                }
                for each in alerts
            ],
        }
        url = self.url()
        parts = urlsplit(url)
        server = self.server(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Content-Type": "application/json"}
        answer = server.post(path, headers, json.dumps(body).encode("utf-8"))
        if not 200 <= answer.status < 300:
            raise Refused(
                f"{server.where} answers {answer.status} to alerts; is the address right?"
            )
        return ""
