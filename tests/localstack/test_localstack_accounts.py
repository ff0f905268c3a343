"""A stream of another account: seen through a role there, and not without it."""

from kinesis_source import find_code
from tests.localstack.localstack_stream import OWNER, Sink, start, wait_for, wait_for_rows


def test_the_role_shows_the_other_account_s_stream(spark, make_stream, options, role, tmp_path):
    stream, sink = make_stream(account=OWNER), Sink()
    stream.put(50)

    query = start(spark, options | role, sink, tmp_path)
    wait_for_rows(query, sink, 50)
    query.processAllAvailable()
    query.stop()

    assert sorted(sink.rows) == sorted(stream.written)


def test_without_the_role_the_stream_is_not_found(spark, make_stream, options, tmp_path):
    make_stream(account=OWNER).put(5)

    query = start(spark, options, Sink(), tmp_path)
    wait_for(lambda: not query.isActive, "the query fails")

    text = str(query.exception())
    assert find_code(text) == "STREAM_NOT_FOUND"
    assert options["streamName"] in text
    assert options["awsAccessKey"] in text, "the account that was asked is named"


def test_of_two_streams_with_one_name_the_role_s_account_is_read(
    spark, localstack, make_stream, options, role, tmp_path
):
    own, theirs, sink = make_stream(), make_stream(account=OWNER), Sink()
    own.put(10, "own")
    theirs.put(20, "theirs")

    query = start(spark, options | role, sink, tmp_path)
    wait_for_rows(query, sink, 20)
    query.processAllAvailable()
    query.stop()

    assert sorted(sink.rows) == sorted(theirs.written)
