// One player for the whole page: it begins a hit at its best moment.

import { clock } from "./dom.js";
import * as strip from "./strip.js";

export class Player {
  constructor(bar, told, complain) {
    this.bar = bar;
    this.audio = bar.querySelector("audio");
    this.button = bar.querySelector(".play");
    this.canvas = bar.querySelector("canvas");
    this.track = null;
    this.button.addEventListener("click", () => this.toggle());
    this.canvas.addEventListener(
      "click",
      (event) => this.track.timeline && this.seek(strip.at(event, this.canvas, this.track)),
    );
    for (const event of ["play", "pause", "ended", "timeupdate"])
      this.audio.addEventListener(event, () => this.show(told));
    this.audio.addEventListener(
      "error",
      () =>
        this.track && complain(`${this.track.name}: this browser cannot play the file, or it is not there any more`),
    );
  }

  get seconds() {
    return this.audio.currentTime;
  }

  get going() {
    return Boolean(this.track) && !this.audio.paused;
  }

  // The seconds are of the file; by default the best moment of a hit, the beginning of any other track.
  play(track, seconds = track.seconds ?? track.start) {
    if (!this.track || this.track.position !== track.position) {
      this.audio.src = `/audio/${track.position}`;
    }
    this.track = track;
    this.bar.hidden = false;
    this.bar.querySelector("strong").textContent = track.name;
    this.seek(seconds);
  }

  seek(seconds) {
    this.audio.currentTime = seconds;
    this.audio.play().catch(() => {}); // what cannot be played is told by the error event
  }

  toggle(track = this.track) {
    if (!track) return;
    if (!this.track || this.track.position !== track.position) this.play(track);
    else if (this.audio.paused) this.audio.play().catch(() => {});
    else this.audio.pause();
  }

  show(told = () => {}) {
    this.button.classList.toggle("going", this.going);
    this.bar.querySelector(".clock").textContent = clock(this.seconds);
    this.canvas.hidden = !this.track?.timeline;
    if (this.track?.timeline) strip.draw(this.canvas, this.track, strip.range([this.track]), this.seconds);
    told();
  }
}
