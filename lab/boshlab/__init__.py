# SPDX-License-Identifier: GPL-3.0-or-later
"""A BOSH lab: stand-ins for what cannot be had here, real software for everything else."""
