"use strict";
(() => {
  const $ = (selector, from = document) => from.querySelector(selector);
  const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
  let D; // the data block
  let Q; // its decisions, by column
  const DAY = 86400000;
  const NARROW = matchMedia("(max-width: 760px)");
  const COARSE = matchMedia("(pointer: coarse)");
  const DARK = matchMedia("(prefers-color-scheme: dark)");
  const ALARMS = new Set([6, 7, 8, 9, 10, 12]);
  const WAITS = new Set([4, 5]);
  const state = { zone: 0, row: -1, cursor: null, range: [], kind: "moves", rows: 0, printing: false };
  let C = {};

  // ---- words and numbers

  /** Text for Plotly, which would take tags in it for markup. */
  const esc = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const iso = (ms) => new Date(ms).toISOString();
  const when = (ms) => {
    const d = new Date(ms);
    return `${d.getUTCDate()} ${"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")[d.getUTCMonth()]} ${d.getUTCFullYear()}, ${iso(ms).slice(11, 16)}`;
  };
  const span = (ms) => {
    const min = Math.round(ms / 60000);
    if (min < 120) return `${min} min`;
    return min < 2880 ? `${+(min / 60).toFixed(1)} h` : `${+(min / 1440).toFixed(1)} days`;
  };
  const number = (value) => String(value).replace("-", "−");
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    C = new Proxy({}, { get: (_, name) => style.getPropertyValue(`--${name}`).trim() });
  };
  const faint = (colour, alpha) => {
    const n = parseInt(colour.slice(1), 16); // the style sheet writes six digits
    return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${alpha})`;
  };

  // ---- data of one zone

  const times = (series) => series.m.map((m) => D.start_ms + m * 60000);
  const rowsOf = new Map();
  const rows = () => rowsOf.get(state.zone) ?? [];
  const faultsOf = (zone) => D.faults.filter((f) => f.zones.includes(zone));
  /** Value of a thinned series at a time, linear between its points. */
  const reader = (series) => {
    const t = times(series);
    let i = 0;
    return (ms) => {
      while (i < t.length - 2 && t[i + 1] < ms) i++;
      if (t.length < 2) return series.v[0];
      const share = Math.min(Math.max((ms - t[i]) / (t[i + 1] - t[i]), 0), 1);
      return series.v[i] + share * (series.v[i + 1] - series.v[i]);
    };
  };
  const category = (row) => {
    if (Q.trap[row] || ALARMS.has(Q.why[row])) return "alarm";
    if (WAITS.has(Q.why[row])) return "wait";
    if (Q.changed[row]) return Q.irrigar[row] ? "open" : "close";
    return "hold";
  };

  // ---- charts

  const MARGIN = () => (NARROW.matches ? { l: 34, r: 36 } : { l: 48, r: 54 });
  const base = (height, margin = {}) => ({
    height, margin: { ...MARGIN(), t: 26, b: 38, ...margin }, showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", separators: ".\u202f",
    font: { family: getComputedStyle(document.body).fontFamily, size: NARROW.matches ? 11 : 12, color: C.muted },
    hoverlabel: { bgcolor: C.card, bordercolor: C.line, font: { color: C.ink, size: 12 }, align: "left" },
    dragmode: COARSE.matches ? false : "zoom", hovermode: "x unified", hoverdistance: 8, bargap: 0, legend: { traceorder: "normal" },
  });
  const config = { responsive: false, displayModeBar: false, doubleClick: false, scrollZoom: false };
  const axis = (more = {}) => ({
    gridcolor: C.line, linecolor: C.line, zerolinecolor: C.line, fixedrange: true, automargin: false, nticks: 5, ticklen: 0, ...more,
  });
  const timeAxis = (more = {}) => axis({
    type: "date", range: state.range, fixedrange: false, showgrid: true, nticks: NARROW.matches ? 5 : 10,
    hoverformat: "%a %-d %b %Y, %H:%M", spikethickness: 1, spikecolor: C.muted, spikedash: "solid", spikemode: "across", minallowed: D.start_ms, maxallowed: D.end_ms, ...more,
  });
  const plots = new Map();
  const plot = (id, traces, layout) => {
    const node = document.getElementById(id);
    if (!node) return null;
    if (state.printing) layout.width = state.printing;
    Plotly.react(node, traces, layout, config);
    if (!plots.has(id)) { plots.set(id, node); listen(node); offer(node); }
    return node;
  };

  // ---- saving a figure

  /** Buttons below a chart: its picture as PNG and SVG, its values as CSV; nothing leaves the page. */
  function offer(node) {
    const row = document.createElement("p");
    row.className = "save";
    row.append("Save as ");
    for (const format of ["PNG", "SVG", "CSV"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format;
      button.setAttribute("aria-label", `Save as ${format}: ${node.getAttribute("aria-label")}`);
      button.addEventListener("click", () => (format === "CSV" ? saveValues(node) : savePicture(node, format.toLowerCase())));
      row.append(button);
    }
    node.after(row);
  }
  const savePicture = (node, format) => Plotly.downloadImage(
    { data: node.data, layout: { ...node.layout, paper_bgcolor: C.card } },
    { format, filename: node.id, width: node.clientWidth, height: node.layout.height, scale: format === "png" ? 2 : 1 },
  );
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  /** The values that a chart draws, a row a point; times in ISO 8601, local standard time of the site. */
  function valuesOf(node) {
    const onTime = node.layout.xaxis?.type === "date";
    const moment = (x) => (onTime && typeof x === "number" ? iso(x).slice(0, 19) : x);
    const lines = ["curve,x,y,value"];
    for (const trace of node.data) {
      if (trace.type === "heatmap") {
        trace.z.forEach((row, i) => row.forEach((v, k) => lines.push(["", moment(trace.x[k]), trace.y[i], v].map(cell).join())));
      } else if (trace.orientation === "h") {
        trace.y.forEach((name, i) => lines.push(["", "", name, trace.x[i]].map(cell).join()));
      } else if (trace.name) {
        // bars that are drawn downwards, or not at all where they are 0, know their true value
        const values = trace.type === "bar" && trace.name !== "valve" ? trace.customdata : trace.y;
        trace.x.forEach((x, i) => lines.push([trace.name, moment(x), "", values[i]].map(cell).join()));
      }
    }
    return `${lines.join("\n")}\n`;
  }
  function saveValues(node) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([valuesOf(node)], { type: "text/csv" }));
    link.download = `${node.id}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  const mark = (glyph, colour, text) => `<span style="color:${colour}">${glyph} ${text}</span>`;
  const PANELS = { soil: [0.7, 0.955], water: [0.52, 0.645], valve: [0.355, 0.465], et: [0.185, 0.3], probe: [0, 0.13] };

  function mainTraces(zone) {
    const Z = D.zones[zone];
    const narrow = NARROW.matches;
    const noon = D.days.map((day) => day + DAY / 2);
    const x = times(Z.theta);
    const stress = reader(Z.stress);
    const line = x.map(stress);
    const low = Z.theta.v.map((v, i) => (v === null || line[i] === null ? null : Math.min(v, line[i])));
    const bar = (name, values, colour, yaxis, sign = 1) => ({
      type: "bar", name, x: noon, y: values.map((v) => (v ? sign * v : null)), customdata: values, width: DAY, marker: { color: colour, line: { width: 0 } },
      xaxis: "x", yaxis, hovertemplate: `%{customdata:.1f} mm`,
    });
    const plain = (name, series, colour, yaxis, format, more = {}) => ({
      type: "scatter", mode: "lines", name, x: times(series), y: series.v, xaxis: "x", yaxis, line: { color: colour, width: 1.6, ...more }, hovertemplate: format,
    });
    const traces = [
      { type: "scatter", mode: "lines", x, y: line, yaxis: "y", line: { width: 0 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x, y: low, yaxis: "y", line: { width: 0 }, fill: "tonexty", fillcolor: faint(C.stress, 0.4), hoverinfo: "skip" },
      plain("field capacity", Z.fc, C.fc, "y", "%{y:.1f} %", { width: 1.3, dash: "dash" }),
      plain("stress line", Z.stress, C.stress, "y", "%{y:.1f} %", { width: 1.3, dash: "dot" }),
      plain("root zone", Z.theta, C.soil, "y", "%{y:.1f} %", { width: 2 }),
      bar("rain", Z.daily.rain, C.rain, "y2"),
      bar("irrigation", Z.daily.irrigation, C.water, "y2"),
      bar("runoff", Z.daily.runoff, C.runoff, "y2", -1),
      bar("drainage", Z.daily.drainage, C.drain, "y2", -1),
    ];
    // openings: a stem as high as the valve was open
    const unit = Z.openings.some((o) => o[1] - o[0] > 3 * 3600000) ? [3600000, "h"] : [60000, "min"];
    const stemX = [], stemY = [], headX = [], headY = [], headText = [], headShape = [];
    const ends = new Map(rows().filter((row) => Q.changed[row] && !Q.irrigar[row]).map((row) => [Q.time_ms[row], row]));
    // too many stems to tell apart: minutes a day instead, until one looks closer
    const seen = Z.openings.filter((o) => o[1] > state.range[0] && o[0] < state.range[1]);
    const daily = seen.length > (narrow ? 60 : 150);
    const perDay = D.days.map((day) => seen.filter((o) => o[0] >= day && o[0] < day + DAY));
    if (daily) {
      traces.push({
        type: "bar", name: "valve", x: noon, y: perDay.map((list) => list.reduce((sum, o) => sum + o[1] - o[0], 0) / 60000 || null), customdata: perDay.map((list) => list.length), width: DAY,
        yaxis: "y3", marker: { color: C.water, line: { width: 0 } }, hovertemplate: "%{y:.0f} min in %{customdata} openings",
      });
    }
    for (const [start, end, mm] of daily ? [] : Z.openings) {
      const length = (end - start) / unit[0];
      const closing = ends.get(end);
      stemX.push(start, start, null);
      stemY.push(0, length, null);
      headX.push(start);
      headY.push(length);
      headShape.push(closing === undefined || Q.why[closing] === 2 ? "circle" : category(closing) === "alarm" ? "x" : "square");
      headText.push(`open ${span(end - start)}, ${mm} mm${closing === undefined ? "" : `<br>${esc(Q.texts[Q.title[closing]])}`}`);
    }
    // seen when zoomed in, where a stem would hide how long it lasted
    traces.push(
      !daily && { type: "bar", x: Z.openings.map((o) => (o[0] + o[1]) / 2), y: Z.openings.map((o) => (o[1] - o[0]) / unit[0]), width: Z.openings.map((o) => o[1] - o[0]), yaxis: "y3", marker: { color: faint(C.water, 0.35), line: { width: 0 } }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x: stemX, y: stemY, yaxis: "y3", line: { color: C.water, width: 1.2 }, hoverinfo: "skip" },
      { type: "scatter", mode: "markers", name: "valve", x: headX, y: headY, text: headText, yaxis: "y3", marker: { color: C.water, size: narrow ? 4 : 6, symbol: headShape }, hovertemplate: "%{text}" },
    );
    for (const [kind, colour, symbol, name] of [["wait", C.evap, "line-ns-open", "waits"], ["alarm", C.stress, "triangle-up", "alarm"]]) {
      const mine = rows().filter((row) => category(row) === kind);
      traces.push({
        type: "scatter", mode: "markers", name, x: mine.map((row) => Q.time_ms[row]), y: mine.map(() => 0), yaxis: "y3",
        text: mine.map((row) => esc(Q.texts[Q.title[row]])), marker: { color: colour, symbol, size: kind === "wait" ? (daily ? 4 : 7) : narrow ? 6 : 9, line: { width: 1.4, color: colour } }, hovertemplate: "%{text}", cliponaxis: false,
      });
    }
    traces.push(
      bar("transpiration", Z.daily.transpiration, C.crop, "y4"),
      bar("evaporation", Z.daily.evaporation, C.evap, "y4"),
      { type: "scatter", mode: "lines", name: "reference ET₀", x: noon, y: Z.daily.et0, yaxis: "y4", line: { color: C.muted, width: 1.1, shape: "hvh" }, hovertemplate: "%{y:.1f} mm" },
      plain("true water at the probe", Z.truth, C.soil, "y6", "%{y:.1f} %", { width: 2.2 }),
      plain("probe", Z.counts, C.ink, "y5", "%{y} counts", { width: 1 }),
    );
    const shown = traces.filter(Boolean);
    shown.forEach((trace) => { trace.xaxis = "x"; });
    const longest = daily ? perDay.map((list) => list.reduce((sum, o) => sum + o[1] - o[0], 0) / 60000) : Z.openings.map((o) => (o[1] - o[0]) / unit[0]);
    return [shown, daily ? "min a day" : unit[1], Math.max(1, ...longest)];
  }

  /** Ranges of the probe's two axes such that a true reading lies on the truth. */
  function probeRanges(Z) {
    const values = (series) => series.v.filter((v) => v !== null);
    // an open or shorted probe (4095, 0) goes off the scale rather than flatten everything else
    const c = values(Z.counts).filter((v) => v > 0 && v < 4095), t = values(Z.truth);
    if (!c.length || !t.length) return [undefined, undefined];
    const [a, b] = Z.fit ?? [0, 0];
    if (!b) return [undefined, undefined];
    const from = t.map((v) => a + b * v);
    let low = Infinity, high = -Infinity;
    for (const v of c.concat(from)) { if (v < low) low = v; if (v > high) high = v; }
    const pad = (high - low) * 0.06 || 1;
    const range = b < 0 ? [high + pad, low - pad] : [low - pad, high + pad];
    return [range, range.map((v) => (v - a) / b)];
  }

  function bands(zone, id) {
    const shapes = [], labels = [];
    const width = document.getElementById(id).clientWidth - 90;
    const lanes = [];
    const scale = width / (state.range[1] - state.range[0]);
    for (const fault of faultsOf(zone)) {
      if (fault.end < state.range[0] || fault.start > state.range[1]) continue;
      const instant = fault.end - fault.start < 1.5 / scale;
      shapes.push({
        type: "rect", xref: "x", yref: "paper", x0: fault.start, x1: fault.end, y0: 0, y1: 1, layer: "below",
        fillcolor: faint(C.fault, 0.13), line: { width: instant ? 1.2 : 0, color: C.fault },
      });
      const text = fault.label.length > 28 ? `${fault.label.slice(0, 27)}…` : fault.label;
      const size = text.length * 6.2 + 14;
      let left = (Math.max(fault.start, state.range[0]) - state.range[0]) * scale;
      const right = left + size > width;
      if (right) left = width - size;
      let lane = lanes.findIndex((edge) => edge < left);
      if (lane < 0) lane = lanes.push(0) - 1;
      lanes[lane] = left + size;
      labels.push({
        xref: "x", yref: "paper", x: right ? Math.min(fault.end, state.range[1]) : Math.max(fault.start, state.range[0]), y: 1, yshift: 2 + lane * 15, yanchor: "bottom",
        xanchor: right ? "right" : "left", text: esc(text), showarrow: false, font: { size: 11, color: C.fault },
      });
    }
    if (state.cursor !== null) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: state.cursor, x1: state.cursor, y0: 0, y1: 1, line: { color: C.ink, width: 1, dash: "dot" } });
    }
    return [shapes, labels, lanes.length];
  }

  function drawMain() {
    const Z = D.zones[state.zone];
    const [traces, unit, longest] = mainTraces(state.zone);
    const [shapes, labels, lanes] = bands(state.zone, "main");
    const narrow = NARROW.matches;
    const heading = (panel, title, keys) => ({
      xref: "paper", yref: "paper", x: 0, xanchor: "left", y: PANELS[panel][1], yanchor: "bottom", showarrow: false, align: "left", font: { size: narrow ? 11 : 12.5 }, bgcolor: faint(C.card, 0.6), borderpad: 0,
      text: `<b><span style="color:${C.ink}">${title}</span></b>${narrow && keys.length > 1 ? "<br>" : "  "}${keys.join(narrow ? " " : "   ")}`,
    });
    const annotations = [
      heading("soil", "Soil water, % of volume", [mark("━", C.soil, "root zone"), mark("╌", C.fc, "field capacity"), mark("┈", C.stress, "FAO-56 stress below")]),
      heading("water", "Water, mm a day", [mark("■", C.rain, "rain"), mark("■", C.water, "irrigation"), mark("■", C.drain, "drained"), mark("■", C.runoff, "ran off")]),
      heading("valve", `Valve open, ${unit}`, [...(unit === "min a day" ? [mark("■", C.water, "open")] : [mark("●", C.water, "till wet"), mark("■", C.water, "till limit")]), mark("|", C.evap, "waits"), mark("▲", C.stress, "alarm")]),
      heading("et", "Evapotranspiration, mm a day", [mark("■", C.crop, "crop"), mark("■", C.evap, "soil"), mark("━", C.muted, "ET₀")]),
      heading("probe", "Probe", [mark("━", C.ink, "counts"), mark("━", C.soil, "true water, %")]),
      ...labels,
    ];
    const [counts, truth] = probeRanges(Z);
    for (const [from, to, colour] of [...Z.unasked.map((s) => [...s, C.stress]), ...Z.unmet.map((s) => [...s, C.evap])]) {
      shapes.push({ type: "line", xref: "x", yref: "y3", x0: from, x1: to, y0: -0.08 * longest, y1: -0.08 * longest, line: { color: colour, width: 4 } });
    }
    const values = [...Z.theta.v, ...Z.fc.v, ...Z.stress.v].filter((v) => v !== null);
    const low = Math.min(...values), high = Math.max(...values), pad = Math.max(0.6, (high - low) * 0.05);
    plot("main", traces, {
      ...base(narrow ? 860 : 880, { t: 12 + 15 * lanes }), barmode: "relative", hoversubplots: "axis", annotations, shapes,
      xaxis: timeAxis({ anchor: "y5", domain: [0, 1] }),
      yaxis: axis({ domain: PANELS.soil, range: [low - pad, high + pad] }),
      yaxis2: axis({ domain: PANELS.water, nticks: 4, tickformat: "~f" }),
      yaxis3: axis({ domain: PANELS.valve, range: [-0.16 * longest, longest * 1.15], nticks: 4, zeroline: true }),
      yaxis4: axis({ domain: PANELS.et, rangemode: "tozero", nticks: 4 }),
      yaxis5: axis({ domain: PANELS.probe, range: counts, nticks: 4, color: C.ink, tickformat: "d" }),
      yaxis6: axis({ domain: PANELS.probe, overlaying: "y5", side: "right", range: truth, nticks: 4, tickmode: "auto", tickformat: "~g", showgrid: false, color: C.soil, ticksuffix: " %" }),
    });
  }

  function drawHeat() {
    const node = $("#heat");
    if (!node) return;
    const P = D.profiles[state.zone];
    node.hidden = !P;
    $("#no-profile").hidden = Boolean(P);
    if (!P) return;
    const Z = D.zones[state.zone];
    const last = P.depth[P.depth.length - 1];
    const [shapes] = bands(state.zone, "main");
    const own = shapes.filter((s) => s.type === "line" || s.line.width).concat(
      Z.probe_m === null || Z.probe_m === undefined ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y", y0: Z.probe_m, y1: Z.probe_m, line: { color: C.ink, width: 1.6 } }],
      Z.probe_half_m ? [{ type: "rect", xref: "paper", x0: 0, x1: 1, yref: "y", y0: Z.probe_m - Z.probe_half_m, y1: Z.probe_m + Z.probe_half_m, line: { width: 0 }, fillcolor: faint(C.ink, 0.12) }] : [],
    );
    const dark = DARK.matches && !state.printing;
    // brown is drier than the stress line, blue wetter than field capacity
    const middle = (series) => { const v = series.v.filter((x) => x !== null).sort((x, y) => x - y); return v[v.length >> 1]; };
    let low = Infinity, high = -Infinity;
    for (const line of P.z) for (const v of line) if (v !== null) { if (v < low) low = v; if (v > high) high = v; }
    const share = (v, least, most) => Math.min(Math.max((v - low) / (high - low || 1), least), most);
    const dry = share(middle(Z.stress), 0.05, 0.85), wet = share(middle(Z.fc), dry + 0.05, 0.95);
    const tints = dark ? ["#e0a458", "#4a4640", "#2f7f9f", "#8bd8f7"] : ["#8c510a", "#f3eddb", "#5ba3c4", "#05466b"];
    const scale = [[0, tints[0]], [dry, tints[1]], [wet, tints[2]], [1, tints[3]]];
    const tag = (y, text, colour) => ({ xref: "paper", x: 0.004, xanchor: "left", yref: "y", y, yanchor: "bottom", text, showarrow: false, font: { size: 11.5, color: colour }, bgcolor: faint(C.card, 0.72), borderpad: 1 });
    const annotations = [];
    if (Z.probe_m) annotations.push(tag(Z.probe_m, `probe at ${number(Z.probe_m)} m`, C.ink));
    plot("heat", [
      {
        type: "heatmap", x: P.t, y: P.depth, z: P.z, colorscale: scale, zsmooth: false, hovertemplate: "%{x|%-d %b %H:%M}<br>%{y:.2f} m deep: %{z:.1f} %<extra></extra>",
        colorbar: { orientation: "h", thickness: 9, len: NARROW.matches ? 0.9 : 0.36, x: 1, xanchor: "right", y: 1.01, yanchor: "bottom", ticksuffix: " %", nticks: 5, outlinewidth: 0, tickfont: { size: 11 }, ticklabelposition: "outside top" },
      },
      { type: "scatter", mode: "lines", name: "roots", x: times(Z.root), y: Z.root.v, line: { color: C.crop, width: 2.2, dash: "dash" }, hovertemplate: "roots to %{y:.2f} m<extra></extra>" },
    ], {
      ...base(NARROW.matches ? 320 : 370, { t: 42 }), hovermode: "closest", shapes: own, xaxis: timeAxis(),
      yaxis: axis({ range: [Math.max(last, Z.probe_m ?? 0), 0], title: { text: "" }, ticksuffix: " m", tickfont: { size: NARROW.matches ? 9.5 : 11 } }),
      annotations,
    });
  }

  function drawEnergy() {
    const Z = D.zones[state.zone];
    plot("energy", [
      { type: "scatter", mode: "lines", name: "battery", x: times(Z.battery), y: Z.battery.v.map((v) => (v === null ? null : v / 1000)), line: { color: C.energy, width: 1.8 }, hovertemplate: "%{y:.3f} V" },
      { type: "scatter", mode: "lines", name: "energy", x: times(Z.energy), y: Z.energy.v, yaxis: "y2", line: { color: C.muted, width: 1.6, dash: "dash" }, hovertemplate: "%{y:.0f} J since the start" },
    ], {
      ...base(210, { t: 24 }), xaxis: timeAxis(), yaxis: axis({ color: C.energy, tickformat: ".2f", tickfont: { size: 11 } }),
      yaxis2: axis({ overlaying: "y", side: "right", tickmode: "auto", showgrid: false, rangemode: "tozero", tickformat: "~s", ticksuffix: "J" }),
      annotations: [{ xref: "paper", yref: "paper", x: 0, y: 1, yanchor: "bottom", xanchor: "left", showarrow: false, text: `${mark("━", C.energy, "battery, V")}   ${mark("╌", C.muted, "energy since the start, J (model)")}`, font: { size: 12 } }],
    });
  }

  function drawBalance() {
    const body = $(".sums tbody:not([hidden])");
    const items = $$("tr:not(.sum):not(.of)", body).map((tr) => [$("th", tr).textContent, Number($("td", tr).dataset.value)]);
    const short = { "Soil evaporation": "Evaporation" };
    const tint = { Rain: C.rain, Irrigation: C.water, "Soil evaporation": C.evap, Transpiration: C.crop, Drainage: C.drain, Runoff: C.runoff };
    const names = [], starts = [], lengths = [], fills = [], texts = [];
    let level = 0;
    const terms = items.filter(([name]) => name !== "Balance error").map(([name, value]) => {
      if (name === "Rain" || name === "Irrigation") return [name, value, 1, tint[name]];
      if (name === "Drainage" && value < 0) return ["From below", -value, 1, tint[name]];
      if (tint[name]) return [short[name] ?? name, value, -1, tint[name]];
      return value < 0 ? ["From the soil", -value, 1, C.soil] : ["Into the soil", value, -1, C.soil];
    });
    for (const [name, value, sign, tint] of [...terms.filter((t) => t[2] > 0), ...terms.filter((t) => t[2] < 0)]) {
      const next = level + sign * value;
      names.push(name);
      starts.push(Math.min(level, next));
      lengths.push(value);
      texts.push(value.toFixed(1));
      fills.push(tint);
      level = next;
    }
    const top = Math.max(...starts.map((s, i) => s + lengths[i]), 1);
    plot("waterfall", [{
      type: "bar", orientation: "h", y: names, x: lengths, base: starts, text: texts, textposition: "outside", cliponaxis: false, marker: { color: fills }, hoverinfo: "skip", textfont: { color: C.ink },
    }], {
      ...base(290, { l: 92, r: 14, t: 6, b: 40 }), hovermode: false, dragmode: false, bargap: 0.28,
      xaxis: axis({ range: [0, top * 1.16], title: { text: "mm", font: { size: 11.5 } } }), yaxis: axis({ autorange: "reversed", showgrid: false, color: C.ink, nticks: 20 }),
    });
  }

  function drawFleet() {
    if (!D.fleet) return;
    const F = D.fleet;
    const noon = D.days.map((day) => day + DAY / 2);
    const dark = DARK.matches && !state.printing;
    const scale = dark
      ? [[0, "#ff6a4d"], [0.35, "#a8623a"], [0.55, "#4b4a42"], [0.8, "#2a6f93"], [1, "#78cdf2"]]
      : [[0, "#a5210b"], [0.35, "#e9a26f"], [0.55, "#f5efdf"], [0.8, "#79b3d0"], [1, "#0b5f92"]];
    const names = D.zones.map((zone) => esc(zone.name));
    const n = names.length;
    // one frame for neighbours
    const runs = (zones) => zones.filter((z) => !zones.includes(z - 1)).map((z) => { let end = z; while (zones.includes(end + 1)) end++; return [z, end]; });
    const hit = D.faults.filter((fault) => fault.zones.length < n).flatMap((fault) => runs(fault.zones).map(([from, to]) => ({
      type: "rect", xref: "x", yref: "y", x0: fault.start, x1: fault.end, y0: from - 0.5, y1: to + 0.5, line: { color: C.ink, width: 1 },
    }))).slice(0, 400);
    plot("carpet", [{
      type: "heatmap", x: noon, y: D.zones.map((_, i) => i), z: F.available, zmin: 0, zmax: 100, colorscale: scale, customdata: names.map((name) => noon.map(() => name)),
      hovertemplate: "%{customdata}<br>%{x|%-d %b %Y}: %{z:.0f} % left<extra></extra>",
      colorbar: { orientation: "h", thickness: 9, len: NARROW.matches ? 0.9 : 0.36, x: 1, xanchor: "right", y: 1.01, yanchor: "bottom", ticksuffix: " %", nticks: 5, outlinewidth: 0, tickfont: { size: 11 }, ticklabelposition: "outside top" },
    }], {
      ...base(Math.min(460, Math.max(170, 60 + n * 14)) + 30, { l: NARROW.matches ? 62 : 92, t: 36 }), hovermode: "closest", dragmode: false, shapes: hit,
      xaxis: timeAxis({ range: [D.start_ms, D.end_ms], fixedrange: true }),
      yaxis: axis({ autorange: "reversed", showgrid: false, tickvals: n <= 24 ? names.map((_, i) => i) : names.map((_, i) => i).filter((i) => i % Math.ceil(n / 12) === 0), ticktext: n <= 24 ? names : names.filter((_, i) => i % Math.ceil(n / 12) === 0), nticks: undefined, tickfont: { size: 11 } }),
    });
    const band = (lower, upper, alpha) => [
      { type: "scatter", mode: "lines", x: noon, y: F.bands[lower], line: { width: 0 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x: noon, y: F.bands[upper], line: { width: 0 }, fill: "tonexty", fillcolor: faint(C.soil, alpha), hoverinfo: "skip" },
    ];
    plot("bands", [...band(0, 4, 0.2), ...band(1, 3, 0.32), { type: "scatter", mode: "lines", name: "median", x: noon, y: F.bands[2], line: { color: C.soil, width: 2 }, hovertemplate: "median %{y:.0f} %" }], {
      ...base(250, { t: 22 }), dragmode: false, xaxis: timeAxis({ range: [D.start_ms, D.end_ms], fixedrange: true }), yaxis: axis({ rangemode: "tozero", ticksuffix: " %", tickfont: { size: 11 } }),
      annotations: [{ xref: "paper", yref: "paper", x: 0, y: 1, yanchor: "bottom", xanchor: "left", showarrow: false, text: `water left: ${mark("━", C.soil, "median")}, half and 90 % of the zones`, font: { size: 12 } }],
    });
    plot("scatter", [{
      type: "scatter", mode: "markers", x: F.irrigation, y: F.stress_days, customdata: D.zones.map((_, i) => i), text: names,
      marker: { color: D.zones.map((_, i) => (i === state.zone ? C.stress : C.water)), size: D.zones.map((_, i) => (i === state.zone ? 12 : 8)), opacity: 0.8, line: { width: 1, color: C.card } },
      hovertemplate: "%{text}<br>%{x:.0f} mm, %{y} days of stress<extra></extra>",
    }], {
      ...base(250, { t: 22, b: 40 }), hovermode: "closest", dragmode: false,
      xaxis: axis({ title: { text: "irrigation, mm", font: { size: 12 } } }), yaxis: axis({ rangemode: "tozero" }),
      annotations: [{ xref: "paper", yref: "paper", x: 0, y: 1, yanchor: "bottom", xanchor: "left", showarrow: false, text: `days of stress; ${mark("●", C.stress, esc(D.zones[state.zone].name))}`, font: { size: 12 } }],
    });
  }

  // ---- moving about

  let syncing = false;
  function listen(node) {
    node.on("plotly_relayout", (event) => {
      if (syncing || !["main", "heat", "energy"].includes(node.id)) return;
      const range = event["xaxis.range"] ?? (event["xaxis.range[0]"] !== undefined ? [event["xaxis.range[0]"], event["xaxis.range[1]"]] : null);
      if (range) show(range.map(stamp));
    });
    node.on("plotly_doubleclick", () => { if (node.id !== "carpet") show([D.start_ms, D.end_ms]); });
    node.on("plotly_click", (event) => {
      if (node.id === "scatter") return void pick(event.points[0].customdata);
      if (node.id === "carpet") { pick(event.points[0].y, false); return void goto(stamp(event.points[0].x)); }
      if (node.id === "waterfall" || node.id === "bands") return;
      const box = node.querySelector(".nsewdrag").getBoundingClientRect();
      const share = (event.event.clientX - box.left) / box.width;
      at(state.range[0] + share * (state.range[1] - state.range[0]));
    });
  }
  /** What Plotly gives for a time: ms, or a text without a zone. */
  const stamp = (value) => (typeof value === "number" ? value : Date.parse(/[zZ]$/.test(value) ? value : `${value.replace(" ", "T")}${value.length > 10 ? "" : "T00:00"}Z`));

  function show(range) {
    const length = Math.min(Math.max(range[1] - range[0], 3600000), D.end_ms - D.start_ms);
    const start = Math.min(Math.max(range[0], D.start_ms), D.end_ms - length);
    state.range = [start, start + length];
    const whole = length >= D.end_ms - D.start_ms;
    $$("[data-window]").forEach((button) => {
      const days = Number(button.dataset.window);
      button.setAttribute("aria-pressed", String(days ? !whole && Math.abs(length - days * DAY) < 60000 : whole));
    });
    syncing = true;
    drawMain();
    drawHeat();
    drawEnergy();
    syncing = false;
  }
  function zoom(days) {
    if (!days) return show([D.start_ms, D.end_ms]);
    const inside = state.cursor !== null && state.cursor >= state.range[0] && state.cursor <= state.range[1];
    const centre = inside ? state.cursor : (state.range[0] + state.range[1]) / 2;
    show([centre - days * DAY / 2, centre + days * DAY / 2]);
  }
  /** Scroll to the chart and show three days around a time, and why. */
  function goto(ms) {
    at(ms, false);
    show([ms - 1.5 * DAY, ms + 1.5 * DAY]);
    $("#season").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
  /** The decision that was in force at a time. */
  function at(ms, draw = true) {
    const list = rows();
    let low = 0, high = list.length;
    while (low < high) { const middle = (low + high) >> 1; if (Q.time_ms[list[middle]] <= ms) low = middle + 1; else high = middle; }
    state.cursor = ms;
    explain(low ? list[low - 1] : -1, ms);
    if (draw) cursor();
  }
  function cursor() {
    syncing = true;
    const shapes = bands(state.zone, "main")[0];
    const main = plots.get("main"), kept = main.layout.shapes.filter((s) => s.yref === "y3");
    Plotly.relayout(main, { shapes: shapes.concat(kept) });
    drawHeat();
    syncing = false;
  }
  function step(move) {
    const list = rows().filter((row) => category(row) !== "hold");
    let i;
    if (move > 0) { i = list.findIndex((row) => Q.time_ms[row] > (state.cursor ?? -Infinity)); } else {
      i = list.length - 1;
      while (i >= 0 && Q.time_ms[list[i]] >= (state.cursor ?? Infinity)) i--;
    }
    if (i < 0) return;
    const ms = Q.time_ms[list[i]];
    if (ms < state.range[0] || ms > state.range[1]) {
      const half = (state.range[1] - state.range[0]) / 2;
      state.cursor = ms;
      show([ms - half, ms + half]);
    }
    at(ms);
  }

  function explain(row, ms) {
    const card = $("#why");
    card.hidden = row < 0;
    state.row = row;
    if (row < 0) return;
    card.className = `why ${category(row)}`;
    const time = Q.time_ms[row];
    const line = $(".when", card);
    line.textContent = "";
    const strong = document.createElement("b");
    strong.textContent = Q.texts[Q.title[row]];
    line.append(`${when(time)} · `, strong, ` · valve ${Q.irrigar[row] ? "open" : "closed"}`, ms - time > 60000 ? ` · still in force ${span(ms - time)} later` : "");
    $(".text", card).textContent = Q.texts[Q.text[row]];
    const parts = [];
    const say = (value, words) => { if (value !== null && value !== undefined) parts.push(words(number(value))); };
    say(Q.raw[row], (v) => `probe ${v} counts`);
    say(Q.filt[row], (v) => `filtered ${v} counts`);
    say(Q.pct[row], (v) => `moisture ${v} %`);
    if (!gauge(row)) {
      say(Q.on[row], (v) => `opens below ${v} %`);
      say(Q.off[row], (v) => `closes from ${v} %`);
    }
    say(Q.flow[row], (v) => `flow ${v} pulses`);
    if (Q.clock_ms[row] !== time) parts.push(`by the node's clock it was ${when(Q.clock_ms[row])}`);
    if (Q.message[row]) parts.push(`published ${Q.message[row]}`);
    $(".readings", card).textContent = parts.join(" · ");
  }
  /** Draw moisture and thresholds on a scale; false if the guest did not tell them. */
  function gauge(row) {
    const svg = $(".gauge");
    svg.textContent = "";
    const [pct, on, off] = [Q.pct[row], Q.on[row], Q.off[row]];
    svg.toggleAttribute("hidden", pct === null || on === null || off === null);
    if (pct === null || on === null || off === null) return false;
    const x = (v) => 8 + Math.min(Math.max(v, 0), 100) * 2.04;
    const put = (name, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      if (text !== undefined) node.textContent = text;
      svg.append(node);
    };
    put("rect", { x: x(0), y: 18, width: x(on) - x(0), height: 9, fill: "var(--water)", opacity: 0.55 });
    put("rect", { x: x(on), y: 18, width: x(off) - x(on), height: 9, fill: "var(--line)" });
    put("rect", { x: x(off), y: 18, width: x(100) - x(off), height: 9, fill: "var(--muted)", opacity: 0.45 });
    put("path", { d: `M${x(pct)} 28 l-5 -10 h10 z`, fill: "var(--ink)" });
    put("text", { x: x(pct), y: 13, "text-anchor": pct < 8 ? "start" : pct > 92 ? "end" : "middle", fill: "var(--ink)", "font-weight": 600 }, `${pct} %`);
    const closes = Math.min(Math.max(x(off), 80), 180);  // `closes ≥ 100 %` is 88 wide at most, of 270
    put("text", { x: Math.min(Math.max(x(on), 74), closes - 6), y: 40, "text-anchor": "end", fill: "var(--muted)" }, `opens < ${on} %`);
    put("text", { x: closes, y: 40, "text-anchor": "start", fill: "var(--muted)" }, `closes ≥ ${off} %`);
    return true;
  }

  // ---- table of decisions

  const chosen = () => rows().filter((row) => {
    const kind = category(row);
    return state.kind === "all" || (state.kind === "alarms" ? kind === "alarm" : kind !== "hold");
  });
  function table(more) {
    const list = chosen();
    const body = $("#log tbody");
    if (!more) { body.textContent = ""; state.rows = 0; }
    const until = Math.min(list.length, state.rows + (more ? 200 : 20));
    for (; state.rows < until; state.rows++) {
      const row = list[state.rows];
      const tr = document.createElement("tr");
      tr.className = category(row);
      tr.tabIndex = 0;
      tr.dataset.row = row;
      const cell = (text, name) => {
        const td = document.createElement("td");
        td.textContent = text ?? "";
        if (name) { td.className = "n"; td.dataset.name = name; }
        tr.append(td);
      };
      cell(when(Q.time_ms[row]));
      cell(Q.texts[Q.title[row]]);
      for (const [key, name] of [["raw", "probe"], ["filt", "filtered"], ["pct", "moisture %"], ["on", "opens <"], ["off", "closes ≥"]]) cell(Q[key][row] === null ? null : number(Q[key][row]), name);
      cell(Q.texts[Q.text[row]] + (Q.message[row] ? ` It published: ${Q.message[row]}` : ""));
      body.append(tr);
    }
    const rest = list.length - state.rows;
    const line = $("#more");
    line.textContent = list.length ? `${state.rows} of ${list.length} shown. ` : "None. ";
    if (rest > 0) {
      const button = document.createElement("button");
      button.textContent = `Show ${Math.min(rest, 200)} more`;
      button.onclick = () => table(true);
      line.append(button);
    }
  }

  function faultList() {
    const list = $("#faults");
    list.textContent = "";
    for (const fault of faultsOf(state.zone)) {
      const item = document.createElement("li"), button = document.createElement("button"), name = document.createElement("b");
      name.textContent = fault.label;
      const length = fault.end > fault.start ? `, ${span(fault.end - fault.start)}` : "";
      button.append(name, ` ${when(fault.start)}${length}${fault.detail ? ` · ${fault.detail}` : ""}`);
      button.onclick = () => {
        const pad = Math.max((fault.end - fault.start) * 0.4, DAY);
        at(fault.start, false);
        show([fault.start - pad, fault.end + pad]);
      };
      item.append(button);
      list.append(item);
    }
  }

  function whose(zone) {
    $$(".sums tbody").forEach((body) => { body.hidden = Number(body.dataset.zone) !== zone; });
    const button = $("#which");
    if (!button) return;
    button.dataset.zone = zone;
    button.textContent = zone < 0 ? `Show ${D.zones[state.zone].name} instead of the mean` : "Show the mean of all zones";
  }

  function pick(zone, scroll = true) {
    if (!D.shown.includes(zone)) return;
    state.zone = zone;
    state.cursor = null;
    const select = $("#zone");
    if (select) select.value = String(zone);
    first();
    faultList();
    table(false);
    if ($("#which")) whose(Number($("#which").dataset.zone) < 0 ? -1 : zone);
    draw();
    if (scroll) $("#season").scrollIntoView({ block: "start" });
  }
  /** Begin with something worth explaining: the first alarm, else the first opening. */
  function first() {
    const list = rows();
    const row = list.find((r) => category(r) === "alarm") ?? list.find((r) => category(r) === "open") ?? list[0];
    if (row === undefined) { explain(-1); return; }
    state.cursor = Q.time_ms[row];
    explain(row, state.cursor);
  }

  function draw() {
    colours();
    syncing = true;
    drawMain();
    drawHeat();
    drawEnergy();
    drawBalance();
    drawFleet();
    syncing = false;
  }

  function wire() {
    $$("[data-window]").forEach((button) => { button.onclick = () => zoom(Number(button.dataset.window)); });
    $$("[data-move]").forEach((button) => {
      button.onclick = () => { const length = (state.range[1] - state.range[0]) * 0.8 * Number(button.dataset.move); show(state.range.map((t) => t + length)); };
    });
    $$("[data-kind]").forEach((button) => {
      button.onclick = () => {
        state.kind = button.dataset.kind;
        $$("[data-kind]").forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
        table(false);
      };
    });
    $("#before").onclick = () => step(-1);
    $("#after").onclick = () => step(1);
    $("#zone")?.addEventListener("change", (event) => pick(Number(event.target.value), false));
    $("#which")?.addEventListener("click", (event) => { whose(Number(event.target.dataset.zone) < 0 ? state.zone : -1); drawBalance(); });
    const act = (node, run) => {
      node.addEventListener("click", run);
      node.addEventListener("keydown", (event) => { if (event.key === "Enter") run(event); });
    };
    $$(".expectations [data-time]").forEach((node) => act(node, () => { pick(Number(node.dataset.zone), false); goto(Number(node.dataset.time)); }));
    act($("#log tbody"), (event) => { const tr = event.target.closest("tr"); if (tr) goto(Q.time_ms[Number(tr.dataset.row)]); });
    let timer = 0, width = innerWidth;
    addEventListener("resize", () => {
      // a phone's address bar changes the height only
      if (innerWidth === width || state.printing) return;
      width = innerWidth;
      clearTimeout(timer);
      timer = setTimeout(draw, 120);
    });
    DARK.addEventListener("change", draw);
    addEventListener("beforeprint", () => { state.printing = 690; document.documentElement.classList.add("printing"); draw(); });
    addEventListener("afterprint", () => { state.printing = false; document.documentElement.classList.remove("printing"); draw(); });
  }

  /** The text of a block packed with gzip and base64. */
  async function unpack(name) {
    const block = document.getElementById(name);
    const packed = Uint8Array.from(atob(block.textContent), (c) => c.charCodeAt(0));
    block.remove();
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  async function start() {
    if (typeof DecompressionStream === "undefined") {
      const trouble = $("#trouble");
      trouble.textContent = "This browser is too old to draw the charts (Chrome 80, Firefox 113, Safari 16.4 or later can); verdicts, numbers and balance stand here all the same.";
      trouble.hidden = false;
      return;
    }
    D = JSON.parse(await unpack("data"));
    Q = D.decisions;
    Q.zone.forEach((zone, row) => { if (!rowsOf.has(zone)) rowsOf.set(zone, []); rowsOf.get(zone).push(row); });
    if (!D.shown.length) return;
    state.zone = D.shown[0];
    state.range = [D.start_ms, D.end_ms];
    const script = document.createElement("script");
    script.textContent = await unpack("plotly");
    document.head.append(script);
    colours();
    first();
    faultList();
    table(false);
    if ($("#which")) whose(-1);
    wire();
    draw();
    document.documentElement.dataset.ready = "yes";
  }
  start().catch((error) => {
    document.documentElement.dataset.error = String(error?.stack ?? error);
    console.error(error);
  });
})();
