# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A failed call of the BOSH CLI: the command, the exit code, BOSH's own words, and what may help."""

from __future__ import annotations

import re

# Wording as the real CLI v7.10 and director 283 print it (tests/unit/fixtures/recorded/fail_*.json).
# The first that fits counts: what a failed task or a CPI says is not about the way to the director.
_HINTS: tuple[tuple[str, str, str], ...] = (
    (
        "lock_held",
        r"Unable to get deployment lock|Failed to acquire lock",
        "another task holds the lock: wait for it, or look at `bosh locks` and `bosh tasks`",
    ),
    (
        "task_failed",
        r"Expected task '\d+' to succeed but state is",
        "the task failed: `bosh task N --debug` has the whole story",
    ),
    (
        # bosh-cli cloud/errors.go
        "cpi_failed",
        r"CPI '\w+' method responded with error",
        "the CPI failed, not the director: it speaks of the IaaS or of the CPI's properties",
    ),
    (
        "timed_out",
        r"there was no end after \d+ s",
        "the command was ended after `timeout`; a task that it had started goes on: look at `bosh tasks`",
    ),
    (
        # bosh-cli director/client_request.go, uaa/client_request.go; the page is nginx's.
        "not_ready",
        r"responded with non-successful status code '50[234]'",
        "nginx answers, but the director behind it does not: see `monit summary` on its host",
    ),
    # What follows is in the words of Go's crypto/x509 (verify.go, x509.go) and crypto/tls (alert.go, conn.go), and of
    # OpenSSL's X509_verify_cert_error_string, as a CPI or a proxy may use it.
    (
        "bad_ca_cert",
        r"Parsing certificate \d+:|Invalid CA certificate|[Mm]issing PEM|failed to load system roots",
        "`ca_cert` itself cannot be read: give the CA's certificate in PEM, or the path of that file",
    ),
    (
        "certificate_not_yet_valid",
        r"not yet valid: current time \S+ is before|certificate is not yet valid",
        "the director's certificate, or that of its CA, begins to be valid later: set the clock of this node (and of"
        " the director, where the certificate was just made)",
    ),
    (
        "certificate_expired",
        r"certificate has expired|certificate is expired|tls: expired certificate",
        "the director's certificate, or that of its CA, has expired: renew it (the director's own comes anew with a"
        " deploy after `director_ssl` was removed from the vars store), or set the clock of this node",
    ),
    (
        "certificate_revoked",
        r"tls: revoked certificate|certificate revoked",
        "the certificate was revoked: make a new one for the director",
    ),
    (
        "certificate_without_san",
        r"relies on legacy Common Name|doesn't contain any IP SANs|certificate is not valid for any names",
        "the director's certificate has no subject alternative name of this kind: make it anew with the director's"
        " address in `alternative_names`",
    ),
    (
        "certificate_of_another_name",
        r"certificate is valid for .*(?:, not |but none matched)|(?i:hostname|IP address) mismatch"
        r"|certificate name does not match|tls: unrecognized name",
        "the director's certificate is made for other addresses: use one of those, or make it anew with this address in"
        " `alternative_names`",
    ),
    (
        "ca_cannot_sign",
        r"is not authorized to sign|parent certificate cannot sign|invalid CA certificate"
        r"|too many intermediates|path length constraint|unable to get certificate CRL",
        "a certificate that signed the director's is no CA, or may not sign it: `ca_cert` must be the CA's own",
    ),
    (
        "certificate_of_another_use",
        r"incompatible key usage|extended key usage|unsuitable certificate purpose|unsupported certificate purpose",
        "the certificate may not be used for a server: make it anew with `extended_key_usage: [server_auth]`",
    ),
    (
        "wrong_ca",
        r"signed by unknown authority|self.signed certificate|unable to get (?:local )?issuer certificate"
        r"|certificate is not trusted",
        "the director's certificate is not signed by `ca_cert`: is it this director's CA?",
    ),
    (
        "bad_certificate",
        r"x509:|failed to verify certificate|certificate verify failed|crypto/rsa: verification error",
        "the director's certificate cannot be used: look at it with `openssl s_client -showcerts`",
    ),
    (
        "not_tls",
        r"does not look like a TLS handshake|server gave HTTP response to HTTPS client|malformed HTTP response",
        "what answers there does not speak HTTPS, so it is no director: check address and port",
    ),
    (
        "tls_refused",
        r"remote error: tls:|tls: (?:handshake failure|server selected unsupported|no supported versions)"
        r"|tls: protocol version",
        "the other side refuses the TLS handshake: does something stand between, or want a client's certificate?",
    ),
    (
        # bosh-utils httpclient/socksify.go, cloudfoundry/socks5-proxy, golang.org/x/net/internal/socks, net/http.
        "proxy_failed",
        r"Creating SOCKS5 dialer|SOCKS5 Proxy|BOSH_ALL_PROXY|proxyconnect|Proxy Authentication Required"
        r"|socks connect [^\n]*: (?:dial|unexpected protocol|no acceptable|username/password|invalid username"
        r"|unknown error connection not allowed)",
        "the proxy (`all_proxy`) cannot be used, so nobody knows whether the director is there: check its address,"
        " user and key",
    ),
    (
        "unreachable",
        r"no such host|server misbehaving|[Nn]ame or service not known|name resolution",
        "the director's name cannot be resolved on this node: use its address, or mend DNS",
    ),
    (
        "unreachable",
        r"no route to host|host is down|connection refused|(?:i/o|TLS handshake|connection|operation) timed? ?out"
        r"|deadline exceeded|Client\.Timeout|(?:network|host) (?:is )?unreachable|https?://[^\n]*\bEOF\b"
        r"|connection reset|broken pipe|connect failed",
        "nothing answers there: is the VM up, the director started, and the route (all_proxy, jump host) open?",
    ),
    (
        "missing_scope",
        r"[Rr]equires? one of the scopes|insufficient_scope|status code '403'",
        "the director knows the client, which may not do this: give it the scope `bosh.admin`",
    ),
    (
        "wrong_credentials",
        r"status code '401'|UAA responded with non-successful status code '40\d'|Not authorized|\(not logged in\)"
        r"|as anonymous user",
        "the director refuses the client: check `client` and `client_secret` of this director",
    ),
    (
        "not_a_director",
        r"Unmarshaling (?:Director|UAA) response|non-successful status code '\d+' response '\s*<",
        "what answers there is no director's API: check address and port, and whether a proxy stands between",
    ),
    (
        "unknown_deployment",
        r'"code":\s*70000|Deployment \'[^\']*\' doesn\'t exist',
        "this director does not know the deployment",
    ),
    ("unknown_task", r'"code":\s*10000|Task \d+ not found', "this director does not know the task"),
    (
        "wrong_deployment",
        r"Expected manifest to specify deployment name",
        "the manifest is not the one of this deployment: check `manifest`",
    ),
)
#: A command that could not be run at all; BOSH itself has no words for it.
_CLI_MISSING = "the bosh CLI cannot be run: install version 7, or set bosh_ha_cli_options.cli (`cli`) to its path"
#: Somebody answers at the director's address and cannot be asked: it is neither absent nor stopped.
CERTIFICATE_CAUSES = (
    "bad_certificate",
    "ca_cannot_sign",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_of_another_name",
    "certificate_of_another_use",
    "certificate_revoked",
    "certificate_without_san",
    "not_a_director",
    "not_tls",
    "tls_refused",
    "wrong_ca",
)
LOGIN_CAUSES = ("missing_scope", "wrong_credentials")
_PAGE = re.compile(r" response '\s*(?:<!DOCTYPE[^>]*>\s*)?<html.*?</html>\s*'", re.DOTALL | re.IGNORECASE)
_FAILED_TASK = re.compile(r"Expected task '(\d+)' to succeed but state is '(\w+)'")


