# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a manifest and what is laid over it, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment bosh.ha.manifest; MANIFEST_ARGS in module_utils/bosh_cli.py is its spec."""

    DOCUMENTATION = r"""
options:
  manifest:
    description: Path of the manifest.
    type: path
  ops_files:
    description: Paths of ops files, in the order in which they are applied.
    type: list
    elements: path
    default: []
  vars_files:
    description: Paths of files with variables.
    type: list
    elements: path
    default: []
  vars:
    description:
      - Variables as data, laid over those of O(vars_files). They are passed by a file that only its owner can read.
      - Ansible hides their values wherever they appear in the module's output.
    type: dict
    default: {}
  vars_store:
    description: Path of the variables store. BOSH writes the variables into it that it generates.
    type: path
"""
