# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CLI's own config: which alias stands for which director."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ansible_collections.bosh.ha.plugins.module_utils import addresses, bosh_yaml
from ansible_collections.bosh.ha.plugins.module_utils.bosh_cli import BoshCli
from ansible_collections.bosh.ha.plugins.module_utils.tcp_knock import PORT, endpoint

#: What is read of the CLI's config (bosh-cli cmd/config/fs_config.go, fsConfigSchema).
_SCHEMA = {"environments": [{"alias": str, "ca_cert": str}]}


@dataclass(frozen=True)
class Aliases:
    """Aliases with their URLs, and the CA that the config keeps for each."""

    urls: dict[str, str]
    cas: dict[str, str]

    @classmethod
    def read(cls, cli: BoshCli) -> Aliases:
        """The URLs as the CLI tells them; the CAs from its config file, as no command shows them.

        Source of the file's keys: bosh-cli cmd/config/fs_config.go.
        """
        rows = cli.run("environments").rows("environments")
        path = os.path.expanduser(cli.director.config_path or os.environ.get("BOSH_CONFIG") or "~/.bosh/config")
        entries: list[dict[str, str]] = []
        if os.path.exists(path):
            with open(path, "rb") as stream:
                entries = bosh_yaml.decode(stream.read(), _SCHEMA)["environments"]
        cas = {entry["alias"]: entry["ca_cert"] for entry in entries if entry["alias"]}
        return cls({row["alias"]: row["url"] for row in rows}, cas)

    def same(self, alias: str, url: str, ca_cert: str) -> bool:
        """Whether the alias already stands for this director with this CA."""
        if alias not in self.urls or _address(self.urls[alias]) != _address(url):
            return False
        return self.cas.get(alias, "").strip() == _pem(ca_cert).strip()


def _address(url: str) -> object:
    """Address and port if the URL has an address, else its text without the scheme and with a port."""
    at = endpoint(url)
    if at is not None:
        return addresses.parse(at[0]), at[1]
    bare = url.partition("://")[2] or url
    bare = bare.rstrip("/")
    return bare if ":" in bare else f"{bare}:{PORT}"


def _pem(ca_cert: str) -> str:
    # The CLI takes the PEM text itself as well as a path to it.
    if not ca_cert or "-----BEGIN" in ca_cert:
        return ca_cert
    with open(os.path.expanduser(ca_cert), encoding="utf-8") as stream:
        return stream.read()
