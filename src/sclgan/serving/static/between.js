// The view "In between": sliders from one sentence to another and from one noise to another.
import { ask, pictureURL, say } from "/api.js";
import * as link from "/link.js";
import { Sentence } from "/sentence.js";

const element = (id) => document.getElementById(id);
const MOST_KEPT = 1000; // pictures

export class Between {
  constructor(runs, limits) {
    this.runs = runs;
    const name = () => this.runs()[0].name;
    this.captions = [new Sentence("caption-a", name), new Sentence("caption-b", name)];
    this.seeds = [element("seed-a"), element("seed-b")];
    this.shares = [element("sentence-share"), element("noise-share")];
    this.place = element("mixed");
    this.kept = new Map();
    for (const seed of this.seeds) seed.max = limits.largest_seed;
    element("between-form").addEventListener("submit", (event) => event.preventDefault() ?? this.draw());
    element("between-form").addEventListener("input", () => this.draw());
    element("between-link").addEventListener("click", (event) => copy(event.target, this.state()));
    this.showShares();
  }

  state() {
    const [first, second] = this.runs();
    const [a, b] = this.captions.map((caption) => caption.value);
    const [seed_a, seed_b] = this.seeds.map((seed) => seed.value);
    const [sentence, noise] = this.shares.map((share) => share.value);
    return { view: "between", run: first.name, beside: second?.name, a, b, seed_a, seed_b, sentence, noise };
  }

  restore({ a, b, seed_a, seed_b, sentence, noise }) {
    const set = (field, value) => value !== undefined && (field.value = value);
    [a, b].forEach((value, number) => set(this.captions[number], value));
    [seed_a, seed_b].forEach((value, number) => set(this.seeds[number], value));
    [sentence, noise].forEach((value, number) => set(this.shares[number], value));
    return this.draw();
  }

  showShares() {
    for (const share of this.shares) share.nextElementSibling.textContent = `${Math.round(100 * share.value)} %`;
  }

  // Only the newest wish is drawn while one slides: those that came in between are passed over.
  async draw() {
    this.showShares();
    this.wanted = true;
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (this.wanted) {
        this.wanted = false;
        await this.drawOnce();
      }
    } finally {
      this.drawing = false;
    }
  }

  async drawOnce() {
    const state = this.state(); // the fields may change until the pictures are there
    const captions = this.captions.map((caption) => caption.value);
    const seeds = this.seeds.map((seed) => seed.valueAsNumber);
    const [sentence, noise] = this.shares.map((share) => share.valueAsNumber);
    if (!captions.every(Boolean)) return say("Type both sentences.");
    if (!element("between-form").checkValidity()) return say("A seed is a whole number from 0.", true);
    try {
      const runs = this.runs();
      const pictures = [];
      for (const run of runs) pictures.push(await this.picture({ run: run.name, captions, seeds, sentence, noise }));
      this.show(runs, pictures, `${captions[0]} to ${captions[1]}`);
      link.write(state);
      say("");
    } catch (error) {
      say(error.message, true);
    }
  }

  async picture(body) {
    const key = JSON.stringify(body);
    if (!this.kept.has(key)) {
      if (this.kept.size >= MOST_KEPT) this.kept.clear();
      this.kept.set(key, (await ask("/api/between", body)).picture);
    }
    return this.kept.get(key);
  }

  show(runs, pictures, alt) {
    const figure = document.createElement("figure");
    figure.className = runs.length > 1 ? "large pair" : "large";
    runs.forEach((run, number) => {
      const cell = document.createElement("div");
      const image = document.createElement("img");
      image.src = pictureURL(pictures[number]);
      image.alt = alt;
      const save = document.createElement("a");
      save.className = "quiet";
      save.href = image.src;
      save.download = `${run.name}-between.png`;
      save.textContent = runs.length > 1 ? `${run.name}: download PNG` : "Download PNG";
      cell.append(image, save);
      figure.append(cell);
    });
    this.place.replaceChildren(figure);
  }
}

const copy = (button, state) => link.copyLink(link.addressOf(state), button);
