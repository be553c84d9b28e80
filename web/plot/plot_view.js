// The picture of a node's result: its schedule, faint beside it the ones to compare with, and what is known of it.

import { drawFrame, drawLine, layoutChart, placeTip, pointsOf } from "./chart.js";
import { choiceButtons, html, svg } from "../common/elements.js";
import { QUANTITIES } from "../schedule/quantities.js";
import { LARGEST, plainDecimal, shortNumber } from "../schedule/text.js";

/** @typedef {import("../schedule/quantities.js").Curve} Curve */
/** @typedef {import("./chart.js").Chart} Chart */

/**
 * What nodes/plot_data.py sends.
 * @typedef {object} Plot
 * @property {number} version
 * @property {import("../schedule/quantities.js").Family} family
 * @property {number | null} sigma_min
 * @property {number | null} sigma_max
 * @property {Curve[]} schedules the first is the main one
 * @property {[string, string][]} facts
 * @property {string} note
 */

const CHOICES = ["sigma", "lambda", "timestep"];
const MAX_DOTS = 100;
const COLOURS = 8; // in hso.css; the first is for the main schedule alone

/** @param {number} i of a schedule */
function colourOf(i) {
  return `hso-curve-${i ? ((i - 1) % (COLOURS - 1)) + 1 : 0}`;
}

/**
 * Whether this is a plot that can be drawn: one that is kept in a workflow may have been changed by anybody.
 * @param {unknown} value
 * @returns {value is Plot}
 */
export function isPlot(value) {
  const plot = /** @type {Partial<Plot> | null} */ (value);
  return (
    plot?.version === 1 &&
    [plot.sigma_min, plot.sigma_max].every((end) => (end ?? null) === null || (isSigma(end) && end !== 0)) &&
    isArrayOf(plot.schedules, isCurve) &&
    plot.schedules.length > 0 &&
    isArrayOf(plot.facts, isFact) &&
    typeof plot.note === "string"
  );
}

/** @param {any} curve */
function isCurve(curve) {
  if (typeof curve?.name !== "string" || !isArrayOf(curve.sigmas, isSigma) || !curve.sigmas.length) return false;
  return [curve.lambdas, curve.timesteps].every(
    (values) => values === undefined || (isArrayOf(values, isSingleOrNull) && values.length === curve.sigmas.length),
  );
}

/** @param {any} value */
function isSigma(value) {
  return isSingle(value) && (value === 0 || Math.fround(value) > 0);
}

/** @param {any} value */
function isSingleOrNull(value) {
  return value === null || isSingle(value);
}

/** @param {any} value a number that the server, which sends float32 numbers, could have sent */
function isSingle(value) {
  return Number.isFinite(value) && Math.abs(value) <= LARGEST;
}

/** @param {any} fact */
function isFact(fact) {
  return isArrayOf(fact, (text) => typeof text === "string") && fact.length === 2; // label and value
}

/**
 * @param {any} values
 * @param {(value: any) => boolean} test
 * @returns {values is any[]}
 */
function isArrayOf(values, test) {
  return Array.isArray(values) && values.every((value) => test(value));
}

export class PlotView {
  /**
   * @param {{ quantity: string, onQuantity: (name: string) => void }} options which axis, and what to call for another
   */
  constructor({ quantity, onQuantity }) {
    this.quantity = quantity;
    /** @type {Plot | null} */
    this.plot = null;
    /** @type {Chart | null} */
    this.chart = null;
    this.choice = choiceButtons("Axis", (name) => {
      this.quantity = name;
      onQuantity(name);
      this.draw();
    });
    this.names = html("div", { class: "hso-names" });
    this.picture = svg("svg", { class: "hso-picture", role: "group", "data-testid": "hso-plot" });
    this.tip = html("div", { class: "hso-tip", hidden: true });
    this.area = html("div", { class: "hso-area" }, this.picture, this.tip);
    this.facts = html("dl", { class: "hso-facts" });
    this.note = html("p", { class: "hso-note", role: "note" });
    const bar = html("div", { class: "hso-bar" }, this.names, this.choice.element);
    this.element = html("div", { class: "hso-view" }, bar, this.area, this.facts, this.note);
    new ResizeObserver(() => this.draw()).observe(this.area);
    this.picture.addEventListener("pointermove", (event) => this.followPointer(event));
    this.picture.addEventListener("pointerleave", () => this.showTip(null));
  }

