// A track's timeline: how well the query fits along it. A click plays from there.

import { colour, sheet } from "./dom.js";

export function range(hits) {
  const values = hits.flatMap((hit) => hit.timeline);
  return { low: Math.min(...values), high: Math.max(...values) };
}

export const length = (hit) => hit.timeline.length * hit.hop;

// seconds: of the file, where the player is, or null.
export function draw(canvas, hit, { low, high }, seconds = null) {
  const { pen, width, height } = sheet(canvas);
  const step = width / hit.timeline.length;
  const gap = step > 4 ? 1.5 : 0;
  const here = seconds === null ? -1 : (seconds - hit.start) / hit.hop;
  const best = Math.round((hit.seconds - hit.start) / hit.hop);
  hit.timeline.forEach((value, number) => {
    const share = high > low ? (value - low) / (high - low) : 1;
    const tall = Math.max(2, share * height);
    pen.globalAlpha = number < here ? 1 : 0.22 + 0.5 * share;
    pen.fillStyle = number === best ? colour("accent") : colour(number < here ? "accent" : "ink");
    if (number === best) pen.globalAlpha = 1;
    pen.beginPath();
    pen.roundRect(number * step, height - tall, Math.max(1, step - gap), tall, Math.min(2, step / 3));
    pen.fill();
  });
}

export function at(event, canvas, hit) {
  const box = canvas.getBoundingClientRect();
  const share = Math.min(0.999, Math.max(0, (event.clientX - box.left) / box.width));
  return hit.start + share * length(hit);
}
