# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks a DAV blobstore, with what an agent has, whether it would let that agent in."""

from __future__ import annotations

import base64
import http.client
import ssl
from typing import Any
from urllib.parse import urlsplit

#: A blob that no blobstore has: who may read is told that it is not there.
_NO_BLOB = "/00/bosh_ha_asks"


def refusal(where: dict[str, Any], endpoint: str, timeout: float) -> str:
    """Why the blobstore at an endpoint would not serve an agent with these settings; empty if it would.

    `where`: the agent's blobstore, `provider` and `options`. Without a user in it its URLs are signed, and only the
    certificate can be looked at. No secret is in the words.
    """
    options = where.get("options") or {}
    parts = urlsplit(endpoint)
    if parts.scheme != "https" or not parts.hostname:
        return ""
    headers = {}
    if options.get("user"):
        login = f"{options['user']}:{options.get('password') or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(login).decode()
    ca = ((options.get("tls") or {}).get("cert") or {}).get("ca")
    told = f"the blobstore at {parts.hostname}:{parts.port or 443}"
    try:
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=timeout, context=ssl.create_default_context(cadata=ca or None)
        )
        try:
            connection.request("GET", _NO_BLOB, headers=headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except ssl.SSLCertVerificationError as error:
        return f"{told} has a certificate that the agent does not trust: {error.verify_message}"
    except ssl.SSLError:
        return f"{told} does not speak TLS as the agent does, or the agent's CA is none"
    except (OSError, http.client.HTTPException) as error:
        return f"{told} does not answer: {getattr(error, 'strerror', None) or type(error).__name__}"
    if headers and status in (401, 403):
        return f"{told} does not take the agent's password"
    return ""
