"""Every endpoint of Kinesis and STS that botocore knows is known as AWS's, and in its region."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import EndpointVariantError

import kinesis_source
from kinesis_source.aws.credentials import is_aws_url
from kinesis_source.options.parse import parse_options

RESOLVER = botocore.session.Session()._get_internal_component("endpoint_resolver")
VARIANTS = [(fips, dual_stack) for fips in (False, True) for dual_stack in (False, True)]


def hosts(service: str) -> dict[str, str]:
    """Host -> region, of all partitions, regions and variants."""
    found = {}
    for partition in RESOLVER.get_available_partitions():
        for region in RESOLVER.get_available_endpoints(service, partition):
            for fips, dual_stack in VARIANTS:
                with suppress(EndpointVariantError):
                    endpoint = RESOLVER.construct_endpoint(
                        service,
                        region,
                        partition,
                        use_fips_endpoint=fips,
                        use_dualstack_endpoint=dual_stack,
                    )
                    found[endpoint["hostname"]] = region
    return found


def test_botocore_knows_all_partitions_that_are_tried_here():
    assert {"aws", "aws-cn", "aws-eusc", "aws-iso"} <= set(RESOLVER.get_available_partitions())
    assert len(hosts("kinesis")) > 80


@pytest.mark.parametrize(("host", "region"), hosts("kinesis").items())
def test_a_bare_host_of_kinesis_is_an_endpoint_and_tells_its_region(host: str, region: str):
    settings = parse_options({"streamName": "a", "endpointUrl": host}, environ={})
    assert settings.client.endpoint_url == f"https://{host}"
    assert settings.client.region == region
    assert is_aws_url(settings.client.endpoint_url)


@pytest.mark.parametrize("host", hosts("sts"))
def test_a_host_of_sts_is_awss(host: str):
    assert is_aws_url(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    ["kinesis.us-east-1.amazonaws.com.example.org", "amazonaws.com", "kinesisamazonaws.com"],
)
def test_what_only_looks_like_awss_is_not(host: str):
    assert not is_aws_url(f"https://{host}")


def test_no_other_module_lists_awss_hosts():
    package = Path(kinesis_source.__file__).parent
    lists = re.compile(r"amazonaws\\?\.|api\\?\.aws\b|c2s\\?\.ic|sc2s")
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if lists.search(path.read_text(encoding="utf-8"))
    ]
    assert [path for path in found if not path.startswith("emulator/")] == []
