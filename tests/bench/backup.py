# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench-backup`: backup and restore of a director on the lab, against `bbr`'s. It resets the lab."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from . import bbr_way, lab, machine, migration, playbook, table
from .figures import Line, at_most, seconds_of, spread

RESULTS = "backup.json"
DIRECTORY = lab.CACHE / "backups"
REPOSITORY = DIRECTORY / "repository"
#: Part of the store that changes between two backups into a repository.
CHANGE = 0.01
NAME = "micro"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-backup", description=__doc__)
    parser.add_argument("--size", default="1", help="of Micro's store in GiB (default 1)")
    parser.add_argument("--rounds", type=int, default=3, help="of what is measured more than once (default 3)")
    parser.add_argument("--show", action="store_true", help="measure nothing; print what was measured last")
    options = parser.parse_args()
    lab.CACHE.mkdir(parents=True, exist_ok=True)
    results = lab.CACHE / RESULTS
    status = 0
    raw: dict[str, Any] = {}
    if options.show:
        raw = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    else:
        try:
            raw = measure(f"{options.size}G", options.rounds)
            results.write_text(json.dumps(raw, indent=1), encoding="utf-8")
        except (lab.BenchError, subprocess.SubprocessError, OSError) as error:
            print(f"bench-backup: {error}", file=sys.stderr)
            status = 1
    if raw:
        print(table.of_figures(lines(raw)))
        print("\n" + machine.told(raw["machine"]))
    return status


def measure(size: str, rounds: int) -> dict[str, Any]:
    """In turn, so that a machine that becomes slower does so for all of them; the page cache is dropped before each."""
    began = machine.clock()
    if f"{migration.DEPLOYED} " not in lab.lab("snapshots"):
        migration.deploy()
    store = migration.begin(size)
    found: dict[str, Any] = {"store": store, "bbr": "bbr" if bbr_way.real() else "bbr's commands, scripted"}
    found |= {"ours": [], "theirs": [], "restore": [], "their_restore": [], "again": []}
    found["read"] = _read()
    for number in range(rounds):
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        ours = _ours(number)
        found["ours"].append(ours)
        theirs = _measured(lambda: _taken(bbr_way.backup(NAME, DIRECTORY / "bbr")))
        found["theirs"].append(theirs)
        found["restore"].append(_restored(number, ours["path"]))
        lab.drop_caches()
        found["their_restore"].append(round(bbr_way.restore(NAME, Path(theirs["path"])).seconds, 2))
        lab.say(f"round {number + 1}: ours {ours['seconds']} s, bbr {theirs['seconds']} s")
        lab.say(f"round {number + 1}: restore {found['restore'][-1]} s, bbr {found['their_restore'][-1]} s")
    found["first"] = _into_repository("first")
    for number in range(rounds):
        _change(int(store["bytes"] * CHANGE))
        found["again"].append(_into_repository(f"again-{number}"))
        lab.say(f"once more into the repository: {found['again'][-1]}")
    found["idle"] = _into_repository("idle")["seconds"]
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    return found | {"machine": machine.now(began)}


def _ours(number: int) -> dict[str, Any]:
    return _measured(lambda: _back_up(f"backup-{number}"))


def _into_repository(label: str) -> dict[str, Any]:
    """Seconds of a backup into a repository, and the bytes by which it grew."""
    before = _bytes(REPOSITORY)
    lab.drop_caches()
    environment = {"BOSH_HA_BACKUP_PASSPHRASE": "bench"}
    found = _back_up(f"repository-{label}", environment, backup_director_repository=str(REPOSITORY))
    return found | {"bytes": _bytes(REPOSITORY) - before}


def _back_up(label: str, environment: dict[str, str] | None = None, **inputs: Any) -> dict[str, Any]:
    inputs |= {"backup_hosts": NAME, "backup_director_dir": str(DIRECTORY / "ours")}
    run = playbook.play(label, "backup.yml", environment, **inputs)
    done = playbook.fact(run, "backup_director_done")
    return {"seconds": round(run.seconds, 2), "locked": float(done["seconds_locked"]), "path": done["path"]}


def _change(size: int) -> None:
    """So many bytes of the blobs that are there become others, in files as they lie."""
    lab.in_vm(
        NAME,
        f"""left={size}
        while read -r bytes path; do
          [ "$left" -gt 0 ] || break
          part=$((bytes < left ? bytes : left))
          # A blob is written once, under another name, and moved: a second name of it keeps what it was.
          {{ head -c "$part" /dev/urandom; tail -c +$((part + 1)) "$path"; }} > "$path.new"
          chown --reference="$path" "$path.new"
          mv "$path.new" "$path"
          left=$((left - part))
        done < <(find {lab.STORE}/blobstore -type f -printf '%s %p\n' | shuf)
        [ "$left" -eq 0 ]""",
    )


