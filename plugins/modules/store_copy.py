#!/usr/bin/python
# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store copied from another host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: store_copy
short_description: Copy another host's store into a directory of this one
version_added: 0.1.0
author: bosh.ha contributors (@cloudfoundry)
description:
  - Pulls a tree with owners, modes, times, hard links, ACLs and attributes by rsync over SSH, and removes what the source has not.
  - It may be called again at any time, and then copies only what differs. Times are compared to the nanosecond.
  - Where no file of the copy has a second name, files are written in place, so that of a large one only what changed is written;
    the copy must be nobody's live data.
  - Holes of sparse files are kept, so that the copy takes no more room than the source. rsync reads them as zeros, and sends those of a
    new file over the network. An rsync before 3.3.0 cannot write in place and make holes at once. It makes holes in a first copy and with
    O(vanished_ok), and otherwise writes in place, where holes that the copy has already stay; those of files that are new then are filled.
  - Only one copies into a directory at a time, by a lock on the directory that rsync holds, too, as a run that was
    interrupted leaves a copy behind that goes on.
  - SSH takes the cipher that costs this host's CPU least, of those that both sides have.
requirements:
  - rsync and an OpenSSH client
extends_documentation_fragment: [bosh.ha.attributes, bosh.ha.attributes.uncompared]
attributes:
  check_mode:
    description: rsync itself says what it would do.
    details: Hard links and attributes are not always foretold.
    support: partial
  action:
    description: An action plugin shows how far the copy is, where O(follow) is set.
    support: full
  async:
    description: With C(async) set on the task nothing is followed.
    support: full
options:
  source:
    description:
      - Where from, as rsync takes it, V(user@host:/path/) or a path on this host. With a C(/) at the end it is the contents.
    type: str
    required: true
  dest:
    description: Directory into which is copied. It is made, for root only, where its parent exists.
    type: path
    required: true
  key:
    description: Private key of SSH.
    type: path
  known_hosts:
    description: File with the host's key. Another key, or none, is refused.
    type: path
  port:
    description: TCP port of SSH.
    type: int
    default: 22
  excludes:
    description: What is neither copied nor removed, as patterns of rsync.
    type: list
    elements: str
    default: []
  vanished_ok:
    description:
      - Whether the source is in use, so that files which change or vanish while they are copied are no failure.
      - Anything else that cannot be copied is one.
    type: bool
    default: false
  checksum:
    description: Whether contents are compared by checksums, and not by size and time alone. All of both sides is read for it.
    type: bool
    default: false
  streams:
    description:
      - How many rsyncs run at once, by the first hex digit of the directories in C(blobstore/store), before one goes over all.
      - It helps where one connection does not fill the network, and only for a first copy.
    type: int
    default: 1
  bandwidth_limit:
    description: KiB a second of all streams together, or a number with one of rsync's suffixes, as V(10m) or V(1.5MB).
    type: str
    default: ''
  nice:
    description: Niceness, 0 to 19, of the processes on this host. On the other side rrsync does not allow one to be set.
    type: int
    default: 0
  ionice:
    description: Class of input and output on this host. On the other side rrsync does not allow one to be set.
    type: str
    choices: [idle, best-effort]
  ciphers:
    description: Ciphers of SSH in the order of choice, instead of those that cost this host's CPU least.
    type: list
    elements: str
  timeout:
    description: Seconds without any data after which rsync gives an attempt up.
    type: int
    default: 120
  retries:
    description: How many more attempts there are after a connection that broke off. Each goes on where the last one was.
    type: int
    default: 3
  pause:
    description: Seconds before another attempt.
    type: int
    default: 5
  wait:
    description: Seconds to wait for another copy into O(dest) to end.
    type: int
    default: 600
  follow:
    description: Whether the copy is followed while it runs. Without it a short copy costs no more than itself.
    type: bool
    default: true
  progress_file:
    description: File with one line on how far the copy is, while it runs, for those who wait for it.
    type: path
"""

EXAMPLES = r"""
- name: Copy most of Micro's store while all runs
  bosh.ha.store_copy:
    source: jumpbox@10.10.0.3:/
    dest: /var/vcap/store/bosh_ha_staging
    key: /run/bosh_ha/key
    known_hosts: /run/bosh_ha/known_hosts
    excludes: [/lost+found, /bbr-backup, '/bosh_ha_*', postmaster.pid]
    vanished_ok: true
    nice: 10

- name: Copy the difference once all is stopped
  bosh.ha.store_copy:
    source: jumpbox@10.10.0.3:/
    dest: /var/vcap/store/bosh_ha_staging
    key: /run/bosh_ha/key
    known_hosts: /run/bosh_ha/known_hosts
    excludes: [/lost+found, /bbr-backup, '/bosh_ha_*', postmaster.pid]
    follow: false
"""

RETURN = r"""
files_total:
  description: Entries of the source, directories and links too.
  returned: always
  type: int
  sample: 11972
files_copied:
  description: Files that were copied or brought up to date, in all attempts.
  returned: always
  type: int
  sample: 812
files_deleted:
  description: Entries that were removed from the copy.
  returned: always
  type: int
  sample: 3
