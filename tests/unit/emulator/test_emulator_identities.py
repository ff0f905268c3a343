"""Who may call what: signatures, roles, external ids, expiry and revocation."""

import urllib.error
import urllib.request

import boto3
import pytest

from kinesis_source.emulator import Emulator

OWNER, CALLER = "222222222222", "111111111111"


@pytest.fixture
def owner(aws):
    account = aws.account(OWNER)
    account.create_stream("clicks")
    return account


@pytest.fixture
def etl(aws):
    return aws.account(CALLER).create_user("etl")


@pytest.fixture
def sts(connect, etl):
    return connect("sts", etl.access_key, etl.secret_key)


def assume(sts, role, **more):
    given = {"RoleArn": role.arn, "RoleSessionName": "batch-7", **more}
    return sts.assume_role(**given)["Credentials"]


def connect_as(connect, credentials, service="kinesis"):
    return connect(
        service,
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
    )


def test_a_role_in_another_account_reads_its_streams(owner, etl, sts, connect):
    role = owner.create_role("reader", trusts=[etl.arn], external_id="abc", allow=["kinesis:*"])
    credentials = assume(sts, role, ExternalId="abc")
    kinesis = connect_as(connect, credentials)
    assert kinesis.list_streams()["StreamNames"] == ["clicks"]
    identity = connect_as(connect, credentials, "sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{OWNER}:assumed-role/reader/batch-7"
    assert identity["Account"] == OWNER
    assert identity["UserId"].endswith(":batch-7")


def test_the_same_name_in_the_callers_own_account_is_not_found(owner, etl, connect):
    kinesis = connect("kinesis", etl.access_key, etl.secret_key)
    with pytest.raises(kinesis.exceptions.ResourceNotFoundException) as caught:
        kinesis.list_shards(StreamName="clicks")
    assert f"Stream clicks under account {CALLER} not found." in str(caught.value)


def test_another_accounts_arn_needs_more_than_the_callers_own_permissions(
    owner, etl, connect, refused
):
    kinesis = connect("kinesis", etl.access_key, etl.secret_key)
    arn = owner.stream("clicks").arn
    assert refused(kinesis.list_shards, StreamARN=arn) == "AccessDeniedException"


@pytest.mark.parametrize("external_id", [{}, {"ExternalId": "wrong"}])
def test_a_missing_or_wrong_external_id_is_refused_in_awss_words(owner, etl, sts, external_id):
    role = owner.create_role("reader", trusts=[etl.arn], external_id="abc")
    with pytest.raises(sts.exceptions.ClientError) as caught:
        assume(sts, role, **external_id)
    assert caught.value.response["Error"] == {
        "Type": "Sender",
        "Code": "AccessDenied",
        "Message": f"User: {etl.arn} is not authorized to perform: sts:AssumeRole on resource: "
        f"{role.arn}",
    }
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_trust_by_account_root_role_and_wildcard(aws, owner, etl, sts, connect, refused):
    hub = aws.account(CALLER).create_role("hub", trusts=[CALLER])
    for trusts in ([CALLER], [f"arn:aws:iam::{CALLER}:root"], ["*"], [etl.arn]):
        assume(sts, owner.create_role("reader", trusts=trusts))
    role = owner.create_role("reader", trusts=[hub.arn])
    assert refused(assume, sts=sts, role=role) == "AccessDenied"
    chained = connect_as(connect, assume(sts, hub), "sts")
    assume(chained, role)
    # AWS caps sessions of chained roles at an hour.
    long = owner.create_role("long", trusts=[hub.arn], max_session_s=43_200)
    assert refused(assume, sts=chained, role=long, DurationSeconds=7200) == "ValidationError"


def test_an_unknown_role_and_a_caller_without_permission_are_refused(aws, owner, connect, refused):
    user = aws.account(CALLER).create_user("weak", allow=["kinesis:*"])
    sts = connect("sts", user.access_key, user.secret_key)
    role = owner.create_role("reader", trusts=["*"])
    assert refused(assume, sts=sts, role=role) == "AccessDenied"
    user.set_permissions(["sts:AssumeRole"])
    assume(sts, role)
    aws.delete_role(role)
    assert refused(assume, sts=sts, role=role) == "AccessDenied"


def test_within_an_account_a_trust_that_names_the_caller_is_enough(owner, connect, refused):
    user = owner.create_user("weak", allow=["kinesis:*"])
    sts = connect("sts", user.access_key, user.secret_key)
    assume(sts, owner.create_role("named", trusts=[user.arn]))
    by_account = owner.create_role("by-account", trusts=[OWNER])
    assert refused(assume, sts=sts, role=by_account) == "AccessDenied"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"RoleSessionName": "has space"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::222222222222:user/x"}, "ValidationError"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"DurationSeconds": 7200}, "ValidationError"),
    ],
)
def test_assume_role_checks_its_parameters(owner, etl, sts, refused, parameters, code):
    role = owner.create_role("reader", trusts=[etl.arn])
    assert refused(assume, sts=sts, role=role, **parameters) == code


def test_a_duration_is_honoured_to_the_second(owner, etl, sts, connect, clock, refused):
    role = owner.create_role("reader", trusts=[etl.arn], max_session_s=7200)
    credentials = assume(sts, role, DurationSeconds=900)
    assert credentials["Expiration"].timestamp() == clock() + 900
    kinesis = connect_as(connect, credentials)
    clock.advance(899.9)
    kinesis.list_streams()
    clock.advance(0.2)
    assert refused(kinesis.list_streams) == "ExpiredTokenException"
    expired = connect_as(connect, credentials, "sts")
    assert refused(expired.get_caller_identity) == "ExpiredToken"


