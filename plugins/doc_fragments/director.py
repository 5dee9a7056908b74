# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that name a director, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment bosh.ha.director; DIRECTOR_ARGS in module_utils/bosh_cli.py is its spec."""

    DOCUMENTATION = r"""
options:
  director:
    description:
      - Name of a director in the variable C(bosh_ha_directors), such as V(meta). How it is reached is taken from there,
        and a secret or CA that is not given there from its vars store, under bosh-deployment's names.
      - O(cli), O(config_path) and O(all_proxy) are taken from the variable C(bosh_ha_cli_options), if they are there.
      - An option that is given itself wins.
    type: str
  environment:
    description:
      - Address or alias of the director.
      - Where it is not set, the value of the environment variable E(BOSH_ENVIRONMENT) is used.
    type: str
  client:
    description:
      - User of the director, or UAA client.
      - Where it is not set, the value of the environment variable E(BOSH_CLIENT) is used.
    type: str
  client_secret:
    description:
      - Password of the user, or secret of the client. Passed to the CLI by environment, never on its command line.
      - Where it is not set, the value of the environment variable E(BOSH_CLIENT_SECRET) is used.
    type: str
  ca_cert:
    description:
      - CA certificate of the director, as PEM text or as a path that the CLI can read.
      - Where it is not set, the value of the environment variable E(BOSH_CA_CERT) is used.
    type: str
  cli:
    description: The C(bosh) command, version 7.
    type: str
    default: bosh
  config_path:
    description:
      - The CLI's own config file, where its aliases are. The CLI's default is C(~/.bosh/config).
      - Where it is not set, the value of the environment variable E(BOSH_CONFIG) is used.
    type: path
  all_proxy:
    description:
      - "Proxy for the director's API, for example C(ssh+socks5://jumpbox@bastion:22?private-key=/path)."
      - Where it is not set, the value of the environment variable E(BOSH_ALL_PROXY) is used.
    type: str
  timeout:
    description:
      - Seconds after which a command of the CLI is ended; V(0) waits as long as it takes.
      - A task that the command had started goes on at the director.
    type: int
    default: 0
"""
