# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates told apart by their fingerprints, with nothing but the standard library: it runs on VMs, too."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")


def fingerprints(pem: Any) -> list[str]:
    """SHA-256 of each certificate in a PEM text, in hex and in the text's order; none where it holds no certificate."""
    found = []
    for body in _PEM.findall(pem if isinstance(pem, str) else ""):
        try:
            found.append(hashlib.sha256(base64.b64decode("".join(body.split()), validate=True)).hexdigest())
        except binascii.Error:
            continue
    return found
