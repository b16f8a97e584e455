"""Images that show nothing or hardly anything: of one colour, nearly black, nearly white, or of low contrast."""

from collections import defaultdict
from collections.abc import Sequence

from globalconv.data.checks.sample import Facts, Finding, Severity, count_of
from globalconv.data.image_format import SAY_LEVEL

DARK, BRIGHT, CONTRAST = 16, 239, 16
"""Grey levels, 0 .. 255: of a nearly black image 99 % of the pixels are at most `DARK`, of a nearly white one at least
`BRIGHT`; of one of low contrast 98 % lie less than `CONTRAST` levels apart. Of 6,000 photographs of streets, animals
and things the darkest has 76 where `DARK` is, the brightest 169 where `BRIGHT` is, and two are of less contrast than
50: a parachute in fog has 11."""

MANY = 0.5
"""Share of the images from which this is no matter of a few photographs, but of how all were written or read."""

KINDS = {
    "blank": ("of one colour all over", "as of an export of the wrong layer, or of alpha that is no transparency"),
    "dark": ("nearly black", "as of deep images whose white is far below the largest number that they can hold"),
    "bright": ("nearly white", "as of deep images whose white was taken too low, or of alpha that is no transparency"),
    "contrast": ("of hardly any contrast", "as of deep images that use a small part of the numbers that they can hold"),
}
"""What images of each kind are, and what makes all images of a data set so."""


def find_odd_levels(samples: Sequence[Facts]) -> list[Finding]:
    """Find images of one colour, nearly black and nearly white ones, and images of low contrast: each image once.

    A few nearly black ones may be photographs of the night, and white ones drawings: they get a note.
    """
    names: dict[str, list[str]] = defaultdict(list)
    decoded = [(sample, *sample.levels) for sample in samples if sample.levels]
    for sample, low, high in decoded:
        if sample.plain:
            names["blank"].append(sample.name)
        elif high <= DARK:
            names["dark"].append(sample.name)
        elif low >= BRIGHT:
            names["bright"].append(sample.name)
        elif high - low < CONTRAST:
            names["contrast"].append(sample.name)
    findings = []
    for kind, (what, cause) in KINDS.items():
        if not (found := names[kind]):
            continue
        many = len(found) >= max(2, MANY * len(decoded))
        severity: Severity = "warning" if many or kind == "blank" else "note"
        message = f"{count_of(len(found), 'image')} {what}; leave out those that show nothing"
        if many:
            message = (
                f"{len(found)} of {len(decoded)} images are {what}, {cause}; look at them with `sheet`, and"
                f" {SAY_LEVEL} if they are deep, or write them anew"
            )
        findings.append(Finding(severity, kind, message, len(found), tuple(found)))
    return findings
