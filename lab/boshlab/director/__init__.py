# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's director: BOSH's API, tasks and cloud check, with all of its state in PostgreSQL."""
