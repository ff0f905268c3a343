"""docs/decisions/0012: a decision about every setting that the installed botocore reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

from kinesis_source.aws.user_settings import FIXED, HONOURED

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "decisions" / "0015-settings-of-the-machine.md").read_text("utf-8")


def table(heading: str) -> dict[str, str]:
    """Return the first two columns of the table with a heading."""
    body = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", body, re.MULTILINE))


def test_every_variable_of_the_installed_botocore_was_decided_about():
    # An older botocore lacks some of the table's.
    assert set(BOTOCORE_DEFAUT_SESSION_VARIABLES) <= set(table("Variable"))


def test_the_table_says_what_the_code_does():
    decided = table("Variable")
    said = {name for name, counts in decided.items() if counts.startswith("honoured")}
    assert said == set(HONOURED)
    assert set(decided) - said == (set(FIXED) - {"s3"}) | {"region"}


def test_every_option_of_botocores_config_was_decided_about():
    assert set(Config.OPTION_DEFAULTS) <= set(table("Option of Config"))


@pytest.mark.parametrize("name", sorted(HONOURED | set(FIXED) - {"s3"}))
def test_no_setting_is_decided_about_that_botocore_does_not_know(name):
    """A name that is spelt wrong would fix nothing."""
    assert name in BOTOCORE_DEFAUT_SESSION_VARIABLES
