"""Checks of the program's layers, losses and measures where the usual small problem does not lead."""

from collections.abc import Iterator, Sequence
from math import atan2, degrees, floor, lcm

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.analysis.orientation import texture_orientations
from texsynth.analysis.self_similarity import (
    masked_overlap,
    parabola_vertex,
    quadratic_vertex,
)
from texsynth.config.training import DecoderSettings
from texsynth.metrics.losses import random_directions, sliced_wasserstein
from texsynth.models import vgg
from texsynth.models.autoencoder import Decoder
from texsynth.models.encoding import TILE, encode
from texsynth.models.transposer_paper import LEAST_ENERGY
from texsynth.models.transposer_paper import self_similarity as similarity_map
from texsynth.ops.bilateral_grid import TONES, ColorField, local_affine
from texsynth.ops.color import luma, to_lab, with_chroma_of
from texsynth.ops.resample import box_mean, box_sum, pad_to_multiple
from texsynth.reference import convolution, encoding, layers, self_similarity
from texsynth.reference import ift as style
from texsynth.reference.comparison import ALL, Check, Comparison, Problem, comparisons, exact, gradients
from texsynth.reference.formula_checks import encoding_problem, first, last, style_problem
from texsynth.training.decoder import losses


def _encoding_tiles(problem: Problem) -> Iterator[Comparison]:
    """Many pictures make tiles short: here two descriptors, so that five take three tiles."""
    count = TILE // 2
    _, _, codewords, smoothing = encoding_problem(problem)
    working = torch.promote_types(problem.dtype, torch.float32)
    codewords, smoothing = codewords.to(working), smoothing.to(working)
    x, weight, grad = problem.normal(count, 5, 5), problem.uniform(count, 5), problem.normal(6, 5)
    got = gradients(lambda x, c, s: encode(x, c, s, weight).sum(0), (x, codewords, smoothing), grad)
    x, codewords, smoothing, weight, grad = exact(x, codewords, smoothing, weight, grad)
    flat = x.flatten(0, 1), codewords, smoothing, weight.reshape(-1, 1)
    d_x, *others = encoding.encode_backward(grad, *flat)
    expected = encoding.encode(*flat), d_x.reshape(x.shape), *others
    yield from comparisons("E dX dC ds", got, expected)


def _far_exponents(problem: Problem) -> Iterator[Comparison]:
    """Exponents of 1e8, at least 1000 apart: the nearest codeword takes all, and nothing overflows."""
    grad, codewords = problem.normal(6, 5), problem.distinct(6, 5) / 15
    x = 1e4 * F.one_hot(problem.labels(20, 5), 5).to(grad)
    inputs = x, codewords, torch.ones_like(codewords[:, 0])
    got = gradients(lambda x, c, s: encode(x[None], c, s)[0], inputs, grad)
    g, *same = exact(grad, *inputs)
    expected = encoding.encode(*same), *encoding.encode_backward(g, *same)[:2]
    yield from comparisons("E dX dC", got[:3], expected)


