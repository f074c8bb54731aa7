"""A small ComfyUI: what its server tells of nodes, how it checks workflows, and how it runs them.

Workflows are those of its API: {id: {"class_type": name, "inputs": {input: value, or [id, output]}}}.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Workflow = dict[str, dict[str, Any]]
NodeClass = Any  # A class in ComfyUI's way

CONVERSIONS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


class InterruptedByUser(BaseException):
    """What the host raises in the work when the user has pressed the button."""


@dataclass(frozen=True)
class Blocker:
    """A value that keeps nodes behind it from running. message: what is shown; None: nothing."""

    message: str | None


@dataclass
class Report:
    """What a run did."""

    executed: list[str] = field(default_factory=list)  # Nodes, in their order
    cached: set[str] = field(default_factory=set)
    values: dict[str, list[list[Any]]] = field(default_factory=dict)  # By node: the list of each output
    ui: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    error: str = ""  # As it is shown
    failed: str = ""  # The node with the error
    is_interrupted: bool = False

    def value(self, node: str, output: int = 0) -> Any:  # noqa: ANN401
        """Return the one value of an output."""
        (value,) = self.values[node][output]
        return value


class Host:
    """A ComfyUI with the folders `input` and `output` in `place`."""

    def __init__(self, place: Path, *, device: str = "cpu") -> None:
        self.input, self.output = place / "input", place / "output"
        for folder in (self.input, self.output):
            folder.mkdir(exist_ok=True)
        self.device = torch.device(device)
        self.classes: dict[str, NodeClass] = own_nodes(self)
        self.titles: dict[str, str] = {}
        self.bars: list[list[float]] = []  # Of each bar, how full it was
        self.freed: list[tuple[int, torch.device]] = []
        self.is_interrupted = False
        self.interrupt_at: float | None = None  # How full a bar is when the user presses the button
        self._kept: dict[object, tuple[list[list[Any]], dict[str, list[Any]]]] = {}
        self._objects: dict[tuple[str, str], Any] = {}
        self._unique = itertools.count()

    def modules(self) -> dict[str, ModuleType]:
        """Return the modules that nodes may import."""
        contents: dict[str, dict[str, object]] = {
            "comfy.utils": {"ProgressBar": self._bar},
            "comfy.model_management": {
                "throw_exception_if_processing_interrupted": self._check,
                "get_torch_device": lambda: self.device,
                "free_memory": lambda size, device: self.freed.append((size, device)),
                "soft_empty_cache": lambda: None,
            },
            "comfy_execution.graph": {"ExecutionBlocker": Blocker},
            "folder_paths": {
                "get_output_directory": lambda: str(self.output),
                "get_input_directory": lambda: str(self.input),
            },
        }
        modules = {name: ModuleType(name) for name in contents}
        for name, module in modules.items():
            vars(module).update(contents[name])
        return modules

    def _bar(self, total: int) -> SimpleNamespace:
        shares: list[float] = []
        self.bars.append(shares)

        def update_absolute(value: int, total: int = total, preview: object = None) -> None:
            shares.append(value / total)
            if self.interrupt_at is not None and shares[-1] >= self.interrupt_at:
                self.is_interrupted = True

        return SimpleNamespace(update_absolute=update_absolute)

    def _check(self) -> None:
        if self.is_interrupted:
            self.is_interrupted = False
            raise InterruptedByUser

    def load(self, folder: Path) -> ModuleType:
        """Load a folder of `custom_nodes`: by its path, under a name that is no package's."""
        spec = importlib.util.spec_from_file_location(str(folder).replace(".", "_x_"), folder / "__init__.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert not set(self.classes) & set(module.NODE_CLASS_MAPPINGS)
        self.classes |= module.NODE_CLASS_MAPPINGS
        self.titles |= module.NODE_DISPLAY_NAME_MAPPINGS
        return module

    def object_info(self) -> dict[str, dict[str, Any]]:
        """Return what a browser is told of all nodes, through JSON."""
        told = {
            name: {
                "input": node.INPUT_TYPES(),
                "output": node.RETURN_TYPES,
                "output_name": getattr(node, "RETURN_NAMES", node.RETURN_TYPES),
                "output_is_list": getattr(node, "OUTPUT_IS_LIST", [False] * len(node.RETURN_TYPES)),
                "output_tooltips": getattr(node, "OUTPUT_TOOLTIPS", ()),
                "output_node": getattr(node, "OUTPUT_NODE", False) is True,
                "display_name": self.titles.get(name, name),
                "description": getattr(node, "DESCRIPTION", ""),
                "search_aliases": getattr(node, "SEARCH_ALIASES", []),
                "category": node.CATEGORY,
            }
            for name, node in self.classes.items()
        }
        return json.loads(json.dumps(told))  # type: ignore[no-any-return]

    def refusals(self, workflow: Workflow) -> list[str]:
        """Return what is wrong with a workflow, as it is told before anything runs."""
        outputs = [
            key for key, node in workflow.items()
            if getattr(self.classes[node["class_type"]], "OUTPUT_NODE", False) is True
        ]  # fmt: skip
        reached = {key for output in outputs for key in self._with_sources(workflow, output)}
        return (
            [text for key in workflow if key in reached for text in self._refusals(workflow, key)]
            if outputs
            else ["the workflow has no outputs"]
        )

    def _refusals(self, workflow: Workflow, key: str) -> Iterator[str]:
        node, values = self.classes[workflow[key]["class_type"]], workflow[key]["inputs"]
        shown = node.INPUT_TYPES()
        own_check = getattr(node, "VALIDATE_INPUTS", None)
        checked = set(inspect.signature(own_check).parameters) if own_check else set()
        for name, (kind, options) in (shown["required"] | shown.get("optional", {})).items():
            if name not in values:
                if name in shown["required"]:
                    yield f"{name} is missing"
            elif isinstance(values[name], list):
                source, output = values[name]
                given = self.classes[workflow[source]["class_type"]].RETURN_TYPES[output]
                if not _fits(given, kind):
                    yield f"{name} takes {kind}, not {given}"
            else:
                try:
                    value = values[name] = CONVERSIONS.get(kind if isinstance(kind, str) else "", _same)(
                        values[name]
                    )
                except (TypeError, ValueError) as error:
                    yield f"{name}: {error}"
                    continue
                if name in checked:
                    continue
                if value < options.get("min", value) or value > options.get("max", value):
                    yield f"{name}: {value} is not from {options.get('min')} to {options.get('max')}"
                if isinstance(kind, list) and value not in kind:
                    yield f"{name}: {value!r} is not in the list"
        if own_check:
            stated = {name: _stated(values.get(name)) for name in checked}
            if (answer := own_check(**stated)) is not True:
                yield str(answer)

    def run(self, workflow: Workflow) -> Report:
        """Check a workflow and run it in a thread, as the server does; what has not changed is not run."""
        assert (refused := self.refusals(workflow)) == [], refused
        report = Report()
        thread = threading.Thread(target=lambda: asyncio.run(self._run(workflow, report)))
        thread.start()
        thread.join()
        return report

    async def _run(self, workflow: Workflow, report: Report) -> None:
        with torch.inference_mode():
            signatures: dict[str, object] = {}
            order = [
                key for key in self._order(workflow)
                if any(key in self._with_sources(workflow, output) for output in self._outputs(workflow))
            ]  # fmt: skip
            for key in order:
                signatures[key] = self._signature(workflow, key, signatures)
            self._kept = {mark: kept for mark, kept in self._kept.items() if mark in signatures.values()}
            for key in order:
                if signatures[key] in self._kept:
                    report.cached.add(key)
                else:
                    try:
                        self._kept[signatures[key]] = self._execute(workflow, key, report)
                    except InterruptedByUser:
                        report.is_interrupted = True
                        return
                    except Exception as error:
                        report.error, report.failed = str(error), key
                        return
                    report.executed.append(key)
                report.values[key], report.ui[key] = self._kept[signatures[key]]

    def _outputs(self, workflow: Workflow) -> list[str]:
        return [
            key for key in workflow if getattr(self.classes[workflow[key]["class_type"]], "OUTPUT_NODE", 0)
        ]

    def _with_sources(self, workflow: Workflow, key: str) -> set[str]:
        sources = [value[0] for value in workflow[key]["inputs"].values() if isinstance(value, list)]
        return {key}.union(*(self._with_sources(workflow, source) for source in sources))

    def _order(self, workflow: Workflow) -> list[str]:
        return sorted(workflow, key=lambda key: len(self._with_sources(workflow, key)))

    def _signature(self, workflow: Workflow, key: str, known: dict[str, object]) -> object:
        name, values = workflow[key]["class_type"], workflow[key]["inputs"]
        node = self.classes[name]
        mark: object = None
        if hasattr(node, "IS_CHANGED"):
            stated = {each: _stated(value) for each, value in values.items()}
            try:
                mark = node.IS_CHANGED(**stated)
            except Exception:  # What cannot say whether it has changed is run
                mark = next(self._unique)
        parts = [
            (each, known[value[0]], value[1]) if isinstance(value, list) else (each, value)
            for each, value in sorted(values.items())
        ]
        return (name, mark, *parts)

    def _execute(self, workflow: Workflow, key: str, report: Report) -> Any:  # noqa: ANN401
        name, values = workflow[key]["class_type"], workflow[key]["inputs"]
        node = self.classes[name]
        lists = {
            each: report.values[value[0]][value[1]] if isinstance(value, list) else [value]
            for each, value in values.items()
        }
        item = self._objects.setdefault((key, name), node())
        results: list[Sequence[Any]] = []
        ui: dict[str, list[Any]] = {}
        for number in range(max((len(each) for each in lists.values()), default=1)):
            given = {each: value[min(number, len(value) - 1)] for each, value in lists.items()}
            if any(isinstance(value, Blocker) for value in given.values()):
                results.append([Blocker(None)] * len(node.RETURN_TYPES))
                continue
            result = getattr(item, node.FUNCTION)(**given)
            if isinstance(result, dict):
                ui = {each: ui.get(each, []) + more for each, more in result.get("ui", {}).items()}
                result = result.get("result", ())
            assert len(result) == len(node.RETURN_TYPES)
            results.append(result)
        is_list = getattr(node, "OUTPUT_IS_LIST", [False] * len(node.RETURN_TYPES))
        columns = [
            [value for result in results for value in (result[n] if each else [result[n]])]
            for n, each in enumerate(is_list)
        ]
        json.dumps(ui)
        return columns, ui


def _same(value: object) -> object:
    return value


def _stated(value: object) -> object:
    """What a check before the run sees: what comes from another node is not there yet."""
    return None if isinstance(value, list) else value


def _fits(given: object, taken: object) -> bool:
    if given == taken or "*" in (given, taken):
        return True
    return (
        isinstance(given, str) and isinstance(taken, str) and bool({*given.split(",")} & {*taken.split(",")})
    )


def own_nodes(host: Host) -> dict[str, NodeClass]:
    """Nodes of the host itself, as far as workflows of textures need them."""

    class LoadImage:
        CATEGORY, FUNCTION, RETURN_TYPES = "image", "load", ("IMAGE", "MASK")

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"image": (sorted(path.name for path in host.input.iterdir()), {})}}

        def load(self, image: str) -> tuple[Tensor, Tensor]:
            picture = Image.open(host.input / image)
            pixels = _unit(picture.convert("RGB"))[None]
            if "A" not in picture.getbands():
                return pixels, torch.zeros(1, 64, 64)  # This size is ComfyUI's, too
            return pixels, 1 - _unit(picture.getchannel("A"))[None]

    class SaveImage:
        CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "image", "save", (), True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"images": ("IMAGE", {}), "filename_prefix": ("STRING", {})}}

        def save(self, images: Tensor, filename_prefix: str) -> dict[str, Any]:
            names = []
            for number, image in enumerate(images, 1):
                pixels = np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
                names.append(f"{filename_prefix}_{number:05}_.png")
                Image.fromarray(pixels).save(host.output / names[-1])
            return {"ui": {"images": [{"filename": name, "type": "output"} for name in names]}}

    class PreviewAny:
        CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "utils", "show", (), True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"source": ("*", {})}}

        def show(self, source: object) -> dict[str, Any]:
            return {"ui": {"text": [str(source)]}}

    class SplitBatch:
        CATEGORY, FUNCTION, RETURN_TYPES = "image", "split", ("IMAGE",)
        OUTPUT_IS_LIST: ClassVar = (True,)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"image": ("IMAGE", {})}}

        def split(self, image: Tensor) -> tuple[list[Tensor]]:
            return (list(image.split(1)),)

    class JoinBatch:
        CATEGORY, FUNCTION, RETURN_TYPES = "image", "join", ("IMAGE",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"image1": ("IMAGE", {}), "image2": ("IMAGE", {})}}

        def join(self, image1: Tensor, image2: Tensor) -> tuple[Tensor]:
            return (torch.cat([image1, image2]),)

    class Text:
        CATEGORY, FUNCTION, RETURN_TYPES = "utils", "say", ("STRING",)

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"value": ("STRING", {})}}

        def say(self, value: str) -> tuple[str]:
            return (value,)

    return {node.__name__: node for node in (LoadImage, SaveImage, PreviewAny, SplitBatch, JoinBatch, Text)}


def _unit(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255.0)
