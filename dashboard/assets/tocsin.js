/* Browser side of the shell: state in the address, keyboard shortcuts, theme, expired sessions, zoom of charts. */
(function () {
  "use strict";
  var STATES = ["open", "resolved", "all"];
  var RANGES = ["1h", "6h", "24h", "7d", "30d"];
  var OPTIONS = { kind: "topic", by: "negative" }; /* query parameters with their defaults */
  var MIN_RANGE_MS = 5 * 60000, MAX_RANGE_MS = 92 * 86400000; /* the same as in dashboard/time_ranges.py */
  var FILTERS = ["q", "language", "source", "genre", "topic", "company", "sentiment", "materiality"];
  var noUpdate = function () { return window.dash_clientside.no_update; };
  var lastValues = {};

  function save(key, value) {
    try { window.localStorage.setItem("tocsin." + key, value); } catch (_) { /* private mode: not saved */ }
  }
  function load(key) {
    try { return window.localStorage.getItem("tocsin." + key); } catch (_) { return null; }
  }
  function preferredTheme() {
    var saved = load("theme");
    if (saved === "dark" || saved === "light") { return saved; }
    return window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  }
  function query(search) { return new URLSearchParams(search || ""); }
  function withParameter(search, key, value) {
    var next = query(search);
    if ((next.get(key) || "") === value) { return noUpdate(); }
    if (value) { next.set(key, value); } else { next.delete(key); }
    if (key !== "lang") { next.delete("before"); } /* another filter starts at the first page */
    return "?" + next.toString().replace(/%2C/g, ",");
  }
  /* a custom range in the address -> its start and end, in ms; null if it is invalid */
  function parseRange(key) {
    var found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)Z-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)Z$/.exec(key || "");
    if (!found) { return null; }
    var n = found.slice(1).map(Number);
    var ends = [Date.UTC(n[0], n[1] - 1, n[2], n[3], n[4]), Date.UTC(n[5], n[6] - 1, n[7], n[8], n[9])];
    return formatTime(ends[0]) + "-" + formatTime(ends[1]) === key && rangeError(ends[0], ends[1]) === "" ? ends : null;
  }
  function formatTime(ms) { return new Date(ms).toISOString().slice(0, 16).replace(/[-:]/g, "") + "Z"; }
  function rangeError(from, to) {
    if (isNaN(from) || isNaN(to)) { return "missing"; }
    if (from >= to) { return "order"; }
    if (to - from < MIN_RANGE_MS) { return "short"; }
    return to - from > MAX_RANGE_MS ? "long" : "";
  }
  function localInput(ms) { /* local time, in the format of a date input */
    var moment = new Date(ms);
    return new Date(ms - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  }
  function showRange(key) {
    if (!document.getElementById("range")) { return; }
    var ends = parseRange(key), set = window.dash_clientside.set_props;
    set("range", { value: ends ? "" : key });
    set("range-message", { children: "" });
    if (ends) {
      set("range-from", { value: localInput(ends[0]) });
      set("range-to", { value: localInput(ends[1]) });
      set("range-free", { open: true });
    }
  }
  var figures = {}; /* chart -> uirevision and axis ranges of its last figure from the server */
  function rangeText(axis) { return axis && axis.range ? JSON.stringify(axis.range).replace(/T/g, " ") : ""; }
  function without(search, key) {
    var next = query(search);
    next.delete(key);
    return next.toString();
  }
  function ifChanged(key, value) {
    var text = JSON.stringify(value);
    if (lastValues[key] === text) { return noUpdate(); }
    lastValues[key] = text;
    return value;
  }
  /* Expired session: reload the page, so that the server redirects to the login; at most once in ten seconds. */
  var originalFetch = window.fetch;
  var reloading = false;
  function mayReload() {
    try {
      var last = Number(window.sessionStorage.getItem("tocsin.reloaded"));
      if (Date.now() - last < 10000) { return false; }
      window.sessionStorage.setItem("tocsin.reloaded", String(Date.now()));
    } catch (_) { /* private mode */ }
    return true;
  }
  window.fetch = function () {
    return originalFetch.apply(this, arguments).then(function (response) {
      if (response.status !== 401) { return response; }
      if (!reloading && mayReload()) {
        reloading = true;
        window.location.reload();
      }
      return reloading ? new Promise(function () {}) : response; /* while the page reloads, callers wait forever */
    });
  };
  /* Keyboard shortcuts: "/" focuses the search, "?" lists the shortcuts, g and a letter opens a page. Not while typing. */
  var PAGES = { o: "/", a: "/alerts", s: "/articles", r: "/rules", w: "/watchlists", d: "/deliveries", m: "/models" };
  var prefixAt = 0; /* when g was pressed */
  function isInput(element) {
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
      var field = document.getElementById("fd-q");
      if (field) { observer.disconnect(); field.focus(); }
    });
    observer.observe(document.body, { childList: true, subtree: true });
    setTimeout(function () { observer.disconnect(); }, 5000);
  }
  function showKeys() {
    var dialog = document.getElementById("keys");
    if (dialog && !dialog.open) { dialog.showModal(); }
  }
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isInput(event.target)) { return; }
    if (document.querySelector("dialog[open]")) { return; }
    var second = Date.now() - prefixAt < 1500;
    prefixAt = 0;
    if (second && PAGES[event.key]) { follow(PAGES[event.key]); }
    else if (event.key === "/") { focusSearch(); }
    else if (event.key === "?") { showKeys(); }
    else if (event.key === "g") { prefixAt = Date.now(); return; }
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
  /* Before the first paint, so that a dark page does not flash white. */
  document.documentElement.setAttribute("data-mantine-color-scheme", preferredTheme());

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tocsin: {
      environment: function () {
        var zone = "UTC";
        try { zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC"; } catch (_) { /* old browser */ }
        var saved = load("lang");
        var lang = saved === "zh" || saved === "en" ? saved : (navigator.language || "").toLowerCase().indexOf("zh") === 0 ? "zh" : "en";
        return { zone: zone, lang: lang };
      },
      /* address and browser -> the page (route) and what it shows (view) */
      resolve: function (pathname, search, environment) {
        if (!environment) { return [noUpdate(), noUpdate()]; }
        var parameters = query(search);
        var lang = parameters.get("lang") === "zh" || parameters.get("lang") === "en" ? parameters.get("lang") : environment.lang;
        var given = parameters.get("range") || "24h";
        var range = RANGES.indexOf(given) >= 0 || parseRange(given) ? given : "24h";
        var topics = (parameters.get("topics") || "").split(",").filter(Boolean);
        var state = STATES.indexOf(parameters.get("state")) >= 0 ? parameters.get("state") : "open";
        document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
        var colours = parameters.get("colours") || load("colours");
        colours = colours === "red-up" ? colours : "safe";
        document.documentElement.setAttribute("data-colours", colours);
        if (document.getElementById("colours")) {
          document.getElementById("colours").setAttribute("aria-pressed", String(colours === "red-up"));
        }
        showRange(range);
        if (document.getElementById("topics")) { window.dash_clientside.set_props("topics", { value: topics }); }
        var options = {};
        Object.keys(OPTIONS).forEach(function (name) {
          options[name] = parameters.get(name) || OPTIONS[name];
          if (document.getElementById(name)) { window.dash_clientside.set_props(name, { value: options[name] }); }
        });
        var find = { before: parameters.get("before") || "" };
        FILTERS.forEach(function (name) {
          find[name] = parameters.get(name) || "";
          if (document.getElementById("fd-" + name)) {
            window.dash_clientside.set_props("fd-" + name, { value: find[name] || (name === "q" ? "" : null) });
          }
        });
        return [
          ifChanged("route", { path: pathname || "/", lang: lang, zone: environment.zone }),
          ifChanged("view", {
            range: given, topics: topics, state: state, lang: lang, zone: environment.zone, find: find,
            kind: options.kind, by: options.by, colours: colours
          })
        ];
      },
      setRange: function (value, search) { return value ? withParameter(search, "range", value) : noUpdate(); },
      /* two date inputs -> the address, or an error message */
      setFree: function (clicks, from, to, search, texts) {
        if (!clicks) { return [noUpdate(), noUpdate()]; }
        var ends = [new Date(from || NaN).getTime(), new Date(to || NaN).getTime()];
        var error = rangeError(ends[0], ends[1]) || (ends[0] > Date.now() ? "future" : "");
        if (error) { return [noUpdate(), (texts && texts.range_errors[error]) || error]; }
        return [withParameter(search, "range", formatTime(ends[0]) + "-" + formatTime(ends[1])), ""];
      },
      setOption: function (value, id, search) {
        if (!value || (query(search).get(id) || OPTIONS[id]) === value) { return noUpdate(); }
        if (id === "kind") { search = "?" + without(search, "topics"); } /* they were of another kind */
        return withParameter(search, id, value === OPTIONS[id] ? "" : value);
      },
      setColours: function (clicks, search) {
        if (!clicks) { return noUpdate(); }
        var next = document.documentElement.getAttribute("data-colours") === "red-up" ? "safe" : "red-up";
        save("colours", next);
        return withParameter(search, "colours", next);
      },
      setTopics: function (value, search) { return withParameter(search, "topics", (value || []).join(",")); },
      setState: function (value, search) { return value ? withParameter(search, "state", value === "open" ? "" : value) : noUpdate(); },
      setFilter: function (value, id, search) { return withParameter(search, id.slice(3), value || ""); },
      setLanguage: function (value, search) {
        if (!value || value === document.documentElement.lang.slice(0, 2)) { return noUpdate(); }
        save("lang", value);
        return withParameter(search, "lang", value);
      },
      theme: function (clicks, current) {
        var theme = current || preferredTheme();
        if (clicks) {
          theme = theme === "dark" ? "light" : "dark";
          save("theme", theme);
        }
        return [theme, theme];
      },
      /* Keep the zoom of a chart when it gets a new figure. uirevision of plotly cannot do it, because dcc.Graph passes every zoom
         back to plotly as if it came from the page (dash 4.4.1). */
      keepZoom: function (figure, id) {
        if (!figure) { return noUpdate(); }
        var plot = document.querySelector("#" + id + " .js-plotly-plot") || {};
        var before = figures[id] || {};
        var layout = figure.layout;
        var axes = ["xaxis", "yaxis"];
        figures[id] = { uirevision: layout.uirevision };
        axes.forEach(function (name) { figures[id][name] = rangeText(layout[name]); });
        if (before.uirevision !== layout.uirevision || !plot.layout) { return figure; }
        axes.forEach(function (name) {
          var now = plot.layout[name];
          if (now && now.range && now.autorange !== true && rangeText(now) !== before[name]) {
            layout[name] = Object.assign({}, layout[name], { range: now.range, autorange: false });
          }
        });
        return figure;
      }
    }
  });
})();
