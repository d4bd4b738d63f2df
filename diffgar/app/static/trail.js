// The trail: every query so far; a click goes back to it.

import { make } from "./dom.js";

const SIGNS = { caption: "", like: "≈ ", file: "♪ " };

export function showTrail(place, { trail, current }, back) {
  place.hidden = trail.length < 1;
  place.replaceChildren(...trail.map((step, number) => button(step, number, number === current, back)));
  place.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function button(step, number, shown, back) {
  const edit = step.edit ? make("em", { textContent: ` but ${step.edit}` }) : null;
  const avoided = step.avoided.length ? make("s", { textContent: ` − ${step.avoided.join(", ")}` }) : null;
  const it = make(
    "button",
    { type: "button", className: "step", on: { click: () => back(number) } },
    make("span", { textContent: SIGNS[step.kind] + step.title }),
    edit,
    avoided,
  );
  it.title = it.textContent;
  if (shown) it.setAttribute("aria-current", "step");
  return it;
}