class BoshFailure(Exception):
    """A call of the CLI that did not succeed.

    Attributes: ``command`` (no secret is ever in it), ``rc``, ``words`` (BOSH's own), ``cause`` (a key of
    the table above, what only the caller knows such as cli_missing, or empty), ``hint``, ``task_id`` and ``task_state``
    where a task failed.
    """

    def __init__(self, command: list[str], rc: int, words: str, cause: str = "", hint: str = "") -> None:
        self.command = command
        self.rc = rc
        # The page that nginx makes for browsers says no more than its code.
        found, its_hint = explain(words)
        self.words = words = _PAGE.sub("", words).strip()
        self.cause = cause or found
        self.hint = hint or (its_hint if found == self.cause else _hint_of(self.cause))
        failed = _FAILED_TASK.search(words)
        self.task_id = int(failed.group(1)) if failed else None
        self.task_state = failed.group(2) if failed else ""
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """One sentence for a person."""
        ended = f"was ended by signal {-self.rc}" if self.rc < 0 else f"failed with exit code {self.rc}"
        told = f"`{' '.join(self.command)}` {ended}" + (f": {self.words}" if self.words else " and printed no reason")
        return f"{told} ({self.hint})" if self.hint else told

    def as_result(self) -> dict[str, object]:
        """The keys that a failing module returns."""
        result: dict[str, object] = {
            "msg": self.sentence(),
            "command": self.command,
            "rc": self.rc,
            "bosh_message": self.words,
            "cause": self.cause,
            "hint": self.hint,
        }
        if self.task_id is not None:
            result["task"] = {"id": self.task_id, "state": self.task_state}
        return result


def _hint_of(cause: str) -> str:
    if cause == "cli_missing":
        return _CLI_MISSING
    return next((hint for name, _pattern, hint in _HINTS if name == cause), "")


def explain(words: str) -> tuple[str, str]:
    """The cause's name and a hint for BOSH's words, or two empty strings where the cause is unknown."""
    for cause, pattern, hint in _HINTS:
        if re.search(pattern, words):
            return cause, hint
    return "", ""
