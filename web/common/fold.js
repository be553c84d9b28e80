// Widgets that a node does not show at the moment.

const ROW_GAP = 4; // that the classic canvas adds to every widget's height

/**
 * Let a widget take no room on the classic canvas while it is not shown: that keeps the room of what it does not draw.
 * @param {any} widget
 * @param {() => boolean} isShown
 */
export function takeRoomOnlyIf(widget, isShown) {
  widget.computeSize = (/** @type {number} */ width) => [
    width ?? 0,
    isShown() ? window.LiteGraph.NODE_WIDGET_HEIGHT : -ROW_GAP,
  ];
}
