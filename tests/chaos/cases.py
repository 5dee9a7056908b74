# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong. docs/what-can-go-wrong.md is made of this file (`make chaos-docs`)."""

from __future__ import annotations

from chaos.case import NOBODY, PAIR_AGAIN, ROLLBACK, Break, Case, Chain, Moment, Stops
from chaos.faults import (
    A_BLOB,
    KIT_PASSWORD,
    both_lost,
    cancelled_task,
    change_file,
    clock,
    cpi,
    cut,
    full_staging,
    hanging_task,
    kill_all,
    kill_ansible,
    kill_process,
    lock,
    manifest_without,
    part,
    reboot,
    remove_file,
    second_run,
    terminate,
    unreadable_file,
)
from chaos.lab import ADDRESSES, STATE, Lab, LabError

CONTROL = "The control node"
NETWORK = "The network"
HOSTS = "Hosts and processes"
FILES = "Disks and files"
IAAS = "The IaaS"
TASKS = "BOSH's tasks and locks"
PEOPLE = "People"
BACK = "The way back"

FREEZE = "stop_boshes,sync_store,start_meta"
PAIR = "recreate_primary"
HANDOVER = f"{FREEZE},{PAIR}"
REST = "prove_resurrection,destroy_micro,target_primary"

# Moments. The copy is run three times: twice while all run, and once in the freeze.
COPY = "Copy into the staging directory, which only this copy's key may read"
WARM, DELTA = Moment(COPY, 1), Moment(COPY, 3)
PERMIT = Moment("Let this key read the store, and nothing else")
#: Micro's workers are stopped, and its director still runs.
BETWEEN = Moment("Check that Micro's workers left no task unfinished")
STOP = Moment("Stop all of Micro's processes")
FENCE = Moment("Fence Micro")
SUMS = Moment("Sum up both sides")
SWAP = Moment("Put the copy in place")
START = Moment("Start Meta's processes")
TERMINATE = Moment("Terminate the VM whose agent is still on the old bus")
RECREATE = Moment("Recreate the VM with its disk")
ADOPT = Moment("Point it at Meta's NATS and blobstore")
LOSE = Moment("Terminate it")
WATCH = Moment("Let Meta deploy Primary with the resurrector")


def later(moment: Moment, seconds: float) -> Moment:
    return Moment(moment.task, moment.nth, seconds)


#: Slow enough to be in the middle of it; the copy while all run is the only one with a limit.
SLOWLY = {"sync_store_bandwidth_limit": "1500"}
#: Nobody waits for long here; what counts is that the wait ends.
SOON = {"stop_boshes_wait": 10, "sync_store_timeout": 10, "sync_store_retries": 1}
#: Primary serves its users throughout, and is not made anew.
SERVING = {"bosh_ha_freeze": "minimal", "bosh_ha_handover": "adopt"}
AGAIN = "Start it again: it goes on where it was."
GONE = (
    r"Failed to connect|could not be sent to remote host|[Uu]nreachable|cannot be reached|unclear|did not|does not|"
    r"timed out|No route|neither answers"
)
#: A host that goes away in the middle is told in many ways, each of which is a sentence.
ANYHOW = r"\S"


def the_change_is_at_meta(lab: Lab) -> str:
    """The file that was changed on Micro is the changed one on Meta."""
    said = lab.inside("meta", f"head -c 7 {A_BLOB}")
    return "" if said == "changed" else f"{A_BLOB} at Meta is not the changed one"


def the_file_is_gone(lab: Lab) -> str:
    """The file that was removed on Micro is not on Meta either."""
    there = lab.inside("meta", f"ls {A_BLOB} 2>/dev/null || true").strip()
    return f"{A_BLOB} is at Meta, and Micro has it no more" if there else ""


def micros_workers_run(lab: Lab) -> str:
    """No run left Micro's workers stopped."""
    told = lab.inside("micro", "/var/vcap/bosh/bin/monit summary")
    still = [line for line in told.splitlines() if "'worker_" in line and not line.rstrip().endswith("running")]
    return "" if "'worker_" in told and not still else f"Micro's workers do not run: {still or told}"


