# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text that ansible-vault encrypts, with the secrets that the run has; files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret, is_encrypted, match_encrypt_secret

Secrets = list[tuple[str, Any]]


class NoSecret(ValueError):
    """There is no password to encrypt or decrypt with."""


class NotOpened(ValueError):
    """No password that the run has opens the file, or what is in it is not what it should be."""


def secrets_of(loader: Any, password: str, vault_id: str = "") -> Secrets:
    """The password that is given, and then those of the run (`--vault-id`, `--vault-password-file`, ...)."""
    vault = getattr(loader, "_vault", None)
    of_run = list(getattr(vault, "secrets", None) or [])
    given = [(vault_id or "default", VaultSecret(password.encode()))] if password else []
    return [*given, *of_run]


def encrypting(secrets: Secrets, vault_id: str = "") -> tuple[str, Any]:
    """Identity and secret to encrypt with. Raises NoSecret."""
    # A secret that is prompted for and left empty is none.
    usable = [(name, secret) for name, secret in secrets if secret is not None and secret.bytes]
    try:
        found = match_encrypt_secret(usable, encrypt_vault_id=vault_id or None) if usable else None
    except AnsibleError:
        found = None
    if not found:
        raise NoSecret(f"this run has no vault password with the identity {vault_id}" if vault_id else "no password")
    return found


def sealed(text: str, secret: tuple[str, Any]) -> bytes:
    """The text as `ansible-vault` would encrypt it."""
    name, password = secret
    return VaultLib([secret]).encrypt(text, password, vault_id=None if name == "default" else name)


def opened(path: str, secrets: Secrets) -> str:
    """What is in an encrypted file. Raises NoSecret, NotOpened, and OSError where it cannot be read."""
    with open(path, "rb") as stream:
        content = stream.read()
    if not is_encrypted(content):
        raise NotOpened(f"{path} is not encrypted by ansible-vault")
    if not secrets:
        raise NoSecret("no password")
    try:
        return VaultLib(secrets).decrypt(content).decode()
    except (AnsibleError, UnicodeDecodeError):
        # Neither's own words: they may quote what was decrypted.
        raise NotOpened(f"{path} is not opened by any vault password that this run has") from None


def write_sealed(path: str, text: str, secret: tuple[str, Any], keep: int) -> None:
    """Write an encrypted file for its owner only, whole or not at all; `keep` former ones stay as PATH.1, PATH.2, ...

    It is read back and decrypted before it takes the place of the former one. Raises NotOpened, OSError.
    """
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # mkstemp's files are their owner's only.
    handle, fresh = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(sealed(text, secret))
            stream.flush()
            os.fsync(stream.fileno())
        if opened(fresh, [secret]) != text:
            raise NotOpened(f"what was written beside {path} is not what is read there; {path} is left as it was")
        if os.path.exists(path) and keep > 0:
            for number in range(keep - 1, 0, -1):
                if os.path.exists(f"{path}.{number}"):
                    os.replace(f"{path}.{number}", f"{path}.{number + 1}")
            # A link, so that there is a kit at every moment.
            spare = f"{fresh}.former"
            os.link(path, spare)
            os.replace(spare, f"{path}.1")
        os.replace(fresh, path)
    except BaseException:
        if os.path.exists(fresh):
            os.unlink(fresh)
        raise


def set_aside(path: str) -> str:
    """Give a file that cannot be opened a second name, which no later one takes. Returns that name."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = f"{path}.unopened-{stamp}"
    os.link(os.path.realpath(path), aside)
    return aside


class _Dumper(yaml.SafeDumper):
    """Files are shown line by line, and nothing is shortened to an alias."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def as_yaml(data: dict[str, Any]) -> str:
    """YAML that a person reads, in the mapping's own order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
