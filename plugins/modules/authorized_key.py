#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A key of a run's own in a user's authorized_keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: authorized_key
short_description: Let a key of this run log in for a limited time
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Adds a key to C(~/.ssh/authorized_keys) of a user, with C(restrict) and an C(expiry-time), or removes it.
  - The key is known by its comment. A line with this comment, such as one of an interrupted run, is replaced. All other lines stay
    byte for byte.
  - The file is replaced at once, by one with its owner and mode, which is written beside it.
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: Reports whether something would change, without changing it.
    support: full
options:
  user:
    description: The user. If it is empty, it is the user who runs the module.
    type: str
    required: true
  comment:
    description: Comment of the key, one word.
    type: str
    required: true
  public_key:
    description: Type and key. Needed if O(state=present).
    type: str
  source_address:
    description: The only address from which the key is taken. Needed if O(state=present).
    type: str
  command:
    description: The only command that the key may run. Needed if O(state=present).
    type: str
  hours:
    description: Hours after which sshd takes the key no more, by the host's own clock.
    type: int
    default: 12
  state:
    description: Whether the key is there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let Meta read Micro's store
  bosh.ha.authorized_key:
    user: jumpbox
    comment: bosh_ha_sync
    public_key: "{{ key.public_key }}"
    source_address: 10.10.0.5
    command: sudo -n rrsync -ro /var/vcap/store
  become: true
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /home/jumpbox/.ssh/authorized_keys
"""

import os
import pwd
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def line_of(params: dict[str, Any], now: float) -> bytes:
    """The key's line. Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT; expiry-time is in the host's own time zone."""
    if '"' in params["command"]:
        raise ValueError(
            f"command: {params['command']} has a double quote, which ends the option; write it without one"
        )
    until = time.strftime("%Y%m%d%H%M%S", time.localtime(now + params["hours"] * 3600))
    options = f'restrict,from="{params["source_address"]}",expiry-time="{until}",command="{params["command"]}"'
    return f"{options} {' '.join(params['public_key'].split()[:2])} {params['comment']}".encode()


def lines_in(text: bytes) -> list[bytes]:
    return text.removesuffix(b"\n").split(b"\n") if text else []


def has_comment(line: bytes, comment: str) -> bool:
    """Whether a line is the key with this comment."""
    words = line.split()
    return len(words) > 1 and not words[0].startswith(b"#") and words[-1] == comment.encode()


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def write(path: str, lines: list[bytes], home: str) -> None:
    """Replace the file. A new one, and a new directory, belong to the owner of the home directory."""
    directory, owner = os.path.dirname(path), os.stat(home)
    if not os.path.isdir(directory):
        os.mkdir(directory, 0o700)
        os.chown(directory, owner.st_uid, owner.st_gid)
    mode = 0o600
    if os.path.exists(path):
        owner = os.stat(path)
        mode = owner.st_mode & 0o7777
    handle, fresh = tempfile.mkstemp(dir=directory, prefix=".authorized_keys")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(line + b"\n" for line in lines)
            os.fchmod(stream.fileno(), mode)
            os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
        os.rename(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "user": {"type": "str", "required": True},
            "comment": {"type": "str", "required": True},
            "public_key": {"type": "str", "no_log": False},
            "source_address": {"type": "str"},
            "command": {"type": "str"},
            "hours": {"type": "int", "default": 12},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["public_key", "source_address", "command"])],
        supports_check_mode=True,
    )
    params = module.params
    try:
        home = pwd.getpwnam(params["user"]).pw_dir if params["user"] else os.environ["HOME"]
    except KeyError:
        module.fail_json(msg=f"user: there is no user {params['user']} here")
    path = os.path.realpath(os.path.join(home, ".ssh", "authorized_keys"))
    try:
        before = lines_in(read(path))
        lines = [line for line in before if not has_comment(line, params["comment"])]
        wanted = [line_of(params, time.time())] if params["state"] == "present" else []
        changed = bool(wanted) or lines != before
        if changed and not module.check_mode:
            write(path, lines + wanted, home)
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{path}: {error}")
    module.exit_json(changed=changed, path=path)


if __name__ == "__main__":
    main()
