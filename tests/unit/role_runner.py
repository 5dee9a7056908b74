# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs roles of this collection as `ansible-playbook` does, over commands and hosts that a test makes up.

A test module makes its commands by `write_program`, and plays roles by the fixture `roles` of conftest.py. Its
`play` writes the inventory, the variables and a playbook into the test's directory, and returns the exit code and
what was told, as one line, so that no assertion depends on where a line was wrapped.

Most of the time would go to importing Ansible, packing its modules, and compiling them and the templates. So each test
module has one process (this file, as a program) that did so already, and forks for each play. Nor does anybody wait
between two attempts: what the fakes say changes with each question, not with time. wait_for_connection's clock goes on
by the pauses that are left out, so it gives up after as many attempts as ever.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ADDRESSES = {"micro": "10.10.0.3", "primary": "10.10.0.4", "meta": "10.10.0.5"}
KINDS = ("action", "filter", "lookup", "shell", "strategy", "test")
#: Seconds from which on a pause is one between two questions; Ansible's own are shorter.
PAUSE = 1
#: For one play; far more than any takes, on a machine that has other work.
PATIENCE = 180

#: Runs `program`, a module as Ansible hands it over, and compiles none of its files twice.
PYTHON = """
import marshal, zipimport, zlib
compile_source = zipimport._compile_source
def compiled(path, source):
    name = f"{CACHE}/{zlib.crc32(source):x}-{len(source)}"
    try:
        with open(name, "rb") as stream:
            return marshal.load(stream)
    except OSError:
        code = compile_source(path, source)
    with open(f"{name}.{os.getpid()}", "wb") as stream:
        marshal.dump(code, stream)
    os.rename(stream.name, name)
    return code
zipimport._compile_source = compiled
sys.path += PATHS
# The same as in the program's archive, which holds no compiled ones.
import ansible.module_utils.basic
exec(compile(program, sys.argv[0], "exec"))
"""
#: As the interpreter is called: the program is a file, or is piped.
READ = """
del sys.argv[0]
program = open(sys.argv[0], "rb").read() if sys.argv else sys.stdin.buffer.read()
sys.argv = sys.argv or ["-"]
"""

Run = Callable[..., tuple[int, str]]


def stay_nice() -> None:
    """Where the kernel shares the processors among sessions, a new one has a whole share, whatever its niceness."""
    if os.nice(0) and os.getsid(0) == os.getpid():
        try:
            with open("/proc/self/autogroup", "w") as share:
                share.write(str(os.nice(0)))
        except OSError:
            pass


