# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a task that failed."""

from __future__ import annotations

import pytest
from ansible_collections.bosh.ha.plugins.filter.failures import failure_words

LOOP = "One or more items failed"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"msg": "no room", "failed": True}, "no room"),
        ({"failed": True}, ""),
        ({"msg": LOOP, "results": [{"msg": "ok"}, {"msg": "a", "failed": True}, {"msg": "b", "failed": True}]}, "a; b"),
        ({"msg": LOOP, "results": [{"msg": "ok", "failed": False}]}, LOOP),
        ({"msg": LOOP, "results": [{"failed": True}]}, LOOP),
    ],
)
def test_of_a_loop_its_items_say_why(result, words):
    assert failure_words(result) == words
