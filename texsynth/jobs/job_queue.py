"""The jobs that wait for workers."""

from collections.abc import Sequence

from texsynth.jobs.inputs import Job


class JobQueue:
    """Numbers of jobs in their order, but those of a block go to one worker as long as there are others."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Begin with all jobs."""
        self._blocks: dict[object, list[int]] = {}
        """Jobs by what they share, the last one first; those on their own under None."""
        for number in range(len(jobs) - 1, -1, -1):
            self._blocks.setdefault(jobs[number].block, []).append(number)
        self._begun: dict[int, object] = {}
        """The block of each worker."""

    def __bool__(self) -> bool:
        """Tell whether any job waits."""
        return bool(self._blocks)

    def take(self, worker: int) -> int:
        """Take the next job for a worker: of its block, or of one that is nobody's, or of any."""
        block = self._begun.get(worker)
        if block not in self._blocks:
            others = set(self._begun.values()) - {None}
            # Blocks were met from the last job to the first.
            free = [key for key in reversed(self._blocks) if key not in others]
            block = free[0] if free else next(reversed(self._blocks))
            self._begun[worker] = block
        number = self._blocks[block].pop()
        if not self._blocks[block]:
            del self._blocks[block]
        return number
