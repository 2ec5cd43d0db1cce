"""`ftplib` of the standard library, against pyftpdlib."""

from __future__ import annotations


def test_commands(ftp_peer, run_patched):
    code = """
import ftplib
def work(number):
    with ftplib.FTP(timeout=20) as ftp:
        ftp.connect("127.0.0.1", given.port)
        ftp.login()
        ftp.nlst()
        return ftp.voidcmd("NOOP")
assert len({*overlap(work)}) == 1
"""
    run_patched(code, port=ftp_peer)
