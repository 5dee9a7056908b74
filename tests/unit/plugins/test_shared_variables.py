# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables of one vars store, taken over into another."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest
import yaml
from ansible_collections.bosh.ha.plugins.module_utils import vars_store
from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints
from hypothesis import given
from hypothesis import strategies as st

from ..conftest import Failed


def pem(name):
    body = base64.encodebytes(f"the certificate of {name}, and more than one line of it ........".encode()).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n"


def pair(name, ca):
    return {"ca": pem(ca), "certificate": pem(name), "private_key": f"key of {name}\nhidden-{name}\n"}


def store(whose):
    """As bosh-deployment has it: a director's own CAs and what they signed."""
    nats, blobstore, own = f"{whose} nats ca", f"{whose} blobstore ca", f"{whose} ca"
    return {
        "admin_password": f"hidden-admin-{whose}",
        "blobstore_agent_password": f"hidden-agent-{whose}",
        "blobstore_ca": pair(blobstore, blobstore),
        "blobstore_director_password": f"hidden-director-{whose}",
        "blobstore_server_tls": pair(f"{whose} blobstore", blobstore),
        "director_ssl": pair(f"{whose} director", own),
        "nats_ca": pair(nats, nats),
        "nats_clients_director_tls": pair(f"{whose} nats client", nats),
        "nats_server_tls": pair(f"{whose} nats", nats),
    }


LEAVES = ["blobstore_server_tls", "nats_clients_director_tls", "nats_server_tls"]
SHARED = ["nats_ca", "blobstore_ca", "blobstore_agent_password", "blobstore_director_password"]


@pytest.fixture
def files(tmp_path):
    for name in ("micro", "meta"):
        (tmp_path / name).write_text(yaml.safe_dump(store(name)), encoding="utf-8")
    return {"source": str(tmp_path / "micro"), "target": str(tmp_path / "meta"), "backup_dir": str(tmp_path / "old")}


def now(files):
    with open(files["target"], encoding="utf-8") as stream:
        return yaml.safe_load(stream)


def test_cas_and_passwords_come_and_what_the_old_cas_signed_goes(run_module, files):
    result, _replay = run_module("shared_variables", files)
    assert (result["changed"], result["created"]) == (True, False)
    assert sorted(result["copied"]) == sorted(SHARED) and result["dropped"] == LEAVES
    micro, meta = store("micro"), store("meta")
    assert now(files) == {
        name: micro[name] if name in SHARED else value for name, value in meta.items() if name not in LEAVES
    }
    assert result["fingerprints"] == {name: fingerprints(micro[name]["certificate"]) for name in SHARED[:2]}
    assert stat.S_IMODE(os.stat(files["target"]).st_mode) == 0o600
    assert "hidden" not in json.dumps(result)
    assert run_module("shared_variables", files)[0]["changed"] is False


def test_a_copy_of_what_was_is_kept(run_module, files):
    result, _replay = run_module("shared_variables", files)
    assert os.path.dirname(result["backup"]) == files["backup_dir"]
    with open(result["backup"], encoding="utf-8") as stream:
        assert yaml.safe_load(stream) == store("meta")
    assert stat.S_IMODE(os.stat(result["backup"]).st_mode) == 0o600
    assert len(os.listdir(files["backup_dir"])) == 1
    assert "backup" not in run_module("shared_variables", files)[0]


def test_the_rest_stays_as_it_is_written(run_module, files):
    with open(files["target"], "w", encoding="utf-8") as stream:
        stream.write("---\n# mine\nzone: 'a'  # why\n" + yaml.safe_dump(store("meta")) + "last: 0o17")
    run_module("shared_variables", files)
    with open(files["target"], encoding="utf-8") as stream:
        text = stream.read()
    assert text.startswith("---\n# mine\nzone: 'a'  # why\nadmin_password:") and text.endswith("last: 0o17\n")
    assert list(now(files)) == ["zone", *(name for name in store("meta") if name not in LEAVES), "last"]
    # As the source has them, to the letter.
    block = yaml.safe_dump({"nats_ca": store("micro")["nats_ca"]})
    assert block in text


