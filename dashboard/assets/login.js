/* A login link printed in a terminal fills in the form: browsers do not send the fragment to the server. The user still submits the form. */
(function () {
  "use strict";
  var fragment = window.location.hash.slice(1), colon = fragment.indexOf(":");
  var name = document.getElementById("name"), password = document.getElementById("password");
  if (colon < 1 || !name || !password) { return; }
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
  try {
    name.value = decodeURIComponent(fragment.slice(0, colon));
    password.value = decodeURIComponent(fragment.slice(colon + 1));
  } catch (_) { return; }
  document.querySelector("button[type=submit]").focus();
})();
