"""The network against one written a second time from Figure 2: plain torch functions over a dictionary of weights."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.model.network import GlobalConvNet

Weights = Mapping[str, Tensor]
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def batch_norm(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.batch_norm(
        x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5
    )


def residual_block(x: Tensor, w: Weights, name: str, stride: int) -> Tensor:
    """A basic block, or a bottleneck (which has a third convolution and strides in its 3 x 3)."""
    bottleneck = f"{name}.conv3.weight" in w
    first_stride, second_stride = (1, stride) if bottleneck else (stride, 1)
    out = F.conv2d(x, w[f"{name}.conv1.weight"], stride=first_stride, padding=0 if bottleneck else 1)
    out = F.relu(batch_norm(out, w, f"{name}.bn1"))
    out = batch_norm(F.conv2d(out, w[f"{name}.conv2.weight"], stride=second_stride, padding=1), w, f"{name}.bn2")
    if bottleneck:
        out = batch_norm(F.conv2d(F.relu(out), w[f"{name}.conv3.weight"]), w, f"{name}.bn3")
    if f"{name}.downsample.0.weight" in w:
        x = batch_norm(F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride), w, f"{name}.downsample.1")
    return F.relu(out + x)


def resnet(x: Tensor, w: Weights, blocks: tuple[int, ...]) -> list[Tensor]:
    x = F.relu(batch_norm(F.conv2d(x, w["backbone.body.conv1.weight"], stride=2, padding=3), w, "backbone.body.bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    levels = []
    for stage, count in enumerate(blocks, start=1):
        for index in range(count):
            stride = 2 if stage > 1 and index == 0 else 1
            x = residual_block(x, w, f"backbone.body.layer{stage}.{index}", stride)
        levels.append(x)
    return levels


def conv(x: Tensor, w: Weights, name: str) -> Tensor:
    weight = w[f"{name}.weight"]
    return F.conv2d(x, weight, w[f"{name}.bias"], padding=(weight.shape[2] // 2, weight.shape[3] // 2))


def gcn(x: Tensor, w: Weights, name: str) -> Tensor:
    left = conv(conv(x, w, f"{name}.left.0"), w, f"{name}.left.1")
    right = conv(conv(x, w, f"{name}.right.0"), w, f"{name}.right.1")
    return left + right


def br(x: Tensor, w: Weights, name: str) -> Tensor:
    return x + conv(F.relu(conv(x, w, f"{name}.residual.0")), w, f"{name}.residual.2")


def deconv(x: Tensor, w: Weights, name: str) -> Tensor:
    return F.conv_transpose2d(x, w[f"{name}.weight"], stride=2, padding=1)


def figure_2(images: Tensor, w: Weights, blocks: tuple[int, ...]) -> Tensor:
    height, width = images.shape[-2:]
    mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    padded = images.new_zeros(len(images), 3, -(-height // 32) * 32, -(-width // 32) * 32)
    padded[:, :, :height, :width] = (images - mean) / std
    res2, res3, res4, res5 = resnet(padded, w, blocks)
    x = deconv(br(gcn(res5, w, "heads.3"), w, "refine_heads.3"), w, "upsamples.0")
    x = br(x + br(gcn(res4, w, "heads.2"), w, "refine_heads.2"), w, "refine_sums.0")
    x = deconv(x, w, "upsamples.1")
    x = br(x + br(gcn(res3, w, "heads.1"), w, "refine_heads.1"), w, "refine_sums.1")
    x = deconv(x, w, "upsamples.2")
    x = br(x + br(gcn(res2, w, "heads.0"), w, "refine_heads.0"), w, "refine_sums.2")
    x = br(deconv(x, w, "upsamples.3"), w, "refine_output.0")
    x = br(deconv(x, w, "upsamples.4"), w, "refine_output.1")
    return x[:, :, :height, :width]


@pytest.mark.parametrize("backbone", BLOCKS)
@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_the_network_is_figure_2(backbone: str, size: tuple[int, int], randomise: Callable[[nn.Module], None]) -> None:
    network = GlobalConvNet(5, backbone, kernel_size=(3, 5, 7, 9)).double().eval()
    randomise(network)
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        actual = network(images)
        expected = figure_2(images, network.state_dict(), BLOCKS[backbone])
    assert expected.std() > 1e-3
    # The mean and standard deviation are float32 buffers widened to float64: 1e-8 relative.
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))
