"""Writes the import fixture with real PyTorch: a tiny once-for-all MobileNetV3, its checkpoints and its logits.

Run once, with PyTorch 2.15.0 (CPU), from the repository root; the project itself never needs Python:
    python3 -m venv venv && venv/bin/pip install torch && venv/bin/python test/supernet/import/make_fixture.py

Writes into test/supernet/import/fixture/:
    legacy.pth    torch.save(..., _use_new_zipfile_serialization=False); nested under "state_dict"; dynamic key names with
                  ".mobile_inverted_conv.", as the published ofa_mbv3_* files have them
    zip.pth       today's torch.save; bare state dict; static key names with ".conv."
    logits.json   classes, submodels and the logits of each on a synthetic image

The network is written anew after mit-han-lab/once-for-all (`ofa_mbv3.py`, `dynamic_layers.py`, `dynamic_op.py`): same
parameter names, same arithmetic, narrow layers. Weights are random, batch-norm statistics are measured and then disturbed,
kernel transforms are disturbed identities: nothing is left at a value that hides a mistake.
"""

import json
import os
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

STEM, FIRST, STAGES, HEAD, FEATURE, CLASSES = 8, 8, [8, 16, 8, 16, 8], 48, 32, 7
DEPTH = 3
STRIDES = [2, 2, 2, 1, 2]
H_SWISH = [False, False, True, True, True]
SQUEEZE = [False, True, False, True, True]


