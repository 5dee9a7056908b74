# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bus that an agent obeys: read with its own precedence, changed, proved, and put back."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading

import pytest
from ansible_collections.bosh.ha.plugins.module_utils import agent_process, agent_settings, blobstore_knock
from ansible_collections.bosh.ha.plugins.module_utils.certificates import fingerprints
from hypothesis import given
from hypothesis import strategies as st

from ..conftest import Failed

MICRO, META = "nats://10.10.0.3:4222", "nats://10.10.0.5:4222"
CERT = {
    "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "private_key": "hidden",
    "certificate": "",
}
BLOBSTORE = {
    "provider": "dav",
    "options": {"endpoint": "https://10.10.0.3:25250", "user": "agent", "password": "hidden", "tls": {"cert": CERT}},
}
#: As the agent itself writes it where a director changed something else.
EMPTY = {
    "blobstores": None,
    "disk_associations": None,
    "mbus": {"cert": {"ca": "", "private_key": "", "certificate": ""}, "urls": None},
    "trusted_certs": "hidden certificates",
}


def base(tmpfs=False, mbus=MICRO, **more):
    """The settings that the CPI gave."""
    bosh = {"agent": {"settings": {"tmpfs": tmpfs}}, "mbus": {"cert": CERT, "urls": None}, "blobstores": [BLOBSTORE]}
    return {"agent_id": "a", "mbus": mbus, "env": {"bosh": bosh | more}}


class Vm:
    """An agent that runs under runit or systemd, and is connected where its settings say, if that place takes it."""

    def __init__(self, top, takes=(META, MICRO)):
        self.top, self.takes, self.calls, self.restarts = top, takes, [], 0
        self.at = MICRO
        self.service, self.broken = "runit", (0, "", "")
        self.write("settings.json", base())

    def write(self, name, data):
        path = self.top / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")

    def update(self, name="update_settings.json"):
        return json.loads((self.top / name).read_text(encoding="utf-8"))

    def __call__(self, command, **_options):
        words = " ".join([os.path.basename(command[0]), *command[1:]])
        self.calls.append(words)
        if words in ("sv restart agent", "systemctl restart bosh-agent"):
            self.restarts += 1
            self.at = agent_settings.mbus_urls(agent_settings.read(str(self.top)))[0][0]
            return self.broken
        if words == "sv status agent":
            return 0, "run: agent: (pid 77) 5s\n", ""
        if words == "systemctl show --property=MainPID bosh-agent":
            return 0, "MainPID=77\n", ""
        assert words == "bosh-agent -v"
        return 0, "2.874.0-abc-2026-06-11T10:00:00Z-go1.24.4\n", ""

    def connections(self, pids, places, _proc):
        assert set(pids) == {77}
        here = agent_settings.place_of(self.at)
        return {f"socket of {self.restarts}"} if self.at in self.takes and here in places else set()


