# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a director's configs name an address, told without the configs."""

from __future__ import annotations

import json

MICRO = {"environment": "10.10.0.3", "client": "admin", "client_secret": "not-for-eyes"}
CLOUD = """
networks:
- name: default
  subnets:
  - {range: 10.10.0.0/24, reserved: [10.10.0.3], dns: [8.8.8.8, 10.10.0.3]}
"""
RUNTIME = """
addons:
- name: bosh-dns
  jobs:
  - name: bosh-dns
    properties:
      password: hidden-value
      recursors: [10.10.0.3]
      handlers:
      - {domain: a., source: {type: dns, recursors: ["10.10.0.3:53"]}}
"""


def table(content, rows):
    return 0, json.dumps({"Tables": [{"Content": content, "Rows": rows}], "Blocks": None, "Lines": []})


def answers(**contents):
    rows = [{"id": f"{n}*", "type": kind, "name": "default"} for n, kind in enumerate(contents, 1)]
    shown = {
        f" config --type={kind} --name=default": table("config", [{"content": text}]) for kind, text in contents.items()
    }
    return {" env": "env", " configs": table("configs", rows)} | shown


def test_the_places_are_told_by_type_name_and_path(run_module):
    # Neither a cpi config nor a resurrection config is asked for: nothing is recorded for them.
    told = answers(cloud=CLOUD, runtime=RUNTIME)
    rows = [{"id": "1*", "type": kind, "name": "default"} for kind in ("cloud", "cpi", "resurrection", "runtime")]
    told[" configs"] = table("configs", rows)
    result, _replay = run_module("director_info", MICRO | {"mentions_of": "10.10.0.3"}, told)
    home = "/addons/name=bosh-dns/jobs/name=bosh-dns/properties"
    assert [(place["type"], place["name"], place["path"]) for place in result["mentions"]] == [
        ("cloud", "default", "/networks/name=default/subnets/0/reserved/0"),
        ("cloud", "default", "/networks/name=default/subnets/0/dns/1"),
        ("runtime", "default", f"{home}/recursors/0"),
        ("runtime", "default", f"{home}/handlers/0/source/recursors/0"),
    ]
    assert "hidden-value" not in json.dumps(result)
    assert result["changed"] is False


def test_configs_are_asked_for_only_then(run_module):
    result, replay = run_module("director_info", MICRO, {" env": "env"})
    assert "mentions" not in result
    assert not any("configs" in call for call in replay.calls)
    result, _replay = run_module("director_info", MICRO | {"mentions_of": "10.10.0.3"}, answers())
    assert result["mentions"] == []


def test_a_config_that_only_bosh_can_read_is_searched_as_text(run_module):
    told = answers(cloud="a: {1: x, true: y}\nb: 10.10.0.3\n")
    result, _replay = run_module("director_info", MICRO | {"mentions_of": "10.10.0.3"}, told)
    assert result["mentions"] == [{"type": "cloud", "name": "default", "path": ""}]


def test_a_director_that_does_not_answer_has_no_mentions(run_module):
    wanted = MICRO | {"mentions_of": "10.10.0.3", "fail_when_unreachable": False}
    result, _replay = run_module("director_info", wanted, {" env": "fail_unreachable"})
    assert (result["reachable"], "mentions" in result) == (False, False)