def micro_is_fenced(lab: Lab) -> str:
    """No process of a director runs there, after whatever came."""
    try:
        said = lab.inside("micro", "pgrep -l postgres || true").strip()
    except LabError:
        return ""
    return f"PostgreSQL runs on Micro: {said}" if said else ""


KILLED: list[Case | Chain] = [
    Chain(
        "killed-from-nothing",
        group=CONTROL,
        what="The run is killed at any task of steps 1 to 3",
        it="The next run asks hosts and directors for the phase; create-env keeps its own state file.",
        you=AGAIN,
        start="nothing",
        wanted="deployed",
        tags="bootstrap_micro,deploy_primary,deploy_meta",
    ),
    Chain(
        "killed-in-the-freeze",
        group=CONTROL,
        what="The run is killed at any task of steps 4 to 6",
        it=(
            "Everything stays as it is, frozen at worst; the next run goes on. Its key is taken back by it, "
            "however far it was."
        ),
        you=AGAIN,
        start="deployed",
        wanted="meta_active",
        tags=FREEZE,
    ),
    Chain(
        "killed-in-the-handover",
        group=CONTROL,
        what="The run is killed at any task of step 7",
        it="A task that BOSH had begun goes on, and the next run follows it to its end first.",
        you=AGAIN,
        start="meta_active",
        wanted="mutual",
        tags=PAIR,
    ),
    Chain(
        "killed-at-the-end",
        group=CONTROL,
        what="The run is killed at any task of steps 8 to 10",
        it=(
            "A proof that is in the task history is not made again; a Primary or Meta that was just terminated "
            "is resurrected, and waited for."
        ),
        you=AGAIN,
        start="mutual",
        wanted="micro_gone",
        tags=REST,
    ),
    Case(
        "killed-in-warm-copy",
        group=CONTROL,
        what="The control node dies while the store is copied, and all run",
        it="The key stays on Meta and Micro until the next run, which removes both halves first. Nobody is frozen.",
        you=AGAIN,
        start="deployed",
        fault=kill_all(),
        wanted="meta_active",
        moment=later(WARM, 4),
        tags=FREEZE,
        vars=SLOWLY,
    ),
    Case(
        "killed-between-stops",
        group=CONTROL,
        what="The control node dies when Micro's workers are stopped and its director still runs",
        it=(
            "Micro answers, and queues what it is asked for. A note on its host names the workers, and the next run "
            "starts them before anything else."
        ),
        you=AGAIN,
        start="deployed",
        fault=kill_all(),
        wanted="meta_active",
        moment=BETWEEN,
        tags=FREEZE,
    ),
    Case(
        "rollback-between-stops",
        group=CONTROL,
        what="The control node dies when Micro's workers are stopped, and somebody goes back instead of on",
        it="The rollback starts the workers first; nothing else of Micro was stopped.",
        you="`ansible-playbook -i inventories/SITE playbooks/rollback.yml`",
        start="deployed",
        fault=kill_all(),
        wanted="deployed",
        moment=BETWEEN,
        then=ROLLBACK,
        tags=FREEZE,
        also=(micros_workers_run,),
    ),
    Case(
        "killed-in-freeze-copy",
        group=CONTROL,
        what="The control node dies while the difference is copied, in the freeze",
        it="All stay frozen until somebody goes on. Micro is fenced, so that no restart of it writes.",
        you=AGAIN,
        start="deployed",
        fault=kill_all(),
        wanted="meta_active",
        moment=later(DELTA, 0.5),
        tags=FREEZE,
    ),
    Case(
        "killed-in-swap",
        group=CONTROL,
        what="The control node dies while the copy is put in place",
        it="A swap is a row of renames, each of which can be found half done; the next run finishes it.",
        you=AGAIN,
        start="deployed",
        fault=kill_all(),
        wanted="meta_active",
        moment=later(SWAP, 0.7),
        tags=FREEZE,
    ),
    Case(
        "killed-in-deploy",
        group=CONTROL,
        what="The control node dies while Primary is deployed",
        it="The director goes on with its task, and the next run waits for it.",
        you=AGAIN,
        start="only_micro",
        fault=kill_all(),
        wanted="deployed",
        moment=Moment("Deploy bosh-primary", 1, 5),
        tags="deploy_primary,deploy_meta",
    ),
    Case(
        "killed-in-recreation",
        group=CONTROL,
        what="The control node dies while Meta recreates Primary",
        it="Meta goes on; the next run follows the task to its end.",
        you=AGAIN,
        start="meta_active",
        fault=kill_all(),
        wanted="mutual",
        moment=later(RECREATE, 4),
        tags=PAIR,
    ),
    Case(
        "awx-job-killed",
        group=CONTROL,
        what="A job of AWX is cancelled or times out while the difference is copied: SIGKILL to its whole container",
        it=(
            "The next job watches the lock of the dead one for hold_run_lock_lease seconds (60), takes it over, "
            "and goes on."
        ),
        you="Launch the job again.",
        start="deployed",
        fault=kill_all(),
        wanted="meta_active",
        moment=later(DELTA, 0.5),
        tags=FREEZE,
        awx=True,
    ),
    Case(
        "ansible-alone-killed",
        group=CONTROL,
        what="Only ansible-playbook is killed, in the middle of the copy, and what it started goes on",
        it=(
            "The next run waits for a copy that still goes on, or takes its place; a second writer into the same "
            "copy is refused."
        ),
        you="Start it again. If it says that another copy has not ended: wait a moment, then again.",
        start="deployed",
        fault=kill_ansible(),
        wanted="meta_active",
        moment=later(WARM, 3),
        tags=FREEZE,
        vars=SLOWLY,
    ),
]

