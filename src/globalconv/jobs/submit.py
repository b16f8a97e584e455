"""`submit`: predict the images of a split, check the predictions, and pack them as a test server takes them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from globalconv.arrays import Uint8Array
from globalconv.data.images import pixel_limit, read_image
from globalconv.data.roots import Data, as_root
from globalconv.errors import InputError, StoppedError, suggest
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor, load
from globalconv.runtime.progress import Progress
from globalconv.runtime.threads import StageTimes, group_consecutive, prefetch
from globalconv.submission.archive import check_predictions, write_archive
from globalconv.submission.servers import BENCHMARKS, Benchmark, Competition, ListedImage, check_classes, check_images
from globalconv.submission.submission_folder import SubmissionFolder, prediction_settings
from globalconv.weights import pinned_weights


def submit(
    benchmark: str,
    weights: str | Path,
    data: Data,
    out: str | Path,
    split: str = "test",
    competition: Competition = "comp6",
    device: str = "auto",
    precision: str = "float32",
    settings: InferenceSettings = PLAIN,
    trial: bool = False,
) -> int:
    """Write the archive `out` that the server of `benchmark` ("voc", "cityscapes") takes; return its predictions.

    All images of the split below `data` are predicted at their own size into a folder beside the archive, checked,
    and packed; a call that was stopped is continued by the same call. `trial` takes an incomplete split. Raises
    `InputError` for a network of other classes and for whatever the server would refuse.
    """
    archive = Path(out)
    server = _server(benchmark, archive, split, competition)
    if (root := as_root(data)) is None:
        raise InputError("`data` is missing: name the root of the official data set")
    weights = pinned_weights(Path(weights))
    predictor = load(weights, device, precision, settings=settings)
    check_classes(server, predictor.labels, weights)
    images = server.images(root, split)
    if not trial:
        check_images(server, split, images)
    folder = SubmissionFolder(archive, server)
    folder.open(prediction_settings(benchmark, split, weights, predictor))
    try:
        with pixel_limit(predictor.settings.max_pixels):
            _predict(predictor, images, folder)
            with Progress("checked", len(images), "predictions") as progress:
                check_predictions(images, folder, progress.update)
        members = [(server.member(image.file, split, competition), folder.file(image)) for image in images]
        write_archive(archive, members)
    except StoppedError as stopped:
        again = "the same command keeps what is predicted and goes on"
        raise StoppedError(f"{stopped}; {again}", stopped.exit_code - 128) from None
    finally:
        folder.close()
    return len(images)


def _server(name: str, archive: Path, split: str, competition: Competition) -> Benchmark:
    """Return the benchmark of that name; `InputError` for whatever is wrong before anything is read."""
    if name not in BENCHMARKS:
        raise InputError(f"submit {name!r}: there is no such benchmark; {suggest(name, BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    if split not in benchmark.counts:
        raise InputError(f"`split` {split}: {suggest(split, benchmark.counts)}")
    if name != "voc" and competition != "comp6":
        raise InputError(f"`competition` {competition}: only VOC has competitions; leave it out")
    if not archive.name.endswith(benchmark.suffixes):
        better = f"{archive.name.split('.')[0]}{benchmark.suffixes[0]}"
        suffixes = " or ".join(benchmark.suffixes)
        raise InputError(f"`out` {archive}: {benchmark.title} takes a {suffixes} archive; call it {better}")
    if archive.is_dir():
        raise InputError(f"`out` {archive}: is a folder; name the archive to write")
    return benchmark


def _predict(predictor: Predictor, images: Sequence[ListedImage], folder: SubmissionFolder) -> None:
    """Write the predictions that are not there yet; a thread decodes images ahead of the network."""
    missing = [image for image in images if not folder.holds(image)]
    image_format = predictor.image_format_for([(str(image.file), image.path) for image in images])
    times, batch_size = StageTimes("decode", "network", "write"), predictor.images_at_once
    done = len(images) - len(missing)

    def decode(image: ListedImage) -> Uint8Array:
        with times.stage("decode"):
            return read_image(image.path, image_format)

    def decoded() -> Iterator[tuple[ListedImage, Uint8Array]]:
        for image, pixels in zip(missing, prefetch(decode, missing, batch_size), strict=True):
            yield image, pixels.result()

    with Progress("predicted", len(images), "images", start=done) as progress:
        for batch in group_consecutive(decoded(), lambda first, second: first[1].shape == second[1].shape, batch_size):
            with times.stage("network"):
                class_maps = predictor.class_maps([pixels for _, pixels in batch])
            with times.stage("write"):
                for (image, _), class_map in zip(batch, class_maps, strict=True):
                    folder.write(image, folder.benchmark.png(class_map))
            done += len(batch)
            progress.update(done)
        if missing:
            progress.print(times.summary(len(missing), "images"))