@pytest.fixture
def vm(tmp_path, monkeypatch):
    from ansible.module_utils.basic import AnsibleModule
    from ansible_collections.bosh.ha.plugins.modules import agent_bus

    vm = Vm(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bosh-agent").touch(mode=0o755)
    runit = tmp_path / "runit"
    runit.mkdir()
    monkeypatch.setattr(agent_bus, "RUNIT", str(runit))
    monkeypatch.setattr(agent_bus, "PAUSE", 0.01)
    monkeypatch.setattr(agent_bus, "STEADY", 0.05)
    monkeypatch.setattr(agent_process, "family", lambda pid, _proc: {pid})
    monkeypatch.setattr(agent_process, "connections", vm.connections)
    monkeypatch.setattr(blobstore_knock, "refusal", lambda *_words: "")
    there = {"runit": "sv", "systemd": "systemctl"}
    monkeypatch.setattr(
        AnsibleModule, "get_bin_path", lambda _self, name: f"/bin/{name}" if there.get(vm.service) == name else None
    )
    return vm


@pytest.fixture
def ask(run_module, vm):
    def run(check=False, **args):
        args = {"directory": str(vm.top), "timeout": 0} | args
        return run_module("agent_bus", args, runner=vm, check=check)[0]

    return run


def test_it_tells(vm, ask):
    said = ask()
    assert said["changed"] is False and not vm.restarts
    assert (said["urls"], said["source"], said["connected"]) == ([MICRO], "mbus", True)
    assert said["version"].startswith("2.874.0")
    assert (said["settings_path"], said["tmpfs"]) == (f"{vm.top}/update_settings.json", False)
    assert said["nats_ca"] == said["blobstore_ca"] == fingerprints(CERT["ca"]) != []
    assert said["blobstore"] == "https://10.10.0.3:25250"
    assert "hidden" not in json.dumps(said)


@pytest.mark.parametrize(
    ("given_", "update", "urls", "source"),
    [
        (base(), EMPTY, [MICRO], "mbus"),
        (base(mbus=""), {}, [], ""),
        (base() | {"env": {"bosh": {"mbus": {"urls": [META, MICRO]}}}}, EMPTY, [META, MICRO], "env.bosh.mbus.urls"),
        (base() | {"env": {"bosh": {"mbus": {"urls": []}}}}, {"mbus": {"urls": []}}, [MICRO], "mbus"),
        (base() | {"env": None}, {"mbus": {"urls": [META]}}, [META], "update_settings.mbus.urls"),
    ],
)
def test_the_precedence_is_the_agents(vm, ask, given_, update, urls, source):
    vm.write("settings.json", given_)
    vm.write("update_settings.json", update)
    said = ask()
    assert (said["urls"], said["source"]) == (urls, source)


def test_only_the_urls_change(vm, ask):
    update = EMPTY | {"mbus": {"cert": CERT, "urls": None}, "blobstores": [BLOBSTORE]}
    vm.write("update_settings.json", update)
    os.chmod(vm.top / "update_settings.json", 0o640)
    said = ask(urls=[META])
    assert (said["changed"], said["urls"], said["connected"], vm.restarts) == (True, [META], True, 1)
    assert said["before"] == {"urls": [MICRO], "source": "mbus", "blobstore": "https://10.10.0.3:25250"}
    assert vm.update() == update | {"mbus": {"cert": CERT, "urls": [META]}}
    assert stat.S_IMODE(os.stat(vm.top / "update_settings.json").st_mode) == 0o640
    assert "hidden" not in json.dumps(said) and "BEGIN" not in json.dumps(said)
    # Once more.
    said = ask(urls=[META])
    assert (said["changed"], said["connected"], vm.restarts) == (False, True, 1)
    # And back.
    assert ask(urls=[MICRO])["changed"] and vm.at == MICRO


def test_a_file_that_is_not_there_gets_only_that(vm, ask):
    ask(urls=[META])
    assert vm.update() == {"mbus": {"urls": [META]}}
    assert stat.S_IMODE(os.stat(vm.top / "update_settings.json").st_mode) == 0o600


def test_check_mode_changes_nothing(vm, ask):
    said = ask(check=True, urls=[META], blobstore_hosts={"10.10.0.3": "10.10.0.5"})
    assert (said["changed"], said["urls"], said["blobstore"]) == (True, [META], "https://10.10.0.5:25250")
    assert not (vm.top / "update_settings.json").exists() and not vm.restarts


def test_systemd(vm, ask):
    vm.service = "systemd"
    assert ask(urls=[META])["changed"]
    assert "systemctl restart bosh-agent" in vm.calls and "sv restart agent" not in vm.calls
    vm.service = "none"
    with pytest.raises(Failed, match=r"neither .*runit nor systemctl"):
        ask()


@pytest.mark.parametrize("update", [None, EMPTY | {"mbus": {"cert": CERT, "urls": [MICRO]}}])
def test_without_a_connection_the_old_file_is_put_back(vm, ask, update):
    if update:
        vm.write("update_settings.json", update)
    vm.takes = (MICRO,)
    with pytest.raises(Failed) as failed:
        ask(urls=[META])
    result = failed.value.result
    assert result["msg"] == (
        "after 0 s the agent has no connection to 10.10.0.5:4222 that stays; "
        f"its old settings, with the bus {MICRO}, are in place again"
    )
    assert (result["restored"], result["urls"], vm.restarts, vm.at) == (True, [MICRO], 2, MICRO)
    assert (vm.update() if update else (vm.top / "update_settings.json").exists()) == (update or False)
    assert "hidden" not in json.dumps(result)


def test_a_connection_has_to_stay(vm, ask, monkeypatch):
    # A CA that the agent does not trust: it connects, is refused, and tries again by another socket.
    numbers = iter(range(10**6))
    monkeypatch.setattr(agent_process, "connections", lambda *_words: {str(next(numbers))})
    with pytest.raises(Failed, match=r"no connection to 10\.10\.0\.5:4222 that stays"):
        ask(urls=[META])


def test_without_verify_nobody_is_waited_for(vm, ask):
    vm.takes = ()
    said = ask(urls=[META], verify=False)
    assert (said["changed"], said["connected"], vm.restarts) == (True, False, 1)
    assert ask(urls=[META], verify=False)["changed"] is False and vm.restarts == 1


def test_a_call_that_was_stopped_before_the_restart_is_ended(vm, ask):
    vm.write("update_settings.json", {"mbus": {"urls": [META]}})
    said = ask(urls=[META])
    assert (said["changed"], said["connected"], vm.restarts, vm.at) == (True, True, 1, META)
    vm.takes, vm.at = (), MICRO
    with pytest.raises(Failed) as failed:
        ask(urls=[META])
    assert "in place again" not in failed.value.result["msg"] and vm.update() == {"mbus": {"urls": [META]}}


def test_a_service_that_does_not_restart(vm, ask):
    vm.broken = (1, "fail: agent: runsv not running\n", "")
    with pytest.raises(Failed, match="`sv restart agent` failed: fail: agent: runsv not running; its old settings"):
        ask(urls=[META])
    assert not (vm.top / "update_settings.json").exists()
    # It stops slowly, and is started then.
    vm.broken = (1, "timeout: run: agent: (pid 77) 9s, got TERM\n", "")
    assert ask(urls=[META])["connected"]


def test_settings_in_memory(vm, ask):
    vm.write("settings/settings.json", base(tmpfs=True))
    vm.write("update_settings.json", {"mbus": {"urls": ["nats://left-over"]}})
    said = ask(urls=[META])
    assert (said["tmpfs"], said["settings_path"]) == (True, f"{vm.top}/settings/update_settings.json")
    assert said["before"]["urls"] == [MICRO]
    assert vm.update("settings/update_settings.json") == {"mbus": {"urls": [META]}}
    # Its job directories in memory are another thing.
    os.remove(vm.top / "settings" / "settings.json")
    vm.write("settings.json", {"env": {"bosh": {"job_dir": {"tmpfs": True}}}})
    assert ask()["tmpfs"] is False


def test_the_blobstores_host(vm, ask):
    second = {"provider": "s3", "options": {"secret": "hidden"}}
    vm.write("settings.json", base(blobstores=[BLOBSTORE, second]))
    said = ask(urls=[META], blobstore_hosts={"10.10.0.3": "10.10.0.5"})
    assert (said["blobstore"], said["before"]["blobstore"]) == ("https://10.10.0.5:25250", "https://10.10.0.3:25250")
    first, other = vm.update()["blobstores"]
    assert first == BLOBSTORE | {"options": BLOBSTORE["options"] | {"endpoint": "https://10.10.0.5:25250"}}
    assert other == second and "hidden" not in json.dumps(said)
    assert ask(urls=[META], blobstore_hosts={"10.10.0.3": "10.10.0.5"})["changed"] is False


@pytest.mark.parametrize(
    ("endpoint", "new"),
    [
        ("https://[fd00::3]:25250", "https://[fd00::5]:25250"),
        ("https://10.10.0.30:25250", None),
        ("https://10.10.0.3", "https://10.10.0.5"),
        ("", None),
        ("https://[", None),
    ],
)
def test_another_endpoint(endpoint, new):
    where = {"blobstore": {"provider": "dav", "options": {"endpoint": endpoint}}}
    settings = agent_settings.Settings(where, {}, "", "", False)
    changed = agent_settings.with_blobstore_host(settings, {"10.10.0.3": "10.10.0.5", "fd00::3": "fd00::5"})
    assert changed == ({"blobstores": [{"provider": "dav", "options": {"endpoint": new}}]} if new else {})
    assert where["blobstore"]["options"]["endpoint"] == endpoint


def test_a_blobstore_that_refuses_the_agent_changes_nothing(vm, ask, monkeypatch):
    monkeypatch.setattr(blobstore_knock, "refusal", lambda *_words: "the blobstore at x does not take the password")
    with pytest.raises(Failed, match="nothing was changed: the blobstore at x does not") as failed:
        ask(urls=[META], blobstore_hosts={"10.10.0.3": "10.10.0.5"})
    assert failed.value.result["urls"] == [MICRO]
    assert not vm.restarts and not (vm.top / "update_settings.json").exists()


@pytest.mark.parametrize("url", ["https://a:1", "nats://a:hidden@b", "nats://", "a", "nats://a:99999", "nats://[", ""])
def test_urls_that_are_none_are_refused(vm, ask, url):
    with pytest.raises(Failed) as failed:
        ask(urls=[META, url])
    assert failed.value.result["msg"].startswith("each of the URLs must be nats://HOST") and not vm.restarts


@pytest.mark.parametrize("mbus", ["nats://nats:hidden@10.10.0.3:4222", "https://mbus:hid@hidden@0.0.0.0:6868"])
def test_credentials_are_not_shown(vm, ask, mbus):
    vm.write("settings.json", base(mbus=mbus))
    vm.takes = ()
    said = ask()
    assert said["urls"][0].split("://")[1].startswith("<redacted>@") and "hidden" not in json.dumps(said)
    with pytest.raises(Failed) as failed:
        vm.at = META
        ask(urls=[META])
    assert "hidden" not in json.dumps(failed.value.result)


@given(st.text(), st.text(), st.text())
def test_nothing_before_the_last_at_is_shown(scheme, user, host):
    host = host.replace("@", "")
    told = agent_settings.shown(f"nats://{user}:s3cr3t@{host}")
    assert told == f"nats://<redacted>@{host}"
    assert "s3cr3t" not in agent_settings.shown(f"{scheme}s3cr3t@{host}") or "s3cr3t" in scheme + host


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("settings.json", "{hidden", "settings.json is no JSON"),
        ("settings.json", "[]", "settings.json holds no JSON object"),
        ("update_settings.json", '"hidden"', "update_settings.json holds no JSON object"),
    ],
)
def test_settings_that_cannot_be_read(vm, ask, name, text, said):
    vm.write(name, text)
    with pytest.raises(Failed) as failed:
        ask(urls=[META])
    assert failed.value.result["msg"].endswith(said) and "hidden" not in json.dumps(failed.value.result)


