# SPDX-License-Identifier: GPL-3.0-or-later

"""`python3 -m boshlab.cpi CONFIG`: one request on stdin, one answer on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from boshlab.cpi import Cpi, answer

if __name__ == "__main__":
    config = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(answer(Cpi(config), json.load(sys.stdin))))
