"""From weights and the images of a split to the archive for the server, in steps that a stop cannot undo."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.arrays import Uint8Array
from globalconv.data.images import image_size, pixel_limit, read_image
from globalconv.data.roots import Root
from globalconv.errors import InputError, StoppedError, suggest
from globalconv.infer.predictor import Predictor
from globalconv.runtime.progress import Progress
from globalconv.runtime.threads import StageTimes, group_consecutive, prefetch
from globalconv.submission.archive import check_predictions, write_archive
from globalconv.submission.servers import BENCHMARKS, Benchmark, Competition, ListedImage, check_classes
from globalconv.submission.submission_folder import Predictions, made_by


@dataclass(frozen=True)
class Submission:
    """What is to be submitted: to which server, of which split, as which archive."""

    name: str
    """One of `BENCHMARKS`."""
    out: Path
    split: str = "test"
    competition: Competition = "comp6"
    """Of VOC only."""
    trial: bool = False
    """Take any number of images, of any size: the server would refuse that."""

    @property
    def benchmark(self) -> Benchmark:
        return BENCHMARKS[self.name]

    def check(self) -> None:
        """Raise `InputError` for what is wrong before anything is read."""
        if self.name not in BENCHMARKS:
            raise InputError(f"submit {self.name!r}: there is no such benchmark; {suggest(self.name, BENCHMARKS)}")
        if self.split not in self.benchmark.counts:
            raise InputError(f"`split` {self.split}: {suggest(self.split, self.benchmark.counts)}")
        if self.name != "voc" and self.competition != "comp6":
            raise InputError(f"`competition` {self.competition}: only VOC has competitions; leave it out")
        if not self.out.name.endswith(self.benchmark.suffixes):
            better = f"{self.out.name.split('.')[0]}{self.benchmark.suffixes[0]}"
            kinds = " or ".join(self.benchmark.suffixes)
            raise InputError(f"`out` {self.out}: {self.benchmark.title} takes a {kinds} archive; call it {better}")
        if self.out.is_dir():
            raise InputError(f"`out` {self.out}: is a folder; name the archive to write")


def run_submission(submission: Submission, weights: Path, predictor: Predictor, data: Root) -> int:
    """Predict what is not predicted yet, check everything, write the archive; return how many images it has."""
    benchmark = submission.benchmark
    check_classes(benchmark, predictor.labels, weights)
    images = benchmark.images(data, submission.split)
    if not submission.trial:
        _check_official(submission, images)
    predictions = Predictions(submission.out, benchmark)
    predictions.open(made_by(submission.name, submission.split, weights, predictor))
    try:
        with pixel_limit(predictor.settings.max_pixels):
            _predict(predictor, images, predictions)
            with Progress("checked", len(images), "predictions") as progress:
                check_predictions(images, predictions, progress.update)
        names = [benchmark.member(p.file, submission.split, submission.competition) for p in images]
        files = [predictions.file(listed) for listed in images]
        write_archive(submission.out, list(zip(names, files, strict=True)))
    except StoppedError as stopped:
        again = "the same command keeps what is predicted and goes on"
        raise StoppedError(f"{stopped}; {again}", stopped.exit_code - 128) from None
    finally:
        predictions.close()
    return len(images)


def _check_official(submission: Submission, images: Sequence[ListedImage]) -> None:
    """Refuse what the server would refuse, before hours are spent on it."""
    benchmark, split = submission.benchmark, submission.split
    free = "; `trial` writes an archive all the same, which the server would refuse"
    if len(images) != (count := benchmark.counts[split]):
        raise InputError(
            f"`split` {split}: found {len(images)} of the {count} images that {benchmark.title} has there; unpack"
            f" its archives again{free}"
        )
    if benchmark.size is None:
        return
    width, height = benchmark.size
    for listed in images:
        if (size := image_size(listed.path)) != benchmark.size:
            raise InputError(
                f"{listed.path}: is {size[0]}x{size[1]}, images of {benchmark.title} are {width}x{height}; unpack"
                f" its archives again{free}"
            )


def _predict(predictor: Predictor, images: Sequence[ListedImage], predictions: Predictions) -> None:
    """Write the predictions that are not there yet; a thread decodes images ahead."""
    left = [listed for listed in images if not predictions.has(listed)]
    done, times = len(images) - len(left), StageTimes("decode", "network", "write")
    with Progress("predicted", len(images), "images", start=done) as progress:
        most = predictor.images_at_once
        for batch in group_consecutive(_read(left, most, times), _same_size, most):
            with times.stage("network"):
                class_maps = predictor.class_maps([image for _, image in batch])
            with times.stage("write"):
                for (listed, _), class_map in zip(batch, class_maps, strict=True):
                    predictions.write(listed, predictions.benchmark.png(class_map))
            done += len(batch)
            progress.update(done)
        if left:
            progress.print(times.summary(len(left), "images"))


def _read(images: Sequence[ListedImage], most: int, times: StageTimes) -> Iterator[tuple[ListedImage, Uint8Array]]:
    """Yield the images decoded; a thread decodes up to `most` ahead."""

    def read(listed: ListedImage) -> Uint8Array:
        with times.stage("decode"):
            return read_image(listed.path)

    for listed, coming in zip(images, prefetch(read, images, most), strict=True):
        yield listed, coming.result()


def _same_size(one: tuple[ListedImage, Uint8Array], other: tuple[ListedImage, Uint8Array]) -> bool:
    return one[1].shape == other[1].shape