def write_program(path: Path, text: str, **words: Any) -> None:
    """An executable of Python's standard library alone, which starts fast; `words` are variables of it."""
    given = "".join(f"{name} = {value!r}\n" for name, value in words.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"#!{sys.executable} -IS\nimport json, os, sys\n{inspect.getsource(stay_nice)}stay_nice()\n"
    path.write_text(f"{head}{given}{text}", encoding="utf-8")
    path.chmod(0o755)


def link_collection(top: Path, modules: dict[str, str]) -> None:
    """This collection below `top`, with `modules` instead of its own ones of those names."""
    target = top / "ansible_collections" / "bosh" / "ha"
    source = ROOT
    for part in ("plugins", "modules", ""):
        target.mkdir(parents=True)
        for path in source.iterdir():
            if path.name != part and path.stem not in (modules if not part else ()):
                (target / path.name).symlink_to(path)
        source, target = source / part, target / part
    for name, text in modules.items():
        (target / f"{name}.py").write_text(text, encoding="utf-8")


class Roles:
    """A process that plays roles of the collection; `modules` stand for those of the collection's own.

    `compiled` is a directory that all may share: what is in it is named by what it was compiled from.
    """

    def __init__(self, top: Path, modules: dict[str, str], compiled: Path) -> None:
        link_collection(top, modules)
        self.top = top
        self.compiled = compiled
        compiled.mkdir(exist_ok=True)
        self.write_python(top / "python")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "BOSH_"))} | {
            "ANSIBLE_COLLECTIONS_PATH": str(top),
            "ANSIBLE_HOME": str(top / "home"),
            "ANSIBLE_LOCAL_TEMP": str(top / "local"),
            "ANSIBLE_REMOTE_TEMP": str(top / "remote"),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_SSH_ARGS": "",
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }
        self.server = subprocess.Popen(
            [sys.executable, __file__, str(compiled)],
            env=environ,
            cwd=top,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def write_python(self, path: Path, text: str = "", **words: Any) -> None:
        """An `ansible_python_interpreter`; `text` may change the `program` before it runs."""
        paths = [name for name in sys.path if name.endswith("site-packages")]
        write_program(path, READ + text + PYTHON, CACHE=str(self.compiled), PATHS=paths, **words)

    @contextmanager
    def stand_in(self, module: str, text: str) -> Iterator[None]:
        """`text` instead of the collection's module, for a while."""
        path = self.top / "ansible_collections" / "bosh" / "ha" / "plugins" / "modules" / f"{module}.py"
        own = path.readlink()
        path.unlink()
        path.write_text(text, encoding="utf-8")
        self.forget(module)
        try:
            yield
        finally:
            path.unlink()
            path.symlink_to(own)
            self.forget(module)

    def forget(self, module: str) -> None:
        """Ansible packs each module once for all that plays in one process."""
        for packed in (self.top / "local").glob(f"*/ansiballz_cache/*.{module}-*"):
            packed.unlink()

    def close(self) -> None:
        """A play that goes on is killed too."""
        assert self.server.stdin and self.server.stdout
        if self.server.poll() is None:
            os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
        self.server.stdin.close()
        self.server.stdout.close()

    def play(
        self,
        top: Path,
        role: str,
        tasks: str,
        *words: str,
        variables: dict[str, Any],
        hosts: dict[str, Any],
        environ: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """One file of a role's tasks on localhost, with the arguments `words`; exit code, and what was told."""
        python = {"ansible_python_interpreter": str(self.top / "python")}
        hosts = hosts | {"localhost": python | {"ansible_connection": "local"}}
        include = {"ansible.builtin.include_role": {"name": f"bosh.ha.{role}", "tasks_from": tasks}}
        for name, content in {
            "hosts.json": {"all": {"hosts": hosts, "vars": python | variables}},
            "play.yml": [{"hosts": "localhost", "gather_facts": False, "any_errors_fatal": True, "tasks": [include]}],
        }.items():
            (top / name).write_text(json.dumps(content), encoding="utf-8")
        return self.playbook(top, "-i", f"{top}/hosts.json", *words, f"{top}/play.yml", environ=environ)

    def playbook(
        self, top: Path, *words: str, environ: dict[str, str] | None = None, pauses: bool = False
    ) -> tuple[int, str]:
        """`ansible-playbook` with the arguments `words` in `top`; its `pauses` are left out unless they are wanted."""
        order = {"words": words, "top": str(top), "environ": environ or {}, "pauses": pauses}
        assert self.server.stdin and self.server.stdout
        print(json.dumps(order), file=self.server.stdin, flush=True)
        ended = select.select([self.server.stdout], [], [], PATIENCE)[0]
        told = " ".join((top / "told.txt").read_text(encoding="utf-8").replace("\\n", " ").split())
        if not ended:
            self.close()
            raise TimeoutError(f"{words} did not end within {PATIENCE} s: {told}")
        return int(self.server.stdout.readline()), told


def play(top: str, words: list[str], environ: dict[str, str], pauses: bool) -> int:
    """In a process of its own, as Ansible keeps what it has read, and leaves by an exception."""
    from ansible.cli.playbook import PlaybookCLI

    if not pauses:
        leave_pauses_out()
    os.chdir(top)
    # PLAY is for a program that is to kill it.
    os.environ.update(environ | {"PLAY": str(os.getpid())})
    with open("told.txt", "ab") as told, open(os.devnull, "rb") as nothing:
        for stream, number in ((nothing, 0), (told, 1), (told, 2)):
            os.dup2(stream.fileno(), number)
    try:
        PlaybookCLI.cli_executor(["ansible-playbook", *words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


class Clock:
    """A `datetime` that goes on by the pauses that were left out."""

    left_out = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + cls.left_out


def pause(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    if seconds < PAUSE:
        return sleep(seconds)
    Clock.left_out += timedelta(seconds=seconds)
    sleep(0.05)


def leave_pauses_out() -> None:
    from ansible.plugins.loader import action_loader

    vars(time)["sleep"] = pause
    waits = action_loader.get("wait_for_connection", class_only=True)
    vars(sys.modules[waits.__module__])["datetime"] = Clock


def begin_session(setsid: Callable[[], None] = os.setsid) -> None:
    """Instead of os.setsid, which each of Ansible's workers calls."""
    setsid()
    stay_nice()


def serve() -> None:
    """Plays what each line of the standard input orders, and answers with the exit code."""
    stay_nice()
    vars(os)["setsid"] = begin_session
    importlib.import_module("ansible.cli.playbook")
    # Else each task imports them, in a process of its own.
    for kind in KINDS:
        package = importlib.import_module(f"ansible.plugins.{kind}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    # The collection's own are compiled at each import: Ansible's loader keeps none of that.
    importlib.import_module("ansible.plugins.loader").init_plugin_loader()
    for kind in ("action", "filter"):
        for path in Path(f"ansible_collections/bosh/ha/plugins/{kind}").resolve().glob("*.py"):
            importlib.import_module(f"ansible_collections.bosh.ha.plugins.{kind}.{path.stem}")
    importlib.import_module("compiled_templates").keep_templates(Path(sys.argv[1]))
    # What is there already is not looked at again, nor copied for it, in the processes that follow.
    gc.freeze()

    for line in sys.stdin:
        order = json.loads(line)
        (Path(order["top"]) / "told.txt").write_text("", encoding="utf-8")
        child = os.fork()
        if not child:
            rc = 70
            try:
                rc = play(**order)
            except Exception:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                # Without the handlers at exit: they would remove what the other plays share.
                os._exit(rc)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