def test_a_host_without_an_agent(vm, ask):
    os.remove(vm.top / "settings.json")
    with pytest.raises(Failed, match="no BOSH agent has started on this host"):
        ask()


# The process

CLIENT = """
import socket, sys
sockets = [socket.create_connection((sys.argv[1], int(sys.argv[2])))]
print("connected", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_connections_of_a_process_and_its_children(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        place = {(host, port)}
        client = [sys.executable, "-c", CLIENT, "127.0.0.1", str(port)]
        # `true` after it keeps the shell there.
        with subprocess.Popen(
            ["sh", "-c", '"$@"; true', "sh", *client], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as shell:
            assert shell.stdout.readline() == "connected\n"
            family = agent_process.family(shell.pid)
            assert len(family) == 2
            assert len(agent_process.connections(family, place)) == 1
            assert not agent_process.connections({shell.pid}, place)
            assert not agent_process.connections(family, {(host, port + 1), ("127.0.0.2", port)})
            shell.communicate("\n")
        assert not agent_process.connections(family, place) and agent_process.family(2**30) == set()
    assert agent_process.addresses("no-such-host.invalid") == set()


def test_addresses_as_the_kernel_writes_them(tmp_path):
    net, fd = tmp_path / "7" / "net", tmp_path / "7" / "fd"
    net.mkdir(parents=True)
    fd.mkdir()
    (fd / "3").symlink_to("socket:[11]")
    (fd / "4").symlink_to("socket:[12]")
    row = " 0: 0500000A:9C40 {} {} 00000000:00000000 00:00000000 00000000 0 0 {} 1 0 20 4 30 10 -1\n"
    (net / "tcp").write_text("head\n" + row.format("05000A0A:107E", "02", 11), encoding="ascii")
    places = {("10.10.0.5", 4222), ("2001:db8::5", 4222)}
    assert agent_process.connections({7}, places, str(tmp_path)) == set()
    (net / "tcp").write_text("head\n" + row.format("05000A0A:107E", "01", 11), encoding="ascii")
    v6 = row.format("B80D0120000000000000000005000000:107E", "01", 12)
    mapped = row.format("0000000000000000FFFF000005000A0A:107E", "01", 13)
    (net / "tcp6").write_text("head\n" + v6 + mapped, encoding="ascii")
    assert agent_process.connections({7}, places, str(tmp_path)) == {"11", "12"}
    (fd / "5").symlink_to("socket:[13]")
    assert agent_process.connections({7}, places, str(tmp_path)) == {"11", "12", "13"}


# The blobstore


def certificate(name, address):
    """A CA of one certificate, and its key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