NETWORKS: list[Case | Chain] = [
    Case(
        "copy-cut-short",
        group=NETWORK,
        what="Meta and Micro do not reach each other for some seconds, in the copy",
        it="The copy waits, tries again and goes on where it was.",
        you="Nothing.",
        start="deployed",
        fault=part("micro", "meta", 15),
        wanted="meta_active",
        moment=later(WARM, 3),
        tags=FREEZE,
        vars={**SLOWLY, "sync_store_timeout": 10},
    ),
    Case(
        "copy-cut",
        group=NETWORK,
        what="Meta and Micro do not reach each other any more, in the freeze",
        it=(
            "It stops after sync_store_retries attempts and says that the copy broke off. Micro is as it was, "
            "all are frozen."
        ),
        you="Mend the network and start it again, or go back with playbooks/rollback.yml.",
        start="deployed",
        fault=part("micro", "meta"),
        wanted="meta_active",
        moment=DELTA,
        first=Stops("rsync of .* ended with|did not answer|broke off"),
        tags=FREEZE,
        vars=SOON,
    ),
    Case(
        "copy-cut-and-back",
        group=NETWORK,
        what="The same, and you would rather have Micro again",
        it="The rollback opens Micro, starts all three and switches resurrection on.",
        you="`ansible-playbook -i inventories/SITE playbooks/rollback.yml`",
        start="deployed",
        fault=part("micro", "meta"),
        wanted="deployed",
        moment=DELTA,
        first=Stops("rsync of .* ended with|did not answer|broke off"),
        then=ROLLBACK,
        tags=FREEZE,
        vars=SOON,
    ),
    *[
        Case(
            f"{name}-cut-off",
            group=NETWORK,
            what=f"{name.capitalize()} is cut off from the control node in the freeze",
            it=(
                "It stops and says whom it does not reach; nothing is done in the belief that the host is as it "
                "should be."
            ),
            you="Mend the network and start it again.",
            start="deployed",
            fault=cut(name),
            wanted="meta_active",
            moment=moment,
            first=Stops(GONE),
            tags=FREEZE,
        )
        for name, moment in (("micro", FENCE), ("primary", Moment("Tell monit to stop the processes")), ("meta", SWAP))
    ],
    Case(
        "meta-cut-off-later",
        group=NETWORK,
        what="Meta is cut off from the control node while it takes Primary over",
        it=(
            "It says that Meta does not answer, and stops when the connection is given up, or after "
            "bosh_ha_cli_options.timeout seconds. Meta goes on with its task."
        ),
        you="Mend the network and start it again.",
        start="meta_active",
        fault=cut("meta"),
        wanted="mutual",
        moment=later(RECREATE, 3),
        first=Stops(GONE + "|answer|there was no end"),
        tags=PAIR,
        vars={"bosh_ha_cli_options": {"timeout": 90}},
    ),
]

