"""Options of other connectors that have no counterpart here, and why.

Pure data. ``NO_EFFECT``: leaving it out changes no row, so it is accepted with a warning that says
why. ``UNSUPPORTED``: going on would do something else than asked, so it is an error that says what
to use. ``FROM_SPARK``: Spark puts these among a source's options by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FROM_SPARK", "NO_EFFECT", "UNSUPPORTED", "PeerOption"]

# load(path), DataStreamWriter and foreign catalogs (Spark 4.0 to 4.3).
FROM_SPARK: Final = frozenset({"path", "checkpointlocation", "queryname"})


@dataclass(frozen=True)
class PeerOption:
    """An option of another connector.

    Parameters
    ----------
    name : str
        Without the prefix ``kinesis.``.
    used_by : str
        Whose it is.
    reason : str
        Why it has no effect, or what to use instead; a sentence without its full stop.
    """

    name: str
    used_by: str
    reason: str


_FAN_OUT = "it belongs to enhanced fan-out, and this source polls"
_BATCH_CAP = "the end of a batch is fixed on the driver before it runs, not by a cap on executors"
_PREFETCH = "nothing is fetched ahead of a batch: executors read what the batch needs"
_COMMITS = "batch ends are kept in Spark's own checkpoint"
_RETRIES = "calls are repeated until 'retryBudget' is spent"
_PROBES = "the driver looks at all shards side by side and decides itself"
_PACING = "executors pace themselves by 'maxFetchRate', the driver by 'pollInterval'"
_INTERNAL = "it tunes the inside of another connector"
_SINK = "it belongs to writing, and this query reads"
_RAW = "rows carry the bytes as they came; parse column 'data' with Spark's own functions"


def _each(reason: str, used_by: str, *names: str) -> tuple[PeerOption, ...]:
    return tuple(PeerOption(name, used_by, reason) for name in names)


NO_EFFECT: Final[tuple[PeerOption, ...]] = (
    *_each(
        _FAN_OUT,
        "Databricks",
        "consumerNamePrefix",
        "consumerRefreshInterval",
        "registeredConsumerId",
        "registeredConsumerIdType",
        "requireConsumerDeregistration",
    ),
    *_each(_FAN_OUT, "Databricks, awslabs", "consumerName"),
    *_each(_FAN_OUT, "awslabs", "subscribeToShard.timeoutSec", "subscribeToShard.maxRetries"),
    *_each(
        _PREFETCH,
        "Databricks",
        "maxFetchDuration",
        "fetchBufferSize",
        "coalesceThresholdBlockSize",
        "coalesceBinSize",
    ),
    *_each("the number of tasks follows from 'shardsPerTask'", "Databricks", "maxPartitions"),
    *_each("shards are listed in pages of the largest size", "Databricks", "maxShardsPerDescribe"),
    *_each(_BATCH_CAP, "awslabs, Glue", "maxFetchRecordsPerShard"),
    *_each(_BATCH_CAP, "awslabs", "maxFetchTimePerShardSec"),
    *_each(_BATCH_CAP, "Glue", "maxFetchTimeInMs"),
    *_each(_BATCH_CAP, "Qubole", "executor.maxFetchTimeInMs", "executor.maxFetchRecordsPerShard"),
    *_each(
        _COMMITS,
        "awslabs",
        "minBatchesToRetain",
        "metadataCommitterType",
        "metadataPath",
        "dynamodb.tableName",
        "metadataNumRetries",
        "metadataRetryIntervalsMs",
        "metadataMaxRetryIntervalMs",
    ),
    *_each(_COMMITS, "Qubole", "executor.metadata.committer", "executor.metadata.path"),
    *_each(
        _RETRIES,
        "awslabs",
        "clientNumRetries",
        "clientRetryIntervalsMs",
        "clientMaxRetryIntervalMs",
    ),
    *_each(
        _RETRIES,
        "Qubole",
        "client.numRetries",
        "client.retryIntervalMs",
        "client.maxRetryIntervalMs",
    ),
    *_each(_RETRIES, "Glue", "numRetries", "retryIntervalMs", "maxRetryIntervalMs"),
    *_each(_PROBES, "awslabs", "checkNewRecordThreads", "internal.avoidEmptyBatches"),
    *_each(_PROBES, "Qubole", "client.avoidEmptyBatches", "client.maxParallelThreads"),
    *_each(_PROBES, "Glue", "avoidEmptyBatches"),
    *_each(_PACING, "awslabs", "getRecords.fetchIntervalMs"),
    *_each(
        _PACING, "Qubole", "executor.addIdleTimeBetweenReads", "executor.idleTimeBetweenReadsInMs"
    ),
    *_each(_PACING, "Glue", "addIdleTimeBetweenReads", "idleTimeBetweenReadsInMs"),
    *_each(
        _INTERNAL,
        "awslabs",
        "internal.dataQueueCapacity",
        "internal.maxDataQueueEmptyCount",
        "internal.dataQueueWaitTimeoutSec",
        "internal.maintenanceTaskIntervalSec",
    ),
    *_each(
        "without keys, profile or provider the default credentials are used, the instance profile"
        " among them",
        "Qubole",
        "awsUseInstanceProfile",
    ),
    *_each(
        _SINK,
        "awslabs",
        "sink.flushWaitTimeMs",
        "sink.recordMaxBufferedTimeMs",
        "sink.maxConnections",
        "sink.recordTtl",
        "sink.proxyAddress",
        "sink.proxyPort",
        "sink.proxyUsername",
        "sink.proxyPassword",
    ),
    *_each(
        _SINK,
        "Qubole",
        "executor.recordMaxBufferedTime",
        "executor.maxConnections",
        # Misspelt there as well.
        "kniesis.executor.flushWaitTimeMillis",
    ),
    *_each(_RAW, "Glue", "classification", "delimiter", "inferSchema", "avroSchema"),
    *_each(
        "the arrival time always comes as column approximateArrivalTimestamp",
        "Glue",
        "addRecordTimestamp",
    ),
    *_each("the query's progress reports the lag", "Glue", "emitConsumerLagMetrics"),
    *_each(
        "it limits Glue's own preview; this source's preview has no such limit",
        "Glue",
        "pollingTime",
        "recordPollingLimit",
    ),
)

_PROVIDER = "Name a Python callable in 'credentialsProvider'; a class of the JVM cannot be used"

UNSUPPORTED: Final[tuple[PeerOption, ...]] = (
    *_each(_PROVIDER, "awslabs", "credentialProviderClass", "credentialProviderParam"),
    *_each(
        "Leave it out to read by polling; enhanced fan-out is not there yet",
        "Glue",
        "fanoutConsumerARN",
    ),
    *_each(
        "Write what the connection holds as options: 'streamARN', 'region', 'roleArn'",
        "Glue",
        "connection",
        "connectionName",
    ),
)
