"""Where the two witnesses differ, and what AWS's documentation says there.

A difference that is not listed fails the parity test; so does a listed one that is gone or has
another shape. ``docs/reference/emulator-parity.md`` shows the same list, and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DIFFERENCES", "Difference"]

_ARGUMENT = "InvalidArgumentException"
_NOT_FOUND = "ResourceNotFoundException"


@dataclass(frozen=True)
class Difference:
    """What each witness showed, and the verdict.

    Parameters
    ----------
    emulator, localstack : object
        The observation's value there, exactly.
    documentation : str
        What AWS documents, and where.
    right : str
        ``emulator``, ``localstack`` or ``undecided`` where the documentation is silent.
    """

    emulator: object
    localstack: object
    documentation: str
    right: str = "emulator"


DIFFERENCES: dict[str, Difference] = {
    "the_hash_key_where_the_second_of_two_shards_starts": Difference(
        emulator=0,
        localstack=-1,
        documentation="CreateStream does not say how the hash keys are shared out. Shown as the "
        "distance to 2^127; on both witnesses the ranges meet and cover everything.",
        right="undecided",
    ),
    "shards_that_were_open_at_the_trim_horizon": Difference(
        emulator=["0"],
        localstack=["0", "1", "2"],
        documentation="ShardFilter: AT_TRIM_HORIZON includes the shards that were open at "
        "TRIM_HORIZON; the children of a later split were not.",
    ),
    "a_hash_key_that_is_no_number_is_refused": Difference(
        emulator=_ARGUMENT,
        localstack="500",
        documentation="PutRecord: ExplicitHashKey has the pattern 0|([1-9]\\d{0,38}); a parameter "
        "that breaks its restrictions is an InvalidArgumentException, no server fault.",
    ),
    "a_request_of_501_records_is_refused": Difference(
        emulator=_ARGUMENT,
        localstack="ok",
        documentation="PutRecords: a request holds at most 500 records.",
    ),
    "a_made_up_iterator_is_refused": Difference(
        emulator=_ARGUMENT,
        localstack="500",
        documentation="GetRecords: InvalidArgumentException for a parameter that cannot be used; "
        "500 is kept for InternalFailureException.",
    ),
    "at_timestamp_has_milliseconds": Difference(
        emulator=["1"],
        localstack=["0", "1"],
        documentation="GetShardIterator: Timestamp has millisecond precision, and the iterator is "
        "for the record with exactly that time or the next later one. LocalStack floors it to a "
        "second.",
    ),
    "a_timestamp_in_the_future_is_refused": Difference(
        emulator=_ARGUMENT,
        localstack="ok",
        documentation="GetShardIterator does not say. AWS was reported to answer that "
        "timestampInMillis cannot be greater than currentTimestampInMillis.",
        right="undecided",
    ),
    "a_sequence_number_of_nothing_is_refused": Difference(
        emulator=[_ARGUMENT, _ARGUMENT],
        localstack=[_NOT_FOUND, _NOT_FOUND],
        documentation="GetShardIterator: ResourceNotFoundException is for a stream or shard that "
        "is not there, InvalidArgumentException for a parameter that cannot be used.",
    ),
    "a_sequence_number_of_another_shard_is_refused": Difference(
        emulator=_ARGUMENT,
        localstack="ok",
        documentation="GetShardIterator: StartingSequenceNumber is the number of a record in the "
        "shard to read; the reference does not say how another one is answered.",
        right="undecided",
    ),
    "a_closed_shard_s_end_is_not_below_its_last_record": Difference(
        emulator=True,
        localstack=False,
        documentation="SequenceNumberRange: the range of the shard's sequence numbers, so its end "
        "is at or above the last record.",
    ),
    "a_closed_shard_s_end_is_a_position": Difference(
        emulator="ok",
        localstack=_NOT_FOUND,
        documentation="SequenceNumberRange as above: the end lies within the shard's range. "
        "Whether a position may stand where no record is, the reference does not say.",
        right="undecided",
    ),
    "a_closed_shard_is_not_split_again": Difference(
        emulator=_ARGUMENT,
        localstack="ResourceInUseException",
        documentation="SplitShard lists both, and names no closed shard. Both witnesses refuse.",
        right="undecided",
    ),
    "a_temporary_key_shows_in_its_first_letters": Difference(
        emulator="ASIA",
        localstack="LSIA",
        documentation="IAM identifiers: temporary access keys begin with ASIA. LocalStack's begin "
        "otherwise so that they are never taken for AWS's.",
    ),
    "a_wrong_or_missing_external_id_is_refused": Difference(
        emulator=("AccessDenied", "AccessDenied"),
        localstack=("ok", "ok"),
        documentation="AssumeRole: a role whose trust policy asks for sts:ExternalId can be "
        "assumed with that id only. LocalStack does not enforce policies.",
    ),
    "a_role_that_is_not_there_is_refused": Difference(
        emulator="AccessDenied",
        localstack="ok",
        documentation="AssumeRole: the caller must be trusted by the role, which one that is not "
        "there does for nobody.",
    ),
    "a_session_lasts_no_longer_than_its_role_allows": Difference(
        emulator=["ok", "ok", "ValidationError"],
        localstack=["ok", "ok", "ok"],
        documentation="AssumeRole: DurationSeconds above the role's maximum session duration, one "
        "hour unless set otherwise, makes the operation fail.",
    ),
    "a_made_up_session_token_is_refused": Difference(
        emulator="UnrecognizedClientException",
        localstack="ok",
        documentation="Common errors: UnrecognizedClientException for an access key id or security "
        "token that is not valid.",
    ),
    "a_key_of_nobody_is_refused": Difference(
        emulator={"kinesis": "UnrecognizedClientException", "sts": "InvalidClientTokenId"},
        localstack={"kinesis": "ok", "sts": "ok"},
        documentation="Common errors: UnrecognizedClientException (Kinesis) and "
        "InvalidClientTokenId (STS) for a key that does not exist.",
    ),
}
