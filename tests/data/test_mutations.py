"""Damaged inputs over all readers: a small part of what `benchmarks/mutations.py` tries."""

from pathlib import Path

import mutations
import pytest
from mutation_drawn import read_coco
from mutation_truths import MustTellError, Sample, difference


@pytest.mark.slow
def test_no_damage_is_a_traceback_or_silent(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    count = 150 * len(mutations.by_reader())
    outcomes, _, failures = mutations.run_all(mutations.Settings(count, seed=1, workers=1, limit=60, keep=tmp_path))
    assert not failures
    assert sum(counts.total() for counts in outcomes.values()) == count
    for counts in outcomes.values():
        assert min(counts["same"], counts["other"], counts["refused"]) > 0, "damage that does nothing, or everything"


def test_what_is_undamaged_is_read_as_the_independent_reading_does(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    for bases in mutations.by_reader().values():
        for base in bases:
            root = tmp_path / f"{base.reader}-{base.name}"
            mutations.write_files(root, dict(base.files))
            assert mutations.judge(base, root, mutations.read_all(root)) == ("same", "")


def test_a_reading_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """One pixel, or two samples exchanged; and what no reading can be right about."""
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    (base, *_) = mutations.by_reader()["COCO"]
    mutations.write_files(tmp_path, dict(base.files))
    first, *others = mutations.read_all(tmp_path).samples
    assert difference(read_coco, tmp_path, [first, *others]) == ""
    names = first.names.copy()
    names[5, 5] += 1
    assert "no equal" in difference(read_coco, tmp_path, [Sample(first.image, names), *others])
    exchanged = [Sample(first.image, others[0].names), Sample(others[0].image, first.names)]
    assert "no equal" in difference(read_coco, tmp_path, [*exchanged, *others[1:]])
    file = tmp_path / base.targets[0]
    file.write_text(file.read_text().replace('"id": 5, "name"', '"id": 30, "name"'))
    with pytest.raises(MustTellError, match="a category id twice"):
        read_coco(tmp_path)