@pytest.mark.parametrize(
    "text", ["{{a: 1, nats_ca: {ca}}}", "x: &x 1\ny: *x\nnats_ca: {ca}\n", "? a\n: 1\n", "\n# nothing\n"]
)
def test_another_form_of_yaml(run_module, files, text):
    with open(files["target"], "w", encoding="utf-8") as stream:
        stream.write(text.replace("{ca}", json.dumps(pair("old", "old"))).replace("{{", "{").replace("}}}", "}}"))
    before = now(files) or {}
    run_module("shared_variables", files)
    assert now(files) == before | {name: store("micro")[name] for name in SHARED}


def test_one_that_is_not_there_is_made(run_module, files):
    os.remove(files["target"])
    result, _replay = run_module("shared_variables", files, check=True)
    assert (result["changed"], result["created"], result["copied"]) == (True, True, SHARED)
    assert not os.path.exists(files["target"])
    result, _replay = run_module("shared_variables", files)
    assert (result["created"], result["dropped"], "backup" in result) == (True, [], False)
    assert now(files) == {name: store("micro")[name] for name in SHARED}
    assert stat.S_IMODE(os.stat(files["target"]).st_mode) == 0o600
    assert run_module("shared_variables", files)[0]["changed"] is False


def test_check_mode_writes_nothing(run_module, files):
    result, _replay = run_module("shared_variables", files, check=True)
    assert result["changed"] and result["dropped"] == LEAVES
    assert now(files) == store("meta") and not os.path.exists(files["backup_dir"])


def test_it_is_whole_or_not_at_all(run_module, files, monkeypatch):
    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vars_store.os, "fsync", full)
    before = sorted(os.listdir(os.path.dirname(files["target"])))
    with pytest.raises(Failed, match="cannot be written: No space left"):
        run_module("shared_variables", files)
    assert now(files) == store("meta")
    assert not [name for name in os.listdir(os.path.dirname(files["target"])) if name not in [*before, "old"]]
    assert not os.listdir(files["backup_dir"])


def test_a_link_stays_a_link(run_module, files, tmp_path):
    (tmp_path / "link").symlink_to(files["target"])
    run_module("shared_variables", files | {"target": str(tmp_path / "link")})
    assert (tmp_path / "link").is_symlink() and now(files)["nats_ca"] == store("micro")["nats_ca"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "the vars store {} does not exist"),
        ("nats_ca: {certificate: a}\nblobstore_ca: ''\nhidden: 1", "the vars store {} has no blobstore_ca"),
        ("- hidden", "the vars store {} holds no mapping"),
        ("a: 'hidden", "the vars store {} is no YAML: found unexpected end of stream, line 1"),
    ],
)
def test_a_source_that_has_them_not(run_module, files, source, said):
    os.remove(files["source"])
    if source is not None:
        with open(files["source"], "w", encoding="utf-8") as stream:
            stream.write(source)
    with pytest.raises(Failed) as failed:
        run_module("shared_variables", files)
    assert failed.value.result["msg"].startswith(said.format(files["source"]))
    assert "hidden" not in json.dumps(failed.value.result) and now(files) == store("meta")


def test_one_file_is_not_shared_with_itself(run_module, files):
    with pytest.raises(Failed, match="source and target are one vars store"):
        run_module("shared_variables", files | {"target": files["source"]})


def test_a_chain_goes_with_its_ca_and_others_stay(tmp_path):
    target = {
        "root": pair("old", "old"),
        "middle": pair("middle", "old"),
        "leaf": pair("leaf", "middle"),
        "both": pair("both", "old") | {"ca": pem("old") + pem("other")},
        "other": pair("other", "other"),
        "others_leaf": pair("another leaf", "other"),
        "text": pem("old"),
    }
    old, new = (
        vars_store.Store(str(number), "", data) for number, data in enumerate([target, {"root": pair("new", "new")}])
    )
    wanted = vars_store.shared(new, old, ["root"])
    assert (wanted.copied, wanted.dropped) == (["root"], ["middle", "leaf", "both"])
    # The same certificate in other words is no other CA.
    same = vars_store.Store("3", "", {"root": target["root"] | {"certificate": pem("old").strip()}})
    assert vars_store.shared(same, old, ["root"]).dropped == []


@given(st.text())
def test_what_is_no_certificate_has_no_fingerprint(text):
    assert fingerprints(text) == [] or "CERTIFICATE" in text
    assert fingerprints(pem("a") + text + pem("b"))[0] == fingerprints(pem("a"))[0]
    assert fingerprints(None) == []
