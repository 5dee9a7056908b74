# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances and their VMs: made, updated, recreated, removed.

The order of the steps is BOSH's (bosh-director deployment_plan/instance_updater, vm_creator, problem_handlers).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from boshlab.agent import HEARTBEAT
from boshlab.director import templates
from boshlab.director.clients import AgentError, AgentTimeout, agent_certificate, fingerprints
from boshlab.director.db import Instance, OrphanDisk, PersistentDisk, Stemcell, Vm
from boshlab.director.tasks import Context, Failure

#: Seconds that a new VM's agent has to answer.
NEW_AGENT_TIMEOUT = 120
#: Seconds after which an agent with another bus or blobstore has begun to start again: it looks with each heartbeat.
RESTART_PAUSE = 2 * HEARTBEAT


def create_vm(context: Context, instance: Instance) -> Vm:
    """Make a VM for an instance, with its disk, and wait for its agent. The spec must be in `spec_json` already."""
    spec = instance.spec_json
    stemcell = context.session.query(Stemcell).filter_by(**spec["stemcell"]).first()
    if stemcell is None:
        raise Failure(f"Stemcell '{spec['stemcell']['name']}/{spec['stemcell']['version']}' doesn't exist", 50003)
    agent_id = str(uuid.uuid4())
    env = {
        "bosh": {
            **context.config["agent_env"],
            "mbus": {**context.config["agent_env"].get("mbus", {}), "cert": agent_certificate(agent_id)},
            "blobstores": [context.blobstore.for_agents()],
            "group": f"{context.config['name']}-{instance.deployment.name}-{instance.job}",
        }
    }
    disks = [instance.disk.disk_cid] if instance.disk else []
    cid, _networks = context.cpi.call(
        "create_vm", agent_id, stemcell.cid, spec["cloud_properties"], spec["networks"], disks, env
    )
    for old in instance.vms:
        old.active = False
    vm = Vm(cid=cid, agent_id=agent_id, active=True, instance_id=instance.id, **fingerprints(context.config))
    instance.vms.append(vm)
    context.session.commit()
    context.record("create", "vm", cid, instance.deployment.name)
    metadata = {
        "director": context.config["name"],
        "deployment": instance.deployment.name,
        "job": instance.job,
        "id": instance.uuid,
    }
    context.cpi.call("set_vm_metadata", cid, metadata)
    context.agents.wait_until_ready(agent_id, NEW_AGENT_TIMEOUT)
    if instance.disk:
        attach_disk(context, vm, instance.disk)
    return vm


def attach_disk(context: Context, vm: Vm, disk: PersistentDisk) -> None:
    hint = context.cpi.call("attach_disk", vm.cid, disk.disk_cid)
    context.agents.ask(vm.agent_id, "add_persistent_disk", disk.disk_cid, hint)
    context.agents.ask(vm.agent_id, "mount_disk", disk.disk_cid)


def ensure_disk(context: Context, instance: Instance, size: int) -> None:
    """A persistent disk of its own for an instance that has none yet."""
    if not size or instance.disk or not instance.vm:
        return
    cid = context.cpi.call("create_disk", size, {}, instance.vm.cid)
    disk = PersistentDisk(disk_cid=cid, size=size, active=True, instance_id=instance.id)
    instance.disks.append(disk)
    context.session.commit()
    context.record("create", "disk", cid, instance.deployment.name)
    attach_disk(context, instance.vm, disk)


def start_jobs(
    context: Context, instance: Instance, progress: Callable[[int, str], None], watch_seconds: float = 120
) -> None:
    """Apply the spec and start: from installing packages to post-start."""
    agent = _agent_of(instance)
    ask = context.agents.ask
    progress(50, "installing packages")
    templates.persist(context, instance, agent)
    ask(agent, "prepare", instance.spec_json["apply"])
    update_settings(context, instance)
    progress(60, "configuring jobs")
    ask(agent, "apply", instance.spec_json["apply"])
    progress(70, "executing pre-start")
    ask(agent, "run_script", "pre-start", {})
    progress(90, "starting jobs")
    ask(agent, "start")
    wait_until_running(context, instance, watch_seconds)
    progress(100, "executing post-start")
    ask(agent, "run_script", "post-start", {})
    templates.clean(context, instance)


