# SPDX-License-Identifier: GPL-3.0-or-later

"""`python3 -m boshlab.director api | worker NAME | scheduler`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import sqlalchemy as sa
import uvicorn

from boshlab.director import jobs, tasks
from boshlab.director.api import application
from boshlab.director.clients import fingerprints, load_config
from boshlab.director.db import Lock, Task, engine, migrate, now

#: How many tasks are kept, and seconds between two looks.
KEEP_TASKS, EVERY = 2000, 60


def schedule(bind: sa.Engine) -> None:
    """Old tasks and expired locks go."""
    while True:
        try:
            with bind.begin() as connection:
                newest = connection.scalar(sa.select(sa.func.max(Task.id))) or 0
                connection.execute(sa.delete(Task).where(Task.id < newest - KEEP_TASKS))
                connection.execute(sa.delete(Lock).where(Lock.expired_at < now()))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
            # PostgreSQL is away, or the director has not made its tables yet.
            print(error, flush=True)
        time.sleep(EVERY)


def patiently(deed: Callable[[], None], seconds: float = 60.0) -> None:
    """Do it once PostgreSQL answers, which monit starts beside the director. Raises its error after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        try:
            return deed()
        except sa.exc.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def main() -> None:
    verb = sys.argv[1]
    config = load_config()
    bind = engine(config["db"])
    if verb == "api":
        # As jobs/director/templates/director. Tasks of a killed worker are left as they are: BOSH recovers none here.
        patiently(lambda: migrate(bind, fingerprints(config)))
        uvicorn.run(application(bind, config), host="127.0.0.1", port=25556, log_level="warning", proxy_headers=True)
    elif verb == "worker":
        tasks.work(bind, config, jobs.JOBS, sys.argv[2])
    elif verb == "scheduler":
        schedule(bind)


if __name__ == "__main__":
    main()
