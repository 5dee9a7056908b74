# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In place, every line but dns.recursor's stays, or nothing is written at all."""

from __future__ import annotations

import os
import re
import stat

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils.manifest_text import without_dns_recursor
from ansible_collections.bosh.ha.plugins.module_utils.manifests import strip_dns_recursor_ops
from hypothesis import given
from hypothesis import strategies as st

from ..conftest import Failed
from .test_manifests import remove

NAMES = st.sampled_from(["director", "health_monitor", "nats", "a/b", "c~d", "no: 'plain'"])
# What is to go is told apart from what only looks like it by its value.
RECURSORS = st.sampled_from(["10.10.0.3", "((gone))", ["10.10.0.3", "8.8.8.8"], "10.10.0.3\n8.8.8.8\n"])
DNS = st.fixed_dictionaries(
    {}, optional={"recursor": RECURSORS, "domain_name": st.sampled_from(["bosh", "a\nb", "", None, [], {"x": ["y"]}])}
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "director": st.fixed_dictionaries({}, optional={"dns": st.just({"recursor": "stays"}), "name": st.text()}),
        "dns": DNS,
        "recursor": st.just("stays"),
        "hm": st.just({"resurrector_enabled": True}),
    },
)
JOBS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"properties": PROPERTIES}), unique_by=lambda job: job["name"]
)
GROUPS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"jobs": JOBS, "templates": JOBS, "properties": PROPERTIES}),
    unique_by=lambda group: group["name"],
    max_size=3,
)
MANIFESTS = st.fixed_dictionaries(
    {"name": st.just("bosh")}, optional={"instance_groups": GROUPS, "jobs": GROUPS, "properties": PROPERTIES}
)


class Dumper(yaml.SafeDumper):
    """Without aliases; a text of several lines becomes a block scalar."""

    def ignore_aliases(self, data):
        return True


Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def stripped(data):
    for operation in strip_dns_recursor_ops(data):
        data = remove(data, operation)
    return data


@st.composite
def texts(draw):
    """A manifest as data, and as text with comments and empty lines sprinkled between its top-level and group lines."""
    data = draw(MANIFESTS)
    plain = yaml.dump(data, Dumper=Dumper, sort_keys=False, width=10000)
    lines = []
    for line in plain.split("\n")[:-1]:
        # Not after what may go on, such as a block scalar.
        if re.match(r"[ -]*(dns|recursor|domain_name|name|hm|properties|jobs):", line):
            lines += draw(st.lists(st.sampled_from(["# recursor: 10.10.0.3", "  # a comment", "", "#"]), max_size=2))
        if re.match(r"[ -]*(dns|properties|jobs|hm|recursor: 10.10.0.3):?$", line):
            line += draw(st.sampled_from(["", "  # to the right", "   "]))
        lines.append(line)
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n# the end\n"]))
    text = draw(st.sampled_from(["", "---\n", "# Micro's heir\n---\n"])) + text
    return data, text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


def is_part(few, many):
    """Whether `few` are among `many` in their order."""
    rest = iter(many)
    return all(line in rest for line in few)


@given(texts())
def test_every_other_line_is_kept_and_twice_is_once(drawn):
    data, text = drawn
    if yaml.safe_load(text) != data:
        # A comment in a text of several lines is none: that is another manifest.
        data = yaml.safe_load(text)
    changed, paths = without_dns_recursor(text)
    assert paths == [operation["path"] for operation in strip_dns_recursor_ops(data)]
    assert yaml.safe_load(changed) == stripped(data)
    before, after = text.splitlines(keepends=True), changed.splitlines(keepends=True)
    emptied = [line for line in after if re.match(r" *dns: \{\}", line)]
    assert is_part([line for line in after if line not in emptied], before)
    assert is_part([line.replace("dns: {}", "dns:") for line in emptied if line not in before], before)
    # As many lines went as the recursors had.
    assert len(before) - len(after) == length(data) - length(stripped(data))
    assert without_dns_recursor(changed) == (changed, [])


def length(data):
    return len(yaml.dump(data, Dumper=Dumper, width=10000).splitlines())


