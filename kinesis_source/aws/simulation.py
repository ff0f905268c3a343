"""What an identity may do, by IAM's own simulation. Called by a command, on the user's machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from botocore import exceptions as boto
from botocore.config import Config

from kinesis_source.aws.credentials import Identity
from kinesis_source.aws.failures import aws_text
from kinesis_source.options.settings import ClientSettings

__all__ = ["SimulationRefusedError", "simulate"]

_TIMEOUT_S: Final = 10


class SimulationRefusedError(Exception):
    """IAM did not simulate; the text says why."""


def simulate(
    settings: ClientSettings, principal_arn: str, actions: Sequence[str], resources: Sequence[str]
) -> dict[str, str]:
    """Return for each action ``allowed``, ``implicitDeny`` or ``explicitDeny``.

    Policies of the identity and its boundary count; those of resources, of organisations and of
    sessions do not (IAM API reference, SimulatePrincipalPolicy).

    Raises
    ------
    SimulationRefusedError
        The caller may not ask (iam:SimulatePrincipalPolicy), or IAM is not there.
    """
    identity = Identity(settings.identity, settings.region)
    config = Config(
        retries={"total_max_attempts": 2, "mode": "standard"},
        connect_timeout=_TIMEOUT_S,
        read_timeout=_TIMEOUT_S,
    )
    found: dict[str, str] = {}
    try:
        client = identity.session.create_client("iam", region_name=settings.region, config=config)
        request: dict[str, Any] = {
            "PolicySourceArn": principal_arn,
            "ActionNames": list(actions),
            "ResourceArns": list(resources),
        }
        for page in client.get_paginator("simulate_principal_policy").paginate(**request):
            for result in page["EvaluationResults"]:
                name, decision = result["EvalActionName"], result["EvalDecision"]
                # Of several resources the worst counts.
                if found.get(name, "allowed") == "allowed":
                    found[name] = decision
    except (boto.ClientError, boto.BotoCoreError) as error:
        raise SimulationRefusedError(aws_text(error)) from None
    return found
