# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When and how a backup is started by itself: one description, told to systemd and to AWX.

Sources: systemd.time(7), systemd.service(5) (Command lines), systemd.exec(5) (EnvironmentFile=), systemd.unit(5)
(Specifiers); RFC 5545; awx main/management/commands and api/serializers (SchedulePreviewSerializer.validate_rrule).
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

#: Monday first, as systemd has them; the first two letters are iCalendar's.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: A Monday. A rule begins on its first day from then on, so that the same inputs always make the same rule.
_FIRST = date(2026, 1, 5)
_AT = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
#: systemd would take a blank or a percent sign for something else, and a wildcard for several files.
_PATH = re.compile(r"/[A-Za-z0-9._/@+,:=~-]*")
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"passw|passphrase|secret|token|private_key", re.IGNORECASE)
#: Such a name is that of a file which has the secret.
_NO_SECRET = ("_file", "_files", "_path", "_dir")


def problems(given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the inputs of the role schedule_backup, a sentence each, without any secret's value.

    given: the role's variables by name without the role's; what is not set is not there or None.
    """
    found = [*_problems_of_time(given), *_problems_of_vars(given)]
    name = given.get("name")
    if not _UNIT.fullmatch(str(name)):
        found.append(f"schedule_backup_name is to be the name of a unit, and not {name!r}")
    if given.get("timer") and given.get("state") == "present":
        found += _problems_of_timer(given)
    if given.get("awx_file"):
        for key in ("awx_project", "awx_inventory"):
            if not given.get(key):
                found.append(f"schedule_backup_{key} is not set, and AWX needs its name")
    return found


def _problems_of_time(given: Mapping[str, Any]) -> list[str]:
    found = []
    at, days, zone = clock_time(given.get("at")), given.get("days"), str(given.get("time_zone"))
    if not isinstance(at, str) or not _AT.fullmatch(at):
        found.append(f'schedule_backup_at is to be a time such as "03:17", in quotes, and not {at!r}')
    if not isinstance(days, list) or not days or set(map(str, days)) - set(DAYS):
        found.append(f"schedule_backup_days is to be a list of {', '.join(DAYS)}, and not {days!r}")
    known = zoneinfo.available_timezones()
    # A control node may have no data of time zones at all.
    if not _ZONE.fullmatch(zone) or (known and zone not in known):
        found.append(f"schedule_backup_time_zone is to be a time zone such as UTC or Europe/Berlin, and not {zone!r}")
    for key in ("spread", "timeout"):
        value = given.get(key)
        if not str(value).isdecimal():
            found.append(f"schedule_backup_{key} is to be a number of seconds, and not {value!r}")
    return found


def _problems_of_vars(given: Mapping[str, Any]) -> list[str]:
    names = [str(name) for name in given.get("vars") or {}]
    return [
        f"schedule_backup_vars has {name}, and everybody can read it there: a secret belongs into"
        " schedule_backup_environment, or into a vaulted file of schedule_backup_vars_files"
        for name in names
        if _SECRET.search(name) and not name.endswith(_NO_SECRET)
    ]


def _problems_of_timer(given: Mapping[str, Any]) -> list[str]:
    found = []
    if not _USER.fullmatch(str(given.get("user") or "")):
        found.append("schedule_backup_user is to be the user that runs the backup, with its SSH key and its inventory")
    if not given.get("inventory"):
        found.append("schedule_backup_inventory is not set, so nobody knows which directors are to be backed up")
    for key in ("command", "environment_file", "working_dir"):
        path = given.get(key)
        if path and not _PATH.fullmatch(str(path)):
            found.append(f"schedule_backup_{key} is to be a whole path without blanks, and not {path!r}")
    environment = given.get("environment") or {}
    if environment and not given.get("environment_file"):
        found.append("schedule_backup_environment is set, and schedule_backup_environment_file does not say where to")
    for name in environment:
        if not _VARIABLE.fullmatch(str(name)):
            found.append(f"schedule_backup_environment has {name!r}, which is no name of a variable")
        elif "\0" in str(environment[name]):
            found.append(f"schedule_backup_environment has a NUL in {name}")
    for key in ("inventory", "vars_files", "notify"):
        for word in given.get(key) or []:
            if not str(word) or any(ord(letter) < 32 for letter in str(word)):
                found.append(f"schedule_backup_{key} has a word that is empty or has a line's end in it: {word!r}")
    notify = given.get("notify") or []
    if notify and not _PATH.fullmatch(str(notify[0])):
        found.append(f"schedule_backup_notify is to begin with the whole path of a command, and not with {notify[0]!r}")
    return found


def _sorted(days: Sequence[str]) -> list[str]:
    return sorted(set(days), key=DAYS.index)


def clock_time(at: Any) -> Any:
    """A time as text: YAML reads 13:17 without quotes as 797, a number of base 60; `09:17` stays text.

    Anything else is returned as it is.
    """
    # Ansible's own are of a class below int.
    minutes = at if isinstance(at, int) and not isinstance(at, bool) else -1
    return f"{minutes // 60}:{minutes % 60:02}" if 600 <= minutes < 1440 else at


def on_calendar(at: str | int, days: Sequence[str], zone: str = "UTC") -> str:
    """OnCalendar= of a systemd timer. at: hours and minutes, `03:17`. days: of DAYS, in any order."""
    at, chosen = clock_time(at), _sorted(days)
    told = ",".join(day.capitalize() for day in chosen) + " " if len(chosen) < len(DAYS) else ""
    return f"{told}*-*-* {at}:00 {zone}"


def rrule(at: str | int, days: Sequence[str], zone: str = "UTC") -> str:
    """The same for AWX, which wants DTSTART with its zone, and INTERVAL. DTSTART is the first time that it is due."""
    at, chosen = clock_time(at), _sorted(days)
    begin = _FIRST + timedelta(days=DAYS.index(chosen[0]))
    moment = f"{begin:%Y%m%d}T{str(at).replace(':', '')}00"
    start = f"DTSTART:{moment}Z" if zone == "UTC" else f"DTSTART;TZID={zone}:{moment}"
    if len(chosen) == len(DAYS):
        return f"{start} RRULE:FREQ=DAILY;INTERVAL=1"
    return f"{start} RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY={','.join(day[:2].upper() for day in chosen)}"


def command_line(words: Sequence[Any]) -> str:
    """Words as ExecStart= has them, so that systemd takes each as it is. The first one is to be a whole path."""
    first, *rest = map(str, words)
    return " ".join([first.replace("%", "%%"), *map(_quoted, rest)])


def _quoted(word: str) -> str:
    for letter, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("%", "%%"), ("$", "$$")):
        word = word.replace(letter, escaped)
    return f'"{word}"'


def environment_file(variables: Mapping[str, Any]) -> str:
    """Variables as EnvironmentFile= reads them: within double quotes four letters are escaped, and a line may end."""
    lines = [f'{name}="{_ESCAPED.sub(_escape, str(value))}"\n' for name, value in sorted(variables.items())]
    return "".join(lines)


_ESCAPED = re.compile(r'["\\`$]')


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}"
