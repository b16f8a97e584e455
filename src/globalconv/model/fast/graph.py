"""A module's forward as a graph of layers, in which batch norms, sums and ReLUs become part of convolutions."""

import copy
import operator
from collections import Counter

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from globalconv.model.fast.convolutions import FusedConvolution, SideBySide, is_fusable, neighbours

_NORMS = (nn.BatchNorm2d, BatchNormAct2d)

_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""In eval mode."""

_IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}

_SUMS = (operator.add, torch.add)

_RELUS = (F.relu, torch.relu)


class _Tracer(fx.Tracer):
    """Takes for one layer what can be fused, and timm's batch norm with its activation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) is BatchNormAct2d or is_fusable(m) or super().is_leaf_module(m, module_qualified_name)


def fused(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return `module`, which is used up, with convolutions of `dtype` that do what follows them as well.

    A module that can be traced keeps its attributes, for others may ask for them, and has the graph for its only part;
    of one that cannot, or whose layers somebody listens to, the parts are tried one by one.
    """
    if is_fusable(module) and not listened_to(module):
        assert isinstance(module, nn.Conv2d)
        return _fast(module, False, False, dtype)
    try:
        graph = _traced(module)
    except Exception:  # whatever a forward raises that looks at values which are not there yet
        for name, child in module.named_children():
            setattr(module, name, fused(child, dtype))
        return module
    rewriting = _Rewriting(graph, dtype)
    rewriting.fold_batch_norms()
    rewriting.drop_identities()
    rewriting.fuse_convolutions()
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    add_in_place(graph)
    graph.recompile()
    module._modules.clear()
    module.add_module("graph", graph)
    module.forward = graph.forward
    return module


def listened_to(module: nn.Module) -> bool:
    """Return whether a hook waits for what a module, or a part of it, gets or gives."""
    return any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())


def add_in_place(graph: fx.GraphModule, input_is_spare: bool = False) -> None:
    """Let convolutions put a sum where its other summand was, which saves a copy of that.

    It has to be a convolution's output, or where nobody else reads that the graph's input, and it has to be read by
    convolutions alone, which hand on no view of it, and by none later.
    """
    layers = {node: graph.get_submodule(str(node.target)) for node in graph.graph.nodes if node.op == "call_module"}
    order = {node: place for place, node in enumerate(graph.graph.nodes)}

    def is_ours(node: fx.Node) -> bool:
        return isinstance(layers.get(node), FusedConvolution) or (input_is_spare and node.op == "placeholder")

    def is_read_by(reader: fx.Node, last: fx.Node) -> bool:
        return isinstance(layers.get(reader), FusedConvolution) and order[reader] <= order[last]

    for node, layer in layers.items():
        if isinstance(layer, FusedConvolution) and len(node.args) == 2 and node.args[0] is not node.args[1]:
            other = node.args[1]
            assert isinstance(other, fx.Node)
            layer.in_place = is_ours(other) and all(is_read_by(reader, node) for reader in other.users)


def _traced(module: nn.Module) -> fx.GraphModule:
    """Return the graph of `module`, in which nothing is changed in place: what is moved must not see other values.

    Raises `ValueError` where something else sees the change, or a hook would no longer be called.
    """
    if listened_to(module):
        raise ValueError("somebody listens to a layer")
    graph = _Tracer().trace(module)
    traced = fx.GraphModule(module, graph)
    in_place = [node for node in graph.nodes if _is_in_place(traced, node)]
    for node in in_place:
        changed = node.args[0]
        if not isinstance(changed, fx.Node) or changed.op == "placeholder" or len(changed.users) > 1:
            raise ValueError(f"{node} changes what others use")
        if node.op != "call_module" and node.target not in (F.relu, *_IN_PLACE):
            raise ValueError(f"{node} changes its input")
    for node in in_place:
        if node.op == "call_module":
            traced.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]
        elif node.target is F.relu:
            node.args, node.kwargs = node.args[:1], {}
        else:
            node.target = _IN_PLACE[node.target]
    return traced


def _is_in_place(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return getattr(traced.get_submodule(str(node.target)), "inplace", False) is True
    if not node.op.startswith("call_"):
        return False
    name = str(getattr(node.target, "__name__", node.target))
    flagged = node.kwargs.get("inplace") is True or (node.target is F.relu and True in node.args[1:])
    return flagged or name.endswith("_") or node.target in _IN_PLACE


class _Rewriting:
    """Works on one graph."""

    def __init__(self, module: fx.GraphModule, dtype: torch.dtype) -> None:
        self.module, self.graph, self.dtype = module, module.graph, dtype
        self.uses = Counter(node.target for node in self.graph.nodes if node.op == "call_module")

    def fold_batch_norms(self) -> None:
        """Fold every batch norm whose input is a convolution that nothing else uses."""
        for node in list(self.graph.nodes):
            norm, before = self._layer(node), node.args[0] if node.args else None
            if type(norm) not in _NORMS or not isinstance(before, fx.Node):
                continue
            assert isinstance(norm, nn.BatchNorm2d)
            conv = self._layer(before)
            if conv is None or not is_fusable(conv) or len(before.users) > 1:
                continue
            if norm.running_mean is None or norm.running_var is None:
                continue
            assert isinstance(conv, nn.Conv2d)
            folded = copy.copy(conv)  # it may stand in another graph as well
            folded._parameters = dict(conv._parameters)
            folded.weight, folded.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            self.module.set_submodule(str(before.target), folded)
            self.module.set_submodule(str(node.target), norm.act if type(norm) is BatchNormAct2d else nn.Identity())

    def drop_identities(self) -> None:
        """Drop layers that pass on what they get."""
        for node in list(self.graph.nodes):
            if type(self._layer(node)) in _IDENTITIES:
                node.replace_all_uses_with(node.args[0])
                self.graph.erase_node(node)

    def fuse_convolutions(self) -> None:
        """Replace every convolution, with the sum and the ReLU after it where nothing else uses what is between."""
        for node in list(self.graph.nodes):
            layer = self._layer(node)
            if layer is None or not is_fusable(layer) or len(node.args) != 1 or node.kwargs:
                continue
            chain, inputs = [node], list(node.args)
            if (after := _only_user(node)) is not None and (other := _summand(after, node)) is not None:
                chain, inputs = [*chain, after], [*inputs, other]
            if relu := (after := _only_user(chain[-1])) is not None and self._is_relu(after):
                chain.append(after)
            assert isinstance(layer, nn.Conv2d)
            self.module.set_submodule(str(node.target), _fast(layer, relu, len(inputs) > 1, self.dtype))
            with self.graph.inserting_before(chain[-1]):
                chain[-1].replace_all_uses_with(self.graph.call_module(str(node.target), tuple(inputs)))
            for gone in reversed(chain):
                self.graph.erase_node(gone)

    def _layer(self, node: fx.Node) -> nn.Module | None:
        """Return the layer that is called by `node` and by no other."""
        if node.op != "call_module" or self.uses[node.target] > 1:
            return None
        return self.module.get_submodule(str(node.target))

    def _is_relu(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return type(self.module.get_submodule(str(node.target))) is nn.ReLU
        return node.op == "call_function" and node.target in _RELUS


def _fast(layer: nn.Conv2d, relu: bool, summed: bool, dtype: torch.dtype) -> nn.Module:
    count = 1 if relu or summed else neighbours(layer)
    return FusedConvolution(layer, relu, dtype) if count == 1 else SideBySide(layer, count, dtype)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _summand(node: fx.Node, one: fx.Node) -> fx.Node | None:
    """Return what a sum adds to `one`; None where it is no sum of two different tensors."""
    if node.op != "call_function" or node.target not in _SUMS or node.kwargs or len(node.args) != 2:
        return None
    others = [part for part in node.args if part is not one]
    return others[0] if len(others) == 1 and isinstance(others[0], fx.Node) else None
