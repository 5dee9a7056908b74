# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a director's database and blobstore hold: rows of each table, and whether each blob that is named is there.

Sources: bosh v283.1.6 src/bosh-director/db/migrations/20110209010747_initial.rb (blobstore_id of blobs,
compiled_packages, log_bundles, packages, rendered_templates_archives and templates; local_dns_blobs refers to blobs),
jobs/director/templates/{bbr_config.json,director.yml}.erb, jobs/blobstore/templates/bbr_{backup,restore}. It runs on
VMs, so it needs nothing but the standard library.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable
from typing import Any

#: Where blobs are below the blobstore's directory, in a backup and in the store.
STORE = "store"
#: Tables of which a row may name a blob that is not there, and why that is no loss.
#: rendered_templates_archives: with director.enable_nats_delivered_templates the templates went to the agent over NATS,
#: and the id is one that never was in the blobstore (rendered_templates_persister.rb, rendered_job_instance.rb,
#: persist_through_agent). Without it the director uploads them again if they are absent (persist_on_blobstore).
#: log_bundles: fetched logs, which the director deletes after ten days, first the blob and then the row, and whose
#: absence it ignores (log_bundles_cleaner.rb).
UNSTORED = ("log_bundles", "rendered_templates_archives")
#: What the blobstore's script leaves instead of the blobs if blobstore.bbr.enabled is false.
SKIPPED = "./backup-skipped"
#: Providers of director.yml whose blobs are on this VM; the others have them in a bucket.
_PROVIDERS = ("dav", "davcli", "simple")
#: BOSH's own packages first; the last ones are a distribution's.
_PSQL = (
    "/var/vcap/packages/postgres*/bin/psql",
    "/var/vcap/packages/database-backup-restorer-postgres*/bin/psql",
    "/usr/lib/postgresql/*/bin/psql",
    "/usr/bin/psql",
)
_KINDS = ("sha1", "sha256", "sha512")
_CHUNK = 1 << 20

#: Every table that is not PostgreSQL's own, and whether it names blobs and their digests.
TABLES = """
SELECT coalesce(json_agg(json_build_array(t.table_schema, t.table_name,
  EXISTS (SELECT FROM information_schema.columns c WHERE c.table_schema = t.table_schema
          AND c.table_name = t.table_name AND c.column_name = 'blobstore_id'),
  EXISTS (SELECT FROM information_schema.columns c WHERE c.table_schema = t.table_schema
          AND c.table_name = t.table_name AND c.column_name = 'sha1')) ORDER BY 1, 2), '[]')
FROM information_schema.tables t
WHERE t.table_type = 'BASE TABLE' AND t.table_schema NOT IN ('pg_catalog', 'information_schema');
"""


class Unknown(ValueError):
    """Nobody can tell; the message says why."""


def database(text: str, path: str) -> dict[str, Any]:
    """What a director's bbr.json says of its database. Raises Unknown."""
    try:
        config = json.loads(text)
        adapter = str(config["adapter"])
        for key in ("username", "password", "host", "port", "database"):
            config[key]
    except (ValueError, TypeError, KeyError):
        raise Unknown(f"{path} says of no database how it is reached") from None
    if not adapter.startswith("postgres"):
        raise Unknown(f"the director's database is {adapter}, and only rows of PostgreSQL are counted")
    return dict(config)


def has_blobs_here(text: str) -> bool:
    """Whether the director's blobstore is the one of its VM, by director.yml, which is JSON in BOSH.

    A directory of blobs may be left from before the director got a bucket. True if the file does not name a provider.
    """
    try:
        provider = json.loads(text)["blobstore"]["provider"]
    except (ValueError, TypeError, KeyError):
        return True
    return provider in _PROVIDERS


def psql() -> str:
    """The newest psql of the VM. Raises Unknown."""
    for pattern in _PSQL:
        found = sorted(glob.glob(pattern), key=lambda path: [int(number) for number in re.findall(r"\d+", path)])
        if found:
            return found[-1]
    raise Unknown(f"there is no psql on this host: {', '.join(_PSQL)}")


def command(program: str, config: dict[str, Any]) -> list[str]:
    """psql, for SQL on its standard input; the password goes by PGPASSWORD."""
    where = [f"--host={config['host']}", f"--port={config['port']}", f"--username={config['username']}"]
    words = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1"]
    return [program, *words, *where, f"--dbname={config['database']}", "--file=-"]


