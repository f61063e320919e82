// What needs a script: the switch of colours, times in the reader's zone, moving the graph,
// dropping files, and finding a value's box. Without it everything else works.
(function () {
  "use strict";
  var root = document.documentElement;

  function theme() {
    var button = document.getElementById("theme");
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", function () {
      var dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch (_) { /* It is not allowed. */ }
    });
  }

  var dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  function times(within) {
    within.querySelectorAll("time[datetime]").forEach(function (time) {
      var at = new Date(time.getAttribute("datetime"));
      if (isNaN(at)) return;
      time.title = time.getAttribute("datetime");
      time.textContent = dates.format(at);
    });
  }

  // The graph: a picture that is moved and scaled; where it is stays when it is sent anew.
  var view = null;
  function graph() {
    var canvas = document.getElementById("canvas");
    var svg = canvas && canvas.querySelector("svg.dag");
    if (!svg) return;
    var width = Number(svg.getAttribute("width")), height = Number(svg.getAttribute("height"));
    function paint() {
      svg = canvas.querySelector("svg.dag");
      if (svg) svg.style.transform = "translate(" + view.x + "px," + view.y + "px) scale(" + view.scale + ")";
    }
    function fit() {
      var box = canvas.getBoundingClientRect();
      var whole = Math.min(box.width / width, box.height / height, 1);
      // A text that nobody can read helps nobody: of a large graph the beginning is shown.
      var scale = Math.max(whole, 0.45);
      view = { scale: scale, x: (box.width - width * scale) / 2, y: Math.max((box.height - height * scale) / 2, 0), least: Math.min(whole, 0.45) };
      paint();
    }
    function zoom(factor, x, y) {
      var box = canvas.getBoundingClientRect();
      if (x === undefined) { x = box.width / 2; y = box.height / 2; }
      var scale = Math.min(Math.max(view.scale * factor, view.least * 0.8), 3);
      view.x = x - (x - view.x) * (scale / view.scale);
      view.y = y - (y - view.y) * (scale / view.scale);
      view.scale = scale;
      paint();
    }
    if (canvas.classList.contains("moves")) { paint(); return; }
    canvas.classList.add("moves");
    var tools = document.getElementById("zoom-tools");
    tools.hidden = false;
    fit();
    tools.addEventListener("click", function (event) {
      var what = event.target.dataset.zoom;
      if (what === "fit") fit();
      else if (what) zoom(what === "in" ? 1.3 : 1 / 1.3);
    });
    canvas.addEventListener("wheel", function (event) {
      if (!event.ctrlKey && !event.metaKey) {
        // Turning the wheel goes on down the page where the graph has nothing more.
        if (Math.abs(event.deltaX) < Math.abs(event.deltaY) && height * view.scale <= canvas.clientHeight) return;
        event.preventDefault();
        view.x -= event.deltaX;
        view.y -= event.deltaY;
        paint();
        return;
      }
      event.preventDefault();
      var box = canvas.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    var held = new Map(), moved = false, apart = 0;
    canvas.addEventListener("pointerdown", function (event) {
      if (event.button !== 0) return;
      held.set(event.pointerId, event);
      moved = false;
    });
    canvas.addEventListener("pointermove", function (event) {
      var before = held.get(event.pointerId);
      if (!before) return;
      var dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
      if (!moved && Math.hypot(dx, dy) < 4) return;
      if (!moved) { moved = true; canvas.setPointerCapture(event.pointerId); canvas.classList.add("held"); }
      held.set(event.pointerId, event);
      if (held.size === 1) { view.x += dx; view.y += dy; paint(); return; }
      var two = Array.from(held.values()).slice(0, 2), box = canvas.getBoundingClientRect();
      var now = Math.hypot(two[0].clientX - two[1].clientX, two[0].clientY - two[1].clientY);
      if (apart) zoom(now / apart, (two[0].clientX + two[1].clientX) / 2 - box.left, (two[0].clientY + two[1].clientY) / 2 - box.top);
      apart = now;
    });
    function let_go(event) {
      held.delete(event.pointerId);
      apart = 0;
      canvas.classList.remove("held");
    }
    canvas.addEventListener("pointerup", let_go);
    canvas.addEventListener("pointercancel", let_go);
    canvas.addEventListener("click", function (event) { if (moved) event.preventDefault(); }, true);
    canvas.addEventListener("dragstart", function (event) { event.preventDefault(); });
    canvas.addEventListener("keydown", function (event) {
      var step = 60;
      switch (event.key) {
        case "+": case "=": zoom(1.3); break;
        case "-": zoom(1 / 1.3); break;
        case "0": fit(); break;
        case "ArrowLeft": view.x += step; paint(); break;
        case "ArrowRight": view.x -= step; paint(); break;
        case "ArrowUp": view.y += step; paint(); break;
        case "ArrowDown": view.y -= step; paint(); break;
        default: return;
      }
      event.preventDefault();
    });
    // A box that is reached by the keyboard is brought into sight.
    canvas.addEventListener("focusin", function (event) {
      canvas.scrollTop = 0;
      canvas.scrollLeft = 0;
      if (event.target === canvas || !event.target.matches(":focus-visible")) return;
      var box = canvas.getBoundingClientRect(), card = event.target.getBoundingClientRect();
      if (card.left < box.left || card.right > box.right) view.x += box.left + box.width / 2 - (card.left + card.width / 2);
      if (card.top < box.top || card.bottom > box.bottom) view.y += box.top + box.height / 2 - (card.top + card.height / 2);
      paint();
    });
  }

  function size(bytes) {
    return bytes < 1024 ? bytes + " bytes" : bytes < 1048576 ? (bytes / 1024).toFixed(1) + " KiB" : (bytes / 1048576).toFixed(1) + " MiB";
  }
  function drops() {
    document.querySelectorAll("[data-drop]").forEach(function (drop) {
      var input = drop.querySelector("input"), list = drop.querySelector(".chosen");
      function show() {
        list.replaceChildren.apply(list, Array.from(input.files).slice(0, 20).map(function (file) {
          var item = document.createElement("li");
          item.textContent = file.name + ", " + size(file.size);
          return item;
        }));
      }
      input.addEventListener("change", show);
      ["dragenter", "dragover"].forEach(function (name) {
        drop.addEventListener(name, function (event) { event.preventDefault(); drop.classList.add("over-it"); });
      });
      ["dragleave", "drop"].forEach(function (name) {
        drop.addEventListener(name, function () { drop.classList.remove("over-it"); });
      });
      drop.addEventListener("drop", function (event) {
        event.preventDefault();
        var files = new DataTransfer();
        Array.from(event.dataTransfer.files).slice(0, input.multiple ? undefined : 1)
          .forEach(function (file) { files.items.add(file); });
        if (files.files.length) { input.files = files.files; show(); }
      });
    });
  }

  // A value and its box light up together.
  function pairs() {
    function light(event, on) {
      var it = event.target.closest && event.target.closest("[data-value]");
      if (!it) return;
      var number = it.dataset.value;
      ["box-", "value-"].forEach(function (name) {
        var other = document.getElementById(name + number);
        if (other) other.classList.toggle("lit", on);
      });
    }
    ["mouseover", "focusin"].forEach(function (name) { document.addEventListener(name, function (event) { light(event, true); }); });
    ["mouseout", "focusout"].forEach(function (name) { document.addEventListener(name, function (event) { light(event, false); }); });
  }

  theme();
  times(document);
  graph();
  drops();
  pairs();
  var faults = document.getElementById("faults");
  if (faults) faults.focus();
  document.addEventListener("htmx:afterSwap", function (event) { times(event.target); graph(); });
  document.addEventListener("htmx:sseMessage", function (event) { times(event.target); graph(); });
})();
