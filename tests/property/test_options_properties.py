"""Whatever the options are: settings or an OptionError, quickly, and no secret in sight."""

from __future__ import annotations

import pickle
import time

from hypothesis import example, given, settings
from hypothesis import strategies as st

from kinesis_source.errors import OptionError, find_code
from kinesis_source.options.parse import parse_options
from kinesis_source.options.peers import NO_EFFECT, UNSUPPORTED
from kinesis_source.options.settings import SourceSettings
from kinesis_source.options.table import OPTIONS, known_option_names

NOW_MS = 1_700_000_000_000
# Both ends of every secret, so that no other value holds a piece of one by chance.
HEAD, TAIL = "S3cr3t#", "#T0k3n"
SECRET_NAMES = [
    name
    for option in OPTIONS
    if option.secret
    for name in (option.name, *(synonym.name for synonym in option.synonyms))
]
ALL_NAMES = [
    *known_option_names(synonyms=True),
    *(peer.name for peer in (*NO_EFFECT, *UNSUPPORTED)),
    *("path", "checkpointlocation", "streamNmae", "kinesis."),
]

names = st.one_of(
    st.sampled_from(ALL_NAMES),
    st.sampled_from(ALL_NAMES).map(str.upper),
    st.sampled_from(ALL_NAMES).map("kinesis.".__add__),
    st.text(max_size=40),
)
good_values = st.sampled_from(
    [
        *("orders", "a,b", "us-east-1", "true", "FALSE", "5", "30s", "1 minute", "500ms", "-1", ""),
        *("latest", "earliest", "AT_TIMESTAMP 2023-08-30T19:00:05Z", "9999-12-31T23:59:59-18:00"),
        *("arn:aws:kinesis:us-east-1:123456789012:stream/orders", "http://localhost:4566", "efo"),
        *(
            "arn:aws:iam::123456789012:role/r",
            "arn:aws:iam::1:role/r,",
            "kinesis.us-east-1.api.aws",
        ),
        '{"at_timestamp":"06/25/2020 10:23:45 PDT","format":"MM/dd/yyyy HH:mm:ss ZZZ"}',
        '{"at_timestamp":"0000-00-00","format":"yyyy-MM-dd"}',
        '{"at_timestamp":[],"format":{}}',
    ]
)
values = st.one_of(good_values, st.text(), st.text(alphabet="0123456789.:-/+,TZ{}\"' aehmrs"))
secrets = st.text(alphabet="ABCdefgh0123456789/+= \n\té", min_size=24, max_size=60).map(
    lambda text: f"{HEAD}{text}{TAIL}"
)


def outcome(options: dict[str, str]) -> SourceSettings | OptionError:
    try:
        return parse_options(options, warn=lambda _: None, now_ms=lambda: NOW_MS, environ={})
    except OptionError as error:
        return error


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.dictionaries(names, values, max_size=8))
@example({"initialPosition": '{"a":' * 5_000})
@example({"x" * 100_000: "y" * 100_000})
@example({"roleArn": "arn:aws:iam::123456789012:role/" + "/" * 100_000})
@example({"endpointUrl": "https://" + "kinesis." * 20_000})
@example({"streamName": "a," * 3_000})
def test_any_text_gives_settings_or_a_coded_error(options: dict[str, str]) -> None:
    began = time.process_time()  # the CPU of this process: others may keep the machine busy
    result = outcome(options)
    assert time.process_time() - began < 1.0
    if isinstance(result, OptionError):
        assert (find_code(result) or "").startswith("OPTION_")
        assert result.problem.endswith((".", "?"))
        assert result.hint.endswith(".")
        assert len(str(result)) < 2_000
        assert str(result).encode("utf-8")
    assert pickle.loads(pickle.dumps(result)).__class__ is result.__class__  # noqa: S301


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.dictionaries(names, values, max_size=4),
    st.dictionaries(st.sampled_from(SECRET_NAMES), secrets, min_size=1),
    st.booleans(),
)
def test_no_secret_shows(others: dict[str, str], hidden: dict[str, str], well_formed: bool) -> None:
    lower = {name.lower().removeprefix("kinesis.") for name in hidden}
    base = {"streamName": "orders", "region": "us-east-1"} if well_formed else {}
    rest = {k: v for k, v in others.items() if k.lower().removeprefix("kinesis.") not in lower}
    warnings: list[str] = []
    try:
        result: object = parse_options(
            {**rest, **base, **hidden}, warn=warnings.append, now_ms=lambda: NOW_MS, environ={}
        )
    except OptionError as error:
        result = error
    cause = getattr(result, "__cause__", None)
    printed = f"{result!r} {result} {cause!r} {warnings}"
    assert HEAD not in printed
    assert TAIL not in printed


@settings(derandomize=True, max_examples=100, deadline=None)
@given(secrets)
def test_a_secret_given_as_access_key_shows_no_more_than_four_characters(secret: str) -> None:
    result = outcome(
        {"streamName": "s", "region": "us-east-1", "awsAccessKey": secret, "awsSecretKey": "x"}
    )
    assert TAIL[-5:] not in f"{result!r} {result}"