#: (step, its moment, tags, snapshot, the phase that is wanted): the moments at which each host is rebooted.
STEPS = (
    ("before the freeze, in the copy", "warm", later(WARM, 4), FREEZE, "deployed", "meta_active"),
    ("right after the stop", "stopped", FENCE, FREEZE, "deployed", "meta_active"),
    ("while the difference is copied", "copied", later(DELTA, 0.5), FREEZE, "deployed", "meta_active"),
    ("while the copy is put in place", "swapped", SWAP, FREEZE, "deployed", "meta_active"),
    ("while Meta starts", "started", later(START, 2), FREEZE, "deployed", "meta_active"),
    ("while Meta recreates Primary", "recreated", later(RECREATE, 2), PAIR, "meta_active", "mutual"),
    ("while each is deployed by the other", "watched", later(WATCH, 8), PAIR, "meta_active", "mutual"),
    ("while Primary's resurrection is proved", "proved", later(LOSE, 5), REST, "mutual", "micro_gone"),
)

#: A director that goes down while the IaaS makes a VM never hears of it.
NOBODY_S_VM = "has no VM for it, so who answers at"
CUT_OFF = "If it says that a VM is one of which Meta knows nothing, terminate that one first."

REBOOTS: list[Case | Chain] = [
    Case(
        f"{name}-reboots-{short}",
        group=HOSTS,
        what=f"{name.capitalize()}'s VM restarts {when}",
        it=(
            "The same run ends well where nobody needs the host then; else it stops and says who is away. "
            "Micro, once fenced, comes up without a director."
        ),
        you=(
            "Wait until the host is there, and start it again."
            + (f" {CUT_OFF}" if (name, short) == ("meta", "recreated") else "")
        ),
        start=start,
        fault=reboot(name),
        wanted=wanted,
        moment=moment,
        first=Stops(ANYHOW, may_end=True),
        asked=((NOBODY_S_VM, terminate("primary")),),
        tags=tags,
        vars=SLOWLY if short == "warm" else {},
        also=(micro_is_fenced,),
        sample=(name, short) == ("micro", "started"),
    )
    for name in ("micro", "primary", "meta")
    for when, short, moment, tags, start, wanted in STEPS
]

