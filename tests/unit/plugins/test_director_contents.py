# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows and blobs of a director."""

from __future__ import annotations

import hashlib
import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import director_contents

from ..conftest import Failed

CONFIG = {
    "adapter": "postgres",
    "username": "postgres",
    "password": "s3cret-of-postgres",
    "host": "127.0.0.1",
    "port": 5432,
    "database": "bosh",
}
TABLES = [
    ["fill", "it's", False, False],
    ["public", "packages", True, True],
    ["public", "log_bundles", True, False],
    ["public", "tasks", False, False],
]


def test_sql_counts_each_table_and_asks_for_each_blob():
    rows = director_contents.rows_sql(TABLES)
    assert """SELECT 'fill.it''s' AS t, count(*) AS n FROM "fill"."it's" UNION ALL SELECT 'packages'""" in rows
    assert rows.count("count(*)") == 4
    blobs = director_contents.blobs_sql(TABLES)
    assert """coalesce(sha1::text, '') AS d FROM "public"."packages" WHERE""" in blobs
    assert """'' AS d FROM "public"."log_bundles" WHERE""" in blobs
    assert blobs.count("UNION ALL") == 1
    assert "count" not in director_contents.rows_sql([])
    assert "FROM" not in director_contents.blobs_sql(TABLES[-1:])


def test_digests_are_read_in_each_form_that_bosh_has():
    assert director_contents.digests("ABC") == {"sha1": "abc"}
    assert director_contents.digests("abc;sha256:def") == {"sha1": "abc", "sha256": "def"}
    assert director_contents.digests("sha512:1;md5:2") == {"sha512": "1"}
    assert director_contents.digests("") == {}


