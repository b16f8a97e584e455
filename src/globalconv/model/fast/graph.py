"""A module's forward as a graph of layers (torch.fx): batch norms, sums and activations join convolutions."""

import copy
import operator
from collections import Counter

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from globalconv.model.fast.convolutions import (
    NO_ACTIVATION,
    RELU,
    Activation,
    FusedConvolution,
    SideBySide,
    activation_of,
    is_fusable,
    neighbours,
    pads_like_tensorflow,
)

_NORMS = (nn.BatchNorm2d, BatchNormAct2d)

_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout2d)
"""Layers that change nothing in eval mode."""

_OUT_OF_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}

_SUMS = (operator.add, torch.add)

_RELUS = (F.relu, torch.relu)


class _Tracer(fx.Tracer):
    """Traces through everything but layers that can be fused, and timm's batch norm with its activation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) is BatchNormAct2d or is_fusable(m) or super().is_leaf_module(m, module_qualified_name)


def fused(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return `module`, changed in place, with convolutions of `dtype` that compute what follows them as well.

    A module that can be traced keeps its attributes, which others may read, and has the graph as its only part. Of a
    module that cannot be traced, or whose layers have hooks, the parts are tried one by one.
    """
    if is_fusable(module) and not has_hooks(module):
        assert isinstance(module, nn.Conv2d)
        return _fast(module, dtype)
    try:
        graph = _trace(module)
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


def has_hooks(module: nn.Module) -> bool:
    """Return whether a hook of the user's is called with the inputs or outputs of a module or of a part of it."""
    return any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())


def add_in_place(graph: fx.GraphModule, owns_input: bool = False) -> None:
    """Let convolutions write a sum over its other summand, which saves a copy of that.

    The summand has to be the output of a convolution of ours, or with `owns_input` the graph's input. It may be read by
    convolutions alone, which return no view of it, and by none after the sum.
    """
    layers = {node: graph.get_submodule(str(node.target)) for node in graph.graph.nodes if node.op == "call_module"}
    order = {node: position for position, node in enumerate(graph.graph.nodes)}
    for node, layer in layers.items():
        if isinstance(layer, FusedConvolution) and len(node.args) == 2 and node.args[0] is not node.args[1]:
            summand = node.args[1]
            assert isinstance(summand, fx.Node)
            is_ours = isinstance(layers.get(summand), FusedConvolution)
            layer.in_place = (is_ours or (owns_input and summand.op == "placeholder")) and all(
                isinstance(layers.get(reader), FusedConvolution) and order[reader] <= order[node]
                for reader in summand.users
            )


def _trace(module: nn.Module) -> fx.GraphModule:
    """Return the graph of `module` without operations in place, so that its nodes may be moved.

    Raises `ValueError` where something else sees the change in place, or a hook would no longer be called.
    """
    if has_hooks(module):
        raise ValueError("a layer has a hook")
    graph = _Tracer().trace(module)
    traced = fx.GraphModule(module, graph)

    def is_in_place(node: fx.Node) -> bool:
        if node.op == "call_module":
            return getattr(traced.get_submodule(str(node.target)), "inplace", False) is True
        if not node.op.startswith("call_"):
            return False
        name = str(getattr(node.target, "__name__", node.target))
        flagged = node.kwargs.get("inplace") is True or (node.target is F.relu and True in node.args[1:])
        return flagged or name.endswith("_") or node.target in _OUT_OF_PLACE

    in_place = [node for node in graph.nodes if is_in_place(node)]
    for node in in_place:
        changed = node.args[0]
        if not isinstance(changed, fx.Node) or changed.op == "placeholder" or len(changed.users) > 1:
            raise ValueError(f"{node} changes what others use")
        if node.op != "call_module" and node.target not in (F.relu, *_OUT_OF_PLACE):
            raise ValueError(f"{node} changes its input")
    for node in in_place:
        if node.op == "call_module":
            traced.get_submodule(str(node.target)).inplace = False  # type: ignore[assignment]
        elif node.target is F.relu:
            node.args, node.kwargs = node.args[:1], {}
        else:
            node.target = _OUT_OF_PLACE[node.target]
    return traced


class _Rewriting:
    """The steps that fuse the layers of one graph."""

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
        """Drop layers that return their input."""
        for node in list(self.graph.nodes):
            if type(self._layer(node)) in _IDENTITIES:
                node.replace_all_uses_with(node.args[0])
                self.graph.erase_node(node)

    def fuse_convolutions(self) -> None:
        """Replace every convolution, with the sum and activation after it where nothing else uses what is between."""
        for node in list(self.graph.nodes):
            layer = self._layer(node)
            if layer is None or not is_fusable(layer) or len(node.args) != 1 or node.kwargs:
                continue
            assert isinstance(layer, nn.Conv2d)
            chain, inputs = [node], list(node.args)
            after = _only_user(node)
            # A sum of this convolution's output and one other tensor.
            if after is not None and after.op == "call_function" and after.target in _SUMS and not after.kwargs:
                others = [part for part in after.args if part is not node]
                summed = len(after.args) == 2 and len(others) == 1 and isinstance(others[0], fx.Node)
                if summed and not pads_like_tensorflow(layer):
                    chain, inputs = [node, after], [*inputs, others[0]]
                    after = _only_user(after)
            activation = None if after is None else self._activation(after)
            if activation is not None and (len(inputs) == 1 or activation == RELU):
                assert after is not None
                chain.append(after)
            else:
                activation = None
            fast = _fast(layer, self.dtype, activation or NO_ACTIVATION, summed=len(inputs) > 1)
            self.module.set_submodule(str(node.target), fast)
            with self.graph.inserting_before(chain[-1]):
                chain[-1].replace_all_uses_with(self.graph.call_module(str(node.target), tuple(inputs)))
            for replaced in reversed(chain):
                self.graph.erase_node(replaced)

    def _activation(self, node: fx.Node) -> Activation | None:
        """Return the activation that a node computes, None where it is another operation."""
        if node.op == "call_module":
            return activation_of(self.module.get_submodule(str(node.target)))
        return RELU if node.op == "call_function" and node.target in _RELUS else None

    def _layer(self, node: fx.Node) -> nn.Module | None:
        """Return the layer that is called by `node` and by no other."""
        if node.op != "call_module" or self.uses[node.target] > 1:
            return None
        return self.module.get_submodule(str(node.target))


def _fast(
    layer: nn.Conv2d, dtype: torch.dtype, activation: Activation = NO_ACTIVATION, summed: bool = False
) -> nn.Module:
    count = 1 if summed or activation != NO_ACTIVATION else neighbours(layer)
    return FusedConvolution(layer, dtype, activation) if count == 1 else SideBySide(layer, count, dtype)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None
