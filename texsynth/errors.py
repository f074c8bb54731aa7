"""Errors that a user can mend, each with its exit code."""


class TexsynthError(Exception):
    """Base of all expected errors. The message is one sentence with the bad value and the cure."""

    exit_code = 1


class UsageError(TexsynthError):
    """A wrong argument, setting or preset."""

    exit_code = 2


class InputError(TexsynthError):
    """An input that is missing, unreadable or refused."""

    exit_code = 4


class OutputError(TexsynthError):
    """An output that cannot be written, or that exists and --force was not given."""

    exit_code = 5


class OutputExistsError(OutputError):
    """An output that exists, and --force was not given."""


class ModelError(TexsynthError):
    """Weights that are missing, damaged or of another format."""

    exit_code = 6


class MemoryExhaustedError(TexsynthError):
    """The picture does not fit in memory."""

    exit_code = 7


class WorkerLostError(TexsynthError):
    """A worker was killed twice over the same job, or could not begin; memory that runs out does that."""

    exit_code = 7