def changed_settings(context: Context, instance: Instance) -> set[str]:
    """Which of `blobstores` and `mbus` the agent has not from this director: a copied database tells of another one."""
    if instance.vm is None:
        return set()
    now = fingerprints(context.config)
    names = {"blobstore_config_sha1": "blobstores", "nats_config_sha1": "mbus"}
    return {names[column] for column, value in now.items() if getattr(instance.vm, column) != value}


def update_settings(context: Context, instance: Instance) -> None:
    """Tell the agent of what changed, as BOSH after `prepare` and before `apply` (deployment_plan/instance.rb)."""
    agent, changed = _agent_of(instance), changed_settings(context, instance)
    settings: dict[str, Any] = {"trusted_certs": "", "disk_associations": []}
    if "blobstores" in changed:
        settings["blobstores"] = [context.blobstore.for_agents()]
    if "mbus" in changed:
        # A certificate without URLs, by which the agent forgets those that it had.
        settings["mbus"] = {"cert": agent_certificate(agent)}
    if not changed:
        context.agents.ask(agent, "update_settings", settings)
        return
    try:
        context.agents.ask(agent, "update_settings", settings, timeout=10)
        told = True
    except (AgentTimeout, AgentError) as error:
        # One that was quicker to start again than the director to ask knows nothing of the task any more.
        context.debug(str(error))
        told = False
    time.sleep(RESTART_PAUSE)
    context.agents.wait_until_ready(agent, NEW_AGENT_TIMEOUT)
    if not told:
        context.agents.ask(agent, "update_settings", settings)
    for column, value in fingerprints(context.config).items():
        setattr(instance.vm, column, value)
    context.session.commit()


def stop_jobs(context: Context, instance: Instance, progress: Callable[[int, str], None]) -> None:
    agent = _agent_of(instance)
    ask = context.agents.ask
    progress(5, "executing pre-stop")
    ask(agent, "run_script", "pre-stop", {})
    progress(10, "executing drain")
    ask(agent, "drain", "shutdown", {})
    progress(30, "stopping jobs")
    ask(agent, "stop", timeout=300)
    progress(40, "executing post-stop")
    ask(agent, "run_script", "post-stop", {})


def wait_until_running(context: Context, instance: Instance, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        state = "unknown"
        try:
            state = context.agents.ask(_agent_of(instance), "get_state", timeout=10)["job_state"]
        except (AgentTimeout, AgentError) as error:
            context.debug(str(error))
        if state == "running":
            return
        if time.monotonic() > until:
            raise Failure(f"'{instance}' is not running after update. Review logs for failed jobs: {state}", 400007)
        time.sleep(1)


def recreate_vm(context: Context, instance: Instance) -> None:
    """Recreate a lost VM from what was last applied, and wait for its processes (problem_handlers/base.rb)."""
    delete_vms(context, instance)
    create_vm(context, instance)
    start_jobs(context, instance, lambda _percent, _status: None)


def delete_vms(context: Context, instance: Instance) -> None:
    """Delete every VM that an instance has; a gone one is no error. Disks stay."""
    for vm in list(instance.vms):
        if context.cpi.call("has_vm", vm.cid):
            if instance.disk:
                detach_quietly(context, vm, instance.disk)
            context.cpi.call("delete_vm", vm.cid)
            context.record("delete", "vm", vm.cid, instance.deployment.name)
        instance.vms.remove(vm)
        context.session.delete(vm)
    context.session.commit()


def detach_quietly(context: Context, vm: Vm, disk: PersistentDisk) -> None:
    try:
        context.agents.ask(vm.agent_id, "unmount_disk", disk.disk_cid, timeout=5)
    except (AgentTimeout, AgentError) as error:
        # The agent is lost or still holds the disk: the VM goes anyway, and its disk comes free.
        context.debug(str(error))


def remove(context: Context, instance: Instance) -> None:
    """Delete an instance; its disk becomes an orphan."""
    delete_vms(context, instance)
    for disk in list(instance.disks):
        context.session.add(
            OrphanDisk(
                disk_cid=disk.disk_cid,
                size=disk.size,
                availability_zone=instance.availability_zone,
                deployment_name=instance.deployment.name,
                instance_name=f"{instance.job}/{instance.uuid}",
            )
        )
        instance.disks.remove(disk)
        context.session.delete(disk)
    templates.clean(context, instance, keep=0)
    context.session.delete(instance)
    context.session.commit()


def _agent_of(instance: Instance) -> str:
    if instance.vm is None:
        raise Failure(f"'{instance}' has no VM", 400007)
    return instance.vm.agent_id
