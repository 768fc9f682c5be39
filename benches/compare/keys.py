"""Certificates, keys and tokens for one comparison, made with openssl. None of them is worth anything."""

import base64
import json
import subprocess
import time
from pathlib import Path

ISSUER = "https://issuer.example"
AUDIENCE = "canary-not-a-real-audience"
KID = "canary-not-a-real-key"
# Callers are users of their own: one user's quota ends at a million requests a minute.
USERS = 32


def openssl(*arguments, data=None):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=data, capture_output=True, check=True
    )
    return done.stdout


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Keys:
    """The files of one run, in a folder of their own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self.cert = self.folder / "cert.pem"
        self.key = self.folder / "key.pem"
        self.both = self.folder / "both.pem"
        self.token_key = self.folder / "token-key.pem"
        self.token_public = self.folder / "token-public.pem"
        self.jwks = self.folder / "jwks.json"
        self.tokens = self.folder / "tokens"
        self._certificates()
        self._token_key()
        lines = [self.token(f"canary-user-{number:02}") for number in range(USERS)]
        self.tokens.write_text("\n".join(lines) + "\n")

    def first_token(self):
        return self.tokens.read_text().splitlines()[0]

    def forged(self):
        """The first token with another letter in the middle of its signature."""
        token = self.first_token()
        at = (token.rindex(".") + len(token)) // 2
        other = "A" if token[at] != "A" else "B"
        return token[:at] + other + token[at + 1 :]

    def token(self, subject):
        """A token as a foreign issuer makes it: RS256, for longer than any run."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "scope": "mcp:read mcp:write",
            "iat": now,
            "nbf": now,
            "exp": now + 12 * 3600,
            "jti": subject,
        }
        head = {"alg": "RS256", "typ": "JWT", "kid": KID}
        parts = [base64url(json.dumps(part).encode()) for part in (head, claims)]
        signed = ".".join(parts)
        signature = openssl(
            "dgst", "-sha256", "-sign", self.token_key, data=signed.encode()
        )
        return f"{signed}.{base64url(signature)}"

    def _certificates(self):
        """An authority and a P-256 certificate for localhost."""
        ca_key = self.folder / "ca-key.pem"
        request = self.folder / "request.pem"
        extensions = self.folder / "extensions"
        self._new_ec(ca_key)
        self._new_ec(self.key)
        openssl(
            "req", "-x509", "-new", "-key", ca_key, "-sha256", "-days", 7,
            "-subj", "/CN=canary not a real authority", "-out", self.ca,
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip
        openssl(
            "req", "-new", "-key", self.key, "-subj", "/CN=localhost", "-out", request
        )
        extensions.write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
        )
        openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key,
            "-CAcreateserial", "-sha256", "-days", 7, "-extfile", extensions,
            "-out", self.cert,
        )  # fmt: skip
        self.both.write_bytes(self.cert.read_bytes() + self.key.read_bytes())
        self.both.chmod(0o600)

    @staticmethod
    def _new_ec(path):
        openssl(
            "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", path,
        )  # fmt: skip
        path.chmod(0o600)

    def _token_key(self):
        openssl(
            "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
            "-out", self.token_key,
        )  # fmt: skip
        self.token_key.chmod(0o600)
        openssl("pkey", "-in", self.token_key, "-pubout", "-out", self.token_public)
        printed = openssl("rsa", "-in", self.token_key, "-noout", "-modulus").decode()
        modulus = bytes.fromhex(printed.strip().split("=", 1)[1])
        key = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KID,
            "n": base64url(modulus),
            "e": base64url((65537).to_bytes(3, "big")),
        }
        self.jwks.write_text(json.dumps({"keys": [key]}))
