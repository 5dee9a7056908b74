# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guards that are taken out of a copy of the collection, so that it is seen that the cases can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

from chaos.case import Break

PARTS = ("galaxy.yml", "inventories", "meta", "playbooks", "plugins", "roles")


def broken(text: str, found: str, instead: str) -> str:
    """The text with the edit; raises ValueError where it does not fit, as after a change of the guard."""
    if text.count(found) != 1:
        raise ValueError(f"what is to be taken out is there {text.count(found)} times: {found!r}")
    return text.replace(found, instead)


def break_guard(what: Break, root: Path, cache: Path) -> Path:
    """A collections path with the copy; the checkout stays as it is."""
    path = cache / f"broken-{what.guard}"
    shutil.rmtree(path, ignore_errors=True)
    copy = path / "ansible_collections" / "bosh" / "ha"
    copy.mkdir(parents=True)
    for part in PARTS:
        if (root / part).is_dir():
            shutil.copytree(root / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / part, copy / part)
    for name, found, instead in what.edits:
        file = copy / name
        file.write_text(broken(file.read_text(encoding="utf-8"), found, instead), encoding="utf-8")
    return path
