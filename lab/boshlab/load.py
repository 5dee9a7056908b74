# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs in a director's VM: a store that looks like one in use, and writes that go on.

`lab fill` and `lab write` put this file into the VM and start it there; it needs nothing else of the lab, so that VMs
of an older image have it, too. What the director does not know lies in a schema of its own, `fill`, in its database.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import random
import signal
import ssl
import struct
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STORE = Path("/var/vcap/store")
DIRECTOR = Path("/var/vcap/jobs/director/config/director.yml")
SOCKETS = "/var/vcap/sys/run/postgres"
PID_FILE = Path("/run/boshlab-writer.pid")
#: uid and gid of vcap in the image.
VCAP = 1000

KIB, MIB = 2**10, 2**20
#: Of the whole size: the database's share and its most, the logs' share.
DATABASE_SHARE, DATABASE_MOST, LOGS_SHARE = 0.2, 400 * MIB, 0.02
#: Blobs: median, sigma of the logarithm, the most by chance; the share of very large ones, if there is room for any.
MEDIAN, SIGMA, MOST = 20 * KIB, 1.9, 48 * MIB
LARGE_SHARE, LARGE_LEAST, LARGE_MOST = 0.3, 100 * MIB, 140 * MIB
#: Bytes of a row: its body, and what it takes in a page of PostgreSQL.
BODY, ROW = 1900, 2000
#: Ids of made up tasks begin where no real one comes.
FIRST_TASK = 10_000_001
LOG_MEDIAN = 12 * KIB
#: A row in so many comes with a blob.
BLOB_EVERY = 10


def plan(size: int, seed: int) -> dict[str, Any]:
    """What `size` bytes are made of: blobs' ids and sizes, sizes of tasks' logs, a number of rows."""
    chance = random.Random(f"plan {seed}")
    database = min(int(size * DATABASE_SHARE), DATABASE_MOST)
    logs = int(size * LOGS_SHARE)
    return {
        "blobs": list(_blobs(chance, size - database - logs)),
        "tasks": list(_tasks(chance, logs)),
        "rows": database // ROW,
    }


def _blobs(chance: random.Random, budget: int) -> Iterator[tuple[str, int]]:
    def named(size: int) -> tuple[str, int]:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4)), size

    large = int(budget * LARGE_SHARE)
    while budget - large > 0 and large >= LARGE_LEAST:
        size = chance.randint(LARGE_LEAST, min(LARGE_MOST, large))
        yield named(size)
        large -= size
        budget -= size
    while budget > 0:
        size = min(max(int(MEDIAN * chance.lognormvariate(0, SIGMA)), 1), MOST, budget)
        yield named(size)
        budget -= size