PROCESSES: list[Case | Chain] = [
    Case(
        "micro-reboots-fenced",
        group=HOSTS,
        what="Micro's VM restarts once Meta runs on its data",
        it="Nothing of a director starts there: its data and monit's job files are fenced.",
        you="Nothing. Do not open the fence by hand.",
        start="meta_active",
        fault=reboot("micro"),
        wanted="mutual",
        moment=Moment("Ask whether Meta has Primary"),
        tags=PAIR,
        also=(micro_is_fenced,),
    ),
    Case(
        "micro-reboots-between-stops",
        group=HOSTS,
        what="Micro's VM restarts when its workers are stopped and its director still runs",
        it="The run starts the workers again, or the next one does.",
        you=AGAIN,
        start="deployed",
        fault=reboot("micro"),
        wanted="meta_active",
        moment=BETWEEN,
        first=Stops(ANYHOW, may_end=True),
        tags=FREEZE,
    ),
    Case(
        "micro-postgres-killed-stop",
        group=HOSTS,
        what="postgres of Micro is killed in its stop",
        it="It stops and says so: a database that was not shut down is not put in place. Micro is fenced.",
        you=(
            "`ansible-playbook -i inventories/SITE playbooks/rollback.yml`: Micro's PostgreSQL recovers as it starts. "
            "Look at its log, and start the migration again."
        ),
        start="deployed",
        fault=kill_process("micro", "postgres"),
        wanted="deployed",
        moment=later(STOP, 0.4),
        first=Stops("PostgreSQL was not shut down", may_end=True),
        then=ROLLBACK,
        tags=FREEZE,
    ),
    *[
        Case(
            f"{name}-{process}-killed-{when.split()[-1]}",
            group=HOSTS,
            what=f"{process} of {name.capitalize()} is killed {when}",
            it=(
                "monit brings a process back; what could not be asked for is said, and a database that was not shut "
                "down is never taken over."
            ),
            you="Start it again.",
            start=start,
            fault=kill_process(name, process),
            wanted=wanted,
            moment=moment,
            first=Stops(ANYHOW, may_end=True),
            tags=tags,
            vars=more,
        )
        for name, process, when, start, moment, tags, wanted, more in (
            (
                "micro",
                "postgres",
                "while the store is copied",
                "deployed",
                later(WARM, 3),
                FREEZE,
                "meta_active",
                SLOWLY,
            ),
            (
                "micro",
                "director",
                "while the store is copied",
                "deployed",
                later(WARM, 3),
                FREEZE,
                "meta_active",
                SLOWLY,
            ),
            ("micro", "monit", "right before the stop", "deployed", STOP, FREEZE, "meta_active", {}),
            ("meta", "postgres", "in its start", "deployed", later(START, 5), FREEZE, "meta_active", {}),
            ("meta", "director", "while it recreates Primary", "meta_active", later(RECREATE, 3), PAIR, "mutual", {}),
            ("primary", "monit", "before it is terminated", "meta_active", TERMINATE, PAIR, "mutual", {}),
        )
    ],
]

DISKS: list[Case | Chain] = [
    Case(
        "disk-full",
        group=FILES,
        what="Meta's disk fills up in the copy",
        it=(
            "It stops and says that there is no room left. Where it is too small from the beginning, the look for "
            "room says so before anybody is frozen."
        ),
        you="Make room on Meta, or deploy it with a larger disk, and start it again.",
        start="deployed",
        fault=full_staging(),
        wanted="meta_active",
        moment=Moment(COPY, 1),
        first=Stops("no room left"),
        tags=FREEZE,
    ),
    Case(
        "file-changed",
        group=FILES,
        what="A file changes on Micro after the first pass, with the same size and time",
        it="The checksums of both sides differ, and it is copied again by checksums.",
        you="Nothing.",
        start="deployed",
        fault=change_file(),
        wanted="meta_active",
        moment=STOP,
        tags=FREEZE,
        also=(the_change_is_at_meta,),
    ),
    Case(
        "file-removed",
        group=FILES,
        what="A file goes on Micro between the passes",
        it="It goes on Meta, too.",
        you="Nothing.",
        start="deployed",
        fault=remove_file(),
        wanted="meta_active",
        moment=STOP,
        tags=FREEZE,
        also=(the_file_is_gone,),
    ),
    Case(
        "file-unreadable",
        group=FILES,
        what="A file on Micro cannot be read",
        it="It stops and names the file. A copy without it is not taken.",
        you="Mend the disk or remove the file, and start it again.",
        start="deployed",
        fault=unreadable_file(),
        wanted="meta_active",
        moment=WARM,
        first=Stops("unreadable"),
        tags=FREEZE,
    ),
    Case(
        "clock-off",
        group=FILES,
        what="A host's clock is an hour off",
        it="The preflight says so before anything is touched.",
        you="Set the clock, and start it again.",
        start="deployed",
        fault=clock("meta", 3600),
        wanted="meta_active",
        moment=None,
        first=Stops("preflight found .*clock"),
        tags=FREEZE,
    ),
]

