"""The doctor in broken set-ups: each names the one thing that is wrong, and what mends it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import pytest

import kinesis_source
from kinesis_source.cli.main import main
from kinesis_source.diagnosis.diagnosis import Diagnosis
from kinesis_source.diagnosis.examine import examine
from kinesis_source.diagnosis.findings import FAILED, OK, WARNING, Finding, Report
from kinesis_source.emulator import Emulator
from kinesis_source.policies.documents import READ_ACTIONS

Options = dict[str, str]


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def options(aws) -> Options:
    """A reader in one account, a stream in another, a role between them: all is well."""
    owner = aws.account("222222222222")
    stream = owner.create_stream("clicks", shards=2)
    for number in range(20):
        stream.put(b'{"n": %d}' % number, f"key {number}")
    user = aws.account("111111111111").create_user("etl", allow=["sts:AssumeRole"])
    role = owner.create_role(
        "reader", trusts=[user.arn], external_id="x1", allow=[(list(READ_ACTIONS), ["*"])]
    )
    return {
        "streamName": "clicks",
        "region": "us-east-1",
        "endpointUrl": aws.endpoint_url,
        "stsEndpoint": aws.endpoint_url,
        "awsAccessKey": user.access_key,
        "awsSecretKey": user.secret_key,
        "roleArn": role.arn,
        "roleExternalId": "x1",
    }


def test_all_is_well(options):
    report = examine(options)
    assert report.is_well
    steps = {finding.step: finding for finding in report.findings}
    assert list(steps)[-7:] == [
        "role",
        "DescribeStreamSummary",
        "ListShards",
        "GetShardIterator",
        "GetRecords",
        "encryption",
        "sample",
    ]
    assert "arn:aws:iam::111111111111:user/etl" in steps["caller"].text
    assert "the options awsAccessKey" in steps["credentials"].text
    assert "2 open, 0 closed" in steps["ListShards"].text
    (sample,) = report.samples
    assert sample.newest_age_s is not None
    assert sample.newest_age_s < 30
    assert sample.records_per_s > 0
    assert len(sample.records_shown) == 3
    assert json.loads(sample.records_shown[-1].text)["n"] < 20


def without_actions(*missing: str) -> Callable[[Emulator, Options], None]:
    def change(aws: Emulator, options: Options) -> None:
        owner = aws.account("222222222222")
        allowed = [action for action in READ_ACTIONS if action not in missing]
        user = "arn:aws:iam::111111111111:user/etl"
        role = owner.create_role("weak", trusts=[user], allow=[(allowed, ["*"])])
        options["roleArn"] = role.arn
        del options["roleExternalId"]

    return change


def setting(**changes: str | None) -> Callable[[Emulator, Options], None]:
    def change(_: Emulator, options: Options) -> None:
        options.update({name: value for name, value in changes.items() if value is not None})
        for name, value in changes.items():
            if value is None:
                del options[name]

    return change


def closed_port(_: Emulator, options: Options) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options["endpointUrl"] = f"http://127.0.0.1:{port}"


def denied_key(aws: Emulator, _: Options) -> None:
    aws.faults.add("error", operation="GetRecords", code="KMSAccessDeniedException")


BROKEN = [
    ("a misspelt option", setting(streamNam="clicks"), "options", "OPTION_UNKNOWN", "streamName"),
    ("no region", setting(region=None), "options", "OPTION_MISSING", "region"),
    ("an unknown host", setting(endpointUrl="http://kinesis.invalid:1"), "endpoint",
     "SERVICE_ENDPOINT", "kinesis.invalid"),
    ("nobody listens", closed_port, "endpoint", "SERVICE_ENDPOINT", "127.0.0.1"),
    ("no credentials", setting(awsAccessKey=None, awsSecretKey=None), "credentials",
     "CREDENTIAL_NOT_FOUND", "no AWS credentials"),
    ("an unknown key", setting(awsAccessKey="AKIAAAAAAAAAAAAAAAAA"), "role", "CREDENTIAL_INVALID",
     "AKIA****AAAA"),
    ("a wrong secret", setting(awsSecretKey="0" * 40), "role", "CREDENTIAL_INVALID", "AKIA****"),
    ("a wrong external id", setting(roleExternalId="other"), "role", "CREDENTIAL_ASSUME_ROLE",
     "'other'"),
    ("no such stream", setting(streamName="klicks"), "DescribeStreamSummary", "STREAM_NOT_FOUND",
     "'klicks'"),
    ("another region", setting(region="eu-west-1"), "DescribeStreamSummary", "STREAM_NOT_FOUND",
     "eu-west-1"),
    ("no ListShards", without_actions("kinesis:ListShards"), "ListShards", "ACCESS_DENIED",
     "kinesis:ListShards"),
    ("no GetRecords", without_actions("kinesis:GetRecords"), "GetRecords", "ACCESS_DENIED",
     "kinesis:GetRecords"),
    ("the key is denied", denied_key, "GetRecords", "ACCESS_KMS", "KMS"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "step", "code", "says"),
    [case[1:] for case in BROKEN],
    ids=[case[0].replace(" ", "-") for case in BROKEN],
)
def test_a_broken_set_up_names_the_one_thing_wrong(aws, options, change, step, code, says):
    change(aws, options)
    report = examine(options)
    failed = [finding for finding in report.findings if finding.state == FAILED]
    assert [(finding.step, finding.code) for finding in failed] == [(step, code)]
    assert says in failed[0].text
    assert failed[0].todo
    assert not report.samples
    for secret in (options.get("awsSecretKey"), "0" * 40):
        assert secret is None or secret not in report.to_json()


def test_what_a_role_lacks_is_there_to_paste(aws, options):
    options["roleExternalId"] = "other"
    (failed,) = [finding for finding in examine(options).findings if finding.state == FAILED]
    trust, own = failed.paste.split("# Permissions of ")
    policy = json.loads(trust.partition("\n")[2])
    assert policy["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::111111111111:user/etl"}
    assert "sts:AssumeRole" in own


def test_a_missing_action_comes_with_the_policy(aws, options):
    without_actions("kinesis:GetRecords")(aws, options)
    (failed,) = [finding for finding in examine(options).findings if finding.state == FAILED]
    statement = json.loads(failed.paste.partition("\n")[2])["Statement"][0]
    assert "kinesis:GetRecords" in statement["Action"]
    assert statement["Resource"] == ["arn:aws:kinesis:us-east-1:222222222222:stream/clicks"]


def test_a_certificate_bundle_that_is_not_there(aws, options, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent.pem")
    options["endpointUrl"] = options["endpointUrl"].replace("http:", "https:")
    failed = next(one for one in examine(options).findings if one.state == FAILED)
    assert failed.step == "endpoint"
    assert "AWS_CA_BUNDLE" in failed.todo


def test_a_proxy_that_does_not_answer(aws, options, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    failed = next(one for one in examine(options).findings if one.state == FAILED)
    assert failed.step == "endpoint"
    assert "through the proxy http://127.0.0.1:9" in failed.text
    assert "HTTP" in failed.todo


def test_a_clock_that_is_wrong_is_noted(monkeypatch, aws, options):
    real = time.time
    monkeypatch.setattr("kinesis_source.aws.reach.time.time", lambda: real() + 1_000)
    findings = {finding.step: finding for finding in examine(options).findings}
    assert findings["clock"].state == WARNING
    assert "s ahead of the endpoint's" in findings["clock"].text


def test_an_empty_stream_is_no_failure(aws, options):
    aws.account("222222222222").create_stream("quiet", shards=1)
    report = examine({**options, "streamName": "quiet"})
    assert report.is_well
    assert report.findings[-1].state == WARNING
    assert "no record is there" in report.findings[-1].text


def test_several_streams_are_told_apart(aws, options):
    aws.account("222222222222").create_stream("orders", shards=1)
    report = examine({**options, "streamName": "clicks,others"})
    states = {finding.step: finding.state for finding in report.findings}
    assert states["ListShards (clicks)"] == OK
    assert states["DescribeStreamSummary (others)"] == FAILED
    assert states["ListShards (others)"] == "not asked"


def test_reports_travel_as_json(options):
    report = examine(options)
    assert Report.from_json(report.to_json()) == report


def test_differences_between_places_are_marked():
    def report(place: str, who: str) -> Report:
        caller = Finding("caller", OK, who)
        return Report(place, (Finding("options", OK, "clicks"), caller))

    same = Diagnosis(tuple(report(place, "a") for place in ("here", "driver d", "executor e")))
    assert same.differences == []
    assert [place for place, _ in same.lines()] == ["everywhere", "everywhere"]
    other = Diagnosis((*same.reports, report("executor f", "b"), report("executor g", "b")))
    assert other.differences == ["caller"]
    assert [(place, one.text) for place, one in other.lines()][1:] == [
        ("here, driver d, executor e", "a"),
        ("2 executors", "b"),
    ]
    assert "<table" in other._repr_html_()


def test_markup_of_a_record_is_no_markup_of_the_page(aws, options):
    stream = aws.account("222222222222").stream("clicks")
    for number in range(4):
        stream.put(b"<script>alert(1)</script>", f"k{number}")
    shown = kinesis_source.doctor(options)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_the_command(options, capsys):
    words = [word for item in options.items() for word in ("--option", "=".join(item))]
    assert main(["doctor", *words]) == 0
    text = capsys.readouterr().out
    assert "All is well" in text
    assert "GetRecords" in text
    assert main(["doctor", *words, "--external-id", "other", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert options["awsSecretKey"] not in json.dumps(document)


def test_a_source_of_the_preview_can_be_asked(options):
    given = {**options}
    config = kinesis_source.KinesisConfig(
        given.pop("streamName"), given.pop("region"), None, "ts", None, options=given
    )
    source = kinesis_source.StreamSource(name="clicks", stream_config=config)
    assert kinesis_source.doctor(source, shown=0).ok
    with pytest.raises(TypeError, match="StreamSource"):
        kinesis_source.doctor(3)
