/* Rings for new alerts: a notice of the desktop and a short sound, once for each alert, however many tabs are open.

   Off until somebody switches it on. One tab holds the bell and keeps its line to the server though it be hidden; whichever tab hears
   of an alert first tells it, and the others find its id among those that were told. */
(function () {
  "use strict";
  var ORDER = { info: 0, warning: 1, critical: 2 };
  var LEASE_MS = 90000; /* the bell of a tab that is gone is free after so long, where the browser has no locks */
  var TOLD = 200;
  var none = function () { return window.dash_clientside.no_update; };
  var me = String(Math.random()).slice(2);
  var holding = false, letGo = null;
  var known = null; /* ids of alerts that this page has heard of */
  var presses = 0;
  var audio = null;
  var words = null;

  function recall(key) {
    try { return window.localStorage.getItem("tocsin." + key); } catch (_) { return null; }
  }
  function remember(key, value) {
    try { window.localStorage.setItem("tocsin." + key, value); } catch (_) { /* private mode: forget */ }
  }
  function level() { var kept = recall("bell"); return kept in ORDER ? kept : ""; } /* the least severity; "": off */
  function locks() { return window.navigator.locks; } /* only on https and on this machine, as notices are */

  /* which tab holds the bell */
  function hold() {
    if (!level()) { release(); return; }
    if (holding || letGo) { return; }
    if (!locks()) { lease(); return; }
    letGo = function () {};
    locks().request("tocsin-bell", function () {
      if (!level()) { return null; }
      hear();
      return new Promise(function (resolve) { letGo = resolve; });
    }).then(function () { letGo = null; holding = false; });
  }
  function hear() {
    holding = true;
    if (window.tocsinLive) { window.tocsinLive.open(); } /* else it has yet to be loaded, and opens by itself */
  }
  function release() { if (letGo) { letGo(); } holding = false; }
  function lease() {
    var other = JSON.parse(recall("bell-held") || "null");
    if (other && other.by !== me && Date.now() - other.at < LEASE_MS) { holding = false; return; }
    remember("bell-held", JSON.stringify({ by: me, at: Date.now() }));
    if (!holding) { hear(); }
  }
  window.setInterval(function () { if (level() && !locks()) { lease(); } }, LEASE_MS / 3);

  /* calls `tell` in one tab only */
  function once(id, tell) {
    function claim() {
      var told = JSON.parse(recall("told") || "[]");
      if (told.indexOf(id) >= 0) { return; }
      remember("told", JSON.stringify(told.concat(id).slice(-TOLD)));
      tell();
    }
    if (locks()) { locks().request("tocsin-told", claim); } else { window.setTimeout(claim, Math.random() * 400); }
  }

  function voice() {
    var Audio = window.AudioContext || window.webkitAudioContext;
    if (!audio && Audio) { audio = new Audio(); }
    if (audio && audio.state === "suspended") { audio.resume().catch(function () {}); }
    return audio;
  }
  /* two strokes of a bell; twice for a critical alert */
  function sound(severity) {
    var context = voice();
    if (!context || context.state === "closed") { return; }
    var strokes = severity === "critical" ? [0, 0.25, 0.7, 0.95] : [0, 0.25];
    strokes.forEach(function (after, number) {
      var from = context.currentTime + after;
      var gain = context.createGain();
      gain.gain.setValueAtTime(0.0001, from);
      gain.gain.exponentialRampToValueAtTime(0.25, from + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0001, from + 0.6);
      gain.connect(context.destination);
      var tone = context.createOscillator();
      tone.frequency.value = number % 2 ? 660 : 880;
      tone.connect(gain);
      tone.start(from);
      tone.stop(from + 0.65);
    });
  }
  function visit(id) {
    window.focus();
    window.dash_clientside.set_props("url", { pathname: "/alert/" + encodeURIComponent(id), search: window.location.search });
  }
  function show(title, body, id) {
    if (!window.Notification || window.Notification.permission !== "granted") { return; }
    try {
      var notice = new window.Notification(title, { body: body, tag: "tocsin-" + id });
      notice.onclick = function () { notice.close(); if (id !== "test") { visit(id); } };
    } catch (_) { /* telephones want a service worker: they have the sound */ }
  }
  function ring(alert) {
    var lang = document.documentElement.lang.slice(0, 2) === "zh" ? "zh" : "en";
    var severity = words ? words.severity[alert.severity] + " · " : "";
    sound(alert.severity);
    show(severity + alert.words[lang][0], alert.words[lang][1], alert.id);
  }
  document.addEventListener("tocsin:pulse", function (event) {
    var rang = event.detail.pulse.rang || [];
    var fresh = known === null ? [] : rang.filter(function (alert) { return known.indexOf(alert.id) < 0; });
    known = (known || []).concat(rang.map(function (alert) { return alert.id; })).slice(-TOLD);
    var least = level();
    if (!least) { return; }
    if (!locks()) { lease(); } /* a hidden tab's timers are slow; what the server says is not */
    fresh.filter(function (alert) { return ORDER[alert.severity] >= ORDER[least]; }).reverse().forEach(function (alert) {
      once(alert.id, function () { ring(alert); });
    });
  });

  /* a browser lets a page sound only after somebody touched it */
  ["pointerdown", "keydown"].forEach(function (kind) {
    document.addEventListener(kind, function () { if (level()) { voice(); } }, { capture: true, passive: true });
  });
  window.addEventListener("storage", function (event) {
    if (event.key !== "tocsin.bell") { return; }
    hold();
    if (words) { window.dash_clientside.set_props("bell-kept", { data: level() }); }
  });

  function blocked() { return !!window.Notification && window.Notification.permission === "denied"; }
  function drawn() {
    var least = level();
    var says = !least ? words.off : blocked() ? words.blocked : !window.Notification ? words.sound : words.on;
    return [least ? "true" : "false", says, least ? {} : { display: "none" }, least || "info"];
  }
  window.tocsinBell = { rings: function () { return holding && level() !== ""; } };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    bell: {
      /* the switch was pressed, a severity chosen, another tab did either, or the header was drawn anew */
      set: function (clicks, chosen, _kept, given) {
        if (!given) { return [none(), none(), none(), none()]; }
        words = Object.assign({ severity: given.severity }, given.bell);
        var causes = window.dash_clientside.callback_context.triggered.map(function (each) { return each.prop_id; }); /* may be several at once */
        if (causes.includes("bell.n_clicks") && clicks && clicks !== presses) {
          remember("bell", level() ? "" : chosen || "info");
          if (level()) {
            sound("info");
            if (window.Notification && window.Notification.permission === "default") {
              window.Notification.requestPermission().then(function () { window.dash_clientside.set_props("bell-kept", { data: Date.now() }); });
            }
          }
        } else if (causes.includes("bell-level.value") && level() && chosen in ORDER) {
          remember("bell", chosen);
        }
        presses = clicks || 0;
        hold();
        return drawn();
      }
    }
  });
  window.setTimeout(hold, 0);
})();
