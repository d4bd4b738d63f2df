// Brings the parts of the page together: what is asked goes to Python, what it tells is shown.

import { Bar } from "./ask.js";
import { Atlas } from "./atlas.js";
import { compare } from "./compare.js";
import { make } from "./dom.js";
import * as drop from "./drop.js";
import { Hits } from "./hits.js";
import * as keys from "./keys.js";
import { Player } from "./player.js";
import * as theme from "./theme.js";
import { showTrail } from "./trail.js";

const EXAMPLES = ["a calm piano piece", "energetic rock with electric guitar", "slow and dark, with strings"];

// element: the shell; props.value: what Python told last; watch: hears of it; send: asks Python.
export function start(element, props, watch, send) {
  const page = new Page(element, send);
  const hear = () => props.value && page.hear(props.value);
  watch("value", hear);
  hear();
}

class Page {
  constructor(element, send) {
    this.find = (what) => element.querySelector(what);
    this.app = this.find(".gdr");
    this.number = 0;
    this.send = send;
    const complain = (said) => this.say(said);
    this.player = new Player(this.find(".player"), () => this.follow(), complain);
    this.hits = new Hits(this.find(".hits"), this.player, (hit, edit) =>
      this.bar.from({ like: hit.track_id }, hit.name, edit),
    );
    this.atlas = new Atlas(this.find(".atlas"), this.player);
    this.bar = new Bar(this.find(".ask"), () => this.ask({ query: this.bar.query }));
    keys.listen(this.hits, this.player, this.bar.caption);
    theme.start(this.find(".theme"), () => this.redraw());
    drop.listen({
      overlay: this.find(".dropping"),
      picker: this.find(".file input"),
      library: () => this.library,
      found: (upload, name) => this.bar.from({ upload }, name),
      complain,
    });
    for (const button of element.querySelectorAll("[data-to]"))
      button.addEventListener("click", () => this.turn(button.dataset.to));
    for (const button of element.querySelectorAll("[data-save]"))
      button.addEventListener("click", () => this.save(button.dataset.save));
    this.find(".welcome").replaceChildren(
      ...welcome(
        (caption) => this.bar.restore({ ...this.bar.query, like: "", upload: "", caption }, "", []) || this.bar.ask(),
      ),
    );
    this.bar.caption.focus();
  }

  ask(asked) {
    this.say("");
    this.app.classList.add("busy");
    this.send({ ...asked, number: ++this.number });
  }

  hear(told) {
    if (told.kind === "library") this.open(told);
    if (told.number !== undefined && told.number !== this.number) return; // a later question is being answered
    if (told.kind === "refused") this.refuse(told.sentence);
    if (told.kind === "answer") this.show(told);
    this.app.dataset.answered = told.number ?? 0;
  }

  open(library) {
    this.library = library;
    const left = library.left_out ? `, ${library.left_out} ${library.left_out === 1 ? "file" : "files"} left out` : "";
    this.find(".library").textContent =
      `${library.tracks.toLocaleString("en")} tracks of ${library.collection}, searched by ${library.model}${left}`;
    this.app.classList.add("open");
    this.atlas.open(library.map);
    this.redraw();
  }

  refuse(sentence) {
    this.app.classList.remove("busy");
    this.say(sentence);
  }

  say(sentence) {
    const place = this.find(".sentence");
    place.textContent = sentence;
    place.hidden = !sentence;
  }

  show(answer) {
    this.answer = answer;
    this.app.classList.remove("busy");
    this.find(".welcome").hidden = true;
    this.find(".results .head").hidden = false;
    const waiting = document.activeElement?.closest?.(".bar, .hit");
    this.bar.restore(answer.query, answer.title, answer.avoided);
    this.find(".results h2").replaceChildren(...headline(answer));
    showTrail(this.find(".trail"), answer, (step) => this.ask({ step }));
    this.hits.show(answer.hits, answer.count);
    compare(this.find(".compare"), answer, this.player);
    this.atlas.show(answer);
    if (waiting || document.activeElement === document.body) this.find(".hits").focus({ preventScroll: true });
  }

  turn(view) {
    this.app.dataset.view = view;
    for (const button of this.app.querySelectorAll("[data-to]"))
      button.setAttribute("aria-pressed", String(button.dataset.to === view));
    this.find(".hits").hidden = view !== "list";
    this.find(".compare").hidden = view !== "compare";
    this.redraw();
  }

  redraw() {
    this.hits.draw();
    this.atlas.draw();
    if (this.player.track) this.player.show();
  }

  // What plays is marked in the list, with its progress, and on the map.
  follow() {
    this.hits.draw();
    if (this.followed !== this.player.track) this.atlas.draw();
    this.followed = this.player.track;
  }

  save(kind) {
    const type = kind === "csv" ? "text/csv" : "audio/x-mpegurl";
    const url = URL.createObjectURL(new Blob([this.answer[kind]], { type }));
    make("a", { href: url, download: `hits.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}

function headline({ title, query }) {
  const avoided = query.negatives.filter((each) => each.strength > 0).map((each) => each.typed);
  const edit = query.edit ? [make("em", { textContent: ` but ${query.edit}` })] : [];
  return [title, ...edit, ...(avoided.length ? [make("s", { textContent: ` without ${avoided.join(", ")}` })] : [])];
}

function welcome(ask) {
  const examples = EXAMPLES.map((caption) =>
    make("button", { type: "button", textContent: caption, on: { click: () => ask(caption) } }),
  );
  const lines = [
    ["Describe", "the music you are looking for. A query is generated for it, and ranks the library."],
    ["Subtract", "what you do not want, and move its strength."],
    ["Go on", "from any hit: more like this, but with strings."],
  ].map(([bold, rest]) => make("li", {}, make("b", { textContent: bold }), ` ${rest}`));
  const hero = make("h1", {}, "Say what the music should be, and ", make("em", { textContent: "what it should not" }));
  return [hero, make("ol", {}, ...lines), make("p", {}, ...examples)];
}
