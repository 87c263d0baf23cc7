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
.nas-chart-problem { color: var(--st-red-text-color); margin: 0; }
"""

_JS = """
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

function themed(layout, element) {
  const style = getComputedStyle(element)
  const colour = (name) => style.getPropertyValue(`--st-${name}`).trim()
  const text = colour("text-color"), border = colour("border-color")
  const axis = { gridcolor: border, linecolor: border, zerolinecolor: border, tickcolor: border }
  const result = {
    ...layout,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: 12, color: text, ...layout.font },
    hoverlabel: {
      bgcolor: colour("secondary-background-color"),
      bordercolor: border,
      font: { color: text, family: style.fontFamily, size: 12 },
      ...layout.hoverlabel,
    },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("gray-color"), activecolor: text },
  }
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis/.test(name)) result[name] = { ...axis, ...layout[name] }
  }
  return result
}

export default function ({ data, parentElement }) {
  const node = parentElement.querySelector(".nas-chart")
  const problem = parentElement.querySelector(".nas-chart-problem")
  node.style.height = `${data.height}px`
  node.setAttribute("aria-label", data.alt)
  node.latest = data  // several runs may pass before the library is there: the last one counts
  library().then((Plotly) => {
    if (node.latest !== data || !node.isConnected) return
    Plotly.react(node, data.figure.data, themed(data.figure.layout, parentElement), {
      displaylogo: false,
      responsive: false,
      // The first uploads the chart to a foreign host.
      modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d"],
    })
    if (!drawn.has(node)) {
      const observer = new ResizeObserver(() => node.offsetWidth && Plotly.Plots.resize(node))
      observer.observe(node)
      drawn.set(node, observer)
    }
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


def chart(figure: Figure, key: str, alt: str, height: int = 320) -> None:
    """Draw a figure; with the same `key`, later calls update it in place and keep the zoom.

    Args:
        figure: a Plotly figure as plain data; `layout.uirevision` says how long zoom is kept.
        key: of the element, [a-z0-9_-].
        alt: what the chart shows, for those who cannot see it.
        height: in pixels.
    """
    st.components.v2.component("nas_chart", html=_HTML, css=_CSS, js=_JS, isolate_styles=False)(
        key=key, data={"figure": figure, "alt": alt, "height": height}
    )


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