  /** @param {Plot} plot */
  show(plot) {
    this.plot = plot;
    this.names.replaceChildren(...plot.schedules.map((curve, i) => this.nameButton(curve.name, i)));
    this.facts.replaceChildren(
      ...plot.facts.map(([name, value]) => html("div", {}, html("dt", {}, name), html("dd", {}, value))),
    );
    this.facts.hidden = !plot.facts.length;
    this.note.textContent = plot.note;
    this.note.title = plot.note;
    this.note.hidden = !plot.note;
    this.draw();
  }

  /**
   * @param {string} name
   * @param {number} i
   */
  nameButton(name, i) {
    const button = html("span", { class: `hso-name ${colourOf(i)}`, tabindex: 0, title: name }, name);
    const strong = (/** @type {boolean} */ on) => () =>
      this.picture.querySelector(`[data-curve="${i}"]`)?.classList.toggle("hso-strong", on);
    for (const kind of ["pointerenter", "focus"]) button.addEventListener(kind, strong(true));
    for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, strong(false));
    return button;
  }

  /** Draw for the present size; nothing while there is none. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.area;
    if (!this.plot || width < 60 || height < 60) return;
    const known = CHOICES.filter((name) => QUANTITIES[name].of(/** @type {Plot} */ (this.plot).schedules[0]));
    if (!known.includes(this.quantity)) this.quantity = "sigma";
    this.choice.show(
      known.map((name) => ({ name, ...QUANTITIES[name] })),
      this.quantity,
    );
    this.choice.element.hidden = known.length < 2;
    const quantity = QUANTITIES[this.quantity];
    const chart = layoutChart({ width, height, quantity, curves: this.plot.schedules });
    this.chart = chart;
    const parts = this.plot.schedules.map((curve, i) => {
      const points = pointsOf(chart, curve, quantity);
      const group = svg("g", { "data-curve": i, class: `hso-curve ${colourOf(i)}` });
      group.append(drawLine(points, "hso-line"));
      if (i === 0 && points.length <= MAX_DOTS) group.append(...points.map((point, step) => this.dot(point, step)));
      return group;
    });
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.setAttribute("aria-label", `Schedule ${this.plot.schedules[0].name}, ${quantity.title}`);
    this.picture.replaceChildren(drawFrame(chart), ...parts.reverse()); // the main one on top
    this.showTip(null);
  }

  /**
   * @param {{ x: number, y: number }} point
   * @param {number} step
   */
  dot(point, step) {
    const circle = svg("circle", {
      class: "hso-dot",
      cx: point.x,
      cy: point.y,
      r: 3.5,
      tabindex: 0,
      role: "img",
      "data-step": step,
      "aria-label": this.describe(0, step),
    });
    circle.addEventListener("focus", () => this.showTip({ curve: 0, step }));
    circle.addEventListener("blur", () => this.showTip(null));
    return circle;
  }

  /**
   * @param {number} curve
   * @param {number} step
   */
  describe(curve, step) {
    const { name, sigmas, lambdas, timesteps } = /** @type {Plot} */ (this.plot).schedules[curve];
    const parts = [...(curve ? [name] : []), `step ${step}`, `σ ${plainDecimal(sigmas[step])}`];
    if (lambdas) parts.push(`λ ${lambdas[step] === null ? (sigmas[step] ? "−∞" : "∞") : shortNumber(lambdas[step])}`);
    if (timesteps && timesteps[step] !== null) parts.push(`t ${shortNumber(timesteps[step])}`);
    return parts.join("  ");
  }

  /** @param {PointerEvent} event */
  followPointer(event) {
    const matrix = this.picture.getScreenCTM();
    if (!this.chart || !this.plot || !matrix) return;
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const step = this.chart.stepAt(x);
    const distances = this.plot.schedules.map((_, curve) => Math.abs((this.pointAt(curve, step)?.y ?? Infinity) - y));
    const curve = distances.indexOf(Math.min(...distances));
    this.showTip(distances[curve] < Infinity ? { curve, step } : null);
  }

  /**
   * Pixels of a value, where the curve has one.
   * @param {number} curve
   * @param {number} step
   */
  pointAt(curve, step) {
    const { chart, plot, quantity } = this;
    return chart && plot ? pointsOf(chart, plot.schedules[curve], QUANTITIES[quantity])[step] : undefined;
  }

  /** @param {{ curve: number, step: number } | null} place */
  showTip(place) {
    for (const dot of this.picture.querySelectorAll(".hso-dot")) {
      dot.classList.toggle("hso-strong", place?.curve === 0 && dot.getAttribute("data-step") === String(place.step));
    }
    const point = place && this.pointAt(place.curve, place.step);
    this.tip.hidden = !point;
    if (!place || !point || !this.chart) return;
    this.tip.textContent = this.describe(place.curve, place.step);
    placeTip(this.tip, this.chart, point.x, point.y);
  }
}
