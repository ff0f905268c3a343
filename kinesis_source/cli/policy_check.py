"""``kinesis-source policy --check``: what an identity may do, against what it needs.

Runs on the user's machine. Asks IAM to simulate, which needs iam:SimulatePrincipalPolicy and tells
of the identity's own policies; where that is refused, makes each reading call once, which tells of
everything that counts, but not of actions that cannot be tried without doing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from rich.text import Text

from kinesis_source.aws.simulation import SimulationRefusedError, simulate
from kinesis_source.cli.terminal import console, table_text
from kinesis_source.diagnosis.access import find_caller, principal_of
from kinesis_source.diagnosis.examine import PATIENCE_MS, examine
from kinesis_source.diagnosis.findings import FAILED, OK, WARNING
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import ClientSettings
from kinesis_source.policies.documents import FAN_OUT_ACTIONS, READ_ACTIONS, WRITE_ACTIONS

__all__ = ["check_policies"]

_NEEDED: Final = {
    "read": READ_ACTIONS,
    "write": WRITE_ACTIONS,
    "fan-out": (*READ_ACTIONS, *FAN_OUT_ACTIONS),
}
_ALLOWED, _DENIED, _UNKNOWN = "allowed", "DENIED", "not known"
_WORDS: Final = {"allowed": _ALLOWED, "implicitDeny": _DENIED, "explicitDeny": _DENIED}


def check_policies(
    stream_arns: Sequence[str], access: Sequence[str], options: Mapping[str, str], out: TextIO
) -> int:
    """Print a table of actions; return 0 if all are allowed, else 1.

    Parameters
    ----------
    stream_arns : sequence of str
    access : sequence of str
        Of ``read``, ``write``, ``fan-out``.
    options : mapping of str to str
        Of the source: who asks.
    out : text file
    """
    actions = list(dict.fromkeys(action for kind in access for action in _NEEDED[kind]))
    given = {**options, "streamARN": ",".join(stream_arns)}
    settings = parse_options(given).with_patience(PATIENCE_MS)
    who = find_caller(settings.client)
    principal = principal_of(who)
    shown = console(out)
    shown.print(Text(f"Identity: {principal or who}"))
    found, how = _ask(settings.client, principal, actions, stream_arns, given)
    rows = [(action, found.get(action, _UNKNOWN), how) for action in actions]
    shown.print(Text(table_text(("action", "state", "known by"), rows)))
    missing = [action for action in actions if found.get(action) == _DENIED]
    unknown = [action for action in actions if found.get(action, _UNKNOWN) == _UNKNOWN]
    if missing:
        shown.print(
            Text(f"\nMissing: {', '.join(missing)}. Without --check the policy is printed.")
        )
    elif unknown:
        shown.print(Text(f"\nNothing is denied; not known: {', '.join(unknown)}."))
    else:
        shown.print(Text("\nAll that is needed is allowed."))
    return 1 if missing else 0


def _ask(
    client: ClientSettings,
    principal: str | None,
    actions: Sequence[str],
    stream_arns: Sequence[str],
    options: Mapping[str, str],
) -> tuple[dict[str, str], str]:
    if principal is not None:
        try:
            decisions = simulate(client, principal, actions, stream_arns)
        except SimulationRefusedError:
            pass
        else:
            words = {name: _WORDS.get(said, _UNKNOWN) for name, said in decisions.items()}
            return words, "IAM's simulation of the identity's own policies"
    return _try_calls(options), "calls that were made"


def _try_calls(options: Mapping[str, str]) -> dict[str, str]:
    """Make the calls of a read once; of several streams the worst counts."""
    found: dict[str, str] = {}
    for finding in examine(options, shown=0).findings:
        action = f"kinesis:{finding.step.partition(' ')[0]}"
        if action not in READ_ACTIONS or found.get(action) == _DENIED:
            continue
        if finding.state in (OK, WARNING):
            found[action] = _ALLOWED
        elif finding.state == FAILED and finding.code.startswith("ACCESS_"):
            found[action] = _DENIED
        else:
            found[action] = _UNKNOWN
    return found
