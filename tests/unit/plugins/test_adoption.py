# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether Meta can take Primary's agent over as it is."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.bosh.ha.plugins.filter.adoption import adoption_obstacle

AGENT = {
    "version": "2.874.0-abc-2026-06-11T10:00:00Z-go1.24.4",
    "tmpfs": False,
    "settings_path": "/var/vcap/bosh/update_settings.json",
    "nats_ca": ["old", "nats"],
    "blobstore_ca": ["blobstore"],
}
SHARED = {"copied": [], "fingerprints": {"nats_ca": ["nats"], "blobstore_ca": ["blobstore"]}}


@pytest.mark.parametrize(
    ("agent", "shared", "said"),
    [
        ({}, {}, ""),
        ({"blobstore_ca": []}, {}, ""),
        ({"version": "2.848.0"}, {}, ""),
        ({"version": "10.0"}, {}, ""),
        ({"version": "2.847.9"}, {}, "Primary's agent is 2.847.9, and 2.848 is needed"),
        ({"version": "[DEV BUILD]"}, {}, "Primary's agent is [DEV BUILD], and 2.848 is needed"),
        ({"version": ""}, {}, "Primary's agent is of a version that it does not tell, and 2.848 is needed"),
        ({"tmpfs": True}, {}, "are in memory (/var/vcap/bosh/update_settings.json): a reboot"),
        ({"unreachable": True, "msg": "no route"}, {}, "Primary's agent cannot be asked: no route"),
        ({"nats_ca": ["else"]}, {}, "another NATS CA"),
        ({"nats_ca": []}, {}, "another NATS CA"),
        ({"blobstore_ca": ["else"]}, {}, "another blobstore CA"),
        ({}, {"copied": ["nats_ca", "blobstore_ca"]}, "has not Micro's nats_ca, blobstore_ca: Meta was not deployed"),
        ({}, {"fingerprints": {}}, "another NATS CA"),
    ],
)
def test_what_is_in_the_way(agent, shared, said):
    told = adoption_obstacle(AGENT | agent, SHARED | shared, "2.848")
    assert said in told and bool(told) == bool(said)


def test_what_could_not_be_asked():
    assert adoption_obstacle({"msg": "no agent"}, SHARED) == "Primary's agent cannot be asked: no agent"
    said = "it cannot be told what Meta shares with Micro: the vars store x does not exist"
    assert adoption_obstacle(AGENT, {"msg": "the vars store x does not exist"}) == said


def test_any_version_where_none_is_asked_for():
    assert adoption_obstacle(AGENT | {"version": "[DEV BUILD]"}, SHARED, "") == ""
    with pytest.raises(AnsibleFilterError, match="soon is no version"):
        adoption_obstacle(AGENT, SHARED, "soon")


@pytest.mark.parametrize(("at_least", "refused"), [(2.848, False), ("2.85.0", False), (2.85, True), (2.8, True)])
def test_version_that_ansible_took_for_a_number_is_refused_if_a_digit_may_be_lost(at_least, refused):
    if not refused:
        assert adoption_obstacle(AGENT | {"version": "2.900"}, SHARED, at_least) == ""
        return
    with pytest.raises(AnsibleFilterError, match=r"^adopt_primary_agent_version: "):
        adoption_obstacle(AGENT | {"version": "2.900"}, SHARED, at_least)
