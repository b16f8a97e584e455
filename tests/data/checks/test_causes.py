"""One finding a cause, whatever names, numbers and paths stand in the messages."""

import pytest

from globalconv.data.checks.causes import MAX_CAUSES, Case, cause_of, find_causes
from globalconv.data.checks.sample import Finding


def case(message: str, *samples: str, kind: str = "odd", severity: str = "error") -> Case:
    return Case(severity, kind, message, samples)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.json: broken; export it again", "b.json: broken in another way; export it again"),
        ("a: broken; remove 'my cat.png'", "b: broken; remove 'your dog.png'"),
        ("a: broken; remove /data/cats/1.png", "b: broken; remove C:\\data\\dogs\\2.png"),
        ("a: broken; it is 12x30, cut 4.5 %", "b: broken; it is 9x200, cut 17.25 %"),
        ("a: broken; rename image_0001", "b: broken; rename image_0002"),
        ("a.png: broken", "my other b.png: broken"),
        ('a: broken; drop "it\'s"', 'b: broken; drop "that\'s"'),
    ],
)
def test_what_differs_from_file_to_file_makes_no_cause(first: str, second: str) -> None:
    assert cause_of(first) == cause_of(second) != cause_of("a: broken; draw it anew")
    (finding,) = find_causes([case(first, "x"), case(second, "y")])
    assert finding == Finding("error", "odd", first, 2, ("x", "y"))


def test_remedies_kinds_and_severities_make_causes() -> None:
    told = [
        case("a: b; mend it"),
        case("a: b; remove it"),
        case("a: b; mend it", kind="other"),
        case("a: b; mend it", severity="warning"),
    ]
    assert len(find_causes(told)) == 4
    assert find_causes([*told, *told]) == find_causes(told), "several splits may meet one"


def test_errors_without_samples_are_named_by_where_they_are() -> None:
    alone = case("a.json, image 3: broken; mend it")
    assert find_causes([alone]) == [Finding("error", "odd", alone.message, 1, ())]
    (finding,) = find_causes([alone, case("b.json, image 4: broken; mend it")])
    assert (finding.count, finding.samples) == (2, ("a.json, image 3", "b.json, image 4"))


def test_summaries_stay_apart_while_they_are_few() -> None:
    def summaries(count: int) -> list[Case]:
        return [case(f"folder {n}: 2 of its files; add them", f"{n}a", f"{n}b") for n in range(count)]

    assert [finding.count for finding in find_causes(summaries(2))] == [2, 2]
    assert [finding.count for finding in find_causes(summaries(200))] == [400]


def test_a_message_that_never_repeats_is_bounded_all_the_same() -> None:
    words = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(500)]
    findings = find_causes([case(f"f: broken; say {word}", word) for word in words])
    assert len(findings) == MAX_CAUSES + 1 and sum(finding.count for finding in findings) == 500
