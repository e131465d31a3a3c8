"""An identity provider with one client: what it vouches for, a test says."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.certificates import HOST, Authority

CLIENT, SECRET = "cardionode", "a secret of both"


class IdentityProvider:
    """Over https. `claims` are added to those of an ID token, None takes one out."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.claims: dict[str, Any] = {"preferred_username": "Curie", "groups": ["cardiology"]}
        self.metadata: dict[str, Any] = {}
        """That it says of itself in place of what is so."""
        self.signs_with: str = "RS256"
        self.asked: list[str] = []
        self.key = RSAKey.generate_key(2048, {"kid": "1"})
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(provider.document(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(provider.token(form, self.headers.get("Authorization", "")))

            def _answer(self, found: dict[str, Any] | None) -> None:
                provider.asked.append(self.path)
                self.send_response(400 if found is None or "error" in found else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found or {"error": "invalid_request"}).encode())

            def log_message(self, *_: object) -> None:
                pass

        shown = self.authority.issue("provider")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        self._server = HTTPServer((HOST, 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.issuer = f"https://{HOST}:{self._server.server_port}/realms/hospital"

    def __enter__(self) -> IdentityProvider:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def document(self, path: str) -> dict[str, Any] | None:
        if path.endswith("/.well-known/openid-configuration"):
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            } | self.metadata
        if path.endswith("/keys"):
            return {"keys": [self.key.as_dict(private=False)]}
        return None

    def let_in(self, url: str) -> dict[str, str]:
        """Have a person sign in at that page of it; the query that they come back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.issuer}/auth?")
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT)
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        asked = self._codes.pop(form.get("code", ""), None)
        client = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if authorization != f"Basic {client}":
            return {"error": "invalid_client"}
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or _base64(digest) != asked["code_challenge"]:
            return {"error": "invalid_grant"}
        assert form["redirect_uri"] == asked["redirect_uri"]
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "42", "iat": int(time.time()),
            "exp": int(time.time()) + 300, "nonce": asked["nonce"],
        } | self.claims  # fmt: skip
        told = {name: value for name, value in claims.items() if value is not None}
        return {"access_token": "x", "token_type": "Bearer", "id_token": self._signed(told)}

    def _signed(self, claims: dict[str, Any]) -> str:
        if self.signs_with not in ("none", "HS256"):
            return jwt.encode({"alg": self.signs_with, "kid": "1"}, claims, self.key)
        parts = [json.dumps(part).encode() for part in ({"alg": self.signs_with}, claims)]
        signed = ".".join(map(_base64, parts))
        public = self.key.as_pem(private=False)  # which everybody knows
        tag = hmac.digest(public, signed.encode(), "sha256") if self.signs_with != "none" else b""
        return f"{signed}.{_base64(tag)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
