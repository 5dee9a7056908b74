# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event log of one task, asked of its director."""

from __future__ import annotations

from typing import Any

from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import BoshFailure
from ansible_collections.bosh.ha.plugins.module_utils.bosh_output import unreadable
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import RUNNING
from ansible_collections.bosh.ha.plugins.module_utils.task_events import (
    Event,
    error_of,
    parse_events,
    recreated_vms,
    stage_seconds,
)


def events_of(cli: BoshCli, row: dict[str, Any]) -> list[Event]:
    """Events of a task of director_facts.listed_tasks. Raises BoshFailure.

    `bosh task N --event` follows a running one to its end, so the API is asked for that.
    """
    if row["state"] in RUNNING:
        return parse_events(cli.run("curl", f"/tasks/{row['id']}/output?type=event").text())
    rc, output, command = cli.try_run("task", str(row["id"]), "--event")
    failure = BoshFailure(command, rc, output.message())
    # A failed task makes the CLI exit with 1 after it printed the events.
    if not output.parsed or (rc != 0 and failure.task_id is None):
        raise failure if rc != 0 else unreadable(command, "it printed no events")
    return parse_events("".join(output.blocks))


def told_by(events: list[Event]) -> dict[str, Any]:
    """What the events report of their task: lines, VMs that were recreated, seconds of each stage, its error."""
    return {
        "events": [event.line() for event in events],
        "recreated": recreated_vms(events),
        "seconds": stage_seconds(events),
        "error": error_of(events),
    }
