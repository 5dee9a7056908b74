# SPDX-License-Identifier: GPL-3.0-or-later

"""What workers do: one function for each kind of task. Stages and texts are BOSH's (recorded from the real one)."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from boshlab.director import instances, plan
from boshlab.director.clients import AgentError, AgentTimeout
from boshlab.director.db import (
    Deployment,
    DeploymentProblem,
    Instance,
    OrphanDisk,
    PersistentDisk,
    Release,
    ReleaseVersion,
    Stemcell,
    Template,
    Vm,
    attribute,
)
from boshlab.director.tasks import Context, Failure, TaskCancelled
from boshlab.render import read_tgz

#: Plans by resolution, and which resolutions a type of problem has, the default first marked (problem_handlers/*.rb).
PLANS = {
    "ignore": "Skip for now",
    "reboot_vm": "Reboot VM",
    "recreate_vm": "Recreate VM and wait for processes to start",
    "recreate_vm_without_wait": "Recreate VM without waiting for processes to start",
    "delete_vm": "Delete VM",
    "delete_vm_reference": "Delete VM reference",
    "delete_disk_reference": "Delete disk reference (DANGEROUS!)",
}
RESOLUTIONS = {
    "missing_vm": ("ignore", "recreate_vm_without_wait", "recreate_vm", "delete_vm_reference"),
    "unresponsive_agent": (
        "ignore",
        "reboot_vm",
        "recreate_vm_without_wait",
        "recreate_vm",
        "delete_vm",
        "delete_vm_reference",
    ),
    "missing_disk": ("ignore", "delete_disk_reference"),
}
#: States of an instance that shall have a VM; the lab has no errands (models/instance.rb, expects_vm?).
EXPECTING_VM = ("started", "stopped")
AUTO = {"missing_vm": "recreate_vm", "unresponsive_agent": "ignore", "missing_disk": "ignore"}


def deployment_named(context: Context, name: str) -> Deployment:
    found = context.session.scalars(sa.select(Deployment).where(Deployment.name == name)).first()
    if found is None:
        raise Failure(f"Deployment '{name}' doesn't exist", 70000)
    return found


def instances_of(context: Context, deployment: Deployment) -> list[Instance]:
    query = sa.select(Instance).where(Instance.deployment_id == deployment.id).order_by(Instance.job, Instance.index)
    return list(context.session.scalars(query))


# Stemcells and releases


def update_stemcell(context: Context, path: str) -> str:
    try:
        files = read_tgz(Path(path).read_bytes())
        manifest = yaml.safe_load(files["stemcell.MF"])
        name, version = str(manifest["name"]), str(manifest["version"])
        known = context.session.scalars(
            sa.select(Stemcell).where(Stemcell.name == name, Stemcell.version == version)
        ).first()
        with context.step("Update stemcell", f"Uploading stemcell {name}/{version} to the cloud"):
            if known is None:
                with tempfile.NamedTemporaryFile() as image:
                    image.write(files["image"])
                    image.flush()
                    cid = context.cpi.call("create_stemcell", image.name, manifest["cloud_properties"])
                context.session.add(
                    Stemcell(name=name, version=version, cid=cid, operating_system=manifest["operating_system"])
                )
                context.session.commit()
    finally:
        Path(path).unlink(missing_ok=True)
    return f"/stemcells/{name}/{version}"


def delete_stemcell(context: Context, name: str, version: str) -> str:
    known = context.session.scalars(
        sa.select(Stemcell).where(Stemcell.name == name, Stemcell.version == version)
    ).first()
    if known is None:
        raise Failure(f"Stemcell '{name}/{version}' doesn't exist", 50003)
    used = [
        deployment.name
        for deployment in context.session.scalars(sa.select(Deployment))
        if f"{name}/{version}" in deployment.stemcells
    ]
    if used:
        raise Failure(f"Stemcell '{name}/{version}' is still in use by: {', '.join(used)}", 50004)
    with context.step("Deleting stemcell from cloud", f"{name}/{version}"):
        context.cpi.call("delete_stemcell", known.cid)
        context.session.delete(known)
        context.session.commit()
    return f"/stemcells/{name}/{version}"


def update_release(context: Context, path: str) -> str:
    try:
        files = read_tgz(Path(path).read_bytes())
    finally:
        Path(path).unlink(missing_ok=True)
    with context.step("Extracting release", "Extracting release"):
        manifest = yaml.safe_load(files["release.MF"])
    name, version = str(manifest["name"]), str(manifest["version"])
    with context.lock("release", name), context.step("Processing jobs", "Processing jobs"):
        release = context.session.scalars(sa.select(Release).where(Release.name == name)).first() or Release(name=name)
        context.session.add(release)
        context.session.flush()
        query = sa.select(ReleaseVersion).where(
            ReleaseVersion.release_id == release.id, ReleaseVersion.version == version
        )
        if context.session.scalars(query).first() is None:
            row = ReleaseVersion(
                version=version,
                release_id=release.id,
                commit_hash=manifest.get("commit_hash", "unknown"),
                uncommitted_changes=bool(manifest.get("uncommitted_changes")),
            )
            context.session.add(row)
            context.session.flush()
            for job in manifest["jobs"]:
                data = files[f"jobs/{job['name']}.tgz"]
                template = Template(name=job["name"], version=job["version"], release_version_id=row.id)
                template.blobstore_id = context.blobstore.put(data)
                template.sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
                context.session.add(template)
        context.session.commit()
    return f"Created release '{name}/{version}'"


def delete_release(context: Context, name: str, version: str | None = None) -> str:
    release = context.session.scalars(sa.select(Release).where(Release.name == name)).first()
    if release is None:
        raise Failure(f"Release '{name}' doesn't exist", 30005)
    for row in context.session.scalars(sa.select(ReleaseVersion).where(ReleaseVersion.release_id == release.id)):
        if version in (None, row.version):
            for template in context.session.scalars(sa.select(Template).where(Template.release_version_id == row.id)):
                context.blobstore.delete(template.blobstore_id)
                context.session.delete(template)
            context.session.delete(row)
    context.session.commit()
    return f"/release/{name}"


# Deployments


def update_deployment(
    context: Context, manifest: str, dry_run: bool = False, recreate: bool = False, **_ignored: Any
) -> str:
    """A dry run does all that a deploy does before it compiles: it asks the agents, and renders every template.

    It also leaves the name of a new deployment. Source: bosh v283.1.6 src/bosh-director/lib/bosh/director
    jobs/update_deployment.rb (perform, deploy), api/controllers/deployments_controller.rb (find_or_create_by_name).
    """
    data = yaml.safe_load(manifest)
    name = data["name"]
    with context.lock("deployment", name):
        with context.step("Preparing deployment", "Preparing deployment"):
            deployment = context.session.scalars(sa.select(Deployment).where(Deployment.name == name)).first()
            if deployment is None:
                deployment = Deployment(name=name)
                context.session.add(deployment)
                context.session.commit()
            for instance in instances_of(context, deployment):
                _require_agent(context, instance)
        with context.step("Preparing deployment", "Rendering templates", index=2):
            try:
                wanted = plan.plan(context.session, context.blobstore, data, context.config["address"])
            except KeyError as missing:
                raise Failure(f"Required property {missing} was not specified in object", 40001) from missing
        if dry_run:
            return f"/deployments/{name}"
        with context.step("Preparing package compilation", "Finding packages to compile"):
            pass
        _update_instances(context, deployment, wanted, recreate)
        deployment.manifest = manifest
        deployment.cloud_config_id = plan.cloud_config(context.session)[0]
        deployment.releases = [
            f"{key}/{row.version}" for key, row in plan.release_versions(context.session, data).items()
        ]
        deployment.stemcells = [f"{row.name}/{row.version}" for row in plan.stemcells(context.session, data).values()]
        context.session.commit()
        context.record("update", "deployment", name, name)
    return f"/deployments/{name}"


def _update_instances(context: Context, deployment: Deployment, wanted: list[plan.Wanted], recreate: bool) -> None:
    existing = {(instance.job, instance.index): instance for instance in instances_of(context, deployment)}
    for gone in [
        instance
        for key, instance in existing.items()
        if key not in [(item.group["name"], item.index) for item in wanted]
    ]:
        with context.step("Deleting unneeded instances", str(gone)):
            instances.remove(context, gone)
    for item in wanted:
        instance = plan.find_instance(context.session, deployment, item)
        if instance is None:
            instance = Instance(
                job=item.group["name"],
                index=item.index,
                availability_zone=item.group["azs"][0],
                deployment_id=deployment.id,
            )
            context.session.add(instance)
            context.session.commit()
        fresh = instance.vm is None
        if fresh:
            item.apply_to(instance)
            context.session.commit()
            with context.step("Creating missing vms", str(instance)):
                instances.create_vm(context, instance)
        elif not (recreate or item.needs_update(instance) or instances.changed_settings(context, instance)):
            continue
        with context.step("Updating instance", f"{instance} (canary)", tags=[instance.job]) as progress:
            replaced = not fresh and (recreate or item.needs_vm(instance))
            if not fresh:
                instances.stop_jobs(context, instance, progress)
            if instance.spec_json.get("digest") != item.digest or item.needs_vm(instance):
                item.apply_to(instance)
                context.session.commit()
            if replaced:
                instances.delete_vms(context, instance)
                instances.create_vm(context, instance)
            instances.ensure_disk(context, instance, item.disk_mb)
            instances.start_jobs(context, instance, progress)


def _require_agent(context: Context, instance: Instance) -> None:
    """A deploy asks each agent for its state, once, and refuses to go on without an answer.

    Source: bosh v283.1.6 deployment_plan/agent_state_migrator.rb (get_state), without `--fix`.
    """
    if instance.vm is None:
        return
    who, timeout = f"{instance.job}/{instance.uuid}", context.config["ping_timeout"]
    try:
        context.agents.ask(instance.vm.agent_id, "get_state", timeout=timeout)
    except AgentTimeout as error:
        raise Failure(
            f"{who}: Timed out sending 'get_state' to instance: '{who}', "
            f"agent-id: '{instance.vm.agent_id}' after {timeout} seconds",
            450002,
        ) from error
    except AgentError as error:
        raise Failure(f"{who}: {error}", 450003) from error


def delete_deployment(context: Context, name: str, **_ignored: Any) -> str:
    deployment = deployment_named(context, name)
    with context.lock("deployment", name):
        for instance in instances_of(context, deployment):
            with context.step("Deleting instances", str(instance)):
                instances.remove(context, instance)
        context.session.execute(sa.delete(DeploymentProblem).where(DeploymentProblem.deployment_id == deployment.id))
        context.session.delete(deployment)
        context.session.commit()
    return f"/deployments/{name}"


def change_state(context: Context, name: str, state: str) -> str:
    """`bosh start`, `stop`, `restart`, `recreate` of a whole deployment."""
    deployment = deployment_named(context, name)
    with context.lock("deployment", name):
        for instance in instances_of(context, deployment):
            with context.step("Updating instance", f"{instance} (canary)", tags=[instance.job]) as progress:
                if state in ("stopped", "detached", "restart", "recreate"):
                    instances.stop_jobs(context, instance, progress)
                if state == "detached":
                    instances.delete_vms(context, instance)
                elif state == "recreate" or (state == "started" and instance.vm is None):
                    instances.recreate_vm(context, instance)
                elif state in ("started", "restart"):
                    instances.start_jobs(context, instance, progress)
                instance.state = state if state in ("stopped", "detached") else "started"
                context.session.commit()
    return f"/deployments/{name}"


# VMs


def vm_states(context: Context, name: str) -> None:
    """A line for each VM, as the agent tells of it (jobs/vm_state.rb)."""
    for instance in instances_of(context, deployment_named(context, name)):
        if instance.vm:
            context.result_line(_told(context, instance))


def instance_states(context: Context, name: str) -> None:
    for instance in instances_of(context, deployment_named(context, name)):
        context.result_line(_told(context, instance))


def _told(context: Context, instance: Instance) -> dict[str, Any]:
    vm, state = instance.vm, {}
    if vm:
        try:
            state = context.agents.ask(vm.agent_id, "get_state", "full", timeout=context.config["ping_timeout"] / 2)
        except (AgentTimeout, AgentError):
            state = {"job_state": "unresponsive agent"}
    networks = instance.spec_json.get("networks") or {}
    disk = [instance.disk.disk_cid] if instance.disk else []
    return {
        "vm_cid": vm.cid if vm else None,
        "vm_created_at": vm.created_at.strftime("%Y-%m-%dT%H:%M:%SZ") if vm else None,
        "active": bool(vm) if vm else None,
        "cloud_properties": {},
        "disk_cid": disk[0] if disk else None,
        "disk_cids": disk,
        "ips": [network["ip"] for network in networks.values()] if vm else [],
        "dns": [],
        "agent_id": vm.agent_id if vm else None,
        "job_name": instance.job,
        "index": instance.index,
        "job_state": state.get("job_state"),
        "state": instance.state,
        "resource_pool": instance.spec_json.get("vm_type"),
        "vm_type": instance.spec_json.get("vm_type"),
        "vitals": state.get("vitals"),
        "processes": state.get("processes") or [],
        "resurrection_paused": instance.resurrection_paused,
        "az": instance.availability_zone,
        "id": instance.uuid,
        "bootstrap": instance.index == 0,
        "ignore": instance.ignore,
        "deployment_name": instance.deployment.name,
        "stemcell": instance.spec_json.get("stemcell"),
    }


def delete_vm(context: Context, cid: str) -> str:
    """Any VM, known or not; a gone one is no error (jobs/delete_vm.rb)."""
    with context.step("Delete VM", cid):
        vm = context.session.scalars(sa.select(Vm).where(Vm.cid == cid)).first()
        if vm and vm.instance.disk:
            instances.detach_quietly(context, vm, vm.instance.disk)
        context.cpi.call("delete_vm", cid)
        if vm:
            context.record("delete", "vm", cid, vm.instance.deployment.name)
            context.session.delete(vm)
            context.session.commit()
        with context.step("Delete VM", f"VM {cid} is successfully deleted"):
            pass
    return f"vm {cid} deleted"


def delete_orphan_disks(context: Context, cids: list[str]) -> str:
    """Those that are no orphans are passed over (orphan_disk_manager.rb, jobs/delete_orphan_disks.rb)."""
    for cid in cids:
        with context.step("Deleting orphaned disks", f"Deleting orphaned disk {cid}"):
            orphan = context.session.scalars(sa.select(OrphanDisk).where(OrphanDisk.disk_cid == cid)).first()
            if orphan is None:
                continue
            if context.cpi.call("has_disk", cid):
                context.cpi.call("delete_disk", cid)
            context.record("delete", "disk", cid, orphan.deployment_name)
            context.session.delete(orphan)
            context.session.commit()
    return f"orphaned disk(s) {', '.join(cids)} deleted"


# Cloud check


def scan(context: Context, name: str) -> str:
    with context.lock("deployment", name):
        _scan(context, deployment_named(context, name), None)
    return "scan complete"


def _scan(context: Context, deployment: Deployment, only: set[str] | None) -> list[DeploymentProblem]:
    """Find problems and write them down (cloudcheck_helper, problem_scanner/*.rb)."""
    found: list[tuple[str, int, dict[str, Any]]] = []
    looked_at = [item for item in instances_of(context, deployment) if only is None or item.uuid in only]
    # A VM that `delete-vm` took has no row any more, but its instance still wants one.
    expecting = [instance for instance in looked_at if instance.state in EXPECTING_VM]
    stage = f"Scanning {len(expecting)} VMs"
    ok = unresponsive = missing = ignored = 0
    with context.step(stage, "Checking VM states", total=2):
        for instance in expecting:
            if instance.ignore:
                ignored += 1
                continue
            if instance.vm is None:
                found.append(("missing_vm", instance.id, {}))
                missing += 1
                continue
            try:
                context.agents.ask(instance.vm.agent_id, "get_state", timeout=context.config["ping_timeout"])
                ok += 1
            except (AgentTimeout, AgentError):
                if context.cpi.call("has_vm", instance.vm.cid):
                    found.append(("unresponsive_agent", instance.id, {"cid": instance.vm.cid}))
                    unresponsive += 1
                else:
                    found.append(("missing_vm", instance.id, {"cid": instance.vm.cid}))
                    missing += 1
    told = f"{ok} OK, {unresponsive} unresponsive, {missing} missing, 0 unbound" + (
        f", {ignored} ignored" if ignored else ""
    )
    with context.step(stage, told, total=2, index=2):
        pass
    disks = [disk for instance in looked_at for disk in instance.disks]
    if only is None:
        stage = f"Scanning {len(disks)} persistent disks"
        lost: list[PersistentDisk] = []
        with context.step(stage, "Looking for inactive disks", total=2):
            lost = [disk for disk in disks if not context.cpi.call("has_disk", disk.disk_cid)]
            found += [("missing_disk", disk.id, {"cid": disk.disk_cid}) for disk in lost]
        with context.step(
            stage,
            f"{len(disks) - len(lost)} OK, {len(lost)} missing, 0 inactive, 0 mount-info mismatch",
            total=2,
            index=2,
        ):
            pass
    context.session.execute(
        sa.update(DeploymentProblem)
        .where(DeploymentProblem.deployment_id == deployment.id, DeploymentProblem.state == "open")
        .values(state="closed")
    )
    problems = [
        DeploymentProblem(deployment_id=deployment.id, type=kind, resource_id=resource, data_json=data)
        for kind, resource, data in found
    ]
    context.session.add_all(problems)
    context.session.commit()
    return problems


def describe(session: Any, problem: DeploymentProblem) -> str:
    """A problem in BOSH's words."""
    cid = problem.data_json.get("cid")
    if problem.type == "missing_disk":
        return f"Disk '{cid}' is missing"
    instance = session.get(Instance, problem.resource_id)
    with_cid = f" with cloud ID '{cid}'" if cid else ""
    ending = "missing." if problem.type == "missing_vm" else "is not responding."
    return f"VM for '{instance}'{with_cid} {ending}"


def resolve(context: Context, name: str, resolutions: dict[str, str | None]) -> str:
    with context.lock("deployment", name):
        return _apply(context, deployment_named(context, name), resolutions)


def _apply(context: Context, deployment: Deployment, resolutions: dict[str, str | None]) -> str:
    chosen = []
    for problem_id, resolution in sorted(resolutions.items(), key=lambda item: int(item[0])):
        problem = context.session.get(DeploymentProblem, int(problem_id))
        if problem is None or problem.deployment_id != deployment.id or problem.state != "open":
            raise Failure(f"Problem '{problem_id}' is not open in this deployment", 80001)
        chosen.append((problem, resolution or AUTO[problem.type]))
    errors = []
    for number, (problem, resolution) in enumerate(chosen, start=1):
        words = f"{describe(context.session, problem)} ({problem.type} {problem.resource_id}): {PLANS[resolution]}"
        try:
            with context.step("Applying problem resolutions", words, total=len(chosen), index=number):
                _resolve(context, problem, resolution)
            problem.state = "resolved"
            context.session.commit()
        except TaskCancelled:
            raise
        except Exception as error:
            context.session.rollback()
            errors.append(f"Error resolving problem '{problem.id}': {error}")
    if errors:
        raise Failure("\n".join(errors), 410001)
    return f"{len(chosen)} resolved"


def _resolve(context: Context, problem: DeploymentProblem, resolution: str) -> None:
    if resolution == "ignore":
        return
    if problem.type == "missing_disk":
        context.session.execute(sa.delete(PersistentDisk).where(PersistentDisk.id == problem.resource_id))
        return
    instance = context.session.get_one(Instance, problem.resource_id)
    if instance.vm:
        # The handlers look again: what answers by now is not touched.
        try:
            context.agents.ask(instance.vm.agent_id, "ping", timeout=5)
            raise Failure("Agent is responding now, skipping resolution", 80003)
        except (AgentTimeout, AgentError):
            pass
    if resolution == "reboot_vm" and instance.vm:
        context.cpi.call("reboot_vm", instance.vm.cid)
        context.agents.wait_until_ready(instance.vm.agent_id, instances.NEW_AGENT_TIMEOUT)
    elif resolution.startswith("recreate_vm"):
        instances.recreate_vm(context, instance)
    elif resolution == "delete_vm":
        instances.delete_vms(context, instance)
    elif resolution == "delete_vm_reference":
        for vm in list(instance.vms):
            context.session.delete(vm)


def scan_and_fix(context: Context, name: str, jobs: dict[str, list[str]]) -> str:
    """What the health monitor asks for (jobs/cloud_check/scan_and_fix.rb)."""
    if attribute(context.session, "resurrection_paused") == "true":
        raise Failure("Resurrector is paused", 410004)
    deployment = deployment_named(context, name)
    wanted = {uuid for ids in jobs.values() for uuid in ids}
    if not context.config.get("auto_fix_stateful_nodes", True):
        # What has a disk is then left to a person.
        wanted -= {instance.uuid for instance in instances_of(context, deployment) if instance.disk}
    with context.lock("deployment", name):
        problems = _scan(context, deployment, wanted)
        fixable = {
            str(problem.id): "recreate_vm"
            for problem in problems
            if problem.type in ("missing_vm", "unresponsive_agent")
        }
        if fixable:
            _apply(context, deployment, fixable)
    return "scan and fix complete"


# Logging in


def ssh(context: Context, name: str, command: str, params: dict[str, Any], target: dict[str, Any]) -> None:
    answers = []
    for instance in instances_of(context, deployment_named(context, name)):
        ids = target.get("ids") or []
        if (
            (target.get("job") or instance.job) == instance.job
            and (not ids or instance.uuid in ids or str(instance.index) in ids)
            and instance.vm
        ):
            answer = context.agents.ask(instance.vm.agent_id, "ssh", command, params)
            answers.append(answer | {"job": instance.job, "index": instance.index, "id": instance.uuid})
    context.result_line(answers)


JOBS: dict[str, Callable[..., str | None]] = {
    "update_stemcell": update_stemcell,
    "delete_stemcell": delete_stemcell,
    "update_release": update_release,
    "delete_release": delete_release,
    "update_deployment": update_deployment,
    "delete_deployment": delete_deployment,
    "change_state": change_state,
    "vms": vm_states,
    "instances": instance_states,
    "delete_vm": delete_vm,
    "delete_orphan_disks": delete_orphan_disks,
    "scan": scan,
    "resolve": resolve,
    "scan_and_fix": scan_and_fix,
    "ssh": ssh,
}


def upload_path() -> str:
    """A file for an upload, on the ephemeral disk, that the worker removes."""
    directory = Path("/var/vcap/data/director/tmp")
    directory.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=directory, prefix="upload-")
    os.close(handle)
    return path