def divisible(v, d=8):
    new = max(d, int(v + d / 2) // d * d)
    return new + d if new < 0.9 * v else new


def h_sigmoid(x):
    return F.relu6(x + 3) / 6


class Wrap(nn.Module):
    """A submodule under one more name: dynamic layers nest `conv.conv`, `bn.bn`, `linear.linear`."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class ElasticDepthwise(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, groups=channels, bias=False)
        self.register_parameter("7to5_matrix", nn.Parameter(torch.eye(25) + 0.05 * torch.randn(25, 25)))
        self.register_parameter("5to3_matrix", nn.Parameter(torch.eye(9) + 0.05 * torch.randn(9, 9)))

    def kernel(self, channels, k):
        w = self.conv.weight[:channels]
        if k <= 5:
            w = F.linear(w[:, :, 1:6, 1:6].reshape(channels, 25), getattr(self, "7to5_matrix")).view(channels, 1, 5, 5)
        if k <= 3:
            w = F.linear(w[:, :, 1:4, 1:4].reshape(channels, 9), getattr(self, "5to3_matrix")).view(channels, 1, 3, 3)
        return w


def norm(x, bn, channels):
    return F.batch_norm(
        x, bn.running_mean[:channels], bn.running_var[:channels], bn.weight[:channels], bn.bias[:channels],
        bn.training, 1.0 if bn.training else 0.0, 1e-5,
    )


class MBConv(nn.Module):
    def __init__(self, inputs, outputs, stride, swish, squeeze):
        super().__init__()
        hidden = divisible(round(inputs * 6))
        self.inputs, self.stride, self.act = inputs, stride, F.hardswish if swish else F.relu
        self.residual = stride == 1 and inputs == outputs
        self.inverted_bottleneck = Wrap(
            conv=Wrap(conv=nn.Conv2d(inputs, hidden, 1, bias=False)), bn=Wrap(bn=nn.BatchNorm2d(hidden))
        )
        self.depth_conv = Wrap(conv=ElasticDepthwise(hidden), bn=Wrap(bn=nn.BatchNorm2d(hidden)))
        if squeeze:
            middle = divisible(hidden // 4)
            self.depth_conv.add_module(
                "se", Wrap(fc=Wrap(reduce=nn.Conv2d(hidden, middle, 1), expand=nn.Conv2d(middle, hidden, 1)))
            )
        self.point_linear = Wrap(
            conv=Wrap(conv=nn.Conv2d(hidden, outputs, 1, bias=False)), bn=Wrap(bn=nn.BatchNorm2d(outputs))
        )

    def forward(self, x, k, e):
        m = divisible(round(self.inputs * e))
        y = F.conv2d(x, self.inverted_bottleneck.conv.conv.weight[:m])
        y = self.act(norm(y, self.inverted_bottleneck.bn.bn, m))
        y = F.conv2d(y, self.depth_conv.conv.kernel(m, k), None, self.stride, k // 2, 1, m)
        y = self.act(norm(y, self.depth_conv.bn.bn, m))
        if hasattr(self.depth_conv, "se"):
            fc, r = self.depth_conv.se.fc, divisible(m // 4)
            s = y.mean((2, 3), keepdim=True)
            s = F.relu(F.conv2d(s, fc.reduce.weight[:r, :m], fc.reduce.bias[:r]))
            y = y * h_sigmoid(F.conv2d(s, fc.expand.weight[:m, :r], fc.expand.bias[:m]))
        y = norm(F.conv2d(y, self.point_linear.conv.conv.weight[:, :m]), self.point_linear.bn.bn, None)
        return x + y if self.residual else y


class First(nn.Module):
    def __init__(self):
        super().__init__()
        self.depth_conv = Wrap(conv=nn.Conv2d(STEM, STEM, 3, 1, 1, groups=STEM, bias=False), bn=nn.BatchNorm2d(STEM))
        self.point_linear = Wrap(conv=nn.Conv2d(STEM, FIRST, 1, bias=False), bn=nn.BatchNorm2d(FIRST))

    def forward(self, x):
        y = F.relu(norm(self.depth_conv.conv(x), self.depth_conv.bn, None))
        y = norm(self.point_linear.conv(y), self.point_linear.bn, None)
        return x + y if STEM == FIRST else y


class TinyOfa(nn.Module):
    def __init__(self):
        super().__init__()
        self.first_conv = Wrap(conv=nn.Conv2d(3, STEM, 3, 2, 1, bias=False), bn=nn.BatchNorm2d(STEM))
        blocks, inputs = [Wrap(conv=First())], FIRST
        for width, stride, swish, squeeze in zip(STAGES, STRIDES, H_SWISH, SQUEEZE):
            for i in range(DEPTH):
                blocks.append(Wrap(conv=MBConv(inputs, width, stride if i == 0 else 1, swish, squeeze)))
                inputs = width
        self.blocks = nn.ModuleList(blocks)
        self.final_expand_layer = Wrap(conv=nn.Conv2d(inputs, HEAD, 1, bias=False), bn=nn.BatchNorm2d(HEAD))
        self.feature_mix_layer = Wrap(conv=nn.Conv2d(HEAD, FEATURE, 1, bias=False))
        self.classifier = Wrap(linear=nn.Linear(FEATURE, CLASSES))

    def forward(self, x, submodel):
        x = F.hardswish(norm(self.first_conv.conv(x), self.first_conv.bn, None))
        x = self.blocks[0].conv(x)
        for stage, depth in enumerate(submodel["depths"]):
            for i in range(stage * DEPTH, stage * DEPTH + depth):
                x = self.blocks[1 + i].conv(x, submodel["kernels"][i], submodel["expands"][i])
        x = F.hardswish(norm(self.final_expand_layer.conv(x), self.final_expand_layer.bn, None))
        x = F.hardswish(self.feature_mix_layer.conv(x.mean(3, keepdim=True).mean(2, keepdim=True)))
        return self.classifier.linear(x.flatten(1))


def image(size):
    """The same formula as the test's: bytes 0..255, then ImageNet's normalisation."""
    y, x, c = torch.meshgrid(torch.arange(size), torch.arange(size), torch.arange(3), indexing="ij")
    pixels = (x * 7 + y * 13 + c * 61 + (x * y) % 97 + (x * x + 3 * y) % 31) % 256
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    return ((pixels - mean) / std).permute(2, 0, 1).unsqueeze(0)


def uniform(resolution, depth, kernel, expand):
    n = DEPTH * len(STAGES)
    on = [1 if i % DEPTH < depth else 0 for i in range(n)]
    return {
        "resolution": resolution,
        "depths": [depth] * len(STAGES),
        "kernels": [kernel * o for o in on],
        "expands": [expand * o for o in on],
    }


def random_submodel(resolution):
    pick = lambda values: values[int(torch.randint(len(values), ()))]
    depths = [pick([2, 3]) for _ in STAGES]
    on = [i % DEPTH < depths[i // DEPTH] for i in range(DEPTH * len(STAGES))]
    return {
        "resolution": resolution,
        "depths": depths,
        "kernels": [pick([3, 5, 7]) if o else 0 for o in on],
        "expands": [pick([3, 4, 6]) if o else 0 for o in on],
    }


def prepare(net):
    """Everything disturbed, then batch-norm statistics measured and disturbed; convolutions rounded to half precision."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for m in norms:
            m.weight.copy_(0.6 + 0.8 * torch.rand_like(m.weight))
            m.bias.copy_(0.3 * torch.randn_like(m.bias))
            m.num_batches_tracked.fill_(1)
        # So that logits are of the order of 1: errors and tolerances then mean something.
        net.feature_mix_layer.conv.weight *= 4
        net.classifier.linear.weight *= 4
        for name, p in net.named_parameters():
            if is_half(name, p):
                p.copy_(p.half().float())
        net.train()
        images = [image(96), image(96).flip(3), image(96).flip(2) * 0.7, torch.randn(2, 3, 96, 96)]
        net(torch.cat(images), uniform(96, 3, 7, 6))
        for m in norms:
            m.running_mean += 0.1 * m.running_var.sqrt() * torch.randn_like(m.running_mean)
            # Channels that hardly vary would be divided by almost nothing, and small errors blown up.
            m.running_var.clamp_(min=0.05).mul_(0.75 + 0.5 * torch.rand_like(m.running_var))
    net.eval()


def is_half(name, tensor):
    return tensor.dim() == 4 and not name.startswith("first_conv")


def static_name(key):
    return (
        key.replace(".bn.bn.", ".bn.").replace(".conv.conv.weight", ".conv.weight").replace(".linear.linear.", ".linear.")
    )


def main():
    torch.manual_seed(20240812)
    net = TinyOfa()
    prepare(net)
    # Convolutions are stored in half precision (exactly: they were rounded before), the rest in float32 and int64.
    state = OrderedDict((k, v.detach().half() if is_half(k, v) else v.detach()) for k, v in net.state_dict().items())
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixture")
    os.makedirs(folder, exist_ok=True)
    dynamic = OrderedDict((k.replace("blocks.", "\0").replace(".conv.", ".mobile_inverted_conv.", 1).replace("\0", "blocks.")
                           if k.startswith("blocks.") else k, v) for k, v in state.items())
    torch.save({"state_dict": dynamic, "epoch": 120, "best_acc": 12.5}, os.path.join(folder, "legacy.pth"),
               _use_new_zipfile_serialization=False)
    torch.save(OrderedDict((static_name(k), v) for k, v in state.items()), os.path.join(folder, "zip.pth"))
    submodels = [uniform(96, 3, 7, 6), uniform(64, 2, 3, 3), uniform(96, 3, 5, 4)]
    submodels += [random_submodel(r) for r in (64, 96, 64, 96, 64)]
    with torch.no_grad():
        runs = [{"submodel": s, "logits": net(image(s["resolution"]), s)[0].tolist()} for s in submodels]
    about = f"written by make_fixture.py with PyTorch {torch.__version__}"
    with open(os.path.join(folder, "logits.json"), "w") as file:
        json.dump({"about": about, "classes": [f"class {i}" for i in range(CLASSES)], "runs": runs}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
