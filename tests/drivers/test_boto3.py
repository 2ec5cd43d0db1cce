"""boto3, against a server that answers anything."""

from __future__ import annotations

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed")


def test_get_object(http_peer, run_patched):
    code = """
import boto3
from botocore.config import Config
client = boto3.session.Session().client(
    "s3",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
    config=Config(max_pool_connections=50, s3={"addressing_style": "path"}),
    endpoint_url=given.url,
    region_name="eu-central-1",
)
client.meta.events.register("before-sign.s3.GetObject", lambda request, **_: slow(request))
def slow(request):
    request.url += "&wait=0.6" if "?" in request.url else "?wait=0.6"
def get(number):
    return client.get_object(Bucket="bucket", Key=str(number))["Body"].read()
assert overlap(get) == [b"/bucket/%d " % number for number in range(50)]
"""
    run_patched(code, url=http_peer)
