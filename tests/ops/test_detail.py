"""Fine detail that goes around coarse networks."""

import torch

from texsynth.ops.color import luma
from texsynth.ops.detail import with_detail_of

RADIUS = 8


def eye(at: int = 48, size: int = 96) -> torch.Tensor:
    """Return light skin with a dark spot of 4 px, (1, 3, size, size)."""
    image = torch.full((1, 3, size, size), 0.7)
    image[:, :, at : at + 4, at : at + 4] = 0.1
    return image


def strokes(size: int = 96) -> torch.Tensor:
    """Return stripes that a style has painted, (1, 3, size, size)."""
    wave = torch.sin(torch.arange(size) * 1.2)
    return 0.5 + 0.1 * wave.expand(1, 3, size, size)


def test_nothing_changes_without_a_share_and_where_the_detail_is_there_already() -> None:
    torch.testing.assert_close(with_detail_of(eye(), strokes(), 0.0, RADIUS), strokes())
    torch.testing.assert_close(with_detail_of(eye(), eye(), 0.8, RADIUS), eye())


def test_a_lost_eye_comes_back_in_the_colours_of_the_result() -> None:
    lost = torch.tensor([0.9, 0.7, 0.8]).view(1, 3, 1, 1).expand(1, 3, 96, 96)
    result = with_detail_of(eye(), lost, 1.0, RADIUS)
    spot, around = result[:, :, 48:52, 48:52], result[:, :, 34:38, 34:38]
    assert float(luma(around).mean() - luma(spot).mean()) > 0.2
    # Lightness changes alike in all channels, and far from the eye nothing does.
    torch.testing.assert_close(spot.mean((2, 3)).diff(), lost.mean((2, 3)).diff(), atol=0.06, rtol=0)
    torch.testing.assert_close(result[:, :, :8, :8], lost[:, :, :8, :8])


def test_strokes_stay_where_the_content_is_flat() -> None:
    result = with_detail_of(eye(), strokes(), 1.0, RADIUS)
    reach = 2 * RADIUS
    torch.testing.assert_close(result[:, :, : 48 - reach], strokes()[:, :, : 48 - reach])
    torch.testing.assert_close(result[:, :, 52 + reach :], strokes()[:, :, 52 + reach :])


def test_every_pixel_looks_no_further_than_it_says() -> None:
    content = torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(0))
    changed, reach = content.clone(), 2 * RADIUS
    changed[:, :, 50:] = 0.0
    one, two = (with_detail_of(x, strokes(80), 0.7, RADIUS) for x in (content, changed))
    torch.testing.assert_close(one[:, :, : 50 - reach], two[:, :, : 50 - reach])
