/* A link that was printed on a terminal fills the form in: what stands behind # never leaves the browser. A person still presses the button. */
(function () {
  "use strict";
  var words = window.location.hash.slice(1), cut = words.indexOf(":");
  var name = document.getElementById("name"), password = document.getElementById("password");
  if (cut < 1 || !name || !password) { return; }
  window.history.replaceState(null, "", window.location.pathname + window.location.search);
  try {
    name.value = decodeURIComponent(words.slice(0, cut));
    password.value = decodeURIComponent(words.slice(cut + 1));
  } catch (_) { return; }
  document.querySelector("button[type=submit]").focus();
})();