V2 = """\
# the pair's first
name: "bosh-primary"

instance_groups:
- name: bosh
  properties: {agent: {mbus: 'nats://x'}}  # flow, and none of our business
  jobs:
  - name: director
    properties:
      dns:
        # Micro answered here
        recursor: 10.10.0.3  # micro
        # and here it ends
        domain_name: 'bosh'
      director: &d {name: x}
  - {name: nats, properties: {copy: *d}}
  - name: powerdns
    properties:
      dns:   # nothing else

        recursor: 10.10.0.3
"""
V2_AFTER = """\
# the pair's first
name: "bosh-primary"

instance_groups:
- name: bosh
  properties: {agent: {mbus: 'nats://x'}}  # flow, and none of our business
  jobs:
  - name: director
    properties:
      dns:
        # Micro answered here
        # and here it ends
        domain_name: 'bosh'
      director: &d {name: x}
  - {name: nats, properties: {copy: *d}}
  - name: powerdns
    properties:
      dns: {}   # nothing else

"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_manifest_as_people_write_it(end):
    text = V2.replace("\n", end)
    job = "/instance_groups/name=bosh/jobs/name="
    wanted = [f"{job}{name}/properties/dns/recursor" for name in ("director", "powerdns")]
    assert without_dns_recursor(text) == (V2_AFTER.replace("\n", end), wanted)
    assert without_dns_recursor(text[: -len(end)]) == (V2_AFTER.replace("\n", end), wanted)


@pytest.mark.parametrize(
    ("dns", "left"),
    [
        ("{k: 1}\n", None),
        ("\n    recursor:\n    k: 1\n", "\n    k: 1\n"),
        ("\n    recursor:  # none\n", " {}\n"),
        ("\n    recursor:\n      10.10.0.3\n    k: 1", "\n    k: 1"),
        ("\n    'recursor' : '10.10.0.3'\n    k: 1\n", "\n    k: 1\n"),
        ("\n    k: |\n      x\n    recursor: |\n      10.10.0.3\n\n\n", "\n    k: |\n      x\n\n\n"),
        (
            "\n    recursor:\n    - 10.10.0.3  # one\n    # two\n    - 8.8.8.8\n    # k\n    k: 1\n",
            "\n    # k\n    k: 1\n",
        ),
        ("\n    recursor: [10.10.0.3,\n      8.8.8.8]\n    k: 1\n", "\n    k: 1\n"),
        ("\n    k: &k .nan\n    recursor: ((r))\n    j: *k\n", "\n    k: &k .nan\n    j: *k\n"),
    ],
)
def test_ways_to_write_it(dns, left):
    head, tail = "name: b\nproperties:\n  dns:", "" if dns[-1] != "\n" else "  nats: {}\n"
    assert without_dns_recursor(head + dns + tail)[0] == head + (dns if left is None else left) + tail


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("properties:\n  dns: {recursor: 10.10.0.3}\n", "line 2: .* flow style"),
        ("properties: {dns: {recursor: 10.10.0.3}}\n", "line 1: .* flow style"),
        ('{"properties":\n {"dns": {\n  "recursor": "10.10.0.3"\n}}}', "line 3: .* flow style"),
        ("r: &r 10.10.0.3\nproperties:\n  dns:\n    recursor: *r\n", "line 4: .* alias"),
        ("x: &x\n  recursor: 10.10.0.3\nproperties:\n  dns: *x\n", "line 2: .* alias"),
        ("x: &x\n  recursor: 10.10.0.3\nproperties:\n  dns:\n    <<: *x\n", "line 2: .* merge key"),
        ("x: &x\n  recursor: a\nproperties:\n  dns:\n    <<: *x\n    recursor: b\n", "line 2: .* merge key"),
        ("x: &x\n  dns:\n    recursor: 10.10.0.3\nproperties:\n  <<: [*x]\n", "line 3: .* merge key"),
        ("properties:\n  dns:\n    <<: {recursor: 10.10.0.3}\n", "line 3: .* shares its line"),
        ("properties: &p\n  dns:\n    recursor: a\njobs:\n- name: j\n  properties: *p\n", "line 3: .* alias"),
        ("properties:\n  dns: &d\n    recursor: a\n    k: 1\nx: *d\n", "line 3: .* something else would change"),
        ("properties:\n  dns:\n    recursor: &r a\n    k: *r\n", "line 3: something else depends .*undefined alias"),
        ("properties:\n  dns: &d\n    recursor: a\n", "line 2: .* anchor"),
        ("properties:\n  dns:\n    ? recursor\n    : a\n    k: 1\n", "line 3: .* shares its line"),
        ("properties:\n  dns:\n    k: |\n      x\n    recursor: a\n      # y\n", "line 5: .* something else would"),
        ("properties:\n  dns:\n    k: &k 1\n    recursor:\n      - *k\n", "line 4: .* alias in it"),
        ("properties:\n  dns:\n    recursor:\n      a: &a 1\n      b: *a\n", "line 3: .* shares its line"),
        ("a: &a [*a]\n", "line 1: .*itself"),
        ("a: [\n", "line 2: this is no YAML"),
        ("a: \x01secret\n", "line 1: this is no YAML"),
        ("- a\n", "holds no mapping"),
        ("", "holds no mapping"),
        ("instance_groups:\n- jobs: []\n", "has no name"),
        ("instance_groups: [null]\n", "has no name"),
    ],
)
def test_what_cannot_be_cut_out_is_refused_with_its_line(text, words):
    with pytest.raises(ValueError, match=words) as refused:
        without_dns_recursor(text)
    assert "secret" not in str(refused.value)


# recursor_free_manifest


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "bosh-primary.yml"
    path.write_bytes(V2.encode())
    path.chmod(0o640)
    return path


def test_the_file_is_replaced_and_keeps_its_mode(run_module, manifest, tmp_path):
    (tmp_path / "link.yml").symlink_to(manifest)
    wanted = {"path": str(tmp_path / "link.yml"), "_ansible_diff": True}
    foretold, _replay = run_module("recursor_free_manifest", wanted | {"backup": True}, check=True)
    assert (foretold["changed"], manifest.read_text(encoding="utf-8")) == (True, V2)
    result, _replay = run_module("recursor_free_manifest", wanted)
    assert (result["changed"], result["removed"], result["diff"]) == (True, foretold["removed"], foretold["diff"])
    assert manifest.read_text(encoding="utf-8") == V2_AFTER
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o640
    assert (tmp_path / "link.yml").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["bosh-primary.yml", "link.yml"]
    assert "-        recursor: 10.10.0.3  # micro\n" in result["diff"]["prepared"]
    assert "domain_name" not in result["diff"]["prepared"]
    result, _replay = run_module("recursor_free_manifest", wanted | {"backup": True})
    assert (result["changed"], result["removed"], result["diff"]) == (False, [], {"prepared": ""})
    assert "backup_file" not in result


def test_the_manifest_as_it_was_is_kept_when_asked_for(run_module, manifest):
    result, _replay = run_module("recursor_free_manifest", {"path": str(manifest), "backup": True})
    with open(result["backup_file"], encoding="utf-8") as stream:
        assert stream.read() == V2
    assert "diff" not in result


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"properties: {dns: {recursor: a}}\n", r"bosh-primary.yml, line 1: .* flow style, .*with an ops file"),
        (b"a: \xff\n", "cannot be read: no UTF-8"),
    ],
)
def test_a_refusal_names_the_file_and_leaves_it(run_module, manifest, content, words):
    manifest.write_bytes(content)
    with pytest.raises(Failed, match=words):
        run_module("recursor_free_manifest", {"path": str(manifest)})
    assert manifest.read_bytes() == content
    with pytest.raises(Failed, match="cannot be read: No such file"):
        run_module("recursor_free_manifest", {"path": f"{manifest}.not"})


def test_without_pyyaml_it_says_so(run_module, manifest, monkeypatch):
    from ansible_collections.bosh.ha.plugins.modules import recursor_free_manifest

    monkeypatch.setattr(recursor_free_manifest, "YAML_IMPORT_ERROR", "Traceback")
    with pytest.raises(Failed, match="PyYAML"):
        run_module("recursor_free_manifest", {"path": str(manifest)})
