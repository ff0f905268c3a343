"""Whatever comes in from outside, a checkpoint, options, a schema, a reply: a value or a coded error.

Nothing else may be raised, nothing may hang, and what is read as an offset has one text.
"""

from __future__ import annotations

import base64
import copy
import json
import time
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pyspark.sql import types
from simulated_stream import CALM, FakeClock, SerialExecutor, SimulatedStream

from kinesis_source.aws.api import Page
from kinesis_source.aws.decode import decode_body, guard_body, on_before_parse, page_from_reply
from kinesis_source.aws.retry import IncompleteReplyError
from kinesis_source.datasource import KinesisDataSource
from kinesis_source.errors import KinesisSourceError, OptionError
from kinesis_source.model.offsets import StreamOffset
from kinesis_source.model.ranges import ShardRange
from kinesis_source.options.parse import parse_options
from kinesis_source.read import micro_batches
from kinesis_source.read.micro_batches import MicroBatchPlanner
from kinesis_source.read.planner import plan_ranges
from kinesis_source.read.stream import KinesisStreamReader
from kinesis_source.records.schema import resolve_columns

QUICK = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=300,
    suppress_health_check=list(HealthCheck),
)
