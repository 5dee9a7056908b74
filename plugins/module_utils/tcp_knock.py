# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether anybody listens where a director should be: the CLI takes 18 s to say that nobody does."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

#: Port of a director's API, which the CLI takes by itself (bosh-cli director/factory_config.go).
PORT = 25555


def endpoint(environment: str) -> tuple[str, int] | None:
    """Address and port of an environment; None where only the CLI knows them, as with an alias or a name."""
    try:
        return str(ipaddress.ip_address(environment)), PORT
    except ValueError:
        pass
    try:
        parts = urlsplit(environment if "://" in environment else f"https://{environment}")
        return str(ipaddress.ip_address(parts.hostname or "")), parts.port or PORT
    except ValueError:
        return None


def silence(environment: str, seconds: float = 5) -> str:
    """Why nobody listens there, in the system's words; an empty string where somebody does or nobody can tell."""
    where = endpoint(environment)
    if where is None:
        return ""
    try:
        socket.create_connection(where, timeout=seconds).close()
    except OSError as error:
        return f"{where[0]} port {where[1]}: {error}"
    return ""
