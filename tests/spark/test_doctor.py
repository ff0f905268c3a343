"""doctor(spark): the driver's and the executors' answers, beside this process's."""

from __future__ import annotations

import kinesis_source
from kinesis_source.diagnosis.findings import FAILED, OK
from tests.spark.support import source_options


def test_spark_s_own_processes_are_asked(spark, aws, make_stream):
    make_stream(shards=2).put(20)
    diagnosis = kinesis_source.doctor(source_options(aws), spark)
    assert diagnosis.ok, str(diagnosis)
    kinds = [report.place.split()[0] for report in diagnosis.reports]
    assert kinds[:3] == ["here", "driver", "executor"]
    assert diagnosis.differences == []
    assert "GetRecords" in str(diagnosis)
    assert "All is well" in diagnosis._repr_html_()


def test_what_only_spark_lacks_is_marked(spark, aws, make_stream, monkeypatch):
    """The variable is set in this process, after Spark has started: its workers do not have it."""
    make_stream(shards=1).put(5)
    given = source_options(aws)
    for option, name in (
        ("awsAccessKey", "AWS_ACCESS_KEY_ID"),
        ("awsSecretKey", "AWS_SECRET_ACCESS_KEY"),
    ):
        monkeypatch.setenv(name, given.pop(option))
    diagnosis = kinesis_source.doctor(given, spark)
    assert not diagnosis.ok
    states = {
        report.place.split()[0]: {finding.step: finding.state for finding in report.findings}
        for report in diagnosis.reports
    }
    assert states["here"]["credentials"] == OK
    assert states["driver"]["credentials"] == FAILED
    assert states["executor"]["credentials"] == FAILED
    assert "credentials" in diagnosis.differences


def test_wrong_options_are_a_finding_everywhere(spark, aws):
    diagnosis = kinesis_source.doctor({**source_options(aws), "streamNam": "x"}, spark)
    assert {finding.code for _, finding in diagnosis.failures} == {"OPTION_UNKNOWN"}
    assert len(diagnosis.failures) >= 3
