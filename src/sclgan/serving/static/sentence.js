// A field for a sentence. Words that the run does not read are underlined while one types.
import { ask } from "/api.js";

const DELAY = 150; // milliseconds after the last key

export class Sentence {
  constructor(id, runName) {
    this.area = document.getElementById(id);
    this.note = document.getElementById(`${id}-note`);
    this.shade = this.area.previousElementSibling;
    this.runName = runName;
    this.area.addEventListener("input", () => this.later());
    this.area.addEventListener("scroll", () => (this.shade.scrollTop = this.area.scrollTop));
    this.area.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.area.form.requestSubmit();
    });
  }

  get value() {
    return this.area.value.trim();
  }

  set value(text) {
    this.area.value = text;
    this.check();
  }

  later() {
    this.shade.replaceChildren();
    this.note.textContent = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), DELAY);
  }

  async check() {
    const caption = this.area.value;
    if (!caption.trim()) return this.show([]);
    try {
      const { parts } = await ask("/api/words", { run: this.runName(), caption });
      if (caption === this.area.value) this.show(parts);
    } catch (error) {
      if (caption === this.area.value) this.note.textContent = error.message;
    }
  }

  show(parts) {
    this.shade.replaceChildren(
      ...parts.map(({ text, kind }) => {
        if (kind === "read") return text;
        const span = document.createElement("span");
        span.className = kind;
        span.textContent = text;
        return span;
      }),
    );
    const texts = (kind) => parts.filter((part) => part.kind === kind).map((part) => part.text.trim());
    const lines = [];
    if (texts("unknown").length) lines.push(`Not in the vocabulary, left out: ${texts("unknown").join(", ")}.`);
    if (texts("beyond").length) lines.push(`Behind the last word that is read, left out: ${texts("beyond").join(" ")}.`);
    this.note.textContent = lines.join(" ");
  }
}
