"""Alerts as mail, by a hospital's own mail server.

Source: RFC 5321, RFC 3207 (STARTTLS), RFC 3834 §5 (Auto-Submitted).
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final

from node.domain.alert import Alert, MailSecurity
from node.domain.errors import Refused, Unreachable

_AFTER_DATA_S: Final = 600.0
"""A server may look at a mail for long, and has it then. Source: RFC 5321 §4.5.3.2.6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail server, and who is written to."""

    host: str
    port: int
    security: MailSecurity
    tls: Callable[[], ssl.SSLContext]
    sender: str
    recipients: Sequence[str]
    user: str
    """Empty where the server asks for none."""
    password: Callable[[], str]
    timeout_s: float

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    def tell(self, node: str, alerts: Sequence[Alert]) -> str:
        """Write one mail of all; which recipients were refused, where others were not.

        node: what the node is called. Raises DeliveryError.
        """
        message = EmailMessage()
        message["Subject"] = f"CardioNode {node}: {_headline(alerts)}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n\n".join(each.sentence for each in alerts))
        with self._connected() as server:
            if server.sock is not None:
                server.sock.settimeout(_AFTER_DATA_S)
            refused = server.send_message(message)
        return f"not taken for {', '.join(sorted(refused))}" if refused else ""

    def probe(self) -> None:
        """Sign in there and leave. Raises DeliveryError."""
        with self._connected() as server:
            server.noop()

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        try:
            with self._server() as server:
                if self.security is MailSecurity.STARTTLS:
                    server.starttls(context=self.tls())
                if self.user:
                    server.login(self.user, self.password())
                yield server
        except smtplib.SMTPException as error:
            raise Refused(f"the mail server {self.where} refuses: {_words(error)}") from None
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(
                f"the certificate of the mail server {self.where} is not trusted: "
                f"{error.verify_message}; name its authority in alerts.mail.authorities"
            ) from None
        except OSError as error:
            raise Unreachable(
                f"no connection to the mail server {self.where} "
                f"({error.strerror or 'no answer in time'}); check address, port and firewall"
            ) from None

    def _server(self) -> smtplib.SMTP:
        if self.security is MailSecurity.TLS:
            return smtplib.SMTP_SSL(
                self.host, self.port, timeout=self.timeout_s, context=self.tls()
            )
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)


def _headline(alerts: Sequence[Alert]) -> str:
    first = alerts[0].sentence
    more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    return f"{first if len(first) <= 120 else first[:119] + '…'}{more}"


def _words(error: smtplib.SMTPException) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it does not take mail for {', '.join(sorted(error.recipients))}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {text}"
    return str(error) or type(error).__name__
