"""Bundled networks on images or features: a multilayer perceptron, a small CNN, and a ResNet-8.

ResNet-8 normalises groups of channels of each example (Wu and He, "Group normalization", ECCV
2018), not batches: the running statistics of batch normalisation are no parameters, differ between
devices with different classes, and are not averaged with the weights (Hsieh et al., "The non-IID
data quagmire of decentralized machine learning", ICML 2020).

Sources: `cnn`: the two convolutions with pooling and a hidden layer of McMahan et al.,
"Communication-efficient learning of deep networks from decentralized data", AISTATS 2017, with
fewer and smaller filters. `resnet8`: He et al., "Deep residual learning for image recognition",
CVPR 2016, the networks for CIFAR-10 with one block in each of three stages and projections as
shortcuts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import relu

_GROUPS = 8


class Mlp(nn.Sequential):
    """Multilayer perceptron with one hidden layer of 128.

    Parameters
    ----------
    input_shape : shape of an input
    classes : number of classes
    """

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(math.prod(input_shape), 128),
            nn.ReLU(),
            nn.Linear(128, classes),
        )


class Cnn(nn.Sequential):
    """Two convolutions of 16 and 32 filters of 3 by 3 with pooling, and a hidden layer of 64.

    Parameters
    ----------
    input_shape : (channels, height, width), of at least 4 by 4 pixels
    classes : number of classes
    """

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        channels, height, width = _image(input_shape, 4)
        super().__init__(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (height // 4) * (width // 4), 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )


class _Block(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(_GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(_GROUPS, outputs)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = relu(self.first_norm(self.first(x)))
        return relu(self.second_norm(self.second(hidden)) + self.shortcut(x))


class ResNet8(nn.Sequential):
    """Residual network of three blocks of 16, 32 and 64 channels, with group normalisation.

    Parameters
    ----------
    input_shape : (channels, height, width)
    classes : number of classes
    """

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        channels, _, _ = _image(input_shape, 1)
        super().__init__(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, 16),
            nn.ReLU(),
            _Block(16, 16, 1),
            _Block(16, 32, 2),
            _Block(32, 64, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(64, classes),
        )


BUNDLED: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "cnn": Cnn,
    "mlp": Mlp,
    "resnet8": ResNet8,
}


def _image(input_shape: tuple[int, ...], least_px: int) -> tuple[int, int, int]:
    """Return the shape of an image.

    Raises
    ------
    ValueError
        if inputs are no images, or smaller ones
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < least_px:
        raise ValueError(
            "a convolutional network needs images (channels, height, width) of at least "
            f"{least_px} by {least_px} pixels, got inputs of shape {input_shape}; mlp takes any"
        )
    return input_shape[0], input_shape[1], input_shape[2]
