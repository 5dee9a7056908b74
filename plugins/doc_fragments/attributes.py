# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules have in common besides their options, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    """bosh.ha.attributes: where a module runs; .reads: it changes nothing; .uncompared: it shows no diff."""

    DOCUMENTATION = r"""
attributes:
  platform:
    description: Where the module can run.
    support: full
    platforms: posix
"""

    READS = r"""
attributes:
  check_mode:
    description: Nothing is changed.
    support: full
  diff_mode:
    description: Nothing is compared line by line.
    support: none
"""

    UNCOMPARED = r"""
attributes:
  diff_mode:
    description: Nothing is compared line by line.
    support: none
"""
