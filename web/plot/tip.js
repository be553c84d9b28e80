// The label of a point: beside it, where it covers nothing of the curve that it tells of.

/** @typedef {{ x: number, y: number }} Point */

const GAP = 9; // pixels from the label to the curve and its points

/**
 * @param {HTMLElement} tip visible, with its text
 * @param {{ width: number, height: number }} chart
 * @param {Point[]} points of the curve, from the left to the right
 * @param {number} i of the point
 */
export function placeTip(tip, chart, points, i) {
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const { x, y } = points[i];
  const most = Math.max(chart.width - width, 0);
  const lefts = [x + GAP, x - GAP - width, x - width / 2, 0, most].map((left) => Math.min(Math.max(left, 0), most));
  const places = lefts.flatMap((left) => {
    const { top, bottom } = extent(points, left - GAP, left + width + GAP);
    return [top - GAP - height, bottom + GAP, y - height / 2].map((above) => ({ left, above, top, bottom }));
  });
  const fits = places.filter(({ above, top, bottom }) => {
    const isInside = above >= 0 && above + height <= chart.height;
    return isInside && (above + height <= top - GAP + 0.5 || above >= bottom + GAP - 0.5);
  });
  const distance = (/** @type {{ left: number, above: number }} */ place) =>
    Math.hypot(place.left + width / 2 - x, 2 * (place.above + height / 2 - y)); // beside is better than far above
  fits.sort((one, other) => distance(one) - distance(other));
  const { left, above } = fits[0] ?? { left: lefts[2], above: -height }; // a small picture: over what is above it
  tip.style.left = `${left}px`;
  tip.style.top = `${above}px`;
}

/**
 * How high and how low a curve is between two places; nowhere if it is not there.
 * @param {Point[]} points
 * @param {number} from
 * @param {number} to
 */
function extent(points, from, to) {
  let [top, bottom] = [Infinity, -Infinity];
  const reach = (/** @type {number} */ y) => {
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  };
  for (const [i, point] of points.entries()) {
    if (point.x >= from && point.x <= to) reach(point.y);
    const before = points[i - 1];
    if (!before) continue;
    for (const x of [from, to]) {
      if (before.x < x && x < point.x) reach(before.y + ((x - before.x) / (point.x - before.x)) * (point.y - before.y));
    }
  }
  return { top, bottom };
}