def _pool_ties(problem: Problem) -> Iterator[Comparison]:
    """Tied pixels share the gradient of their window, which goes to the largest alone and is not doubled."""
    for name, height, width in (("even", 6, 4), ("odd", 5, 7)):
        x = (3 * problem.uniform(height, width, 3)).floor()
        grad = problem.normal((height + 1) // 2, (width + 1) // 2, 3)
        y, d_x = gradients(lambda x: last(vgg.max_pool(first(x))), (x,), grad)
        largest = y.repeat_interleave(2, 0).repeat_interleave(2, 1)[:height, :width]
        won = first(exact(d_x * (x == largest))[0])
        windows = F.pad(won, (0, width % 2, 0, height % 2)).unfold(2, 2, 2).unfold(3, 2, 2)
        yield Comparison(name, last(windows.sum((4, 5))), grad)


def _self_similarity(problem: Problem) -> Iterator[Comparison]:
    """The map is minus the difference over the energy of the overlap, never positive, 0 in the middle."""
    x, (p, q) = problem.normal(1, 3, 8, 6), (4, 3)
    difference, energy = self_similarity.self_difference(last(*exact(x)), (p, q))
    expected = -difference / energy.maximum(LEAST_ENERGY * energy.amax())
    yield Comparison("S", similarity_map(x)[0, 0], expected)
    squares = x.to(torch.promote_types(x.dtype, torch.float32)).square().sum(1)
    got = masked_overlap(squares, torch.ones_like(squares), (p, q))
    yield Comparison("energy", got[0], energy)


def _unequal(problem: Problem) -> Iterator[Comparison]:
    """Quantile functions of unequal numbers of samples: each repeated as often as makes them equal."""
    output, target, rows = style_problem(problem)

    def plain(f: Tensor, goal: Tensor) -> Tensor:
        n = lcm(len(f), len(goal))
        a, b = (s.repeat_interleave(n // len(s), 0) for s in (f, goal))
        return style.sliced_wasserstein(a, b, *exact(rows))

    def by_program(f: Tensor, goal: Tensor) -> Tensor:
        return sliced_wasserstein(f.T[None], goal.T[None], rows)

    for name, goal in (("fewer", target[:8]), ("more", torch.cat([target, target[:5] + 1]))):
        got, expected = gradients(by_program, (output, goal)), gradients(plain, exact(output, goal))
        yield from comparisons(f"{name} {name}-dF {name}-dG", got, expected)


def _directions(problem: Problem) -> Iterator[Comparison]:
    """All of length 1, and as even as normal numbers are."""
    rows = random_directions(6, 4, torch.Generator().manual_seed(1), problem.normal(1))
    plain = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)).double()
    yield Comparison("V", rows, plain / plain.square().sum(1, keepdim=True).sqrt())


def _tagged(problem: Problem) -> Iterator[Comparison]:
    """Regions of different sizes, each compared alone, and two pictures."""
    output, target, rows = style_problem(problem)
    tags = torch.tensor([0] * 3 + [4] * 7 + [1] * 2)[torch.randperm(12, generator=problem.rng)]
    both = torch.stack([output, target]), torch.stack([target, 2 * output])

    def by_program(f: Tensor) -> Tensor:
        return sliced_wasserstein(f.mT, both[1].mT, rows, tags.to(f.device))

    def plain(f: Tensor) -> Tensor:
        parts = [
            (tags == tag).double().mean() * style.sliced_wasserstein(a[tags == tag], b[tags == tag], v)
            for a, b in zip(f, goal, strict=True)
            for tag in tags.unique()
        ]
        return torch.stack(parts).sum() / len(f)

    goal, v = exact(both[1], rows)
    yield from comparisons("loss dF", gradients(by_program, both[:1]), gradients(plain, exact(both[0])))


def _autoencoder_loss(problem: Problem) -> Iterator[Comparison]:
    """Squared norms with unit weights, the mean over two pictures, for phi = relu(conv) and psi = conv."""
    images = problem.uniform(2, 6, 4, 3)
    forth, back = ((problem.normal(3, 3, n, m), problem.normal(m)) for n, m in ((3, 5), (5, 3)))
    encoder, decoder = vgg.Encoder((5,)), Decoder((5,), 1)
    for part, prefix, (filters, bias) in ((encoder, "conv", forth), (decoder, "inv", back)):
        part.load_state_dict({f"{prefix}1_1.weight": filters.permute(3, 2, 0, 1), f"{prefix}1_1.bias": bias})
        part.to(problem.device)
    batch = torch.cat([first(image) for image in images])
    terms = tuple(losses(encoder, decoder, 1, batch, DecoderSettings(errors="sum")).values())
    (d_kernel,) = torch.autograd.grad(torch.stack(terms).sum(), decoder.conv(1, 1).weight)

    def plain(filters: Tensor) -> Tensor:
        total = filters.new_zeros(2)
        for image in exact(images)[0]:
            z = layers.relu(_convolved(image, *exact(*forth)))
            rebuilt = _convolved(z, filters, *exact(back[1]))
            again = layers.relu(_convolved(rebuilt, *exact(*forth)))
            total = total + torch.stack([(rebuilt - image).square().sum(), (again - z).square().sum()])
        return total / 2

    kernel = exact(back[0])
    yield from comparisons("image features", terms, tuple(plain(*kernel)))
    _, d_filters = gradients(lambda f: plain(f).sum(), kernel)
    yield Comparison("dF", d_kernel.permute(2, 3, 1, 0), d_filters)


def _convolved(x: Tensor, filters: Tensor, bias: Tensor) -> Tensor:
    return convolution.convolve(convolution.pad_reflect(x), filters, bias)


RAMPS = ((3, 4), (-4, 3))
"""Slopes down and to the right, in 256ths, of the left and the right part of a picture."""


def _orientation(problem: Problem) -> Iterator[Comparison]:
    """Two ramps side by side, with a masked strip between: 9 and 10 columns whose filters see one alone.

    All gradients of a ramp fall between the bins k and k + 1, the share s into the second. Smoothed by
    1 6 15 20 15 6 1 the parabola's top is 7 s / (10 - 6 s) above k for s up to a half.
    """
    rows, columns = torch.arange(24.0)[:, None], torch.arange(41.0)
    parts = [(down * rows + right * columns) / 256 for down, right in RAMPS]
    grey = torch.where(columns < 20, parts[0] + 0.25, parts[1] + 0.5)
    mask = ((columns < 19) | (columns > 20)).expand_as(grey)
    # Measured on the CPU, in float64, by the program too.
    image = grey.to(problem.dtype).expand(1, 3, -1, -1)
    found = texture_orientations(image, mask=mask[None, None].to(problem.dtype))
    expected = []
    for (down, right), share in zip(RAMPS, (9 / 19, 10 / 19), strict=True):
        place = degrees(atan2(-down, right)) / 10
        near = floor(place + 0.5)
        s = abs(place - near)
        top = near + (1 if place > near else -1) * 7 * s / (10 - 6 * s)
        expected.append(((10 * top + 90) % 180, 18 * share * (20 - 5 * s) / 64))
    expected.sort(key=lambda line: -line[1])
    for name, index in (("angle", 0), ("weight", 1)):
        values = ([line[index] for line in lines] for lines in (found, expected))
        yield Comparison(name, *(torch.tensor(v, dtype=torch.float64) for v in values))


XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
"""Linear sRGB to CIE XYZ; the second row is lightness."""


def _colour(problem: Problem) -> Iterator[Comparison]:
    matrix = torch.tensor(XYZ, dtype=torch.float64)
    colours = 0.1 + 0.9 * problem.uniform(4, 5, 3)
    x, weights = exact(colours)[0], matrix[1]
    yield Comparison("luma", last(luma(first(colours)))[..., 0], x @ weights)
    linear = ((x + 0.055) / 1.055) ** 2.4
    near, top, far = ((linear @ matrix.T / matrix.sum(1)) ** (1 / 3)).unbind(-1)
    lab = torch.stack([116 * top - 16, 500 * (near - top), 200 * (top - far)], -1)
    yield Comparison("Lab", to_lab(colours), lab)
    # Pure red is 1 - l above its lightness l and l below it: as much of both as the greys leave room for.
    red, greys = torch.tensor([1.0, 0, 0]), problem.put(torch.linspace(0.1, 0.9, 5))
    (g,) = exact(greys[:, None, None].expand(-1, -1, 3))
    share = torch.minimum((1 - g) / (1 - weights[0]), g / weights[0]).clamp(max=1)
    got = with_chroma_of(
        first(problem.put(red.expand(5, 1, -1))), first(greys[:, None, None].expand(-1, -1, 3))
    )
    yield Comparison("chroma", last(got), g + share * (red.double() - weights[0]))


def _field(problem: Problem) -> Iterator[Comparison]:
    """One change for all is fitted as it is; maps that are linear in place and tone are so between knots."""
    picture = first(0.8 * problem.uniform(14, 17, 3))
    yield Comparison("fit", local_affine(picture, picture + 0.1), picture + 0.1)
    cell = 4
    row, column, tone = (torch.arange(float(n)) for n in (5, 6, TONES))
    slopes = torch.eye(3, 4).repeat(5, 6, 1, TONES)
    slopes[..., 3::4] += (0.1 * row[:, None, None] - 0.3 * column[:, None] + 0.2 * tone)[:, :, None]
    got = ColorField(problem.put(slopes), cell).apply(picture)
    (x,) = exact(picture)
    down, right = torch.arange(14.0)[:, None] / cell, torch.arange(17.0) / cell
    yield Comparison("field", got, x + 0.1 * down - 0.3 * right + 0.2 * (TONES - 1) * luma(x))


def _between_samples(problem: Problem) -> Iterator[Comparison]:
    """The top of a skewed paraboloid from 3 x 3 values, and of a parabola from three."""
    (y, x), at = exact(0.8 * problem.uniform(2) - 0.4)[0], torch.arange(-1, 2).double()
    down, right = at[:, None] - y, at - x
    values = -(2 * down.square() + right.square() + 1.1 * down * right)
    yield Comparison(
        "vertex", torch.tensor(quadratic_vertex(values), dtype=torch.float64), torch.stack([y, x])
    )
    line = parabola_vertex(*(-(at - x).square()).tolist())
    yield Comparison("parabola", torch.tensor(line, dtype=torch.float64), x)


def _squares(problem: Problem) -> Iterator[Comparison]:
    x = problem.normal(1, 2, 5, 7)
    ones, plain = torch.ones(1, 1, 3, 3, dtype=torch.float64), exact(x)[0].transpose(0, 1)

    def sums(values: Tensor, mode: str = "") -> Tensor:
        padded = F.pad(values, (0, 2, 0, 2), mode=mode) if mode else values
        return F.conv2d(padded, ones).transpose(0, 1)

    yield Comparison("sums", box_sum(x, 3), sums(plain))
    yield Comparison("on a torus", box_sum(x, 3, wrap=True), sums(plain, "circular"))
    inside = F.pad(plain, (1,) * 4)
    counts = sums(F.pad(torch.ones_like(plain), (1,) * 4))
    yield Comparison("means", box_mean(x, 1), sums(inside) / counts)
    reflected = F.pad(exact(x)[0], (0, 1, 0, 3), mode="reflect")
    yield Comparison("reflected", pad_to_multiple(x, 4, at_least=8), reflected)


TEXTURE_CHECKS: Sequence[Check] = (
    Check("program: encoding by tiles", "paper 000, eq. 1 to 6", _encoding_tiles, ALL),
    Check("program: encoding far away", "paper 000, eq. 6", _far_exponents),
    Check("program: pooling of ties", "paper 001, problem 5", _pool_ties, ALL),
    Check("program: orientations", "paper 001, problem 1", _orientation),
    Check("program: autoencoder loss", "paper 002, eq. 28", _autoencoder_loss, (torch.float32,)),
    Check("program: self-similarity map", "paper 004, eq. 1", _self_similarity, ALL),
    Check("program: unequal Wasserstein", "paper 004, eq. 3 and 4", _unequal, ALL),
    Check("program: random directions", "paper 004, eq. 3", _directions, (torch.float32,)),
    Check("program: tagged Wasserstein", "Heitz et al. 2021, section 5", _tagged, ALL),
    Check("program: peaks between samples", "ours", _between_samples, (torch.float64,)),
    Check("program: colours", "IEC 61966-2-1, CIE 1976", _colour),
    Check("program: field of colour maps", "Chen et al. 2016", _field, (torch.float32,)),
    Check("program: sums over squares", "ours", _squares),
)
"""In the order of the papers."""
