"""Join the parts of a run into one weight file, and measure it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import ModelError
from texsynth.models.calibration import to_unit_mean
from texsynth.models.hub.cache import record_hash
from texsynth.models.registry import Model, build_model
from texsynth.models.vgg import Encoder
from texsynth.models.weights import collect, write_weights
from texsynth.paths import is_folder
from texsynth.training.checkpoint import headers, origin_of
from texsynth.training.data import centre_crops, find_pictures, load_pictures, random_crops, to_image
from texsynth.training.decoder import PHOTO, rebuild, reconstruction
from texsynth.training.teacher import CHUNK, feature_moments, load_teacher
from texsynth.transforms.moments import Moments


def evaluate(
    model: Model, data: Path, teacher: Path | None = None, side: int = 256
) -> dict[str, dict[str, float]]:
    """Measure a model on held-out pictures. Returns figures by measure and level.

    Centre crops of held-out pictures below `data`/photos, or `data` where there is no such folder. The linear
    map to the teacher's features is fitted on 768 random training crops of 128 pixels.
    """
    photos = data / "photos"
    folder = photos if is_folder(photos) else data
    test = centre_crops(load_pictures(find_pictures(folder, held_out=True), side), side)
    encoder = model.vgg()
    table: dict[str, dict[str, float]] = {"pictures": {"held out": float(len(test))}}
    if teacher:
        scores = explained_variance(encoder, load_teacher(teacher), _training_crops(data, 768, 7), test)
        table["explained variance"] = {str(level): value for level, value in scores.items()}
    for level, decoder in model.decoders.items():
        psnr = reconstruction(rebuild(encoder, decoder, level), test)
        variance, energy = cycle_error(encoder, decoder, level, test)
        figures = {"PSNR dB": psnr, "cycle error / variance": variance, "cycle error / energy": energy}
        for name, value in figures.items():
            table.setdefault(name, {})[str(level)] = value
    if model.photo is not None:
        table.setdefault("PSNR dB", {})["photo"] = reconstruction(rebuild(encoder, model.photo, PHOTO), test)
    return table


def pack(
    folder: Path,
    data: Path,
    output: Path,
    teacher: Path | None,
    notes: Mapping[str, str],
    *,
    measure: bool = False,
    keep_encoder: bool = False,
    decoders_only: bool = False,
) -> dict[str, dict[str, float]]:
    """Write the model of a run as float16. Returns its held-out figures, if `measure` or with a teacher.

    Mean activations become one, unless the encoder is kept (`keep_encoder`), left out (`decoders_only`) or
    that of a model, whose unit is known to others. The figures are those of the written weights, and go into
    the header with `notes` and what every part says of its training. Raises ModelError for nothing to write.
    """
    origin = origin_of(folder)
    rescale = not (keep_encoder or decoders_only or origin)
    crops = [to_image(_training_crops(data, 128, 3))] if rescale else []
    tensors = to_unit_mean(collect(folder), crops) if rescale else collect(folder)
    written = {k: v for k, v in tensors.items() if not (decoders_only and k.startswith("encoder."))}
    if not written:
        raise ModelError(f"{folder} has no decoders yet; train some with `texsynth train decoder`")
    header = {
        "model": output.stem,
        "layout": "decoderL.*, photo.*" if decoders_only else "encoder.*, decoderL.*, photo.*",
        **{f"encoder_{key}": value for key, value in origin.items()},
        "training": json.dumps(headers(folder)),
        **notes,
    }
    table = {}
    if measure or teacher:
        half = {key: value.half().float() for key, value in written.items()}
        table = evaluate(build_model(output.stem, {**tensors, **half}), data, teacher)
        header["held_out"] = json.dumps(table)
    write_weights(output, written, header)
    record_hash(output)
    return table


def _training_crops(data: Path, count: int, seed: int) -> Tensor:
    pictures = load_pictures(find_pictures(data, held_out=False), 160)
    return random_crops(pictures, count, 128, torch.Generator().manual_seed(seed))


@torch.no_grad()
def explained_variance(student: Encoder, teacher: Encoder, fit: Tensor, held_out: Tensor) -> dict[int, float]:
    """R2 of the teacher's features under the best linear map (with offset) from the student's, by level.

    The map is a ridge regression on `fit`, measured at every position of `held_out`, (N, 3, S, S) uint8 both.
    """

    def stacked(image: Tensor) -> list[Tensor]:
        return [torch.cat(both, 1) for both in zip(student(image), teacher(image), strict=True)]

    scores = {}
    fitted, test = (feature_moments(crops, stacked) for crops in (fit, held_out))
    for level, (k, train, truth) in enumerate(zip(student.widths, fitted, test, strict=True), 1):
        mean, cov, test_mean, test_cov = train.mean, train.covariance, truth.mean, truth.covariance
        damping = 1e-6 * cov[:k, :k].diagonal().mean() * torch.eye(k, dtype=torch.float64)
        weight = torch.linalg.solve(cov[:k, :k] + damping, cov[:k, k:])
        bias = (test_mean - mean)[k:] - (test_mean - mean)[:k] @ weight
        explained = 2 * (weight * test_cov[:k, k:]).sum() - (weight * (test_cov[:k, :k] @ weight)).sum()
        scores[level] = float((explained - bias.square().sum()) / test_cov[k:, k:].trace())
    return scores


@torch.no_grad()
def cycle_error(
    encoder: Encoder, decode: Callable[[Tensor], Tensor], level: int, held_out: Tensor
) -> tuple[float, float]:
    """Error of encoder(clamp(decoder(f))) against f = encoder(image), over `held_out` (N, 3, S, S) uint8.

    Returns two ratios, squared error over variance of f (every channel centred) and over energy of f.
    """
    error, moments = 0.0, Moments.empty(encoder.widths[level - 1])
    for chunk in held_out.split(CHUNK):
        f = encoder.segment(to_image(chunk), 0, level)
        g = encoder.segment(decode(f).clamp(0, 1), 0, level)
        error += float(F.mse_loss(g, f, reduction="sum").double())
        moments = moments + Moments.of(f)
    variance, mean = float(moments.covariance.trace()), moments.mean
    return error / moments.n / variance, error / moments.n / (variance + float(mean.square().sum()))
