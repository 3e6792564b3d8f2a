/* Notifications of new alerts: a desktop notification and a short sound, once per alert however many tabs are open.

   Off by default. One tab holds the bell and keeps its stream although it is hidden. The first tab that receives an alert shows the
   notification and stores the id of the alert, so that the others leave it out. */
(function () {
  "use strict";
  var ORDER = { info: 0, warning: 1, critical: 2 };
  var LEASE_MS = 90000; /* without the Web Locks API the bell of a closed tab is free after this long */
  var MAX_IDS = 200;
  var noUpdate = function () { return window.dash_clientside.no_update; };
  var tabId = String(Math.random()).slice(2);
  var holding = false, releaseLock = null;
  var known = null; /* ids of alerts that this page has received */
  var clicksSeen = 0;
  var audio = null;
  var texts = null;

  function load(key) {
    try { return window.localStorage.getItem("tocsin." + key); } catch (_) { return null; }
  }
  function save(key, value) {
    try { window.localStorage.setItem("tocsin." + key, value); } catch (_) { /* private mode: not saved */ }
  }
  function minSeverity() { var saved = load("bell"); return saved in ORDER ? saved : ""; } /* "": off */
  function locks() { return window.navigator.locks; } /* exists only with https or on localhost, like notifications */

  /* which tab holds the bell */
  function acquire() {
    if (!minSeverity()) { release(); return; }
    if (holding || releaseLock) { return; }
    if (!locks()) { renewLease(); return; }
    releaseLock = function () {};
    locks().request("tocsin-bell", function () {
      if (!minSeverity()) { return null; }
      acquired();
      return new Promise(function (resolve) { releaseLock = resolve; });
    }).then(function () { releaseLock = null; holding = false; });
  }
  function acquired() {
    holding = true;
    if (window.tocsinLive) { window.tocsinLive.open(); } /* otherwise live.js is not loaded yet, and opens by itself */
  }
  function release() { if (releaseLock) { releaseLock(); } holding = false; }
  function renewLease() {
    var other = JSON.parse(load("bell-lease") || "null");
    if (other && other.by !== tabId && Date.now() - other.at < LEASE_MS) { holding = false; return; }
    save("bell-lease", JSON.stringify({ by: tabId, at: Date.now() }));
    if (!holding) { acquired(); }
  }
  window.setInterval(function () { if (minSeverity() && !locks()) { renewLease(); } }, LEASE_MS / 3);

  /* calls `notify` in one tab only */
  function once(id, notify) {
    function claim() {
      var notified = JSON.parse(load("notified") || "[]");
      if (notified.indexOf(id) >= 0) { return; }
      save("notified", JSON.stringify(notified.concat(id).slice(-MAX_IDS)));
      notify();
    }
    if (locks()) { locks().request("tocsin-notified", claim); } else { window.setTimeout(claim, Math.random() * 400); }
  }

  function audioContext() {
    var Audio = window.AudioContext || window.webkitAudioContext;
    if (!audio && Audio) { audio = new Audio(); }
    if (audio && audio.state === "suspended") { audio.resume().catch(function () {}); }
    return audio;
  }
  /* two strokes of a bell; twice for a critical alert */
  function sound(severity) {
    var context = audioContext();
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
  function openAlert(id) {
    window.focus();
    window.dash_clientside.set_props("url", { pathname: "/alert/" + encodeURIComponent(id), search: window.location.search });
  }
  function showNotification(title, body, id) {
    if (!window.Notification || window.Notification.permission !== "granted") { return; }
    try {
      var notification = new window.Notification(title, { body: body, tag: "tocsin-" + id });
      notification.onclick = function () { notification.close(); if (id !== "test") { openAlert(id); } };
    } catch (_) { /* phones need a service worker: they have the sound only */ }
  }
  function notify(notice) {
    var lang = document.documentElement.lang.slice(0, 2) === "zh" ? "zh" : "en";
    var severity = texts ? texts.severity[notice.severity] + " · " : "";
    sound(notice.severity);
    showNotification(severity + notice.texts[lang][0], notice.texts[lang][1], notice.id);
  }
  document.addEventListener("tocsin:change", function (event) {
    var notices = event.detail.change.notices || [];
    var added = known === null ? [] : notices.filter(function (notice) { return known.indexOf(notice.id) < 0; });
    known = (known || []).concat(notices.map(function (notice) { return notice.id; })).slice(-MAX_IDS);
    var least = minSeverity();
    if (!least) { return; }
    if (!locks()) { renewLease(); } /* timers of a hidden tab are slow, events of the server are not */
    added.filter(function (notice) { return ORDER[notice.severity] >= ORDER[least]; }).reverse().forEach(function (notice) {
      once(notice.id, function () { notify(notice); });
    });
  });

  /* browsers allow sound only after an interaction with the page */
  ["pointerdown", "keydown"].forEach(function (kind) {
    document.addEventListener(kind, function () { if (minSeverity()) { audioContext(); } }, { capture: true, passive: true });
  });
  window.addEventListener("storage", function (event) {
    if (event.key !== "tocsin.bell") { return; }
    acquire();
    if (texts) { window.dash_clientside.set_props("bell-saved", { data: minSeverity() }); }
  });

  function isBlocked() { return !!window.Notification && window.Notification.permission === "denied"; }
  function switchState() {
    var least = minSeverity();
    var title = !least ? texts.off : isBlocked() ? texts.blocked : !window.Notification ? texts.sound : texts.on;
    return [least ? "true" : "false", title, least ? {} : { display: "none" }, least || "info"];
  }
  window.tocsinBell = { isActive: function () { return holding && minSeverity() !== ""; } };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    bell: {
      /* the switch was clicked, a severity was chosen, another tab did either, or the header was redrawn */
      set: function (clicks, chosen, _saved, given) {
        if (!given) { return [noUpdate(), noUpdate(), noUpdate(), noUpdate()]; }
        texts = Object.assign({ severity: given.severity }, given.bell);
        var causes = window.dash_clientside.callback_context.triggered.map(function (each) { return each.prop_id; }); /* may be several at once */
        if (causes.includes("bell.n_clicks") && clicks && clicks !== clicksSeen) {
          save("bell", minSeverity() ? "" : chosen || "info");
          if (minSeverity()) {
            sound("info");
            if (window.Notification && window.Notification.permission === "default") {
              window.Notification.requestPermission().then(function () { window.dash_clientside.set_props("bell-saved", { data: Date.now() }); });
            }
          }
        } else if (causes.includes("bell-level.value") && minSeverity() && chosen in ORDER) {
          save("bell", chosen);
        }
        clicksSeen = clicks || 0;
        acquire();
        return switchState();
      }
    }
  });
  window.setTimeout(acquire, 0);
})();
