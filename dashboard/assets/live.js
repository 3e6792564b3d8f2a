/* What keeps an open page true: it listens for the server's pulse, asks for what changed and for nothing else, and says how it stands.

   /live ─▶ pulse ─▶ another mark of a kind that this page follows? ─▶ the tick that the refreshes of every page listen to
   no stream (a proxy holds it, no seat is free) ─▶ /live/state every 5 s, and the stream is tried again now and then */
(function () {
  "use strict";
  var STREAM = "/live";
  var STATE = "/live/state";
  var FIRST_MS = 8000; /* a stream that says nothing for so long is held on its way */
  var QUIET_MS = 25000; /* the server speaks every 10 s: a line that is quiet for so long is dead */
  var SILENT_MS = 10000;
  var POLL_MS = 5000;
  var LOST_MS = 2000;
  var HIDDEN_MS = 20000; /* a tab that is looked away from for a moment goes on */
  var KEEP_MS = 600000; /* an open page keeps its login */
  var GAP_MS = 1000;
  var STUCK_MS = 30000;
  var none = function () { return window.dash_clientside.no_update; };

  var source = null; /* the stream, or null */
  var firstTimer = 0, reopenTimer = 0, pollTimer = 0, tickTimer = 0, hideTimer = 0;
  var tries = 0;
  var streaming = false; /* the stream spoke since it was opened */
  var lost = false; /* the last thing that we asked got no answer */
  var polling = false;
  var said = null; /* the last pulse */
  var build = null;
  var skew = 0; /* the server's clock minus ours, ms */
  var heardAt = Date.now(); /* the last word of the server, or the moment from which we wait for one */
  var freshAt = Date.now(); /* the last answer to a refresh */
  var words = null;
  var marked = null; /* the marks that the page was last drawn by */
  var turn = 0; /* of a page that is drawn by what the store does not tell */
  var ticks = 0, tickedAt = 0, asking = 0, answered = false, owed = false;

  function follows() { return words && words.follows ? words.follows : ["articles", "alerts", "deeds"]; }
  function marks(pulse) {
    return follows().concat("all").map(function (kind) { return kind + ":" + pulse.marks[kind]; }).join(" ");
  }
  function set(id, props) { if (words) { window.dash_clientside.set_props(id, props); } } /* not before there is a page */

  /* One refresh at a time: what changes while an answer is on its way is asked for once, after it. */
  function tick() {
    var now = Date.now();
    var busy = asking > 0 && now - tickedAt < STUCK_MS;
    if (document.hidden || busy) { owed = true; return; }
    window.clearTimeout(tickTimer);
    if (now - tickedAt < GAP_MS) { tickTimer = window.setTimeout(tick, tickedAt + GAP_MS - now); return; }
    owed = false;
    tickedAt = now;
    ticks += 1;
    set("tick", { n_intervals: ticks });
  }
  function isRefresh(where, options) {
    return String(where).indexOf("_dash-update-component") >= 0 && !!options && typeof options.body === "string"
      && options.body.indexOf('"id":"tick"') >= 0;
  }
  var ask = window.fetch;
  window.fetch = function (where, options) {
    var refresh = isRefresh(where, options);
    if (refresh) { asking += 1; }
    return ask.apply(this, arguments).then(function (answer) {
      if (refresh) { asking -= 1; }
      if (answer.ok && refresh) { freshAt = Date.now(); answered = true; }
      if (refresh && owed) { window.setTimeout(tick, 0); }
      return answer;
    }, function (problem) {
      if (refresh) { asking -= 1; }
      if (problem && problem.name === "AbortError") { throw problem; }
      if (refresh) { owed = true; }
      if (!lost && !document.hidden) { check(); }
      throw problem;
    });
  };

  function take(pulse) {
    var before = said;
    heardAt = Date.now();
    lost = false;
    skew = pulse.at * 1000 - heardAt;
    if (!pulse.rang && before) { pulse.rang = before.rang; }
    said = pulse;
    if (build === null) { build = pulse.build; }
    if (outdated(pulse)) { window.location.reload(); return; }
    var now = marks(pulse);
    if (now !== marked) {
      if (words && (marked !== null || answered || asking > 0)) { tick(); }
      marked = now;
    } else if (owed) { tick(); }
    set("pulse", { data: pulse });
    document.dispatchEvent(new CustomEvent("tocsin:pulse", { detail: { pulse: pulse, first: before === null } }));
  }
  /* nobody's words are lost to an update of the program: it waits until they leave the page that they wrote on */
  var wroteOn = null;
  document.addEventListener("input", function (event) { if (event.isTrusted) { wroteOn = window.location.pathname; } }, true);
  function outdated(pulse) {
    return build !== pulse.build && wroteOn !== window.location.pathname && window.performance.now() > 60000;
  }

  /* hidden tabs keep their line only where they ring for all tabs */
  function wanted() { return !document.hidden || hideTimer !== 0 || (window.tocsinBell && window.tocsinBell.rings()); }
  function open() {
    window.clearTimeout(reopenTimer);
    if (source || !wanted()) { return; }
    if (!window.EventSource) { poll(); return; }
    streaming = false;
    source = new EventSource(STREAM);
    firstTimer = window.setTimeout(failed, FIRST_MS);
    source.addEventListener("pulse", function (event) {
      window.clearTimeout(firstTimer);
      streaming = true;
      tries = 0;
      stopPolling();
      take(JSON.parse(event.data));
    });
    source.addEventListener("end", function () { close(); check(); }); /* the answer says where to log in */
    source.onerror = failed;
  }
  function close() {
    window.clearTimeout(firstTimer);
    if (source) { source.onerror = null; source.close(); }
    source = null;
    streaming = false;
  }
  function failed() {
    close();
    tries += 1;
    window.clearTimeout(reopenTimer);
    reopenTimer = window.setTimeout(open, Math.min(300000, 1000 * Math.pow(2, Math.min(tries, 9))) * (0.75 + Math.random() / 2));
    poll();
  }

  function check() {
    if (!wanted()) { return Promise.resolve(); }
    return window.fetch(STATE, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error("refused: " + answer.status); }
      return answer.json();
    }).then(function (pulse) {
      var was = lost;
      take(pulse);
      if (was && !source) { tries = 0; window.clearTimeout(reopenTimer); open(); } /* it is back: listen again at once */
    }).catch(function () { lost = true; poll(); });
  }
  function poll() {
    if (polling) { return; }
    polling = true;
    if (wanted()) { check().then(next); } else { next(); }
  }
  function next() {
    window.clearTimeout(pollTimer);
    if (!polling) { return; }
    var every = lost ? LOST_MS : POLL_MS;
    /* all who ask do so at the same moments, so that the store is asked once for all of them */
    pollTimer = window.setTimeout(function () { if (wanted()) { check().then(next); } else { next(); } }, every - (Date.now() + skew) % every);
  }
  function stopPolling() { polling = false; window.clearTimeout(pollTimer); }

  document.addEventListener("visibilitychange", function () {
    window.clearTimeout(hideTimer);
    hideTimer = 0;
    if (document.hidden) {
      hideTimer = window.setTimeout(function () {
        hideTimer = 0;
        if (!wanted()) { window.clearTimeout(reopenTimer); close(); stopPolling(); }
      }, HIDDEN_MS);
      return;
    }
    if (!streaming) { heardAt = Date.now(); tries = 0; open(); }
    if (owed) { tick(); }
    ages();
  });
  window.addEventListener("offline", function () { lost = true; failed(); });
  window.addEventListener("online", function () { if (lost) { check(); } });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", function (event) { if (event.persisted) { open(); } });
  window.setInterval(function () { if (!wanted()) { window.fetch(STATE, { cache: "no-store" }).catch(function () {}); } }, KEEP_MS);

  function watch() {
    var now = Date.now();
    if (source && streaming && now - heardAt > QUIET_MS) { lost = true; failed(); }
    /* at the same moments for all viewers, so that the cache answers all of them with one reading */
    var current = words && words.every ? Math.floor((now + skew) / (1000 * words.every)) : 0;
    if (current !== turn) {
      if (turn && current && !lost) { tick(); }
      turn = current;
    }
    /* the page itself says that something failed: it is tried again, though nothing changed */
    if (!document.hidden && !lost && now - tickedAt > 3000 && document.querySelector("[id$='-problem'][role='alert']:not(:empty)")) { tick(); }
  }
  window.setInterval(watch, 1000);

  /* how long ago something was, without asking anybody */
  function ages() {
    if (!words || !words.ago) { return; }
    var now = Date.now() + skew;
    Array.prototype.forEach.call(document.querySelectorAll("time.ago[datetime]"), function (element) {
      var minutes = Math.floor((now - Date.parse(element.getAttribute("datetime"))) / 60000);
      var said = minutes < 1 ? words.ago.now : minutes < 60 ? words.ago.minutes.replace("{n}", minutes)
        : minutes < 2880 ? words.ago.hours.replace("{n}", Math.floor(minutes / 60)) : words.ago.days.replace("{n}", Math.floor(minutes / 1440));
      if (element.textContent !== said) { element.textContent = said; }
    });
  }
  window.setInterval(ages, 10000);

  window.tocsinLive = { open: open };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    live: {
      /* what the server says of itself, what the page knows of it, and how old what is shown may be */
      status: function (_second, pulse, given) {
        if (!given) { return [none(), none(), none(), none()]; }
        if (words !== given) { words = given; marked = said && marks(said); } /* a new page has just asked for all that it shows */
        var now = Date.now();
        var silent = Math.round((now - heardAt) / 1000);
        var age = Math.round((now - (given.follows.length || given.every ? freshAt : heardAt)) / 1000);
        var title = (said && said.open ? "(" + said.open + ") " : "") + given.title;
        if (document.title !== title) { document.title = title; }
        var aside = said && said.aside ? given.aside.replace("{n}", said.aside) : "";
        if (!said) {
          return now - heardAt > SILENT_MS ? [given.stale.replace("{s}", silent), "", "status stale", aside] : [given.connecting, "", "status connecting", aside];
        }
        if (lost || now - heardAt > QUIET_MS) {
          return now - heardAt > SILENT_MS ? [given.stale.replace("{s}", silent), "", "status stale", aside] : [given.reconnecting, "", "status connecting", aside];
        }
        if (!said.store) { return [given.store, "", "status store", aside]; }
        return [given.live, " · " + given.updated.replace("{s}", age), "status live", aside];
      }
    }
  });
  open();
})();
