// The picture of the editor: the schedule with a handle on every value, and beside it what the node will make of it.

import { svg } from "../common/elements.js";
import { say } from "../common/words.js";
import { drawFrame, drawLine, layoutChart, pointsOf } from "../plot/chart.js";
import { placeTip } from "../plot/tip.js";
import { boundsOf, isFixed } from "../schedule/edits.js";
import { QUANTITIES, lambdaOf, sigmaOf } from "../schedule/quantities.js";
import { plainDecimal } from "../schedule/text.js";

/** @typedef {import("../plot/chart.js").Chart} Chart */
/** @typedef {import("../schedule/edits.js").Ends} Ends */
/** @typedef {import("../schedule/quantities.js").Family} Family */

/**
 * @typedef {object} Drawn
 * @property {number[]} values
 * @property {number[] | null} ghost what the node resamples them to
 * @property {boolean} editable
 * @property {number} selected
 * @property {string} axis a name in QUANTITIES
 * @property {Family} family
 * @property {Ends} ends
 */

export const MAX_HANDLES = 200;
const FAR = -6; // the lambda that an axis reaches where the largest sigma has none, that of a flow model's sigma 0.9975

export class EditorPicture {
  /**
   * @param {import("./editor_parts.js").Parts} parts
   */
  constructor({ area, picture, tip }) {
    this.area = area;
    this.picture = picture;
    this.tip = tip;
    /** @type {Chart | null} */
    this.chart = null;
    this.frozen = false; // while a point is dragged the axis stays
    /** @type {Drawn | null} */
    this.drawn = null;
  }

