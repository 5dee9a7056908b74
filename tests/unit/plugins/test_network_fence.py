# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM that reaches nobody."""

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import network_fence

from ..conftest import Failed

OPEN = {"INPUT": "-P INPUT ACCEPT\n", "OUTPUT": "-P OUTPUT ACCEPT\n-A OUTPUT -j OTHERS\n"}
CLOSED = {
    "INPUT": "-P INPUT ACCEPT\n-A INPUT -j BOSH_HA_IN\n",
    "OUTPUT": "-P OUTPUT ACCEPT\n-A OUTPUT -j BOSH_HA_OUT\n-A OUTPUT -j OTHERS\n",
}
SECOND = CLOSED | {"OUTPUT": "-P OUTPUT ACCEPT\n-A OUTPUT -j OTHERS\n-A OUTPUT -j BOSH_HA_OUT\n"}
BUS = ("10.10.0.4", 4222)


def test_the_rules_let_a_vm_answer_and_its_agent_talk_to_its_bus():
    assert network_fence.closed(OPEN, [25555, 22], [BUS, ("fd00::4", 4222)], v6=False).splitlines() == [
        "*filter",
        ":BOSH_HA_IN - [0:0]",
        ":BOSH_HA_OUT - [0:0]",
        "-A BOSH_HA_IN -i lo -j ACCEPT",
        "-A BOSH_HA_OUT -o lo -j ACCEPT",
        "-A BOSH_HA_IN -p tcp -m multiport --dports 22,25555 -j ACCEPT",
        "-A BOSH_HA_OUT -p tcp -m tcp ! --syn -m multiport --sports 22,25555 -j ACCEPT",
        "-A BOSH_HA_IN -p tcp -s 10.10.0.4 -m tcp --sport 4222 ! --syn -j ACCEPT",
        "-A BOSH_HA_OUT -p tcp -d 10.10.0.4 -m tcp --dport 4222 -m owner --uid-owner 0 -j ACCEPT",
        "-A BOSH_HA_IN -j DROP",
        "-A BOSH_HA_OUT -j REJECT",
        "-I INPUT 1 -j BOSH_HA_IN",
        "-I OUTPUT 1 -j BOSH_HA_OUT",
        "COMMIT",
    ]
    of_v6 = network_fence.closed(OPEN, [22], [BUS, ("fd00::4", 4222)], v6=True)
    assert "10.10.0.4" not in of_v6
    assert "-d fd00::4 " in of_v6
    assert of_v6.count("--icmpv6-type") == 4


def test_a_jump_that_is_not_the_first_is_put_there():
    assert network_fence.is_first(CLOSED["OUTPUT"], "OUTPUT")
    assert not network_fence.is_first(SECOND["OUTPUT"], "OUTPUT")
    lines = network_fence.closed(SECOND, [22], [], v6=False).splitlines()
    assert lines.index("-D OUTPUT -j BOSH_HA_OUT") < lines.index("-I OUTPUT 1 -j BOSH_HA_OUT")
    assert "-D OUTPUT -j BOSH_HA_OUT" not in network_fence.closed(OPEN, [22], [], v6=False)
    assert "-D INPUT -j BOSH_HA_IN" in network_fence.opened(CLOSED)
    assert "-D" not in network_fence.opened(OPEN)


class Iptables:
    """Each program's answers; `refuses` is what one of them says to all that it is asked."""

    def __init__(self, listed, refuses=None):
        self.listed, self.refuses = listed, refuses or {}
        self.rules = {}

    def __call__(self, command, data="", **_options):
        program = command[0].rpartition("/")[2]
        if program in self.refuses:
            return 3, "", self.refuses[program]
        if program.endswith("-restore"):
            self.rules[program] = data
            return 0, "", ""
        return 0, self.listed[command[2]], ""


@pytest.fixture
def fence(run_module, monkeypatch, tmp_path):
    """Runs the module; `reached` is what each try to connect finds, in turn."""
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.bosh.ha.plugins.modules import network_fence as module

    monkeypatch.setattr(
        AnsibleModule,
        "get_bin_path",
        lambda _self, name, *_words, **_more: None if name == missing else f"/sbin/{name}",
    )
    missing = ""
    (tmp_path / "settings.json").write_text(json.dumps({"mbus": "nats://10.10.0.4:4222"}), encoding="utf-8")

    def run(listed=None, reached=(True, False), without="", refuses=None, v6=False, **args):
        nonlocal missing
        missing = without
        tries = list(reached)
        monkeypatch.setattr(network_fence, "is_reached", lambda *_where: tries.pop(0))
        monkeypatch.setattr(module, "has_ipv6", lambda: v6)
        iptables = Iptables(OPEN if listed is None else listed, refuses)
        given = {"directory": str(tmp_path), "unreachable": [{"address": "10.10.0.4", "port": 25555}]}
        result, _replay = run_module("network_fence", given | args, runner=iptables)
        return result, iptables.rules

    return run


def test_a_fence_is_closed_and_proved(fence):
    result, rules = fence(v6=True)
    assert result["changed"]
    assert result["bus"] == ["10.10.0.4:4222"]
    assert result["tried"] == [{"address": "10.10.0.4", "port": 25555, "before": True, "after": False}]
    assert sorted(rules) == ["ip6tables-restore", "iptables-restore"]
    # Once more, nothing is reached before either, and nothing was changed.
    again, rules = fence(listed=CLOSED, reached=(False, False))
    assert not again["changed"]
    assert rules


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"reached": (True, True)}, "the fence does not hold: 10.10.0.4 port 25555 is reached all the same"),
        ({"reached": (False, False)}, "so nothing proves the fence"),
        ({"without": "iptables"}, "this host has no iptables, so nothing keeps it from reaching others"),
        ({"without": "ip6tables", "v6": True}, "this host has no ip6tables"),
        ({"refuses": {"iptables": "Permission denied (you must be root)"}}, "iptables cannot be used on this host"),
        ({"refuses": {"iptables-restore": "line 7 failed"}}, "iptables-restore did not take the rules: line 7 failed"),
        ({"directory": "/not/there"}, "the agent's bus is not known, so this host is not fenced"),
    ],
)
def test_a_fence_that_nobody_can_trust_is_a_failure(fence, how, words):
    with pytest.raises(Failed) as left:
        fence(**how)
    assert words in left.value.result["msg"]


def test_a_fence_is_opened_again(fence):
    result, rules = fence(listed=CLOSED, state="open")
    assert result["changed"]
    assert "-X BOSH_HA_OUT" in rules["iptables-restore"]
    result, rules = fence(state="open")
    assert (result["changed"], rules) == (False, {})
