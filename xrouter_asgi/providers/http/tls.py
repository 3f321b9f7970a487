"""TLS to an upstream."""

from __future__ import annotations

import logging
import os
import ssl
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx

SYSTEM: Final = "system"
"""The `ca_bundle` that stands for the certificates of this machine. A file of that name is `./system`."""

log = logging.getLogger("xrouter")

_PEM = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class TLS:
    """Whom a provider trusts, and with which certificate it identifies itself.

    Args:
        ca_bundle: Certificates to trust *in addition* to the public ones: a file, a directory of `*.pem` and `*.crt`,
            or PEM text. `SYSTEM` trusts this machine's store in their place. A ready context is used as it is, without
            the other arguments.
        cert: File with the client's certificate.
        key: File with its key. None if `cert` holds both.
        key_password: For an encrypted key.
        insecure: Check nothing. Anyone on the way can read and change everything; a warning is logged.
    """

    ca_bundle: str | os.PathLike[str] | ssl.SSLContext | None = None
    cert: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    insecure: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.ca_bundle, ssl.SSLContext) and (self.cert or self.key or self.insecure):
            raise ValueError("'ca_bundle' is a ready context: set 'cert', 'key' and 'insecure' on it instead.")
        if self.key is not None and self.cert is None:
            raise ValueError("'key' is set without 'cert'. Set 'cert' to the file with the client's certificate.")

    def anonymous(self) -> TLS:
        """The same without a certificate of our own."""
        return replace(self, cert=None, key=None, key_password=None)

    @property
    def trusted(self) -> str:
        """Whom it trusts, in words for the operator."""
        if self.insecure:
            return "anybody: certificates are not checked"
        match self.ca_bundle:
            case None:
                return "the public authorities"
            case ssl.SSLContext():
                return "whom a ready context trusts"
            case "system":
                return "this machine's store"
            case bundle:
                text = os.fspath(bundle)
                return f"the public authorities and {'a PEM text' if _PEM in text else text}"

    def context(self) -> ssl.SSLContext:
        """A new context: TLS 1.2 or newer, certificates and names checked.

        Raises:
            ValueError: For a file that is missing or holds no certificate, or a key that does not fit.
        """
        if isinstance(self.ca_bundle, ssl.SSLContext):
            return self.ca_bundle
        context = _system_context() if self.ca_bundle == SYSTEM else httpx.create_ssl_context(trust_env=False)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.ca_bundle not in (None, SYSTEM):
            _trust(context, self.ca_bundle)
        if self.cert is not None:
            _identify(context, self.cert, self.key, self.key_password)
        if self.insecure:
            log.warning("TLS certificates of an upstream are not checked. Use 'ca_bundle' to trust its issuer instead.")
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _system_context() -> ssl.SSLContext:
    if sys.platform in ("darwin", "win32"):  # where the system checks certificates itself
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()  # elsewhere truststore would read the whole store for each connection: 50 ms


def _trust(context: ssl.SSLContext, ca_bundle: str | os.PathLike[str]) -> None:
    text = os.fspath(ca_bundle)
    if _PEM in text:
        _load(context, text, "the text")
        return
    files = [Path(text)]
    if files[0].is_dir():
        # OpenSSL itself would only see files named after the hash of their subject.
        files = sorted(file for file in files[0].iterdir() if file.suffix in {".pem", ".crt"})
        if not files:
            raise ValueError(f"'ca_bundle' {text!r} is a directory without *.pem or *.crt files.")
    for file in files:
        try:
            content = file.read_bytes()
        except OSError as exc:
            raise ValueError(f"'ca_bundle' {str(file)!r} cannot be read: {exc.strerror}.") from exc
        # A bundle may carry comments in any encoding around its certificates; a DER file is taken as such.
        pem = content.decode("ascii", "replace")
        _load(context, pem.replace("\ufffd", "?") if _PEM in pem else content, repr(str(file)))


def _load(context: ssl.SSLContext, data: str | bytes, name: str) -> None:
    try:
        context.load_verify_locations(cadata=data)
    except ssl.SSLError as exc:
        raise ValueError(f"'ca_bundle': {name} holds no certificate that can be read. Give PEM or DER.") from exc


def _identify(context: ssl.SSLContext, cert: str, key: str | None, password: str | None) -> None:
    # OpenSSL would ask on the terminal for a password that is missing.
    try:
        context.load_cert_chain(cert, key, password=password if password is not None else "")
    except ssl.SSLError as exc:
        raise ValueError(
            f"'cert' {cert!r} and its key cannot be used together: {exc.reason or 'wrong password or format'}. "
            "Check that they belong together, are PEM, and that 'key_password' is right."
        ) from exc
    except OSError as exc:
        raise ValueError(f"'cert' {cert!r} or its key cannot be read: {exc.strerror}.") from exc