IAAS_FAILS: list[Case | Chain] = [
    *[
        Case(
            f"{method.replace('_', '-')}-fails-{often}",
            group=IAAS,
            what=f"The IaaS fails at `{method}` {often}, while Meta takes Primary over",
            it="BOSH tries again or fails its task; then it stops with the task's own words. Primary's disk is kept.",
            you="Mend what the IaaS says, and start it again: cloud check makes the VM anew, with its disk.",
            start="meta_active",
            fault=cpi(method, times),
            wanted="mutual",
            moment=TERMINATE,
            first=Stops("injected|task|VM", may_end=times > 0),
            tags=PAIR,
        )
        for method in ("create_vm", "delete_vm", "attach_disk")
        for often, times in (("once", 1), ("twice", 2), ("always", -1))
    ],
    Case(
        "first-vm-fails",
        group=IAAS,
        what="The IaaS fails at `create_vm` in step 1",
        it="It stops with the CPI's own words. create-env's state file is kept.",
        you="Mend what the IaaS says, and start it again.",
        start="nothing",
        fault=cpi("create_vm", 1),
        wanted="only_micro",
        moment=None,
        first=Stops("injected"),
        tags="bootstrap_micro",
    ),
    *[
        Case(
            f"deploy-vm-fails-{name}",
            group=IAAS,
            what=f"The IaaS fails at `create_vm` while {name.capitalize()} is deployed",
            it="The deploy's task fails, and it stops with the task's own words.",
            you="Mend what the IaaS says, and start it again.",
            start="only_micro",
            fault=cpi("create_vm", 1),
            wanted="deployed",
            moment=Moment(f"Deploy bosh-{name}"),
            first=Stops("injected"),
            tags="deploy_primary,deploy_meta",
        )
        for name in ("primary", "meta")
    ],
    Case(
        "resurrection-fails-once",
        group=IAAS,
        what="The IaaS fails at `create_vm` while the one resurrects the other",
        it="Its health monitor tries again at its next scan, and that is waited for; a scan that failed is no proof.",
        you="If it stops: look at `bosh tasks --recent`, and start it again.",
        start="mutual",
        fault=cpi("create_vm", 1),
        wanted="micro_gone",
        moment=LOSE,
        first=Stops("scan and fix|resurrect", may_end=True),
        tags=REST,
    ),
]

SERVED: list[Case | Chain] = [
    Case(
        "killed-in-adoption",
        group=CONTROL,
        what="The control node dies while Primary's agent is moved to Meta's bus",
        it="The agent is asked which bus it obeys; the next run goes on from there. Primary is not made anew.",
        you=AGAIN,
        start="deployed",
        fault=kill_all(),
        wanted="mutual",
        moment=later(ADOPT, 1),
        tags=HANDOVER,
        vars=SERVING,
        vars_then=SERVING,
    ),
    Case(
        "back-from-adoption",
        group=BACK,
        what="You want Micro back, and Primary's agent is on Meta's bus already",
        it="The agent is moved back to Micro's bus; Primary is not made anew.",
        you="`ansible-playbook -i inventories/SITE playbooks/rollback.yml -e plan_rollback_lose_tasks=true`",
        start="deployed",
        fault=kill_all(),
        wanted="deployed",
        moment=Moment("Let Meta look for problems"),
        then=ROLLBACK,
        tags=HANDOVER,
        vars=SERVING,
        vars_then={"plan_rollback_lose_tasks": True},
    ),
    *[
        Case(
            f"{name}-reboots-adopted",
            group=HOSTS,
            what=f"{name.capitalize()}'s VM restarts while Primary's agent is moved to Meta's bus",
            it="It is waited for, or Primary is recreated by Meta instead, which is said aloud.",
            you="Wait until the host is there, and start it again.",
            start="deployed",
            fault=reboot(name),
            wanted="mutual",
            moment=ADOPT,
            first=Stops(ANYHOW, may_end=True),
            tags=HANDOVER,
            vars=SERVING,
            vars_then=SERVING,
        )
        for name in ("primary", "meta")
    ],
    Case(
        "primary-works-in-the-freeze",
        group=TASKS,
        what="Primary goes on serving (bosh_ha_freeze is minimal), and works for its users when the freeze begins",
        it="Only what it does with Meta's own deployment is waited for.",
        you="Nothing.",
        start="deployed",
        fault=lock("primary", "cf", 60),
        wanted="meta_active",
        moment=Moment("Switch resurrection off"),
        tags=FREEZE,
        vars={**SERVING, **SOON},
    ),
]

