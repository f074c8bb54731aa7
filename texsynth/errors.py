"""Errors that a user can mend, each with its exit code."""

from pathlib import Path


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


def overflow(what: str, dtype: object) -> UsageError:
    """Return the error for numbers that are too large for a number type of torch. The cure is one that
    reaches further, where there is one.

    what: subject and auxiliary, like "the picture has".
    """
    name = str(dtype).removeprefix("torch.")
    widest = "use settings nearer to their defaults, or another model"
    cure = "use --dtype float32" if name == "float16" else widest  # bfloat16 reaches as far
    return UsageError(f"{what} overflowed in {name}; {cure}")


NO_MEMORY = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
    "failed to map segment", "can't start new thread", "std::bad_alloc", "resource temporarily unavailable",
    "could not create a primitive",
)  # fmt: skip
"""How torch and the system say, in lower case, that memory is exhausted, also while libraries are loaded."""


def is_exhaustion(error: BaseException) -> bool:
    """Return True when `error` says that memory has run out."""
    if isinstance(error, MemoryError):
        return True
    known = isinstance(error, RuntimeError | OSError | ImportError)
    return known and any(words in str(error).lower() for words in NO_MEMORY)


def as_expected(error: Exception) -> Exception:
    """Return the error of ours for memory that has run out, and every other one as it is."""
    if isinstance(error, TexsynthError) or not is_exhaustion(error):
        return error
    return MemoryExhaustedError("there is not enough memory; end other programs, or raise ulimit -v")


STACK_BYTES, THREAD_BYTES = 8 << 20, 4 << 20
"""Bytes of a thread's stack where nobody sets another, and what a thread needs before it can do anything."""

GRADIENT_BYTES = 64 << 20
"""Bytes without which torch may end the process when it derives something for the first time."""


def check_room_for_threads(count: int) -> None:
    """Raise MemoryError where the limit on this process leaves no room for `count` more threads to start.

    Where only a stack fits, Python waits for ever for the thread to begin, and OpenMP ends the process.
    """
    try:
        import resource

        stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    except (ImportError, OSError):  # a system that does not say
        return
    check_room(count * (THREAD_BYTES + (STACK_BYTES if stack == resource.RLIM_INFINITY else stack)))


def check_room(needed: int) -> None:
    """Raise MemoryError where the limit on this process leaves less than `needed` bytes.

    Some libraries end the process when they find no room.
    """
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError, ValueError):  # a system that does not say
        return
    if limit != resource.RLIM_INFINITY and limit - pages * resource.getpagesize() < needed:
        raise MemoryError
