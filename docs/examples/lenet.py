"""A network of the page "How do I train a model of my own?"."""

# begin: network
from torch import Tensor, nn


class Net(nn.Module):
    """Two convolutions and two dense layers, for square grey images."""

    def __init__(self, input_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        side = input_shape[1] // 4
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(16 * side**2, 84), nn.Tanh(), nn.Linear(84, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        logits: Tensor = self.head(self.features(x))
        return logits


# end: network
