"""Which failures are repeated, how long the waits are, and when it ends."""

from __future__ import annotations

import pytest
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from kinesis_source.aws.retry import (
    FIRST_CONTACT_MS,
    CallFailedError,
    IncompleteReplyError,
    Kind,
    RetryPolicy,
    classify,
)
from kinesis_source.errors import CredentialError


def refusal(code: str, status: int = 400) -> boto.ClientError:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "GetRecords")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def policy(self, budget_ms: int, random: float = 0.999) -> RetryPolicy:
        return RetryPolicy(
            budget_ms, sleep=self.sleep, clock=lambda: self.now_s, random=lambda: random
        )


class Script:
    """A call that fails with each of the given errors, then returns "done"."""

    def __init__(self, *errors: Exception, forever: Exception | None = None) -> None:
        self.errors = list(errors)
        self.forever = forever
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        if self.forever is not None:
            raise self.forever
        return "done"


def never(_: float) -> bool:
    pytest.fail("credentials were renewed")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("ProvisionedThroughputExceededException"), Kind.THROTTLED),
        (refusal("LimitExceededException"), Kind.THROTTLED),
        (refusal("KMSThrottlingException"), Kind.THROTTLED),
        (refusal("SomethingNew", 429), Kind.THROTTLED),
        (refusal("InternalFailureException", 500), Kind.TRANSIENT),
        (refusal("ServiceUnavailable", 503), Kind.TRANSIENT),
        (refusal("503", 503), Kind.TRANSIENT),
        (refusal("SomethingNew", 502), Kind.TRANSIENT),
        (refusal("ResourceInUseException"), Kind.TRANSIENT),
        (refusal("ExpiredTokenException"), Kind.EXPIRED),
        (refusal("ExpiredToken", 403), Kind.EXPIRED),
        (refusal("UnrecognizedClientException"), Kind.UNKNOWN_KEY),
        (refusal("InvalidClientTokenId", 403), Kind.UNKNOWN_KEY),
        (boto.HTTPClientError(error=ValueError("Invalid header value b'T0K3N\\n'")), Kind.FINAL),
        (boto.HTTPClientError(error=OSError("network")), Kind.TRANSIENT),
        (boto.SSLError(endpoint_url="x", error="[Errno 2] No such file"), Kind.WRONG_ENDPOINT),
        (NotADirectoryError("token file"), Kind.FINAL),
        (refusal("404", 404), Kind.WRONG_ENDPOINT),
        (refusal("UnknownOperationException"), Kind.WRONG_ENDPOINT),
        (refusal("ResourceNotFoundException"), Kind.FINAL),
        (refusal("AccessDeniedException"), Kind.FINAL),
        (refusal("ExpiredIteratorException"), Kind.FINAL),
        (boto.ParamValidationError(report="bad ARN"), Kind.FINAL),
        (boto.NoCredentialsError(), Kind.FINAL),
        (boto.EndpointConnectionError(endpoint_url="x"), Kind.CONNECTION),
        (boto.ConnectTimeoutError(endpoint_url="x"), Kind.CONNECTION),
        (boto.SSLError(endpoint_url="x", error="EOF occurred"), Kind.CONNECTION),
        (boto.SSLError(endpoint_url="x", error="CERTIFICATE_VERIFY_FAILED"), Kind.WRONG_ENDPOINT),
        (boto.ReadTimeoutError(endpoint_url="x"), Kind.TRANSIENT),
        (boto.ConnectionClosedError(endpoint_url="x"), Kind.TRANSIENT),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), Kind.TRANSIENT),
        (urllib3.exceptions.ProtocolError("cut"), Kind.TRANSIENT),
        (ConnectionResetError(), Kind.TRANSIENT),
        (FileNotFoundError("token file"), Kind.FINAL),
        (ResponseParserError("cut"), Kind.INCOMPLETE),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), Kind.INCOMPLETE),
        (
            IncompleteReplyError("Records", content_type="application/x-amz-json-1.1"),
            Kind.INCOMPLETE,
        ),
        (IncompleteReplyError("Records", content_type="text/html"), Kind.CONNECTION),
    ],
)
def test_failures_are_sorted_by_explicit_lists(error, kind):
    assert classify(error) is kind


def test_repeats_what_passes_and_returns_the_answer():
    time = Time()
    call = Script(refusal("ThrottlingException"), boto.ReadTimeoutError(endpoint_url="x"))
    assert time.policy(60_000).run(call, never) == "done"
    assert call.calls == 3


