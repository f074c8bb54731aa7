"""The Transposer: where copies go, what the network promises at any size, and its weight file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.nets import waves
from texsynth.models.transposer import Transposer, lay_out, load_transposer
from texsynth.models.transposer_copy import Slots, blur, centres, high_pass
from texsynth.models.transposer_parts import OwnEncoder, TransposedScale, resize
from torch import Tensor

from texsynth.analysis.self_similarity import self_difference
from texsynth.errors import InputError, ModelError
from texsynth.models.hub.cache import expected_hashes, file_hash
from texsynth.models.hub.catalog import ASSETS
from texsynth.models.vgg import Encoder, inference
from texsynth.models.weights import write_weights
from texsynth.synthesis.placement import NOISE, Layout, slot_sources


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # nothing here is large enough for two
    yield
    torch.set_num_threads(threads)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(kind: str = "own", *, trained: bool = True) -> Transposer:
    """A small network; `trained` gives the zero-initialised parts weights too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = OwnEncoder((4, 6, 8, 10)) if kind == "own" else Encoder((4, 6, 8, 10))
        net = Transposer(encoder, (4, 6, 8), 6)
        if trained:
            zeros = (net.residual3, net.copy.query2, net.copy.cue2)
            for layer in zeros:
                torch.nn.init.normal_(layer.weight, std=0.1)
    return inference(net)


def expand(
    net: Transposer, exemplar: Tensor, size: tuple[int, int], *, circular: bool = False, **more: object
) -> Tensor:
    return net.expand(exemplar, size, circular=circular, rng=rng(), **more)[0]  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=rng(seed))


