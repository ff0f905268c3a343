"""Unity Catalog's service credentials, as a credential provider.

Runs on driver and executors, on Databricks only. Built from Databricks' documentation of service
credentials ("Use Unity Catalog service credentials to connect to external cloud services"):
``getServiceCredentialsProvider(name)`` gives a botocore session whose credentials are the
credential's. Not verified on Databricks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from kinesis_source.errors import CredentialError

__all__ = ["service_credential"]

_MODULE: Final = "databricks.service_credentials"
_FUNCTION: Final = "getServiceCredentialsProvider"


def service_credential(name: str) -> Callable[[], Any]:
    """Return a function that asks Databricks for a credential.

    Raises
    ------
    CredentialError
        ``[CREDENTIAL_PROVIDER]`` where this Python is not one of Databricks'.
    """
    try:
        ask = getattr(importlib.import_module(_MODULE), _FUNCTION)
    except (ImportError, AttributeError):
        raise CredentialError(
            "CREDENTIAL_PROVIDER",
            f"Option 'serviceCredential' is {name!r}, and this Python has no {_MODULE}: it is not"
            " one of a Databricks runtime with service credentials.",
            "Use a Databricks runtime 16.2 or later; elsewhere set 'roleArn' to the credential's"
            " role, or 'credentialsProvider'.",
        ) from None
    return lambda: ask(name).get_credentials()
