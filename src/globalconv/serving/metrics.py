"""What the server counts, in the text that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServerMetrics:
    """Counters of one server; they are of no other server in the process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "globalconv_requests", "Requests that have ended", ("path", "status"), registry=registry
        )
        self.latency = Histogram(
            "globalconv_request_seconds", "From the headers of a request to the end of its answer", ("path",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("globalconv_requests_in_flight", "Requests that have not ended", registry=registry)
        self.queue = Gauge("globalconv_queue_length", "Images that wait or are computed", registry=registry)
        self.images = Counter("globalconv_images", "Images that the network has seen", registry=registry)
        self.pixels = Counter("globalconv_pixels", "Pixels of these images", registry=registry)
        self.batches = Histogram(
            "globalconv_batch_size", "Images in one pass of the network", buckets=SIZES, registry=registry
        )
        self.network = Histogram(
            "globalconv_network_seconds", "Time of one pass of the network", buckets=SECONDS, registry=registry
        )

    def text(self) -> bytes:
        """Return all of them."""
        return generate_latest(self.registry)
