"""The tables of the test servers as text; no torch."""

from globalconv.columns import aligned
from globalconv.paper.specification import Ranking


def ranking_text(ranking: Ranking) -> str:
    """Return a table of a test server as printed, and how to get a row of one's own."""
    rows = [[method, f"{score:.1f}"] for method, score in ranking.printed.items()]
    command = f"globalconv submit {ranking.benchmark} RUN --data PATH --out {ranking.archive}"
    own = f"ours: not submitted; RUN being a training of the recipe {ranking.recipe}:\n  {command}"
    return "\n".join([f"{ranking.title}, mIoU % as printed", *aligned(rows), own])