  /** @param {Drawn} drawn */
  draw(drawn) {
    const { clientWidth: width, clientHeight: height } = this.area;
    if (width < 60 || height < 60) return;
    this.drawn = drawn;
    const quantity = QUANTITIES[drawn.axis];
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.setAttribute("aria-label", say("picture", { axis: say(quantity.title) }));
    if (!this.frozen || !this.chart) this.chart = drawn.values.length ? this.layout(width, height, drawn) : null;
    if (!this.chart) {
      this.picture.replaceChildren();
      this.tip.hidden = true;
      return;
    }
    const points = this.points();
    const line = drawLine(points, `hso-line hso-curve-0${drawn.editable ? "" : " hso-faint"}`);
    const marks = drawn.editable ? this.handles(points, drawn) : dots(points);
    for (const child of [...this.picture.children]) {
      if (!marks.includes(/** @type {any} */ (child))) child.remove(); // handles stay: one may have the focus
    }
    this.picture.prepend(drawFrame(this.chart), ...this.ghost(drawn), line);
    if (!marks.every((mark) => mark.parentNode)) this.picture.append(...marks);
    this.updateTip(points);
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {Drawn} drawn
   */
  layout(width, height, drawn) {
    const { axis, family, values, ends } = drawn;
    const low = axis === "linear" ? 0 : ends.low;
    const extent = [Math.max(ends.high, values[0]), low].map((sigma) =>
      axis === "lambda" ? (lambdaOf(sigma, family) ?? FAR) : sigma,
    );
    return layoutChart({
      width,
      height,
      quantity: QUANTITIES[axis],
      curves: [values, ...(drawn.ghost ? [drawn.ghost] : [])].map((sigmas) => curveOf(sigmas, family)),
      extent: extent.filter((value) => value !== null),
    });
  }

  /** Pixels of every value. */
  points() {
    const { values, axis, family } = /** @type {Drawn} */ (this.drawn);
    return pointsOf(/** @type {Chart} */ (this.chart), curveOf(values, family), QUANTITIES[axis]);
  }

  /** @param {Drawn} drawn */
  ghost({ ghost, family, axis }) {
    if (!ghost) return [];
    const points = pointsOf(/** @type {Chart} */ (this.chart), curveOf(ghost, family), QUANTITIES[axis]);
    const marks = points.map(({ x, y }) => svg("circle", { cx: x, cy: y, r: 2 }));
    return [svg("g", { class: "hso-ghost", "data-testid": "hso-ghost" }, drawLine(points, "hso-line"), ...marks)];
  }

  /**
   * @param {{ x: number, y: number }[]} points
   * @param {Drawn} drawn
   */
  handles(points, { values, ends, selected }) {
    const old = [.../** @type {NodeListOf<SVGGElement>} */ (this.picture.querySelectorAll(".hso-handle"))];
    const handles = old.length === points.length ? old : points.map((_, step) => newHandle(step));
    for (const [step, handle] of handles.entries()) {
      const fixed = isFixed(values, step, ends);
      const value = plainDecimal(values[step]);
      const { low, high } = fixed ? { low: values[step], high: values[step] } : boundsOf(values, step, ends);
      handle.setAttribute("transform", `translate(${points[step].x} ${points[step].y})`);
      handle.setAttribute("tabindex", step === selected ? "0" : "-1");
      handle.classList.toggle("hso-selected", step === selected);
      handle.classList.toggle("hso-fixed", fixed);
      handle.setAttribute("aria-disabled", String(fixed));
      handle.setAttribute("aria-valuemin", plainDecimal(low));
      handle.setAttribute("aria-valuemax", plainDecimal(high));
      handle.setAttribute("aria-valuenow", value);
      handle.setAttribute("aria-valuetext", say(fixed ? "handleFixed" : "handleValue", { value }));
    }
    return handles;
  }

  /** @param {{ x: number, y: number }[]} points */
  updateTip(points) {
    const { selected, values } = /** @type {Drawn} */ (this.drawn);
    this.tip.hidden = !this.frozen;
    if (!this.frozen) return;
    this.tip.textContent = `${say("step", { step: selected })}  σ ${plainDecimal(values[selected])}`;
    placeTip(this.tip, /** @type {Chart} */ (this.chart), points, selected);
  }

  /** Pixels of the page for one of the picture. */
  get scale() {
    return this.picture.getScreenCTM()?.a || 1;
  }

  /**
   * Where a mouse event is in the picture.
   * @param {MouseEvent} event
   */
  pointOf(event) {
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(this.picture.getScreenCTM()?.inverse());
  }

  /**
   * The point that is nearest to a mouse event: its step, the distance, and how far the event is below it.
   * @param {MouseEvent} event
   */
  nearest(event) {
    const { x, y } = this.pointOf(event);
    const points = this.points();
    const distances = points.map((point) => Math.hypot(point.x - x, point.y - y));
    const distance = Math.min(...distances);
    const step = distances.indexOf(distance);
    return { step, distance, below: y - points[step].y };
  }

  /**
   * The sigma at a height of the picture.
   * @param {number} y pixels
   */
  sigmaAt(y) {
    const { axis, family } = /** @type {Drawn} */ (this.drawn);
    const chart = /** @type {Chart} */ (this.chart);
    const value = chart.valueAt(y);
    if (axis === "lambda" && family === "flow" && value === chart.valueAt(-Infinity)) return 1; // beyond its upper end
    return axis === "lambda" ? sigmaOf(value, family) : value;
  }

  /** @param {number} step */
  focus(step) {
    const handle = /** @type {SVGElement | null} */ (this.picture.querySelector(`[data-step="${step}"]`));
    handle?.focus({ preventScroll: true });
  }
}

/**
 * @param {readonly number[]} sigmas
 * @param {Family} family
 */
function curveOf(sigmas, family) {
  return { name: "", sigmas: [...sigmas], lambdas: sigmas.map((sigma) => lambdaOf(sigma, family)) };
}

/** @param {number} step */
function newHandle(step) {
  const label = say("handle", { step });
  const handle = svg("g", { class: "hso-handle", role: "slider", "aria-label": label, "data-step": step });
  handle.setAttribute("aria-orientation", "vertical");
  handle.append(svg("circle", { class: "hso-ring", r: 9 }), svg("circle", { class: "hso-knob", r: 4.5 }));
  return handle;
}

/** @param {{ x: number, y: number }[]} points */
function dots(points) {
  if (points.length > MAX_HANDLES) return [];
  return points.map(({ x, y }) => svg("circle", { class: "hso-dot", cx: x, cy: y, r: 3 }));
}
