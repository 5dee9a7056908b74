# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`tamper.py BACKUP COPY BLOB`: a backup as if it had never had a blob, and of a director with nine releases."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from pathlib import Path

import yaml

source, target, blob = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
shutil.copytree(source, target)

name = "bosh-0-blobstore.tar"
with tarfile.open(source / name) as old, tarfile.open(target / name, "w") as new:
    for member in old:
        if not member.name.endswith(f"/{blob}"):
            new.addfile(member, old.extractfile(member) if member.isfile() else None)

metadata = yaml.safe_load((target / "metadata").read_text(encoding="utf-8"))
for artifact in metadata["instances"][0]["artifacts"]:
    sums = artifact["checksums"]
    artifact["checksums"] = {path: digest for path, digest in sums.items() if not path.endswith(f"/{blob}")}
(target / "metadata").write_text(yaml.safe_dump(metadata), encoding="utf-8")

about = json.loads((target / "bosh_ha.json").read_text(encoding="utf-8"))
about["rows"]["releases"] = [9, 9]
(target / "bosh_ha.json").write_text(json.dumps(about), encoding="utf-8")