def test_a_final_refusal_is_not_repeated():
    time, call = Time(), Script(forever=refusal("AccessDeniedException"))
    with pytest.raises(CallFailedError) as failed:
        time.policy(60_000).run(call, never)
    assert (call.calls, failed.value.attempts, time.slept) == (1, 1, [])


def test_the_budget_is_a_deadline_and_the_failure_counts_tries_and_seconds():
    time, call = Time(), Script(forever=refusal("InternalFailure", 500))
    with pytest.raises(CallFailedError) as failed:
        time.policy(10_000).run(call, never)
    assert failed.value.elapsed_s == pytest.approx(10.0)
    assert failed.value.attempts == call.calls == len(time.slept) + 1
    assert failed.value.kind is Kind.TRANSIENT


def test_no_budget_means_one_try():
    call = Script(forever=refusal("ThrottlingException"))
    with pytest.raises(CallFailedError):
        Time().policy(0).run(call, never)
    assert call.calls == 1


def test_waits_double_are_jittered_and_capped():
    policy = Time().policy(60_000, random=0.5)
    waits = [policy.delay_s(Kind.TRANSIENT, tries) for tries in (1, 2, 3, 50)]
    assert waits == [0.1, 0.2, 0.4, 2.5]


def test_a_throttled_shard_gets_at_least_300_ms():
    """AWS clears a throttled shard in about a second: asking at once only costs calls."""
    assert Time().policy(60_000, random=0.0).delay_s(Kind.THROTTLED, 1) == 0.3
    assert Time().policy(60_000, random=0.999).delay_s(Kind.THROTTLED, 1) < 1.0


def test_an_endpoint_that_never_answered_is_given_up_in_seconds():
    time = Time()
    call = Script(forever=boto.EndpointConnectionError(endpoint_url="x"))
    with pytest.raises(CallFailedError) as failed:
        time.policy(120_000).run(call, never, has_answered=lambda: False)
    assert failed.value.elapsed_s <= FIRST_CONTACT_MS / 1000


def test_an_endpoint_that_answered_before_gets_the_whole_budget():
    time = Time()
    call = Script(forever=boto.EndpointConnectionError(endpoint_url="x"))
    with pytest.raises(CallFailedError) as failed:
        time.policy(120_000).run(call, never, has_answered=lambda: True)
    assert failed.value.elapsed_s == pytest.approx(120.0)


def test_expired_credentials_are_renewed_and_the_call_repeated_at_once():
    time, call, renewed = Time(), Script(refusal("ExpiredTokenException")), []
    assert time.policy(60_000).run(call, lambda used_s: not renewed.append(used_s)) == "done"
    assert (renewed, time.slept) == ([100.0], [])


def test_short_lived_credentials_may_expire_again_within_the_budget():
    time, call = Time(), Script(*[refusal("ExpiredToken", 403)] * 4)
    assert time.policy(60_000).run(call, lambda _: True) == "done"
    assert len(time.slept) == 3


def test_credentials_that_cannot_change_are_final_at_the_second_refusal():
    call = Script(forever=refusal("ExpiredTokenException"))
    with pytest.raises(CallFailedError) as failed:
        Time().policy(60_000).run(call, lambda _: False)
    assert (call.calls, failed.value.kind) == (2, Kind.EXPIRED)


def test_an_unknown_key_is_replaced_and_the_call_repeated_at_once():
    time, call, renewed = Time(), Script(refusal("UnrecognizedClientException")), []
    assert time.policy(0).run(call, lambda used_s: not renewed.append(used_s)) == "done"
    assert (renewed, time.slept) == ([100.0], [])


def test_an_unknown_key_that_stays_is_final_at_once():
    time, call = Time(), Script(forever=refusal("InvalidClientTokenId", 403))
    with pytest.raises(CallFailedError) as failed:
        time.policy(60_000).run(call, lambda _: False)
    assert (call.calls <= 2, failed.value.kind, time.slept) == (True, Kind.UNKNOWN_KEY, [])


def test_ever_other_unknown_keys_are_not_tried_for_ever():
    call = Script(forever=refusal("InvalidClientTokenId", 403))
    with pytest.raises(CallFailedError):
        Time().policy(60_000).run(call, lambda _: True)
    assert call.calls == 3


def test_errors_of_the_source_pass_through():
    call = Script(forever=CredentialError("CREDENTIAL_NOT_FOUND", "None.", "Give some."))
    with pytest.raises(CredentialError):
        Time().policy(60_000).run(call, never)
    assert call.calls == 1


def test_mistakes_in_the_program_are_not_repeated():
    call = Script(forever=AttributeError("typo"))
    with pytest.raises(AttributeError):
        Time().policy(60_000).run(call, never)
    assert call.calls == 1
