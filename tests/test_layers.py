"""Imports point down the layers, in no circle, and each outside library stays in its place."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import texsynth

ROOT = Path(texsynth.__file__).parent
ROWS = ("cli", "evaluation benchmark integrations serve "
        "api api_blend api_options api_pictures api_frames api_maps api_search", "jobs",
        "training reference pipelines", "models metrics", "transforms synthesis",
        "images analysis config device html",
        "cores interrupts ops errors paths startup strict_yaml strict_json worker_process")  # fmt: skip
RANK = {name: -row for row, names in enumerate(ROWS) for name in names.split()}
HOMES = {"PIL": "images api_options api_pictures api_maps", "pyvips": "images", "typer": "cli", "rich": "cli",
         "requests": "models", "filelock": "models", "jinja2": "html", "markupsafe": "html",
         "starlette": "serve", "uvicorn": "serve", "anyio": "serve"}  # fmt: skip


ADDON = ROOT / "integrations" / "blender" / "addon"
"""Is packed into another program, where it has another name: its imports are relative."""


def imports(path: Path) -> set[str]:
    """Modules that the file imports anywhere, for type checks only too."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == (path.parent == ADDON and node.level), f"{path}: relative import"
            inside = ".".join(ADDON.relative_to(ROOT.parent).parts)
            package = ".".join(filter(None, (inside, node.module))) if node.level else node.module
            modules |= {f"{package}.{a.name}" if is_module(package, a.name) else str(package)
                        for a in node.names}  # fmt: skip
    return modules


def is_module(package: str | None, name: str) -> bool:
    place = ROOT.parent.joinpath(*str(package).split("."), name)
    return place.is_dir() or place.with_suffix(".py").is_file()


MODULES = {
    ".".join(p.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): p
    for p in ROOT.rglob("*.py")
}


def layer(module: str) -> str:
    return [*module.split("."), ""][1]


def test_imports_point_down() -> None:
    for module, path in MODULES.items():
        for target in imports(path):
            if target.startswith("texsynth.") and layer(module) in RANK:
                assert RANK[layer(target)] <= RANK[layer(module)], f"{module} imports {target}"


def test_every_module_has_a_layer() -> None:
    assert {layer(module) for module in MODULES} - {"", "__main__"} <= set(RANK)


def test_only_doctor_and_bench_use_the_reference() -> None:
    users = {m for m, path in MODULES.items() if any(layer(t) == "reference" for t in imports(path))}
    assert {m for m in users if layer(m) != "reference"} == {
        "texsynth.cli.doctor", "texsynth.benchmark.run", "texsynth.benchmark.stages",
        "texsynth.benchmark.tables",
    }  # fmt: skip


def test_the_formulas_are_explicit() -> None:
    """No derivative in them comes from torch."""
    for name in [
        "convolution",
        "encoding",
        "ift",
        "layers",
        "self_similarity",
    ]:
        tree = ast.parse(ROOT.joinpath("reference", f"{name}.py").read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not used & {"autograd", "backward", "grad", "requires_grad", "requires_grad_", "func"}, name


def test_no_import_cycles() -> None:
    inside = {
        m: {t for t in imports(p) if t in MODULES and t not in (m, "texsynth")} for m, p in MODULES.items()
    }
    TopologicalSorter(inside).prepare()


def test_outside_libraries_stay_in_their_layer() -> None:
    for module, path in MODULES.items():
        for target in imports(path):
            home = HOMES.get(target.split(".")[0])
            assert home is None or layer(module) in home.split(), f"{module} imports {target}"
