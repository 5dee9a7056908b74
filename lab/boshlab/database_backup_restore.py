# SPDX-License-Identifier: GPL-3.0-or-later

"""`boshlab database_backup_restore --backup|--restore --config FILE --artifact-file FILE`, for PostgreSQL.

Source: backup-and-restore-sdk-release src/database-backup-restore (postgres/{backuper,restorer,list_file_filter}.go).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BIN = Path("/usr/lib/postgresql/15/bin")
#: A schema in what `pg_restore --list` prints, with its name.
SCHEMA = re.compile(r"^\d+; \d+ \d+ SCHEMA - (\w+) ", re.MULTILINE)


def read_config(path: str) -> dict[str, Any]:
    """What the job's bbr.json says of the database. Raises ValueError with a sentence."""
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
        adapter = config["adapter"]
        for key in ("username", "password", "host", "port", "database"):
            config[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} says of no database how it is reached: {error}") from error
    if adapter != "postgres":
        raise ValueError(f"{path} has the adapter {adapter}, but the lab has PostgreSQL only")
    return config


def run(config: dict[str, Any], tool: str, *words: str) -> None:
    where = [f"--username={config['username']}", f"--host={config['host']}", f"--port={config['port']}"]
    # The password goes by the environment: argv is for everybody.
    subprocess.run([str(BIN / tool), *where, *words], check=True, env={"PGPASSWORD": str(config["password"])})


def backup(config: dict[str, Any], artifact: str) -> None:
    run(config, "pg_dump", "--verbose", "--format=custom", f"--file={artifact}", config["database"])


def restore(config: dict[str, Any], artifact: str) -> None:
    """All that the dump has, or nothing of it. What the dump does not know stays."""
    listed = subprocess.run(
        [str(BIN / "pg_restore"), "--list", artifact], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    # BOSH has no schema but `public`; that of `lab fill` has to be there before its tables, also in a new database.
    for schema in sorted(set(SCHEMA.findall(listed)) - {"public"}):
        run(config, "psql", f"--dbname={config['database']}", f'--command=CREATE SCHEMA IF NOT EXISTS "{schema}"')
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="backup-restore-sdk") as chosen:
        chosen.write(contents(listed))
        chosen.flush()
        run(
            config,
            "pg_restore",
            "--verbose",
            "--format=custom",
            f"--dbname={config['database']}",
            "--clean",
            "--if-exists",
            "--single-transaction",
            "--exit-on-error",
            f"--use-list={chosen.name}",
            artifact,
        )


def contents(listed: str) -> str:
    """A dump's contents without extensions and schemas, which are the database's own."""
    return "\n".join(line for line in listed.split("\n") if " EXTENSION " not in line and " SCHEMA " not in line)


def main() -> int:
    parser = argparse.ArgumentParser(prog="database_backup_restore", allow_abbrev=False)
    deed = parser.add_mutually_exclusive_group(required=True)
    deed.add_argument("--backup", dest="deed", action="store_const", const=backup)
    deed.add_argument("--restore", dest="deed", action="store_const", const=restore)
    parser.add_argument("--config", required=True)
    parser.add_argument("--artifact-file", required=True)
    options = parser.parse_args()
    try:
        options.deed(read_config(options.config), options.artifact_file)
    except subprocess.CalledProcessError as error:
        print(f"{Path(error.cmd[0]).name} failed with status {error.returncode}: see above", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
