// The list of hits: each with its moment, its timeline, its move, and "more like this, but …".

import { clock, make } from "./dom.js";
import * as strip from "./strip.js";

export class Hits {
  constructor(list, player, more) {
    Object.assign(this, { list, player, more, hits: [], chosen: 0 });
    new ResizeObserver(() => this.draw()).observe(list);
  }

  show(hits, count) {
    this.hits = hits;
    this.range = strip.range(hits);
    this.list.replaceChildren(...hits.map((hit, number) => this.row(hit, number, count)));
    this.choose(0, false);
    this.draw();
  }

  row(hit, number, count) {
    const play = make("button", {
      type: "button",
      className: "play",
      ariaLabel: `Play ${hit.name}`,
      on: { click: () => this.player.toggle(hit) },
    });
    const canvas = make("canvas", {
      className: "strip",
      title: "How the query fits along the track; a click plays from there",
    });
    canvas.addEventListener("click", (event) => this.player.play(hit, strip.at(event, canvas, hit)));
    const about = make(
      "p",
      { className: "about" },
      make("span", { textContent: hit.track_id }),
      make("span", { className: "moment", textContent: `best at ${clock(hit.seconds)}` }),
    );
    const more = make("button", {
      type: "button",
      className: "more",
      textContent: "More like this, but …",
      on: { click: () => this.edit(number) },
    });
    const text = make(
      "div",
      { className: "text" },
      make("p", { className: "caption-of", textContent: hit.name }),
      about,
    );
    const percentile = make(
      "div",
      { title: "the share of the library's other tracks that fit less well, per cent" },
      make("b", { textContent: hit.percentile.toFixed(2) }),
      make("small", { textContent: "percentile" }),
    );
    const numbers = make("div", { className: "numbers" }, moved(hit, count), percentile);
    return make(
      "li",
      { className: "hit", data: { position: hit.position }, on: { click: () => this.choose(number, false) } },
      make("span", { className: "rank", textContent: hit.rank }),
      play,
      text,
      numbers,
      canvas,
      more,
    );
  }

  edit(number) {
    const row = this.list.children[number];
    const open = row.querySelector("form");
    if (open) return open.remove();
    const input = make("input", {
      type: "text",
      placeholder: "with strings, without drums",
      ariaLabel: "But how?",
      autocomplete: "off",
      spellcheck: false,
    });
    const form = make(
      "form",
      { className: "but" },
      make("i", { textContent: "but" }),
      input,
      make("button", { type: "submit", textContent: "Find" }),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.more(this.hits[number], input.value);
    });
    row.append(form);
    return input.focus();
  }

  choose(number, follow = true) {
    if (!this.hits.length) return;
    this.chosen = Math.max(0, Math.min(this.hits.length - 1, number));
    [...this.list.children].forEach((row, at) => row.classList.toggle("chosen", at === this.chosen));
    if (follow) this.list.children[this.chosen].scrollIntoView({ block: "nearest" });
  }

  draw() {
    this.hits.forEach((hit, number) => {
      const row = this.list.children[number];
      const playing = this.player.track?.position === hit.position;
      row.classList.toggle("playing", playing);
      row.querySelector(".play").classList.toggle("going", playing && this.player.going);
      strip.draw(row.querySelector("canvas"), hit, this.range, playing ? this.player.seconds : null);
    });
  }
}

// What steering did to a hit: its plain rank is `other`.
export function moved(hit, count) {
  if (hit.other === null) return make("span", { className: "move" });
  const rise = hit.other - hit.rank;
  const title = `rank ${hit.other} without steering`;
  if (hit.other > count) return make("span", { className: "move up", textContent: `new, from ${hit.other}`, title });
  if (!rise) return make("span", { className: "move", textContent: "=", title });
  return make("span", {
    className: rise > 0 ? "move up" : "move down",
    textContent: `${rise > 0 ? "▲" : "▼"} ${Math.abs(rise)}`,
    title,
  });
}