TASKS_FAIL: list[Case | Chain] = [
    Case(
        "task-cancelled",
        group=TASKS,
        what="Somebody cancels the recreation of Primary",
        it="It stops and says that the task was cancelled.",
        you=AGAIN,
        start="meta_active",
        fault=cancelled_task("apply resolutions", "meta"),
        wanted="mutual",
        moment=RECREATE,
        first=Stops("cancel"),
        tags=PAIR,
    ),
    Case(
        "deploy-cancelled",
        group=TASKS,
        what="Somebody cancels Meta's deploy of Primary, after the freeze",
        it="It stops and says that the task was cancelled. Meta and Primary go on as the pair that they are.",
        you=AGAIN,
        start="meta_active",
        fault=cancelled_task("create deployment", "meta"),
        wanted="mutual",
        moment=WATCH,
        first=Stops("cancel"),
        tags=PAIR,
    ),
    Case(
        "deploy-refused",
        group=TASKS,
        what="A manifest was changed, and what step 7 will deploy cannot be rendered",
        it="It stops before the freeze, with the words of BOSH's dry run. Nobody is stopped.",
        you="Mend the manifest, and start it again.",
        start="deployed",
        fault=manifest_without("primary", f"address: {ADDRESSES['primary']}"),
        wanted="deployed",
        first=Stops(r"Can't find property 'nats\.address'"),
        then=NOBODY,
        tags=HANDOVER,
    ),
    Case(
        "task-never-ends",
        group=TASKS,
        what="The recreation of Primary never ends",
        it=(
            "With bosh_ha_cli_options.timeout it stops after so many seconds and says that the task goes on; "
            "without it, it waits, and shows the task's last line."
        ),
        you="Look at `bosh tasks`, cancel the one that hangs, and start it again.",
        start="meta_active",
        fault=hanging_task("apply resolutions", "meta"),
        wanted="mutual",
        moment=RECREATE,
        first=Stops("timeout"),
        tags=PAIR,
        vars={"bosh_ha_cli_options": {"timeout": 60}},
    ),
    Case(
        "lock-for-a-while",
        group=TASKS,
        what="A colleague's task holds a lock when the freeze begins",
        it="It waits, stop_boshes_wait seconds at most.",
        you="Nothing.",
        start="deployed",
        fault=lock("micro", "bosh-primary", 40),
        wanted="meta_active",
        moment=Moment("Switch resurrection off"),
        tags=FREEZE,
    ),
    Case(
        "lock-for-long",
        group=TASKS,
        what="The lock is held longer than that",
        it="It stops and says which lock. Nobody was stopped.",
        you="Wait for the colleague, and start it again.",
        start="deployed",
        fault=lock("micro", "bosh-primary", 900),
        wanted="meta_active",
        moment=None,
        first=Stops("is busy.*lock on"),
        tags=FREEZE,
        vars=SOON,
    ),
]

OTHERS: list[Case | Chain] = [
    Case(
        "two-runs",
        group=PEOPLE,
        what="Two start it at the same time",
        it="The second one is refused, with the process of the first; the first ends well.",
        you="Wait for the first.",
        start="deployed",
        fault=second_run("another run .* works on this pair"),
        wanted="meta_active",
        moment=WARM,
        tags=FREEZE,
        then=NOBODY,
        vars={"sync_store_bandwidth_limit": "800"},
    ),
]

