# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The locale and time zone in which every program runs whose output is read or shown, whatever the operator's are.

Translated messages, other names of months, decimal commas and local times would otherwise reach the parsers. SSH sends
LC_* to the host as well (SendEnv and AcceptEnv in the distributions' configuration).
"""

from __future__ import annotations

#: For programs of a host: "C" exists everywhere. An empty LANGUAGE counts as unset (gettext).
PLAIN = {"LC_ALL": "C", "LANGUAGE": "", "TZ": "UTC"}
#: For programs that read UTF-8 by their locale, such as the Ruby of a CPI. libc falls back to C where it is absent.
PLAIN_UTF8 = PLAIN | {"LC_ALL": "C.UTF-8"}
