# SPDX-License-Identifier: GPL-3.0-or-later
"""The CLI's config file, and the director's HTTPS API with its tasks."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from boshlab.bosh_cli import template
from boshlab.bosh_cli.errors import BoshError, doing
from boshlab.bosh_cli.ui import UI, Reporter

RETRIES, RETRY_DELAY = 3, 0.5  # attempts, seconds: fewer than the real CLI's, as nobody waits for a lab
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 300.0  # seconds
TASK_POLL = 0.5  # seconds
OK_STATUS = (200, 201, 204, 206, 302)


class Config:
    """``~/.bosh/config``: environments with alias, URL, CA and login."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).expanduser()
        data = template.load(self.path.read_text("utf-8")) if self.path.exists() else None
        self.environments: list[dict[str, Any]] = list((data or {}).get("environments") or [])

    def find(self, environment: str) -> dict[str, Any]:
        """The entry with this alias or URL; an empty one when there is none."""
        for entry in self.environments:
            if environment and environment in (entry.get("alias"), entry.get("url")):
                return entry
        return {"url": environment}

    def alias(self, url: str, alias: str, ca_cert: str) -> None:
        """Set an alias; an entry with the same URL or alias is changed. Raises BoshError for empty ones."""
        if not url:
            raise BoshError("Expected non-empty environment URL")
        if not alias:
            raise BoshError("Expected non-empty environment alias")
        entry = next((e for e in self.environments if e.get("alias") == alias), None)
        entry = entry or next((e for e in self.environments if e.get("url") == url), None)
        if entry is None:
            entry = {}
            self.environments.append(entry)
        entry.update({"url": url, "alias": alias})
        entry.pop("ca_cert", None)
        if ca_cert:
            entry["ca_cert"] = ca_cert

    def unalias(self, alias: str) -> None:
        """Forget an alias. Raises BoshError for an unknown one."""
        for entry in self.environments:
            if entry.get("alias") == alias:
                self.environments.remove(entry)
                return
        raise BoshError(f"alias {alias} not found")

    def save(self) -> None:
        """Write the file at once, readable by its owner only (it may hold logins)."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".config.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(template.dump({"environments": self.environments}))
        os.replace(temporary, self.path)


def address(url: str) -> str:
    """``host`` or ``https://host[:port]`` as ``https://host:port``. Raises BoshError when there is no host."""
    if not url:
        raise BoshError("Expected non-empty Director URL")
    parsed = urllib.parse.urlsplit(url if "://" in url else f"https://{url}")
    try:
        host, port = parsed.hostname or "", parsed.port or 25555
    except ValueError as error:
        raise BoshError(f"Extracting host/port from URL '{url}'", [BoshError(str(error))]) from error
    if not host:
        raise BoshError(f"Expected to extract host from URL '{url}'")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def go_reason(error: BaseException, url: str) -> str:
    """Why a request failed, in the words of the real CLI's HTTP library."""
    parsed = urllib.parse.urlsplit(url)
    dial = f"dial tcp {parsed.netloc}: "
    cause: BaseException | None = error
    while cause is not None:
        text = str(cause)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            if "expired" in text:
                return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"
            if "mismatch" in text or "not valid for" in text:
                return f"tls: failed to verify certificate: x509: certificate is not valid for {parsed.hostname}"
            return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        if isinstance(cause, socket.gaierror) or "Name or service not known" in text or "name resolution" in text:
            return f"dial tcp: lookup {parsed.hostname}: no such host"
        if isinstance(cause, ConnectionRefusedError) or "Connection refused" in text:
            return dial + "connect: connection refused"
        if "No route to host" in text:
            return dial + "connect: no route to host"
        if "Network is unreachable" in text:
            return dial + "connect: network is unreachable"
        if isinstance(cause, TimeoutError | httpx.ConnectTimeout):
            return dial + "i/o timeout"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


