# Copyright: bosh.ha contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.bosh.ha.plugins.module_utils.ssh_ciphers import cheapest_here, cipher_order, has_aes


def test_the_cheapest_cipher_that_is_there_comes_first():
    gcm, chacha = "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"
    known = ["3des-cbc", "aes192-ctr", "aes128-ctr", gcm, chacha]
    assert cipher_order(known, True) == [gcm, "aes128-ctr", chacha, "aes192-ctr"]
    assert cipher_order(known, False) == [chacha, gcm, "aes128-ctr", "aes192-ctr"]
    assert cipher_order(["aes128-ctr"], True) == ["aes128-ctr"]
    assert cipher_order([], True) == []
    assert has_aes("flags\t\t: fpu aes avx\n") and has_aes("Features\t: fp aes\n")
    assert not has_aes("flags\t: fpu vaes\nmodel name: aes\n")


def test_without_a_word_of_the_cpu_it_has_no_aes(tmp_path):
    known = ["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"]
    (tmp_path / "cpuinfo").write_text("flags : aes\n", encoding="utf-8")
    assert cheapest_here(known, str(tmp_path / "cpuinfo")) == known
    assert cheapest_here(known, str(tmp_path / "nothing")) == known[::-1]
