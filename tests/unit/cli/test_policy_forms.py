"""Policies in all forms: IAM's own grammar, what they allow, and what an identity lacks of them."""

from __future__ import annotations

import gc
import json
import re
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kinesis_source.cli.main import main
from kinesis_source.emulator import Emulator
from kinesis_source.policies.documents import (
    FAN_OUT_ACTIONS,
    READ_ACTIONS,
    WRITE_ACTIONS,
    assume_policy,
    permissions_policy,
    stream_policy,
    trust_policy,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # it leaves its own files to the collector
    import parliament

    gc.collect()

STREAM = "arn:aws:kinesis:us-west-2:222222222222:stream/clicks"
CHINA = "arn:aws-cn:kinesis:cn-north-1:222222222222:stream/clicks"
READER = "arn:aws:iam::111111111111:role/spark"
KEY = "arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def problems(document: dict, policy_type: str | None = None) -> list[str]:
    found = parliament.analyze_policy_string(json.dumps(document)).findings
    # Trust and resource policies have a Principal, which identities' policies must not.
    ignored = {"UNKNOWN_PRINCIPAL"} if policy_type else set()
    return [str(one) for one in found if one.issue not in ignored]


@pytest.mark.parametrize("access", [("read",), ("write",), ("fan-out",), ("read", "write")])
@pytest.mark.parametrize("stream", [STREAM, CHINA])
@pytest.mark.parametrize("key", [None, KEY])
def test_identity_policies_are_iam_s_grammar(access, stream, key):
    if key is not None and stream == CHINA:
        key = KEY.replace("arn:aws:", "arn:aws-cn:").replace("us-west-2", "cn-north-1")
    assert problems(permissions_policy([stream], key, access)) == []


def test_other_policies_are_iam_s_grammar():
    assert problems(assume_policy("arn:aws:iam::222222222222:role/reader")) == []
    assert problems(stream_policy(STREAM, READER, ("read",)), "resource") == []
    # A trust policy has no Resource: the role is it.
    (only,) = problems(trust_policy(READER, "x-1"), "resource")
    assert "neither Resource nor NotResource" in only


def test_what_each_access_allows():
    def actions(*access: str) -> set[str]:
        statements = permissions_policy([STREAM], KEY, access)["Statement"]
        return {action for statement in statements for action in statement["Action"]}

    assert actions("read") == {*READ_ACTIONS, "kms:Decrypt"}
    assert actions("write") == {*WRITE_ACTIONS, "kms:GenerateDataKey"}
    assert actions("fan-out") == {*READ_ACTIONS, *FAN_OUT_ACTIONS, "kms:Decrypt"}
    assert not any("*" in action for action in actions("read", "write", "fan-out"))


def test_cloudformation(capsys):
    arguments = ["policy", "--stream-arn", STREAM, "--reader-arn", READER, "--external-id", "x-1"]
    assert main([*arguments, "--format", "cloudformation"]) == 0
    parts = re.findall(
        r"^# \d\. Account (\d+)[^\n]*\n(\{\n.*?^\})", capsys.readouterr().out, re.M | re.S
    )
    assert [account for account, _ in parts] == ["222222222222", "111111111111"]
    role = json.loads(parts[0][1])["Resources"]["Access"]
    assert role["Type"] == "AWS::IAM::Role"
    assert role["Properties"]["AssumeRolePolicyDocument"] == trust_policy(READER, "x-1")
    (inline,) = role["Properties"]["Policies"]
    assert inline["PolicyDocument"] == permissions_policy([STREAM])
    own = json.loads(parts[1][1])["Resources"]["Access"]
    assert own["Type"] == "AWS::IAM::ManagedPolicy"


def test_terraform(capsys):
    arguments = ["policy", "--stream-arn", STREAM, "--reader-arn", READER, "--external-id", "x-1"]
    assert main([*arguments, "--format", "terraform", "--access", "write"]) == 0
    text = capsys.readouterr().out
    documents = [json.loads(part) for part in re.findall(r"<<-JSON\n(.*?)\n  JSON", text, re.S)]
    assert documents[:2] == [
        trust_policy(READER, "x-1"),
        permissions_policy([STREAM], None, ["write"]),
    ]
    assert 'resource "aws_iam_role" "kinesis_reader"' in text


def test_policies_of_the_stream_itself(capsys):
    assert main(["policy", "--stream-arn", STREAM, "--reader-arn", READER, "--on-stream"]) == 0
    text = capsys.readouterr().out
    assert f"resource policy of {STREAM}" in text
    assert f"streamARN={STREAM}" in text
    with pytest.raises(SystemExit):
        main(["policy", "--stream-arn", STREAM, "--on-stream"])


@pytest.fixture
def reader(monkeypatch):
    """Options of a reader that may do all but GetRecords, on an emulator."""
    with Emulator() as aws:
        account = aws.account("111111111111")
        stream = account.create_stream("clicks", shards=1)
        stream.put(b"x", "k")
        allowed = [action for action in READ_ACTIONS if action != "kinesis:GetRecords"]
        user = account.create_user("etl", allow=[(allowed, [stream.arn])])
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", aws.endpoint_url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.endpoint_url)
        options = {
            "endpointUrl": aws.endpoint_url,
            "awsAccessKey": user.access_key,
            "awsSecretKey": user.secret_key,
        }
        words = [word for item in options.items() for word in ("--option", "=".join(item))]
        yield ["policy", "--stream-arn", stream.arn, "--check", *words]


def test_what_is_missing_is_found_by_calls(reader, capsys):
    assert main(reader) == 1
    text = capsys.readouterr().out
    assert "Identity: arn:aws:iam::111111111111:user/etl" in text
    assert re.search(r"kinesis:ListShards +allowed +calls that were made", text)
    assert re.search(r"kinesis:GetRecords +DENIED", text)
    assert "Missing: kinesis:GetRecords." in text


def test_what_cannot_be_tried_is_said_to_be_unknown(reader, capsys):
    main([*reader, "--access", "write"])
    assert re.search(r"kinesis:PutRecords +not known", capsys.readouterr().out)


class Iam(BaseHTTPRequestHandler):
    """Simulates: all is allowed but PutRecords."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert "Action=SimulatePrincipalPolicy" in body
        members = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalDecision>"
            f"{'implicitDeny' if 'Put' in action else 'allowed'}</EvalDecision></member>"
            for action in WRITE_ACTIONS
        )
        reply = (
            "<SimulatePrincipalPolicyResponse xmlns='https://iam.amazonaws.com/doc/2010-05-08/'>"
            f"<SimulatePrincipalPolicyResult><EvaluationResults>{members}</EvaluationResults>"
            "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>"
            "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>"
            "</SimulatePrincipalPolicyResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_iam_is_asked_where_it_answers(reader, monkeypatch, capsys):
    with ThreadingHTTPServer(("127.0.0.1", 0), Iam) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", f"http://127.0.0.1:{server.server_port}")
        assert main([*reader, "--access", "write"]) == 1
        server.shutdown()
    text = capsys.readouterr().out
    assert "IAM's simulation" in text
    assert "Missing: kinesis:PutRecords." in text
