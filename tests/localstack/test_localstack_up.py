"""The fixture ``localstack`` gives what the other tests rely on."""


def test_each_account_has_its_own_streams_and_identity(localstack, stream_name):
    ours, theirs = "111111111111", "222222222222"
    localstack.client("kinesis", account=ours).create_stream(StreamName=stream_name, ShardCount=1)

    assert localstack.client("sts", account=ours).get_caller_identity()["Account"] == ours
    assert (
        localstack.client("kinesis", account=ours).list_streams()["StreamNames"].count(stream_name)
        == 1
    )
    assert (
        stream_name
        not in localstack.client("kinesis", account=theirs).list_streams()["StreamNames"]
    )