@pytest.fixture
def store(tmp_path):
    """Two blobs; their content is their name."""
    for path in ("store/aa/one", "store/bb/two"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(path[-3:], encoding="utf-8")
    return tmp_path


ONE = hashlib.sha1(b"one").hexdigest()
SUMS = {f"./store/{path}": hashlib.sha256(path[-3:].encode()).hexdigest() for path in ("aa/one", "bb/two")}
NAMED = [["packages", "one", f"{ONE};sha256:{SUMS['./store/aa/one']}"], ["log_bundles", "two", ""]]


def test_blobs_that_are_as_they_were_have_no_problem(store):
    there = director_contents.blobs(str(store))
    assert sorted(there) == sorted(SUMS)
    assert director_contents.problems(there, NAMED, SUMS | {"./backup-skipped": "x"}) == []
    # Nothing is known of a backup's artifact: what the database says is enough.
    assert director_contents.problems(there, NAMED, {}) == []


@pytest.mark.parametrize(
    ("harm", "named", "sums", "told"),
    [
        (("aa/one", None), NAMED, {}, ["packages names the blob one, which is not there"]),
        (("bb/two", None), [], SUMS, ["the backup has ./store/bb/two, which is not there"]),
        (("cc/new", "new"), [], SUMS, ["./store/cc/new is there, and not in the backup"]),
        (
            ("aa/one", "One"),
            NAMED,
            {},
            [f"./store/aa/one has another {kind} than packages says" for kind in ("sha1", "sha256")],
        ),
        (("bb/two", "Two"), NAMED, SUMS, ["./store/bb/two has another sha256 than the backup says"]),
        # A digest of a second row is looked at, too.
        (
            ("bb/two", "two"),
            [["packages", "one", ONE], ["templates", "one", "0" * 40]],
            {},
            ["./store/aa/one has another sha1 than templates says"],
        ),
    ],
)
def test_each_blob_that_is_not_what_it_was_is_named(store, harm, named, sums, told):
    path = store / "store" / harm[0]
    if harm[1] is None:
        path.unlink()
    else:
        path.parent.mkdir(exist_ok=True)
        path.write_text(harm[1], encoding="utf-8")
    assert director_contents.problems(director_contents.blobs(str(store)), named, sums) == told


#: As a director with nats-delivered templates writes them: an id that never was in its blobstore, and a SHA-1.
RENDERED = [["rendered_templates_archives", f"never-{number}", ONE] for number in range(3)]


@pytest.mark.parametrize("table", ["rendered_templates_archives", "log_bundles", "director.log_bundles"])
def test_a_blob_that_need_not_be_there_is_no_problem(store, table):
    there = director_contents.blobs(str(store))
    named = [*NAMED, [table, "gone", ONE], [table, "gone", ONE]]
    assert director_contents.problems(there, named, SUMS) == []
    assert director_contents.unstored(there, named) == {table: 1}


@pytest.mark.parametrize("table", ["packages", "compiled_packages", "templates", "blobs"])
def test_a_blob_that_a_deploy_needs_must_be_there(store, table):
    there = director_contents.blobs(str(store))
    # Even if rendered templates name the same one.
    named = [[table, "gone", ONE], ["rendered_templates_archives", "gone", ONE]]
    assert director_contents.problems(there, named, {}) == [f"{table} names the blob gone, which is not there"]


def test_rendered_templates_that_are_in_the_blobstore_are_compared(store):
    there = director_contents.blobs(str(store))
    named = [["rendered_templates_archives", "one", "0" * 40]]
    assert director_contents.problems(there, named, {}) == [
        "./store/aa/one has another sha1 than rendered_templates_archives says"
    ]
    assert director_contents.unstored(there, named) == {}


@pytest.mark.parametrize(
    ("text", "here"),
    [
        ('{"blobstore": {"provider": "davcli", "options": {}}}', True),
        ('{"blobstore": {"provider": "simple"}}', True),
        ('{"blobstore": {"provider": "s3cli"}}', False),
        ('{"blobstore": {"provider": "gcscli"}}', False),
        ('{"blobstore": {"provider": "azurestoragecli"}}', False),
        ("", True),
        ("blobstore: no JSON", True),
        ('{"blobstore": null}', True),
        ("[]", True),
    ],
)
def test_a_provider_tells_where_the_blobs_are(text, here):
    assert director_contents.has_blobs_here(text) is here


class Psql:
    """Answers each statement in turn, and keeps how it was called."""

    def __init__(self, *answers):
        self.answers, self.calls = list(answers), []

    def __call__(self, command, **options):
        self.calls.append((command, options))
        answer = self.answers.pop(0)
        return (1, "", answer) if isinstance(answer, str) else (0, json.dumps(answer), "")


@pytest.fixture
def args(tmp_path, store, monkeypatch):
    monkeypatch.setattr(director_contents, "psql", lambda: "/psql")
    (tmp_path / "bbr.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    own = tmp_path / "director.yml"
    return {"config": str(tmp_path / "bbr.json"), "blobstore": str(store), "director_config": str(own)}


def test_the_module_counts_and_keeps_the_password_to_itself(run_module, args):
    psql = Psql(TABLES, {"tasks": 3}, NAMED)
    result, _replay = run_module("director_contents", args | {"proved": True, "checksums": SUMS}, runner=psql)
    assert (result["rows"], result["named"], result["problems"]) == ({"tasks": 3}, 2, [])
    assert (result["blobs"], result["host"]) == ({"count": 2, "bytes": 6}, "127.0.0.1")
    assert CONFIG["password"] not in json.dumps(result)
    for command, options in psql.calls:
        assert CONFIG["password"] not in " ".join(command) + options["data"]
        assert options["environ_update"]["PGPASSWORD"] == CONFIG["password"]


def test_nats_delivered_templates_do_not_count(run_module, args):
    psql = Psql(TABLES, {"tasks": 3}, NAMED + RENDERED)
    result, _replay = run_module("director_contents", args | {"proved": True, "checksums": SUMS}, runner=psql)
    assert (result["named"], result["unstored"], result["problems"]) == (2, {"rendered_templates_archives": 3}, [])


def test_a_backup_without_blobs_on_purpose_is_not_compared(run_module, args):
    skipped = args | {"proved": True, "checksums": {"./backup-skipped": "x"}}
    gone = [["packages", "gone", ONE]]
    result, _replay = run_module("director_contents", skipped, runner=Psql(TABLES, {}, gone))
    assert (result["skipped"], result["problems"]) == (True, [])


def test_a_directory_from_before_a_bucket_is_not_looked_at(run_module, args, tmp_path):
    secret = "s3cret-of-the-bucket"
    config = {"blobstore": {"provider": "s3cli", "options": {"secret_access_key": secret}}}
    (tmp_path / "director.yml").write_text(json.dumps(config), encoding="utf-8")
    gone = [["packages", "in-the-bucket", ONE]]
    result, _replay = run_module("director_contents", args | {"proved": True}, runner=Psql(TABLES, {}, gone))
    assert (result["blobs"], result["problems"], result["named"]) == ({}, [], 1)
    assert secret not in json.dumps(result)


def test_a_director_with_its_blobs_elsewhere_has_no_problem_with_them(run_module, args):
    elsewhere = args | {"blobstore": "/not/there", "proved": True}
    result, _replay = run_module("director_contents", elsewhere, runner=Psql(TABLES, {}, NAMED))
    assert (result["blobs"], result["problems"]) == ({}, [])


@pytest.mark.parametrize(
    ("change", "answers", "words"),
    [
        ({"adapter": "mysql2"}, (), "the director's database is mysql2, and only rows of PostgreSQL are counted"),
        ({"host": None}, (), "says of no database how it is reached"),
        ({}, ("psql: error: connection refused\n",), "psql failed with exit code 1: psql: error: connection refused"),
    ],
)
def test_what_cannot_be_counted_is_told(run_module, args, tmp_path, change, answers, words):
    config = {key: value for key, value in (CONFIG | change).items() if value is not None}
    (tmp_path / "bbr.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(Failed) as left:
        run_module("director_contents", args, runner=Psql(*answers))
    assert "what the director has cannot be counted: " in left.value.result["msg"]
    assert words in left.value.result["msg"]
    assert CONFIG["password"] not in json.dumps(left.value.result)
