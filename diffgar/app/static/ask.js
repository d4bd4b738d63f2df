// The bar: a caption, or a track or file with its edit, and what to avoid, each with a strength.

import { make } from "./dom.js";

const EXAMPLE = "with strings, without drums";

export class Bar {
  constructor(place, ask) {
    this.ask = ask;
    this.caption = place.querySelector(".caption");
    this.start = place.querySelector(".start");
    this.chips = place.querySelector(".chips");
    this.adding = place.querySelector(".add input");
    this.empty();
    place.querySelector(".bar").addEventListener("submit", (event) => {
      event.preventDefault();
      ask();
    });
    place.querySelector(".add").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(this.adding.value);
    });
    this.adding.addEventListener("keydown", (event) => {
      if (event.key === "," && this.adding.value.trim()) {
        event.preventDefault();
        this.add(this.adding.value);
      } else if (event.key === "Backspace" && !this.adding.value && this.negatives.length) {
        this.remove(this.negatives.length - 1);
      }
    });
  }

  empty() {
    this.like = this.upload = this.title = this.edit = "";
    this.strength = 0.5;
    this.negatives = [];
  }

  get query() {
    const { like, upload, edit, negatives } = this;
    const caption = like || upload ? "" : this.caption.value;
    return { caption, like, upload, edit, edit_strength: this.strength, negatives };
  }

  // As an answer has it: after going back, the bar is what it was.
  restore(query, title, avoided) {
    Object.assign(this, { like: query.like, upload: query.upload, edit: query.edit, title });
    this.strength = query.edit_strength;
    this.negatives = query.negatives.map((each) => ({ ...each }));
    this.taken = Object.fromEntries(avoided.map((each) => [each.typed, each.phrasings]));
    if (!query.like && !query.upload) this.caption.value = query.caption;
    this.show();
  }

  from(start, title, edit = "") {
    Object.assign(this, { like: "", upload: "", edit, title, strength: 0.5 }, start);
    this.show();
    this.ask();
  }

  add(typed) {
    const words = typed.split(",").map((word) => word.trim());
    const fresh = words.filter((word) => word && !this.negatives.some((each) => each.typed === word));
    this.negatives.push(...fresh.map((word) => ({ typed: word, strength: 1 })));
    this.adding.value = "";
    this.show();
    this.askAgain();
  }

  remove(number) {
    this.negatives.splice(number, 1);
    this.show();
    this.askAgain();
  }

  // What to avoid can be said before what is wanted: then nothing is asked yet.
  askAgain() {
    if (this.like || this.upload || this.caption.value.trim()) this.ask();
  }

  show() {
    const started = Boolean(this.like || this.upload);
    this.start.hidden = !started;
    this.caption.hidden = started;
    this.start.replaceChildren(...(started ? this.started() : []));
    this.chips.replaceChildren(...this.negatives.map((each, number) => this.chip(each, number)));
  }

  started() {
    const close = make("button", {
      type: "button",
      className: "x",
      textContent: "×",
      ariaLabel: "Back to a caption",
      on: { click: () => this.leave() },
    });
    const edit = make("input", {
      className: "edit",
      type: "text",
      value: this.edit,
      placeholder: EXAMPLE,
      ariaLabel: "But",
      autocomplete: "off",
      spellcheck: false,
    });
    edit.addEventListener("input", () => (this.edit = edit.value));
    const strength = this.slider("How far the edit goes", this.strength, 1, (value) => (this.strength = value));
    return [
      make("span", { className: "pill", title: this.title }, make("b", { textContent: `≈ ${this.title}` }), close),
      make("i", { textContent: "but" }),
      edit,
      strength,
    ];
  }

  leave() {
    Object.assign(this, { like: "", upload: "", edit: "" });
    this.show();
    this.caption.focus();
  }

  chip(negative, number) {
    const taken = this.taken?.[negative.typed] ?? [];
    const title = taken.length > 1 ? `taken for: ${taken.slice(1).join(" · ")}` : "";
    const slider = this.slider(`Strength of ${negative.typed}`, negative.strength, 2, (value) => {
      negative.strength = value;
      this.askAgain();
    });
    const close = make("button", {
      type: "button",
      className: "x",
      textContent: "×",
      ariaLabel: `Do not avoid ${negative.typed}`,
      on: { click: () => this.remove(number) },
    });
    return make(
      "span",
      { className: negative.strength > 0 ? "chip" : "chip off", title },
      make("b", { textContent: negative.typed }),
      slider,
      close,
    );
  }

  slider(label, value, most, moved) {
    const shown = make("output", { textContent: Number(value).toFixed(1) });
    const input = make("input", { type: "range", min: 0, max: most, step: 0.1, ariaLabel: label, title: label });
    input.value = value; // after its bounds
    input.addEventListener("input", () => (shown.textContent = Number(input.value).toFixed(1)));
    input.addEventListener("change", () => {
      moved(Number(input.value));
      if (most === 1 && this.edit.trim()) this.ask();
    });
    return make("label", { className: "slider" }, input, shown);
  }
}