class Proxy:
    """``BOSH_ALL_PROXY``: a SOCKS5 proxy, or ``ssh+socks5://user@host:port?private-key=FILE`` through a jump host."""

    def __init__(self, url: str) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.url: str | None = url or None
        if url.startswith("ssh+"):
            self._tunnel(urllib.parse.urlsplit(url))

    def _tunnel(self, parsed: urllib.parse.SplitResult) -> None:
        key = urllib.parse.parse_qs(parsed.query).get("private-key", [""])[0]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # like the real CLI, the jump host's key is not pinned: TLS to the director is what is trusted
        command = ["ssh", "-N", "-D", f"127.0.0.1:{port}", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
        command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        command += ["-i", key, "-o", "IdentitiesOnly=yes"] if key else []
        command += ["-p", str(parsed.port or 22), "-l", parsed.username or "root", "--", parsed.hostname or ""]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                self.url = f"socks5h://127.0.0.1:{port}"
                return
        self.close()
        raise BoshError(f"Starting SOCKS5 proxy through '{parsed.hostname}'")

    def close(self) -> None:
        """End the tunnel, if one was started."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None


class Http:
    """Requests to one director."""

    def __init__(self, base: str, ca_cert: str, auth: tuple[str, str] | None, proxy: str | None = None) -> None:
        self.base = base
        context = ssl.create_default_context()
        if ca_cert:
            try:
                context = ssl.create_default_context(cadata=ca_cert)
            except ssl.SSLError as error:
                raise BoshError("Parsing CA certificate", [BoshError(str(error))]) from error
        self.client = httpx.Client(
            verify=context,
            auth=auth,
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
            follow_redirects=False,
            trust_env=False,
            proxy=proxy,
        )

    def raw(
        self,
        method: str,
        path: str,
        *,
        content: bytes | Callable[[], Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request with retries of failed connections; a redirect is followed by GET.

        Raises BoshError when there is no connection or the director answers with an error.
        """
        url = self.base + path
        response: httpx.Response | None = None
        for attempt in range(RETRIES):
            try:
                body = content() if callable(content) else content
                response = self.client.request(method, url, content=body, headers=dict(headers or {}))
                break
            except httpx.TransportError as error:
                reason = go_reason(error, url)
                # a broken connection may have reached the director: only what never began is tried again
                again = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or method == "GET"
                if attempt + 1 < RETRIES and again and "x509" not in reason:
                    time.sleep(RETRY_DELAY)
                    continue
                verb = method.capitalize()
                raise BoshError(
                    f"Performing request {method} '{url}'",
                    [BoshError(f"Performing {method} request", [BoshError(f'Retry: {verb} "{url}": {reason}')])],
                ) from error
        assert response is not None
        if response.status_code not in OK_STATUS:
            raise StatusError(response.status_code, response.text)
        if response.status_code == 302:
            location = urllib.parse.urlsplit(response.headers.get("location", ""))
            return self.raw("GET", location.path)
        return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """A request whose answer is JSON."""
        response = self.raw(method, path, **options)
        try:
            return response.json()
        except ValueError as error:
            raise BoshError("Unmarshaling Director response", [BoshError(str(error))]) from error


class StatusError(BoshError):
    """The director answered with an error status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"Director responded with non-successful status code '{status}' response '{body}'")
        self.status = status


JSON_TYPE = {"Content-Type": "application/json"}
YAML_TYPE = {"Content-Type": "text/yaml"}


@dataclass
class Options:
    """Global options of a command line, after the environment was looked at."""

    environment: str
    client: str
    client_secret: str
    ca_cert: str
    deployment: str
    config: str
    all_proxy: str


class Session:
    """A director as named by the global options: looked up, asked for its info, then announced."""

    def __init__(self, options: Options, config: Config, ui: UI) -> None:
        self.options, self.config, self.ui = options, config, ui
        self._http: Http | None = None
        self._proxy: Proxy | None = None
        self.reporter = Reporter(ui, events=True)

    @property
    def url(self) -> str:
        """What ``-e`` means: an alias is replaced by its URL."""
        return str(self.config.find(self.options.environment).get("url") or "")

    def _credentials(self) -> tuple[str, str, str]:
        entry = self.config.find(self.url)
        if self.options.client:
            return self.options.client, self.options.client_secret, f"client '{self.options.client}'"
        if entry.get("username"):
            return str(entry["username"]), str(entry.get("password", "")), f"client '{entry['username']}'"
        return "", "", "anonymous user"

    @property
    def http(self) -> Http:
        """The director's API; the first use asks for ``/info`` and says which environment is used."""
        if self._http is None:
            base = address(self.url)
            ca_cert = self.options.ca_cert or str(self.config.find(self.url).get("ca_cert") or "")
            self._proxy = Proxy(self.options.all_proxy)
            with doing("Fetching info"):
                info = Http(base, ca_cert, None, self._proxy.url).json("GET", "/info")
            kind = (info.get("user_authentication") or {}).get("type", "basic")
            user, secret, description = self._credentials()
            if kind == "uaa":
                raise BoshError("This director wants UAA tokens, which the lab's bosh does not know: use the real CLI")
            self.ui.line(f"Using environment '{self.url}' as {description}")
            self._http = Http(base, ca_cert, (user, secret) if user else None, self._proxy.url)
        return self._http

    def close(self) -> None:
        """End what was started for the session."""
        if self._proxy:
            self._proxy.close()

    def deployment(self) -> str:
        """The deployment's name, announced. Raises BoshError when none was given."""
        _ = self.http
        if not self.options.deployment:
            raise BoshError("Expected non-empty deployment name")
        self.ui.line(f"Using deployment '{self.options.deployment}'")
        return self.options.deployment

    def follow(self, task: int, kind: str = "event", reporter: Reporter | None = None) -> None:
        """Report a task's output until it ends. Raises BoshError when it does not end as ``done``."""
        reporter = reporter or self.reporter
        reporter.started(task)
        offset, state = 0, ""
        try:
            while True:
                with doing("Getting task state"):
                    state = str(self.http.json("GET", f"/tasks/{task}")["state"])
                with doing("Getting task output"):
                    offset += self._output(task, kind, offset, reporter)
                if state not in ("queued", "processing", "cancelling"):
                    break
                time.sleep(TASK_POLL)
        finally:
            reporter.finished(task, state)
        if state != "done":
            raise BoshError(f"Expected task '{task}' to succeed but state is '{state}'")

    def _output(self, task: int, kind: str, offset: int, reporter: Reporter) -> int:
        try:
            response = self.http.raw("GET", f"/tasks/{task}/output?type={kind}", headers={"Range": f"bytes={offset}-"})
        except StatusError as error:
            # nothing new yet
            if error.status == 416:
                return 0
            raise
        reporter.chunk(task, response.content.decode("utf-8", "replace"))
        return len(response.content)

    def task(self, method: str, path: str, **options: Any) -> str:
        """A request that makes a task: follow it and return its result."""
        task = self.http.json(method, path, **options)
        self.follow(int(task["id"]))
        return self.http.raw("GET", f"/tasks/{int(task['id'])}/output?type=result").text


def body(data: Any) -> bytes:
    """Data as the JSON body of a request."""
    return json.dumps(data).encode()
