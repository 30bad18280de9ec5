// SPDX-License-Identifier: Apache-2.0
// Draws the figures of a page with uPlot: what they show is JSON in the page (columns.py).
// Texts of it become text nodes, or are drawn on a canvas; nothing here writes HTML.
"use strict";
(() => {
  const page = JSON.parse(document.getElementById("figures").textContent);
  const INK = "#1e293b", GRID = "#e2e8f0", WRONG = "#dc2626";
  const FONT = "11px system-ui, sans-serif";
  const NARROWEST = 150; // px of a plot beside others
  const GUTTER = 64; // px left of a plot, one for all: their times stand one above the other
  const plots = []; // every uPlot with what belongs to it
  const hiddenJoints = new Set(); // of all figures over joints

  function make(tag, parent, words, kind) {
    const made = document.createElement(tag);
    if (words) made.textContent = words;
    if (kind) made.className = kind;
    parent.append(made);
    return made;
  }

  const decoded = new Map(); // places by their column's number
  function places(column) {
    if (!decoded.has(column)) {
      let tick = 0;
      decoded.set(column, page.columns[column].map((step) => (tick += step) * page.tick));
    }
    return decoded.get(column);
  }

  function number(value) {
    if (value == null) return "–";
    const size = Math.abs(value);
    const rounded = Number(value.toPrecision(4));
    const words = size >= 1e5 || (size > 0 && size < 1e-3) ? rounded.toExponential() : String(rounded);
    return words.replace("-", "−");
  }

  // Of a logarithmic axis only the powers of ten are named.
  function ticks(splits, logarithmic) {
    const named = (each) => each != null && (!logarithmic || Math.abs(Math.log10(each) % 1) < 1e-6);
    return splits.map((each) => (named(each) ? number(each) : ""));
  }

  // ---- a panel ---------------------------------------------------------------------------------

  // One x axis for all lines: a line has no value (undefined) at the others' places; a gap (null) is
  // one at all of those around it, too.
  const [KEEP, EXPAND] = [0, 2]; // what uPlot.join does with a null
  function aligned(panel, axis) {
    const tables = (panel.lines || []).map((line) => [places(line.x), page.columns[line.y]]);
    if (!tables.length || !tables.some(([x]) => x.length)) {
      return [[axis.from, axis.to], ...tables.map(() => [null, null])];
    }
    return uPlot.join(tables, tables.map(() => [KEEP, EXPAND]));
  }

  function rangeOf(figure, panel) {
    if (panel.range) return panel.range;
    if (panel.lanes) return [-0.6, panel.lanes.length - 0.4];
    if (figure.log) {
      return (u, low, high) => low > 0 && high > 0
        ? uPlot.rangeLog(low, high === low ? low * 10 : high, 10, false) : [1e-6, 1];
    }
    return (u, low, high) => {
      if (low == null) return [-1, 1];
      const least = Math.max(panel.least || 0, 1e-3 * Math.max(Math.abs(low), Math.abs(high)), 1e-9);
      if (panel.least) [low, high] = [Math.min(low, -least), Math.max(high, least)];
      if (high - low < least) [low, high] = [low - least, high + least];
      const near = (high - low) / 2;
      for (const level of panel.levels || []) { // a limit that is near is shown, one far away is not
        if (level < low && level >= low - near) low = level;
        if (level > high && level <= high + near) high = level;
      }
      const air = 0.06 * (high - low);
      return [low - air, high + air];
    };
  }

  function shade(u, spans, colour, alpha) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.globalAlpha = alpha;
    ctx.fillStyle = colour;
    for (const [start, length] of spans) {
      const left = Math.max(bbox.left, u.valToPos(start, "x", true));
      const right = Math.min(bbox.left + bbox.width, u.valToPos(start + length, "x", true));
      if (right > left) ctx.fillRect(left, bbox.top, Math.max(right - left, 1), bbox.height);
    }
    ctx.restore();
  }

  function stroke(u, from, to, colour, dash) {
    const { ctx } = u;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(dash.map((each) => each * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(...from);
    ctx.lineTo(...to);
    ctx.stroke();
    ctx.restore();
  }

  function drawLanes(u, lanes) {
    const { ctx, bbox } = u;
    lanes.forEach((lane, place) => {
      const middle = u.valToPos(place, "y", true);
      const half = Math.abs(u.valToPos(place + 0.3, "y", true) - middle);
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      ctx.fillStyle = ctx.strokeStyle = lane.stroke;
      for (const [start, length] of lane.spans || []) {
        const left = u.valToPos(start, "x", true);
        const width = u.valToPos(start + length, "x", true) - left;
        ctx.fillRect(left, middle - half, Math.max(width, devicePixelRatio), 2 * half);
      }
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      for (const time of lane.times || []) { // a cross
        const x = u.valToPos(time, "x", true);
        ctx.moveTo(x - half, middle - half);
        ctx.lineTo(x + half, middle + half);
        ctx.moveTo(x - half, middle + half);
        ctx.lineTo(x + half, middle - half);
      }
      ctx.stroke();
      ctx.restore();
    });
  }

  function drawBehind(u, figure, panel, isOn) {
    for (const each of figure.shades || []) {
      if (isOn(each.group)) shade(u, each.spans, figure.groups[each.group].stroke, 0.13);
    }
    shade(u, panel.wrong || [], WRONG, 0.35);
  }

  function drawBefore(u, panel, isOn) {
    const { left, top, width, height } = u.bbox;
    for (const level of panel.levels || []) {
      const y = u.valToPos(level, "y", true);
      if (y >= top && y <= top + height) stroke(u, [left, y], [left + width, y], WRONG, [5, 4]);
    }
    for (const each of panel.verticals || []) {
      const x = u.valToPos(each.x, "x", true);
      if (x < left || x > left + width || (each.group != null && !isOn(each.group))) continue;
      stroke(u, [x, top], [x, top + height], each.stroke, [3, 3]);
      u.ctx.save();
      u.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      u.ctx.fillStyle = each.stroke;
      const before = x > left + 0.8 * width; // where there is room for the words
      u.ctx.textAlign = before ? "right" : "left";
      u.ctx.fillText(each.words, x + (before ? -4 : 4) * devicePixelRatio, top + 11 * devicePixelRatio);
      u.ctx.restore();
    }
    if (panel.lanes) drawLanes(u, panel.lanes);
  }

  // What stands above a panel while the pointer is on a plot: each line's value.
  function read(u, figure, panel, readout) {
    readout.replaceChildren();
    const { left, idxs } = u.cursor;
    if (left == null || left < 0) return;
    const at = u.posToVal(left, "x");
    const say = (words, colour) => {
      const said = make("span", readout, words);
      if (colour) said.style.color = colour;
    };
    say(`${number(at)} ${figure.x.unit}`);
    const seen = new Set();
    (panel.lines || []).forEach((line, i) => {
      const row = idxs[i + 1];
      if (!u.series[i + 1].show || row == null) return;
      const group = figure.groups[line.g];
      const name = line.joint == null ? group.label : `${figure.joints[line.joint]} ${group.label}`;
      if (seen.size < 12) say(`${name} ${number(u.data[i + 1][row])}`, group.stroke);
      seen.add(name);
    });
    for (const lane of panel.lanes || []) {
      const acts = (lane.spans || []).some(([start, length]) => at >= start && at <= start + length);
      if (acts) say(lane.label, lane.stroke);
    }
  }

  function drawPanel(name, figure, panel, parent, bar) {
    const box = make("div", parent, "", "panel");
    const head = make("div", box, "", "head");
    if (panel.title) make("b", head, panel.title);
    const readout = make("span", head, "", "readout");
    if (panel.note) make("span", head, panel.note, "remark");
    const isOn = (group) => bar.groups[group];
    const data = aligned(panel, figure.x);
    const one = figure.panels.length === 1 || figure.across;
    const last = figure.across || panel === figure.panels[figure.panels.length - 1];
    const axis = { stroke: INK, font: FONT, grid: { stroke: GRID, width: 1 }, ticks: { stroke: GRID, width: 1 } };
    const upright = { ...axis, size: panel.lanes ? 130 : GUTTER };
    if (panel.lanes) {
      upright.splits = () => panel.lanes.map((_, place) => place);
      upright.values = () => panel.lanes.map((lane) => lane.label);
    } else {
      upright.space = 18;
      upright.values = (u, splits) => ticks(splits, figure.log);
    }
    const flat = { ...axis, size: 6, values: (u, splits) => splits.map(() => "") };
    if (last) {
      Object.assign(flat, { size: 28, label: figure.x.label, labelFont: FONT, labelSize: 16, labelGap: 0 });
      flat.values = (u, splits) => ticks(splits, figure.x.log);
    }
    const lines = (panel.lines || []).map((line) => {
      const { stroke: colour, width, dash, points } = figure.groups[line.g];
      const thin = line.joint == null ? width : Math.min(width, 1);
      return {
        stroke: colour, width: thin, dash, scale: "y", show: bar.groups[line.g],
        points: points ? { show: true, size: 5, fill: colour } : { show: false }, spanGaps: false, pxAlign: 0,
      };
    });
    const item = { name, figure, panel, box };
    const options = {
      width: 600,
      height: panel.lanes ? 52 + 24 * panel.lanes.length : one ? 200 : last ? 134 : 100,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      scales: {
        x: {
          time: false, distr: figure.x.log ? 3 : 1,
          range: (u, low, high) => (low == null || item.whole !== false ? [figure.x.from, figure.x.to] : [low, high]),
        },
        y: { distr: figure.log ? 3 : 1, range: rangeOf(figure, panel), dir: panel.lanes ? -1 : 1 },
      },
      axes: [flat, upright],
      series: [{}, ...(lines.length ? lines : [{ show: false }])],
      cursor: {
        y: false,
        points: { size: 5 },
        drag: { x: true, y: false, setScale: false, dist: 4 },
        sync: { key: figure.x.sync, scales: ["x", null], filters: { pub: (type) => type.startsWith("mousemove") || type.startsWith("mouseleave") } },
        bind: { dblclick: () => () => zoom(figure.x.sync, null) },
      },
      hooks: {
        drawAxes: [(u) => drawBehind(u, figure, panel, isOn)],
        draw: [(u) => { drawBefore(u, panel, isOn); box.dataset.drawn = "yes"; }],
        setCursor: [(u) => read(u, figure, panel, readout)],
        setSelect: [(u) => {
          const { left, width } = u.select;
          if (width < 4) return;
          const ends = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          zoom(figure.x.sync, ends);
        }],
      },
    };
    item.plot = new uPlot(options, lines.length ? data : [data[0], data[0].map(() => null)], box);
    // How many values there are to see, for the tests of the page.
    const values = data.slice(1).reduce((sum, line) => sum + line.filter((v) => v != null).length, 0);
    box.dataset.values = String(values);
    plots.push(item);
    return item;
  }

  function zoom(key, ends) {
    for (const item of plots) {
      const { x } = item.figure;
      if (x.sync !== key) continue;
      item.whole = !ends;
      const [min, max] = ends || [x.from, x.to];
      item.plot.setScale("x", { min, max });
      item.box.dataset.from = String(min);
      item.box.dataset.to = String(max);
    }
    document.querySelectorAll(`button[data-zoom="${key}"]`).forEach((each) => { each.hidden = !ends; });
  }

  // ---- a figure --------------------------------------------------------------------------------

  function toggle(parent, words, on, mark, changed) {
    const label = make("label", parent);
    const box = make("input", label);
    box.type = "checkbox";
    box.checked = on;
    if (mark) {
      const sample = make("i", label, "", mark.width ? "line" : "shade");
      if (mark.width) {
        sample.style.borderTopColor = mark.stroke;
        sample.style.borderTopWidth = `${Math.max(2, mark.width)}px`;
        sample.style.borderTopStyle = mark.dash.length ? "dashed" : "solid";
      } else {
        sample.style.backgroundColor = mark.stroke;
      }
    }
    label.append(words);
    box.addEventListener("change", () => changed(box.checked));
    return box;
  }

  function showJoint(joint, on) {
    if (on) hiddenJoints.delete(joint);
    else hiddenJoints.add(joint);
    document.querySelectorAll(`input[data-joint="${joint}"]`).forEach((each) => { each.checked = on; });
    for (const item of plots) {
      if (item.panel.joint === joint) item.box.hidden = !on;
      update(item);
    }
  }

  // Only what changes: a plot over many lines takes its time.
  function update(item) {
    (item.panel.lines || []).forEach((line, i) => {
      const show = item.bar.groups[line.g] && !hiddenJoints.has(line.joint);
      if (item.plot.series[i + 1].show !== show) item.plot.setSeries(i + 1, { show });
    });
  }

  function drawFigure(name, figure) {
    const place = document.querySelector(`figure[data-figure="${name}"]`);
    if (!place) return;
    const bar = { groups: figure.groups.map((each) => each.on) };
    const controls = make("div", place, "", "controls");
    const mine = [];
    figure.groups.forEach((group, i) => {
      toggle(controls, group.label, group.on, group, (on) => {
        bar.groups[i] = on;
        for (const item of mine) {
          update(item);
          item.plot.redraw(false);
        }
      }).dataset.group = String(i);
    });
    if (figure.joints && figure.joints.length > 1) {
      const joints = make("span", controls, "", "joints");
      figure.joints.forEach((joint, i) => {
        toggle(joints, joint, true, null, (on) => showJoint(i, on)).dataset.joint = String(i);
      });
    }
    const reset = make("button", controls, "whole range");
    reset.type = "button";
    reset.hidden = true;
    reset.dataset.zoom = figure.x.sync;
    reset.addEventListener("click", () => zoom(figure.x.sync, null));
    if (figure.unit) make("div", place, figure.unit, "unit");
    const panels = make("div", place, "", "panels");
    for (const panel of figure.panels) {
      const item = drawPanel(name, figure, panel, panels, bar);
      item.bar = bar;
      mine.push(item);
    }
    place.dataset.panels = String(mine.length);
  }

  function fit(width) {
    for (const item of plots) {
      const room = width || item.box.parentElement.clientWidth;
      const across = Math.max(1, Math.min(item.figure.across || 1, Math.floor(room / (item.figure.narrowest || NARROWEST))));
      item.box.parentElement.style.gridTemplateColumns = `repeat(${across}, 1fr)`;
      const wide = Math.max(120, Math.floor((room - 12 * (across - 1)) / across));
      if (item.plot.width !== wide) item.plot.setSize({ width: wide, height: item.plot.height });
    }
  }

  document.documentElement.classList.add("interactive");
  for (const [name, figure] of Object.entries(page.figures)) drawFigure(name, figure);
  fit();
  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => fit());
  });
  addEventListener("beforeprint", () => fit(680)); // px between the margins of A4
  addEventListener("afterprint", () => fit());
  document.documentElement.dataset.plots = String(plots.length);
})();
