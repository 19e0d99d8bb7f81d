"""What systems show of themselves is there: operations, and the fields of their requests and replies."""

from __future__ import annotations

import pytest

from soundstage.catalogue import SYSTEMS
from soundstage.core.panels import Bars, Panel, Query, Spans
from soundstage.core.system import System
from soundstage.data.timeseries.pages import PANELS
from soundstage.surface.console.render import system_page

TIMESERIES = next(system for system in SYSTEMS if system.name == "timeseries")


def test_every_panel_has_its_place_and_names_its_operation() -> None:
    html = system_page(TIMESERIES, PANELS)
    for number, panel in enumerate(PANELS):
        assert f'id="panel-{number}"' in html
        assert f'href="/console/timeseries/{panel.operation}"' in html
    assert 'name="time_interval.start"' in html


def test_what_panels_say_cannot_become_html() -> None:
    evil = "<script>alert(1)</script>"
    panels: tuple[Panel, ...] = (Query(title=evil, about=evil, operation="o", fields=(), empty=evil),)
    assert evil not in system_page(System("evil", "none", evil), panels)


@pytest.mark.parametrize("kind", [Spans, Bars, Query])
def test_time_series_show_slices_partitions_and_events(kind: type[Panel]) -> None:
    assert [type(panel) for panel in PANELS].count(kind) == 1
