# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's stand-in for the BOSH CLI v7: same flags, same ``--json`` shapes, same wording and exit status."""

VERSION = "7.10.0-lab"