def _name(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def rows_sql(tables: list[list[Any]]) -> str:
    """Rows of each table, by its name, all at one moment. tables: what TABLES answers."""
    counts = " UNION ALL ".join(
        f"SELECT {_text(_name(schema, table))} AS t, count(*) AS n FROM {_quoted(schema)}.{_quoted(table)}"
        for schema, table, *_rest in tables
    )
    return f"SELECT coalesce(json_object_agg(t, n), '{{}}') FROM ({counts}) counted;\n" if counts else "SELECT '{}';\n"


def blobs_sql(tables: list[list[Any]]) -> str:
    """Table, id and digest, empty where there is none, of each blob that a table names."""
    named = " UNION ALL ".join(
        f"SELECT {_text(_name(schema, table))} AS t, blobstore_id::text AS b, "
        f"{'coalesce(sha1::text, ' + _text('') + ')' if digest else _text('')} AS d "
        f"FROM {_quoted(schema)}.{_quoted(table)} WHERE coalesce(blobstore_id::text, '') <> ''"
        for schema, table, names, digest in tables
        if names
    )
    if not named:
        return "SELECT '[]';\n"
    return f"SELECT coalesce(json_agg(json_build_array(t, b, d)), '[]') FROM ({named}) named;\n"


def digests(text: str) -> dict[str, str]:
    """The digests of a blob in BOSH's form: SHA-1, `sha256:...`, or several with `;` between, without unknown kinds.

    Source: bosh-utils crypto/multiple_digest.go.
    """
    found = {}
    for one in text.split(";"):
        kind, _colon, value = one.strip().rpartition(":")
        if value and (kind or "sha1") in _KINDS:
            found[kind or "sha1"] = value.lower()
    return found


def blobs(blobstore: str) -> dict[str, str]:
    """Path of each blob below a blobstore's directory, by its path there (`./store/ab/ID`)."""
    found = {}
    for directory, _directories, names in os.walk(os.path.join(blobstore, STORE)):
        for name in names:
            path = os.path.join(directory, name)
            found[f"./{os.path.relpath(path, blobstore)}"] = path
    return found


def is_skipped(backed_up: dict[str, str]) -> bool:
    """Whether a backup's artifact has no blobs because its director's manifest says so. backed_up: as of `problems`."""
    return SKIPPED in backed_up


def unstored(there: dict[str, str], named: list[list[str]]) -> dict[str, int]:
    """How many blobs that are not there, and need not be, each table names. there, named: as of `problems`."""
    ids = {os.path.basename(path) for path in there}
    found: dict[str, set[str]] = {}
    for table, blob, _digest in named:
        if blob not in ids and _may_be_unstored(table):
            found.setdefault(table, set()).add(blob)
    return {table: len(blobs) for table, blobs in sorted(found.items())}


def _may_be_unstored(table: str) -> bool:
    return table.rpartition(".")[2] in UNSTORED


def _hashed(path: str, kinds: Iterable[str]) -> dict[str, str]:
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            for one in hashes.values():
                one.update(chunk)
    return {kind: one.hexdigest() for kind, one in hashes.items()}


def problems(there: dict[str, str], named: list[list[str]], backed_up: dict[str, str]) -> list[str]:
    """What is wrong with the blobs, a sentence each. Every blob that somebody has a digest of is read once.

    A blob that is not there is no fault if only a table of UNSTORED names it.

    there: as `blobs` tells them. named: what `blobs_sql` answers. backed_up: SHA-256 of each file of the backup's
    artifact by its path; what is outside of `store` is no blob. Raises OSError.
    """
    wanted = {path: digest for path, digest in backed_up.items() if path.startswith(f"./{STORE}/")}
    by_id: dict[str, str] = {os.path.basename(path): path for path in there}
    of_rows: dict[str, dict[str, str]] = {}
    found = []
    for table, blob, digest in sorted(named):
        if blob not in by_id and _may_be_unstored(table):
            continue
        if blob not in by_id:
            found.append(f"{table} names the blob {blob}, which is not there")
        else:
            of_row = {f"{kind} {table}": one for kind, one in digests(digest).items()}
            of_rows.setdefault(by_id[blob], {}).update(of_row)
    found += [f"the backup has {path}, which is not there" for path in sorted(wanted.keys() - there.keys())]
    if wanted:
        found += [f"{path} is there, and not in the backup" for path in sorted(there.keys() - wanted.keys())]
    for path in sorted(there):
        checks = of_rows.get(path, {}) | ({"sha256 the backup": wanted[path]} if path in wanted else {})
        if not checks:
            continue
        hashed = _hashed(there[path], {check.partition(" ")[0] for check in checks})
        for check, digest in sorted(checks.items()):
            kind, _space, who = check.partition(" ")
            if hashed[kind] != digest:
                found.append(f"{path} has another {kind} than {who} says")
    return found
