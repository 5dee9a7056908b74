# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.monit_status import all_running, all_stopped, parse_summary

OLD = """The Monit daemon 5.2.5 uptime: 12m

Process 'nats'                      {nats}
Process 'postgres'                  {postgres}
System 'system_localhost'           running
"""
NEW = """Monit 5.33.0 uptime: 1m
 Service Name                     Status                      Type
 vm-1234                          OK                          System
 nats                             {nats}                          Process
 postgres                         {postgres}                          Process
"""


@pytest.mark.parametrize(
    ("text", "nats", "postgres", "stopped", "running"),
    [
        (OLD, "running", "running", False, True),
        (OLD, "not monitored", "not monitored", True, False),
        (OLD, "not monitored", "not monitored - stop pending", False, False),
        (OLD, "not monitored", "running - stop pending", False, False),
        (OLD, "running", "initializing", False, False),
        (OLD, "running", "Does not exist", False, False),
        (NEW, "OK", "OK", False, True),
        (NEW, "Not monitored", "Not monitored", True, False),
        (NEW, "Not monitored", "OK - stop pending", False, False),
        (NEW, "OK", "Execution failed | Does not exist", False, False),
    ],
)
def test_stopped_and_running_are_exact(text, nats, postgres, stopped, running):
    services = parse_summary(text.format(nats=nats, postgres=postgres))
    assert len(services) == 3
    assert all_stopped(services) is stopped
    assert all_running(services) is running


def test_no_process_is_neither():
    services = parse_summary("System 'localhost'  running\n")
    assert not all_stopped(services)
    assert not all_running(services)
