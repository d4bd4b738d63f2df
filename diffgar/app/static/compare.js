// The plain list and the steered one, side by side, with a line for every track that both have.

import { make } from "./dom.js";
import { moved } from "./hits.js";

const ROW = 46; // pixels; the same in app.css
const SVG = "http://www.w3.org/2000/svg";

export function compare(place, answer, player) {
  if (!answer.plain) {
    place.replaceChildren(
      make("p", {
        className: "none",
        textContent: "Nothing is avoided or edited: there is nothing to compare. Add something to avoid.",
      }),
    );
    return;
  }
  const gone = (hit) =>
    hit.other === null
      ? make("span", { className: "move down", textContent: "out", title: "not in the steered list" })
      : make("span", { className: "move", textContent: `→ ${hit.other}` });
  const plain = column("Plain", answer.plain, gone, player);
  const steered = column("Steered", answer.hits, (hit) => moved(hit, answer.count), player);
  place.replaceChildren(plain, lines(answer), steered);
}

function column(title, hits, badge, player) {
  const rows = hits.map((hit) =>
    make(
      "li",
      { className: "row", title: hit.name, on: { click: () => player.toggle(hit) } },
      make("span", { className: "rank", textContent: hit.rank }),
      make("span", { className: "name", textContent: hit.name }),
      badge(hit),
    ),
  );
  return make("div", { className: "col" }, make("h3", { textContent: title }), make("ol", {}, ...rows));
}

function lines(answer) {
  const svg = document.createElementNS(SVG, "svg");
  const height = ROW * Math.max(answer.plain.length, answer.hits.length);
  svg.setAttribute("viewBox", `0 0 100 ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("preserveAspectRatio", "none");
  for (const hit of answer.plain.filter((each) => each.other !== null)) {
    const [from, to] = [(hit.rank - 0.5) * ROW, (hit.other - 0.5) * ROW];
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", `M0 ${from} C50 ${from} 50 ${to} 100 ${to}`);
    path.setAttribute("class", to < from ? "up" : to > from ? "down" : "same");
    svg.append(path);
  }
  return make("div", { className: "lines" }, svg);
}
