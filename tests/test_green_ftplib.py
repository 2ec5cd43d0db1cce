"""`eventlet.green.ftplib`. Client and server are green threads of one OS thread."""

from __future__ import annotations

import ftplib as original
import io

import pytest

import eventlet
from eventlet.green import ftplib
from support import ftp_server

pytestmark = pytest.mark.usefixtures("limit")


@pytest.fixture
def server():
    with ftp_server.server() as running:
        yield running


@pytest.fixture
def client(server):
    with ftplib.FTP() as ftp:
        ftp.connect(*server.address)
        ftp.login("user", "secret")
        yield ftp


def test_a_file_there_and_back(server, client):
    content = bytes(range(256)) * 4000
    client.storbinary("STOR file", io.BytesIO(content))
    received = io.BytesIO()
    client.retrbinary("RETR file", received.write)
    assert received.getvalue() == content
    assert client.nlst() == ["file"]


def test_errors_are_those_of_the_module(client):
    with pytest.raises(ftplib.error_perm, match="550"):
        client.retrbinary("RETR nothing", io.BytesIO().write)


def test_timeout():
    listener = eventlet.listen(("127.0.0.1", 0))
    client = ftplib.FTP()
    with pytest.raises(TimeoutError):
        client.connect(*listener.getsockname(), timeout=0.01)
    client.close()
    listener.close()


def test_all_names_are_there_and_the_original_is_left_alone():
    assert not {*dir(original)} - {*dir(ftplib)}
    assert original.FTP is not ftplib.FTP
    assert original.socket is not ftplib.socket