def _taken(took: bbr_way.Took) -> dict[str, Any]:
    return {"seconds": round(took.seconds, 2), "locked": took.locked, "path": str(took.path)}


def _measured(deed: Any) -> dict[str, Any]:
    lab.drop_caches()
    with growing() as seen:
        found = deed()
    return dict(found) | {"extra": max(0, max(seen) - seen[0]), "bytes": _bytes(Path(found["path"]))}


def _restored(number: int, path: str) -> float:
    lab.drop_caches()
    run = playbook.play(f"restore-{number}", "restore.yml", restore_host=NAME, restore_path=path)
    return round(run.seconds, 2)


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _read() -> float:
    """Seconds to read all of the store once from the disk: no full backup can be shorter."""
    lab.drop_caches()
    # Its 1: a file of the database, say, changed or went meanwhile.
    return round(lab.timed(NAME, f"{{ tar -C {lab.STORE} -cf - . || [ $? -eq 1 ]; }} | cat"), 2)


@contextmanager
def growing() -> Iterator[list[int]]:
    """Bytes in use below the VM's store, first before, then during the block; a second name costs nothing."""

    def used() -> int:
        return 1024 * int(lab.in_vm(NAME, f"{{ du -sk {lab.STORE} 2>/dev/null || true; }} | cut -f1"))

    seen, ended = [used()], threading.Event()

    def look() -> None:
        while not ended.wait(1):
            seen.append(used())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def lines(raw: dict[str, Any]) -> list[Line]:
    """The issue's figures."""
    ours, theirs = raw["ours"], raw["theirs"]
    took = [one["seconds"] for one in ours]
    they_took = [one["seconds"] for one in theirs]
    stored = raw["store"]["bytes"]
    extra = max(one["extra"] for one in ours)
    they_extra = max(one["extra"] for one in theirs)
    locked = [one["locked"] for one in ours]
    known = [one["locked"] for one in theirs if one["locked"] is not None]
    scripts = median(known or locked)
    read = (
        f"{(scripts + raw['read']) / median(they_took):.2f}: the jobs' own scripts take {seconds_of(scripts)}, "
        f"and to read the store once from the disk {seconds_of(raw['read'])}"
    )
    found = [
        at_most(
            "full backup",
            spread(took),
            f"{raw['bbr']}, {spread(they_took)}",
            median(took) / median(they_took),
            0.6,
            read,
        ),
        at_most(
            "extra disk on the VM",
            f"{extra / 1e6:.0f} MB",
            f"the store, {stored / 1e6:.0f} MB (bbr's way: {they_extra / 1e6:.0f} MB)",
            extra / stored,
            0.05,
            f"{they_extra / stored:.2f}: what the jobs' own scripts leave",
        ),
        at_most(
            "restore",
            spread(raw["restore"]),
            f"{raw['bbr']}, {spread(raw['their_restore'])}",
            median(raw["restore"]) / median(raw["their_restore"]),
            0.8,
            "what is there now is kept until it has gone well, which bbr does not do",
        ),
    ]
    again = [one["seconds"] for one in raw["again"]]
    grown = [one["bytes"] for one in raw["again"]]
    their_bytes = median(one["bytes"] for one in theirs)
    found += [
        Line(
            "first backup into a repository",
            f"{seconds_of(raw['first']['seconds'])}, {raw['first']['bytes'] / 1e6:.0f} MB",
            f"{raw['bbr']}, {spread(they_took)}, {their_bytes / 1e6:.0f} MB",
            raw["first"]["seconds"] / median(they_took),
        ),
        at_most(
            f"second one after {CHANGE:.0%} of change: time",
            spread(again),
            f"{raw['bbr']}, {spread(they_took)}",
            median(again) / median(they_took),
            0.1,
            f"{raw['idle'] / median(they_took):.2f}: with nothing changed it takes {seconds_of(raw['idle'])}",
        ),
        at_most(
            f"second one after {CHANGE:.0%} of change: bytes",
            f"{median(grown) / 1e6:.1f} MB",
            f"{raw['bbr']}, {their_bytes / 1e6:.0f} MB",
            median(grown) / their_bytes,
            0.1,
        ),
    ]
    if known:
        found.append(
            at_most(
                "time locked",
                spread(locked),
                f"{raw['bbr']}, {spread(known)}",
                median(locked) / median(known),
                0.3,
                "1: both run the same scripts; ours also waits for the director's workers to stop and start",
            )
        )
    else:
        found.append(Line("time locked", spread(locked), "bbr does not tell", None))
    return found


if __name__ == "__main__":
    sys.exit(main())
