# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The freeze at one size of Micro's store, and what it is held against, all of it in one go."""

from __future__ import annotations

from typing import Any

from . import copies, lab, migration


def measure(size: str, rounds: int) -> dict[str, Any]:
    """With writes going on; then the blog's copy of the same store, and a stop and start by hand of who has it."""
    store = migration.begin(size)
    lab.say(f"freeze: the run, with {store['bytes'] / 2**30:.2f} GiB")
    found = migration.observe(f"freeze-{size}")
    lab.say(f"freeze: {found['freeze']:.1f} s, floor {found['floor']:.1f} s")
    # Nobody is at work while the blog copies, either.
    by_hand = {"stop": round(lab.stop_processes("meta"), 2)}
    with copies.way_in():
        found["blog"] = round(copies.blog(f"{lab.STORE}/bosh_ha_kept"), 2)
        found["nothing_to_copy"] = [round(seconds, 2) for seconds in copies.nothing_to_copy(rounds)]
    by_hand["start"] = round(lab.start_processes("meta"), 2)
    lab.say(f"freeze: the blog's copy {found['blog']:.1f} s, a stop and start by hand {sum(by_hand.values()):.1f} s")
    return found | {"store": store, "by_hand": by_hand}
