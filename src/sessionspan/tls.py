"""What a finished TLS handshake says of itself, in the names of the semantic conventions."""

from __future__ import annotations

import ssl
from typing import Any, Final

from sessionspan.events import TLSEstablished

# OpenSSL's names of TLS 1.2 suites and the IANA names that `tls.cipher` wants; TLS 1.3 suites have one name.
_IANA: Final = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-ECDSA-AES256-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "ECDHE-RSA-AES256-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "DHE-RSA-AES128-GCM-SHA256": "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "DHE-RSA-AES256-GCM-SHA384": "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "DHE-RSA-CHACHA20-POLY1305": "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "DHE-RSA-AES128-SHA": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    "DHE-RSA-AES256-SHA": "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    "AES128-GCM-SHA256": "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "AES256-GCM-SHA384": "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
    "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
    "DES-CBC3-SHA": "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
}


def handshake_of(transport: Any, mode: str) -> TLSEstablished | None:
    """The handshake of an asyncio *transport* as an event; None when it has none. *mode*: starttls, implicit."""
    ssl_object = transport.get_extra_info("ssl_object")
    if ssl_object is None:
        return None
    # Tests of libraries hand out mocks, which answer to everything.
    if not isinstance(ssl_object, (ssl.SSLObject, ssl.SSLSocket)):
        return None
    certificate = ssl_object.getpeercert()
    subject = _subject(certificate) if certificate else None
    return established(
        mode,
        ssl_object.version() or "",
        (ssl_object.cipher() or ("",))[0],
        resumed=bool(ssl_object.session_reused),
        client_subject=subject if ssl_object.server_side else None,
        server_subject=None if ssl_object.server_side else subject,
        peer_verified=bool(certificate),
    )


def established(mode: str, protocol: str, cipher: str, **facts: Any) -> TLSEstablished:
    """The event of a handshake, from OpenSSL's names of *protocol* ("TLSv1.2") and *cipher*."""
    name, _, version = protocol.partition("v")
    iana = cipher if cipher.startswith("TLS_") else _IANA.get(cipher)
    return TLSEstablished(
        mode=mode,
        protocol_name=name.lower() or None,
        protocol_version=(version if "." in version or not version else f"{version}.0") or None,
        cipher=iana,
        openssl_cipher=cipher if iana is None and cipher else None,
        **facts,
    )


# RFC 4514 3: the short names of attribute types in a distinguished name.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}


def _subject(certificate: Any) -> str | None:
    """The subject of *certificate* (``getpeercert()``) as a distinguished name, the last part first."""
    parts = [f"{_SHORT.get(key, key)}={value}" for group in certificate.get("subject", ()) for key, value in group]
    return ",".join(reversed(parts)) or None
