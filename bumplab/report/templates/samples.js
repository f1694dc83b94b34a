"use strict";
// A link to #<claim> unfolds its details. A link to #<run>/<step> opens that checkpoint: its samples, where the detector finds bumps, and how to repeat the run.
(() => {
  const data = JSON.parse(document.getElementById("samples").textContent);
  const pick = (id) => document.getElementById(id);
  const dialog = pick("checkpoint");
  let run = null, at = 0;

  function shape(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function draw() {
    const none = !run.sheets.length;
    pick("checkpoint-none").hidden = !none;
    for (const id of ["checkpoint-sheet", "checkpoint-words", "earlier", "later"]) pick(id).toggleAttribute("hidden", none);
    pick("checkpoint-command").textContent = run.command;
    if (none) {
      pick("checkpoint-name").textContent = run.label;
      return;
    }
    const checkpoint = run.sheets[at], labels = pick("checkpoint-set");
    for (const option of labels.options) option.disabled = option.hidden = !Object.hasOwn(checkpoint.sets, option.value);
    if (labels.selectedOptions[0]?.disabled ?? true) labels.value = Object.keys(checkpoint.sets)[0];
    const sheet = checkpoint.sets[labels.value];
    pick("checkpoint-name").textContent = `${run.label}, step ${checkpoint.step}`;
    const parts = [shape("image", { href: sheet.image, width: sheet.size, height: sheet.size })];
    for (const mark of sheet.marks) {
      const [x, y] = mark.asked;
      parts.push(shape("circle", { cx: x, cy: y, r: 0.7, class: "asked" }));
      if (mark.found) {
        const [a, b] = mark.found;
        parts.push(shape("path", { d: `M${a - 0.9} ${b}h1.8m-.9-.9v1.8`, class: "found" }));
      }
    }
    pick("checkpoint-sheet").setAttribute("viewBox", `0 0 ${sheet.size} ${sheet.size}`);
    pick("checkpoint-sheet").replaceChildren(...parts);
    const place = (position) => position ? `(${position.map((v) => v.toFixed(1)).join(", ")})` : "nowhere";
    pick("checkpoint-modes").replaceChildren(...sheet.marks.map((mark) => {
      const item = document.createElement("li");
      item.textContent = `${mark.mode}: asked at ${place(mark.asked_label)}, found at ${place(mark.found_label)}`;
      return item;
    }));
    pick("earlier").disabled = at === 0;
    pick("later").disabled = at === run.sheets.length - 1;
  }

  function follow() {
    const details = document.getElementById(location.hash.slice(1))?.closest("section")?.querySelector("details");
    if (details) details.open = true;
    const [key, step] = location.hash.slice(1).split("/");
    if (!Object.hasOwn(data, key) || step === undefined) return;
    run = data[key];
    const far = run.sheets.map((sheet) => Math.abs(sheet.step - Number(step)));
    at = Math.max(0, far.indexOf(Math.min(...far)));
    draw();
    if (!dialog.open) dialog.showModal();
  }

  const move = (by) => { at = Math.max(0, Math.min(run.sheets.length - 1, at + by)); draw(); };
  pick("earlier").addEventListener("click", () => move(-1));
  pick("later").addEventListener("click", () => move(1));
  pick("checkpoint-set").addEventListener("input", draw);
  pick("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => history.replaceState(null, "", location.pathname + location.search));
  window.addEventListener("hashchange", follow);
  follow();
})();