@contextlib.contextmanager
def served(tmp_path, ca, key, login):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = "Basic " + base64.b64encode(login.encode()).decode()
            self.send_error(404 if self.headers["Authorization"] == wanted else 401)

        def log_message(self, *_words):
            return

    (tmp_path / "pair.pem").write_text(ca + key, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_words: None
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_blobstore_is_asked_as_the_agent_would(tmp_path):
    ca, key = certificate("blobstore", "127.0.0.1")
    other, _key = certificate("another", "127.0.0.1")

    def asked(endpoint, password="hidden", trusted=ca, user="agent"):
        options = {"user": user, "password": password, "tls": {"cert": {"ca": trusted}}}
        return blobstore_knock.refusal({"provider": "dav", "options": options}, endpoint, 5)

    with served(tmp_path, ca, key, "agent:hidden") as endpoint:
        assert asked(endpoint) == ""
        assert asked(endpoint, password="old").endswith("does not take the agent's password")
        assert "that the agent does not trust" in asked(endpoint, trusted=other)
        # Signed URLs: the agent has no password.
        assert asked(endpoint, user="") == ""
        assert asked(endpoint, trusted="no PEM") != "" and "hidden" not in asked(endpoint, trusted=other)
    assert "does not answer" in asked(endpoint)
    assert blobstore_knock.refusal({"provider": "local", "options": {"blobstore_path": "/x"}}, "", 5) == ""