bytes_total:
  description: Bytes of all files of the source, with their holes.
  returned: always
  type: int
  sample: 997351061
bytes_copied:
  description: Bytes of the files that were copied or brought up to date, of the attempts that came to an end.
  returned: always
  type: int
  sample: 120034345
bytes_sent:
  description: Bytes that went over the network, as rsync counts them, of the attempts that came to an end.
  returned: always
  type: int
  sample: 1834345
moved:
  description: How many files changed or vanished while they were copied.
  returned: always
  type: int
  sample: 2
moved_files:
  description: What rsync said of the first of them.
  returned: always
  type: list
  elements: str
  sample: ['file has vanished: "/director/tasks/7/debug"']
inplace:
  description: Whether files were written in place. They are not where one of the copy has a second name, nor where rsync keeps holes instead.
  returned: always
  type: bool
  sample: true
different:
  description: In check mode, the first 1000 entries that differ, as rsync itemizes them, with their paths.
  returned: always
  type: list
  elements: str
  sample: ['>fcst...... postgres-15/global/pg_control']
attempts:
  description: How many times rsync went over the whole.
  returned: always
  type: int
  sample: 1
seconds:
  description: How long it took.
  returned: always
  type: float
  sample: 3.2
rate:
  description: Bytes a second that went over the network.
  returned: always
  type: int
  sample: 311672000
"""

import os
import time
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.bosh.ha.plugins.module_utils import rsync_command, rsync_run

#: Numbers and their least and greatest values.
BOUNDS = {
    "streams": (1, 16),
    "nice": (0, 19),
    "port": (1, 65535),
    "timeout": (1, 86400),
    "retries": (0, 1000),
    "pause": (0, 3600),
    "wait": (0, 86400),
}


def check(params: dict[str, Any]) -> None:
    """Raise BadOption for a number out of its bounds."""
    for name, (least, most) in BOUNDS.items():
        if not least <= params[name] <= most:
            raise rsync_command.BadOption(f"{name}: {params[name]} is not between {least} and {most}")


def wanted(params: dict[str, Any], dry_run: bool) -> rsync_command.Copy:
    """The copy that the arguments ask for; raises BadOption."""
    check(params)
    source, dest = params["source"], params["dest"].rstrip("/")
    if not source or source.startswith("-"):
        raise rsync_command.BadOption(f"source: {source} is no path")
    if not dest:
        raise rsync_command.BadOption("dest: nothing is copied over the root of a host")
    rsh = ""
    if ":" in source.split("/", 1)[0]:
        ciphers = params["ciphers"] if params["ciphers"] is not None else rsync_run.ciphers_here()
        rsh = rsync_command.ssh_words(params["key"] or "", params["known_hosts"] or "", params["port"], ciphers)
    return rsync_command.Copy(
        source=source,
        dest=f"{dest}/",
        rsh=rsh,
        excludes=tuple(params["excludes"]),
        timeout=params["timeout"],
        limit_kib=rsync_command.limit_kib(params["bandwidth_limit"]),
        nice=params["nice"],
        ionice=params["ionice"] or "",
        dry_run=dry_run,
        checksum=params["checksum"],
    )


def copied(params: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Copy, and say what was done."""
    copy = wanted(params, dry_run)
    made = not os.path.isdir(copy.dest)
    if made and not dry_run:
        os.mkdir(copy.dest, 0o700)
    began = time.monotonic()
    done = rsync_run.run(
        copy,
        streams=params["streams"],
        moving=params["vanished_ok"],
        retries=params["retries"],
        pause=params["pause"],
        wait=params["wait"],
        progress_file=params["progress_file"] or "",
    )
    seconds = time.monotonic() - began
    result = asdict(done)
    changed = result.pop("items") > 0 or made
    times = {"seconds": round(seconds, 2), "rate": round(done.bytes_sent / max(seconds, 0.001))}
    return result | {"changed": changed, "moved_files": result.pop("moved_lines")} | times


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            # Paths, no secrets.
            "key": {"type": "path", "no_log": False},
            "known_hosts": {"type": "path"},
            "port": {"type": "int", "default": 22},
            "excludes": {"type": "list", "elements": "str", "default": []},
            "vanished_ok": {"type": "bool", "default": False},
            "checksum": {"type": "bool", "default": False},
            "streams": {"type": "int", "default": 1},
            "bandwidth_limit": {"type": "str", "default": ""},
            "nice": {"type": "int", "default": 0},
            "ionice": {"type": "str", "choices": ["idle", "best-effort"]},
            "ciphers": {"type": "list", "elements": "str"},
            "timeout": {"type": "int", "default": 120},
            "retries": {"type": "int", "default": 3},
            "pause": {"type": "int", "default": 5},
            "wait": {"type": "int", "default": 600},
            "follow": {"type": "bool", "default": True},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = copied(module.params, module.check_mode)
    except rsync_command.CopyFailed as error:
        module.fail_json(msg=str(error), rc=error.rc)
    except FileNotFoundError as error:
        # rsync, nice, ionice, or the parent of dest.
        module.fail_json(msg=f"{module.params['dest']}: there is no {error.filename}, or no directory to make it in")
    except (ValueError, OSError) as error:
        module.fail_json(msg=f"{module.params['dest']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
