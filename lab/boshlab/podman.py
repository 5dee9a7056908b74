# SPDX-License-Identifier: GPL-3.0-or-later

"""Podman's REST API (libpod) over its unix socket: the lab's IaaS."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import httpx

from boshlab import paths

API = "http://podman/v4.0.0/libpod"


class PodmanError(Exception):
    """Podman's own words about a failed call, with the HTTP status."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Podman:
    """The few calls that the lab makes."""

    def __init__(self, socket: str = str(paths.SOCKET)) -> None:
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=socket), timeout=120)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call; the answer as data, or None where Podman sends none."""
        try:
            response = self._client.request(method, f"{API}{path}", **options)
        except httpx.ConnectError as error:
            raise PodmanError(0, "Podman's API does not answer; `lab up` starts it") from error
        except httpx.TransportError as error:
            raise PodmanError(0, f"Podman's API broke off {method} {path}: {error!r}") from error
        if response.status_code >= 400:
            try:
                words = response.json().get("message") or response.text
            except ValueError:
                words = response.text
            raise PodmanError(response.status_code, words)
        return response.json() if response.content and "json" in response.headers.get("content-type", "") else None

    def exists(self, kind: str, name: str) -> bool:
        """Whether an image, container or network of this name exists."""
        try:
            self.call("GET", f"/{kind}/{name}/exists")
        except PodmanError as error:
            if error.status == 404:
                return False
            raise
        return True

    def create(self, spec: dict[str, Any]) -> str:
        """Create a container and return its id."""
        return self.call("POST", "/containers/create", json=spec)["Id"]

    def start(self, name: str) -> None:
        self.call("POST", f"/containers/{name}/start")

    def stop(self, name: str) -> None:
        """End a container at once; one that does not run is no error."""
        self.call("POST", f"/containers/{name}/stop", params={"timeout": 0})

    def restart(self, name: str) -> None:
        self.call("POST", f"/containers/{name}/restart", params={"t": 2})

    def remove(self, name: str) -> None:
        """End and remove a container at once, as pulling the plug does; a gone one is no error."""
        try:
            self.call("DELETE", f"/containers/{name}", params={"force": True, "v": True, "timeout": 0})
        except PodmanError as error:
            if error.status != 404:
                raise

    def inspect(self, name: str) -> dict[str, Any]:
        return self.call("GET", f"/containers/{name}/json")

    def containers(self, label: str) -> list[dict[str, Any]]:
        """Containers that carry a label, running or not."""
        return self.call("GET", "/containers/json", params={"all": True, "filters": f'{{"label":["{label}"]}}'}) or []

    def put(self, name: str, path: str, content: bytes, mode: int = 0o600) -> None:
        """Write one file into a container, running or not."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
        self.call("PUT", f"/containers/{name}/archive", params={"path": "/"}, content=buffer.getvalue())
