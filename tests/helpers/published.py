"""Small networks in the published formats, written down as their papers' code computes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from helpers.nets import WIDTHS
from torch import Tensor, nn

from texsynth.models.vgg import BLOCKS, conv_names

CONVS_TO_RELU5_4 = [*conv_names(5), (5, 2), (5, 3), (5, 4)]
State = dict[str, Tensor]


def preprocessing() -> nn.Conv2d:
    """RGB in [0, 1] to BGR without the mean, on a scale at which tiny networks stay tame."""
    conv = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        conv.weight.copy_(2 * torch.eye(3).flip(0)[:, :, None, None])
        conv.bias = nn.Parameter(-torch.tensor([0.8, 0.9, 1.0]))
    return conv


def padded(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.ReLU()]


def sequential_encoder(level: int, *, whole: bool = False) -> nn.Sequential:
    """To reluLEVEL_1 as PytorchWCT has it, or to relu5_4 as pytorch-AdaIN has it."""
    layers: list[nn.Module] = [preprocessing()]
    inputs = 3
    for block, index in CONVS_TO_RELU5_4 if whole else conv_names(level):
        if index == 1 and block > 1:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        layers += padded(inputs, WIDTHS[block - 1])
        inputs = WIDTHS[block - 1]
    return nn.Sequential(*layers)


def up_to(network: nn.Sequential, level: int) -> nn.Sequential:
    """The part of an encoder that gives reluLEVEL_1."""
    return nn.Sequential(*list(network)[: (4, 11, 18, 31, 44)[level - 1]])


def sequential_decoder(level: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    convs = conv_names(level)
    for block, index in convs[::-1]:
        outputs = WIDTHS[block - 1] if index > 1 else WIDTHS[block - 2] if block > 1 else 3
        layers += padded(WIDTHS[block - 1], outputs)
        if index == 1 and block > 1:
            layers.append(nn.UpsamplingNearest2d(scale_factor=2))
    return nn.Sequential(*layers[:-1])


class TorchvisionVGG19(nn.Module):
    """Keys as in torchvision; it reflects, as texsynth does, where torchvision pads with zeros."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for block, index in CONVS_TO_RELU5_4:
            if index == 1 and block > 1:
                layers.append(nn.MaxPool2d(2, 2))
            layers += [nn.Conv2d(inputs, WIDTHS[block - 1], 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            inputs = WIDTHS[block - 1]
        self.features = nn.Sequential(*layers, nn.MaxPool2d(2, 2))
        self.classifier = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2))

    def levels(self, image: Tensor) -> list[Tensor]:
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (image - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
        return [self.features[:stop](x) for stop in (2, 7, 12, 21, 30)]


def named(convs: dict[str, nn.Module]) -> nn.Module:
    network = nn.Module()
    for name, conv in convs.items():
        network.add_module(name, conv)
    return network


def run_conv(network: nn.Module, name: str, x: Tensor) -> Tensor:
    conv = network.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    x = F.pad(x, (1, 1, 1, 1), mode="reflect") if conv.kernel_size == (3, 3) else x
    return F.conv2d(x, conv.weight, conv.bias)


class Distilled:
    """Encoder and decoder of one level of Collaborative-Distillation, with what training alone reads."""

    def __init__(self, level: int) -> None:
        self.level = level
        widths = WIDTHS if level > 1 else (7,)
        encoder: dict[str, nn.Module] = {"conv0": preprocessing()}
        decoder: dict[str, nn.Module] = {}
        inputs = 3
        for block, index in conv_names(level):
            width = widths[block - 1]
            encoder[f"conv{block}{index}"] = nn.Conv2d(inputs, width, 3)
            decoder[f"conv{block}{index}"] = nn.Conv2d(width, inputs, 3)
            inputs = width
        for block in range(1, level + 1):
            encoder[f"conv{block}1_aux"] = nn.Conv2d(widths[block - 1], 16, 1)
            if block > 1:
                decoder[f"aux{block}1"] = nn.Conv2d(widths[block - 2], 16, 1)
        self.encoder, self.decoder = named(encoder), named(decoder)

    def encode(self, x: Tensor) -> Tensor:
        x = run_conv(self.encoder, "conv0", x)
        for block, index in conv_names(self.level):
            if index == 1 and block > 1:
                x = F.max_pool2d(x, 2)
            x = F.relu(run_conv(self.encoder, f"conv{block}{index}", x))
        return x

    def decode(self, x: Tensor) -> Tensor:
        for block, index in conv_names(self.level)[::-1]:
            x = F.relu(run_conv(self.decoder, f"conv{block}{index}", x))
            if index == 1 and block > 1:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x


def haar_kernels(channels: int) -> dict[str, Tensor]:
    """Filters (channels, 1, 2, 2) of the four bands: products of a column and a row."""
    low, high = torch.tensor([1.0, 1.0]) / 2**0.5, torch.tensor([-1.0, 1.0]) / 2**0.5
    pairs = {"LL": (low, low), "LH": (low, high), "HL": (high, low), "HH": (high, high)}
    return {name: torch.outer(a, b).expand(channels, 1, 2, 2) for name, (a, b) in pairs.items()}


class Wavelets:
    """WCT2 with the option `cat5` or `sum`."""

    def __init__(self, option: str) -> None:
        self.option = option
        encoder: dict[str, nn.Module] = {"conv0": preprocessing()}
        decoder: dict[str, nn.Module] = {}
        inputs = 3
        for block, index in conv_names(4):
            width, joins = WIDTHS[block - 1], block < 4 and index == BLOCKS[block - 1]
            encoder[f"conv{block}_{index}"] = nn.Conv2d(inputs, width, 3)
            many = 5 if joins and option == "cat5" else 1
            decoder[self._name(block, index)] = nn.Conv2d(many * width, inputs, 3)
            inputs = width
        self.encoder, self.decoder = named(encoder), named(decoder)

    def states(self) -> tuple[State, State]:
        """Of the two files, which hold the filters too."""
        encoder, decoder = dict(self.encoder.state_dict()), dict(self.decoder.state_dict())
        for block in (1, 2, 3):
            for band, kernel in haar_kernels(WIDTHS[block - 1]).items():
                encoder[f"pool{block}.{band}.weight"] = kernel.clone()
                decoder[f"recon_block{block}.{band}.weight"] = kernel.clone()
        return encoder, decoder

    def _name(self, block: int, index: int) -> str:
        joins = block < 4 and index == BLOCKS[block - 1]
        return f"conv{block}_{index}" + ("_2" if joins and self.option == "cat5" else "")

    def encode(self, x: Tensor) -> list[Tensor]:
        """What is pooled at levels 1 to 3, and the features of level 4."""
        x, taken = run_conv(self.encoder, "conv0", x), []
        for block in (1, 2, 3, 4):
            for index in range(1, (BLOCKS[block - 1] if block < 4 else 1) + 1):
                x = F.relu(run_conv(self.encoder, f"conv{block}_{index}", x))
            taken.append(x)
            if block < 4:
                x = F.conv2d(x, haar_kernels(x.shape[1])["LL"], stride=2, groups=x.shape[1])
        return taken

    def decode(self, x: Tensor, bands: list[dict[str, Tensor]], originals: list[Tensor]) -> Tensor:
        """bands: LH, HL and HH of levels 1 to 3."""
        for block, index in conv_names(4)[::-1]:
            if block < 4 and index == BLOCKS[block - 1]:
                parts = {"LL": x, **bands[block - 1]}
                kernels, count = haar_kernels(x.shape[1]), x.shape[1]
                full = [F.conv_transpose2d(v, kernels[k], stride=2, groups=count) for k, v in parts.items()]
                cat5 = self.option == "cat5"
                x = torch.cat([*full, originals[block - 1]], 1) if cat5 else torch.stack(full).sum(0)
            x = run_conv(self.decoder, self._name(block, index), x)
            x = x if (block, index) == (1, 1) else F.relu(x)
        return x


def bands_of(x: Tensor) -> dict[str, Tensor]:
    """LH, HL and HH of features."""
    kernels = haar_kernels(x.shape[1])
    return {k: F.conv2d(x, kernels[k], stride=2, groups=x.shape[1]) for k in ("LH", "HL", "HH")}
