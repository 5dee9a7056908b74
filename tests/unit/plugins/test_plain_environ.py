# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No answer depends on the operator's locale or time zone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import bbr_scripts, bosh_output
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import Director
from ansible_collections.bosh.ha.plugins.module_utils.plain_environ import PLAIN
from ansible_collections.bosh.ha.plugins.plugin_utils import ssh_stream

PLUGINS = Path(bosh_output.__file__).parent.parent
#: Directives of strptime and strftime that follow LC_TIME.
_BY_LOCALE = ("%a", "%A", "%b", "%B", "%c", "%h", "%p", "%r", "%x", "%X", "%Z")

ASK = """
import locale, sys
locale.setlocale(locale.LC_ALL, '')
import time
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import epoch, utc_stamp
print(time.strftime('%b', time.gmtime(1796132446)), epoch(sys.argv[1]), utc_stamp(1796132446), sep='|')
"""


@pytest.fixture(scope="module")
def german(tmp_path_factory):
    """A directory with the real locale de_DE.UTF-8, or None where the sources of glibc's locales are absent."""
    path = tmp_path_factory.mktemp("locales")
    words = ["localedef", "-i", "de_DE", "-f", "UTF-8", str(path / "de_DE.UTF-8")]
    try:
        made = subprocess.run(words, capture_output=True, check=False).returncode
    except OSError:
        made = 1
    return path if made == 0 or (path / "de_DE.UTF-8").is_dir() else None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"])
def test_times_are_read_in_a_german_locale_and_any_time_zone(german, zone):
    """1796132446 is in December, `Dez` in German: strptime's %b would refuse BOSH's `Dec`."""
    environ = os.environ | {"TZ": zone, "PYTHONPATH": os.pathsep.join(sys.path)}
    if german:
        environ |= {"LOCPATH": str(german), "LC_ALL": "de_DE.UTF-8"}
        said, expected = _ask(environ), "Dez"
    else:
        # Without the sources of glibc's locales the months themselves are renamed.
        environ |= {"LC_ALL": "C"}
        said, expected = _ask(environ, "import calendar; calendar.month_abbr = ['', *'abcdefghijkl']\n"), "Dec"
    assert said == f"{expected}|1796132446|Tue Dec  1 13:40:46 UTC 2026"


def _ask(environ: dict[str, str], before: str = "") -> str:
    stamp = "Tue Dec  1 13:40:46 UTC 2026"
    words = [sys.executable, "-c", before + ASK, stamp]
    done = subprocess.run(words, env=environ, capture_output=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_day_of_some_years_is_the_same_both_ways():
    for day in range(0, 366 * 4, 3):
        seconds = 1709251200 + day * 86400 + 3661
        assert bosh_output.epoch(bosh_output.utc_stamp(seconds)) == seconds


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("Thu Feb 29 23:59:59 UTC 2024", 1709251199),
        ("Sun Mar 29 01:30:00 UTC 2026", 1774747800),
        ("2026-11-21 00:29:31 +0000", 1795220971),
        ("2026-11-21T00:29:31Z", 1795220971),
        ("Sat Nov 21 00:29:31 +0000 2026", 1795220971),
        ("", None),
        ("-", None),
    ],
)
def test_the_forms_of_a_time(stamp, seconds):
    assert bosh_output.epoch(stamp) == seconds


@pytest.mark.parametrize(
    "stamp",
    [
        "Di Dez  1 13:40:46 UTC 2026",
        "Tue Dec  1 13:40:46 CET 2026",
        "Tue Dec 32 13:40:46 UTC 2026",
        "yesterday",
        "2026-13-01 00:00:00 UTC",
    ],
)
def test_a_time_that_cannot_be_read_is_no_task_that_still_runs(stamp):
    with pytest.raises(ValueError, match="no time as the CLI prints it"):
        bosh_output.epoch(stamp)


def test_the_cli_has_a_fixed_locale_and_time_zone():
    environ = Director().environ()
    assert (environ["LC_ALL"], environ["LANGUAGE"], environ["TZ"]) == ("C.UTF-8", "", "UTC")


def test_ssh_sends_no_locale_of_the_operator(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    assert ssh_stream.environ().items() >= PLAIN.items()


def test_a_script_of_bbr_s_has_the_same_locale_wherever_it_is_run_from(tmp_path, monkeypatch):
    for name, value in (("LC_ALL", "de_DE.UTF-8"), ("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Kolkata")):
        monkeypatch.setenv(name, value)
    path = tmp_path / "backup"
    path.write_text("#!/bin/sh\nenv\n", encoding="utf-8")
    path.chmod(0o755)
    said = bbr_scripts.run("db", "backup", str(path), {}, 10).output.splitlines()
    assert "LC_ALL=C.UTF-8" in said
    assert not [line for line in said if "de_DE" in line or line.startswith("TZ=")]


def _calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(getattr(call.func, "attr", getattr(call.func, "id", "")), call) for call in found]


def _texts(call: ast.Call) -> str:
    return " ".join(
        node.value for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _is_binary(call: ast.Call) -> bool:
    modes = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)


def follows_locale(source: str) -> list[int]:
    """Lines of a Python source whose result depends on the locale of whoever runs it."""
    found = []
    for name, call in _calls(ast.parse(source)):
        named = {word.arg for word in call.keywords}
        by_name = name in ("strptime", "strftime") and any(one in _texts(call) for one in _BY_LOCALE)
        is_open = isinstance(call.func, ast.Name) and name == "open"
        unnamed = (is_open and not _is_binary(call)) or "text" in named or "universal_newlines" in named
        if by_name or name in ("ctime", "asctime", "strxfrm") or (unnamed and "encoding" not in named):
            found.append(call.lineno)
    return found


def test_no_plugin_follows_the_locale():
    sources = sorted(PLUGINS.rglob("*.py"))
    assert len(sources) > 100
    found = {path.name: follows_locale(path.read_text(encoding="utf-8")) for path in sources}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source", ["time.strptime(x, '%a %d')", "open(path)", "subprocess.run(x, text=True)", "time.ctime()"]
)
def test_what_follows_the_locale_is_found(source):
    assert follows_locale(source) == [1]
