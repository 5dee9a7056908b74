# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.bosh.ha.plugins.module_utils.bosh_failure import (
    CERTIFICATE_CAUSES,
    LOGIN_CAUSES,
    BoshFailure,
    explain,
)
from ansible_collections.bosh.ha.plugins.module_utils.director_facts import identity
from ansible_collections.bosh.ha.plugins.module_utils.director_module import with_evidence


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        ("fail_unreachable", "unreachable"),
        ("fail_port_closed", "unreachable"),
        ("fail_wrong_ca", "wrong_ca"),
        ("fail_wrong_creds", "wrong_credentials"),
        ("fail_unknown_deployment_vms", "unknown_deployment"),
        ("fail_unknown_task", "unknown_task"),
        ("cck_while_locked", "lock_held"),
        ("fail_bad_manifest", "wrong_deployment"),
        ("fail_cck_task", "task_failed"),
    ],
)
def test_each_recorded_failure_has_its_cause(cli, case, cause):
    bosh, _runner = cli({"": case})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("whatever")
    assert caught.value.cause == cause
    assert caught.value.hint
    assert caught.value.words in str(caught.value)


def test_a_failed_task_says_it_once(cli):
    bosh, _runner = cli({"": "fail_cck_recreate"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("whatever")
    assert caught.value.words == (
        "Error: Error resolving problem '1': CPI error 'Bosh::Clouds::VMCreationFailed' with message "
        "'injected: no capacity' in 'create_vm' CPI method (CPI request ID: 'cpi-787069')\n"
        "Resolving problems for deployment 'bosh-primary':\n  Expected task '40' to succeed but state is 'error'"
    )


def test_env_exits_0_with_wrong_credentials_and_is_still_a_failure(cli):
    bosh, _runner = cli({"env": "fail_wrong_creds_env"})
    with pytest.raises(BoshFailure) as caught:
        identity(bosh)
    assert caught.value.cause == "wrong_credentials"


def test_a_failed_task_brings_its_error_event(cli):
    log = '{"time":1,"error":{"code":450001,"message":"injected: no capacity"}}\n'
    shown = json.dumps({"Tables": None, "Blocks": [log], "Lines": ["Succeeded"]})
    bosh, _runner = cli({"--event": (0, shown), "task 40": "fail_cck_task"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("task", "40")
    assert with_evidence(caught.value, bosh)["task"] == {"id": 40, "state": "error", "error": "injected: no capacity"}


def test_a_held_lock_brings_its_holder(cli):
    answers = {"cloud-check": "cck_while_locked", "--event": "task_event", "locks": "locks_held"}
    bosh, _runner = cli(answers | {"tasks": "tasks_current_busy"})
    with pytest.raises(BoshFailure) as caught:
        bosh.run("cloud-check")
    result = with_evidence(caught.value, bosh)
    assert result["locks"][0]["task_id"] == "36"
    assert result["hint"] == "the lock is held by task 36 (create deployment of bosh-primary by admin): wait for it"
    assert result["hint"] in result["msg"]


def test_a_missing_cli_says_so(cli):
    bosh, runner = cli({})

    def gone(*_args, **_kwargs):
        raise FileNotFoundError(2, "No such file or directory", "bosh")

    bosh._run_command = gone
    with pytest.raises(BoshFailure) as caught:
        bosh.require_version()
    assert caught.value.cause == "cli_missing"
    assert "bosh_ha_cli_options.cli" in caught.value.hint
    assert runner.calls == []


def test_an_old_cli_is_refused(cli):
    bosh, _runner = cli({})
    bosh._run_command = lambda *_args, **_kwargs: (0, "version 6.4.17-abc-2021\n", "")
    with pytest.raises(BoshFailure) as caught:
        bosh.require_version()
    assert caught.value.cause == "cli_too_old"
    assert "6.4.17" in str(caught.value)


TASK = "\nExpected task '7' to succeed but state is 'error'"
PAGE = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
GATEWAY = "Fetching info:\n  Performing request:\n    {} responded with non-successful "


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("Unknown CPI error 'Errno::ENOENT' with message 'No such file or directory - /x'" + TASK, "task_failed"),
        ("Error: CPI error: Post https://iaas: x509: certificate signed by unknown authority" + TASK, "task_failed"),
        ("Error: dial tcp 10.0.0.9:443: connect: connection refused" + TASK, "task_failed"),
        ("Error: CPI error 'Bosh::Clouds::CloudError' with message 'Not authorized'" + TASK, "task_failed"),
        ("Error: Failed to acquire lock for lock:deployment:bosh-primary" + TASK, "lock_held"),
        ("Creating VM:\n  CPI 'create_vm' method responded with error: CmdError{x509: unknown}", "cpi_failed"),
        ("Reading manifest: open /x: no such file", ""),
        ("Rendering: No such file or directory @ rb_sysopen", ""),
        *(
            (GATEWAY.format(who) + f"status code '{code}' response '{PAGE}'", "not_ready")
            for who in ("Director", "UAA")
            for code in (502, 503, 504)
        ),
        (GATEWAY.format("Director") + "status code '500' response 'x'", ""),
    ],
)
def test_who_failed_is_not_mistaken(words, cause):
    failure = BoshFailure(["bosh"], 1, words)
    assert failure.cause == cause
    assert bool(failure.hint) is bool(cause)
    assert "html" not in failure.sentence()


def test_what_the_caller_knows_is_not_overruled_by_words():
    failure = BoshFailure(["bosh"], 127, "connection refused", cause="cli_missing")
    assert (failure.cause, "cannot be run" in failure.hint) == ("cli_missing", True)


GET = 'Retry: Get "https://10.0.0.6:25555/info": '
TLS = f"Fetching info:\n  Performing GET request:\n    {GET}tls: failed to verify certificate: x509: "
NOT_NOW = "certificate has expired or is not yet valid: current time 2026-12-01T00:00:00Z is"
UNKNOWN = "certificate signed by unknown authority"
WHILE = 'while trying to verify candidate authority certificate "ca")'


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        # Go's crypto/x509 verify.go and x509.go, 1.25
        (
            TLS + NOT_NOW + " after 2026-11-01T00:00:00Z",
            "certificate_expired",
        ),
        (
            TLS + NOT_NOW + " before 2026-12-02T00:00:00Z",
            "certificate_not_yet_valid",
        ),
        (TLS + "certificate relies on legacy Common Name field, use SANs instead", "certificate_without_san"),
        (
            TLS + "cannot validate certificate for 10.0.0.6 because it doesn't contain any IP SANs",
            "certificate_without_san",
        ),
        (
            TLS + "certificate is not valid for any names, but wanted to match bosh.example.org",
            "certificate_without_san",
        ),
        (TLS + "certificate is valid for 10.0.0.7, 127.0.0.1, not 10.0.0.6", "certificate_of_another_name"),
        (TLS + "certificate is valid for *.example.org, not bosh.example.org", "certificate_of_another_name"),
        (TLS + "certificate is valid for 120 IP SANs, but none matched 10.0.0.6", "certificate_of_another_name"),
        (TLS + "certificate signed by unknown authority", "wrong_ca"),
        (
            TLS + f'{UNKNOWN} (possibly because of "crypto/rsa: verification error" {WHILE}',
            "wrong_ca",
        ),
        (
            TLS
            + f'{UNKNOWN} (possibly because of "x509: invalid signature: parent certificate cannot sign this" {WHILE}',
            "ca_cannot_sign",
        ),
        (TLS + "certificate is not authorized to sign other certificates", "ca_cannot_sign"),
        (TLS + "too many intermediates for path length constraint", "ca_cannot_sign"),
        (TLS + "certificate specifies an incompatible key usage", "certificate_of_another_use"),
        (
            TLS + "a root or intermediate certificate is not authorized for an extended key usage: ",
            "certificate_of_another_use",
        ),
        (TLS + "certificate has a malformed something", "bad_certificate"),
        (TLS + "unhandled critical extension", "bad_certificate"),
        (TLS + "cannot verify signature: insecure algorithm SHA1-RSA", "bad_certificate"),
        ("Parsing certificate 1: Missing PEM block", "bad_ca_cert"),
        # OpenSSL, as Ruby and Python have it
        ("SSL_connect: certificate verify failed (certificate has expired)", "certificate_expired"),
        ("certificate verify failed: self-signed certificate in certificate chain", "wrong_ca"),
        ("certificate verify failed: unable to get local issuer certificate", "wrong_ca"),
        (
            "certificate verify failed: Hostname mismatch, certificate is not valid for 'a'",
            "certificate_of_another_name",
        ),
        # crypto/tls and net/http
        (GET + "tls: first record does not look like a TLS handshake", "not_tls"),
        (GET + "http: server gave HTTP response to HTTPS client", "not_tls"),
        (GET + 'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x15"', "not_tls"),
        (GET + "remote error: tls: bad certificate", "tls_refused"),
        (GET + "remote error: tls: handshake failure", "tls_refused"),
        (GET + "remote error: tls: expired certificate", "certificate_expired"),
        (GET + "remote error: tls: protocol version not supported", "tls_refused"),
        (GET + "net/http: TLS handshake timeout", "unreachable"),
        (GET + "dial tcp 10.0.0.6:25555: i/o timeout", "unreachable"),
        (GET + "read tcp 10.0.0.1:4->10.0.0.6:25555: read: connection reset by peer", "unreachable"),
        (GET + "dial tcp: lookup bosh.example.org: no such host", "unreachable"),
        (GET + "dial tcp: lookup bosh on 10.0.0.2:53: server misbehaving", "unreachable"),
        (GET + "EOF\nExit code 1", "unreachable"),
        (GET + "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "unreachable"),
        (GET + "socks connect tcp 127.0.0.1:1080->10.0.0.6:25555: unknown error host unreachable", "unreachable"),
        # bosh-utils httpclient/socksify.go, cloudfoundry/socks5-proxy
        (
            GET + "Creating SOCKS5 dialer: get host key: dial tcp 10.0.0.1:22: connect: connection refused",
            "proxy_failed",
        ),
        (GET + "Creating SOCKS5 dialer: ssh dial: ssh: handshake failed: ssh: unable to authenticate", "proxy_failed"),
        (GET + "Parsing BOSH_ALL_PROXY url: parse: invalid port", "proxy_failed"),
        (GET + "Reading private key file for SOCKS5 Proxy: open /k: no such file or directory", "proxy_failed"),
        (
            GET
            + "socks connect tcp 127.0.0.1:1080->10.0.0.6:25555: dial tcp 127.0.0.1:1080: connect: connection refused",
            "proxy_failed",
        ),
        (GET + "proxyconnect tcp: dial tcp 10.0.0.1:3128: i/o timeout", "proxy_failed"),
        # bosh-cli director/client_request.go, uaa/client_request.go
        (
            "UAA responded with non-successful status code '401' response '{\"error\":\"unauthorized\"}'",
            "wrong_credentials",
        ),
        (
            "Refreshing token: UAA responded with non-successful status code '400' response '{}'",
            "wrong_credentials",
        ),
        (
            "Director responded with non-successful status code '401' response 'Requires one of the scopes: bosh'",
            "missing_scope",
        ),
        (
            "Director responded with non-successful status code '404' response '<html><body>none</body></html>'",
            "not_a_director",
        ),
        (
            "Fetching info: Unmarshaling Director response: invalid character '<' looking for beginning of value",
            "not_a_director",
        ),
        # Files, and no connection
        ("Extracting release: reading tarball: unexpected EOF", ""),
    ],
)
def test_each_way_to_fail_has_its_own_cause_and_hint(words, cause):
    found, hint = explain(words)
    assert found == cause
    assert bool(hint) is bool(cause)


def test_no_two_certificate_causes_give_the_same_advice():
    hints = [BoshFailure(["bosh"], 1, "", cause=cause).hint for cause in CERTIFICATE_CAUSES + LOGIN_CAUSES]
    assert all(hints)
    assert len(set(hints)) == len(hints)


def test_one_cause_may_have_several_hints():
    dns, silence = (explain(GET + words) for words in ("lookup bosh: no such host", "connect: connection refused"))
    assert dns[0] == silence[0] == "unreachable"
    assert BoshFailure(["bosh"], 1, "lookup bosh: no such host").hint == dns[1] != silence[1]


@pytest.mark.parametrize(
    ("rc", "words"), [(1, "exit code 1 and printed no reason"), (-9, "signal 9 and printed no reason")]
)
def test_a_failure_without_a_reason_has_command_and_exit_code(rc, words):
    sentence = BoshFailure(["bosh", "locks"], rc, " \n").sentence()
    assert sentence.startswith("`bosh locks` ")
    assert sentence.endswith(words)
