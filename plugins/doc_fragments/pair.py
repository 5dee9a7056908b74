# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that talk to all directors of a pair."""

from __future__ import annotations


class ModuleDocFragment:
    """bosh.ha.pair: how the directors are reached."""

    DOCUMENTATION = r"""
options:
  directors:
    description:
      - How each director is reached. The default is that of the variables C(bosh_ha_directors) and
        C(bosh_ha_cli_options).
      - A director that is left out has no credentials yet, as the CLI has still to write its vars store.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Which one it is.
        type: str
        choices: [micro, primary, meta]
        required: true
      environment:
        description: Address or URL.
        type: str
      client:
        description: User of the director, or UAA client.
        type: str
      client_secret:
        description: Password of the user, or secret of the client.
        type: str
      ca_cert:
        description: CA certificate of the director.
        type: str
      cli:
        description: The C(bosh) command.
        type: str
        default: bosh
      config_path:
        description: The CLI's own config file.
        type: path
      all_proxy:
        description: Proxy for the director's API.
        type: str
      timeout:
        description: Seconds after which a command of the CLI is ended; V(0) waits as long as it takes.
        type: int
        default: 0
"""
