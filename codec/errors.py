"""The errors of this package, `CodecError` and its children, and its warnings."""

import warnings


class CodecError(ValueError):
    """Bad input or an impossible request; the message names the cause and the remedy."""


class AudioError(CodecError):
    """A recording that cannot be read or written.

    `reason` is a short name for statistics, such as `unreadable`; the message is for people.
    """

    def __init__(self, message: str, reason: str = "unreadable"):
        super().__init__(message)
        self.reason = reason


class ContainerError(CodecError):
    """The bytes are not a valid `.tlc` file; the message says where and why."""


class DamagedPacketError(ContainerError):
    """The payload of a packet decodes to values that no encoder writes."""


class ModelError(CodecError):
    """A model is missing or damaged, or is not the one a file was made with."""


class DatasetError(CodecError):
    """A dataset of tokens cannot be made or read."""


class AudioWarning(UserWarning):
    """A recording was read otherwise than it stands, such as only as far as it goes; the message says how."""


class OutOfReachWarning(UserWarning):
    """A target cannot be met for this recording; the message names the target and the value that the file has instead."""


def missed(message: str, strict: bool) -> None:
    """Report a target that is out of reach: as an error if `strict`, else as a warning.

    Raises:
        CodecError: `strict`.
    """
    if strict:
        raise CodecError(message)
    warnings.warn(message, OutOfReachWarning, stacklevel=2)
