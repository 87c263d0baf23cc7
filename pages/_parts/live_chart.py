"""A Plotly chart that is updated in place, whatever its data do.

`st.plotly_chart` of Streamlit 1.67 mounts a new chart at every change of the data: it flickers and
forgets the zoom (streamlit#8782). This component keeps one DOM node and calls `Plotly.react`. The
script comes from the installed plotly package, through Streamlit's static serving.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import streamlit as st

Figure = dict[str, Any]

_STATIC = Path(__file__).resolve().parents[2] / "static"

_HTML = """
<div class="nas-chart" role="img"></div>
<p class="nas-chart-problem" hidden></p>
"""

_CSS = """
.nas-chart { width: 100%; }
.nas-chart .parcoords .axis :is(.domain, .tick > line) { stroke: var(--st-text-color); }
.nas-chart-problem { color: var(--st-red-text-color); margin: 0; }
"""

_JS = """
const NARROW = 400  // pixels
const drawn = new WeakMap()  // node -> what must be released with it

function library() {
  window.nasPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = "./app/static/plotly.min.js"
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => reject(new Error("The chart library could not be loaded."))
    document.head.append(script)
  })
  return window.nasPlotly
}

function themed(layout, node) {
  const style = getComputedStyle(node)
  const colour = (name) => style.getPropertyValue(`--st-${name}`).trim()
  const text = colour("text-color"), border = colour("border-color")
  const axis = { gridcolor: border, linecolor: border, zerolinecolor: border, tickcolor: border }
  const narrow = node.offsetWidth < NARROW
  const result = {
    ...layout,
    paper_bgcolor: colour("background-color"),
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: narrow ? 11 : 12, color: text, ...layout.font },
    hoverlabel: {
      bgcolor: colour("secondary-background-color"),
      bordercolor: border,
      font: { color: text, family: style.fontFamily, size: 12 },
      ...layout.hoverlabel,
    },
    legend: {
      orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 }, maxheight: 0.3,
      ...layout.legend,
      // On a narrow screen above the chart it would take half of it.
      ...(narrow ? { yref: "container", y: 0, yanchor: "bottom", maxheight: 0.2 } : {}),
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("gray-color"), activecolor: text },
  }
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis/.test(name)) result[name] = { ...axis, ...layout[name] }
  }
  return result
}

function settings(Plotly, name) {
  return {
    displaylogo: false,
    responsive: false,
    toImageButtonOptions: { filename: name, scale: 2 },
    // The first uploads the chart to a foreign host.
    modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d"],
    modeBarButtonsToAdd: [{
      name: "svg",
      title: "Download plot as an SVG",
      icon: Plotly.Icons.disk,
      click: (chart) => Plotly.downloadImage(chart, { format: "svg", filename: name }),
    }],
  }
}

function draw(Plotly, node) {
  const { figure, alt, height, name } = node.latest
  node.style.height = `${height}px`
  node.setAttribute("aria-label", alt)
  const layout = themed(figure.layout, node)
  const wanted = JSON.stringify([figure.data, layout])
  if (node.wanted === wanted) return  // a page that draws itself anew has mostly nothing new
  node.wanted = wanted
  node.settings ??= settings(Plotly, name)  // others, were they alike, would make a new chart
  Plotly.react(node, figure.data, layout, node.settings)
}

function listen(Plotly, node) {
  node.on("plotly_click", ({ points: [point] }) => {
    if (typeof point?.customdata === "string") node.tell.trigger("clicked", point.customdata)
  })
  node.on("plotly_restyle", () => {
    const brush = {}
    for (const dimension of node.data[0].dimensions ?? []) {
      if (dimension.constraintrange) {
        const ranges = dimension.constraintrange
        brush[dimension.name ?? dimension.label] = ranges[0].length ? ranges : [ranges]
      }
    }
    node.tell.state("brush", brush)
  })
  const observer = new ResizeObserver(() => {
    if (!node.offsetWidth) return
    draw(Plotly, node)
    Plotly.Plots.resize(node)
  })
  observer.observe(node)
  drawn.set(node, observer)
}

export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  const node = parentElement.querySelector(".nas-chart")
  const problem = parentElement.querySelector(".nas-chart-problem")
  node.style.height = `${data.height}px`
  node.latest = data  // several runs may pass before the library is there: the last one counts
  node.tell = { trigger: setTriggerValue, state: setStateValue }
  library().then((Plotly) => {
    if (node.latest !== data || !node.isConnected) return
    draw(Plotly, node)
    if (!drawn.has(node)) listen(Plotly, node)
  }).catch((error) => {
    problem.textContent = error.message
    problem.hidden = false
  })
  return () => {
    drawn.get(node)?.disconnect()
    drawn.delete(node)
    window.Plotly?.purge(node)
  }
}
"""

_CHART = st.components.v2.component("nas_chart", html=_HTML, css=_CSS, js=_JS, isolate_styles=False)


def chart(figure: Figure, key: str, alt: str, height: int = 320) -> str | None:
    """Draw a figure; with the same `key`, later calls update it in place and keep the zoom.

    Args:
        figure: a Plotly figure as plain data; `layout.uirevision` says how long zoom is kept.
        key: of the element, [a-z0-9_-].
        alt: what the chart shows, for those who cannot see it.
        height: in pixels.

    Returns:
        The `customdata` of a point that has been clicked since the last run, where it is a text.
    """
    clicked = _mounted(figure, key, alt, height)["clicked"]
    return clicked if isinstance(clicked, str) else None


def brushed_chart(
    figure: Figure, key: str, alt: str, height: int = 320
) -> dict[str, list[list[float]]]:
    """Draw parallel coordinates and return what is brushed: ranges by the name of a dimension.

    A dimension's `name`, else its `label`, names it. Where the figure holds these ranges as
    `constraintrange`, the brush outlives a change of the data.
    """
    brush = _mounted(figure, key, alt, height)["brush"]
    return brush if isinstance(brush, dict) else {}


def brush_of(key: str) -> dict[str, list[list[float]]]:
    """Return what is brushed in the chart with this key, before it is drawn again."""
    brush = st.session_state.get(key, {}).get("brush")
    return brush if isinstance(brush, dict) else {}


def _mounted(figure: Figure, key: str, alt: str, height: int) -> Any:
    return _CHART(
        key=key,
        data={"figure": figure, "alt": alt, "height": height, "name": key},
        on_clicked_change=_note,
        on_brush_change=_note,
    )


def _note() -> None:
    """Have Streamlit know the values that a chart may report."""


def serve_library() -> None:
    """Put the installed plotly's script where Streamlit serves files, unless it is there."""
    package = importlib.util.find_spec("plotly")
    assert package is not None and package.origin is not None, "plotly is in requirements.txt"
    source = Path(package.origin).parent / "package_data" / "plotly.min.js"
    target = _STATIC / "plotly.min.js"
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    _STATIC.mkdir(exist_ok=True)
    temporary = _STATIC / f".plotly.{os.getpid()}"
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)


serve_library()
