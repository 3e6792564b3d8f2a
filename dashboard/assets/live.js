/* Live updates of an open page: subscribes to the change feed of the server, refreshes what changed, and shows the connection status.

   /live ─▶ change ─▶ a version of a kind of data that this page shows changed? ─▶ the interval "tick", the input of every refresh
   no stream (a proxy buffers it, or too many are open) ─▶ poll /live/state every 5 s, and retry the stream from time to time */
(function () {
  "use strict";
  var STREAM = "/live";
  var STATE = "/live/state";
  var FIRST_EVENT_MS = 8000; /* a stream without an event after this long is blocked on its way */
  var HEARTBEAT_MS = 25000; /* the server sends an event every 10 s: without one for this long the connection is dead */
  var STALE_MS = 10000;
  var POLL_MS = 5000;
  var LOST_POLL_MS = 2000;
  var HIDDEN_MS = 20000; /* a tab that is hidden for a shorter time keeps its stream */
  var KEEP_SESSION_MS = 600000; /* a hidden page keeps its session alive this often */
  var MIN_TICK_MS = 1000;
  var REFRESH_TIMEOUT_MS = 30000;
  var noUpdate = function () { return window.dash_clientside.no_update; };

  var source = null; /* the EventSource, or null */
  var firstTimer = 0, reopenTimer = 0, pollTimer = 0, tickTimer = 0, hideTimer = 0;
  var attempts = 0;
  var streaming = false; /* an event arrived since the stream was opened */
  var lost = false; /* the last request got no response */
  var polling = false;
  var snapshot = null; /* the last snapshot of the change feed */
  var build = null;
  var skew = 0; /* clock of the server minus ours, ms */
  var receivedAt = Date.now(); /* the last event, or the moment from which we wait for one */
  var refreshedAt = Date.now(); /* the last response to a refresh */
  var texts = null;
  var shownVersions = null; /* the versions that the page was last refreshed for */
  var period = 0; /* number of the current period, for a page that refreshes by the clock */
  var ticks = 0, tickedAt = 0, pending = 0, refreshed = false, tickDue = false;

  function follows() { return texts && texts.follows ? texts.follows : ["articles", "alerts", "actions"]; }
  function versionsOf(change) {
    return follows().concat("all").map(function (kind) { return kind + ":" + change.versions[kind]; }).join(" ");
  }
  function set(id, props) { if (texts) { window.dash_clientside.set_props(id, props); } } /* not before there is a page */

  /* One refresh at a time: what changes during a refresh is fetched once after it. */
  function tick() {
    var now = Date.now();
    var busy = pending > 0 && now - tickedAt < REFRESH_TIMEOUT_MS;
    if (document.hidden || busy) { tickDue = true; return; }
    window.clearTimeout(tickTimer);
    if (now - tickedAt < MIN_TICK_MS) { tickTimer = window.setTimeout(tick, tickedAt + MIN_TICK_MS - now); return; }
    tickDue = false;
    tickedAt = now;
    ticks += 1;
    set("tick", { n_intervals: ticks });
  }
  function isRefresh(resource, options) {
    return String(resource).indexOf("_dash-update-component") >= 0 && !!options && typeof options.body === "string"
      && options.body.indexOf('"id":"tick"') >= 0;
  }
  var originalFetch = window.fetch;
  window.fetch = function (resource, options) {
    var refresh = isRefresh(resource, options);
    if (refresh) { pending += 1; }
    return originalFetch.apply(this, arguments).then(function (response) {
      if (refresh) { pending -= 1; }
      if (response.ok && refresh) { refreshedAt = Date.now(); refreshed = true; }
      if (refresh && tickDue) { window.setTimeout(tick, 0); }
      return response;
    }, function (error) {
      if (refresh) { pending -= 1; }
      if (error && error.name === "AbortError") { throw error; }
      if (refresh) { tickDue = true; }
      if (!lost && !document.hidden) { fetchState(); }
      throw error;
    });
  };

  function receive(change) {
    var previous = snapshot;
    receivedAt = Date.now();
    lost = false;
    skew = change.server_time * 1000 - receivedAt;
    if (!change.notices && previous) { change.notices = previous.notices; }
    snapshot = change;
    if (build === null) { build = change.build; }
    if (isOutdated(change)) { window.location.reload(); return; }
    var versions = versionsOf(change);
    if (versions !== shownVersions) {
      if (texts && (shownVersions !== null || refreshed || pending > 0)) { tick(); }
      shownVersions = versions;
    } else if (tickDue) { tick(); }
    set("changes", { data: change });
    document.dispatchEvent(new CustomEvent("tocsin:change", { detail: { change: change, first: previous === null } }));
  }
  /* After an update of the program the page reloads, but not while it has input that a reload would lose. */
  var editedPath = null;
  document.addEventListener("input", function (event) { if (event.isTrusted) { editedPath = window.location.pathname; } }, true);
  function isOutdated(change) {
    return build !== change.build && editedPath !== window.location.pathname && window.performance.now() > 60000;
  }

  /* A hidden tab keeps its stream only if it shows the notifications for all tabs. */
  function isActive() { return !document.hidden || hideTimer !== 0 || (window.tocsinBell && window.tocsinBell.isActive()); }
  function open() {
    window.clearTimeout(reopenTimer);
    if (source || !isActive()) { return; }
    if (!window.EventSource) { poll(); return; }
    streaming = false;
    source = new EventSource(STREAM);
    firstTimer = window.setTimeout(failed, FIRST_EVENT_MS);
    source.addEventListener("change", function (event) {
      window.clearTimeout(firstTimer);
      streaming = true;
      attempts = 0;
      stopPolling();
      receive(JSON.parse(event.data));
    });
    source.addEventListener("end", function () { close(); fetchState(); }); /* the response redirects to the login */
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
    attempts += 1;
    window.clearTimeout(reopenTimer);
    reopenTimer = window.setTimeout(open, Math.min(300000, 1000 * Math.pow(2, Math.min(attempts, 9))) * (0.75 + Math.random() / 2));
    poll();
  }

  function fetchState() {
    if (!isActive()) { return Promise.resolve(); }
    return window.fetch(STATE, { cache: "no-store" }).then(function (response) {
      if (!response.ok) { throw new Error("HTTP status " + response.status); }
      return response.json();
    }).then(function (change) {
      var wasLost = lost;
      receive(change);
      if (wasLost && !source) { attempts = 0; window.clearTimeout(reopenTimer); open(); } /* the server is back: reopen the stream now */
    }).catch(function () { lost = true; poll(); });
  }
  function poll() {
    if (polling) { return; }
    polling = true;
    if (isActive()) { fetchState().then(scheduleNextPoll); } else { scheduleNextPoll(); }
  }
  function scheduleNextPoll() {
    window.clearTimeout(pollTimer);
    if (!polling) { return; }
    var every = lost ? LOST_POLL_MS : POLL_MS;
    /* all pages poll at the same moments, so that one read of the store serves all of them */
    pollTimer = window.setTimeout(function () {
      if (isActive()) { fetchState().then(scheduleNextPoll); } else { scheduleNextPoll(); }
    }, every - (Date.now() + skew) % every);
  }
  function stopPolling() { polling = false; window.clearTimeout(pollTimer); }

  document.addEventListener("visibilitychange", function () {
    window.clearTimeout(hideTimer);
    hideTimer = 0;
    if (document.hidden) {
      hideTimer = window.setTimeout(function () {
        hideTimer = 0;
        if (!isActive()) { window.clearTimeout(reopenTimer); close(); stopPolling(); }
      }, HIDDEN_MS);
      return;
    }
    if (!streaming) { receivedAt = Date.now(); attempts = 0; open(); }
    if (tickDue) { tick(); }
    updateAges();
  });
  window.addEventListener("offline", function () { lost = true; failed(); });
  window.addEventListener("online", function () { if (lost) { fetchState(); } });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", function (event) { if (event.persisted) { open(); } });
  window.setInterval(function () { if (!isActive()) { window.fetch(STATE, { cache: "no-store" }).catch(function () {}); } }, KEEP_SESSION_MS);

  function checkEverySecond() {
    var now = Date.now();
    if (source && streaming && now - receivedAt > HEARTBEAT_MS) { lost = true; failed(); }
    /* at the same moments for all viewers, so that one cached read serves all of them */
    var current = texts && texts.every ? Math.floor((now + skew) / (1000 * texts.every)) : 0;
    if (current !== period) {
      if (period && current && !lost) { tick(); }
      period = current;
    }
    /* a page that shows an error is refreshed although nothing changed */
    if (!document.hidden && !lost && now - tickedAt > 3000 && document.querySelector("[id$='-problem'][role='alert']:not(:empty)")) { tick(); }
  }
  window.setInterval(checkEverySecond, 1000);

  /* "3 minutes ago" is updated in the browser */
  function updateAges() {
    if (!texts || !texts.ago) { return; }
    var now = Date.now() + skew;
    var relative = new Intl.RelativeTimeFormat(texts.ago.locale, { numeric: "always" }); /* the same formats as dashboard/i18n.py */
    Array.prototype.forEach.call(document.querySelectorAll("time.ago[datetime]"), function (element) {
      var minutes = Math.floor((now - Date.parse(element.getAttribute("datetime"))) / 60000);
      var age = minutes < 1 ? texts.ago.now : minutes < 60 ? relative.format(-minutes, "minute")
        : minutes < 1440 ? relative.format(-Math.floor(minutes / 60), "hour") : relative.format(-Math.floor(minutes / 1440), "day");
      age = age.replace(/(\d)(?=[\u4e00-\u9fff])/g, "$1 "); /* a blank between figures and Chinese characters */
      if (element.textContent !== age) { element.textContent = age; }
    });
  }
  window.setInterval(updateAges, 10000);

  window.tocsinLive = { open: open };
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    live: {
      /* status text, age of the data, class of the status, number of dead letters */
      status: function (_second, _changes, given) {
        if (!given) { return [noUpdate(), noUpdate(), noUpdate(), noUpdate()]; }
        if (texts !== given) { texts = given; shownVersions = snapshot && versionsOf(snapshot); } /* a new page has just fetched everything */
        var now = Date.now();
        var silence = Math.round((now - receivedAt) / 1000);
        var age = Math.round((now - (given.follows.length || given.every ? refreshedAt : receivedAt)) / 1000);
        var title = (snapshot && snapshot.open_alerts ? "(" + snapshot.open_alerts + ") " : "") + given.title;
        if (document.title !== title) { document.title = title; }
        var deadLetters = snapshot && snapshot.dead_letters ? given.dead_letters.replace("{n}", snapshot.dead_letters) : "";
        var stale = [given.stale.replace("{s}", silence), "", "status stale", deadLetters];
        if (!snapshot) {
          return now - receivedAt > STALE_MS ? stale : [given.connecting, "", "status connecting", deadLetters];
        }
        if (lost || now - receivedAt > HEARTBEAT_MS) {
          return now - receivedAt > STALE_MS ? stale : [given.reconnecting, "", "status connecting", deadLetters];
        }
        if (!snapshot.store_ok) { return [given.store, "", "status store", deadLetters]; }
        return [given.live, " · " + given.updated.replace("{s}", age), "status live", deadLetters];
      }
    }
  });
  open();
})();
