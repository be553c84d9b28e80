// The picture of a node's result: its schedule, beside it the ones to compare with, and what is known of it.

import { choiceButtons, html, svg } from "../common/elements.js";
import { say, sayName } from "../common/words.js";
import { QUANTITIES } from "../schedule/quantities.js";
import { plainDecimal, shortNumber } from "../schedule/text.js";
import { drawFrame, drawLine, layoutChart, pointsOf } from "./chart.js";
import { placeTip } from "./tip.js";

/** @typedef {import("./chart.js").Chart} Chart */
/** @typedef {import("./plot_data.js").Plot} Plot */

/** @typedef {{ curve: number, step: number }} Place */

const CHOICES = ["sigma", "lambda", "timestep"];
const MAX_DOTS = 100;
const COLOURS = 8; // in plot.css; the first is for the main schedule alone

/** @param {number} i of a schedule */
function colourOf(i) {
  return `hso-curve-${i ? ((i - 1) % (COLOURS - 1)) + 1 : 0}`;
}

export class PlotView {
  /**
   * @param {{ quantity: () => string, onQuantity: (name: string) => void }} options which axis, and what to call for
   *   another
   */
  constructor({ quantity, onQuantity }) {
    this.quantity = quantity;
    /** @type {Plot | null} */
    this.plot = null;
    /** @type {Chart | null} */
    this.chart = null;
    /** @type {Place | null} the point that is marked */
    this.place = null;
    this.choice = choiceButtons(say("axis"), (name) => {
      onQuantity(name);
      this.draw();
    });
    this.names = html("div", { class: "hso-names" });
    this.picture = svg("svg", { class: "hso-picture", role: "group", "data-testid": "hso-plot" });
    this.tip = html("div", { class: "hso-tip", hidden: true });
    this.area = html("div", { class: "hso-area" }, this.picture, this.tip);
    this.summary = html("p", { class: "hso-summary", "data-testid": "hso-summary" });
    this.facts = html("dl", { class: "hso-facts" });
    this.note = html("p", { class: "hso-note", role: "note" });
    this.empty = html("p", { class: "hso-empty", "data-testid": "hso-empty" }, say("runToSee"));
    const bar = html("div", { class: "hso-bar" }, this.names, this.choice.element);
    const parts = [bar, this.area, this.summary, this.facts, this.note];
    this.content = html("div", { class: "hso-content", hidden: true }, ...parts);
    this.element = html("div", { class: "hso-view" }, this.content, this.empty);
    new ResizeObserver(() => this.draw()).observe(this.area);
    this.picture.addEventListener("pointermove", (event) => this.followPointer(event));
    this.picture.addEventListener("pointerleave", () => this.mark(null));
  }

  /**
   * @param {Plot} plot
   * @param {boolean} isOld whether it is of values that the workflow no longer has
   */
  show(plot, isOld) {
    this.plot = plot;
    this.empty.hidden = true;
    this.content.hidden = false;
    this.content.classList.toggle("hso-old", isOld);
    this.names.replaceChildren(...plot.schedules.map((curve, i) => this.nameOf(sayName(curve.name), i)));
    const summary = summarize(plot.schedules[0].sigmas);
    this.summary.textContent = isOld ? say("lastRun", { schedule: summary }) : summary;
    this.facts.replaceChildren(
      ...plot.facts.map(([name, value]) => html("div", {}, html("dt", {}, sayName(name)), html("dd", {}, value))),
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
  nameOf(name, i) {
    const element = html("span", { class: `hso-name ${colourOf(i)}`, tabindex: 0, title: name, "data-name": i }, name);
    for (const kind of ["pointerenter", "focus"]) element.addEventListener(kind, () => this.emphasize(i));
    for (const kind of ["pointerleave", "blur"]) element.addEventListener(kind, () => this.emphasize(null));
    return element;
  }

  /** Draw for the present size; nothing while there is none. */
  draw() {
    const { clientWidth: width, clientHeight: height } = this.area;
    if (!this.plot || width < 60 || height < 40) return;
    const known = this.known();
    const quantity = QUANTITIES[this.axis()];
    this.choice.show(
      known.map((name) => ({ name, label: QUANTITIES[name].label, title: say(QUANTITIES[name].title) })),
      this.axis(),
    );
    this.choice.element.hidden = known.length < 2;
    const chart = layoutChart({ width, height, quantity, curves: this.plot.schedules });
    this.chart = chart;
    const parts = this.plot.schedules.map((curve, i) => {
      const points = pointsOf(chart, curve, quantity);
      const group = svg("g", { "data-curve": i, class: `hso-curve ${colourOf(i)}` });
      group.append(drawLine(points, "hso-line"));
      if (i === 0 && points.length <= MAX_DOTS) group.append(...points.map((point, step) => this.dot(point, step)));
      return group;
    });
    const label = say("pictureOf", { name: sayName(this.plot.schedules[0].name), axis: say(quantity.title) });
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.setAttribute("aria-label", label);
    const focused = this.picture.querySelector(".hso-dot:focus")?.getAttribute("data-step");
    this.picture.replaceChildren(drawFrame(chart), ...parts.reverse()); // the main one on top
    this.mark(focused ? null : this.place);
    const dot = /** @type {SVGElement | null} */ (this.picture.querySelector(`.hso-dot[data-step="${focused}"]`));
    dot?.focus({ preventScroll: true });
  }

  /** The axes that this plot has values for. */
  known() {
    return CHOICES.filter((name) => QUANTITIES[name].of(/** @type {Plot} */ (this.plot).schedules[0]));
  }

  axis() {
    const wanted = this.quantity();
    return this.known().includes(wanted) ? wanted : "sigma";
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
      "aria-label": this.describe({ curve: 0, step }),
    });
    circle.addEventListener("focus", () => this.mark({ curve: 0, step }));
    circle.addEventListener("blur", () => this.mark(null));
    return circle;
  }

