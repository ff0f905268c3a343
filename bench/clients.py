"""A plain boto3 client of a server on loopback, as most programs make it; in any process."""

from __future__ import annotations

from typing import Any

import boto3

__all__ = ["plain_client"]


def plain_client(endpoint_url: str) -> Any:
    """Return a Kinesis client with the test keys that servers on loopback take."""
    return boto3.client(
        "kinesis",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - opens nothing
    )
