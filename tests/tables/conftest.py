"""Tests that make all tables draw no sheets of small panels: those have tests of their own."""

from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure

from benchmark.tables.figures import draw as drawing


@pytest.fixture(autouse=True, scope="package")
def _sheets_are_blank() -> Iterator[None]:
    """A sheet takes a second; its file still says which one it is, and who drew it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "make_sheet", lambda _: Figure((1, 1)))
        yield
