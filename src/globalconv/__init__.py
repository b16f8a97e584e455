"""globalconv: semantic segmentation with large kernels (the Global Convolutional Network of Peng et al., CVPR 2017).

Public names are imported on first use, so that `import globalconv` and `globalconv --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from globalconv.cost.count import network_cost
    from globalconv.crf.dense import DenseCRF
    from globalconv.errors import InputError
    from globalconv.evaluation.confusion import ConfusionMatrix
    from globalconv.infer.predictor import load
    from globalconv.jobs.card import card
    from globalconv.jobs.crf_search import crf_search
    from globalconv.jobs.evaluate import evaluate
    from globalconv.jobs.export import export
    from globalconv.jobs.predict import predict
    from globalconv.jobs.pretrain import pretrain
    from globalconv.jobs.push import push
    from globalconv.jobs.report import report
    from globalconv.jobs.submit import submit
    from globalconv.jobs.train import train
    from globalconv.labels import LabelSpace
    from globalconv.model.blocks import BoundaryRefinement, ConvStack, DenseConv, GlobalConv, PointwiseHead
    from globalconv.model.fast.optimise import optimised
    from globalconv.model.network import GlobalConvNet
    from globalconv.receptive_field.gradient import effective_receptive_field
    from globalconv.receptive_field.occlusion import valid_receptive_field
    from globalconv.receptive_field.size import field_size
    from globalconv.receptive_field.theoretical import theoretical_receptive_field

    __version__: str

__all__ = [
    "GlobalConvNet",
    "GlobalConv",
    "BoundaryRefinement",
    "PointwiseHead",
    "DenseConv",
    "ConvStack",
    "ConfusionMatrix",
    "DenseCRF",
    "load",
    "optimised",
    "train",
    "pretrain",
    "evaluate",
    "report",
    "card",
    "push",
    "predict",
    "export",
    "crf_search",
    "submit",
    "theoretical_receptive_field",
    "effective_receptive_field",
    "valid_receptive_field",
    "field_size",
    "network_cost",
    "LabelSpace",
    "InputError",
    "__version__",
]

_HOMES = {
    "GlobalConvNet": "model.network",
    "GlobalConv": "model.blocks",
    "BoundaryRefinement": "model.blocks",
    "PointwiseHead": "model.blocks",
    "DenseConv": "model.blocks",
    "ConvStack": "model.blocks",
    "optimised": "model.fast.optimise",
    "ConfusionMatrix": "evaluation.confusion",
    "DenseCRF": "crf.dense",
    "load": "infer.predictor",
    "train": "jobs.train",
    "pretrain": "jobs.pretrain",
    "evaluate": "jobs.evaluate",
    "report": "jobs.report",
    "card": "jobs.card",
    "push": "jobs.push",
    "predict": "jobs.predict",
    "export": "jobs.export",
    "crf_search": "jobs.crf_search",
    "submit": "jobs.submit",
    "theoretical_receptive_field": "receptive_field.theoretical",
    "effective_receptive_field": "receptive_field.gradient",
    "valid_receptive_field": "receptive_field.occlusion",
    "field_size": "receptive_field.size",
    "network_cost": "cost.count",
    "LabelSpace": "labels",
    "InputError": "errors",
}
"""Public name -> the module it lives in."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("globalconv")
    elif name in _HOMES:
        from globalconv.errors import needing_train

        with needing_train(f"globalconv.{name}"):
            value = getattr(import_module(f"globalconv.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'globalconv' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