def _tasks(chance: random.Random, budget: int) -> Iterator[dict[str, int]]:
    """Sizes of each task's logs."""
    while budget > 0:
        debug = min(int(LOG_MEDIAN * chance.lognormvariate(0, 1.2)) + 1, budget)
        event, result = min(debug // 5, 40 * KIB), min(debug // 20, 4 * KIB)
        yield {"debug": debug - event - result, "event": event, "result": result}
        budget -= debug


def stream(seed: int, name: str) -> Any:
    """A function that gives the next so many bytes, which nothing compresses: the same for the same seed and name."""
    # Only there in the VM and in the lab's venv.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = hashlib.sha256(f"{seed} {name}".encode()).digest()
    update = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update
    zeros = bytes(MIB)
    return lambda count: update(zeros[:count] if count <= MIB else bytes(count))


def write_file(path: Path, size: int, seed: int, text: bool = False) -> None:
    """One file of vcap's, whole or not at all."""
    take = stream(seed, path.name if not text else f"{path.parent.name}/{path.name}")
    temporary = path.with_name(f".{path.name}.new")
    with open(temporary, "wb") as file:
        left = size
        while left > 0:
            count = min(left, MIB)
            data = take(count)
            if text:
                # A log's bytes can be read: lines of 96 characters.
                data = b"\n".join(base64.b64encode(data[at : at + 71]) for at in range(0, count, 71))[:count]
            file.write(data)
            left -= count
        os.fchown(file.fileno(), VCAP, VCAP)
        os.fchmod(file.fileno(), 0o644 if text else 0o600)
    temporary.rename(path)


def directory(path: Path, mode: int) -> Path:
    """A directory of vcap's; one that is there stays as it is."""
    if not path.is_dir():
        path.mkdir()
        os.chown(path, VCAP, VCAP)
        path.chmod(mode)
    return path


def blob_path(blob_id: str) -> str:
    """As the DAV blobstore has it (bosh-davcli): below a folder named by the SHA-1 of the id."""
    return f"{hashlib.sha1(blob_id.encode(), usedforsecurity=False).hexdigest()[:2]}/{blob_id}"


def copy_binary(rows: int, seed: int) -> Iterator[bytes]:
    """The rows as PostgreSQL's binary COPY takes them: id and body."""
    take = stream(seed, "rows")
    yield b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    head = struct.Struct("!hiqi")
    for start in range(1, rows + 1, 512):
        count = min(512, rows + 1 - start)
        data = take(BODY * count)
        yield b"".join(head.pack(2, 8, start + at, BODY) + data[at * BODY : (at + 1) * BODY] for at in range(count))
    yield struct.pack("!h", -1)


def connect(config: dict[str, Any]) -> Any:
    """The director's own database, by its socket, on which PostgreSQL trusts. Raises psycopg.OperationalError."""
    import psycopg

    db = config["db"]
    return psycopg.connect(
        host=SOCKETS, port=db["port"], user=db["user"], dbname=db["database"], connect_timeout=5, autocommit=True
    )


def fill(options: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write it all; a second time with the same seed it is the same."""
    began = time.monotonic()
    wanted = plan(options.size, options.seed)
    with connect(config) as database:
        with database.transaction():
            database.execute("CREATE SCHEMA IF NOT EXISTS fill")
            database.execute("DROP TABLE IF EXISTS fill.rows")
            database.execute("CREATE TABLE fill.rows (id bigint PRIMARY KEY, body bytea NOT NULL)")
            database.execute("ALTER TABLE fill.rows ALTER body SET STORAGE PLAIN")
            with database.cursor().copy("COPY fill.rows FROM STDIN (FORMAT binary)") as copy:
                for data in copy_binary(wanted["rows"], options.seed):
                    copy.write(data)
        # What is in the log is in the tables now, and the log's files are used again.
        database.execute("CHECKPOINT")
    blobs = directory(directory(STORE / "blobstore", 0o700) / "store", 0o700)
    for blob_id, size in wanted["blobs"]:
        path = blobs / blob_path(blob_id)
        directory(path.parent, 0o700)
        write_file(path, size, options.seed)
    tasks = directory(directory(STORE / "director", 0o755) / "tasks", 0o755)
    for number, logs in enumerate(wanted["tasks"], start=FIRST_TASK):
        task = directory(tasks / str(number), 0o755)
        for name, size in logs.items():
            write_file(task / name, size, options.seed, text=True)
    told = {
        "blobs": len(wanted["blobs"]),
        "blob_bytes": sum(size for _name, size in wanted["blobs"]),
        "largest_blob": max((size for _name, size in wanted["blobs"]), default=0),
        "tasks": len(wanted["tasks"]),
        "log_bytes": sum(sum(logs.values()) for logs in wanted["tasks"]),
        "rows": wanted["rows"],
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(told))


# Writes that go on

TABLE = """CREATE SCHEMA IF NOT EXISTS fill;
CREATE TABLE IF NOT EXISTS fill.writes (
  writer text, n bigint, at timestamptz NOT NULL DEFAULT now(), blob text, sha256 text, PRIMARY KEY (writer, n))"""
#: The same row may be sent twice, where the answer to the first was lost.
INSERT = "INSERT INTO fill.writes (writer, n, blob, sha256) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


def put_blob(config: dict[str, Any], blob_id: str, data: bytes) -> None:
    """As the director does it: nothing is written once the blobstore's nginx is stopped. Raises OSError."""
    where = config["blobstore"]
    login = base64.b64encode(f"{where['director']['user']}:{where['director']['password']}".encode()).decode()
    request = urllib.request.Request(
        f"https://{where['address']}:{where['port']}/{blob_path(blob_id)}",
        data=data,
        method="PUT",
        headers={"Authorization": f"Basic {login}"},
    )
    context = ssl.create_default_context(cadata=where["ca"])
    # A machine's proxy is not for its own address.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    opener.open(request, timeout=5).close()


def write(options: argparse.Namespace, config: dict[str, Any]) -> None:
    """One row after the other, for ever; each that was committed is a line. A lost connection is made again."""
    PID_FILE.write_text(str(os.getpid()), encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(0))
    writer, number, database = str(uuid.uuid4()), 1, None
    chance = random.Random(writer)
    pending: tuple[str | None, str | None] | None = None
    due = time.monotonic()
    while True:
        try:
            if database is None:
                database = connect(config)
                database.execute("SET statement_timeout = '5s'")
                database.execute(TABLE)
            if pending is None:
                blob_id = digest = None
                if number % BLOB_EVERY == 0:
                    blob_id, data = str(uuid.uuid4()), chance.randbytes(chance.randint(1, 64 * KIB))
                    digest = hashlib.sha256(data).hexdigest()
                    put_blob(config, blob_id, data)
                pending = blob_id, digest
            database.execute(INSERT, (writer, number, *pending))
        except Exception as error:
            # Stopped by monit, killed, or moved away: it may come back.
            print(f"{error!r}", file=sys.stderr, flush=True)
            if database is not None:
                database.close()
            database = None
            time.sleep(0.2)
            due = time.monotonic()
            continue
        told = {"time": time.time(), "writer": writer, "n": number, "blob": pending[0], "sha256": pending[1]}
        print(json.dumps(told), flush=True)
        number, pending, due = number + 1, None, due + 1 / options.rate
        time.sleep(max(due - time.monotonic(), 0))


def rows(_options: argparse.Namespace, config: dict[str, Any]) -> None:
    """Every row that is in the database, as a line, with whether its blob is in the store as it was written."""
    with connect(config) as database:
        if database.execute("SELECT to_regclass('fill.writes')").fetchone()[0] is None:
            return
        for writer, number, blob, digest in database.execute("SELECT writer, n, blob, sha256 FROM fill.writes"):
            good = None
            if blob:
                path = STORE / "blobstore" / "store" / blob_path(blob)
                good = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest
            print(json.dumps({"writer": writer, "n": number, "blob_good": good}))


LOCK = """INSERT INTO locks (name, expired_at, uid, task_id)
VALUES (%s, (now() AT TIME ZONE 'UTC') + %s * interval '1s', %s, '0')"""


def lock(options: argparse.Namespace, config: dict[str, Any]) -> None:
    """A lock as a colleague's task would hold it; of 0 seconds: none."""
    with connect(config) as database, database.transaction():
        database.execute(
            "DELETE FROM locks WHERE name = %s AND (task_id = '0' OR expired_at < now() AT TIME ZONE 'UTC')",
            (options.resource,),
        )
        if options.seconds > 0:
            database.execute(LOCK, (options.resource, options.seconds, str(uuid.uuid4())))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("deed", choices=("fill", "write", "rows", "lock"))
    parser.add_argument("--size", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=5)
    parser.add_argument("--resource")
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args()
    try:
        config = json.loads(DIRECTOR.read_text(encoding="utf-8"))
        {"fill": fill, "write": write, "rows": rows, "lock": lock}[options.deed](options, config)
    except Exception as error:
        print(str(error) or repr(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
