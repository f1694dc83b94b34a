"use strict";
// A 3D point cloud on a plain canvas: drag or arrow keys turn it. No WebGL, so it works wherever a page opens.
(() => {
  const data = JSON.parse(document.getElementById("manifolds").textContent);
  const canvas = document.getElementById("cloud");
  if (!canvas) return;
  const pick = (id) => document.getElementById(id);
  const context = canvas.getContext("2d");
  let yaw = 0.6, pitch = 0.4, dragged = null;

  const colour = (share) => `hsl(${260 - 220 * share} 75% 48%)`;

  function draw() {
    const run = data[pick("seed").value];
    const frame = run.frames[Math.min(Number(pick("step").value), run.frames.length - 1)];
    const axis = Number(pick("axis").value);
    const size = canvas.width, scale = size * 0.36;
    context.clearRect(0, 0, size, size);
    const [sy, cy, sp, cp] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
    const turned = frame.points.map(([x, y, z], i) => {
      const [a, b] = [x * cy + z * sy, z * cy - x * sy];
      return [a, y * cp - b * sp, y * sp + b * cp, run.labels[i][axis] / run.extent];
    });
    turned.sort((p, q) => p[2] - q[2]);
    for (const [x, y, depth, share] of turned) {
      context.fillStyle = colour(share);
      context.globalAlpha = 0.55 + 0.3 * Math.max(-1, Math.min(1, depth));
      context.beginPath();
      context.arc(size / 2 + scale * x, size / 2 - scale * y, 5 + 2 * depth, 0, 2 * Math.PI);
      context.fill();
    }
    pick("step-name").textContent = `step ${frame.step}`;
    canvas.dataset.turn = `${yaw.toFixed(2)},${pitch.toFixed(2)}`;
    for (const sheet of document.querySelectorAll(".sheet")) {
      sheet.hidden = sheet.dataset.seed !== pick("seed").value || Number(sheet.dataset.step) !== frame.step;
    }
  }

  const turn = (dx, dy) => { yaw += dx; pitch = Math.max(-1.57, Math.min(1.57, pitch + dy)); draw(); };
  canvas.addEventListener("pointerdown", (event) => {
    dragged = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    turn((event.clientX - dragged[0]) / 120, (event.clientY - dragged[1]) / 120);
    dragged = [event.clientX, event.clientY];
  });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (by) { event.preventDefault(); turn(...by); }
  });
  for (const id of ["seed", "step", "axis"]) pick(id).addEventListener("input", draw);
  draw();
})();
