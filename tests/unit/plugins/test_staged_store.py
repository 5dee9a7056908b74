# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The swap is interrupted at every single rename, and whatever was called next must end well."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import staged_store


class Killed(Exception):
    """Stands for a kill -9 between two system calls."""


def fill(path, names, text):
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).mkdir()
        (path / name / "whose").write_text(text, encoding="utf-8")


def owners(path):
    return {
        name: (path / name / "whose").read_text(encoding="utf-8")
        for name in sorted(os.listdir(path))
        if not staged_store.stays(name)
    }


@pytest.fixture
def store(tmp_path):
    fill(tmp_path, ["postgres-15", "blobstore", "only-meta"], "meta")
    fill(tmp_path / staged_store.STAGING, ["postgres-15", "blobstore", "director"], "micro")
    (tmp_path / "lost+found").mkdir()
    return tmp_path


MICROS = {"postgres-15": "micro", "blobstore": "micro", "director": "micro"}
METAS = {"postgres-15": "meta", "blobstore": "meta", "only-meta": "meta"}


def test_swap_and_back(store):
    path = str(store)
    assert staged_store.phase(path) == "staged"
    assert staged_store.swap_in(path) is True
    assert (staged_store.phase(path), owners(store)) == ("swapped", MICROS)
    assert staged_store.swap_in(path) is False
    assert staged_store.put_back(path) is True
    assert (staged_store.phase(path), owners(store)) == ("staged", METAS)
    assert owners(store / staged_store.STAGING) == MICROS
    assert staged_store.put_back(path) is False


def run_until_killed(monkeypatch, deed, path, renames):
    """True when the deed was killed at its n-th change of the disk."""
    left = renames
    real = {name: getattr(os, name) for name in ("rename", "rmdir", "makedirs")}

    def counted(name):
        def call(*args, **kwargs):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real[name](*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(staged_store.os, name, counted(name))
        try:
            deed(path)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("first", ["swap_in", "put_back"])
@pytest.mark.parametrize("then", ["swap_in", "put_back"])
def test_killed_anywhere_the_next_call_ends_well(tmp_path, monkeypatch, first, then):
    for renames in range(40):
        base = tmp_path / f"{first}-{then}-{renames}"
        fill(base, ["postgres-15", "blobstore", "only-meta"], "meta")
        fill(base / staged_store.STAGING, ["postgres-15", "blobstore", "director"], "micro")
        if first == "put_back":
            staged_store.swap_in(str(base))
        killed = run_until_killed(monkeypatch, getattr(staged_store, first), str(base), renames)
        getattr(staged_store, then)(str(base))
        expected = MICROS if then == "swap_in" else METAS
        assert owners(base) == expected, f"killed after {renames} changes"
        aside = base / (staged_store.KEPT if then == "swap_in" else staged_store.STAGING)
        assert owners(aside) == (METAS if then == "swap_in" else MICROS)
        if not killed:
            assert renames > 6, "the deed must have been interrupted at several places"
            return
    pytest.fail("the deed never came to its end")


def test_nothing_staged_is_refused(tmp_path):
    fill(tmp_path, ["postgres-15"], "meta")
    with pytest.raises(staged_store.SwapRefused, match="no staged copy"):
        staged_store.swap_in(str(tmp_path))
    (tmp_path / staged_store.STAGING).mkdir()
    with pytest.raises(staged_store.SwapRefused, match="is empty"):
        staged_store.swap_in(str(tmp_path))
    assert owners(tmp_path) == {"postgres-15": "meta"}


def test_the_kept_store_goes_only_after_a_finished_swap(store):
    assert staged_store.discard_kept(str(store)) is False
    staged_store.swap_in(str(store))
    assert staged_store.discard_kept(str(store)) is True
    assert (staged_store.phase(str(store)), owners(store)) == ("none", MICROS)


def test_what_this_host_wrote_to_the_copy_is_found(store):
    for path in (store / staged_store.STAGING).rglob("*"):
        # As rsync leaves it: the data have their time at the source.
        os.utime(path, ns=(1, 1))
    path = str(store)
    staged_store.swap_in(path)
    assert staged_store.written_here(path) == ""
    (store / "postgres-15" / "whose").chmod(0o600)
    os.rename(store / "blobstore" / "whose", store / "blobstore" / "else")
    os.utime(store / "blobstore", ns=(1, 1))
    assert staged_store.written_here(path) == ""
    # A clock that was set back does not hide it.
    (store / "director" / "whose").write_text("meta", encoding="utf-8")
    assert staged_store.written_here(path) == "director/whose"
    staged_store.put_back(path)
    staged_store.swap_in(path)
    assert staged_store.written_here(path) == "director/whose"


def test_a_file_that_was_made_and_removed_again_is_found(store):
    for path in (store / staged_store.STAGING).rglob("*"):
        os.utime(path, ns=(1, 1))
    staged_store.swap_in(str(store))
    (store / "postgres-15" / "postmaster.pid").touch()
    (store / "postgres-15" / "postmaster.pid").unlink()
    assert staged_store.written_here(str(store)) == "postgres-15"


def test_nothing_is_renamed_onto_something(tmp_path):
    fill(tmp_path / "from", ["a", "b"], "micro")
    (tmp_path / "to").mkdir()
    # An empty directory would be replaced without a word, as a file would.
    (tmp_path / "to" / "b").mkdir()
    with pytest.raises(staged_store.SwapRefused, match=r"^b is in .*/from and in .*/to, so neither is moved$"):
        staged_store.move_entries(str(tmp_path / "from"), str(tmp_path / "to"), ["a", "b"])
    with pytest.raises(staged_store.SwapRefused, match="is there already"):
        staged_store.rename_new(str(tmp_path / "from"), str(tmp_path / "to"))
    assert (sorted(os.listdir(tmp_path / "from")), os.listdir(tmp_path / "to")) == (["a", "b"], ["b"])


def test_what_is_ours_and_the_file_system_s_stays(store):
    (store / "bosh_ha_fenced").mkdir()
    (store / "bosh_ha_set_aside_1").mkdir()
    staged_store.swap_in(str(store))
    left = sorted(name for name in os.listdir(store) if staged_store.stays(name))
    assert left == ["bosh_ha_fenced", staged_store.KEPT, "bosh_ha_set_aside_1", "lost+found"]
