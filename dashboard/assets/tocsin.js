/* What must happen in the browser: the address is the state, the clock ticks, the theme is remembered. */
(function () {
  "use strict";
  var STATES = ["open", "resolved", "all"];
  var RANGES = ["1h", "6h", "24h", "7d", "30d"];
  var FILTERS = ["q", "language", "source", "genre", "topic", "company", "sentiment"];
  var none = function () { return window.dash_clientside.no_update; };
  var SILENT_S = 10;
  var heard = { n: null, at: Date.now(), live: Date.now() }; /* the last answer, and the last good one */
  var shown = {};

  function remember(key, value) {
    try { window.localStorage.setItem("tocsin." + key, value); } catch (_) { /* private mode: forget */ }
  }
  function recall(key) {
    try { return window.localStorage.getItem("tocsin." + key); } catch (_) { return null; }
  }
  function preferred() {
    var kept = recall("theme");
    if (kept === "dark" || kept === "light") { return kept; }
    return window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  function query(search) { return new URLSearchParams(search || ""); }
  function withParameter(search, key, value) {
    var next = query(search);
    if ((next.get(key) || "") === value) { return none(); }
    if (value) { next.set(key, value); } else { next.delete(key); }
    if (key !== "lang") { next.delete("before"); } /* other articles begin with their newest */
    return "?" + next.toString().replace(/%2C/g, ",");
  }
  var sent = {}; /* chart -> what the last figure of the server was: its uirevision and its ranges */
  function spelt(axis) { return axis && axis.range ? JSON.stringify(axis.range).replace(/T/g, " ") : ""; }
  function fresh(key, value) {
    var text = JSON.stringify(value);
    if (shown[key] === text) { return none(); }
    shown[key] = text;
    return value;
  }
  /* A login that ended: the page is asked for anew, and the server says where to go; once in ten seconds, should it not help. */
  var ask = window.fetch;
  var leaving = false;
  function maySendAway() {
    try {
      var last = Number(window.sessionStorage.getItem("tocsin.sent-away"));
      if (Date.now() - last < 10000) { return false; }
      window.sessionStorage.setItem("tocsin.sent-away", String(Date.now()));
    } catch (_) { /* private mode */ }
    return true;
  }
  window.fetch = function () {
    return ask.apply(this, arguments).then(function (answer) {
      if (answer.status !== 401) { return answer; }
      if (!leaving && maySendAway()) {
        leaving = true;
        window.location.reload();
      }
      return leaving ? new Promise(function () {}) : answer; /* on a page that goes nobody need hear of it */
    });
  };
  /* Before anything is drawn, so that a dark page does not flash white. */
  document.documentElement.setAttribute("data-mantine-color-scheme", preferred());

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tocsin: {
      environment: function () {
        var zone = "UTC";
        try { zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"; } catch (_) { /* old browser */ }
        var kept = recall("lang");
        var lang = kept === "zh" || kept === "en" ? kept : (navigator.language || "").toLowerCase().indexOf("zh") === 0 ? "zh" : "en";
        return { zone: zone, lang: lang };
      },
      /* address and browser -> which page (route) and what is shown on it (view) */
      resolve: function (pathname, search, environment) {
        if (!environment) { return [none(), none()]; }
        var asked = query(search);
        var lang = asked.get("lang") === "zh" || asked.get("lang") === "en" ? asked.get("lang") : environment.lang;
        var range = RANGES.indexOf(asked.get("range")) >= 0 ? asked.get("range") : "24h";
        var topics = (asked.get("topics") || "").split(",").filter(Boolean);
        var state = STATES.indexOf(asked.get("state")) >= 0 ? asked.get("state") : "open";
        document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
        if (document.getElementById("range")) {
          window.dash_clientside.set_props("range", { value: range });
          if (document.getElementById("topics")) { window.dash_clientside.set_props("topics", { value: topics }); }
        }
        var find = { before: asked.get("before") || "" };
        FILTERS.forEach(function (name) {
          find[name] = asked.get(name) || "";
          if (document.getElementById("fd-" + name)) {
            window.dash_clientside.set_props("fd-" + name, { value: find[name] || (name === "q" ? "" : null) });
          }
        });
        return [
          fresh("route", { path: pathname || "/", lang: lang, zone: environment.zone }),
          fresh("view", { range: range, topics: topics, state: state, lang: lang, zone: environment.zone, find: find })
        ];
      },
      setRange: function (value, search) { return value ? withParameter(search, "range", value) : none(); },
      setTopics: function (value, search) { return withParameter(search, "topics", (value || []).join(",")); },
      setState: function (value, search) { return value ? withParameter(search, "state", value === "open" ? "" : value) : none(); },
      setFilter: function (value, id, search) { return withParameter(search, id.slice(3), value || ""); },
      setLanguage: function (value, search) {
        if (!value || value === document.documentElement.lang.slice(0, 2)) { return none(); }
        remember("lang", value);
        return withParameter(search, "lang", value);
      },
      theme: function (clicks, current) {
        var theme = current || preferred();
        if (clicks) {
          theme = theme === "dark" ? "light" : "dark";
          remember("theme", theme);
        }
        return [theme, theme];
      },
      /* A new figure on a chart that the viewer has zoomed: the zoom stays. plotly's own uirevision cannot do it, since dcc.Graph
         hands every zoom back to plotly as if the page had sent it (dash 4.4.1). */
      keepZoom: function (figure, id) {
        if (!figure) { return none(); }
        var plot = document.querySelector("#" + id + " .js-plotly-plot") || {};
        var before = sent[id] || {};
        var layout = figure.layout;
        var axes = ["xaxis", "yaxis"];
        sent[id] = { uirevision: layout.uirevision };
        axes.forEach(function (name) { sent[id][name] = spelt(layout[name]); });
        if (before.uirevision !== layout.uirevision || !plot.layout) { return figure; }
        axes.forEach(function (name) {
          var now = plot.layout[name];
          if (now && now.range && now.autorange !== true && spelt(now) !== before[name]) {
            layout[name] = Object.assign({}, layout[name], { range: now.range, autorange: false });
          }
        });
        return figure;
      },
      /* what the last answer said, and how long ago it came */
      status: function (_second, pulse, words) {
        if (!words) { return [none(), none()]; }
        var moment = Date.now();
        if (pulse && pulse.n !== heard.n) {
          heard = { n: pulse.n, at: moment, live: pulse.state === "live" ? moment : heard.live };
        }
        var silent = Math.round((moment - heard.at) / 1000);
        var age = Math.round((moment - heard.live) / 1000);
        var open = pulse && pulse.alerts ? "(" + pulse.alerts + ") " : "";
        if (document.title !== open + words.title) { document.title = open + words.title; }
        if (!pulse) { return [words.connecting, "status connecting"]; }
        if (silent > SILENT_S) { return [words.stale.replace("{s}", silent), "status stale"]; }
        if (pulse.state === "store") { return [words.store, "status store"]; }
        return [words.live + " · " + words.updated.replace("{s}", age), "status live"];
      }
    }
  });
})();
