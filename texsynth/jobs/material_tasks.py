"""Tasks of an expansion whose files are named by the folder of a material."""

from collections.abc import Sequence
from dataclasses import replace

from texsynth.jobs.expand_inputs import Task
from texsynth.jobs.materials import Material


def with_materials(tasks: Sequence[Task], materials: Sequence[Material]) -> list[Task]:
    """Give `tasks` of the colours of `materials` the other maps of these; as they are when there are none."""
    if not materials:
        return list(tasks)
    return [
        replace(task, siblings=material.maps, is_material=True)
        for task, material in zip(tasks, materials, strict=True)
    ]