def test_credentials_can_be_made_to_live_for_seconds(aws, owner, etl, sts, connect, clock, refused):
    aws.credential_lifetime_s = 3
    role = owner.create_role("reader", trusts=[etl.arn])
    kinesis = connect_as(connect, assume(sts, role))
    clock.advance(3)
    assert refused(kinesis.list_streams) == "ExpiredTokenException"


def test_sessions_can_be_expired_revoked_and_deleted(aws, owner, etl, sts, connect, clock, refused):
    role = owner.create_role("reader", trusts=[etl.arn])
    kinesis = connect_as(connect, assume(sts, role))
    assert aws.expire_sessions(role) == 1
    assert refused(kinesis.list_streams) == "ExpiredTokenException"
    kinesis = connect_as(connect, assume(sts, role))
    aws.revoke_sessions(role)
    with pytest.raises(kinesis.exceptions.ClientError, match="with an explicit deny"):
        kinesis.list_streams()
    clock.advance(1)
    kinesis = connect_as(connect, assume(sts, role))
    kinesis.list_streams()
    aws.delete_role(role)
    assert refused(kinesis.list_streams) == "UnrecognizedClientException"


def test_keys_secrets_and_tokens_are_checked(aws, owner, etl, sts, connect, refused):
    def code(*identity):
        return refused(connect("kinesis", *identity).list_streams)

    assert code("AKIAUNKNOWN", "x") == "UnrecognizedClientException"
    assert code(etl.access_key, "wrong") == "InvalidSignatureException"
    credentials = assume(sts, owner.create_role("reader", trusts=[etl.arn]))
    pair = credentials["AccessKeyId"], credentials["SecretAccessKey"]
    assert code(*pair) == "UnrecognizedClientException"
    assert code(*pair, "forged") == "UnrecognizedClientException"
    wrong = connect("sts", etl.access_key, "wrong")
    assert refused(wrong.get_caller_identity) == "SignatureDoesNotMatch"
    unknown = connect("sts", "AKIAUNKNOWN", "x")
    assert refused(unknown.get_caller_identity) == "InvalidClientTokenId"
    aws.delete_access_key(etl)
    assert code(etl.access_key, etl.secret_key) == "UnrecognizedClientException"


def test_a_body_changed_under_way_breaks_the_signature(aws, owner, etl, connect, refused):
    kinesis = connect("kinesis", etl.access_key, etl.secret_key)

    event = "before-send.kinesis.DescribeStreamSummary"

    def handler(request, **_):
        request.body = request.body.replace(b"clicks", b"clacks")

    kinesis.meta.events.register(event, handler)
    try:
        code = refused(kinesis.describe_stream_summary, StreamName="clicks")
    finally:
        kinesis.meta.events.unregister(event, handler)
    assert code == "InvalidSignatureException"


def test_an_unsigned_request_is_refused(aws):
    request = urllib.request.Request(
        aws.endpoint_url, b"{}", {"X-Amz-Target": "Kinesis_20131202.ListStreams"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as reply:
        assert b"MissingAuthenticationTokenException" in reply.read()


def test_a_denial_names_caller_action_and_stream(aws, connect):
    account = aws.account(OWNER)
    arn = account.create_stream("clicks").arn
    account.create_stream("views")
    user = account.create_user("narrow", allow=[("kinesis:Describe*", "clicks"), "kinesis:List*"])
    kinesis = connect("kinesis", user.access_key, user.secret_key)
    kinesis.describe_stream_summary(StreamName="clicks")
    kinesis.list_shards(StreamName="views")
    with pytest.raises(kinesis.exceptions.AccessDeniedException) as caught:
        kinesis.put_record(StreamName="clicks", Data=b"x", PartitionKey="k")
    assert caught.value.response["Error"]["Message"] == (
        f"User: {user.arn} is not authorized to perform: kinesis:PutRecord on resource: {arn} "
        "because no identity-based policy allows the kinesis:PutRecord action"
    )
    with pytest.raises(kinesis.exceptions.AccessDeniedException):
        kinesis.describe_stream_summary(StreamName="views")
    user.set_permissions([{"actions": ["kinesis:PutRecord"], "resources": [arn]}])
    kinesis.put_record(StreamName="clicks", Data=b"x", PartitionKey="k")


def test_session_tokens_of_users_work_and_cannot_make_more(etl, sts, connect, refused):
    session = connect_as(connect, sts.get_session_token()["Credentials"], "sts")
    assert session.get_caller_identity()["Arn"] == etl.arn
    assert refused(session.get_session_token) == "AccessDenied"


def test_account_ids_as_keys_work_only_when_asked_for(aws, connect, refused):
    assert refused(connect("kinesis", CALLER, "x").list_streams) == "UnrecognizedClientException"
    with Emulator(lenient_credentials=True) as lenient:
        lenient.account(CALLER).create_stream("mine")
        client = boto3.client(
            "kinesis",
            endpoint_url=lenient.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=CALLER,
            aws_secret_access_key="anything",
        )
        assert client.list_streams()["StreamNames"] == ["mine"]
        client.close()


def test_no_secret_shows_in_a_repr(aws, owner, etl, sts):
    role = owner.create_role("reader", trusts=[etl.arn])
    credentials = assume(sts, role)
    session = aws._iam.credential(credentials["AccessKeyId"])
    shown = repr(etl) + repr(role) + repr(session) + repr(owner) + repr(owner.stream("clicks"))
    for secret in (
        etl.secret_key,
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
    ):
        assert secret not in shown
