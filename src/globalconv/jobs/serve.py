"""`serve`: a trained network behind HTTP, with a page, until it is stopped."""

import json
from importlib.util import find_spec
from pathlib import Path

from globalconv.errors import InputError, print_line
from globalconv.hub.address import is_address
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor, load
from globalconv.runtime.files import as_path
from globalconv.serving.serve_settings import BATCH_SIZE, MAX_PIXELS, ServeSettings

SERVED = InferenceSettings(batch_size=BATCH_SIZE, max_pixels=MAX_PIXELS)
"""Settings of inference where none are given."""

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")


def serve(
    weights: str | Path | Predictor,
    host: str = "127.0.0.1",
    port: int = 8000,
    device: str = "auto",
    precision: str = "auto",
    settings: InferenceSettings = SERVED,
    limits: ServeSettings | None = None,
) -> None:
    """Answer requests at `host` and `port` (0: any free one) with the network of `weights` until a signal comes.

    `weights` is a run folder, a weights folder, hf://USER/NAME or a `Predictor`, which keeps its own settings. The
    signal is raised again when all requests in flight have been answered. `InputError` where something is missing or
    refused.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(f"serve needs {', '.join(missing)}; pip install globalconv[serve]")
    from globalconv.serving.app import build_app
    from globalconv.serving.server import listen, serve_until_stopped
    from globalconv.serving.service import Service

    bound = listen(host, port)
    try:
        if is_address(weights):
            from globalconv.weights import pinned_weights

            weights = pinned_weights(as_path("weights", weights))  # the digest is that of what is loaded
        predictor = weights if isinstance(weights, Predictor) else load(weights, device, precision, settings=settings)
        service = Service.of(predictor, limits or ServeSettings(), digest_of(predictor, weights))
        print_line(f"device      {predictor.description}")
        with service.batcher.watching():
            service.batcher.warm_up()
            serve_until_stopped(build_app(service), bound)
    finally:
        bound.close()


def digest_of(predictor: Predictor, weights: str | Path | Predictor) -> str:
    """Return what identifies a network, "" where nothing does: the digest of the weights that it was loaded from.

    An exported file has that of the weights that it was made from.
    """
    metadata = getattr(predictor.backend, "metadata", None)
    if metadata is not None:
        return str(metadata.digest)
    if isinstance(weights, Predictor):
        return ""
    from globalconv.weights import MODEL_FILE, weights_folder  # imports torch, which has computed then

    description = json.loads((weights_folder(as_path("weights", weights)) / MODEL_FILE).read_text())
    return str(description.get("digest", ""))
