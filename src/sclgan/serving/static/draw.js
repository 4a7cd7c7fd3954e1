// The view "Draw": a sentence and a seed to pictures of one run, or of two runs on the same noise.
import { ask, pictureURL, say } from "/api.js";
import * as detail from "/detail.js";
import * as link from "/link.js";
import { Sentence } from "/sentence.js";

const element = (id) => document.getElementById(id);

export class Draw {
  constructor(runs, limits) {
    this.runs = runs; // () => the chosen runs, one or two
    this.gallery = element("gallery");
    this.sentence = new Sentence("caption", () => this.runs()[0].name);
    this.numImages = element("num-images");
    this.seed = element("seed");
    this.numImages.max = limits.num_images;
    this.numImages.value = Math.min(this.numImages.value, limits.num_images);
    this.seed.max = limits.largest_seed;
    element("draw-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.draw();
    });
    element("new-seed").addEventListener("click", () => {
      this.seed.value = Math.floor(Math.random() * 10000);
      this.draw();
    });
    detail.whenClosed(() => this.shown && link.write(this.state()));
  }

  state(extra = {}) {
    const [first, second] = this.runs();
    const { caption, num_images, seed } = this.shown;
    return { view: "draw", run: first.name, beside: second?.name, caption, n: num_images, seed, ...extra };
  }

  async restore({ caption, n, seed, picture, run_of }) {
    if (n) this.numImages.value = n;
    if (seed) this.seed.value = seed;
    if (caption !== undefined) this.sentence.value = caption;
    if (!this.sentence.value) return;
    await this.draw();
    const place = Math.max(0, this.runs().findIndex((run) => run.name === run_of));
    if (picture && this.pictures?.[place]?.[picture - 1]) this.open(place, picture - 1);
  }

  async draw() {
    const wanted = { caption: this.sentence.value, num_images: this.numImages.valueAsNumber, seed: this.seed.valueAsNumber };
    if (!element("draw-form").reportValidity()) return;
    if (!wanted.caption) return say("Type a sentence first.", true);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.gallery.setAttribute("aria-busy", true);
    const began = performance.now();
    try {
      const runs = this.runs();
      const answers = [];
      for (const run of runs) answers.push(await ask("/api/pictures", { run: run.name, ...wanted }, asking.signal));
      this.shown = wanted;
      this.drawn = runs;
      this.pictures = answers.map((answer) => answer.pictures);
      this.show();
      link.write(this.state());
      const number = wanted.num_images === 1 ? "1 picture" : `${wanted.num_images} pictures`;
      const took = ((performance.now() - began) / 1000).toFixed(2);
      const others = answers.slice(1).flatMap((answer, place) => answer.left_out.map((line) => `${runs[place + 1].name}: ${line}.`));
      say([`${number}${runs.length > 1 ? " of each run" : ""} in ${took} s.`, ...others].join(" "));
    } catch (error) {
      if (error.name !== "AbortError") say(error.message, true);
    } finally {
      if (asking === this.asking) this.gallery.removeAttribute("aria-busy");
    }
  }

  show() {
    const figures = this.pictures[0].map((_, number) => {
      const figure = document.createElement("figure");
      figure.classList.toggle("pair", this.drawn.length > 1);
      figure.append(...this.drawn.map((run, place) => this.cell(run, place, number)));
      return figure;
    });
    this.gallery.replaceChildren(...figures);
  }

  cell(run, place, number) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "picture";
    const image = document.createElement("img");
    image.src = pictureURL(this.pictures[place][number]);
    image.alt = `${this.shown.caption}: ${run.name}, picture ${number + 1}`;
    button.append(image);
    button.addEventListener("click", () => this.open(place, number));
    const cell = document.createElement("div");
    cell.append(button);
    if (this.drawn.length > 1) {
      const name = document.createElement("p");
      name.className = "quiet";
      name.textContent = run.name;
      cell.append(name);
    }
    return cell;
  }

  open(place, number) {
    const run = this.drawn[place];
    const state = this.state({ picture: number + 1, run_of: place ? run.name : undefined });
    link.write(state);
    detail.open({ run, ...this.shown, picture: number, png: this.pictures[place][number] }, link.addressOf(state));
  }
}
