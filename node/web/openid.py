"""People whom the hospital's identity provider vouches for: OpenID Connect, by its code flow.

Source: OpenID Connect Core 1.0 §3.1 (authorization code flow), Discovery 1.0 §4; RFC 7636 (PKCE).
Imported where a provider is configured alone: `pip install "cardionode[oidc]"`.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from node.domain.errors import NotAllowed, Unreachable
from node.domain.user import Role
from node.workflow.sessions import Begun, Vouched

_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"]
"""Of keys whose other half the provider alone has."""
_LEEWAY_S: Final = 60
"""That its clock and ours may be apart."""
_KNOWN_FOR_S: Final = 3600.0
_LONGEST_BYTES: Final = 1_000_000
_PARTS: Final = 3
_STALE: Final = "this sign-in was begun in another browser, or too long ago: begin again"


@dataclass(kw_only=True)
class OpenIdProvider:
    """One provider that knows this node as a client.

    Thread safety: all methods.
    """

    issuer: str
    client_id: str
    client_secret: Callable[[], str]
    redirect_uri: str
    """Where the provider leads the browser back to: our page, as the browser sees it."""
    name_claim: str
    """Which claim of an ID token is the user's name."""
    roles_claim: str
    """Which has the groups that say what they may."""
    groups: Mapping[Role, Collection[str]]
    authorities: Path | None
    """PEM; None: those the system trusts."""
    timeout_s: float
    _known: tuple[float, dict[str, Any], KeySet] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def begin(self) -> Begun:
        """Where to lead the browser, and what it keeps meanwhile. Raises Unreachable."""
        metadata, _ = self._look_up()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(_PARTS))
        with self._client() as client:
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=state, nonce=nonce,
                code_verifier=verifier,
            )  # fmt: skip
        return Begun(url=url, kept=f"{state}.{nonce}.{verifier}")

    def finish(self, kept: str, answer: Mapping[str, str]) -> Vouched:
        """Whom it vouches for. answer: the query that the browser came back with.

        Raises NotAllowed, Unreachable.
        """
        parts = kept.split(".")
        if len(parts) != _PARTS or not hmac.compare_digest(
            parts[0].encode(), answer.get("state", "").encode()
        ):
            raise NotAllowed(_STALE)
        if "code" not in answer:
            raise NotAllowed("the identity provider did not let you in: ask who looks after it")
        metadata, _ = self._look_up()
        _, nonce, verifier = parts
        claims = self._read(self._redeem(metadata, answer["code"], verifier), nonce)
        return Vouched(name=self._name(claims), role=self._role(claims))

    def _redeem(self, metadata: Mapping[str, Any], code: str, verifier: str) -> str:
        """The ID token for a code."""
        try:
            with self._client() as client:
                token = client.fetch_token(
                    metadata["token_endpoint"], grant_type="authorization_code", code=code,
                    code_verifier=verifier, timeout=self.timeout_s,
                    verify=self._verify,  # that of the session gives way to the environment
                )  # fmt: skip
        except AuthlibBaseError:  # whose words are the provider's
            raise NotAllowed(
                "the identity provider does not take this node's word: is the client secret right?"
            ) from None
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from None
        found = token.get("id_token")
        if not isinstance(found, str):
            raise NotAllowed("the identity provider sent no ID token: is the scope openid allowed?")
        return found

    def _read(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is for us, now. Raises NotAllowed."""
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.client_id},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        for is_anew in (False, True):  # a provider changes its keys
            _, keys = self._look_up(is_anew=is_anew)
            try:
                claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
                registry.validate(claims)
            except (JoseError, ValueError):
                continue
            audience = claims["aud"]
            is_shared = isinstance(audience, list) and len(audience) > 1
            if is_shared and claims.get("azp") != self.client_id:
                break
            return claims
        raise NotAllowed(
            "the identity provider's ID token is none for this node now: are client, issuer and "
            "both clocks right?"
        )

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self.name_claim)
        if not isinstance(name, str) or not name:
            raise NotAllowed(f"the identity provider does not say your {self.name_claim}")
        return name.lower()

    def _role(self, claims: Mapping[str, Any]) -> Role:
        """The highest of those that a group gives."""
        found = claims.get(self.roles_claim, [])
        groups = {found} if isinstance(found, str) else set(filter(_is_text, found or []))
        for role in reversed(Role):
            if groups & set(self.groups.get(role, ())):
                return role
        raise NotAllowed(
            "none of your groups may use this node; whoever looks after it says which may"
        )

    def _look_up(self, *, is_anew: bool = False) -> tuple[dict[str, Any], KeySet]:
        """What the provider says of itself, and its keys. Raises Unreachable."""
        with self._lock:
            known = self._known
            if known is not None and not is_anew and time.monotonic() - known[0] < _KNOWN_FOR_S:
                return known[1], known[2]
            try:
                metadata = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if metadata["issuer"] != self.issuer:
                    raise ValueError(f"it calls itself {metadata['issuer']}")
                for name in ("jwks_uri", "authorization_endpoint", "token_endpoint"):
                    if not str(metadata[name]).startswith("https:"):
                        raise ValueError(f"its {name} is not https")
                keys = KeySet.import_key_set(self._get(metadata["jwks_uri"]))  # type: ignore[arg-type]
            except (requests.RequestException, JoseError, ValueError, KeyError, TypeError) as error:
                raise self._away(error) from None
            self._known = time.monotonic(), metadata, keys
            return metadata, keys

    def _get(self, url: str) -> dict[str, Any]:
        with requests.get(
            url, timeout=self.timeout_s, verify=self._verify, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise ValueError(f"it answers {answer.status_code}")
            content = answer.raw.read(_LONGEST_BYTES, decode_content=True)
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("it answers no JSON object")
        return found

    def _client(self) -> OAuth2Session:
        return OAuth2Session(
            self.client_id,
            self.client_secret(),
            scope="openid profile email",
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
        )

    @property
    def _verify(self) -> str | bool:
        return True if self.authorities is None else str(self.authorities)

    def _away(self, error: Exception) -> Unreachable:
        words = str(error) if isinstance(error, ValueError) else type(error).__name__
        return Unreachable(f"the identity provider {self.issuer} cannot be asked: {words}")


def _is_text(value: object) -> bool:
    return isinstance(value, str)
