"""FrozenKeys, and the check that every one of them passes, whatever brought it.

Runs on driver and executors. In: key, secret and token as an option, the environment, a file, a
process, a provider or STS gave them. Out: FrozenKeys that can stand in a header and that
:mod:`kinesis_source.aws.redaction` knows, or ``[CREDENTIAL_INVALID]`` at once: a token with a line
break in it would else fail in each call, as if the network did, with the token in the text.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, NoReturn

from kinesis_source.aws.redaction import remember_secrets
from kinesis_source.errors import CredentialError

__all__ = ["FrozenKeys", "KeyCheck"]

# Visible ASCII. The Authorization header ends the id of the key with a slash or a comma.
_ID: Final = re.compile(r"[\x21-\x2b\x2d\x2e\x30-\x7e]+")
_SECRET: Final = re.compile(r"[\x21-\x7e]+")


class FrozenKeys(NamedTuple):
    """What botocore's signers read from credentials."""

    access_key: str
    secret_key: str
    token: str | None
    account_id: str | None = None

    def __repr__(self) -> str:
        return "FrozenKeys(***)"


class KeyCheck:
    """Checks the keys of one source.

    Parameters
    ----------
    source : str
        Where they come from, as it reads after "from".
    """

    def __init__(self, source: str) -> None:
        self._source = source
        # The same keys come again before each call.
        self._last: tuple[Any, FrozenKeys] | None = None

    def __call__(
        self, access_key: Any, secret_key: Any, token: Any, account_id: str | None = None
    ) -> FrozenKeys:
        """Return the keys without the white space around them.

        Raises
        ------
        CredentialError
            ``[CREDENTIAL_INVALID]`` if one of them cannot be what it should be.
        """
        given = (access_key, secret_key, token, account_id)
        last = self._last
        if last is not None and last[0] == given:
            return last[1]
        secrets = [part for part in (secret_key, token) if isinstance(part, str)]
        remember_secrets(access_key if isinstance(access_key, str) else "", *secrets)
        keys = FrozenKeys(
            self._part("access key id", access_key, _ID),
            self._part("secret key", secret_key, _SECRET),
            self._part("session token", token, _SECRET) if _is_given(token) else None,
            account_id,
        )
        remember_secrets(keys.access_key, keys.secret_key, keys.token)
        self._last = (given, keys)
        return keys

    def _part(self, name: str, given: Any, form: re.Pattern[str]) -> str:
        if not isinstance(given, str):
            self._refuse(name, f"is of type {type(given).__name__}, not text")
        # A secret store or an echo often adds a line break; no key begins or ends with a blank.
        text = given.strip()
        if not text:
            self._refuse(name, "is empty")
        if not form.fullmatch(text):
            self._refuse(
                name, "has a blank, a line break or another character in it that none of AWS's has"
            )
        return text

    def _refuse(self, name: str, what: str) -> NoReturn:
        raise CredentialError(
            "CREDENTIAL_INVALID",
            f"The {name} from {self._source} {what}.",
            "Check how it was read or copied; its value is not shown here.",
        )


def _is_given(token: Any) -> bool:
    return token is not None and not (isinstance(token, str) and not token.strip())