  /** @param {Place} place */
  describe({ curve, step }) {
    const { name, sigmas, lambdas, timesteps } = /** @type {Plot} */ (this.plot).schedules[curve];
    const [sigma, lambda, timestep] = [sigmas[step], lambdas?.[step], timesteps?.[step]];
    const parts = [...(curve ? [sayName(name)] : []), say("step", { step }), `σ ${plainDecimal(sigma)}`];
    if (lambda !== undefined) parts.push(`λ ${lambda === null ? (sigma ? "−∞" : "∞") : shortNumber(lambda)}`);
    if (timestep != null) parts.push(`t ${shortNumber(timestep)}`);
    return parts.join("  ");
  }

  /** @param {PointerEvent} event */
  followPointer(event) {
    const matrix = this.picture.getScreenCTM();
    if (!this.chart || !this.plot || !matrix) return;
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const step = this.chart.stepAt(x);
    const distances = this.plot.schedules.map((_, curve) => Math.abs((this.points(curve)[step]?.y ?? Infinity) - y));
    const curve = distances.indexOf(Math.min(...distances));
    this.mark(distances[curve] < Infinity ? { curve, step } : null);
  }

  /**
   * Pixels of the values of a curve.
   * @param {number} curve
   */
  points(curve) {
    const [chart, schedule] = [this.chart, this.plot?.schedules[curve]];
    return chart && schedule ? pointsOf(chart, schedule, QUANTITIES[this.axis()]) : [];
  }

  /**
   * Bring a curve, and its name, to the front.
   * @param {number | null} curve
   */
  emphasize(curve) {
    for (const element of this.content.querySelectorAll("[data-curve], [data-name]")) {
      const { curve: drawn, name } = /** @type {SVGElement | HTMLElement} */ (element).dataset;
      element.classList.toggle("hso-strong", curve !== null && (drawn ?? name) === String(curve));
    }
    this.content.classList.toggle("hso-marking", curve !== null);
  }

  /**
   * Say what a point is, and show which.
   * @param {Place | null} place
   */
  mark(place) {
    this.place = place;
    const points = place ? this.points(place.curve) : [];
    const point = place && points[place.step];
    this.emphasize(point ? place.curve : null);
    this.picture.querySelector(".hso-here")?.remove();
    this.tip.hidden = !point;
    if (!point || !this.chart) return;
    const colour = colourOf(place.curve);
    this.picture.append(svg("circle", { class: `hso-here ${colour}`, cx: point.x, cy: point.y, r: 5.5 }));
    this.tip.className = `hso-tip ${colour}`;
    this.tip.textContent = this.describe(place);
    placeTip(this.tip, this.chart, points, place.step);
  }
}

/**
 * A schedule in a few words: its steps, its first value, and its end.
 * @param {number[]} sigmas
 */
function summarize(sigmas) {
  const steps = sigmas.length - 1;
  const last = sigmas[steps] > 0 || steps < 2 ? [sigmas[steps]] : sigmas.slice(-2);
  const values = [shortNumber(sigmas[0]), ...last.map((sigma) => shortNumber(sigma, 3))].join(" → ");
  return say(steps === 1 ? "oneStep" : "steps", { count: steps, sigmas: values });
}
