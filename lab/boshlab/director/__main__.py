# SPDX-License-Identifier: GPL-3.0-or-later

"""`python3 -m boshlab.director api | worker N | scheduler | migrate`."""

from __future__ import annotations

import sys
import time

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
        except sa.exc.OperationalError as error:
            print(error, flush=True)
        time.sleep(EVERY)


def main() -> None:
    verb = sys.argv[1]
    config = load_config()
    bind = engine(config["db"])
    if verb == "migrate":
        migrate(bind, fingerprints(config))
        tasks.recover(bind)
    elif verb == "api":
        uvicorn.run(application(bind, config), host="127.0.0.1", port=25556, log_level="warning", proxy_headers=True)
    elif verb == "worker":
        tasks.work(bind, config, jobs.JOBS)
    elif verb == "scheduler":
        schedule(bind)


if __name__ == "__main__":
    main()
