# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.artifacts import local_path, name_and_version


def tarball(path, member, text):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    return str(path)


@pytest.mark.parametrize("member", ["stemcell.MF", "./release.MF"])
def test_a_tarball_names_itself(tmp_path, member):
    path = tarball(tmp_path / "it.tgz", member, "name: bosh\nversion: 283.1\n")
    assert name_and_version(path) == ("bosh", "283.1")


@pytest.mark.parametrize(
    ("member", "text", "words"),
    [("job.MF", "a: 1\n", "has neither stemcell.MF nor release.MF"), ("stemcell.MF", "name: x\n", "cannot be read")],
)
def test_another_tarball_is_named(tmp_path, member, text, words):
    path = tarball(tmp_path / "it.tgz", member, text)
    with pytest.raises(ValueError, match=words) as caught:
        name_and_version(path)
    assert path in str(caught.value)


def test_where_a_tarball_is():
    assert local_path("https://example.org/it.tgz") == ""
    assert local_path("file:///srv/it.tgz") == "/srv/it.tgz"
    assert local_path("/srv/it.tgz") == "/srv/it.tgz"
