/* Loaded into every page before its own scripts: counts pending callbacks and records the times of changes, by performance.now(). */
(function () {
  "use strict";
  var CALLBACK = "/_dash-update-component";
  var watch = (window.__watch = { busy: 0, changed: 0, drawn: null, marks: [], long: [], refused: [] });
  var ask = window.fetch;
  var recordChange = function () { watch.changed = performance.now(); watch.marks.push(watch.changed); };

  window.fetch = function (what) {
    var asked = ask.apply(this, arguments);
    if (String((what && what.url) || what).indexOf(CALLBACK) < 0) { return asked; }
    watch.busy += 1;
    var over = function () { watch.busy -= 1; watch.changed = performance.now(); };
    asked.then(over, over);
    return asked;
  };
  /* Changes of the clock in the status line are ignored. */
  new MutationObserver(function (records) {
    var changed = records.some(function (record) {
      var at = record.target.nodeType === 1 ? record.target : record.target.parentElement;
      return !at || !at.closest("#status, head");
    });
    if (changed) { recordChange(); }
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  new PerformanceObserver(function (list) {
    list.getEntries().forEach(function (entry) { watch.long.push([entry.startTime, entry.startTime + entry.duration]); });
  }).observe({ type: "longtask", buffered: true });
  document.addEventListener("securitypolicyviolation", function (event) {
    watch.refused.push(event.violatedDirective + " " + event.blockedURI);
  });

  var shown = function (part) { return part.offsetParent !== null; };
  var all = function (css) { return Array.prototype.slice.call(document.querySelectorAll(css)); };
  /* Whether the page is complete: charts are rendered, grids have rows or say that there are none. */
  watch.complete = function () {
    var page = document.querySelector("main");
    return !!page && page.childElementCount > 0 && document.readyState === "complete" &&
      all("main .mantine-Skeleton-root, main .ag-overlay-loading-center").filter(shown).length === 0 &&
      all("main .chart").filter(shown).every(function (chart) { return chart.querySelector(".js-plotly-plot .main-svg"); }) &&
      all("main .grid").filter(shown).every(function (grid) { return grid.querySelector(".ag-row, .ag-overlay-no-rows-center"); });
  };
  (function look() {
    if (watch.drawn === null && watch.complete() && watch.busy === 0) { watch.drawn = performance.now(); }
    if (watch.drawn === null) { window.requestAnimationFrame(look); }
  })();
})();
