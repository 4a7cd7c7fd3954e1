// The page: which runs, which view, and the state in its address.
import { ask, say } from "/api.js";
import { Between } from "/between.js";
import { close } from "/detail.js";
import { Draw } from "/draw.js";
import * as link from "/link.js";

const element = (id) => document.getElementById(id);

async function start() {
  const { version, runs, limits } = await ask("/api/server");
  element("version").textContent = `sclgan ${version}`;
  const named = new Map(runs.map((run) => [run.name, run]));
  const [first, beside] = [element("run"), element("beside")];
  first.replaceChildren(...runs.map((run) => new Option(run.name)));
  beside.replaceChildren(new Option("none", ""), ...runs.map((run) => new Option(run.name)));
  element("runs").hidden = runs.length < 2;

  const chosen = () => {
    const [one, other] = [named.get(first.value), named.get(beside.value)];
    return other && other !== one ? [one, other] : [one];
  };
  const views = { draw: new Draw(chosen, limits), between: new Between(chosen, limits) };
  let view = "draw";

  const show = (name) => {
    view = name;
    for (const one of Object.keys(views)) {
      element(one).hidden = one !== name;
      element(`show-${one}`).setAttribute("aria-pressed", one === name);
    }
    element("gallery").hidden = name !== "draw";
    element("mixed").hidden = element("mixed-link").hidden = name !== "between";
    const [one, other] = chosen();
    element("noise-note").hidden = !other || one.noise_size === other.noise_size;
  };

  const restore = () => {
    const state = link.read();
    if (named.has(state.run)) first.value = state.run;
    beside.value = named.has(state.beside) ? state.beside : "";
    show(state.view in views ? state.view : "draw");
    close();
    return views[view].restore(state);
  };

  const changed = () => {
    show(view);
    for (const sentence of [views.draw.sentence, ...views.between.captions]) sentence.check();
    views[view].draw();
  };
  first.addEventListener("change", changed);
  beside.addEventListener("change", changed);
  for (const name of Object.keys(views)) {
    element(`show-${name}`).addEventListener("click", () => {
      show(name);
      views[name].draw();
    });
  }
  addEventListener("hashchange", restore);

  const [one, other] = chosen()[0].examples;
  views.draw.sentence.value = one ?? "";
  views.between.captions[0].value = one ?? "";
  views.between.captions[1].value = other ?? one ?? "";
  await restore();
  document.body.dataset.ready = true;
}

start().catch((error) => say(error.message, true));
