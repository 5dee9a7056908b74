# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m boshlab.bosh_cli ...`` is the lab's ``bosh``."""

import sys

from boshlab.bosh_cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
