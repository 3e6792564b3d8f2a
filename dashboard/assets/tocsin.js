/* What must happen in the browser: the address is the state, the clock ticks, the theme is remembered. */
(function () {
  "use strict";
  var STATES = ["open", "resolved", "all"];
  var RANGES = ["1h", "6h", "24h", "7d", "30d"];
  var OPTIONS = { kind: "topic", by: "negative" }; /* parameters, and what they are where the address has none */
  var SHORTEST_MS = 5 * 60000, LONGEST_MS = 92 * 86400000; /* as dashboard/time_ranges.py has them */
  var FILTERS = ["q", "language", "source", "genre", "topic", "company", "sentiment"];
  var none = function () { return window.dash_clientside.no_update; };
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
  /* a free range of an address -> its two moments, in ms; null: it is none */
  function free(key) {
    var found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)Z-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)Z$/.exec(key || "");
    if (!found) { return null; }
    var n = found.slice(1).map(Number);
    var ends = [Date.UTC(n[0], n[1] - 1, n[2], n[3], n[4]), Date.UTC(n[5], n[6] - 1, n[7], n[8], n[9])];
    return compact(ends[0]) + "-" + compact(ends[1]) === key && fault(ends[0], ends[1]) === "" ? ends : null;
  }
  function compact(ms) { return new Date(ms).toISOString().slice(0, 16).replace(/[-:]/g, "") + "Z"; }
  function fault(from, to) {
    if (isNaN(from) || isNaN(to)) { return "missing"; }
    if (from >= to) { return "order"; }
    if (to - from < SHORTEST_MS) { return "short"; }
    return to - from > LONGEST_MS ? "long" : "";
  }
  function wall(ms) { /* on this browser's clock, as a date field has it */
    var moment = new Date(ms);
    return new Date(ms - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  }
  function showRange(key, said) {
    if (!document.getElementById("range")) { return; }
    var ends = free(key), set = window.dash_clientside.set_props;
    set("range", { value: ends ? "" : key });
    set("range-said", { children: said });
    if (ends) {
      set("range-from", { value: wall(ends[0]) });
      set("range-to", { value: wall(ends[1]) });
      set("range-free", { open: true });
    }
  }
  var faults = {}; /* the words of what may be wrong with a range */
  var sent = {}; /* chart -> what the last figure of the server was: its uirevision and its ranges */
  function spelt(axis) { return axis && axis.range ? JSON.stringify(axis.range).replace(/T/g, " ") : ""; }
  function without(search, key) {
    var next = query(search);
    next.delete(key);
    return next.toString();
  }
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
  /* Keys: "/" to the search, "?" says them all, g and then a letter to a page. Not while somebody writes. */
  var PAGES = { o: "/", a: "/alerts", s: "/articles", r: "/rules", w: "/watchlists", d: "/deliveries", m: "/models" };
  var gone = 0;
  function writes(element) {
    return /^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || element.isContentEditable;
  }
  function follow(path) {
    var links = document.querySelectorAll(".pages a");
    for (var n = 0; n < links.length; n += 1) {
      if (new URL(links[n].href).pathname === path) { links[n].click(); return; }
    }
  }
  function focusSearch() {
    var box = document.getElementById("fd-q");
    if (box) { box.focus(); box.select(); return; }
    follow(PAGES.s);
    var observer = new MutationObserver(function () {
      var there = document.getElementById("fd-q");
      if (there) { observer.disconnect(); there.focus(); }
    });
    observer.observe(document.body, { childList: true, subtree: true });
    setTimeout(function () { observer.disconnect(); }, 5000);
  }
  function showKeys() {
    var dialog = document.getElementById("keys");
    if (dialog && !dialog.open) { dialog.showModal(); }
  }
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || writes(event.target)) { return; }
    if (document.querySelector("dialog[open]")) { return; }
    var second = Date.now() - gone < 1500;
    gone = 0;
    if (second && PAGES[event.key]) { follow(PAGES[event.key]); }
    else if (event.key === "/") { focusSearch(); }
    else if (event.key === "?") { showKeys(); }
    else if (event.key === "g") { gone = Date.now(); return; }
    else { return; }
    event.preventDefault();
  });
  document.addEventListener("click", function (event) {
    var drop = event.target.closest(".vi-drop");
    if (drop && window.confirm(drop.title + "?")) {
      window.dash_clientside.set_props("vi-drop", { data: { id: drop.getAttribute("data-view"), at: Date.now() } });
    }
    document.querySelectorAll(".menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target) || event.target.closest(".menu li a")) { menu.removeAttribute("open"); }
    });
    if (event.target.closest("#keys-show")) { showKeys(); }
    var dialog = document.getElementById("keys");
    if (dialog && dialog.open && (event.target === dialog || event.target.closest("#keys-close"))) { dialog.close(); }
  });
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
        var given = asked.get("range") || "24h";
        var range = RANGES.indexOf(given) >= 0 || free(given) ? given : "24h";
        var topics = (asked.get("topics") || "").split(",").filter(Boolean);
        var state = STATES.indexOf(asked.get("state")) >= 0 ? asked.get("state") : "open";
        document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
        var colours = asked.get("colours") || recall("colours");
        colours = colours === "red-up" ? colours : "safe";
        document.documentElement.setAttribute("data-colours", colours);
        if (document.getElementById("colours")) {
          document.getElementById("colours").setAttribute("aria-pressed", String(colours === "red-up"));
        }
        showRange(range, range === given ? "" : faults.odd || "");
        if (document.getElementById("topics")) { window.dash_clientside.set_props("topics", { value: topics }); }
        var options = {};
        Object.keys(OPTIONS).forEach(function (name) {
          options[name] = asked.get(name) || OPTIONS[name];
          if (document.getElementById(name)) { window.dash_clientside.set_props(name, { value: options[name] }); }
        });
        var find = { before: asked.get("before") || "" };
        FILTERS.forEach(function (name) {
          find[name] = asked.get(name) || "";
          if (document.getElementById("fd-" + name)) {
            window.dash_clientside.set_props("fd-" + name, { value: find[name] || (name === "q" ? "" : null) });
          }
        });
        return [
          fresh("route", { path: pathname || "/", lang: lang, zone: environment.zone }),
          fresh("view", {
            range: given, topics: topics, state: state, lang: lang, zone: environment.zone, find: find,
            kind: options.kind, by: options.by, colours: colours
          })
        ];
      },
      setRange: function (value, search) { return value ? withParameter(search, "range", value) : none(); },
      /* two moments of the date fields -> the address, or why not */
      setFree: function (clicks, from, to, search, words) {
        if (!clicks) { return [none(), none()]; }
        var ends = [new Date(from || NaN).getTime(), new Date(to || NaN).getTime()];
        var wrong = fault(ends[0], ends[1]) || (ends[0] > Date.now() ? "future" : "");
        if (wrong) { return [none(), (words && words.faults[wrong]) || wrong]; }
        return [withParameter(search, "range", compact(ends[0]) + "-" + compact(ends[1])), ""];
      },
      setOption: function (value, id, search) {
        if (!value || (query(search).get(id) || OPTIONS[id]) === value) { return none(); }
        if (id === "kind") { search = "?" + without(search, "topics"); } /* those were of another kind */
        return withParameter(search, id, value === OPTIONS[id] ? "" : value);
      },
      setColours: function (clicks, search) {
        if (!clicks) { return none(); }
        var next = document.documentElement.getAttribute("data-colours") === "red-up" ? "safe" : "red-up";
        remember("colours", next);
        return withParameter(search, "colours", next);
      },
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
      }
    }
  });
})();
