# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a vars store makes itself, by the lab's CLI and, where there is one, by the real."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from test_contract import CLIS, run

MANIFEST = """
ca: ((ca.certificate))
variables:
- {name: pw, type: password}
- {name: short, type: password, options: {length: 8}}
- {name: ca, type: certificate, options: {is_ca: true, common_name: boss}}
- name: leaf
  type: certificate
  options: {ca: ca, common_name: leaf, alternative_names: [10.10.0.3, a.b], extended_key_usage: [client_auth]}
- {name: pair, type: rsa}
- {name: login, type: ssh}
"""


@pytest.mark.parametrize("cli", CLIS)
def test_missing_values_are_made_once(cli: str, tmp_path: Path) -> None:
    (tmp_path / "m.yml").write_text(MANIFEST)
    words = ["int", "m.yml", "--vars-store", "store.yml", "--json"]
    assert run(cli, words, tmp_path)[0] == 0
    store = tmp_path / "store.yml"
    made = store.read_text()
    values = yaml.safe_load(made)
    assert (len(values["pw"]), len(values["short"])) == (20, 8)
    ca = x509.load_pem_x509_certificate(values["ca"]["certificate"].encode())
    leaf = x509.load_pem_x509_certificate(values["leaf"]["certificate"].encode())
    leaf.verify_directly_issued_by(ca)
    assert values["leaf"]["ca"] == values["ca"]["certificate"]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.10.0.3"]
    assert names.get_values_for_type(x509.DNSName) == ["a.b"]
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert values["pair"]["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert base64.b64decode(values["login"]["public_key"].split()[1]).startswith(b"\x00\x00\x00\x07ssh-rsa")
    assert len(values["login"]["public_key_fingerprint"].split(":")) == 16
    assert run(cli, words, tmp_path)[0] == 0
    assert store.read_text() == made
