# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.artifacts import (
    guesses,
    local_path,
    name_and_version,
    verify_digest,
)

from ..conftest import Failed, Replay


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


@pytest.mark.parametrize(
    ("kind", "url", "guess"),
    [
        ("stemcell", "https://x.org/a/bosh-stemcell-1.1-kvm-ubuntu-noble.tgz", ("bosh-kvm-ubuntu-noble", "1.1")),
        ("stemcell", "https://x.org/bosh-stemcell-1.1-kvm-noble.tgz", ("bosh-kvm-noble-go_agent", "1.1")),
        ("stemcell", "https://x.org/light-bosh-stemcell-1.404-aws-go_agent.tgz?a=b", ("bosh-aws-go_agent", "1.404")),
        ("stemcell", "https://bosh.io/d/stemcells/bosh-aws-go_agent?v=1.1", ("bosh-aws-go_agent", "1.1")),
        ("release", "https://x.org/os-conf-22.2.1.tgz", ("os-conf", "22.2.1")),
        ("release", "https://x.org/bosh-283.1.6%2Bdev.1.tgz", ("bosh", "283.1.6+dev.1")),
        ("release", "https://bosh.io/d/github.com/cloudfoundry/os-conf-release?v=22", ("os-conf", "22")),
        ("release", "https://bosh.io/d/github.com/cloudfoundry/bosh?v=283.1.6", ("bosh", "283.1.6")),
        ("release", "https://bosh.io/d/github.com/cloudfoundry-community/redis-boshrelease?v=15.5", ("redis", "15.5")),
        ("release", "https://x.org/foo-1.0.tar.gz", ("foo", "1.0")),
        ("release", "https://x.org/foo-1.0.tgz?v=3&X-Amz-Date=1", ("foo", "1.0")),
        ("release", "https://x.org/windows2019fs-2.5.tgz", ("windows2019fs", "2.5")),
        ("release", "https://x.org/postgres-13-4.1.tgz", ("postgres-13", "4.1")),
        ("release", "https://github.com/x/foo-release/releases/download/v1.2.3/release.tgz", ("foo", "1.2.3")),
        (
            "stemcell",
            "https://x.org/bosh-stemcell-1.4-openstack-kvm-ubuntu-noble-raw.tgz",
            ("bosh-openstack-kvm-ubuntu-noble-go_agent-raw", "1.4"),
        ),
        (
            "stemcell",
            "https://x.org/bosh-stemcell-1.4-openstack-kvm-ubuntu-jammy-go_agent-raw.tgz",
            ("bosh-openstack-kvm-ubuntu-jammy-go_agent-raw", "1.4"),
        ),
        (
            "stemcell",
            "https://x.org/light-bosh-stemcell-1.4-aws-xen-hvm-ubuntu-jammy-fips-go_agent.tgz",
            ("bosh-aws-xen-hvm-ubuntu-jammy-fips-go_agent", "1.4"),
        ),
        (
            "stemcell",
            "https://x.org/light-china-bosh-stemcell-1.4-aws-xen-hvm-ubuntu-noble.tgz",
            ("bosh-aws-xen-hvm-ubuntu-noble", "1.4"),
        ),
        (
            "stemcell",
            "https://x.org/bosh-stemcell-2019.77-azure-hyperv-windows2019-go_agent.tgz",
            ("bosh-azure-hyperv-windows2019-go_agent", "2019.77"),
        ),
    ],
)
def test_what_a_url_may_stand_for(kind, url, guess):
    assert guess in guesses(kind, url)


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("bosh-283.1.6-ubuntu-noble-1.484", "bosh", "283.1.6"),
        ("uaa-79.6.0-ubuntu-resolute-0.93", "uaa", "79.6.0"),
        ("bosh-warden-cpi-45.2.6-ubuntu-jammy-1.99", "bosh-warden-cpi", "45.2.6"),
        ("bosh-dns-aliases-0.0.4-centos-7-3468", "bosh-dns-aliases", "0.0.4"),
        ("foo-1.2.3%2Bdev.4-ubuntu-jammy-fips-1.5", "foo", "1.2.3+dev.4"),
        ("foo-1.0-rc.1-windows2019-2019.77", "foo", "1.0-rc.1"),
        ("foo-2-photonos-3-1.0", "foo", "2"),
        ("bosh-264.7.0-ubuntu-trusty-3468.21-20180118-173430-123456789-20180118173440", "bosh", "264.7.0"),
    ],
)
def test_the_stemcell_of_a_compiled_release_is_no_part_of_its_version(file, name, version):
    """Names as of bosh.io and `bosh export-release`; the first guess is what the rebuilt manifest takes."""
    assert guesses("release", f"https://x.org/{file}.tgz")[0] == (name, version)


