# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup_deployment into a repository, by the real restic and rclone, over the two VMs of test_backup_roles."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils import bbr_backup

from .test_backup_roles import LEAVE, PLAYBOOK, RELEASES, UNLOCKED, Vms, add_usual, unlocked, vms

__all__ = ["vms"]

pytestmark = pytest.mark.skipif(
    not (shutil.which("restic") and shutil.which("rclone")), reason="restic or rclone is not installed"
)

PASSPHRASE = "no-eyes-for-this"
WHERE = """
    bosh.ha.restic_snapshot:
      artifacts_dir: "{{ top }}/{{ inventory_hostname }}/artifacts"
      work_dir: "{{ top }}/{{ inventory_hostname }}/work"
      lock_wait: 0
    bosh.ha.restic_repository: {lock_wait: 0}
  tasks:"""


@pytest.fixture
def site(vms: Vms, monkeypatch: pytest.MonkeyPatch) -> Vms:
    monkeypatch.setenv("BOSH_HA_BACKUP_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(vms.top / "cache"))
    add_usual(vms)
    (vms.top / "play.yml").write_text(PLAYBOOK.replace("\n  tasks:", WHERE), encoding="utf-8")
    return vms


def back_up(site: Vms, **more: object) -> tuple[int, str]:
    given = {"backup_deployment_repository": f"{site.top}/repository", "backup_deployment_releases": RELEASES}
    return site.play("backup_deployment", **given | more)


def snapshots(site: Vms) -> list[Path]:
    return list((site.top / "repository" / "snapshots").iterdir())


def test_a_deployment_is_backed_up_twice_and_exported_as_bbr_has_it(site):
    for _time in range(2):
        rc, told = back_up(site, backup_deployment_repository_keep={"last": 1})
        assert rc == 0, told
    assert f"in {site.top}/repository" in told
    # One of each VM, and one that names them.
    assert len(snapshots(site)) == 3
    assert site.backups() == []
    assert not list(site.top.glob("vm*/artifacts"))
    assert not list(site.top.glob("vm*/work/*"))
    assert PASSPHRASE not in told

    (site.top / "play.yml").write_text("- import_playbook: bosh.ha.export_backup\n", encoding="utf-8")
    given = {"export_repository": f"{site.top}/repository", "export_name": "app", "export_dir": f"{site.top}/exported"}
    rc, told = site.play("", **given)
    assert rc == 0, told
    [backup] = (site.top / "exported").iterdir()
    assert len(bbr_backup.check(str(backup))) == 2
    assert sorted(path.name for path in backup.iterdir()) == [
        "bosh_ha.json",
        "db-0-db.tar",
        "metadata",
        "web-0-web.tar",
    ]
    metadata = yaml.safe_load((backup / "metadata").read_text(encoding="utf-8"))
    assert {one["name"]: list(one["artifacts"][0]["checksums"]) for one in metadata["instances"]} == {
        "web": ["./state"],
        "db": ["./state"],
    }
    with tarfile.open(backup / "db-0-db.tar") as tar:
        assert tar.extractfile("./state").read() == b"state of db\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backup_deployment_repository": "somewhere"}, "'somewhere' is no repository: give an absolute path"),
        ({"backup_deployment_passphrase": "another"}, "the passphrase is not that of {top}/repository"),
    ],
)
def test_a_repository_that_cannot_be_used_is_refused_before_anything_is_locked(site, given, words):
    if "backup_deployment_passphrase" in given:
        assert back_up(site)[0] == 0
        (site.top / "order.log").unlink()
    rc, told = back_up(site, **given)
    assert rc != 0
    assert words.format(top=site.top) in told
    assert site.order() == []
    assert not list(site.top.glob("vm*/artifacts"))


def test_where_one_vm_fails_there_is_no_backup(site):
    """The others do not hear of it before they are done."""
    (site.top / "vm2" / "work").write_text("no directory", encoding="utf-8")
    rc, told = back_up(site)
    assert rc != 0
    assert "the backup of app failed (exit code 1): " in told
    assert "artifacts to " in told
    assert unlocked(site) == UNLOCKED
    assert not list(site.top.glob("vm*/artifacts"))
    assert len(snapshots(site)) == 1
    # What it left half done goes with the next that is whole.
    (site.top / "vm2" / "work").unlink()
    rc, told = back_up(site)
    assert rc == 0, told
    assert len(snapshots(site)) == 3


def test_where_one_vm_fails_there_is_no_plain_backup(vms):
    add_usual(vms)
    # Its directory is gone when it is to be fetched.
    vms.add("vm2", "odd", {}, backup=LEAVE("odd"), post_backup_unlock=f"rm -r {vms.top}/vm2/artifacts/odd")
    rc, told = vms.play("backup_deployment", backup_deployment_releases=RELEASES)
    assert rc != 0
    assert "the backup of app failed (exit code 1): " in told
    assert [path.name for path in vms.backups() if not path.name.endswith(".part")] == []
