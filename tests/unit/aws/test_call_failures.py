"""Each way a call can fail for good: the code, the facts in the text, and no secrets."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from kinesis_source.aws.failures import (
    CallFacts,
    aws_text,
    explain,
    mask_access_key,
    quotable_cause,
)
from kinesis_source.aws.retry import CallFailedError, IncompleteReplyError, classify
from kinesis_source.errors import (
    AccessDeniedError,
    CredentialError,
    ServiceError,
    StreamError,
    ThrottledError,
)
from kinesis_source.options.settings import StreamSettings

ARN = "arn:aws:kinesis:eu-west-1:222222222222:stream/clicks"
CALLER = "arn:aws:sts::111111111111:assumed-role/etl/me"


def refusal(code: str, message: str = "AWS's words.", status: int = 400) -> boto.ClientError:
    metadata = {"HTTPStatusCode": status, "RequestId": "req-1"}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    return boto.ClientError(response, "GetRecords")


def explained(error: Exception, *, status: str | None = None, key: str = "clicks", **facts):
    facts = CallFacts(
        **{
            "operation": "GetRecords",
            "region": "eu-west-1",
            "endpoint": "https://kinesis.eu-west-1.amazonaws.com",
            "who": lambda: CALLER,
            "account": lambda: "111111111111",
            "stream_status": lambda: status,
            "stream": StreamSettings.from_key(key),
            "shard_id": "shardId-000000000001",
            **facts,
        }
    )
    failed = CallFailedError(error, classify(error), 3, 2.14)
    return explain(failed, facts, "AKIA****WXYZ")


@pytest.mark.parametrize(
    ("error", "kind", "code", "says"),
    [
        (
            refusal("ProvisionedThroughputExceededException"),
            ThrottledError,
            "SERVICE_THROTTLED",
            ["until the retry budget was spent", "retryBudget"],
        ),
        (
            refusal("InternalFailureException", status=500),
            ServiceError,
            "SERVICE_UNAVAILABLE",
            ["InternalFailureException: AWS's words"],
        ),
        (
            boto.ReadTimeoutError(endpoint_url="https://x"),
            ServiceError,
            "SERVICE_UNAVAILABLE",
            ["ReadTimeoutError"],
        ),
        (
            IncompleteReplyError("Records", "req-1"),
            ServiceError,
            "SERVICE_INCOMPLETE_REPLY",
            ["no Records"],
        ),
        (
            IncompleteReplyError("Records", None, "text/html"),
            ServiceError,
            "SERVICE_ENDPOINT",
            ["text/html", "https://kinesis.eu-west-1.amazonaws.com", "endpointUrl"],
        ),
        (
            boto.EndpointConnectionError(endpoint_url="https://x"),
            ServiceError,
            "SERVICE_ENDPOINT",
            ["eu-west-1", "EndpointConnectionError"],
        ),
        (
            boto.SSLError(endpoint_url="https://x", error="CERTIFICATE_VERIFY_FAILED"),
            ServiceError,
            "SERVICE_ENDPOINT",
            ["CERTIFICATE_VERIFY_FAILED", "certificates"],
        ),
        (refusal("404", "Not Found", 404), ServiceError, "SERVICE_ENDPOINT", ["404"]),
        (
            refusal("InvalidArgumentException"),
            ServiceError,
            "SERVICE_ERROR",
            ["InvalidArgumentException: AWS's words"],
        ),
        (
            boto.ParamValidationError(report="too short"),
            ServiceError,
            "SERVICE_ERROR",
            ["too short"],
        ),
        (
            refusal("KMSAccessDeniedException"),
            AccessDeniedError,
            "ACCESS_KMS",
            [CALLER, "kms:Decrypt"],
        ),
        (refusal("KMSDisabledException"), AccessDeniedError, "ACCESS_KMS", ["enabled"]),
        (
            refusal("KMSThrottlingException"),
            ThrottledError,
            "SERVICE_THROTTLED",
            ["KMSThrottlingException"],
        ),
        (
            refusal("UnrecognizedClientException"),
            CredentialError,
            "CREDENTIAL_INVALID",
            ["AKIA****WXYZ", "does not know"],
        ),
        (
            refusal("ExpiredTokenException"),
            CredentialError,
            "CREDENTIAL_EXPIRED",
            ["AKIA****WXYZ", "roleArn"],
        ),
    ],
)
def test_each_failure_has_its_code_and_facts(error, kind, code, says):
    told = explained(error)
    assert type(told) is kind
    assert told.code == code
    for words in (*says, "GetRecords", "shardId-000000000001", "3 tries in 2.1 s"):
        assert words in str(told)


def test_names_stream_region_and_request():
    told = str(explained(refusal("ThrottlingException")))
    assert "stream 'clicks' in eu-west-1".lower() in told.lower()
    assert "request id req-1" in told


def test_a_denied_call_names_what_aws_named():
    told = explained(
        refusal(
            "AccessDeniedException",
            f"User: {CALLER} is not authorized to perform: kinesis:ListShards on resource: {ARN} "
            "because no identity-based policy allows the kinesis:ListShards action",
        ),
        who=lambda: pytest.fail("AWS had said who"),
    )
    assert type(told) is AccessDeniedError
    assert told.code == "ACCESS_DENIED"
    assert f"{CALLER} may not call kinesis:ListShards on {ARN}" in str(told)
    assert "Allow kinesis:ListShards" in told.hint


def test_a_denied_call_of_few_words_is_filled_in():
    told = explained(refusal("AccessDeniedException", ""))
    assert f"{CALLER} may not call kinesis:GetRecords on clicks" in str(told)


def test_a_denied_key_is_told_apart_from_a_denied_stream():
    message = f"User: {CALLER} is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:x"
    assert explained(refusal("AccessDeniedException", message)).code == "ACCESS_KMS"


def test_a_missing_stream_names_account_and_region():
    told = explained(refusal("ResourceNotFoundException"), shard_id=None)
    assert type(told) is StreamError
    assert told.code == "STREAM_NOT_FOUND"
    assert "no stream 'clicks' in eu-west-1, account 111111111111" in str(told)
    assert "roleArn" in told.hint


def test_the_account_of_an_arn_needs_no_question():
    told = explained(
        refusal("ResourceNotFoundException"),
        key=ARN,
        shard_id=None,
        account=lambda: pytest.fail("the ARN says it"),
    )
    assert "account 222222222222" in str(told)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("ACTIVE", "STREAM_SHARD_NOT_FOUND"),
        ("DELETING", "STREAM_DELETING"),
        (None, "STREAM_NOT_FOUND"),
    ],
)
def test_a_missing_shard_is_told_apart_from_a_missing_stream(status, code):
    assert explained(refusal("ResourceNotFoundException"), status=status).code == code


@pytest.mark.parametrize(
    ("status", "code"), [("CREATING", "STREAM_NOT_ACTIVE"), ("DELETING", "STREAM_DELETING")]
)
def test_a_stream_in_use(status, code):
    told = explained(refusal("ResourceInUseException"), status=status)
    assert (type(told), told.code) == (StreamError, code)


def test_the_words_of_a_wrong_signature_are_not_repeated():
    """AWS repeats the signed headers there, session token included."""
    error = refusal(
        "InvalidSignatureException",
        "The Canonical String should have been 'x-amz-security-token:T0K3N'",
    )
    told = explained(error)
    assert told.code == "CREDENTIAL_INVALID"
    assert "T0K3N" not in str(told)
    assert aws_text(error) == "InvalidSignatureException"
    assert "clock" in told.hint
    assert quotable_cause(error) is None
    assert quotable_cause(refusal("AccessDeniedException")) is not None


def test_long_answers_are_cut():
    assert len(str(explained(refusal("ValidationException", "x" * 5_000)))) < 1_000


@pytest.mark.parametrize(
    ("key", "shown"), [("AKIAIOSFODNN7EXAMPLE", "AKIA****MPLE"), ("test", "****")]
)
def test_access_keys_are_masked(key, shown):
    assert mask_access_key(key) == shown


def test_a_body_that_the_library_could_not_read_is_not_quoted():
    """A reply of STS holds credentials, whatever is left of their names."""
    error = ResponseParserError(
        "Unable to parse response (no element found):\nb'<Credentials>T0K3N'"
    )
    assert aws_text(error) == "ResponseParserError: Unable to parse response (no element found):"
    assert quotable_cause(error) is None
