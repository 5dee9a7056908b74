# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a vars store makes itself: certificates, RSA and SSH key pairs."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from boshlab.bosh_cli.errors import BoshError

_USES = {"client_auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server_auth": ExtendedKeyUsageOID.SERVER_AUTH}


def _key_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def certificate(options: Mapping[str, Any], find: Callable[[str], Any]) -> dict[str, str]:
    """A certificate as ``{ca, certificate, private_key}`` in PEM.

    Options: common_name, alternative_names, is_ca, ca (name of the signing variable), extended_key_usage,
    duration (days, 365), organization. Raises BoshError when neither ``is_ca`` nor a usable ``ca`` is given.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, str(options.get("organization") or "Cloud Foundry")),
            x509.NameAttribute(NameOID.COMMON_NAME, str(options.get("common_name") or "unnamed")),
        ]
    )
    is_ca = bool(options.get("is_ca"))
    signer_key, issuer, ca_pem = key, subject, ""
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    if options.get("ca"):
        ca = find(str(options["ca"]))
        if not isinstance(ca, Mapping) or not ca.get("certificate") or not ca.get("private_key"):
            raise BoshError(f"Expected to find CA '{options['ca']}' with certificate and private key")
        ca_pem = str(ca["certificate"])
        loaded = serialization.load_pem_private_key(str(ca["private_key"]).encode(), password=None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise BoshError(f"Expected the private key of CA '{options['ca']}' to be an RSA key")
        parent = x509.load_pem_x509_certificate(ca_pem.encode())
        signer_key, issuer = loaded, parent.subject
        try:
            # a CA made elsewhere may have an identifier of its own kind
            identifier = parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        except x509.ExtensionNotFound:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(loaded.public_key())
    elif not is_ca:
        raise BoshError("Missing required CA name")
    now = datetime.now(UTC).replace(microsecond=0)
    names: list[x509.GeneralName] = []
    for name in options.get("alternative_names") or []:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(str(name))))
        except ValueError:
            names.append(x509.DNSName(str(name)))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=int(options.get("duration") or 365)))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority, critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_ca,
                key_encipherment=not is_ca,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    uses = [] if is_ca else options.get("extended_key_usage") or ["server_auth"]
    for use in uses:
        if use not in _USES:
            raise BoshError(f"Unsupported extended key usage value: {use}")
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage([_USES[use] for use in uses]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = _pem(builder.sign(signer_key, hashes.SHA256()))
    return {"ca": ca_pem or made, "certificate": made, "private_key": _key_pem(key)}


def rsa_pair() -> dict[str, str]:
    """An RSA key pair of 2048 bits in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"private_key": _key_pem(key), "public_key": public.decode()}


def ssh_pair() -> dict[str, str]:
    """An SSH key pair: the public key in OpenSSH's form with the MD5 fingerprint of the key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.md5(base64.b64decode(public.split()[1]), usedforsecurity=False).hexdigest()
    fingerprint = ":".join(digest[i : i + 2] for i in range(0, 32, 2))
    return {
        "private_key": _key_pem(key),
        "public_key": public.decode() + "\n",
        "public_key_fingerprint": fingerprint,
    }
