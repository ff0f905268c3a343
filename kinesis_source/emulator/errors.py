"""What AWS says when it refuses a call: one exception that carries code, message and HTTP status.

Runs in the emulator's server threads. The wire layer turns an `AwsError` into the JSON, CBOR or
XML error document of the service that was called; nothing else in the emulator knows those forms.
"""


class AwsError(Exception):
    """A refusal in AWS's own words.

    Parameters
    ----------
    code : str
        AWS's error code, e.g. ``ResourceNotFoundException``.
    message : str
        The text the caller sees.
    status : int, default 400
        HTTP status; 5xx marks a server fault.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def invalid_argument(message: str) -> AwsError:
    """Return the refusal for a parameter that breaks a rule of the operation."""
    return AwsError("InvalidArgumentException", message)


def validation(message: str) -> AwsError:
    """Return the refusal of operations that document ValidationException."""
    return AwsError("ValidationException", message)


def not_found(message: str) -> AwsError:
    """Return the refusal for a stream or shard that does not exist."""
    return AwsError("ResourceNotFoundException", message)


def throttled(message: str) -> AwsError:
    """Return the refusal of a data call that is over its shard's rate."""
    return AwsError("ProvisionedThroughputExceededException", message)


def limit_exceeded(message: str) -> AwsError:
    """Return the refusal of a control call that is over its rate or quota."""
    return AwsError("LimitExceededException", message)
