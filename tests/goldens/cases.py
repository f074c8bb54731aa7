"""The table of golden cases: the files that each needs, and what is typed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One folder with inputs, and the command lines that are run in it, one after the other."""

    name: str
    files: tuple[str, ...]
    commands: tuple[str, ...]
    """Arguments of `python -m texsynth`, as in a shell."""
    discrete: bool = False
    """True when the method chooses (copies, blocks): a rounding error elsewhere gives another picture."""
    stdin: str = ""
    """The input file that is piped in."""


def case(name: str, files: str, *commands: str, discrete: bool = False, stdin: str = "") -> Case:
    """Make a case from space-separated file names."""
    return Case(name, tuple(files.split()), commands, discrete, stdin)


F32 = "--dtype float32"

CASES = (
    # expand
    case(
        "expand-patch-siblings",
        "wall.png normal.png height.png",
        f"expand wall.png --with normal.png --with height.png --method patch --scale 1.5 {F32} --json",
        "replay wall.expand.png --json",
        "replay normal.expand.png -o alone.png --json",
        discrete=True,
    ),
    case(
        "expand-fast-tileable-count",
        "wall.png",
        f"expand wall.png -p fast --tileable --count 2 --seed 7 --size 80x64 {F32} "
        "--preview sheet.png --json",
        discrete=True,
    ),
    case(
        "expand-auto-tileable",
        "moss.png",
        "expand moss.png --tileable --scale 1.25 -o out/ --json",
        discrete=True,
    ),
    case(
        "expand-optimize-mask",
        "moss.png left.png",
        f"expand moss.png --mask left.png --method patch+optimize --set optimize.iterations=3 "
        f"--set patch.layouts=1 --size 72x64 {F32} --json",
        discrete=True,
    ),
    case(
        "expand-hole",
        "moss.png hole.png",
        f"expand moss.png --hole hole.png -o mended.png {F32}",
        "replay mended.png -o again.png",
        discrete=True,
    ),
    case(
        "expand-mix-guide",
        "wall.png moss.png guide.png",
        f"expand wall.png moss.png --weights 2,1 --size 80x80 --guide guide.png {F32} --json",
        discrete=True,
    ),
    case(
        "expand-upright-variation",
        "wall.png",
        f"expand wall.png --upright --method transposer --variation 0.5 --size 64x64 {F32} --json",
        discrete=True,
    ),
    case("expand-grey", "grey.png", f"expand grey.png -p fast --size 72x72 {F32} --json", discrete=True),
    case(
        "expand-deep-tif",
        "deep.png",
        f"expand deep.png -p fast --size 64x64 --format tif {F32} --json",
        discrete=True,
    ),
    case(
        "expand-folder-dry-run",
        "textures/wall.png textures/moss.png",
        "expand textures/ -o out/ --count 2 --dry-run --json",
    ),
    # tile
    case("tile", "moss.png", f"tile moss.png {F32} --json", "replay moss.tile.png --json", discrete=True),
    case("tile-dry-run", "wall.png", "tile wall.png -n --json"),
    # stylize
    case(
        "stylize-artistic",
        "content.png style.png",
        "stylize content.png style.png --json",
        "replay content.style.png --json",
    ),
    case(
        "stylize-photo-jpg",
        "content.png style.png",
        f"stylize content.png style.png --photo --format jpg {F32} --json",
        "replay content.style.jpg -o again.png",
    ),
    *(
        case(
            f"stylize-{transform}",
            "content.png style.png",
            f"stylize content.png style.png --transform {transform} --seed 3 -o {transform}.png {F32} --json",
        )
        for transform in ("ift", "wct", "ot", "adain")
    ),
    case(
        "stylize-folder-webp",
        "photos/content.png photos/inner/other.png photos/broken.png style.png",
        f"stylize photos/ style.png -r -o out/ --format webp --quality 90 --preserve-color {F32} --json",
    ),
    case(
        "stylize-deep-photo",
        "deep.png style.png",
        f"stylize deep.png style.png --photo --transform wct {F32} --json",
    ),
    case(
        "stylize-alpha-tif",
        "clear.png style.png",
        f"stylize clear.png style.png -p gentle --format tif {F32} --json",
    ),
    case(
        "stylize-alpha-jpg",
        "clear.png grey.png",
        f"stylize clear.png grey.png --strength 0.5 --format jpg --bit-depth 8 {F32}",
    ),
    case(
        "stylize-grey",
        "grey.png style.png",
        f"stylize grey.png style.png --level-strength 4=0.5 --style-scale 1.5 --grain 0 {F32} --json",
    ),
    case(
        "stylize-preset-file-report",
        "content.png style.png own.yaml",
        "stylize content.png style.png -p own.yaml --set strength=0.8 --max-side 60 --report page.html "
        f"{F32} --json",
    ),
    case(
        "stylize-optimize",
        "content.png style.png",
        f"stylize content.png style.png --transform optimize --set transform.iterations=3 "
        f"--max-side 40 {F32}",
    ),
    case(
        "stylize-pipe",
        "content.png style.png",
        f"stylize - style.png -o out.png {F32} --json",
        "replay out.png --content content.png",
        "replay out.png -o third.png --content style.png",
        f"stylize - style.png -o - --strength 0.4 {F32}",
        stdin="content.png",
    ),
    case(
        "stylize-suggest",
        "content.png paintings/style.png paintings/ink.png paintings/moss.png",
        f"stylize content.png --suggest paintings/ --suggestions 2 {F32} --json",
    ),
    case("stylize-dry-run", "content.png style.png", "stylize content.png style.png --dry-run --json"),
    case(
        "stylize-resume",
        "photos/content.png photos/other.png style.png",
        f"stylize photos/content.png style.png -o out/ {F32} --json",
        f"stylize photos/ style.png -o out/ --resume {F32} --json",
    ),
    # blend
    case(
        "blend-weights",
        "content.png style.png ink.png",
        f"blend content.png --style style.png:0.7 --style ink.png:0.3 {F32} --json",
        "replay content.blend.png --json",
    ),
    case(
        "blend-levels-ot",
        "content.png style.png ink.png",
        f"blend content.png --style style.png@1,2 --style ink.png@3,4 --transform ot -o mix.png {F32} --json",
    ),
    case(
        "blend-masks",
        "content.png style.png ink.png half.png",
        f"blend content.png --style style.png --mask half.png --style ink.png --mask rest {F32} --json",
    ),
    case(
        "blend-labels",
        "content.png style.png content_labels.png style_labels.png",
        "blend content.png --style style.png --content-labels content_labels.png "
        f"--style-labels style_labels.png --feather 6 --photo {F32} --json",
    ),
    case(
        "blend-sequential-folder",
        "content.png paintings/style.png paintings/ink.png moss.png",
        f"blend content.png --style paintings/ --style moss.png --sequential --transform wct {F32} --json",
    ),
    case(
        "blend-sweep",
        "content.png style.png ink.png",
        f"blend content.png --style style.png --style ink.png --sweep 3 -o between/ {F32} --json",
    ),
    # batch
    case(
        "batch-csv",
        "rows.csv content.png other.png style.png ink.png",
        f"batch rows.csv -o out/ --report page.html {F32} --json",
        f"batch rows.csv -o out/ --resume --report page.html {F32}",
    ),
    case(
        "batch-yaml-shard",
        "jobs.yaml content.png other.png style.png",
        f"batch jobs.yaml --shard 2/2 {F32} --json",
    ),
    case("batch-jsonl-failure", "rows.jsonl content.png style.png", f"batch rows.jsonl -o out/ {F32} --json"),
    case("batch-dry-run", "jobs.yaml content.png other.png style.png", "batch jobs.yaml --dry-run --json"),
    # match and describe
    case(
        "match-index",
        "wall.png textures/ink.png textures/moss.png textures/deep/height.png textures/broken.png",
        "match wall.png textures/ --json --sheet sheet.png",
        "match wall.png textures/ -k 2 --rotation-invariant",
    ),
    case(
        "match-upright",
        "wall.png textures/ink.png textures/grey.png",
        "match wall.png textures/ --upright --index here.safetensors --json",
    ),
    case("describe", "wall.png clear.png", "describe wall.png clear.png --json", "describe wall.png"),
    # cards
    case(
        "card",
        "content.png style.png ink.png",
        f"card make style.png ink.png -o two.card {F32} --json",
        "card show two.card",
        "card show two.card --json",
        f"stylize content.png two.card {F32} --json",
    ),
    # presets
    case(
        "presets",
        "own.yaml misspelt.yaml",
        "presets list",
        "presets show photo",
        "presets show own.yaml",
        "presets show fast",
        "presets validate misspelt.yaml",
    ),
    # failures, by exit code
    case(
        "fail-2-usage",
        "content.png style.png broken.png",
        "stylize content.png style.png --strength 3",
        "stylize content.png style.png --set strenght=1",
        "expand content.png --size 12",
        "stylise content.png style.png",
        "blend content.png --style style.png --mask rest --style style.png",
        "expand content.png --method patch+transposer",
        "expand content.png -o content.png",
    ),
    case(
        "fail-3-some",
        "content.png broken.png style.png",
        f"stylize broken.png content.png style.png -o out/ {F32} --json",
    ),
    case(
        "fail-4-input",
        "content.png style.png broken.png",
        "stylize missing.png style.png",
        "stylize content.png broken.png",
        "expand broken.png",
        "replay content.png",
        "batch missing.yaml",
    ),
    case(
        "fail-5-exists",
        "content.png style.png ink.png",
        "stylize content.png style.png -o ink.png",
        "expand content.png -o ink.png --json",
        "stylize content.png style.png -o ink.png/result.png",
    ),
    case(
        "fail-6-model",
        "content.png style.png weights.safetensors",
        "stylize content.png style.png --model vgg19",
        "stylize content.png style.png --model weights.safetensors",
    ),
    case("fail-7-memory", "content.png style.png", "stylize content.png style.png --memory-limit 1MiB"),
)
"""All cases; names begin with the command, so `-k stylize` takes those of one command."""


OLD_RECORDS = case(
    "old_records",
    "content.png style.png ink.png half.png wall.png normal.png moss.png inner/hole.png",
    f"expand wall.png --with normal.png --scale 1.25 --seed 5 {F32}",
    f"expand moss.png -p fast --count 2 --tileable --size 72x64 -o fast.png {F32}",
    f"expand moss.png --hole inner/hole.png -o mended.png {F32}",
    f"tile wall.png --set patch.layouts=1 -o tiled.tif {F32}",
    f"stylize content.png style.png --grain 0.3 {F32}",
    f"stylize content.png style.png --photo --transform ot -o photo.jpg {F32}",
    f"blend content.png --style style.png:2 --mask half.png --style ink.png --mask rest -o mix.png {F32}",
)
"""What made the results with records that lie in the folder `old_records`."""
