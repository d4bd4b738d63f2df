// A track's timeline: how well the query fits along it. A click plays from there.

import { colour, sheet } from "./dom.js";

// The span that a list's strips share, without the few lowest moments, which would flatten all others.
export function range(hits) {
  const values = hits.flatMap((hit) => hit.timeline).sort((a, b) => a - b);
  return { low: values[Math.floor(values.length / 20)], high: values[values.length - 1] };
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
    const share = high > low ? Math.max(0, (value - low) / (high - low)) : 1;
    const tall = 3 + share * (height - 3);
    pen.globalAlpha = number === best ? 1 : number < here ? 0.85 : 0.16 + 0.42 * share;
    pen.fillStyle = colour(number < here && number !== best ? "ink" : "accent");
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