@pytest.mark.parametrize("file", ["foo-1.2-3", "foo-1.2-mine", "foo-1.2-ubuntu", "foo-1.2-ubuntu-noble"])
def test_no_other_version_is_guessed(file):
    """A release that is not there would be taken for one that is."""
    assert ("foo", "1.2") not in guesses("release", f"https://x.org/{file}.tgz")


@pytest.mark.parametrize("kind", ["stemcell", "release"])
def test_a_url_that_tells_nothing(kind):
    assert guesses(kind, "https://x.org/it.tgz") == []


def test_a_file_is_compared_with_its_digests(tmp_path):
    path = tmp_path / "it.tgz"
    path.write_bytes(b"it")
    sha1, sha256 = hashlib.sha1(b"it").hexdigest(), hashlib.sha256(b"it").hexdigest()
    for good in (sha1, sha1.upper(), f"sha1:{sha1}", f"sha256:{sha256}", f"{sha1};sha256:{sha256}"):
        verify_digest(str(path), good)
    for bad, words in (
        (sha256, "its sha1 is"),
        (f"{sha1};sha256:{sha1}", "its sha256 is"),
        (f"md5:{sha1}", "md5 is no"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            verify_digest(str(path), bad)
        assert "\n" not in str(caught.value)


@pytest.fixture
def director(said):
    """A director that makes a task of each upload of a URL, as BOSH does, and lists what it has."""

    class Director(Replay):
        def __init__(self, new=()):
            super().__init__({"upload-release": said(lines=["Task 3", "Succeeded"])})
            self.has, self.new = [("bosh", "283.1.6")], list(new)

        def __call__(self, command, environ_update, **options):
            answer = super().__call__(command, environ_update, **options) if "releases" not in command else None
            if answer:
                if "upload-release" in command:
                    self.has += self.new
                return answer
            rows = [{"name": name, "version": f"{version}*", "commit_hash": "x"} for name, version in self.has]
            return 0, json.dumps({"Tables": [{"Content": "releases", "Rows": rows}], "Blocks": None, "Lines": []}), ""

    return Director


@pytest.mark.parametrize("check", [True, False])
def test_a_url_whose_file_s_name_the_director_has(run_module, director, check):
    wanted = {"environment": "micro", "url": "https://x.org/bosh-283.1.6.tgz", "sha1": "abc"}
    micro = director()
    result, _replay = run_module("release", wanted, runner=micro, check=check)
    assert (result["changed"], result["name"], result["version"]) == (False, "bosh", "283.1.6")
    assert not any("upload-release" in call for call in micro.calls)
    # A name that is given is not overruled.
    assert run_module("release", wanted | {"name": "uaa"}, runner=director([("uaa", "1")]))[0]["changed"] is True


def test_a_url_that_tells_nothing_changes_once(run_module, director):
    wanted = {"environment": "micro", "url": "https://x.org/it.tgz", "sha1": "abc"}
    result, _replay = run_module("release", wanted, runner=director([("uaa", "1")]))
    assert (result["changed"], result["name"], result["version"]) == (True, "uaa", "1")
    result, _replay = run_module("release", wanted, runner=director())
    assert (result["changed"], result["tasks"]) == (False, [{"id": 3}])


@pytest.mark.parametrize("check", [True, False])
def test_another_file_than_the_digest_s_is_not_uploaded(run_module, director, tmp_path, check):
    path = tarball(tmp_path / "it.tgz", "release.MF", "name: uaa\nversion: '1'\n")
    micro = director()
    with pytest.raises(Failed, match="is not the file that was meant: its sha256 is"):
        run_module("release", {"environment": "micro", "url": path, "sha1": "sha256:abc"}, runner=micro, check=check)
    assert not any("upload-release" in call for call in micro.calls)
