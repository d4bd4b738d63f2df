// The map: every track a dot, the query and its hits on it. A click plays the nearest track.

import { colour, make, sheet } from "./dom.js";

const NEAR = 14; // pixels
const EDGE = 18;
const NUMBERED = 5; // hits

export class Atlas {
  constructor(place, player) {
    Object.assign(this, { place, player, answer: null, map: null, names: new Map() });
    this.canvas = place.querySelector("canvas");
    this.tip = place.querySelector(".tip");
    this.by = place.querySelector("select");
    this.by.addEventListener("change", () => this.draw());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.draw()).observe(place);
  }

  open(map) {
    this.map = map;
    this.by.replaceChildren(
      make("option", { value: "", textContent: "none" }),
      ...map.tags.map((tag) => make("option", { value: tag.name, textContent: tag.name })),
    );
    this.by.value = map.tags[0]?.name ?? ""; // the one that the map tells apart best
    this.by.parentElement.hidden = !map.tags.length;
    this.place.hidden = false;
  }

  show(answer) {
    this.answer = answer;
    this.draw();
  }

  // From the plane to pixels: the library fills the sheet.
  scale(width, height) {
    const every = [...this.map.points, ...(this.answer ? [this.answer.point] : [])];
    const bounds = [0, 1].map((axis) => {
      const values = every.map((point) => point[axis]);
      return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    });
    const place = (value, [low, high], size) => EDGE + ((value - low) / (high - low || 1)) * (size - 2 * EDGE);
    this.to = ([x, y]) => [place(x, bounds[0], width), height - place(y, bounds[1], height)];
  }

  draw() {
    if (!this.map || !this.canvas.clientWidth) return;
    const { pen, width, height } = sheet(this.canvas);
    this.scale(width, height);
    const tag = this.map.tags.find((each) => each.name === this.by.value);
    this.legend(tag);
    this.map.points.forEach((point, number) => {
      const value = tag ? tag.of[number] : -1;
      pen.globalAlpha = value < 0 ? 0.3 : this.answer ? 0.42 : 0.7;
      pen.fillStyle = value < 0 ? colour("dim") : shade(value, tag.values.length);
      dot(pen, this.to(point), 1.8);
    });
    if (this.answer) this.drawAnswer(pen);
  }

  drawAnswer(pen) {
    const [x, y] = this.to(this.answer.point);
    pen.globalAlpha = 0.35;
    pen.strokeStyle = colour("accent");
    for (const hit of this.answer.hits) stroke(pen, [[x, y], this.to(hit.point)]);
    pen.globalAlpha = 1;
    pen.font = "700 10px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const hit of [...this.answer.hits].reverse()) this.drawHit(pen, hit);
    this.canvas.dataset.first = JSON.stringify(this.to(this.answer.hits[0].point)); // in pixels, for who reads the page
    pen.lineWidth = 2.5;
    pen.strokeStyle = colour("ink");
    stroke(pen, [
      [x - 9, y],
      [x + 9, y],
    ]);
    stroke(pen, [
      [x, y - 9],
      [x, y + 9],
    ]);
    pen.lineWidth = 1;
  }

  // The first hits have their numbers, the others are dots: numbers that lie on each other cannot be read.
  drawHit(pen, hit) {
    const at = this.to(hit.point);
    const playing = this.player.track?.position === hit.position;
    const numbered = playing || hit.rank <= NUMBERED;
    const radius = numbered ? 9 : 4.5;
    pen.fillStyle = colour("panel");
    dot(pen, at, radius + 1.5);
    pen.fillStyle = colour(playing ? "second" : "accent");
    dot(pen, at, radius);
    if (!numbered) return;
    pen.fillStyle = colour("on-accent");
    pen.fillText(hit.rank, at[0], at[1] + 0.5);
  }

  legend(tag) {
    const entries = tag
      ? tag.values.map((value, number) =>
          make("span", {}, make("i", { style: `background:${shade(number, tag.values.length)}` }), value),
        )
      : [];
    this.place.querySelector(".legend").replaceChildren(...entries);
  }

  nearest(event) {
    if (!this.to) return null;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const far = (point) => Math.hypot(this.to(point)[0] - x, this.to(point)[1] - y);
    let best = { position: null, far: NEAR };
    for (const hit of this.answer?.hits ?? [])
      if (far(hit.point) < best.far) best = { position: hit.position, far: far(hit.point) - 6 };
    this.map.points.forEach((point, number) => {
      if (far(point) < best.far) best = { position: this.map.positions[number], far: far(point) };
    });
    return best.position;
  }

  // What a track is called is fetched when it is pointed at.
  async track(position) {
    const hit = this.answer?.hits.find((each) => each.position === position);
    if (hit) return hit;
    if (!this.names.has(position))
      this.names.set(
        position,
        fetch(`/tracks/${position}`).then((found) => found.json()),
      );
    return this.names.get(position);
  }

  async click(event) {
    const position = this.nearest(event);
    if (position === null) return;
    this.player.play(await this.track(position));
    this.draw();
  }

  async hover(event) {
    const position = this.nearest(event);
    this.canvas.style.cursor = position === null ? "default" : "pointer";
    this.pointed = position;
    if (position === null) return (this.tip.hidden = true);
    const { offsetX, offsetY } = event;
    const track = await this.track(position);
    if (this.pointed !== position) return null;
    this.tip.textContent = track.name;
    this.tip.classList.toggle("left", offsetX > this.canvas.clientWidth / 2);
    Object.assign(this.tip.style, { left: `${offsetX}px`, top: `${offsetY}px` });
    return (this.tip.hidden = false);
  }
}

const shade = (number, count) => `hsl(${Math.round((360 * number) / count + 12)} 62% ${number % 2 ? 46 : 58}%)`;

function dot(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

function stroke(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], number) => (number ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}
