# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypothesis without deadlines, which a busy machine breaks, and without a database in the checkout."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lab", deadline=None, database=None)
settings.load_profile("lab")