ROLLBACKS: list[Case | Chain] = [
    *[
        Case(
            f"back-from-{short}",
            group=BACK,
            what=f"You want Micro back, {when}",
            it=(
                "The rollback says what it will do, stops Meta, puts its own store back, opens Micro, starts it, and "
                "has Primary under it again."
            ),
            you="`ansible-playbook -i inventories/SITE playbooks/rollback.yml`",
            start="deployed",
            fault=kill_all(),
            wanted="deployed",
            moment=moment,
            then=ROLLBACK,
            tags=FREEZE,
            sample=short == "swap",
            # The one of `make test` is two jobs of AWX, too.
            awx=short == "swap",
            vars={"hold_run_lock_lease": "15"} if short == "swap" else {},
        )
        for when, short, moment in (
            ("as the freeze has just begun", "stopped", FENCE),
            ("while the copy is put in place", "swap", later(SWAP, 0.7)),
            ("while Meta starts on Micro's data", "started", later(START, 4)),
        )
    ],
    Case(
        "back-from-recreation",
        group=BACK,
        what="You want Micro back when Meta has recreated Primary already",
        it="It refuses, as Micro would not know of Meta's tasks, until it is told so.",
        you="The same, with `-e plan_rollback_lose_tasks=true`",
        start="meta_active",
        fault=kill_all(),
        wanted="deployed",
        moment=later(WATCH, 0),
        then=ROLLBACK,
        tags=PAIR,
        vars_then={"plan_rollback_lose_tasks": True},
    ),
    Chain(
        "rollback-killed",
        group=BACK,
        what="The rollback is killed at any of its tasks",
        it="It is found out again how far it is; never do both have Micro's data where processes start on them.",
        you="Start the rollback again.",
        start="meta_active",
        wanted="deployed",
        playbook="rollback.yml",
        vars={"plan_rollback_lose_tasks": True},
    ),
    Case(
        "both-lost",
        group=BACK,
        what="Both directors' VMs are gone at once, and their disks are there",
        it=(
            "`rebuild_micro` makes a VM on Primary's disk from the kit, and knows it by its UUID; `pair_again` has it "
            "bring Meta back, and hands Primary over to Meta."
        ),
        you="See [both lost](both-lost.md).",
        start="mutual",
        fault=both_lost(),
        wanted="mutual",
        playbook="rebuild_micro.yml",
        then=PAIR_AGAIN,
        vars={
            "rebuild_micro_kit": f"{STATE}/workspace/bosh_ha/kit.vault",
            "rebuild_micro_dir": f"{STATE}/both-lost",
            "rebuild_micro_password": KIT_PASSWORD,
            "rebuild_micro_go": True,
        },
        vars_then={"pair_again_dir": f"{STATE}/both-lost"},
    ),
]

CASES: list[Case | Chain] = [
    *KILLED,
    *NETWORKS,
    *PROCESSES,
    *REBOOTS,
    *DISKS,
    *IAAS_FAILS,
    *TASKS_FAIL,
    *OTHERS,
    *SERVED,
    *ROLLBACKS,
]

BREAKS = (
    Break(
        "key",
        "two-runs",
        "a key of ours",
        (("roles/permit_root_rsync/tasks/close.yml", "  when: not ansible_check_mode\n", "  when: false\n"),),
    ),
    Break(
        "fence",
        "micro-reboots-started",
        "PostgreSQL ran on the same data|both answered",
        (
            ("roles/sync_store/tasks/copy.yml", "- name: Fence Micro\n", "- name: Fence Micro\n  when: false\n"),
            # Then all is read from where it is.
            ("roles/sync_store/vars/main.yml", "{{ _sync_store_open }}bosh_ha_fenced/", "{{ _sync_store_open }}"),
            ("roles/sync_store/tasks/sums.yml", "{{ sync_store_store }}/bosh_ha_fenced", "{{ sync_store_store }}"),
        ),
    ),
    Break(
        "run-lock",
        "two-runs",
        "a second run was let in|stopped with",
        # Each run has a lock of its own then.
        (("roles/hold_run_lock/tasks/main.yml", '/run.lock"\n', '/run.lock.{{ 999999 | random }}"\n'),),
    ),
    Break(
        "proof",
        "file-changed",
        "is not the changed one",
        (
            (
                "roles/sync_store/vars/main.yml",
                "{{ _sync_store_sums.results | map(attribute='digest') | unique | length == 1 }}",
                "{{ true }}",
            ),
        ),
    ),
)
