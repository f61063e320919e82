// Runs before the page is painted, so that it does not flash in the wrong colours.
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch (_) { /* It is not allowed. */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
