# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a backup or a restore has no room is told before anything is touched."""

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.module_utils.bbr_room import (
    backup_shortages,
    is_whole,
    restore_shortages,
    room_of,
)

GIB = 1024**3
ROOM = {"path": "/var/vcap/store", "free": 2 * GIB, "used": 3 * GIB, "database": GIB}
ROOMS = {"vm1": ROOM, "vm2": ROOM | {"used": GIB, "database": 0}}


def test_a_store_tells_what_its_database_takes(tmp_path):
    for name, size in (("postgres-15/base/1", 300_000), ("blobstore/aa/1", 900_000), ("postgres.log", 900_000)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    room = room_of(str(tmp_path))
    assert room["path"] == str(tmp_path)
    assert 300_000 < room["database"] < 400_000
    # It is a directory of a larger file system here.
    assert 2_100_000 < room["used"] < 2_300_000
    assert room["free"] > 0


def test_a_directory_of_a_larger_file_system_is_no_whole_one(tmp_path):
    mounts = tmp_path / "mountinfo"
    line = "97 96 254:0 {} {} rw,relatime shared:1 - ext4 /dev/vdb rw\n".format
    mounts.write_text(line("/", "/var/vcap/store") + line("/", "/") + line("/disks/1", "/mnt"), encoding="utf-8")
    assert [is_whole(path, str(mounts)) for path in ("/var/vcap/store", "/mnt", "/var/vcap")] == [True, False, False]
    # The last one is on top.
    mounts.write_text(line("/", "/mnt") + line("/disks/1", "/mnt"), encoding="utf-8")
    assert not is_whole("/mnt", str(mounts))


def test_a_store_that_is_a_file_system_is_not_walked(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"97 96 254:0 / {tmp_path} rw - ext4 /dev/vdb rw\n", encoding="utf-8")
    assert room_of(str(tmp_path), str(mounts))["used"] > room_of(str(tmp_path))["used"]


def test_a_backup_may_be_a_fifth_larger_than_the_last_one():
    assert backup_shortages(ROOMS, "/backups", 12 * GIB, 10 * GIB) == []
    assert backup_shortages(ROOMS, "/backups", 12 * GIB - 1, 10 * GIB) == [
        "the control node: /backups has 12.00 GB free, and a backup, the last one and a fifth, may need 12.00 GB"
    ]


def test_what_goes_elsewhere_needs_no_room_here():
    assert backup_shortages(ROOMS, "/backups", None, 10 * GIB) == []


def test_without_a_backup_the_stores_are_the_bound():
    assert backup_shortages(ROOMS, "/backups", 4 * GIB, 0) == []
    assert backup_shortages(ROOMS, "/backups", 3 * GIB, 0) == [
        "the control node: /backups has 3.00 GB free, and a backup, all that the VMs' stores have, as there is no "
        "backup yet, may need 4.00 GB"
    ]


def test_a_vm_needs_room_for_a_dump():
    rooms = {"vm1": ROOM | {"database": 3 * GIB}, "vm2": ROOM}
    assert backup_shortages(rooms, "/backups", 99 * GIB, 1) == [
        "vm1: /var/vcap/store has 2.00 GB free, and a dump of the database may need 3.00 GB"
    ]


def test_a_restore_needs_room_for_what_comes_and_for_what_is_kept():
    assert restore_shortages(ROOMS, {"vm1": GIB, "vm2": 2 * GIB}, True) == []
    sizes = {"vm1": 3 * GIB // 2, "vm2": 5 * GIB // 2}
    assert restore_shortages(ROOMS, sizes, True) == [
        "vm1: /var/vcap/store has 2.00 GB free, and the backup, with a dump of the database as it is now, may need "
        "2.50 GB",
        "vm2: /var/vcap/store has 2.00 GB free, and the backup may need 2.50 GB",
    ]
    assert restore_shortages(ROOMS, sizes, False) == [
        "vm2: /var/vcap/store has 2.00 GB free, and the backup may need 2.50 GB"
    ]
