# SPDX-License-Identifier: GPL-3.0-or-later

"""How rendered templates come to an agent: by the blobstore, or over NATS.

Sources: bosh v283.1.6 src/bosh-director/lib/bosh/director: rendered_templates_persister.rb,
rendered_job_templates_cleaner.rb, core/templates/rendered_job_instance.rb. Over NATS the row of
`rendered_templates_archives` has the id of a blob that never was in the blobstore. There is no fall-back for agents
that know no `upload_blob`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid

import yaml

from boshlab.director import plan
from boshlab.director.db import Instance, RenderedTemplatesArchive
from boshlab.director.tasks import Context, Failure

#: In no subnet: what is rendered again for a VM that is there has its address already.
NOWHERE = "0.0.0.0"


def persist(context: Context, instance: Instance, agent_id: str) -> None:
    """Bring an instance's rendered templates to where its agent finds them, and note where."""
    data = instance.rendered or _render_again(context, instance)
    latest = instance.templates_archives[-1] if instance.templates_archives else None
    content = instance.spec_json["digest"]
    if context.config.get("enable_nats_delivered_templates", False):
        row = _through_agent(context, agent_id, data)
    elif latest and latest.content_sha1 == content and context.blobstore.exists(latest.blobstore_id):
        row = latest
    else:
        row = RenderedTemplatesArchive(
            blobstore_id=context.blobstore.put(data), sha1=f"sha256:{hashlib.sha256(data).hexdigest()}"
        )
    if row is not latest:
        row.content_sha1 = content
        instance.templates_archives.append(row)
    # A JSON column is written only if it is another object.
    spec = json.loads(json.dumps(instance.spec_json))
    spec["apply"]["rendered_templates_archive"] = {"blobstore_id": row.blobstore_id, "sha1": row.sha1}
    instance.spec_json = spec
    context.session.commit()


def _through_agent(context: Context, agent_id: str, data: bytes) -> RenderedTemplatesArchive:
    blob_id, sha1 = str(uuid.uuid4()), hashlib.sha1(data, usedforsecurity=False).hexdigest()
    payload = base64.b64encode(data).decode()
    context.agents.ask(agent_id, "upload_blob", {"blob_id": blob_id, "checksum": sha1, "payload": payload})
    return RenderedTemplatesArchive(blobstore_id=blob_id, sha1=sha1)


def _render_again(context: Context, instance: Instance) -> bytes:
    """As for every VM that is made again: its templates are kept nowhere."""
    manifest = yaml.safe_load(instance.deployment.manifest or "{}") or {}
    for wanted in plan.plan(context.session, context.blobstore, manifest, NOWHERE) if manifest else []:
        if (wanted.group["name"], wanted.index) == (instance.job, instance.index):
            return wanted.archive
    raise Failure(f"'{instance}' is not in the manifest of '{instance.deployment.name}'", 100)


def clean(context: Context, instance: Instance, keep: int = 1) -> None:
    """Forget all but the newest; a blob that is absent is no error."""
    stale = instance.templates_archives[: len(instance.templates_archives) - keep]
    for row in stale:
        context.blobstore.delete(row.blobstore_id)
        instance.templates_archives.remove(row)
        context.session.delete(row)
    context.session.commit()