def checker(period: int, side: int) -> Tensor:
    """Two-dimensional pattern of an exact period, (1, 3, side, side)."""
    tile = noise(1, 3, period, period, seed=5)
    times = -(-side // period)
    return tile.repeat(1, 1, times, times)[..., :side, :side]


def covered(layout: Layout) -> Tensor:
    rows, columns = (torch.arange(n) for n in layout.size)
    return torch.stack([slot_sources(layout, k, rows, columns).valid for k in range(len(layout.slots))]).any(
        0
    )


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("size", [(128, 128), (40, 50), (20, 17), (16, 150), (93, 64)])
@pytest.mark.parametrize("exemplar", [(64, 64), (31, 80), (16, 16)])
def test_copies_cover_every_pixel(size: tuple[int, int], exemplar: tuple[int, int], circular: bool) -> None:
    (layout,) = lay_out(noise(1, 3, *exemplar), size, rng(), circular=circular)
    assert covered(layout).all()


def test_copies_of_one_slot_do_not_overlap() -> None:
    for circular in (False, True):
        (layout,) = lay_out(noise(1, 3, 24, 32), (80, 90), rng(), circular=circular)
        for slot in layout.slots:
            count = torch.zeros(layout.size)
            for copy in slot:
                one = Layout(layout.exemplar, layout.size, circular, ((copy,),))
                count += slot_sources(one, 0, *(torch.arange(n) for n in layout.size)).valid
            assert count.max() == 1


def test_the_first_copy_lies_in_the_middle_or_where_asked() -> None:
    x = noise(2, 3, 32, 32)
    middle = lay_out(x, (64, 70), rng())
    assert [layout.slots[0][0][:2] for layout in middle] == [(16, 19), (16, 19)]
    asked = lay_out(x, (64, 70), rng(), origins=[(0, 3), (32, 38)])
    assert [layout.slots[0][0][:2] for layout in asked] == [(0, 3), (32, 38)]


def test_sources_are_those_of_the_copy() -> None:
    (layout,) = lay_out(noise(1, 3, 24, 30), (60, 70), rng())
    copy = layout.slots[0][0]
    painted = slot_sources(layout, 0, torch.arange(60), torch.arange(70))
    y, x = copy.row + 3, copy.column + 7
    assert painted.valid[y, x]
    assert painted.source[y, x] == 3 * 30 + 7
    assert painted.cues[0, copy.row, copy.column] == 0


@pytest.mark.parametrize("circular", [False, True])
def test_a_regular_texture_keeps_its_lattice(circular: bool) -> None:
    """All copies lie whole periods apart, though nobody told what the period is."""
    (layout,) = lay_out(checker(12, 64), (132, 132), rng(), circular=circular)
    origin = layout.slots[0][0]
    inside = [c for c in layout.placements if c.agreement > -0.5]
    assert len(inside) > 10
    assert all((c.row - origin.row) % 12 == (c.column - origin.column) % 12 == 0 for c in inside)


def test_an_exact_pattern_is_continued_exactly() -> None:
    pattern = checker(12, 140)
    out = expand(tiny(trained=False), pattern[..., 38:102, 38:102], (140, 140))
    torch.testing.assert_close(out, pattern, atol=1e-4, rtol=0)


def test_an_irregular_texture_gets_no_lattice() -> None:
    (layout,) = lay_out(noise(1, 3, 48, 48), (192, 192), rng())
    steps = {(a.row - b.row, a.column - b.column) for a in layout.placements for b in layout.placements
             if a is not b and abs(a.row - b.row) < 30 and abs(a.column - b.column) < 30}  # fmt: skip
    pairs = sum(abs(a.row - b.row) < 30 and abs(a.column - b.column) < 30
                for a in layout.placements for b in layout.placements if a is not b)  # fmt: skip
    assert len(steps) > 0.7 * pairs
    assert NOISE > 0


@pytest.mark.parametrize("kind", ["own", "lite"])
@pytest.mark.parametrize(
    ("exemplar", "size"),
    [((16, 16), (32, 32)), ((17, 30), (41, 99)), ((48, 33), (20, 70)), ((40, 40), (40, 40))],
)
def test_any_size_in_one_pass(kind: str, exemplar: tuple[int, int], size: tuple[int, int]) -> None:
    for circular in (False, True):
        out = expand(tiny(kind), noise(1, 3, *exemplar), size, circular=circular)
        assert out.shape == (1, 3, *size)
        assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("kind", ["own", "lite"])
@pytest.mark.parametrize("size", [(64, 64), (52, 75)])
def test_a_circular_output_is_periodic(kind: str, size: tuple[int, int]) -> None:
    """Moving the layout around the torus moves the output with it, so no place of the border is special.

    In float64, since the rounds of the copy head amplify rounding.
    """
    net, exemplar = tiny(kind).double(), noise(1, 3, 32, 32).double()
    (layout,) = lay_out(exemplar, size, rng(), circular=True)
    # By whole cells of the coarsest features; a size that has none is only turned around once.
    step = (8, 16) if size[0] % 8 == size[1] % 8 == 0 else size
    moved = [
        [c._replace(row=c.row + step[0], column=c.column + step[1]) for c in slot] for slot in layout.slots
    ]
    out, _ = net(exemplar, [layout])
    again, _ = net(exemplar, [Layout(layout.exemplar, size, True, tuple(map(tuple, moved)))])
    torch.testing.assert_close(again, out.roll(step, (2, 3)), atol=1e-5, rtol=0)


def test_a_circular_output_has_no_seam() -> None:
    exemplar = waves(48, 48)
    out = expand(tiny(trained=False), exemplar, (80, 96), circular=True)[0]
    for dim in (1, 2):
        inside = out.diff(dim=dim).abs().mean()
        across = (out.narrow(dim, 0, 1) - out.narrow(dim, out.shape[dim] - 1, 1)).abs().mean()
        assert across < 2 * inside


def test_the_result_does_not_depend_on_the_batch() -> None:
    net, x = tiny().double(), noise(3, 3, 24, 24).double()
    layouts = lay_out(x, (48, 56), rng())
    together, _ = net(x, layouts)
    alone = torch.cat([net(x[k : k + 1], layouts[k : k + 1])[0] for k in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_extras_follow_the_pixels() -> None:
    net, exemplar = tiny(), noise(1, 3, 32, 32)
    where = torch.arange(32.0)[None, None, :, None].expand(1, 1, 32, 32)
    extras = torch.cat([exemplar, where], 1)
    plain, none = net.expand(exemplar, (70, 64), circular=False, rng=rng())
    image, maps = net.expand(exemplar, (70, 64), circular=False, rng=rng(), extras=extras)
    assert none is None
    assert maps is not None
    assert torch.equal(plain, image)
    assert maps.shape == (1, 4, 70, 64)
    # Without a residual the picture itself is what was copied.
    bare = tiny(trained=False)
    image, maps = bare.expand(exemplar, (70, 64), circular=False, rng=rng(), extras=extras)
    assert maps is not None
    torch.testing.assert_close(image, maps[:, :3])
    assert 0 <= maps[:, 3].min() <= maps[:, 3].max() <= 31


def test_a_constant_exemplar_gives_more_of_its_colour() -> None:
    colour = torch.tensor([0.2, 0.5, 0.7]).view(1, 3, 1, 1)
    for circular in (False, True):
        out = expand(tiny(), colour.expand(1, 3, 20, 20), (45, 50), circular=circular)
        torch.testing.assert_close(out, colour.expand_as(out), atol=1e-5, rtol=0)


def test_seed_and_variation() -> None:
    net, x = tiny(), noise(1, 3, 32, 32)
    one, two = expand(net, x, (64, 64)), expand(net, x, (64, 64))
    assert torch.equal(one, two)
    other = net.expand(x, (64, 64), circular=False, rng=rng(1))[0]
    varied = expand(net, x, (64, 64), variation=0.8)
    assert not torch.equal(one, other)
    assert not torch.equal(one, varied)


def test_a_tiny_exemplar_is_refused() -> None:
    with pytest.raises(InputError, match="15 x 20"):
        expand(tiny(), noise(1, 3, 20, 15), (40, 40))


def test_one_copy_gives_the_map_of_equation_1() -> None:
    features = noise(1, 4, 12, 12)
    peaks = torch.zeros(1, 1, 13, 13)
    peaks[0, 0, 6, 6] = 1
    extended = TransposedScale.extended_map(features, peaks, circular=False)
    difference, energy = self_difference(features, (6, 6))
    similarity = -difference / energy
    # Both sides' energy, so that a shift and its opposite agree.
    assert extended.shape == (1, 1, 13, 13)
    assert extended.argmax() == similarity.argmax() == 6 * 13 + 6
    torch.testing.assert_close(extended, extended.flip(2, 3), atol=1e-5, rtol=0)


def test_the_transposed_convolution_of_a_single_peak_lays_the_filters() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = inference(TransposedScale(4, 5))
    features = noise(1, 4, 8, 8)
    peak = torch.full((1, 1, 9, 9), -2.0)
    peak[0, 0, 2, 3] = 0
    with torch.no_grad():
        block.sharpness.fill_(100.0)
        laid = block.lay(features, peak, (16, 16), (0, 0), False)
        moved = block.lay(features, peak.roll((1, 2), (2, 3)), (16, 16), (0, 0), False)
    torch.testing.assert_close(moved[..., 3:11, 5:13], laid[..., 2:10, 3:11], atol=0.05, rtol=0.05)


def test_resizing_around_a_torus_commutes_with_moving() -> None:
    x = noise(1, 2, 8, 12)
    big = resize(x, (16, 24), circular=True)
    torch.testing.assert_close(
        resize(x.roll((3, 5), (2, 3)), (16, 24), circular=True), big.roll((6, 10), (2, 3))
    )
    torch.testing.assert_close(big[..., 2:-2, 2:-2], resize(x, (16, 24))[..., 2:-2, 2:-2])


def test_parts_of_the_copy_head() -> None:
    x = noise(1, 1, 9, 9)
    assert blur(x, 1, circular=False)[0, 0, 4, 4].item() == pytest.approx(
        x[0, 0, 3:6, 3:6].mean().item(), rel=1e-5
    )
    assert high_pass(torch.full((1, 3, 20, 20), 0.5)).std() < 1e-6
    assert centres(8, 4).tolist() == [0, 2, 4, 6]
    assert centres(7, 4).max() <= 6
    layouts = lay_out(noise(2, 3, 16, 16), (30, 30), rng())
    slots = Slots(layouts, torch.arange(30), torch.arange(30), torch.zeros(1))
    source = noise(2, 2, 16, 16, seed=3)
    both = slots.take(0, source)
    one = Slots(layouts[:1], torch.arange(30), torch.arange(30), torch.zeros(1)).take(0, source[:1])
    assert torch.equal(both[:1], one)


def test_weights_decide_the_shapes(tmp_path: Path) -> None:
    for kind in ("own", "lite"):
        net, path = tiny(kind), tmp_path / f"{kind}.safetensors"
        write_weights(path, net.state_dict(), {})
        again = load_transposer(str(path))
        assert again.own == (kind == "own")
        x = noise(1, 3, 24, 24)
        assert (expand(again, x, (48, 48)) - expand(net, x, (48, 48))).abs().mean() < 1e-3


def test_bad_weights_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    with pytest.raises(ModelError, match="does not exist"):
        load_transposer(str(path))
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="damaged"):
        load_transposer(str(path))
    write_weights(path, {"encoder.conv0.weight": torch.zeros(4, 3, 3, 3)}, {})
    with pytest.raises(ModelError, match="not a Transposer"):
        load_transposer(str(path))


def test_the_embedded_network_is_the_published_one() -> None:
    path = ASSETS / "transposer.safetensors"
    assert expected_hashes()[path.name] == file_hash(path)
    assert path.stat().st_size < 3e6
    net = load_transposer()
    out = expand(net, waves(32, 32), (64, 64))
    assert out.shape == (1, 3, 64, 64)
    # Sharp: about as much contrast between neighbours as the exemplar has.
    ratio = out.diff(dim=3).square().mean() / waves(32, 32).diff(dim=3).square().mean()
    assert 0.5 < ratio < 2


def test_reduced_precision_changes_little() -> None:
    net, x = tiny(), waves(32, 32)
    full = expand(net, x, (64, 64))
    net.dtype = torch.bfloat16
    assert (expand(net, x, (64, 64)) - full).abs().mean() < 0.05
