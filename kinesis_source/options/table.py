"""The one table of options: parser, documentation and suggestions all read it.

Pure data; imported wherever options are read. Names are matched without regard to case, and every
name may carry the prefix ``kinesis.``, as other connectors write it. What other connectors offer
and this one does not is in :mod:`kinesis_source.options.peers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinesis_source.options.identity import (
    read_access_key,
    read_external_id,
    read_role_arns,
    read_secret,
    read_service_credential,
    read_session_name,
)
from kinesis_source.options.sizes import ByteRate, ByteSize
from kinesis_source.options.start import (
    read_ending_position,
    read_initial_position,
    read_timestamp,
)
from kinesis_source.options.streams import read_region, read_stream_arns, read_stream_names
from kinesis_source.options.values import (
    Boolean,
    Choice,
    Duration,
    Integer,
    Reader,
    Text,
    read_dotted_path,
    read_profile,
    read_url,
)

__all__ = ["OPTIONS", "PREFIX", "Option", "Synonym", "known_option_names"]

PREFIX: Final = "kinesis."

_DAY_MS: Final = 86_400_000
# Spark's timeStringAsMs, which these peers parse with, counts a bare number in milliseconds.
_LISTING = Duration(100, 3_600_000, bare_unit_ms=1)
_POLLING_ONLY: Final = "Enhanced fan-out is not there yet: set 'polling'."


@dataclass(frozen=True)
class Synonym:
    """Another connector's name of an option.

    Parameters
    ----------
    name : str
        Without the prefix ``kinesis.``.
    used_by : str
        Who uses it, for the documentation.
    read : Reader or None
        Reader of the other connector's values where they differ; None: the option's own.
    """

    name: str
    used_by: str
    read: Reader | None = None


@dataclass(frozen=True)
class Option:
    """One option.

    Parameters
    ----------
    name : str
        As the documentation spells it.
    group : str
        Heading in the documentation.
    read : Reader
        Turns the text into a value; knows type and range.
    doc : str
        What it does, for users.
    default : str or None
        As a user would write it; None: none.
    synonyms : tuple of Synonym
    secret : bool
        The value never appears anywhere.
    """

    name: str
    group: str
    read: Reader
    doc: str
    default: str | None = None
    synonyms: tuple[Synonym, ...] = ()
    secret: bool = False

    def reader_of(self, spelling: str) -> Reader:
        """Return the reader for the name under which a value was given."""
        for synonym in self.synonyms:
            if synonym.name.lower() == spelling.lower() and synonym.read is not None:
                return synonym.read
        return self.read


OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "streamName",
        "Stream",
        Text("names", read_stream_names, "1 to 128 of a-z A-Z 0-9 _ . -"),
        "Name of the stream, or several separated by commas. Either this or `streamARN` is"
        " required; with both, they must name the same streams, and rows and checkpoint show the"
        " name.",
    ),
    Option(
        "streamARN",
        "Stream",
        Text("ARNs", read_stream_arns),
        "ARN of the stream, or several separated by commas, of one or several regions and accounts:"
        " each is read in its own region. Needed for a stream of another account that is shared by"
        " a resource policy.",
    ),
    Option(
        "region",
        "Stream",
        Text("region", read_region),
        "AWS region of the streams. Default: the region in `streamARN`, else in an AWS"
        " `endpointUrl`, else environment variable AWS_REGION or AWS_DEFAULT_REGION of the driver.",
        synonyms=(Synonym("kinesisRegion", "awslabs"), Synonym("regionName", "Qubole")),
    ),
    Option(
        "endpointUrl",
        "Stream",
        Text("URL", read_url, "http or https"),
        "Where to call Kinesis: a VPC endpoint, a FIPS endpoint, an emulator. Default: AWS's"
        " endpoint of the region.",
        synonyms=(Synonym("endpoint", "Databricks"),),
    ),
    Option(
        "initialPosition",
        "Start",
        Text("position", read_initial_position, "latest, trim_horizon, earliest, a time"),
        "Where a query without checkpoint starts. A time is ISO 8601 (UTC if it has no zone), alone"
        " or after `AT_TIMESTAMP`; seconds (10 digits) or milliseconds (13 digits) since 1970; or"
        ' `{"at_timestamp": "06/25/2020 10:23:45 PDT", "format": "MM/dd/yyyy HH:mm:ss ZZZ"}`. It'
        ' must not lie in the future. Or a place for each shard: `{"shardId-000000000000":'
        ' {"after": "4957..."}}`, see [positions](../guides/batch.md#places). A batch read'
        " (`spark.read`) starts at `trim_horizon` where it is not given.",
        default="latest",
        synonyms=(
            Synonym("startingPosition", "awslabs, Qubole, Glue"),
            Synonym("startingTimestamp", "Glue", Text("time", read_timestamp)),
        ),
    ),
    Option(
        "endingPosition",
        "Start",
        Text("position", read_ending_position, "latest, a time, or the last records of shards"),
        "Where a batch read (`spark.read`) ends; a stream takes none. `latest` is the moment of"
        " `load()`. A time, in the forms of `initialPosition`, is exclusive: the first record that"
        " arrived then is not read. Or the last record of each shard.",
        default="latest",
        synonyms=(Synonym("endingTimestamp", "Kafka's source", Text("time", read_timestamp)),),
    ),
    Option(
        "minPartitions",
        "Start",
        Integer(1, 100_000),
        "Into how many tasks at least a batch read (`spark.read`) is split: long ranges of a shard"
        " are cut by time. AWS gives 2 MB/s of a shard, however many tasks read it.",
    ),
    Option(
        "filterPushdown",
        "Start",
        Boolean(),
        "Whether filters on a batch read (`spark.read`) spare reading what they leave out, where"
        " Spark pushes them (4.1 and later, `spark.sql.python.filterPushdown.enabled`). Use each"
        " `load()` for one query then: Spark 4.3 keeps the narrowed plan for the queries that"
        " follow on the same DataFrame, see [filters](../guides/batch.md#filters).",
        default="false",
    ),
    Option(
        "failOnDataLoss",
        "Reading",
        Boolean(),
        "Whether to fail when records between the checkpoint and now are gone. With `false` the"
        " loss is logged and reading goes on at the oldest record left.",
        default="true",
    ),
    Option(
        "deaggregate",
        "Reading",
        Boolean(),
        "Whether to take apart the records that the Kinesis Producer Library packed into one. With"
        " `false` such a record comes as it is stored.",
        default="true",
    ),
    Option(
        "consumerMode",
        "Reading",
        Choice(
            {"polling": "polling", "getrecords": "polling"},
            {"efo": _POLLING_ONLY, "subscribetoshard": _POLLING_ONLY},
        ),
        "How records are fetched. Enhanced fan-out (`efo`) is not supported yet.",
        default="polling",
        synonyms=(Synonym("consumerType", "awslabs"),),
    ),
    Option(
        "shardsPerTask",
        "Reading",
        Integer(1, 1_000),
        "How many shards one Spark task reads: up to 50 side by side, more one after the other.",
        default="5",
    ),
    Option(
        "maxRecordsPerFetch",
        "Reading",
        Integer(1, 10_000),
        "Largest number of records that one GetRecords call asks for.",
        default="10000",
        synonyms=(
            Synonym("getRecords.numberOfRecordsPerFetch", "awslabs"),
            Synonym("executor.maxRecordPerRead", "Qubole"),
            Synonym("maxRecordPerRead", "Glue"),
        ),
    ),
    Option(
        "maxFetchRate",
        "Reading",
        ByteRate(),
        "How many MB (10^6 bytes) a second executors read of one shard. Kinesis allows 2.1 for all"
        " consumers together and refuses calls beyond it for seconds; lower it where others read"
        " the same shards. `0` or `unlimited`: as fast as replies come, for an emulator.",
        default="2.0",
    ),
    Option(
        "maxRecordsPerTrigger",
        "Reading",
        Integer(1, 1_000_000_000),
        "About how many Kinesis records (aggregated ones count once) a micro-batch holds of all"
        " streams together; shards that are behind get even shares. Default: no such limit, see"
        " `maxBytesPerTrigger`. `Trigger.Once` ignores it, but on Spark 4.0 and 4.1, where a run"
        " with the trigger `availableNow` or `once` is one batch of at most so many.",
    ),
    Option(
        "maxBytesPerTrigger",
        "Reading",
        ByteSize(),
        "About how many bytes of data a micro-batch holds of all streams together, for example"
        " `512m` or `2g`. Default, where neither this nor `maxRecordsPerTrigger` is given: 128 MiB"
        " of each shard, a minute at the shard's rate.",
    ),
    Option(
        "pollInterval",
        "Reading",
        Duration(200, 300_000),
        "Time between two looks of the driver at a shard for new records. Kinesis allows five reads"
        " a second and shard, for all consumers together.",
        default="1s",
        synonyms=(Synonym("minFetchPeriod", "Databricks"),),
    ),
    Option(
        "shardFetchInterval",
        "Reading",
        Duration(100, 3_600_000),
        "Time between two listings of the shards. A shard that ends is noticed at once all"
        " the same.",
        default="10s",
        synonyms=(
            Synonym("describeShardInterval", "awslabs, Glue", _LISTING),
            Synonym("client.describeShardInterval", "Qubole", _LISTING),
        ),
    ),
    Option(
        "ordered",
        "Writing",
        Boolean(),
        "Whether the records of each partition key get into the stream in their order within a"
        " task: the next one is sent when AWS has taken the one before. Slow where there are few"
        " keys; with `aggregate` a whole aggregate is one step.",
        default="false",
    ),
    Option(
        "aggregate",
        "Writing",
        Boolean(),
        "Whether to pack records as the Kinesis Producer Library does, up to 50 KiB each: many"
        " small ones then fit into a shard's 1,000 records a second. Readers must take them apart,"
        " as this source and the KCL do.",
        default="false",
        synonyms=(
            Synonym("sink.aggregationEnabled", "awslabs"),
            Synonym("executor.aggregationEnabled", "Qubole"),
        ),
    ),
    Option(
        "requestsInFlight",
        "Writing",
        Integer(1, 50),
        "How many PutRecords calls of one task are on their way at a time.",
        default="4",
    ),
    Option(
        "roleArn",
        "Identity",
        Text("ARNs", read_role_arns),
        "Role to assume for reading, for example one in the stream's account; several separated by"
        " commas are assumed one over the other. Keys, profile or provider are then what assumes"
        ' the first. For streams of several accounts, by ARN: `{"222222222222": "arn:aws:iam::'
        '222222222222:role/reader"}` names a role for each account; streams of other accounts are'
        " read without one.",
        synonyms=(Synonym("stsRoleArn", "awslabs"), Synonym("awsSTSRoleARN", "Qubole, Glue")),
    ),
    Option(
        "roleSessionName",
        "Identity",
        Text("text", read_session_name, "2 to 64 letters, digits or _+=,.@-"),
        "Name of the assumed role's sessions, as CloudTrail shows it. Default: one is made up.",
        synonyms=(
            Synonym("stsSessionName", "awslabs"),
            Synonym("awsSTSSessionName", "Qubole, Glue"),
        ),
    ),
    Option(
        "roleExternalId",
        "Identity",
        Text("text", read_external_id, "2 to 1224 letters, digits or _+=,.@:/-"),
        "External id that the role's trust policy asks for. For a chain of roles: one for the last,"
        " or one for each separated by commas, empty for none; for roles by account, an object by"
        " account, too. AWS does not treat it as a secret,"
        " and Spark shows it in plans.",
    ),
    Option(
        "stsEndpoint",
        "Identity",
        Text("URL", read_url, "http or https, or a bare AWS host"),
        "Where to assume roles. Default: the regional STS endpoint.",
        synonyms=(Synonym("stsEndpointUrl", "awslabs"),),
    ),
    Option(
        "awsAccessKey",
        "Identity",
        Text("text", read_access_key),
        "Id of an access key; needs `awsSecretKey`. Default for all credentials: what boto3 finds,"
        " such as the instance profile.",
        synonyms=(Synonym("awsAccessKeyId", "awslabs, Qubole, Glue"),),
    ),
    Option(
        "awsSecretKey",
        "Identity",
        Text("secret", read_secret),
        "Secret of the access key.",
        synonyms=(Synonym("awsSecretAccessKey", "AWS"),),
        secret=True,
    ),
    Option(
        "awsSessionToken",
        "Identity",
        Text("secret", read_secret),
        "Session token, if the key is a temporary one. It cannot be refreshed: prefer `roleArn` for"
        " queries that run longer than the token lives.",
        synonyms=(Synonym("sessionToken", "awslabs, Qubole, Glue"),),
        secret=True,
    ),
    Option(
        "awsProfile",
        "Identity",
        Text("text", read_profile),
        "Profile of the shared AWS configuration, which must be there on the driver and on every"
        " executor.",
    ),
    Option(
        "credentialsProvider",
        "Identity",
        Text("dotted path", read_dotted_path),
        "Dotted path (`package.module.callable`) of a Python callable that returns botocore"
        " credentials; it must be importable on the driver and on every executor.",
    ),
    Option(
        "serviceCredential",
        "Identity",
        Text("text", read_service_credential, "1 to 255 characters"),
        "Name of a service credential of Unity Catalog, on Databricks: what Databricks gives for it"
        " calls AWS, on the driver and on every executor. Built from its documentation, not"
        " verified there.",
    ),
    Option(
        "connectTimeout",
        "Calls",
        Duration(100, 300_000),
        "How long to wait for a connection.",
        default="5s",
    ),
    Option(
        "readTimeout",
        "Calls",
        Duration(100, 600_000),
        "How long to wait for an answer on an open connection, and for each next part of it. The"
        " whole answer must come with 16 KiB/s on average, and within `retryBudget`.",
        default="20s",
    ),
    Option(
        "retryBudget",
        "Calls",
        Duration(100, _DAY_MS),
        "How long one call is repeated, all in all, before the query fails; where nothing has ever"
        " answered, 10 s. The last try may take up to `readTimeout` longer. A page of 10 MiB needs"
        " 1 Mbit/s to come within the default.",
        default="2m",
    ),
    Option(
        "decoder",
        "Calls",
        Choice({"auto": "auto", "python": "python", "native": "native"}, {}),
        "What decodes replies: `native`, from the extra `kinesis-source[native]`, takes a fraction"
        " of the CPU that `python` takes, and gives the same rows. `auto`: environment variable"
        " KINESIS_SOURCE_DECODER of driver and executors, else native where it is installed.",
        default="auto",
    ),
    Option(
        "unknownOptions",
        "Checks",
        Choice({"error": "error", "warn": "warn"}, {}),
        "What to do about an option that is not in this list.",
        default="error",
    ),
)


def known_option_names(*, synonyms: bool = False) -> tuple[str, ...]:
    """Return the names of the options in the table's order.

    Parameters
    ----------
    synonyms : bool
        Whether each name is followed by its synonyms.
    """
    names: list[str] = []
    for option in OPTIONS:
        names.append(option.name)
        if synonyms:
            names.extend(synonym.name for synonym in option.synonyms)
    return tuple(names)
